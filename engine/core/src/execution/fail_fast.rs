//! Failing fast: a node that fails for good ends the drive at once, in graphs that say so. Elsewhere its siblings finish.

use super::recover::RecoverError;
use super::slot::{Progress, Slot};
use super::{Execution, Gated};
use crate::ids::Seq;

impl Slot {
    /// Its execution was cut off and does not count, live as in recovery, where nothing else says that it began.
    pub(super) fn count_cut_off(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }
}

impl Execution {
    pub(super) fn replay_stops(&mut self, seq: Seq, stops: Option<&[u32]>) -> Result<(), RecoverError> {
        for index in stops.into_iter().flatten() {
            self.slot_mut(seq, *index)?.count_cut_off();
        }
        if stops.is_some() {
            self.cut_short = true;
            self.nobody_drives_within();
        }
        Ok(())
    }

    /// If the drive ends with the failure of an activation: what else runs.
    pub(super) fn stops(&self, failed: u32, for_good: bool) -> Option<Vec<u32>> {
        let runs = |(place, slot): (usize, &Slot)| {
            let place = place as u32;
            (place != failed && matches!(slot.progress, Progress::Running)).then_some(place)
        };
        (self.plan.fail_fast && for_good).then(|| self.slots.iter().enumerate().filter_map(runs).collect())
    }

    /// What runs is left alone: the driver drops it when the drive stops, and the next one begins it again.
    pub(super) fn cut_short(&mut self) {
        self.cut_short = true;
        for slot in self.slots.iter_mut().filter(|slot| matches!(slot.progress, Progress::Running)) {
            slot.progress = Progress::Ready;
        }
        self.gated.retain(|(_, action)| !matches!(action, Gated::Run(_) | Gated::SetTimer(_)));
        self.forget_nested();
        self.cut_off_within();
        self.lanes.clear();
        self.back_offs.clear();
        self.count_unsettled();
    }
}
