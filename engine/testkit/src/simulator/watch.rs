//! The oracle on the journal: reads every entry as it is written and says when one does not follow from those before.
//! It keeps its own account of what is open, finished and waiting, from the bytes alone.

mod within;

use std::collections::BTreeMap;

use statewright_engine_core::journal::{
    self, Body, Commit, Crashed, Record, SlotState, SnapshotBody, Undoing,
};
use statewright_engine_core::{ActivationId, Entry, EntryKind, Journaling, NodeIx, Seq};

/// An entry, read.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Record(Box<Body>),
    Snapshot(Box<SnapshotBody>),
}

impl Content {
    /// Whether it says that a question is posed to somebody else.
    pub(super) fn escalates(&self) -> bool {
        matches!(self, Content::Record(body) if matches!(**body, Body::Escalated { .. }))
    }

    pub(super) fn read(entry: &Entry) -> Result<Self, String> {
        let read = match entry.kind {
            EntryKind::Record => {
                journal::decode::<Record>(&entry.bytes).map(|record| Content::Record(Box::new(record.body)))
            }
            EntryKind::Snapshot => journal::decode(&entry.bytes).map(Content::Snapshot),
        };
        read.map_err(|error| format!("entry {}: {error}", entry.seq))
    }
}

/// How far an activation got, by the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    /// It may run once everything up to this entry is durable.
    Ready(Seq),
    Finished,
    Failed,
    /// For answers to these questions, in order.
    Waiting(Vec<String>),
}

/// What the journal says so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    at_end: bool,
    last: Seq,
    open: bool,
    /// Whether the open run is being undone, so that another one may follow.
    undoing: bool,
    superstep: u64,
    nodes: Vec<NodeIx>,
    slots: Vec<Slot>,
    answered: Vec<String>,
    /// What it says about graphs inside activations.
    inner: BTreeMap<u32, Watch>,
    /// The last entry that settled an activation or opened or ended a run.
    settled: Seq,
    /// Whether the present drive has not yet stored its end.
    drives: bool,
    /// Snapshots that are to come in the middle of the drive, each because an effect begins.
    effects: usize,
    /// How many activations finished.
    pub(super) finished: usize,
}

impl Watch {
    pub(super) fn new(journaling: Journaling) -> Self {
        Self { at_end: journaling == Journaling::AtEnd, ..Self::default() }
    }

    /// What a journal of these entries says.
    pub(super) fn read(journaling: Journaling, entries: &[Content]) -> Result<Self, String> {
        let mut watch = Self::new(journaling);
        for (place, content) in entries.iter().enumerate() {
            watch.see(place as Seq + 1, content)?;
        }
        Ok(watch)
    }

    /// A driver takes the thread up.
    pub(super) fn drive_begins(&mut self) {
        self.drives = true;
    }

    /// A snapshot follows that is not the end of the drive.
    pub(super) fn effect_begins(&mut self) {
        self.effects += 1;
    }

    /// Takes the next entry in.
    pub(super) fn see(&mut self, seq: Seq, content: &Content) -> Result<(), String> {
        if seq != self.last + 1 {
            return Err(format!("entry {seq} was written after entry {}: the journal has a gap", self.last));
        }
        self.last = seq;
        let seen = match content {
            Content::Snapshot(body) => self.snapshot(body),
            Content::Record(_) if self.at_end => {
                Err("a record was written although only the end is to be stored".to_owned())
            }
            Content::Record(body) => self.record(seq, body),
        };
        seen.map_err(|what| format!("entry {seq}: {what}"))
    }

    /// Whether the journal allows this execution, with everything up to `acked` durable.
    pub(super) fn may_run(&self, activation: ActivationId, acked: Seq) -> Result<(), String> {
        if self.at_end && activation.superstep > self.superstep {
            return Ok(());
        }
        if activation.superstep != self.superstep || !(self.open || self.at_end) {
            return Err(format!(
                "activation {activation} runs, but the journal is in superstep {}",
                self.superstep
            ));
        }
        match self.slots.get(activation.index as usize) {
            Some(Slot::Ready(after)) if *after <= acked || self.at_end => Ok(()),
            Some(Slot::Ready(after)) => Err(format!(
                "activation {activation} runs before entry {after}, on which it depends, is durable (durable: {acked})"
            )),
            Some(Slot::Failed | Slot::Waiting(_)) if self.at_end => Ok(()),
            Some(slot) => Err(format!("activation {activation} runs although by the journal it is {slot:?}")),
            None => Err(format!("activation {activation} runs, but the journal does not know it")),
        }
    }

