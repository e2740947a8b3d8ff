//! Joins of every kind: none starves, none runs twice in a round, and a crash changes nothing.

use crate::support::*;
use statewright_engine_runtime::*;

/// How often a node ran, by the trace.
fn times(log: &Log, name: &str) -> usize {
    log.trace.iter().filter(|node| *node == name).count()
}

/// Runs the graph with a store; then once more from every prefix of its journal, and expects the same trace.
async fn trace(graph: &Graph<Log>) -> Log {
    let store = MemoryCheckpointer::new();
    let report = graph.runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap();
    expect_finished(&report);
    let all = entries(&store);
    for length in 1..all.len() {
        let crashed = crashed_after(&all[..length]).await;
        let resumed = graph.runner().checkpointer(crashed).resume("t").await;
        match resumed {
            Ok(resumed) => assert_eq!(resumed.state, report.state, "killed after entry {length}"),
            // What is left is the snapshot of a run that is over.
            Err(error) => assert_eq!(error.code(), "SW-X202", "killed after entry {length}: {error}"),
        }
    }
    (*report.state).clone()
}

/// `first` leads to `certain`, and by a branch on `text` to `maybe` or past it; both are joined at `last`.
fn partial() -> Graph<Log> {
    let mut g = builder();
    let [first, certain, maybe, last] = ["first", "certain", "maybe", "last"].map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, certain);
    g.branch(
        first,
        |log: &Log| if log.text == "both" { Fork::Left } else { Fork::Right },
        ForkEdges { left: maybe.to(), right: To::END },
    );
    g.join((certain, maybe.optional()), last);
    g.end(last);
    g.build().unwrap()
}

#[tokio::test]
async fn join_with_untaken_branch() {
    let log = trace(&partial()).await;
    assert_eq!(log.trace, ["first", "certain", "last"]);
}

#[tokio::test]
async fn join_waits_for_an_optional_source_that_runs() {
    let report = partial().run(Log::update().text("both")).await.unwrap();
    assert_eq!(report.trace, ["first", "certain", "maybe", "last"]);
}

/// The branch that leaves a source out is decided long after the other source has come.
#[tokio::test]
async fn conditional_false_edge_with_second_parent() {
    let mut g = builder();
    let [first, quick, slow, slower, maybe, last] =
        ["first", "quick", "slow", "slower", "maybe", "last"].map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, quick.to().and(slow));
    g.edge(slow, slower);
    g.branch(slower, |_: &Log| Fork::Right, ForkEdges { left: maybe.to(), right: To::END });
    g.join((quick, maybe.optional()), last);
    g.end(last);
    let log = trace(&g.build().unwrap()).await;
    assert_eq!(log.trace, ["first", "quick", "slow", "slower", "last"]);
}

#[tokio::test]
async fn join_second_loop_epoch() {
    let mut g = builder();
    let [first, one, two, both] = ["first", "one", "two", "both"].map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, one.to().and(two));
    g.join((one, two), both);
    g.branch(
        both,
        |log: &Log| if times(log, "both") < 3 { Fork::Left } else { Fork::Right },
        ForkEdges { left: first.to().at_most(5), right: To::END },
    );
    let log = trace(&g.build().unwrap()).await;
    assert_eq!(["one", "two", "both"].map(|name| times(&log, name)), [3, 3, 3]);
}

/// One arm pauses while the other has arrived; another process answers. Where the answer leads past the join, the token
/// that waits is the only one it has, so that the join shows whether it was kept.
#[tokio::test]
async fn join_buffer_survives_checkpoint() {
    for answer in ["on", "past"] {
        let mut g = builder();
        let [first, quick, before, more, both] =
            ["first", "quick", "before", "more", "both"].map(|name| node(&mut g, name));
        let asks = g.func("asks", async |ctx: Ctx<Log>| {
            let word: String = ctx.ask("word", "?").await;
            Ok(ran(&ctx).text(word))
        });
        g.start(first);
        g.edge(first, quick.to().and(before));
        g.edge(before, asks);
        let on = |log: &Log| if log.text == "on" { Fork::Left } else { Fork::Right };
        g.branch(asks, on, ForkEdges { left: more.to(), right: To::END });
        g.join((quick, more.optional()), both);
        g.end(both);
        let graph = g.build().unwrap();
        let store = MemoryCheckpointer::new();
        let paused = graph.runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap();
        let question = questions(&paused).remove(0);
        let elsewhere = crashed_after(&entries(&store)).await;
        let runner = graph.runner().checkpointer(elsewhere);
        let report = runner.answer("t", &question.id, answer).await.unwrap();
        expect_finished(&report);
        let mut expected = vec!["first", "quick", "before", "asks", "both"];
        if answer == "on" {
            expected.insert(4, "more");
        }
        assert_eq!(report.state.trace, expected);
    }
}

