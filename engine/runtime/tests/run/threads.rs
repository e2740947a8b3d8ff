//! One thread has one driver and one open run; a new start on a finished thread goes on from its state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use futures_util::stream::{FuturesUnordered, StreamExt};
use statewright_engine_runtime::*;
use tokio::sync::Semaphore;

/// A node that waits for the gate and counts how often it was entered.
fn gated(gate: &Arc<Semaphore>, witness: &Witness) -> Graph<Log> {
    let (gate, witness) = (Arc::clone(gate), witness.clone());
    let mut g = builder();
    let waits = g.func("waits", move |ctx: Ctx<Log>| {
        let (gate, witness) = (Arc::clone(&gate), witness.clone());
        async move {
            witness.saw("entered");
            drop(gate.acquire().await.unwrap());
            Ok(ran(&ctx).total(1u64))
        }
    });
    chain(&mut g, &[waits]);
    g.build().unwrap()
}

async fn one_winner(
    runners: Vec<Runner<Log>>,
    gate: &Semaphore,
    witness: &Witness,
    store: &MemoryCheckpointer,
) {
    let mut runs: FuturesUnordered<_> =
        runners.iter().map(|runner| runner.start("t", Log::update()).into_future()).collect();
    for _ in 1..runners.len() {
        let error = within(runs.next()).await.unwrap().unwrap_err();
        assert!(["SW-S401", "SW-X201"].contains(&error.code()), "{} {error}", error.code());
        assert!(error.to_string().contains("thread"), "{error}");
    }
    assert!(witness.count("entered") <= 1, "the losers ran nothing");
    gate.add_permits(1);
    let report = within(runs.next()).await.unwrap().unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, witness.count("entered"), finished(&entries(store))), (1, 1, 1));
}

#[tokio::test]
async fn of_four_runs_on_one_thread_one_wins_and_the_others_get_a_typed_conflict() {
    let (gate, witness, store) = (Arc::new(Semaphore::new(0)), Witness::default(), MemoryCheckpointer::new());
    let runner = gated(&gate, &witness).runner().checkpointer(store.clone());
    one_winner(vec![runner; 4], &gate, &witness, &store).await;
}

#[tokio::test]
async fn of_four_runners_on_one_store_one_wins_too() {
    let (gate, witness, store) = (Arc::new(Semaphore::new(0)), Witness::default(), MemoryCheckpointer::new());
    let runners = (0..4).map(|_| gated(&gate, &witness).runner().checkpointer(store.clone())).collect();
    one_winner(runners, &gate, &witness, &store).await;
}

#[tokio::test]
async fn different_threads_do_not_wait_for_each_other() {
    let (gate, witness) = (Arc::new(Semaphore::new(0)), Witness::default());
    let runner = gated(&gate, &witness).runner().checkpointer(MemoryCheckpointer::new());
    let mut runs: FuturesUnordered<_> =
        (0..50).map(|index| runner.start(format!("t{index}"), Log::update()).into_future()).collect();
    let all = async { while runs.next().await.transpose().unwrap().is_some() {} };
    let opens = async {
        while witness.count("entered") < 50 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
    };
    within(async { tokio::join!(all, opens) }).await;
    assert_eq!(witness.count("entered"), 50);
}

#[tokio::test]
async fn a_start_on_an_open_thread_is_refused_and_names_the_open_run() {
    let broken = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&broken);
    let mut g = builder();
    let flaky = g.func("flaky", move |ctx: Ctx<Log>| {
        let broken = flag.load(Ordering::SeqCst);
        async move { if broken { Err(NodeError::transient("not yet")) } else { Ok(ran(&ctx)) } }
    });
    chain(&mut g, &[flaky]);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    runner.start("t", Log::update()).id("first").await.unwrap();
    let before = entries(&store);
    let error = runner.start("t", Log::update().total(9u64)).await.unwrap_err();
    assert_eq!(error.code(), "SW-X201");
    assert!(error.to_string().contains("first"), "{error}");
    assert_eq!(entries(&store), before, "nothing is stored of what was refused");
    broken.store(false, Ordering::SeqCst);
    let report = runner.resume("t").await.unwrap();
    expect_finished(&report);
    assert_eq!((report.run, report.state.total), (RunId::new("first"), 0));
}