    /// Whether the end of a drive may be reported, with everything up to `acked` durable.
    pub(super) fn may_stop(&self, acked: Seq) -> Result<(), String> {
        if self.settled <= acked {
            return Ok(());
        }
        Err(format!("the drive stops before entry {} is durable (durable: {acked})", self.settled))
    }

    fn snapshot(&mut self, body: &SnapshotBody) -> Result<(), String> {
        if self.at_end {
            self.superstep = body.superstep;
            // A snapshot behind the end of the drive holds an answer, for which the end need not wait.
            if self.effects > 0 {
                self.effects -= 1;
            } else if std::mem::take(&mut self.drives) {
                self.settled = self.last;
            }
            self.slots = body.slots.iter().map(|slot| self.image(&slot.state)).collect();
            self.nodes = body.slots.iter().map(|slot| slot.node).collect();
            return Ok(());
        }
        let slots: Vec<Slot> = body.slots.iter().map(|slot| self.image(&slot.state)).collect();
        let same = |a: &Slot, b: &Slot| matches!((a, b), (Slot::Ready(_), Slot::Ready(_))) || a == b;
        let fits = slots.len() == self.slots.len() && slots.iter().zip(&self.slots).all(|(a, b)| same(a, b));
        if body.superstep != self.superstep || !fits {
            return Err(format!("the snapshot says {:?}, the records before it say {:?}", slots, self.slots));
        }
        self.same_inside(body)
    }

    fn image(&self, state: &SlotState) -> Slot {
        match state {
            SlotState::Ready => Slot::Ready(self.last),
            SlotState::Finished { .. } => Slot::Finished,
            SlotState::Failed(_) => Slot::Failed,
            SlotState::Handled(_) | SlotState::Abandoned => Slot::Finished,
            SlotState::BackingOff { .. } => Slot::Ready(self.last),
            SlotState::Waiting { asked, more, .. } => {
                let mut ids: Vec<String> =
                    std::iter::once(asked).chain(more).map(|asked| asked.id.clone()).collect();
                ids.sort();
                Slot::Waiting(ids)
            }
        }
    }

    fn record(&mut self, seq: Seq, body: &Body) -> Result<(), String> {
        if !self.open && !matches!(body, Body::Opened(_) | Body::Delivered { .. }) {
            return Err("a record of a run that is over or was never begun".to_owned());
        }
        match body {
            Body::Opened(opened) => {
                if self.open && !std::mem::take(&mut self.undoing) {
                    return Err("a run begins while another one is open".to_owned());
                }
                self.open = true;
                self.enter(seq, &opened.commit)?;
            }
            Body::Finished { index, commit, failure, .. } => {
                self.finish(seq, *index)?;
                let last = self.slots.iter().all(|slot| *slot == Slot::Finished);
                match (last, commit, failure) {
                    (true, Some(commit), None) => self.enter(seq, commit)?,
                    (true, None, Some(_)) | (false, None, None) => {}
                    _ => {
                        return Err(
                            "the commit does not stand in the record of the last activation".to_owned()
                        );
                    }
                }
            }
            Body::Failed { index, retry: Some(_), .. } => self.settle(seq, *index, Slot::Ready(seq))?,
            Body::Failed { index, handled: true, .. } => self.settle(seq, *index, Slot::Finished)?,
            Body::Failed { index, .. } => self.settle(seq, *index, Slot::Failed)?,
            Body::Asked { index, interrupt, .. } => {
                self.ask(seq, *index, &interrupt.id)?;
            }
            Body::Answered { interrupt, .. } => {
                self.answer(seq, interrupt)?;
                self.answered.push(interrupt.clone());
            }
            Body::AnswerRejected { interrupt, .. } => {
                let place =
                    self.answered.iter().position(|id| id == interrupt).ok_or("it was never answered")?;
                self.answered.remove(place);
                let index = activation_of(interrupt).ok_or("an interrupt without an activation")?;
                self.settle(seq, index, Slot::Waiting(vec![interrupt.clone()]))?;
            }
            Body::Step { index, .. } | Body::Settled { index, .. } => self.step(*index)?,
            Body::Budget(_) => {}
            Body::Undo(undoing) => self.undo(seq, undoing),
            Body::Committed { commit, .. } => {
                if self.slots.iter().any(|slot| *slot != Slot::Finished) {
                    return Err("a commit of a superstep that is not finished".to_owned());
                }
                self.settled = seq;
                if let Some(commit) = commit {
                    self.enter(seq, commit)?;
                }
            }
            Body::Resumed { keeps_failed, crashed, .. } => self.resume(seq, *keeps_failed, crashed)?,
            Body::Cancelled => {
                self.open = false;
                self.settled = seq;
                self.slots.clear();
                self.inner.clear();
            }
            Body::Nested { index, entry } => self.inside(seq, *index, entry)?,
            Body::Escalated { interrupt, .. } => {
                let asks = |slot: &Slot| matches!(slot, Slot::Waiting(open) if open.contains(interrupt));
                self.slots.iter().any(asks).then_some(()).ok_or("a question climbs that is not open")?;
            }
            Body::Drained | Body::Delivered { .. } | Body::Abandoned { .. } => {}
        }
        Ok(())
    }

