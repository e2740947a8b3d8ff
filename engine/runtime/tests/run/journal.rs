//! The journal has one record for each finished activation, on every door by which a run can be entered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use statewright_engine_runtime::*;

/// `plan` fans out three parts, one of which may fail; then a question, then the end: 6 activations.
fn graph(broken: &Arc<AtomicBool>, witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let seen = witness.clone();
    let plan = g.func("plan", move |ctx: Ctx<Log>| {
        seen.saw("done");
        async move { Ok((ran(&ctx), Spread::Parts(vec![1, 2, 3]))) }
    });
    let (broken, seen) = (Arc::clone(broken), witness.clone());
    let work = g.func("work", move |ctx: Ctx<Log, u32>| {
        let (broken, seen) = (Arc::clone(&broken), seen.clone());
        async move {
            if ctx.input == 2 && broken.load(Ordering::SeqCst) {
                return Err(NodeError::permanent("broken"));
            }
            seen.saw("done");
            // Writes nothing: it is recorded all the same.
            Ok(Log::update())
        }
    });
    let seen = witness.clone();
    let asks = g.func("asks", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            let word: String = ctx.ask("word", "?").await;
            seen.saw("done");
            Ok(ran(&ctx).text(word))
        }
    });
    let seen = witness.clone();
    let last = g.func("last", move |ctx: Ctx<Log>| {
        seen.saw("done");
        async move { Ok(ran(&ctx)) }
    });
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: asks.to() });
    g.edge(work, asks);
    g.edge(asks, last);
    g.end(last);
    g.build().unwrap()
}

#[tokio::test]
async fn rows_are_activations_after_a_start_a_resume_and_an_answer() {
    let (broken, witness) = (Arc::new(AtomicBool::new(true)), Witness::default());
    let store = MemoryCheckpointer::new();
    let runner = graph(&broken, &witness).runner().checkpointer(store.clone());
    let rows = || (finished(&entries(&store)), witness.count("done"));
    runner.start("t", Log::update()).await.unwrap();
    assert_eq!(rows(), (3, 3));
    broken.store(false, Ordering::SeqCst);
    let paused = runner.resume("t").await.unwrap();
    assert_eq!(rows(), (4, 4));
    let report = runner.answer("t", questions(&paused)[0].id.clone(), &"yes").await.unwrap();
    expect_finished(&report);
    assert_eq!(rows(), (6, 6));
    let paused = runner.start("t", Log::update()).await.unwrap();
    assert_eq!(rows(), (10, 10));
    runner.cancel("t").await.unwrap();
    assert_eq!(rows(), (10, 10));
    let _ = paused;
}

#[tokio::test]
async fn rows_are_activations_by_a_shared_store_and_while_somebody_watches() {
    let (broken, witness) = (Arc::new(AtomicBool::new(false)), Witness::default());
    let store = MemoryCheckpointer::new();
    let shared: Arc<dyn Checkpointer> = Arc::new(store.clone());
    let runner = Runner::new(graph(&broken, &witness)).shared_checkpointer(shared);
    let mut run = runner.start("t", Log::update()).with_updates().id("mine");
    let mut events = run.events();
    let report = run.await.unwrap();
    assert_eq!(report.run, RunId::new("mine"));
    assert_eq!((finished(&entries(&store)), witness.count("done")), (4, 4));
    let mut updates = 0;
    while let Some(event) = events.next().await {
        updates += usize::from(matches!(event, RunEvent::NodeFinished { update: Some(_), .. }));
    }
    assert!(updates >= 1, "events carry the updates");
}

#[tokio::test]
async fn positions_count_from_one_without_gaps() {
    let (broken, witness) = (Arc::new(AtomicBool::new(false)), Witness::default());
    let store = MemoryCheckpointer::new();
    let limits = Limits { snapshot_after_bytes: 1, ..Limits::default() };
    let runner = graph(&broken, &witness).runner().checkpointer(store.clone()).limits(limits);
    for _ in 0..3 {
        runner.start("t", Log::update()).await.unwrap();
        runner.cancel("t").await.unwrap();
    }
    let positions: Vec<Seq> = entries(&store).iter().map(|entry| entry.seq).collect();
    assert_eq!(positions, (1..=positions.len() as Seq).collect::<Vec<_>>());
    assert_eq!(finished(&entries(&store)), 12);
}

#[tokio::test]
async fn at_durability_exit_only_the_end_is_stored_and_it_is_whole() {
    let (broken, witness) = (Arc::new(AtomicBool::new(false)), Witness::default());
    let store = MemoryCheckpointer::new();
    let runner = graph(&broken, &witness).runner().checkpointer(store.clone()).durability(Durability::Exit);
    let (other_store, other_witness) = (MemoryCheckpointer::new(), Witness::default());
    let each = graph(&broken, &other_witness).runner().checkpointer(other_store.clone());
    let paused = runner.start("t", Log::update().total(5u64)).await.unwrap();
    let same = each.start("t", Log::update().total(5u64)).await.unwrap();
    assert_eq!(paused.state, same.state);
    assert!(entries(&store).len() < entries(&other_store).len());
    // Another process takes it up from what the exit left.
    let elsewhere = graph(&broken, &witness).runner().checkpointer(crashed_after(&entries(&store)).await);
    let loaded = elsewhere.load("t").await.unwrap();
    assert_eq!((&loaded.state, loaded.interrupts.len()), (&paused.state, 1));
    let report = elsewhere.answer("t", questions(&paused)[0].id.clone(), &"yes").await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["plan", "asks", "last"]);
}

#[tokio::test]
async fn at_durability_exit_a_failed_run_can_be_resumed() {
    let (broken, witness) = (Arc::new(AtomicBool::new(true)), Witness::default());
    let runner = graph(&broken, &witness).runner();
    let runner = runner.checkpointer(MemoryCheckpointer::new()).durability(Durability::Exit);
    runner.start("t", Log::update()).await.unwrap();
    assert_eq!(witness.take().len(), 3);
    broken.store(false, Ordering::SeqCst);
    questions(&runner.resume("t").await.unwrap());
    assert_eq!(witness.take().len(), 1, "what had finished is stored with the end");
}

#[tokio::test]
async fn a_crash_at_durability_exit_leaves_a_thread_on_which_a_run_can_start() {
    let (broken, witness) = (Arc::new(AtomicBool::new(false)), Witness::default());
    let store = MemoryCheckpointer::new();
    let runner = graph(&broken, &witness).runner().checkpointer(store.clone()).durability(Durability::Exit);
    let mut first = Box::pin(runner.start("t", Log::update()).into_future());
    // One poll, and the process dies.
    assert!(futures_util::FutureExt::now_or_never(&mut first).is_none());
    drop(first);
    assert_eq!(entries(&store).len(), 0);
    assert_eq!(runner.load("t").await.unwrap().status, Status::Empty);
    assert_eq!(runner.resume("t").await.unwrap_err().code(), "SW-X202");
    questions(&within(runner.start("t", Log::update())).await.unwrap());
}
