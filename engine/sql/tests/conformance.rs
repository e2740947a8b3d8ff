//! The store passes the suites that every checkpointer has to pass.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use statewright_engine_runtime::Checkpointer;
use statewright_engine_sql::{SqliteOptions, SqliteStore};
use statewright_engine_testkit::conformance;
use tempfile::TempDir;

/// Stores in files of their own, below one folder that lives as long as the test.
struct Stores {
    folder: TempDir,
    made: std::cell::Cell<u32>,
}

impl Stores {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), made: std::cell::Cell::new(0) }
    }

    fn make(&self) -> Arc<dyn Checkpointer> {
        self.made.set(self.made.get() + 1);
        let path = self.folder.path().join(format!("{}.db", self.made.get()));
        // The suites ask for stores in the middle of async code, and opening one is async: a thread bridges the two.
        let runtime = tokio::runtime::Handle::current();
        let opened = std::thread::scope(|scope| {
            let opening = scope.spawn(|| runtime.block_on(SqliteStore::open(path, SqliteOptions::default())));
            opening.join().unwrap()
        });
        Arc::new(opened.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_journal_is_a_checkpointer() {
    let stores = Stores::new();
    conformance::checkpointer(|| stores.make()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_the_sqlite_journal_resume_after_every_entry() {
    let stores = Stores::new();
    conformance::resumes_after_every_entry(|| stores.make()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superseded_driver_on_sqlite_is_refused_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let forget = async |_: &_| std::fs::remove_dir_all(folder.path().join("store.db.locks")).unwrap();
    conformance::a_superseded_driver_is_refused_for_ever(Arc::new(store), forget).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_drivers_on_sqlite_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut stores: Vec<Arc<dyn Checkpointer>> = Vec::new();
    for _ in 0..4 {
        stores.push(Arc::new(SqliteStore::open(&path, SqliteOptions::default()).await.unwrap()));
    }
    conformance::of_many_drivers_one_wins(&stores, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_runs_on_one_sqlite_database_lose_no_update() {
    let stores = Stores::new();
    conformance::many_runs_at_once_lose_no_update(stores.make(), 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_on_sqlite_are_listed_and_deleted() {
    let stores = Stores::new();
    conformance::deletes_threads(|| stores.make()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_thread_on_sqlite_is_not_written_by_a_superseded_driver() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let forget = async |_: &_| std::fs::remove_dir_all(folder.path().join("store.db.locks")).unwrap();
    conformance::a_deleted_thread_is_not_written_by_a_superseded_driver(Arc::new(store), forget).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_start_and_a_deletion_on_sqlite_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut stores: Vec<Arc<dyn Checkpointer>> = Vec::new();
    for _ in 0..2 {
        stores.push(Arc::new(SqliteStore::open(&path, SqliteOptions::default()).await.unwrap()));
    }
    conformance::of_a_start_and_a_deletion_one_wins(&stores, 200).await;
}
