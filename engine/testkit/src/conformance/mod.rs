//! Suites that every implementation of a port has to pass. They panic with a sentence where one does not.
//!
//! Whoever writes a [`Checkpointer`](statewright_engine_runtime::Checkpointer) calls all of these in tests of their own;
//! the stores of this project do so, too. [`checkpointer`] is about the port alone, [`resumes_after_every_entry`] about
//! runs on it, and the rest about drivers that want the same thread or the same store at the same time.
//!
//! ```
//! use std::sync::Arc;
//!
//! use statewright_engine_runtime::{Checkpointer, MemoryCheckpointer};
//! use statewright_engine_testkit::conformance;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // An empty store each time.
//! let make = || Arc::new(MemoryCheckpointer::new()) as Arc<dyn Checkpointer>;
//! conformance::checkpointer(make).await;
//! conformance::resumes_after_every_entry(make).await;
//! conformance::of_many_drivers_one_wins(&[make()], 100).await;
//! conformance::many_runs_at_once_lose_no_update(make(), 100).await;
//! # }
//! ```

mod cache;
mod checkpointer;
mod contention;
mod deletion;
mod resume;

pub use cache::{result_cache, result_cache_is_bounded};
pub use checkpointer::checkpointer;
pub use contention::{
    a_superseded_driver_is_refused_for_ever, many_runs_at_once_lose_no_update, of_many_drivers_one_wins,
};
pub use deletion::{
    a_deleted_thread_is_not_written_by_a_superseded_driver, deletes_threads,
    of_a_start_and_a_deletion_one_wins,
};
pub use resume::resumes_after_every_entry;
