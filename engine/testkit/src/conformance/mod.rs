//! Suites that every implementation of a port has to pass. They panic with a sentence where one does not.

mod checkpointer;
mod resume;

pub use checkpointer::checkpointer;
pub use resume::resumes_after_every_entry;
