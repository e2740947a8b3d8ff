//! Suites that every implementation of a port has to pass. They panic with a sentence where one does not.

mod cache;
mod checkpointer;
mod contention;
mod deletion;
mod resume;

pub use cache::result_cache;
pub use checkpointer::checkpointer;
pub use contention::{
    a_superseded_driver_is_refused_for_ever, many_runs_at_once_lose_no_update, of_many_drivers_one_wins,
};
pub use deletion::{
    a_deleted_thread_is_not_written_by_a_superseded_driver, deletes_threads,
    of_a_start_and_a_deletion_one_wins,
};
pub use resume::resumes_after_every_entry;
