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
