//! Static pauses: of a graph, and of one drive.

use crate::support::*;
use statewright_engine_runtime::*;

/// `first`, then `write` and `draw` together, then `last`.
fn graph(change: impl FnOnce(&mut Builder, [Handle; 4])) -> Graph<Log> {
    let mut g = builder();
    let [first, write, draw, last] = ["first", "write", "draw", "last"].map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, write.to().and(draw));
    g.join((write, draw), last);
    g.end(last);
    change(&mut g, [first, write, draw, last]);
    g.build().unwrap()
}

/// Where a run paused, and what had run.
fn paused(report: &RunReport<Log>) -> (String, String) {
    assert!(matches!(report.outcome, Outcome::PausedAt(_)), "{}", report.describe());
    (report.describe(), report.state.trace.join(" "))
}

#[tokio::test]
async fn a_pause_before_a_node_holds_its_superstep_and_a_resume_goes_past_it_once() {
    let store = MemoryCheckpointer::new();
    let runner = || {
        let graph = graph(|g, [_, write, ..]| g.pause_before(write));
        graph.runner().checkpointer(store.clone())
    };
    let report = runner().start("t", Log::update()).await.unwrap();
    let at = ("paused before `write`; resume it to go on".to_owned(), "first".to_owned());
    assert_eq!(paused(&report), at, "`draw` waits with it");
    let write = runner().graph().plan().node_named("write").unwrap();
    let stands = Status::Stopped(Outcome::PausedAt(vec![PausePoint::Before(write)]));
    assert_eq!(runner().load("t").await.unwrap().status, stands);
    let history = runner().history("t").await.unwrap();
    assert_eq!(history.last().unwrap().held, [PausePoint::Before(write)]);
    let refused = runner().start("t", Log::update()).await.unwrap_err();
    assert_eq!(refused.code(), "SW-X201", "the run is open");
    let report = runner().resume("t").await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace.join(" "), "first write draw last");
}

#[tokio::test]
async fn a_pause_after_a_node_comes_when_its_superstep_is_over_and_not_after_the_last_one() {
    let graph = graph(|g, [_, write, _, last]| {
        g.pause_after(write);
        g.pause_before(last);
        g.pause_after(last);
    });
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update()).await.unwrap();
    let (words, trace) = paused(&report);
    assert_eq!(words, "paused after `write`, before `last`; resume it to go on", "two of them are one pause");
    assert_eq!(trace, "first write draw");
    expect_finished(&runner.resume("t").await.unwrap());
}

#[tokio::test]
async fn a_drive_may_pause_where_it_likes_and_the_next_one_does_not() {
    let runner = graph(|_, _| {}).runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update()).pause_before("first").await.unwrap();
    assert_eq!(paused(&report).0, "paused before `first`; resume it to go on");
    let report = runner.resume("t").pause_before("first").pause_after("draw").await.unwrap();
    assert_eq!(
        paused(&report),
        ("paused after `draw`; resume it to go on".into(), "first write draw".into())
    );
    expect_finished(&runner.resume("t").await.unwrap());
    let error = runner.start("u", Log::update()).pause_before("frist").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the graph `test` has no node `frist` to pause at; it has: first, write, draw, last"
    );
    assert_eq!(error.code(), "SW-X270");
    assert_eq!(runner.load("u").await.unwrap().status, Status::Empty, "nothing began");
}

#[tokio::test]
async fn in_a_loop_it_pauses_in_each_round_and_behind_a_used_up_bound_only_once_that_is_granted() {
    let mut g = builder();
    let only = g.func("only", async |ctx: Ctx<Log>| {
        let route = if ctx.state.trace.len() < 3 { Fork::Left } else { Fork::Right };
        Ok((ran(&ctx), route))
    });
    g.start(only);
    g.route(only, ForkEdges { left: only.to().at_most(2), right: To::END });
    g.pause_before(only);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut outcomes = vec![runner.start("t", Log::update()).await.unwrap()];
    while outcomes.last().unwrap().outcome != Outcome::Finished {
        outcomes.push(runner.resume("t").await.unwrap());
    }
    let words: Vec<String> = outcomes.iter().map(|report| report.describe()).collect();
    let stops: Vec<&str> = words.iter().map(|words| words.split(' ').next().unwrap()).collect();
    assert_eq!(stops, ["paused", "paused", "paused", "the", "paused", "finished"]);
}

#[tokio::test]
async fn killed_after_any_entry_it_neither_misses_its_pause_nor_pauses_twice() {
    let declared = || graph(|g, [_, write, ..]| g.pause_before(write));
    let store = MemoryCheckpointer::new();
    let runner = declared().runner().checkpointer(store.clone());
    runner.start("t", Log::update()).await.unwrap();
    let whole = runner.resume("t").await.unwrap().state;
    let all = entries(&store);
    for cut in 1..all.len() {
        let runner = declared().runner().checkpointer(crashed_after(&all[..cut]).await);
        let before = runner.load("t").await.unwrap();
        let (mut pauses, past) = (0, before.superstep > 1 && !matches!(before.status, Status::Stopped(_)));
        if before.status == Status::Stopped(Outcome::Finished) {
            continue;
        }
        let standing = matches!(before.status, Status::Stopped(Outcome::PausedAt(_)));
        let mut report = runner.resume("t").await.unwrap();
        while matches!(report.outcome, Outcome::PausedAt(_)) {
            pauses += 1;
            report = runner.resume("t").await.unwrap();
        }
        assert_eq!(report.state, whole, "after {cut} entries");
        assert_eq!(pauses, usize::from(!past && !standing), "after {cut} entries");
    }
}
