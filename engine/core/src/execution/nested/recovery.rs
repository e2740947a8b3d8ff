//! How inner executions are read back, and how they stand in snapshots of the outer one.

use super::{Nested, standing};
use crate::execution::recover::{RecoverError, read_bytes};
use crate::execution::slot::{Progress, Slot};
use crate::execution::types::Refused;
use crate::execution::versions::same_graph;
use crate::execution::{Execution, Gated};
use crate::ids::Seq;
use crate::journal::{Body, Record, SnapshotBody};

impl Execution {
    /// A long inner run is not to be replayed from its beginning.
    pub(super) fn snapshot_if_due(&mut self) -> Result<(), Refused> {
        let due = self.journals() && !self.is_nested() && self.writer.snapshot_due(&self.options);
        if due && self.is_sound() {
            self.write_snapshot(self.inner.now_ms)?;
        }
        Ok(())
    }

    /// What inner executions have written but nobody has taken yet goes into the journal now: a snapshot says what they
    /// say, so they must stand before it.
    pub(in crate::execution) fn flush_nested(&mut self) -> Result<(), Refused> {
        for place in self.places(|_| true) {
            while let Some(nested) = self.nested_mut(place) {
                nested.execution.flush_nested()?;
                let Some(entry) = nested.execution.writer.entries.pop_front() else { break };
                self.wrap(place, entry)?;
            }
        }
        Ok(())
    }

    /// In recovery: how far an activation with an inner execution got is what that says.
    pub(in crate::execution) fn follow_nested(&mut self) {
        if !self.inner.any {
            return;
        }
        for slot in &mut self.slots {
            let Some(nested) = slot.child.as_deref_mut() else { continue };
            nested.execution.note_end();
            if matches!(slot.progress, Progress::Ready | Progress::Running | Progress::Within) {
                slot.progress = standing(&nested.execution);
            }
        }
    }

    /// What stands inside was not taken down with a drive: that one was cut short, or was another thread's.
    pub(in crate::execution) fn nobody_drives_within(&mut self) {
        for slot in &mut self.slots {
            let Some(nested) = slot.child.as_deref_mut() else { continue };
            nested.execution.driven = false;
            nested.execution.nobody_drives_within();
        }
    }

    /// The drive around them is cut short, and nothing that they had begun is waited for.
    pub(in crate::execution) fn cut_off_within(&mut self) {
        for slot in &mut self.slots {
            let Some(nested) = slot.child.as_deref_mut() else { continue };
            let inner = &mut nested.execution;
            (inner.driving, inner.driven) = (false, false);
            for slot in inner.slots.iter_mut().filter(|slot| matches!(slot.progress, Progress::Running)) {
                slot.progress = Progress::Ready;
                // No record counts it.
                slot.attempts = slot.attempts.saturating_sub(1);
            }
            inner.gated.retain(|(_, action)| matches!(action, Gated::Emit(_)));
            inner.forget_nested();
            inner.lanes.clear();
            inner.back_offs.clear();
            inner.take_posts_back();
            inner.count_unsettled();
            inner.cut_off_within();
        }
    }

    /// Recovery is over: what was read is durable.
    pub(in crate::execution) fn settle_nested(&mut self) {
        for slot in &mut self.slots {
            let Some(nested) = slot.child.as_deref_mut() else { continue };
            // How often a drive looked at it says nothing, and not every record says it.
            slot.attempts = 0;
            nested.execution.writer.acked = nested.execution.writer.last_seq();
            nested.execution.settle_nested();
        }
    }

    /// A wrapped record, in recovery. The inner execution is given the position of the record that wraps it, so that
    /// errors name an entry that there is.
    pub(in crate::execution) fn replay_nested(
        &mut self,
        seq: Seq,
        index: u32,
        entry: &[u8],
    ) -> Result<(), RecoverError> {
        let what =
            || RecoverError::Inconsistent { seq, what: "no graph stands where it was written".to_owned() };
        self.slot_mut(seq, index)?;
        let record: Record = read_bytes(seq, entry)?;
        match said(seq, &record.body)? {
            // As with an answer to a question of this execution's own: what it found settled had ended.
            Said::Answer => self.note_end(),
            Said::Begin => self.driven = true,
            Said::Other => {}
        }
        if self.slots[index as usize].child.is_none() {
            self.slots[index as usize].child = Some(self.nested_new(index).ok_or_else(what)?);
        }
        let nested = self.slots[index as usize].child.as_mut().ok_or_else(what)?;
        let inner = &mut nested.execution;
        let table = if let Body::Opened(opened) = &record.body { Some(&opened.table) } else { None };
        same_graph(&inner.plan, record.fingerprint, table)?;
        inner.writer.next_seq = seq + 1;
        inner.replay(seq, record.body)
    }

    /// The whole of an inner execution as it stands in a snapshot of the outer one.
    pub(in crate::execution) fn nested_image(
        &self,
        slot: &Slot,
        now_ms: u64,
    ) -> Result<Option<Box<SnapshotBody>>, Refused> {
        let Some(nested) = slot.child.as_deref() else { return Ok(None) };
        nested.execution.snapshot_body(now_ms, true).map(|body| body.map(Box::new))
    }

    pub(in crate::execution) fn load_nested(
        &self,
        seq: Seq,
        place: u32,
        body: SnapshotBody,
    ) -> Result<Box<Nested>, RecoverError> {
        let what =
            || RecoverError::Inconsistent { seq, what: "no graph stands where it was written".to_owned() };
        let mut nested = self.nested_new(place).ok_or_else(what)?;
        same_graph(&nested.execution.plan, body.fingerprint, Some(&body.table))?;
        nested.execution.load_snapshot(seq, body, &[], None)?;
        Ok(nested)
    }

    /// Makes inner executions independent of the journal that they were read from.
    pub(in crate::execution) fn detach_nested(&mut self) {
        for slot in &mut self.slots {
            if let Some(nested) = slot.child.as_deref_mut() {
                nested.execution.detach();
            }
        }
    }
}

/// What a record says about drives.
enum Said {
    /// A question was answered, with or without one.
    Answer,
    /// One is at work.
    Begin,
    Other,
}

/// What a record says inside, at whatever depth.
fn said(seq: Seq, body: &Body) -> Result<Said, RecoverError> {
    match body {
        Body::Answered { .. } => Ok(Said::Answer),
        Body::Opened(_) | Body::Resumed { .. } => Ok(Said::Begin),
        Body::Nested { entry, .. } => said(seq, &read_bytes::<Record>(seq, entry)?.body),
        _ => Ok(Said::Other),
    }
}
