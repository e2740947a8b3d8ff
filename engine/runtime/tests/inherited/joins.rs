//! Joins, loops, and what other engines lost of them when a run was taken up again.

use crate::support::*;
use statewright_engine_runtime::*;

/// How often a node ran, by the trace.
fn times(log: &Log, name: &str) -> usize {
    log.trace.iter().filter(|node| *node == name).count()
}

/// Runs the graph; then once more from every prefix of its journal, and expects the same state each time.
async fn from_every_entry(graph: &Graph<Log>) -> Log {
    let store = MemoryCheckpointer::new();
    let whole = within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    expect_finished(&whole);
    let all = entries(&store);
    for length in 1..all.len() {
        let runner = graph.runner().checkpointer(crashed_after(&all[..length]).await);
        match within(runner.resume("t")).await {
            Ok(resumed) => assert_eq!(resumed.state, whole.state, "killed after entry {length}"),
            Err(error) => assert_eq!(error.code(), "SW-X202", "killed after entry {length}: {error}"),
        }
    }
    (*whole.state).clone()
}

/// Six parts, of which two run at once, are joined with a node that ran beside them: when the process dies, some have
/// finished, some run, and some were scheduled and have not begun.
#[tokio::test]
async fn join_not_double_executed_on_midbatch_resume() {
    let mut g = builder();
    let plan = g.func("plan", async |ctx: Ctx<Log>| Ok((ran(&ctx), Spread::Parts((0..6).collect()))));
    let part = g.func("part", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx).tags(ctx.input.to_string())));
    let [first, side, last] = ["first", "side", "last"].map(|name| node(&mut g, name));
    g.policy(part, NodePolicy::new().at_once(2));
    g.start(first);
    g.edge(first, plan.to().and(side));
    g.route(plan, SpreadEdges { parts: part.to(), nothing: To::END });
    g.join((part.optional(), side), last);
    g.end(last);
    let log = from_every_entry(&g.build().unwrap()).await;
    assert_eq!((times(&log, "part"), log.tags.len()), (6, 6), "all that was scheduled ran");
    assert_eq!((times(&log, "side"), times(&log, "last")), (1, 1));
}

/// `either` runs when `one` or `two` has: in each round of the loop anew, live and after a crash.
#[tokio::test]
async fn or_trigger_refires_in_loop() {
    let mut g = builder();
    let [first, one, two, either] = ["first", "one", "two", "either"].map(|name| node(&mut g, name));
    g.start(first);
    let odd = |log: &Log| if times(log, "first") % 2 == 1 { Fork::Left } else { Fork::Right };
    g.branch(first, odd, ForkEdges { left: one.to(), right: two.to() });
    g.edge(one, either);
    g.edge(two, either);
    g.any(either);
    let again = |log: &Log| if times(log, "either") < 3 { Fork::Left } else { Fork::Right };
    g.branch(either, again, ForkEdges { left: first.to().at_most(5), right: To::END });
    let log = from_every_entry(&g.build().unwrap()).await;
    let rounds = ["first", "one", "either", "first", "two", "either", "first", "one", "either"];
    assert_eq!(log.trace, rounds);
}

/// A loop on a thread that has a state already, under an id that the caller chose: it goes round as often as it would
/// on a thread without a past, also when it is taken up in the middle.
#[tokio::test]
async fn cyclic_run_with_persist_id_completes() {
    let mut g = builder();
    let work = g.func("work", async |ctx: Ctx<Log>| Ok(ran(&ctx).round(1u32)));
    let last = node(&mut g, "last");
    g.start(work);
    let again = |log: &Log| if log.round < 4 { Fork::Left } else { Fork::Right };
    g.branch(work, again, ForkEdges { left: work.to().at_most(3), right: last.to() });
    g.end(last);
    let graph = g.build().unwrap();
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone());
    for run in 1..=3 {
        let report = within(runner.start("t", Log::update()).id(format!("mine {run}"))).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.run.as_str(), format!("mine {run}"));
        assert_eq!((times(&report.state, "work"), times(&report.state, "last")), (4 * run, run));
    }
    let all = entries(&store);
    for length in 1..all.len() {
        let runner = graph.runner().checkpointer(crashed_after(&all[..length]).await);
        if let Ok(report) = within(runner.resume("t")).await {
            expect_finished(&report);
            let (rounds, runs) = (times(&report.state, "work"), times(&report.state, "last"));
            assert_eq!(rounds, 4 * runs, "killed after entry {length}");
        }
    }
}
