//! The journal in memory passes the suites that every store has to pass.

use std::sync::Arc;

use statewright_engine_runtime::{Checkpointer, MemoryCache, MemoryCheckpointer};
use statewright_engine_testkit::conformance;

#[tokio::test]
async fn the_memory_cache_is_a_result_cache() {
    conformance::result_cache(Arc::new(MemoryCache::new())).await;
}

#[tokio::test]
async fn the_memory_cache_keeps_to_its_limits() {
    conformance::result_cache_is_bounded(async |limits| Arc::new(MemoryCache::with_limits(limits)) as _)
        .await;
}

#[tokio::test]
async fn the_memory_journal_is_a_checkpointer() {
    conformance::checkpointer(|| Arc::new(MemoryCheckpointer::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_the_memory_journal_resume_after_every_entry() {
    conformance::resumes_after_every_entry(|| Arc::new(MemoryCheckpointer::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_one_driver_has_a_thread_and_a_superseded_one_is_refused() {
    let store = Arc::new(MemoryCheckpointer::new());
    let forget = async |thread: &_| store.forget_driver(thread);
    conformance::a_superseded_driver_is_refused_for_ever(store.clone(), forget).await;
    let stores: [Arc<dyn Checkpointer>; 1] = [store.clone()];
    conformance::of_many_drivers_one_wins(&stores, 100).await;
    conformance::many_runs_at_once_lose_no_update(store, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_threads_are_listed_and_deleted() {
    conformance::deletes_threads(|| Arc::new(MemoryCheckpointer::new())).await;
    let store = Arc::new(MemoryCheckpointer::new());
    let forget = async |thread: &_| store.forget_driver(thread);
    conformance::a_deleted_thread_is_not_written_by_a_superseded_driver(store.clone(), forget).await;
    conformance::of_a_start_and_a_deletion_one_wins(&[store], 500).await;
}