#[tokio::test]
async fn join_is_and_by_default_and_on_resume() {
    let mut g = builder();
    // The one that fails comes a superstep later, so that its join has one of two by then.
    let [first, sound, slow] = ["first", "sound", "slow"].map(|name| node(&mut g, name));
    let witness = Witness::default();
    let seen = witness.clone();
    let both = g.func("both", move |ctx: Ctx<Log>| {
        seen.saw("both");
        async move { Ok(ran(&ctx)) }
    });
    let seen = witness.clone();
    let fails_once = g.func("fails_once", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            seen.saw("tried");
            if seen.count("tried") == 1 { Err(NodeError::transient("not yet")) } else { Ok(ran(&ctx)) }
        }
    });
    g.start(first);
    g.edge(first, sound.to().and(slow));
    g.edge(slow, fails_once);
    g.join((sound, fails_once), both);
    g.end(both);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let failed = runner.start("t", Log::update()).await.unwrap();
    assert!(matches!(failed.outcome, Outcome::Failed(_)));
    assert_eq!(witness.count("both"), 0, "a join does not run on one of two");
    let report = runner.resume("t").await.unwrap();
    expect_finished(&report);
    assert_eq!(["sound", "fails_once", "both"].map(|name| times(&report.state, name)), [1, 1, 1]);
}

/// Three arms of one, two and three nodes.
fn arms(needed: u32) -> Graph<Log> {
    let mut g = builder();
    let names = ["first", "short", "middle", "middle2", "long", "long2", "long3", "last"];
    let [first, short, middle, middle2, long, long2, long3, last] = names.map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, short.to().and(middle).and(long));
    g.edge(middle, middle2);
    g.edge(long, long2);
    g.edge(long2, long3);
    g.quorum(needed, (short, middle2, long3), last);
    g.branch(
        last,
        |log: &Log| if times(log, "last") < 2 { Fork::Left } else { Fork::Right },
        ForkEdges { left: first.to().at_most(3), right: To::END },
    );
    g.build().unwrap()
}

#[tokio::test]
async fn a_quorum_runs_once_a_round_and_what_comes_late_is_dropped() {
    for needed in 1..=3 {
        let log = trace(&arms(needed)).await;
        assert_eq!(times(&log, "last"), 2, "{needed} of 3: {:?}", log.trace);
        // Nobody is cut off: the arms that were not needed run to their end.
        assert_eq!(times(&log, "long3"), 2, "{needed} of 3: {:?}", log.trace);
    }
}

/// A source that was owed and then left out by a branch owes nothing in the next round.
#[tokio::test]
async fn a_source_that_is_left_out_after_its_quorum_owes_nothing() {
    let mut g = builder();
    let names = ["first", "quick", "slow", "slower", "maybe", "last", "again"];
    let [first, quick, slow, slower, maybe, last, again] = names.map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, quick.to().and(slow));
    g.edge(slow, slower);
    g.any(slower);
    g.branch(
        slower,
        |log: &Log| if times(log, "slower") == 1 { Fork::Right } else { Fork::Left },
        ForkEdges { left: maybe.to(), right: To::END },
    );
    g.quorum(1, (quick.optional(), maybe.optional()), last);
    g.edge(last, again);
    g.branch(
        again,
        |log: &Log| if times(log, "last") < 2 { Fork::Left } else { Fork::Right },
        ForkEdges { left: slower.to().at_most(1), right: To::END },
    );
    let log = trace(&g.build().unwrap()).await;
    // The second round begins at `slower`, and its only token is that of `maybe`: were it still owed, it would be dropped.
    assert_eq!(times(&log, "last"), 2, "{:?}", log.trace);
}

