//! What the tests on a server share.

use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};
use statewright_engine_runtime::{Checkpointer, Durability, Journal, StoreError};
use statewright_engine_sql::{PostgresOptions, PostgresStore, SqlStore};
use statewright_engine_testkit::PostgresServer;

/// The address of an empty database; `None` where there is no PostgreSQL, which is a failure if services are demanded.
pub(crate) fn place() -> Option<String> {
    PostgresServer::shared().map(PostgresServer::database)
}

pub(crate) async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(url, PostgresOptions::default()).await.unwrap()
}

pub(crate) async fn take(store: &PostgresStore, thread: &str) -> Box<dyn Journal> {
    Checkpointer::open(store, &thread.into(), Durability::Process).await.unwrap()
}

pub(crate) fn record(seq: Seq, bytes: &[u8]) -> Entry {
    Entry { seq, kind: EntryKind::Record, bytes: bytes.to_vec() }
}

pub(crate) async fn all(store: &PostgresStore, thread: &str) -> Vec<Entry> {
    store.entries(&ThreadId::from(thread), &[(1, Seq::MAX)]).await.unwrap()
}

pub(crate) async fn positions(store: &PostgresStore, thread: &str) -> Vec<Seq> {
    all(store, thread).await.into_iter().map(|entry| entry.seq).collect()
}

pub(crate) fn fenced(thread: &str) -> StoreError {
    StoreError::Fenced { thread: thread.into() }
}

pub(crate) async fn raw(url: &str) -> sqlx::PgConnection {
    <sqlx::PgConnection as sqlx::Connection>::connect(url).await.unwrap()
}

pub(crate) async fn sql(url: &str, statements: &'static str) {
    sqlx::raw_sql(statements).execute(&mut raw(url).await).await.unwrap();
}

/// Where a database of one test lies.
pub(crate) struct Place {
    url: String,
}

impl Place {
    /// Takes back what later versions brought.
    pub(crate) const FIRST_VERSION: &str = "DROP TABLE results; UPDATE format SET version = 1";

    pub(crate) fn new() -> Option<Self> {
        Some(Self { url: place()? })
    }

    pub(crate) async fn open(&self) -> SqlStore {
        open(&self.url).await.into()
    }

    pub(crate) async fn sql(&self, statements: &'static str) {
        sql(&format!("{}?options=-c%20search_path%3Dstatewright", self.url), statements).await;
    }
}
