//! Quorums that wait for a limited time.

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// A clock that goes with the paused one of the test.
fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || 1_000 + began.elapsed().as_millis() as u64)
}

/// A node that takes so many seconds, and tells the witness when it began and when it ended.
fn slow(g: &mut Builder, name: &'static str, seconds: u32, witness: &Witness) -> Handle {
    let witness = witness.clone();
    g.func(name, move |ctx: Ctx<Log>| {
        let witness = witness.clone();
        async move {
            witness.saw(format!("{name} begins"));
            sleep(seconds * SECOND).await;
            witness.saw(format!("{name} ends"));
            Ok(ran(&ctx))
        }
    })
}

/// `first`, then `a` at once, `b` after `b` seconds and `c` after an hour by two steps; two of them lead to `target` within
/// ten seconds. Beside them `aside` runs for so many seconds and leads to END.
fn racing(b: u32, aside: Option<u32>, fails: bool, witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let first = node(&mut g, "first");
    let [a, c0] = ["a", "c0"].map(|name| node(&mut g, name));
    // A step of its own, so that the token of `a` waits before the others run.
    let b0 = node(&mut g, "b0");
    let b = slow(&mut g, "b", b, witness);
    let c = slow(&mut g, "c", 3_600, witness);
    let target = node(&mut g, "target");
    g.start(first);
    g.edge(first, a.to().and(b0).and(c0));
    g.edge(b0, b);
    g.edge(c0, c);
    let quorum = g.quorum(2, [a, b, c], target).within(10 * SECOND);
    if fails {
        quorum.or_fail();
    }
    if let Some(seconds) = aside {
        let aside = slow(&mut g, "aside", seconds, witness);
        g.edge(b0, aside);
        g.end(aside);
    }
    g.end(target);
    g.build().unwrap()
}

fn abandoned(store: &MemoryCheckpointer) -> usize {
    let of = |body: Body| if let Body::Abandoned { indexes } = body { indexes.len() } else { 0 };
    records(&entries(store)).into_iter().map(of).sum()
}

#[tokio::test(start_paused = true)]
async fn when_its_time_is_over_a_quorum_runs_with_what_came_and_the_rest_is_abandoned() {
    let (began, witness, store) = (Instant::now(), Witness::default(), MemoryCheckpointer::new());
    let runner = racing(60, None, false, &witness).runner().checkpointer(store.clone()).clock(clock());
    let state = runner.start("t", Log::update()).await.unwrap().finished().unwrap();
    assert_eq!(state.trace.join(" "), "first a c0 b0 target");
    assert_eq!(began.elapsed().as_secs(), 10, "counted from when the token of `a` waited");
    assert_eq!(abandoned(&store), 2);
    assert_eq!(witness.take(), ["b begins", "c begins"], "their futures were dropped");
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_time_counts_as_ever() {
    let (began, witness, store) = (Instant::now(), Witness::default(), MemoryCheckpointer::new());
    let runner = racing(5, None, false, &witness).runner().checkpointer(store.clone()).clock(clock());
    let state = runner.start("t", Log::update()).await.unwrap().finished().unwrap();
    // The superstep is a barrier: without the limit `c` would hold the quorum for an hour although two have come.
    assert_eq!(state.trace.join(" "), "first a c0 b0 b target");
    assert_eq!((began.elapsed().as_secs(), abandoned(&store)), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn who_is_awaited_elsewhere_goes_on_and_holds_the_quorum_with_it() {
    let (began, witness, store) = (Instant::now(), Witness::default(), MemoryCheckpointer::new());
    let runner = racing(20, Some(30), false, &witness).runner().checkpointer(store.clone()).clock(clock());
    let state = runner.start("t", Log::update()).await.unwrap().finished().unwrap();
    assert_eq!(began.elapsed().as_secs(), 30, "`aside` leads to END, so its superstep has to end");
    assert_eq!(abandoned(&store), 1, "`b` came meanwhile, `c` did not");
    assert_eq!(state.trace.join(" "), "first a c0 b0 b aside target");
}

#[tokio::test(start_paused = true)]
async fn a_quorum_that_must_have_enough_fails_the_run_and_waits_anew_on_resume() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let graph = racing(15, None, true, &witness);
    let runner = graph.runner().checkpointer(store.clone()).clock(clock());
    let report = runner.start("t", Log::update()).await.unwrap();
    let (node, failure) = failure(&report, &graph);
    assert_eq!((node, failure.code.as_str()), (None, "SW-X272"));
    assert_eq!(failure.message, "only 1 of 3 came to `target` within 10000 ms, and it needs 2");
    // A build in which `b` is faster.
    let runner = racing(5, None, true, &witness).runner().checkpointer(store).clock(clock());
    let report = runner.resume("t").await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace.join(" "), "first a c0 b0 b target");
}

#[tokio::test(start_paused = true)]
async fn time_that_nobody_drove_counts_and_the_next_drive_runs_what_is_awaited_no_more_not_again() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let clock = clock();
    let runner =
        || racing(60, None, false, &witness).runner().checkpointer(store.clone()).clock(clock.clone());
    let run = runner().start("t", Log::update());
    assert!(tokio::time::timeout(5 * SECOND, run.into_future()).await.is_err(), "dropped in the middle");
    assert_eq!(witness.take(), ["b begins", "c begins"]);
    sleep(20 * SECOND).await;
    let state = runner().resume("t").await.unwrap().finished().unwrap();
    assert_eq!(state.trace.join(" "), "first a c0 b0 target");
    assert!(witness.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn killed_after_any_entry_a_quorum_whose_time_was_over_ends_the_same_way() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let runner = |store| racing(60, None, false, &witness).runner().checkpointer(store).clock(clock());
    let whole = runner(store.clone()).start("t", Log::update()).await.unwrap().state;
    let entries = entries(&store);
    for cut in 1..entries.len() {
        let store = crashed_after(&entries[..cut]).await;
        assert_eq!(runner(store).resume("t").await.unwrap().state, whole, "after {cut} entries");
    }
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_has_begun_is_seen_to_its_end() {
    let (began, store) = (Instant::now(), MemoryCheckpointer::new());
    let mut g = builder();
    let [first, a, b0, target] = ["first", "a", "b0", "target"].map(|name| node(&mut g, name));
    let b = g.func("b", async |ctx: Ctx<Log>| {
        let work = |_: String| async {
            sleep(20 * SECOND).await;
            Ok(7u64)
        };
        let paid = ctx.effect("pay").run(work).await?;
        sleep(20 * SECOND).await;
        Ok(ran(&ctx).total(paid))
    });
    g.start(first);
    g.edge(first, a.to().and(b0));
    g.edge(b0, b);
    g.quorum(2, [a, b], target).within(10 * SECOND);
    g.end(target);
    let runner = g.build().unwrap().runner().checkpointer(store.clone()).clock(clock());
    let state = runner.start("t", Log::update()).await.unwrap().finished().unwrap();
    assert_eq!(state.trace.join(" "), "first a b0 target");
    assert_eq!(
        (began.elapsed().as_secs(), abandoned(&store)),
        (20, 1),
        "and what followed it was not waited for"
    );
}
