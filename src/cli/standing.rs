//! How a run stands, in a word: what its row says, corrected by whether a process drives it.

use statewright_engine_runtime::{Interrupt, Outcome, Plan, Status, StoreError};
use statewright_engine_sql::{RunRow, SqlStore};

use crate::pipeline::Standing;

/// A process drives the run, or died while it did.
pub(crate) const RUNNING: &str = "running";
/// The row says that it runs, and nobody drives it.
pub(crate) const INTERRUPTED: &str = "interrupted";
/// The run could not be begun.
pub(crate) const REFUSED: &str = "refused";
/// Its process died before anything of it was stored.
pub(crate) const VOID: &str = "void";
/// It stopped at a safe point and can be resumed.
pub(crate) const STOPPED: &str = "stopped";
pub(crate) const FINISHED: &str = "finished";
pub(crate) const CANCELLED: &str = "cancelled";

/// The word for how a drive ended.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Finished => FINISHED,
        Outcome::Paused(_) | Outcome::PausedAt(_) => "paused",
        Outcome::Failed(_) => "failed",
        Outcome::Exhausted(_) => "exhausted",
        Outcome::Drained => STOPPED,
        Outcome::Cancelled => CANCELLED,
    }
}

/// The word for where a thread stands that nobody drives.
pub(crate) fn idle_word(status: &Status) -> &'static str {
    match status {
        Status::Stopped(outcome) => word(outcome),
        Status::Empty | Status::Open => INTERRUPTED,
    }
}

/// Whether `resume` can do something with it.
pub(crate) fn is_resumable(word: &str) -> bool {
    !matches!(word, RUNNING | FINISHED | CANCELLED | REFUSED | VOID)
}

/// The word for a row, without reading its journal.
pub(crate) async fn of_row(store: &SqlStore, row: &RunRow) -> Result<String, StoreError> {
    if row.status == RUNNING && !store.is_driven(&row.thread).await? {
        return Ok(INTERRUPTED.to_owned());
    }
    Ok(row.status.clone())
}

/// A row may be behind its journal, when the process died in between or the disk was full.
pub(crate) fn corrected(word: String, row: &RunRow, found: &Standing) -> String {
    if word != INTERRUPTED {
        return word;
    }
    let is_its = found.run.as_ref() == Some(&row.run);
    if is_its { idle_word(&found.status) } else { VOID }.to_owned()
}

/// An open question as JSON.
pub(crate) fn interrupt(plan: &Plan, interrupt: &Interrupt) -> serde_json::Value {
    serde_json::json!({
        "id": interrupt.id,
        "name": interrupt.name,
        "node": plan.node_name(interrupt.node),
        "question": question(interrupt),
        "rejected": interrupt.rejected,
        "to": interrupt.to,
        "level": interrupt.level,
        "deadline_ms": interrupt.deadline_ms,
    })
}

/// What is asked, as JSON.
pub(crate) fn question(interrupt: &Interrupt) -> serde_json::Value {
    // Any value can be asked; one that JSON cannot hold is still named by its id.
    rmp_serde::from_slice(&interrupt.question).unwrap_or_default()
}
