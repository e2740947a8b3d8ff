//! What is stored, how much of it, in which order, and what is refused because it is too large.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use statewright_engine_core::Entry;
use statewright_engine_runtime::*;

const MIB: usize = 1024 * 1024;

/// An answer that is too large is refused before anything is stored, and the question stays open. An item that a node
/// emits is not stored, so it may be as large, and arrives whole; the stream goes on behind it and ends.
#[tokio::test]
async fn oversize_event_rejected_not_truncated() {
    let mut g = builder();
    let emits = g.func("emits", async |ctx: Ctx<Log>| {
        ctx.emit("text", &"x".repeat(9 * MIB));
        Ok(ran(&ctx))
    });
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", "?").await;
        Ok(ran(&ctx).text(word))
    });
    chain(&mut g, &[emits, asks]);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    let open = questions(&within(run).await.unwrap());
    let mut lengths = Vec::new();
    let mut last = None;
    while let Some(event) = within(events.next()).await {
        if let RunEvent::Item(item) = &event {
            lengths.push(item.payload.as_str().unwrap().len());
        }
        last = Some(event);
    }
    assert_eq!(lengths, [9 * MIB]);
    assert!(matches!(last, Some(RunEvent::Stopped(Outcome::Paused(_)))), "{last:?}");
    let before = entries(&store);
    let error = within(runner.answer("t", open[0].id.clone(), &"y".repeat(9 * MIB))).await.unwrap_err();
    assert_eq!(error.code(), "SW-S412", "{error}");
    assert_eq!(entries(&store), before, "nothing of it is stored");
    assert_eq!(runner.load("t").await.unwrap().interrupts, open);
    let large = "y".repeat(7 * MIB);
    let report = within(runner.answer("t", open[0].id.clone(), &large)).await.unwrap();
    assert_eq!(report.finished().unwrap().text.len(), large.len());
}

/// What is stored is what was written, and a little around it.
#[tokio::test]
async fn envelope_amplification_bound() {
    const SIZE: usize = 10_000;
    const ROUNDS: usize = 100;
    let mut g = builder();
    let work = g.func("work", async |ctx: Ctx<Log>| {
        // Half of it grows a list, half of it replaces a field, and nothing comes twice: that would be stored once.
        let part = |kind: &str| format!("{kind}{:0>1$}", ctx.state.total, SIZE / 2 - 1);
        Ok(Log::update().trace(part("x")).text(part("y")).total(1u64))
    });
    g.start(work);
    let again = |log: &Log| if log.trace.len() < ROUNDS { Fork::Left } else { Fork::Right };
    g.branch(work, again, ForkEdges { left: work.to().at_most(1_000), right: To::END });
    let graph = g.build().unwrap();
    let store = MemoryCheckpointer::new();
    expect_finished(
        &within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap(),
    );
    let stored: usize = entries(&store).iter().map(|entry| entry.bytes.len()).sum();
    let written = SIZE * ROUNDS;
    assert!(stored >= written && stored * 100 <= written * 105, "{stored} bytes for {written}");
}

/// Trying again does not make a result smaller.
#[tokio::test]
async fn oversize_result_is_terminal() {
    let witness = Witness::default();
    let seen = witness.clone();
    let mut g = builder();
    let large = g.func("large", move |ctx: Ctx<Log>| {
        seen.saw("ran");
        async move { Ok(ran(&ctx).text("x".repeat(9 * MIB))) }
    });
    g.policy(large, RetryPolicy::new().attempts(5).unclassified().initial(Duration::from_millis(1)));
    chain(&mut g, &[large]);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let (node, told) = failure(&report, &graph);
    assert_eq!((node.as_deref(), told.code.as_str()), (Some("large"), "SW-S412"), "{told}");
    assert_eq!((told.kind, witness.take().len()), (FailureKind::Permanent, 1));
}

/// Three nodes of one superstep finish in an order that the test chooses; the third one's record commits it.
async fn finished_in(order: [usize; 3]) -> (Graph<Log>, Vec<Entry>) {
    let done = Arc::new(AtomicUsize::new(0));
    let mut g = builder();
    let first = node(&mut g, "first");
    let sides = [0, 1, 2].map(|number| {
        let done = done.clone();
        g.func(["a", "b", "c"][number], move |ctx: Ctx<Log>| {
            let done = done.clone();
            async move {
                // Only the first run is held in order; a resumed one has fewer that could wait for one another.
                while done.load(SeqCst) < 3 && order[done.load(SeqCst)] != number {
                    tokio::task::yield_now().await;
                }
                done.fetch_add(1, SeqCst);
                Ok(ran(&ctx).last(ctx.node().to_owned()))
            }
        })
    });
    let last = node(&mut g, "last");
    g.start(first);
    for side in sides {
        g.edge(first, side);
    }
    g.join(sides, last);
    g.end(last);
    let graph = g.build().unwrap();
    let store = MemoryCheckpointer::new();
    let report = within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.trace.concat(), report.state.last.as_str()), ("firstabclast".to_owned(), "c"));
    (graph, entries(&store))
}

/// Writes that wait for their commit and the commit itself cannot be told apart by a crash: they are one record. And
/// what comes back does not depend on which node was faster.
#[tokio::test]
async fn write_order_of_pending_writes_and_checkpoint() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (graph, all) = finished_in(order).await;
        for length in 1..=all.len() {
            let runner = graph.runner().checkpointer(crashed_after(&all[..length]).await);
            let found = runner.load("t").await.unwrap();
            let trace = found.state.trace.concat();
            assert!(
                ["", "first", "firstabc", "firstabclast"].contains(&trace.as_str()),
                "{order:?}: {trace}"
            );
            let committed = finished(&all[..length]) >= 4;
            assert_eq!(found.state.trace.len() >= 4, committed, "{order:?}, entry {length}");
            if found.status == Status::Open {
                let report = within(runner.resume("t")).await.unwrap();
                let state = (report.state.trace.concat(), report.state.last.as_str());
                assert_eq!(state, ("firstabclast".to_owned(), "c"), "{order:?}, entry {length}");
            }
        }
    }
}
