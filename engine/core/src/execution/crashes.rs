//! Crashes: a drive that ended without a word counts against the activations that were open, so that one which takes the
//! process down with it is not run for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Execution;
use super::slot::{Progress, Slot};
use super::types::{Journaling, Notice, Status};
use crate::failure::Failure;
use crate::ids::{ActivationId, NodeIx};
use crate::journal::Crashed;

impl Execution {
    /// In recovery: where everything has settled, or a record says that it stopped, the drive is over.
    pub(super) fn note_end(&mut self) {
        self.follow_nested();
        self.count_unsettled();
        self.driven = self.driven && matches!(self.status(), Status::Open);
    }

    /// Whether an answer lets a drive go on that has nothing left but deliveries: by the records before, it has ended.
    pub(super) fn is_revived(&self) -> bool {
        let goes_on = self.driving && !self.draining && !self.errand;
        goes_on && matches!(self.status(), Status::Stopped(_))
    }

    /// What the drive before took down with it, if it ended without a word: what this drive would begin with.
    pub(super) fn crashed(&self, now_ms: u64) -> Vec<Crashed> {
        if !self.driven || self.options.journaling != Journaling::Each {
            return Vec::new();
        }
        let mut running: BTreeMap<NodeIx, u32> = BTreeMap::new();
        let mut crashed = Vec::new();
        for (place, slot) in self.slots.iter().enumerate() {
            let at_once = self.plan.nodes[slot.node.index()].policy.at_once_max();
            let of_node = running.entry(slot.node).or_default();
            let graph = self.plan.nodes[slot.node.index()].child.is_some();
            if !graph && slot.may_run(now_ms) && at_once.is_none_or(|most| *of_node < most) {
                *of_node += 1;
                crashed.push(self.crash(place as u32, slot));
            }
            if crashed.len() == self.options.limits.at_once.max(1) {
                break;
            }
        }
        crashed
    }

    fn crash(&self, index: u32, slot: &Slot) -> Crashed {
        let count = slot.tries().crashes.saturating_add(1);
        let over = count >= self.options.limits.crashes;
        let failure = over.then(|| {
            let message = format!(
                "crash_loop: the process ended {count} times while `{}` was running",
                self.plan.node_name(slot.node)
            );
            let failure = Failure::permanent("SW-X246", message);
            if self.has_handler(index) { self.with_unknown_effects(index, failure) } else { failure }
        });
        Crashed { index, count, handled: over && self.has_handler(index), failure }
    }

    /// Takes crashes into account, live and in recovery alike.
    pub(super) fn count_crashes(&mut self, crashed: &[Crashed]) {
        for crash in crashed {
            let Some(slot) = self.slots.get_mut(crash.index as usize) else { continue };
            match &crash.failure {
                Some(failure) => slot.fail(failure.clone(), None, crash.handled),
                None => slot.extra_mut().tries.get_or_insert_default().crashes = crash.count,
            }
        }
        self.count_unsettled();
    }

    /// Tells whoever watches which activations ended by this.
    pub(super) fn tell_crashes(&mut self, crashed: Vec<Crashed>) {
        for Crashed { index, failure, .. } in crashed {
            let Some(failure) = failure.map(Arc::new) else { continue };
            let activation = ActivationId { superstep: self.superstep, index };
            let slot = &self.slots[index as usize];
            let (node, attempt) = (slot.node, slot.attempts);
            self.emit(|_| Notice::NodeFailed { activation, node, attempt, failure, retry_at_ms: None });
        }
    }
}

impl Slot {
    /// Whether a drive that begins now would run it.
    fn may_run(&self, now_ms: u64) -> bool {
        match &self.progress {
            Progress::Ready | Progress::Running => true,
            Progress::BackingOff(wait) => wait.at_ms <= now_ms,
            _ => false,
        }
    }
}
