//! What the journal says about graphs inside activations: their wrapped records are watched like those of the outermost
//! one, and what a snapshot says about them is what the records say.

use statewright_engine_core::journal::{Record, SlotState, SnapshotBody, decode};
use statewright_engine_core::{ActivationId, Seq};

use super::{Slot, Watch};

impl Watch {
    /// A wrapped record.
    pub(super) fn inside(&mut self, seq: Seq, index: u32, entry: &[u8]) -> Result<(), String> {
        let superstep = self.superstep;
        match self.slots.get(index as usize) {
            Some(Slot::Ready(_)) => {}
            slot => return Err(format!("a record inside activation {superstep}.{index}, which is {slot:?}")),
        }
        let record: Record = decode(entry).map_err(|error| error.to_string())?;
        let inner = self.inner.entry(index).or_default();
        inner.last = seq;
        let seen = inner.record(seq, &record.body);
        seen.map_err(|what| format!("inside activation {superstep}.{index}: {what}"))?;
        if inner.settled == seq {
            self.settled = seq;
        }
        Ok(())
    }

    /// What it says about the graph inside these activations, outermost first.
    pub(in crate::simulator) fn within(
        &self,
        hops: impl IntoIterator<Item = ActivationId>,
    ) -> Result<&Self, String> {
        let mut watch = self;
        for hop in hops {
            let inner = watch.inner.get(&hop.index).filter(|_| hop.superstep == watch.superstep);
            watch = inner.ok_or_else(|| format!("the journal knows of no graph inside activation {hop}"))?;
        }
        Ok(watch)
    }

    /// The superstep that it stands in.
    pub(in crate::simulator) fn superstep(&self) -> u64 {
        self.superstep
    }

    pub(super) fn same_inside(&mut self, body: &SnapshotBody) -> Result<(), String> {
        let superstep = self.superstep;
        for (index, slot) in (0..).zip(&body.slots) {
            match (&slot.nested, self.inner.get_mut(&index)) {
                (Some(nested), Some(inner)) => {
                    let same = inner.snapshot(nested);
                    same.map_err(|what| format!("inside activation {superstep}.{index}: {what}"))?;
                }
                (None, None) => {}
                (None, Some(_)) if is_over(&slot.state) => {}
                (nested, _) => {
                    let more = if nested.is_some() { "more" } else { "less" };
                    return Err(format!(
                        "the snapshot says {more} about the inside of activation {superstep}.{index} than the records"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn is_over(state: &SlotState) -> bool {
    matches!(state, SlotState::Finished { .. } | SlotState::Handled(_))
}
