//! Failing fast: a node that fails for good ends the drive at once, in graphs that say so. Elsewhere its siblings finish.

use super::slot::Progress;
use super::{Execution, Gated};

impl Execution {
    /// What runs is left alone: the driver drops it when the drive stops, and the next one begins it again.
    pub(super) fn cut_short(&mut self) {
        self.cut_short = true;
        for slot in self.slots.iter_mut().filter(|slot| matches!(slot.progress, Progress::Running)) {
            slot.progress = Progress::Ready;
        }
        self.gated.retain(|(_, action)| !matches!(action, Gated::Run(_) | Gated::SetTimer(_)));
        self.lanes.clear();
        self.back_offs.clear();
        self.count_unsettled();
    }
}
