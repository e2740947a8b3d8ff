//! The store: a durable journal for many threads, a table of runs, and results that are kept by a key, in one SQLite file or on a PostgreSQL server.
//!
//! One task owns the only connection that writes and commits what it finds in its queue together; readers have
//! connections of their own. The crate knows entries as bytes: what they mean is the engine's business. It starts no
//! runtime, and nothing in it waits by a timer, so it works under a paused clock.

mod batch;
mod connection;
mod database;
mod error;
mod fail_point;
mod files;
mod insert;
mod locks;
mod named;
#[cfg(feature = "postgres")]
mod postgres;
mod readers;
mod removal;
mod results;
mod runs;
mod schema;
mod sqlite;
mod store;
mod upkeep;
mod writer;

#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
pub use results::SqlResults;
pub use runs::{FoundRun, RunFilter, RunRow};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use store::{Migration, SqlStore, WriterStats};
