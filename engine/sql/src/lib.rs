//! The embedded store: a durable journal for many threads, and a table of runs, in one SQLite file.
//!
//! One task owns the only connection that writes and commits what it finds in its queue together; readers have
//! connections of their own. The crate knows entries as bytes: what they mean is the engine's business. It starts no
//! runtime, and nothing in it waits by a timer, so it works under a paused clock.

mod batch;
mod error;
mod fail_point;
mod files;
mod locks;
mod readers;
mod runs;
mod schema;
mod store;
mod writer;

pub use runs::{FoundRun, RunFilter, RunRow};
pub use store::{SqliteOptions, SqliteStore, WriterStats};
