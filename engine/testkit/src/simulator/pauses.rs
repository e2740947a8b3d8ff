//! Static pauses and questions that climb: what the oracles know about them.

use statewright_engine_core::journal::PausePoint;
use statewright_engine_core::{ActivationId, NodeIx, Outcome, Refused, Status};

use super::process::Process;
use super::world::World;

impl World {
    /// A node before which every run pauses runs only after it did.
    pub(super) fn may_go_past(&self, activation: ActivationId, node: NodeIx) -> Result<(), String> {
        let pauses = self.scenario.plan.nodes[node.index()].pause_before;
        if pauses && !self.paused.contains(&activation.superstep) {
            return Err(format!("activation {activation} runs, and nobody paused before it"));
        }
        Ok(())
    }

    /// A pause comes before everything of its superstep, and never twice once it was gone past.
    pub(super) fn paused_at(&mut self, superstep: u64, points: &[PausePoint]) -> Result<(), String> {
        if points.is_empty() || self.done.iter().any(|done| done.superstep == superstep) {
            return Err(format!("the drive pauses in the middle of superstep {superstep}, at {points:?}"));
        }
        self.history.paused += 1;
        self.paused.insert(superstep);
        Ok(())
    }

    /// Where a failure ends the drive at once, nobody listens to what still runs; it may report all the same.
    pub(super) fn cut_off(&self, process: &mut Process) {
        let failed = || matches!(process.execution.status(), Status::Stopped(Outcome::Failed(_)));
        if self.scenario.plan.fail_fast && !process.running.is_empty() && failed() {
            process.drop_running();
        }
    }

    /// The same where what was done is undone before the drive ends.
    pub(super) fn cut_off_by(&self, process: &mut Process, outcome: &Outcome) {
        if self.scenario.plan.fail_fast && matches!(outcome, Outcome::Compensated { .. }) {
            process.drop_running();
        }
    }

    /// An answer comes too late only after the deadline.
    pub(super) fn may_refuse(&self, refused: &Refused, deadline_ms: Option<u64>) -> Result<(), String> {
        let over = deadline_ms.is_some_and(|deadline_ms| deadline_ms <= self.now());
        match refused {
            Refused::Expired { .. } if over => Ok(()),
            _ => Err(format!("an answer is refused: {refused}")),
        }
    }
}