#[tokio::test]
async fn a_new_start_folds_its_input_through_the_reducers() {
    let mut g = builder();
    let only = node(&mut g, "only");
    chain(&mut g, &[only]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    for run in 1..=3usize {
        let input =
            Log::update().trace(format!("in {run}")).text(format!("text {run}")).total(10u64).most(7u32);
        let report = runner.start("t", input).await.unwrap();
        expect_finished(&report);
        let expected: Vec<String> =
            (1..=run).flat_map(|run| [format!("in {run}"), "only".to_owned()]).collect();
        assert_eq!(report.state.trace, expected);
        assert_eq!(
            (report.state.text.clone(), report.state.total, report.state.most),
            (format!("text {run}"), 10 * run as u64, 7)
        );
    }
}

#[tokio::test]
async fn nothing_of_a_failed_run_appears_in_what_was_saved() {
    let broken = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&broken);
    let mut g = builder();
    let writes = g.func("writes", async |ctx: Ctx<Log>| Ok(ran(&ctx).total(1u64)));
    let flaky = g.func("flaky", move |ctx: Ctx<Log>| {
        let broken = flag.load(Ordering::SeqCst);
        async move { if broken { Err(NodeError::permanent("broken")) } else { Ok(ran(&ctx)) } }
    });
    g.start(writes);
    g.start(flaky);
    g.end(writes);
    g.end(flaky);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let good = runner.start("t", Log::update()).await.unwrap();
    expect_finished(&good);
    let saved = (*good.state).clone();
    broken.store(true, Ordering::SeqCst);
    let bad = runner.start("t", Log::update()).await.unwrap();
    assert!(matches!(bad.outcome, Outcome::Failed(_)));
    assert_eq!((&*bad.state, &*good.state), (&saved, &saved));
    assert_eq!(*runner.load("t").await.unwrap().state, saved);
    runner.cancel("t").await.unwrap();
    assert_eq!(*runner.load("t").await.unwrap().state, saved);
    broken.store(false, Ordering::SeqCst);
    let again = runner.start("t", Log::update()).await.unwrap();
    assert_eq!((again.state.total, again.state.trace.len()), (2, 4));
    assert_eq!(*good.state, saved, "a state that was handed out never changes");
}

#[tokio::test]
async fn a_finished_thread_has_nothing_to_resume_and_says_so() {
    let mut g = builder();
    let only = node(&mut g, "only");
    chain(&mut g, &[only]);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    assert_eq!(runner.resume("t").await.unwrap_err().code(), "SW-X202");
    assert_eq!(runner.load("t").await.unwrap().status, Status::Empty);
    runner.start("t", Log::update()).await.unwrap();
    let before = entries(&store);
    for _ in 0..2 {
        let error = runner.resume("t").await.unwrap_err();
        assert!(error.code() == "SW-X202" && error.to_string().contains("finished"), "{error}");
    }
    assert_eq!(entries(&store), before);
    let loaded = runner.load("t").await.unwrap();
    assert_eq!((loaded.status, loaded.state.trace.len()), (Status::Stopped(Outcome::Finished), 1));
}

#[tokio::test]
async fn a_run_is_named_by_the_caller_or_gets_a_name_of_its_own() {
    let mut g = builder();
    let only = g.func("only", async |ctx: Ctx<Log>| {
        Ok(Log::update().text(format!("{} {}", ctx.thread(), ctx.run())))
    });
    chain(&mut g, &[only]);
    let runner = g.build().unwrap().runner();
    let named = runner.start("t", Log::update()).id("mine").await.unwrap();
    assert_eq!((named.run.as_str(), named.state.text.as_str()), ("mine", "t mine"));
    let (one, two) =
        (runner.start("t", Log::update()).await.unwrap(), runner.start("t", Log::update()).await.unwrap());
    assert_ne!(one.run, two.run);
}
