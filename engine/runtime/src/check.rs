//! Whether this build can take a stored thread up: what a deployment wants to know before it replaces another build. Nothing
//! is written, and no node is run.

use statewright_engine_core::{Execution, Observe, Outcome, RunId, State, Status, ThreadId};

use crate::error::RunError;
use crate::node::unreadable;
use crate::runner::Runner;

/// What this build makes of a stored thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// It wrote the thread, or would have written the same.
    Safe,
    /// Another version wrote it, and the thread goes on here.
    Migratable {
        /// What differs, in words.
        differences: String,
    },
    /// It cannot be taken up here.
    Blocked {
        /// The stable code.
        code: String,
        /// What is in the way, and the way out.
        reason: String,
    },
}

impl Compatibility {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Compatibility::Safe => "safe",
            Compatibility::Migratable { .. } => "migratable",
            Compatibility::Blocked { .. } => "blocked",
        }
    }
}

/// A thread as [`Runner::check`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadCheck {
    /// The open run, or the last one; nothing if the thread cannot be read.
    pub run: Option<RunId>,
    /// Whether a run is under way. One that cannot be read counts as such.
    pub in_flight: bool,
    /// What this build makes of it.
    pub compatibility: Compatibility,
}

impl<S: State> Runner<S> {
    /// Puts a stored thread together as a resume would, with every update migrated and every open activation's input read,
    /// and says whether this build can go on with it.
    ///
    /// # Errors
    /// [`RunError::NoCheckpointer`], or the store's own words. What is wrong with the thread is no error here.
    pub async fn check(&self, thread: impl Into<ThreadId>) -> Result<ThreadCheck, RunError> {
        let execution = match self.recover(&thread.into(), self.options(Observe::Nothing)).await {
            Ok(execution) => execution,
            Err(error @ RunError::Recover(_)) => {
                let (code, reason) = (error.code().to_owned(), error.to_string());
                let compatibility = Compatibility::Blocked { code, reason };
                return Ok(ThreadCheck { run: None, in_flight: true, compatibility });
            }
            Err(error) => return Err(error),
        };
        let over = Status::Stopped(Outcome::Finished);
        let idle = [Status::Empty, over, Status::Stopped(Outcome::Cancelled)];
        let in_flight = !idle.contains(&execution.status());
        let compatibility = self.misread_input(&execution).unwrap_or_else(|| match execution.migrated() {
            None => Compatibility::Safe,
            Some(differences) => Compatibility::Migratable { differences: differences.to_owned() },
        });
        Ok(ThreadCheck { run: execution.run().cloned(), in_flight, compatibility })
    }

    /// The first open activation whose input its node could not read.
    fn misread_input(&self, execution: &Execution) -> Option<Compatibility> {
        execution.open_inputs().find_map(|(node, input)| {
            let reason = self.graph().nodes.get(node.index())?.accepts(input).err()?;
            let failure = unreadable(execution.plan().node_name(node), &reason).to_failure(&[]);
            let reason = format!("{}; or drain it once with the build that wrote it", failure.message);
            Some(Compatibility::Blocked { code: failure.code, reason })
        })
    }
}
