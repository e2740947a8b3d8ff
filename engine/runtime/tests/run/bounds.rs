//! Bounds are exact, used up with a resumable outcome and never with a silent success.

use crate::support::*;
use statewright_engine_runtime::*;

/// A node that goes back to itself until it ran `wanted` times, over an edge bounded by `bound`.
fn rounds(wanted: usize, bound: u32) -> Graph<Log> {
    let mut g = builder();
    let work = node(&mut g, "work");
    let last = node(&mut g, "last");
    g.start(work);
    let again = move |state: &Log| if state.trace.len() < wanted { Fork::Left } else { Fork::Right };
    g.branch(work, again, ForkEdges { left: work.to().at_most(bound), right: last.to() });
    g.end(last);
    g.build().unwrap()
}

#[tokio::test]
async fn a_chain_needs_no_bound() {
    let mut g = builder();
    let nodes = ["a", "b", "c"].map(|name| node(&mut g, name));
    chain(&mut g, &nodes);
    assert_eq!(g.build().unwrap().run(Log::update()).await.unwrap().trace, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_loop_that_needs_exactly_its_bound_finishes() {
    for bound in [1, 2, 7] {
        let report = rounds(bound as usize + 1, bound).runner().start("t", Log::update()).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.trace.len(), bound as usize + 2);
    }
}

#[tokio::test]
async fn a_loop_that_needs_one_more_is_exhausted_and_never_a_success() {
    let graph = rounds(4, 2);
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    let Outcome::Exhausted(edge) = report.outcome else { panic!("{}", report.describe()) };
    assert_eq!(report.state.trace, ["work", "work", "work"]);
    let words = graph.plan().describe_edge(edge);
    assert!(words.contains("work") && words.contains("Left"), "{words}");
    assert!(report.describe().contains("work"), "{}", report.describe());
    let error = report.finished().unwrap_err();
    assert_eq!(error.code(), "SW-X208", "{error}");
    let error = graph.run(Log::update()).await.unwrap_err();
    assert_eq!(error.code(), "SW-X208", "{error}");
}

#[tokio::test]
async fn resuming_an_exhausted_run_grants_the_bound_anew() {
    let store = MemoryCheckpointer::new();
    let runner = rounds(8, 2).runner().checkpointer(store.clone());
    let mut report = runner.start("t", Log::update()).await.unwrap();
    for ran in [3, 5, 7] {
        assert!(matches!(report.outcome, Outcome::Exhausted(_)), "{}", report.describe());
        assert_eq!(report.state.trace.len(), ran);
        let loaded = runner.load("t").await.unwrap();
        assert_eq!(loaded.status, Status::Stopped(report.outcome.clone()));
        let elsewhere = rounds(8, 2).runner().checkpointer(crashed_after(&entries(&store)).await);
        let there = elsewhere.resume("t").await.unwrap();
        report = runner.resume("t").await.unwrap();
        assert_eq!((there.outcome, there.state), (report.outcome.clone(), report.state.clone()));
    }
    expect_finished(&report);
    assert_eq!(report.state.trace.len(), 9);
}

#[tokio::test]
async fn a_new_run_begins_with_fresh_bounds() {
    let runner = rounds(3, 2).runner().checkpointer(MemoryCheckpointer::new());
    expect_finished(&runner.start("t", Log::update()).await.unwrap());
    let mut g = builder();
    let work = node(&mut g, "work");
    let last = node(&mut g, "last");
    g.start(work);
    let again = |state: &Log| if state.trace.len() % 4 < 3 { Fork::Left } else { Fork::Right };
    g.branch(work, again, ForkEdges { left: work.to().at_most(2), right: last.to() });
    g.end(last);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    for round in 1..=3 {
        let report = runner.start("t", Log::update()).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.trace.len(), round * 4);
    }
}

#[tokio::test]
async fn raising_a_bound_does_not_lock_a_stored_run_out() {
    let store = MemoryCheckpointer::new();
    let report = rounds(6, 2).runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Exhausted(_)));
    let report = rounds(6, 50).runner().checkpointer(store).resume("t").await.unwrap();
    expect_finished(&report);
}

#[tokio::test]
async fn a_fan_out_of_nothing_round_a_loop_counts_as_a_way_round() {
    let mut g = builder();
    let part = g.func("part", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx)));
    let plan = node(&mut g, "plan");
    g.start(plan);
    g.any(plan);
    g.edge(part, plan);
    let parts = |log: &Log| if log.text.is_empty() { Spread::Parts(Vec::new()) } else { Spread::Nothing };
    g.branch(plan, parts, SpreadEdges { parts: part.to().at_most(3), nothing: To::END });
    let report = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Exhausted(_)), "{}", report.describe());
    assert_eq!(report.state.trace, ["plan"; 4]);
}