    fn undo(&mut self, seq: Seq, undoing: &Undoing) {
        if let Undoing::Begins(_) = undoing {
            self.slots.clear();
            self.undoing = true;
        }
        self.settled = seq;
    }

    fn resume(&mut self, seq: Seq, keeps_failed: bool, crashed: &[Crashed]) -> Result<(), String> {
        for slot in self.slots.iter_mut().filter(|slot| !keeps_failed && **slot == Slot::Failed) {
            *slot = Slot::Ready(seq);
        }
        for crash in crashed.iter().filter(|crash| crash.failure.is_some()) {
            let to = if crash.handled { Slot::Finished } else { Slot::Failed };
            self.settle(seq, crash.index, to)?;
        }
        Ok(())
    }

    /// A step changes nothing about what may run; that it is kept is checked outside the journal.
    fn step(&self, index: u32) -> Result<(), String> {
        match self.slots.get(index as usize) {
            Some(Slot::Finished) | None => {
                Err(format!("a step of the activation {index}, which is not open"))
            }
            Some(_) => Ok(()),
        }
    }

    fn finish(&mut self, seq: Seq, index: u32) -> Result<(), String> {
        self.finished += 1;
        self.settle(seq, index, Slot::Finished)
    }

    /// One of the questions that an activation asks at once.
    fn ask(&mut self, seq: Seq, index: u32, id: &str) -> Result<(), String> {
        match self.slots.get_mut(index as usize) {
            Some(Slot::Waiting(ids)) if !ids.iter().any(|open| open == id) => {
                ids.push(id.to_owned());
                ids.sort();
                self.settled = seq;
                Ok(())
            }
            _ => self.settle(seq, index, Slot::Waiting(vec![id.to_owned()])),
        }
    }

    fn answer(&mut self, seq: Seq, id: &str) -> Result<(), String> {
        for slot in &mut self.slots {
            let Slot::Waiting(ids) = slot else { continue };
            let Some(place) = ids.iter().position(|open| open == id) else { continue };
            ids.remove(place);
            if ids.is_empty() {
                *slot = Slot::Ready(seq);
            }
            return Ok(());
        }
        Err("an answer to a question that is not open".to_owned())
    }

    fn settle(&mut self, seq: Seq, index: u32, to: Slot) -> Result<(), String> {
        self.settled = seq;
        match self.slots.get_mut(index as usize) {
            Some(slot @ Slot::Ready(_)) => {
                *slot = to;
                Ok(())
            }
            Some(slot) => {
                Err(format!("activation {}.{index} becomes {to:?} although it is {slot:?}", self.superstep))
            }
            None => Err(format!("superstep {} has no activation {index}", self.superstep)),
        }
    }

    fn enter(&mut self, seq: Seq, commit: &Commit) -> Result<(), String> {
        if commit.superstep != self.superstep + 1 {
            return Err(format!("superstep {} follows superstep {}", commit.superstep, self.superstep));
        }
        self.settled = seq;
        self.superstep = commit.superstep;
        self.nodes = commit.next.iter().map(|planned| planned.node).collect();
        if !self.nodes.is_sorted() {
            return Err("the next activations are not in the order of declaration".to_owned());
        }
        self.slots = vec![Slot::Ready(seq); self.nodes.len()];
        self.answered.clear();
        self.inner.clear();
        self.open = !self.slots.is_empty();
        Ok(())
    }
}

/// The index within the id of an interrupt, `name@superstep.index`.
fn activation_of(interrupt: &str) -> Option<u32> {
    interrupt.rsplit_once('.')?.1.parse().ok()
}
