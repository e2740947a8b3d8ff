//! Deleting threads, and keeping those that a rule keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use statewright_engine_core::journal::CUT_FORMAT;
use statewright_engine_runtime::*;

const DAY_MS: u64 = 86_400_000;

/// A runner whose clock shows the days that the test says, and whose node asks if it is told to.
fn runner(store: &MemoryCheckpointer) -> (Runner<Log>, Arc<AtomicU64>) {
    let mut g = builder();
    let only = g.func("only", async |ctx: Ctx<Log>| {
        if ctx.state.text == "ask" {
            let _: u32 = ctx.ask("how much", "?").await;
        }
        Ok(ran(&ctx))
    });
    chain(&mut g, &[only]);
    let day = Arc::new(AtomicU64::new(0));
    let clock = day.clone();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    (runner.clock(Arc::new(move || clock.load(SeqCst) * DAY_MS)), day)
}

async fn names(store: &MemoryCheckpointer) -> Vec<String> {
    store.list(None, 100).await.unwrap().into_iter().map(|(thread, _)| thread.to_string()).collect()
}

/// Threads of days 1 to 4 that finished, and one of day 1 that asks.
async fn used() -> (MemoryCheckpointer, Runner<Log>, Arc<AtomicU64>) {
    let store = MemoryCheckpointer::new();
    let (runner, day) = runner(&store);
    for number in 1..=4 {
        day.store(number, SeqCst);
        expect_finished(&runner.start(format!("d{number}"), Log::update()).await.unwrap());
    }
    day.store(1, SeqCst);
    let asks = runner.start("asks", Log::update().text("ask")).await.unwrap();
    assert_eq!(questions(&asks).len(), 1);
    day.store(10, SeqCst);
    (store, runner, day)
}

#[tokio::test]
async fn finished_threads_go_by_age_and_by_count_and_open_ones_only_if_asked_for() {
    let (store, runner, _) = used().await;
    let days = |days| Duration::from_millis(days * DAY_MS);
    let by_age = Retention::new().keep_for(days(8));
    let planned = runner.prunable(&by_age).await.unwrap();
    assert_eq!(planned.deleted, ["d1".into(), "d2".into()]);
    assert_eq!(names(&store).await.len(), 5, "a look deletes nothing");
    assert_eq!(runner.prune(&by_age).await.unwrap(), planned);
    assert_eq!((planned.kept, planned.foreign), (3, 0));
    let by_count = runner.prune(&Retention::new().keep_last(1)).await.unwrap();
    assert_eq!(by_count.deleted, ["d3".into()]);
    assert_eq!(names(&store).await, ["asks", "d4"]);
    let all = runner.prune(&Retention::new().keep_last(1).unfinished_too()).await.unwrap();
    assert_eq!((all.deleted, all.kept), (vec!["asks".into()], 1));
    assert_eq!(runner.prune(&Retention::new()).await.unwrap().deleted, []);
}

#[tokio::test]
async fn threads_of_another_graph_and_driven_ones_stay() {
    let (store, runner, _) = used().await;
    let mut g = StateGraph::<Log>::new("another");
    let other = node(&mut g, "other");
    chain(&mut g, &[other]);
    let another = g.build().unwrap().runner().checkpointer(store.clone());
    expect_finished(&another.start("o", Log::update()).await.unwrap());
    let driven = store.open(&"d1".into(), Durability::Power).await.unwrap();
    let pruned = runner.prune(&Retention::new().keep_last(0)).await.unwrap();
    assert_eq!(pruned.deleted, ["d2".into(), "d3".into(), "d4".into()]);
    assert_eq!((pruned.kept, pruned.foreign), (2, 1));
    assert_eq!(names(&store).await, ["asks", "d1", "o"]);
    let refused = runner.delete("d1").await.unwrap_err();
    assert_eq!(refused.code(), "SW-S401");
    drop(driven);
    assert!(runner.delete("d1").await.unwrap());
    assert!(!runner.delete("d1").await.unwrap());
    expect_finished(&runner.start("d1", Log::update()).await.unwrap());
    assert_eq!(runner.load("d1").await.unwrap().state.trace, ["only"], "nothing of the deleted one is left");
}

#[tokio::test]
async fn a_store_that_cannot_delete_says_so() {
    let runner = runner(&MemoryCheckpointer::new()).0.graph().runner();
    assert_eq!(runner.delete("t").await.unwrap_err().code(), "SW-X206");
    struct Poor(MemoryCheckpointer);
    impl Checkpointer for Poor {
        fn open<'a>(
            &'a self,
            thread: &'a ThreadId,
            durability: Durability,
        ) -> futures_util::future::BoxFuture<'a, Result<Box<dyn Journal>, StoreError>> {
            self.0.open(thread, durability)
        }
        fn latest_snapshot<'a>(
            &'a self,
            thread: &'a ThreadId,
        ) -> futures_util::future::BoxFuture<'a, Result<Option<Entry>, StoreError>> {
            self.0.latest_snapshot(thread)
        }
        fn entries<'a>(
            &'a self,
            thread: &'a ThreadId,
            ranges: &'a [(Seq, Seq)],
        ) -> futures_util::future::BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
            self.0.entries(thread, ranges)
        }
    }
    let runner = runner.checkpointer(Poor(MemoryCheckpointer::new()));
    for error in [
        runner.delete("t").await.unwrap_err(),
        runner.prune(&Retention::new().keep_last(1)).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), "SW-S461", "{error}");
    }
}

#[tokio::test]
async fn a_thread_whose_last_entry_leaves_a_value_out_is_as_old_as_it_is() {
    let mut g = builder();
    // What it writes stands in the input already, so its entry only says where.
    let only = g.func("only", async |ctx: Ctx<Log>| Ok(ran(&ctx).last(ctx.state.text.clone())));
    chain(&mut g, &[only]);
    let (store, day) = (MemoryCheckpointer::new(), Arc::new(AtomicU64::new(5)));
    let clock = day.clone();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let runner = runner.clock(Arc::new(move || clock.load(SeqCst) * DAY_MS));
    expect_finished(&runner.start("t", Log::update().text("north ".repeat(3_000))).await.unwrap());
    assert_eq!(entries(&store).last().unwrap().bytes[0], CUT_FORMAT, "it leaves a value out");
    let by_age = Retention::new().keep_for(Duration::from_millis(8 * DAY_MS));
    day.store(12, SeqCst);
    assert_eq!(runner.prune(&by_age).await.unwrap().deleted, []);
    assert_eq!(names(&store).await, ["t"], "seven days are not eight");
    day.store(13, SeqCst);
    assert_eq!(runner.prune(&by_age).await.unwrap().deleted, ["t".into()]);
}
