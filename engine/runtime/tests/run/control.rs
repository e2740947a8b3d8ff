//! Stopping from elsewhere: drain stops at the next safe point, cancel ends for good, and a run whose future is dropped
//! gives its thread back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use statewright_engine_runtime::*;
use tokio::sync::{Notify, Semaphore};

/// Sets its flag when it is dropped: shows that a node's future is gone.
struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// `first → stuck → last`, where `stuck` says that it was entered and then waits for the gate.
struct Stuck {
    entered: Arc<Notify>,
    gate: Arc<Semaphore>,
    dropped: Arc<Semaphore>,
    witness: Witness,
}

impl Stuck {
    fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { entered: Arc::default(), gate: closed(), dropped: closed(), witness: Witness::default() }
    }

    fn graph(&self) -> Graph<Log> {
        let mut g = builder();
        let witness = self.witness.clone();
        let first = g.func("first", move |ctx: Ctx<Log>| {
            witness.saw("first");
            async move { Ok(ran(&ctx)) }
        });
        let (entered, gate) = (Arc::clone(&self.entered), Arc::clone(&self.gate));
        let (dropped, witness) = (Arc::clone(&self.dropped), self.witness.clone());
        let stuck = g.func("stuck", move |ctx: Ctx<Log>| {
            let guard = Dropped(Arc::clone(&dropped));
            let (entered, gate, witness) = (Arc::clone(&entered), Arc::clone(&gate), witness.clone());
            async move {
                let _guard = guard;
                witness.saw("stuck");
                entered.notify_one();
                drop(gate.acquire().await.unwrap());
                witness.saw("through");
                Ok(ran(&ctx))
            }
        });
        let last = node(&mut g, "last");
        chain(&mut g, &[first, stuck, last]);
        g.build().unwrap()
    }
}

#[tokio::test]
async fn cancel_ends_a_node_that_waits_for_ever() {
    let stuck = Stuck::new();
    let store = MemoryCheckpointer::new();
    let runner = stuck.graph().runner().checkpointer(store.clone());
    let run = runner.start("t", Log::update());
    let control = run.control();
    let task = tokio::spawn(run.into_future());
    within(stuck.entered.notified()).await;
    control.cancel();
    let report = within(task).await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Cancelled, "{}", report.describe());
    assert_eq!(report.state.trace, ["first"]);
    let _ = within(stuck.dropped.acquire()).await.unwrap();
    stuck.gate.add_permits(1);
    tokio::task::yield_now().await;
    assert_eq!(stuck.witness.count("through"), 0, "the node is fenced");
    assert_eq!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Cancelled));
    assert_eq!(runner.resume("t").await.unwrap_err().code(), "SW-X202");
    let report = within(runner.start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["first", "first", "stuck", "last"]);
}

#[tokio::test]
async fn cancel_from_another_runner_ends_what_a_crash_left_open() {
    let stuck = Stuck::new();
    let store = MemoryCheckpointer::new();
    let runner = stuck.graph().runner().checkpointer(store.clone());
    let mut run = Box::pin(runner.start("t", Log::update()).into_future());
    tokio::select! {
        _ = &mut run => panic!("it is stuck"),
        () = stuck.entered.notified() => {}
    }
    assert_eq!(runner.cancel("t").await.unwrap_err().code(), "SW-S401", "it is being driven");
    drop(run);
    let report = within(runner.cancel("t")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Cancelled);
    assert_eq!(runner.cancel("t").await.unwrap_err().code(), "SW-X202");
    assert_eq!(stuck.witness.count("stuck"), 1);
}

#[tokio::test]
async fn drain_lets_running_nodes_finish_and_begins_no_others() {
    let stuck = Stuck::new();
    let store = MemoryCheckpointer::new();
    let runner = stuck.graph().runner().checkpointer(store.clone());
    let run = runner.start("t", Log::update());
    let control = run.control();
    let task = tokio::spawn(run.into_future());
    within(stuck.entered.notified()).await;
    let beside = runner.load("t").await.unwrap();
    assert_eq!((beside.status, beside.state.trace.len()), (Status::Open, 1), "looking on needs no lock");
    control.drain();
    control.drain();
    tokio::task::yield_now().await;
    assert!(!task.is_finished(), "the running node may finish");
    stuck.gate.add_permits(1);
    let report = within(task).await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Drained, "{}", report.describe());
    assert_eq!(report.state.trace, ["first", "stuck"]);
    assert_eq!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Drained));
    let elsewhere = stuck.graph().runner().checkpointer(crashed_after(&entries(&store)).await);
    let report = within(elsewhere.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["first", "stuck", "last"]);
    assert_eq!(stuck.witness.take(), ["first", "stuck", "through"]);
}

#[tokio::test]
async fn drain_before_the_first_step_leaves_a_run_that_can_be_resumed() {
    let stuck = Stuck::new();
    stuck.gate.add_permits(1);
    let store = MemoryCheckpointer::new();
    let runner = stuck.graph().runner().checkpointer(store.clone());
    let run = runner.start("t", Log::update().total(3u64));
    run.control().drain();
    let report = within(run).await.unwrap();
    assert_eq!(report.outcome, Outcome::Drained);
    assert_eq!((report.state.total, stuck.witness.take().len()), (3, 0));
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, report.state.trace.len()), (3, 3));
}

