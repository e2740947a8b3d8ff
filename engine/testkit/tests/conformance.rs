//! The journal in memory passes the suites that every store has to pass.

use std::sync::Arc;

use statewright_engine_runtime::MemoryCheckpointer;
use statewright_engine_testkit::conformance;

#[tokio::test]
async fn the_memory_journal_is_a_checkpointer() {
    conformance::checkpointer(|| Arc::new(MemoryCheckpointer::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_the_memory_journal_resume_after_every_entry() {
    conformance::resumes_after_every_entry(|| Arc::new(MemoryCheckpointer::new())).await;
}
