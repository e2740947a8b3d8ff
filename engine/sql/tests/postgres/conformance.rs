//! The store on a server passes the suites that every checkpointer has to pass.

use std::sync::Arc;

use statewright_engine_runtime::Checkpointer;
use statewright_engine_testkit::conformance;

use crate::common::{open, place, sql};

/// A store in an empty database. The suites ask for one in the middle of async code, and opening one is async: a
/// thread bridges the two.
fn make() -> Arc<dyn Checkpointer> {
    let url = place().unwrap();
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| runtime.block_on(open(&url)));
        Arc::new(opened.join().unwrap())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_journal_is_a_checkpointer() {
    if place().is_some() {
        conformance::checkpointer(make).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_the_postgres_journal_resume_after_every_entry() {
    if place().is_some() {
        conformance::resumes_after_every_entry(make).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superseded_driver_on_postgres_is_refused_for_ever() {
    let Some(url) = place() else { return };
    let store = Arc::new(open(&url).await);
    // Only the server can take a lock away: by ending the session.
    let forget = async |_: &_| sql(&url, END_SESSIONS).await;
    conformance::a_superseded_driver_is_refused_for_ever(store, forget).await;
}

const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_drivers_on_postgres_one_wins() {
    let Some(url) = place() else { return };
    let mut stores: Vec<Arc<dyn Checkpointer>> = Vec::new();
    for _ in 0..4 {
        stores.push(Arc::new(open(&url).await));
    }
    conformance::of_many_drivers_one_wins(&stores, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_runs_on_one_postgres_database_lose_no_update() {
    let Some(url) = place() else { return };
    conformance::many_runs_at_once_lose_no_update(Arc::new(open(&url).await), 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_on_postgres_are_listed_and_deleted() {
    if place().is_some() {
        conformance::deletes_threads(make).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_thread_on_postgres_is_not_written_by_a_superseded_driver() {
    let Some(url) = place() else { return };
    let store = Arc::new(open(&url).await);
    let forget = async |_: &_| sql(&url, END_SESSIONS).await;
    conformance::a_deleted_thread_is_not_written_by_a_superseded_driver(store, forget).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_start_and_a_deletion_on_postgres_one_wins() {
    let Some(url) = place() else { return };
    let mut stores: Vec<Arc<dyn Checkpointer>> = Vec::new();
    for _ in 0..2 {
        stores.push(Arc::new(open(&url).await));
    }
    conformance::of_a_start_and_a_deletion_one_wins(&stores, 100).await;
}