/// Both edges of a circle are bounded, and the one that leads back is declared first.
#[tokio::test]
async fn of_two_bounded_edges_the_one_against_the_way_from_start_leads_back() {
    let mut g = builder();
    let [second, first, begin, other, done, last] =
        ["second", "first", "begin", "other", "done", "last"].map(|name| node(&mut g, name));
    g.start(begin);
    g.edge(begin, first.to().and(other));
    g.edge(first, second.to().at_most(3));
    g.any(first);
    g.branch(
        second,
        |log: &Log| if times(log, "second") < 2 { Fork::Left } else { Fork::Right },
        ForkEdges { left: first.to().at_most(3), right: done.to() },
    );
    g.join((done.optional(), other), last);
    g.end(last);
    let log = trace(&g.build().unwrap()).await;
    assert_eq!(log.trace, ["begin", "first", "other", "second", "first", "second", "done", "last"]);
}

#[tokio::test]
async fn a_deferred_node_runs_once_after_all_that_lead_to_it() {
    let mut g = builder();
    let [first, short, long, longer, last] =
        ["first", "short", "long", "longer", "last"].map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, short.to().and(long));
    g.edge(long, longer);
    g.edge(short, last);
    g.edge(longer, last);
    g.deferred(last);
    g.end(last);
    let log = trace(&g.build().unwrap()).await;
    assert_eq!(log.trace, ["first", "short", "long", "longer", "last"]);
}

/// Workers of a fan-out that take ways of different lengths, gathered by a deferred node.
#[tokio::test]
async fn a_deferred_node_gathers_a_fan_out_whose_workers_differ() {
    let mut g = builder();
    let plan = g.func("plan", async |ctx: Ctx<Log>| Ok((ran(&ctx), Spread::Parts(vec![0, 1, 2]))));
    let work = g.func("work", async |ctx: Ctx<Log, u32>| {
        let fork = if ctx.input == 0 { Fork::Left } else { Fork::Right };
        Ok((ran(&ctx), fork))
    });
    let [detour, last] = ["detour", "last"].map(|name| node(&mut g, name));
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.route(work, ForkEdges { left: detour.to(), right: last.to() });
    g.edge(detour, last);
    g.deferred(last);
    g.end(last);
    let log = trace(&g.build().unwrap()).await;
    assert_eq!(log.trace, ["plan", "work", "work", "work", "detour", "last"]);
}

/// As a loop over an empty list goes on behind the loop.
#[tokio::test]
async fn a_fan_out_of_nothing_goes_on_behind_its_target() {
    let mut g = builder();
    let plan = g.func("plan", async |ctx: Ctx<Log>| Ok((ran(&ctx), Spread::Parts(Vec::new()))));
    let work = g.func("work", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx)));
    let [gather, other, last] = ["gather", "other", "last"].map(|name| node(&mut g, name));
    g.start(plan);
    g.start(other);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.edge(work, gather);
    g.join((gather, other), last);
    g.end(last);
    let problems = g.build();
    // The variant `Nothing` leads past `gather`, so the join says so.
    assert_eq!(problems.unwrap_err().code(), "SW-G111");
}

#[tokio::test]
async fn a_fan_out_of_nothing_reaches_the_join_behind_it() {
    let mut g = builder();
    let plan = g.func("plan", async |ctx: Ctx<Log>| Ok((ran(&ctx), Spread::Parts(Vec::new()))));
    let work = g.func("work", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx)));
    let [gather, other, last] = ["gather", "other", "last"].map(|name| node(&mut g, name));
    g.start(plan);
    g.start(other);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: gather.to() });
    g.edge(work, gather);
    g.join((gather, other), last);
    g.end(last);
    let log = trace(&g.build().unwrap()).await;
    assert_eq!(log.trace, ["plan", "other", "gather", "last"]);
}