#[tokio::test]
async fn cancel_before_the_first_step_runs_nothing() {
    let stuck = Stuck::new();
    let runner = stuck.graph().runner().checkpointer(MemoryCheckpointer::new());
    let run = runner.start("t", Log::update());
    run.control().cancel();
    let report = within(run).await.unwrap();
    assert_eq!(report.outcome, Outcome::Cancelled);
    assert_eq!(stuck.witness.take().len(), 0);
}

/// What was drained and cancelled leaves nothing behind: the next run of the thread pauses and is found paused.
#[tokio::test]
async fn a_run_after_a_drained_and_cancelled_one_begins_anew() {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", "?").await;
        Ok(ran(&ctx).text(word))
    });
    chain(&mut g, &[asks]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let run = runner.start("t", Log::update());
    run.control().drain();
    assert_eq!(within(run).await.unwrap().outcome, Outcome::Drained);
    assert_eq!(within(runner.cancel("t")).await.unwrap().outcome, Outcome::Cancelled);
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(questions(&report).len(), 1);
    let found = runner.load("t").await.unwrap();
    assert!(matches!(found.status, Status::Stopped(Outcome::Paused(_))), "{:?}", found.status);
}

#[tokio::test]
async fn cancel_wins_over_a_drain_that_waits() {
    let stuck = Stuck::new();
    let runner = stuck.graph().runner();
    let run = runner.start("t", Log::update());
    let control = run.control();
    let task = tokio::spawn(run.into_future());
    within(stuck.entered.notified()).await;
    control.drain();
    tokio::task::yield_now().await;
    control.cancel();
    assert_eq!(within(task).await.unwrap().unwrap().outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_request_after_the_end_changes_nothing() {
    let stuck = Stuck::new();
    stuck.gate.add_permits(1);
    let runner = stuck.graph().runner().checkpointer(MemoryCheckpointer::new());
    let run = runner.start("t", Log::update());
    let control = run.control();
    expect_finished(&within(run).await.unwrap());
    control.cancel();
    control.drain();
    assert_eq!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Finished));
    expect_finished(&within(runner.start("t", Log::update())).await.unwrap());
}

#[tokio::test]
async fn a_dropped_run_gives_its_thread_back_and_can_be_resumed() {
    let stuck = Stuck::new();
    let store = MemoryCheckpointer::new();
    let runner = stuck.graph().runner().checkpointer(store.clone());
    let mut run = Box::pin(runner.start("t", Log::update()).into_future());
    tokio::select! {
        _ = &mut run => panic!("it is stuck"),
        () = stuck.entered.notified() => {}
    }
    drop(run);
    let _ = within(stuck.dropped.acquire()).await.unwrap();
    assert_eq!(runner.load("t").await.unwrap().status, Status::Open);
    stuck.gate.add_permits(1);
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["first", "stuck", "last"]);
    assert_eq!(stuck.witness.take(), ["first", "stuck", "stuck", "through"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_run_on_several_threads_leaves_nothing_running() {
    let stuck = Stuck::new();
    let runner = stuck.graph().runner().checkpointer(MemoryCheckpointer::new());
    let task = tokio::spawn(runner.start("t", Log::update()).into_future());
    within(stuck.entered.notified()).await;
    task.abort();
    assert!(within(task).await.unwrap_err().is_cancelled());
    let _ = within(stuck.dropped.acquire()).await.unwrap();
    stuck.gate.add_permits(1);
    expect_finished(&within(runner.resume("t")).await.unwrap());
    assert_eq!(stuck.witness.count("through"), 1);
}

#[tokio::test]
async fn a_run_that_is_never_awaited_does_nothing() {
    let stuck = Stuck::new();
    let store = MemoryCheckpointer::new();
    let runner = stuck.graph().runner().checkpointer(store.clone());
    let mut run = runner.start("t", Log::update());
    let _ = (run.events(), run.control());
    drop(run);
    assert_eq!((entries(&store).len(), stuck.witness.take().len()), (0, 0));
}

#[tokio::test]
async fn a_sibling_that_finished_before_a_cancel_is_not_merged() {
    let finished = Arc::new(AtomicBool::new(false));
    let entered = Arc::new(Notify::new());
    let mut g = builder();
    let a = node(&mut g, "a");
    let (flag, told) = (Arc::clone(&finished), Arc::clone(&entered));
    let quick = g.func("quick", move |ctx: Ctx<Log>| {
        flag.store(true, Ordering::SeqCst);
        told.notify_one();
        async move { Ok(ran(&ctx).total(1u64)) }
    });
    let slow = g.func("slow", async |ctx: Ctx<Log>| {
        std::future::pending::<()>().await;
        Ok(ran(&ctx))
    });
    let last = node(&mut g, "last");
    g.start(a);
    g.edge(a, quick);
    g.edge(a, slow);
    g.join((quick, slow), last);
    g.end(last);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let run = runner.start("t", Log::update());
    let control = run.control();
    let task = tokio::spawn(run.into_future());
    within(entered.notified()).await;
    control.cancel();
    let report = within(task).await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Cancelled);
    assert_eq!((report.state.trace.as_slice(), report.state.total), (&["a".to_owned()][..], 0));
    assert_eq!(runner.load("t").await.unwrap().state, report.state);
    assert!(finished.load(Ordering::SeqCst));
}
