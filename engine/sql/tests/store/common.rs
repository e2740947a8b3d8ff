//! What the tests of the store share.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};
use statewright_engine_runtime::{Checkpointer, Durability, Journal, StoreError};
use statewright_engine_sql::{SqlStore, SqliteOptions, SqliteStore};
use tempfile::TempDir;

/// A folder that goes away, and a path for a database in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

pub(crate) async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).await.unwrap()
}

pub(crate) async fn take(store: &SqliteStore, thread: &str) -> Box<dyn Journal> {
    Checkpointer::open(store, &thread.into(), Durability::Process).await.unwrap()
}

pub(crate) fn record(seq: Seq, bytes: &[u8]) -> Entry {
    Entry { seq, kind: EntryKind::Record, bytes: bytes.to_vec() }
}

pub(crate) fn snapshot(seq: Seq) -> Entry {
    Entry { seq, kind: EntryKind::Snapshot, bytes: vec![7; 9] }
}

pub(crate) async fn all(store: &SqliteStore, thread: &str) -> Vec<Entry> {
    store.entries(&ThreadId::from(thread), &[(1, Seq::MAX)]).await.unwrap()
}

pub(crate) async fn positions(store: &SqliteStore, thread: &str) -> Vec<Seq> {
    all(store, thread).await.into_iter().map(|entry| entry.seq).collect()
}

pub(crate) fn fenced(thread: &str) -> StoreError {
    StoreError::Fenced { thread: thread.into() }
}

/// A connection that is not the store's.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

pub(crate) async fn sql(path: &Path, statements: &'static str) {
    sqlx::raw_sql(statements).execute(&mut raw(path).await).await.unwrap();
}

/// Takes the thread's lock file away, as if its driver had lost it: the next driver gets in beside it.
pub(crate) fn break_locks(path: &Path) {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".locks");
    std::fs::remove_dir_all(PathBuf::from(folder)).unwrap();
}

/// This test binary again, as a process of its own that runs one ignored test as its program.
pub(crate) fn child(program: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", program, "--ignored", "--nocapture", "--test-threads=1"])
        .env("STORE_PATH", path);
    command
}

/// The path that the parent gave to this process; `None` if somebody runs the program as a test.
pub(crate) fn store_path() -> Option<PathBuf> {
    std::env::var_os("STORE_PATH").map(PathBuf::from)
}

/// Where a database of one test lies.
pub(crate) struct Place {
    _folder: TempDir,
    path: PathBuf,
}

impl Place {
    /// Takes back what later versions brought.
    pub(crate) const FIRST_VERSION: &str = "DROP TABLE results; PRAGMA user_version = 1";

    pub(crate) fn new() -> Option<Self> {
        let (folder, path) = place();
        Some(Self { _folder: folder, path })
    }

    pub(crate) async fn open(&self) -> SqlStore {
        open(&self.path).await.into()
    }

    pub(crate) async fn sql(&self, statements: &'static str) {
        sql(&self.path, statements).await;
    }
}
