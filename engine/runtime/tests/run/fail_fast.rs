//! A failure that ends the drive at once, and a fan-out that is too large.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::support::*;
use statewright_engine_runtime::*;

/// `first`, then `good`, which is done, `bad`, which fails until it is mended, and `slow`, which then waits for ever.
fn failing(fast: bool, mended: &Arc<AtomicBool>, witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let (first, good) = (node(&mut g, "first"), node(&mut g, "good"));
    let (broken, seen) = (mended.clone(), witness.clone());
    let bad = g.func("bad", move |ctx: Ctx<Log>| {
        let (mended, seen) = (broken.load(SeqCst), seen.clone());
        async move {
            while !mended && seen.count("slow") == 0 {
                tokio::task::yield_now().await;
            }
            if mended { Ok(ran(&ctx)) } else { Err(NodeError::permanent("broken")) }
        }
    });
    let (waits, seen) = (mended.clone(), witness.clone());
    let slow = g.func("slow", move |ctx: Ctx<Log>| {
        let mended = waits.load(SeqCst);
        seen.saw("slow");
        async move {
            if !mended {
                std::future::pending::<()>().await;
            }
            Ok(ran(&ctx))
        }
    });
    g.start(first);
    g.edge(first, good.to().and(bad).and(slow));
    for last in [good, bad, slow] {
        g.end(last);
    }
    if fast {
        g.fail_fast();
    }
    g.build().unwrap()
}

#[tokio::test]
async fn a_graph_that_fails_fast_does_not_wait_for_the_siblings_of_what_failed() {
    let (mended, witness, store) = (Arc::default(), Witness::default(), MemoryCheckpointer::new());
    let graph = failing(true, &mended, &witness);
    let runner = graph.runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(failure(&report, &graph).0.as_deref(), Some("bad"));
    assert!(matches!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Failed(_))));
    let all = entries(&store);
    mended.store(true, SeqCst);
    // After the record of the failure, or after the snapshot behind it.
    for store in [crashed_after(&all).await, crashed_after(&all[..all.len() - 1]).await] {
        let runner = graph.runner().checkpointer(store.clone());
        let report = within(runner.resume("t")).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.trace.join(" "), "first good bad slow");
        assert_eq!(finished(&entries(&store)), 4, "what had finished was not run again");
    }
}

#[tokio::test(start_paused = true)]
async fn other_graphs_wait_for_the_siblings() {
    let (mended, witness) = (Arc::default(), Witness::default());
    let graph = failing(false, &mended, &witness);
    let run = graph.runner().checkpointer(MemoryCheckpointer::new()).start("t", Log::update());
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), run.into_future()).await;
    assert!(waited.is_err(), "`slow` still runs");
    assert_eq!(witness.count("slow"), 1);
}

#[tokio::test]
async fn a_fan_out_of_more_than_ten_thousand_is_refused_and_the_thread_goes_on_with_a_higher_limit() {
    let mut g = builder();
    let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts((0..10_001).collect())));
    let work = g.func("work", async |_: Ctx<Log, u32>| Ok(Log::update().total(1u64)));
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.end(work);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update()).await.unwrap();
    let (_, failure) = failure(&report, &graph);
    assert_eq!(failure.code, "SW-X221");
    assert!(failure.message.contains("10001") && failure.message.contains("10000"), "{failure}");
    let limits = Limits { frontier: 10_001, ..Limits::default() };
    let report = within(runner.limits(limits).resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.total, 10_001);
}
