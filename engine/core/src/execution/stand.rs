//! Where an execution stands, what it may do from there, and how a drive ends.

use serde_bytes::ByteBuf;

use super::slot::{BackOff, Progress, Question, Slot};
use super::types::{EntryKind, Interrupt, Journaling, Outcome, Refused, Status};
use super::{Execution, Gated, writer};
use crate::ids::{ActivationId, EdgeIx};
use crate::journal::{self, Body, Crossing, FrameError, SlotImage, SlotState, SnapshotBody};

impl Execution {
    /// Where the thread stands.
    pub fn status(&self) -> Status {
        if self.run.is_none() {
            return Status::Empty;
        }
        if self.cancelled {
            return Status::Stopped(Outcome::Cancelled);
        }
        if let Some(outcome) = self.undos.outcome(&self.plan) {
            return match outcome {
                _ if self.drained => Status::Stopped(Outcome::Drained),
                _ if self.undos.goes_on() => Status::Open,
                outcome => Status::Stopped(outcome),
            };
        }
        if self.slots.is_empty() {
            return Status::Stopped(Outcome::Finished);
        }
        if let Some(edge) = self.exhausted {
            return Status::Stopped(Outcome::Exhausted(edge));
        }
        if !self.held.is_empty() {
            return Status::Stopped(Outcome::PausedAt(self.held.clone()));
        }
        if let Some(failure) = &self.commit_failure {
            return Status::Stopped(Outcome::Failed(vec![(None, failure.clone())]));
        }
        if self.drained {
            return Status::Stopped(Outcome::Drained);
        }
        let others_run = self.unsettled > 0 && !self.cut_short;
        if others_run || self.slots.iter().all(Slot::is_finished) {
            return Status::Open;
        }
        let failures: Vec<_> = self
            .slots
            .iter()
            .filter_map(|slot| match &slot.progress {
                Progress::Failed(failure) => Some((Some(slot.node), failure.as_ref().clone())),
                _ => None,
            })
            .chain(self.nested_failures())
            .collect();
        if let Some(shortages) = self.shortages().filter(|_| !failures.is_empty()) {
            return Status::Stopped(Outcome::BudgetExceeded(shortages));
        }
        if !failures.is_empty() {
            return Status::Stopped(Outcome::Failed(failures));
        }
        let (asked, held) = (self.interrupts(), self.nested_pauses());
        let looks = asked.is_empty() && !held.is_empty();
        Status::Stopped(if looks { Outcome::PausedAt(held) } else { Outcome::Paused(asked) })
    }

    /// The open questions.
    pub fn interrupts(&self) -> Vec<Interrupt> {
        let superstep = self.superstep;
        let own = |(index, slot): (u32, &Slot)| {
            slot.open_questions(ActivationId { superstep, index }).collect::<Vec<_>>()
        };
        let mut open: Vec<Interrupt> = (0..).zip(&self.slots).flat_map(own).collect();
        open.extend(self.nested_interrupts());
        open
    }

    pub(super) fn may_start(&self) -> Result<(), Refused> {
        self.may_be_trusted()?;
        match (self.status(), &self.run) {
            (Status::Stopped(Outcome::Compensated { left, .. }), _) if left.is_empty() => Ok(()),
            (Status::Empty | Status::Stopped(Outcome::Finished | Outcome::Cancelled), _) | (_, None) => {
                Ok(())
            }
            (_, Some(run)) => Err(Refused::RunOpen { run: run.clone() }),
        }
    }

    fn may_be_trusted(&self) -> Result<(), Refused> {
        if self.is_sound() { Ok(()) } else { Err(Refused::Unsound) }
    }

    pub(super) fn may_go_on(&self) -> Result<(), Refused> {
        self.may_be_trusted()?;
        match self.status() {
            Status::Empty => Err(Refused::NothingOpen { how: "never begun" }),
            Status::Stopped(Outcome::Finished) => Err(Refused::NothingOpen { how: "finished" }),
            Status::Stopped(Outcome::Cancelled) => Err(Refused::NothingOpen { how: "been cancelled" }),
            Status::Stopped(Outcome::Compensated { left, .. }) if left.is_empty() => {
                Err(Refused::NothingOpen { how: "been undone" })
            }
            _ => Ok(()),
        }
    }

    /// The slot that waits for the answer to this question.
    pub(super) fn question(&self, id: &str) -> Result<usize, Refused> {
        self.may_go_on()?;
        let waits = |slot: &Slot| slot.progress.waits_for(id);
        if let Some(place) = self.slots.iter().position(waits) {
            return Ok(place);
        }
        if self.slots.iter().any(|slot| slot.extra().answers.iter().any(|(asked, _)| asked.id == id)) {
            return Err(Refused::AlreadyAnswered { id: id.to_owned() });
        }
        let open: Vec<String> = self.interrupts().into_iter().map(|interrupt| interrupt.id).collect();
        let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
        Err(Refused::UnknownInterrupt { id: id.to_owned(), open })
    }

    /// Lets others have the place of what ran, and stops the drive if nothing runs any more.
    pub(super) fn settle(&mut self, now_ms: u64) -> Result<(), Refused> {
        if !self.budgets.are_idle() {
            self.decide_claims(now_ms)?;
        }
        if !self.errand {
            self.run_held();
        }
        if self.driving && !self.errand && self.abandon(now_ms)? {
            return self.commit_again(now_ms);
        }
        if !self.driving || self.running > 0 || self.delivers() || self.undos.is_at_work() {
            return Ok(());
        }
        if std::mem::take(&mut self.errand) {
            return self.end_errand(now_ms);
        }
        match self.status() {
            Status::Stopped(Outcome::Failed(failures)) if self.plan.compensates && self.can_compensate() => {
                self.compensate(now_ms, &failures)
            }
            Status::Stopped(outcome) => self.stop(now_ms, outcome),
            Status::Open if self.draining => {
                self.write(now_ms, || Body::Drained)?;
                self.drained = true;
                self.stop(now_ms, Outcome::Drained)
            }
            Status::Open | Status::Empty => Ok(()),
        }
    }

    /// Ends a drive that only delivered. The thread stands where it stood, and how the drive before ended is still told.
    fn end_errand(&mut self, now_ms: u64) -> Result<(), Refused> {
        self.driving = false;
        // What was delivered inside is to be known to whoever takes the thread up next.
        self.flush_nested()?;
        if self.options.journaling == Journaling::AtEnd {
            self.write_snapshot(now_ms)?;
        }
        let outcome = match self.status() {
            Status::Stopped(outcome) => outcome,
            Status::Open | Status::Empty => Outcome::Drained,
        };
        self.gate(Gated::Stop(outcome));
        Ok(())
    }

    /// Ends the drive. A drive that will be taken up again leaves a snapshot, so that taking it up is quick.
    pub(super) fn stop(&mut self, now_ms: u64, outcome: Outcome) -> Result<(), Refused> {
        self.driving = false;
        self.driven = false;
        self.back_offs.clear();
        self.lanes.clear();
        let forced = match (self.options.journaling, &outcome) {
            (Journaling::Off, _) | (Journaling::Each, Outcome::Finished | Outcome::Cancelled) => false,
            // A commit that failed, here or inside, may have left a cell half folded: its value is not to be written down.
            _ if !self.is_sound() => false,
            // The execution around it writes the snapshots.
            _ if self.is_nested() => false,
            (Journaling::Each, _) | (Journaling::AtEnd, _) => true,
        };
        if forced {
            self.write_snapshot(now_ms)?;
        }
        let seq = if self.options.journaling == Journaling::Off { 0 } else { self.last_seq() };
        self.gated.push_back((seq, Gated::Stop(outcome)));
        Ok(())
    }

    pub(super) fn write_snapshot(&mut self, now_ms: u64) -> Result<(), Refused> {
        if self.is_nested() {
            // It stands in the snapshot of the execution around it: this asks for one.
            self.writer.push(EntryKind::Snapshot, Vec::new());
            return Ok(());
        }
        self.may_be_trusted()?;
        self.flush_nested()?;
        let self_contained =
            self.options.journaling == Journaling::AtEnd || self.writer.references.incomplete;
        let Some(body) = self.snapshot_body(now_ms, self_contained)? else { return Ok(()) };
        let about = self.plan.table.bytes() + body.values.len() + 64 * body.slots.len() + 512;
        let bytes = match journal::encode_about(about, &body) {
            Ok(bytes) => bytes,
            // A state too large for one entry is still safe in its records: they are replayed instead.
            Err(FrameError::Oversize { .. }) if !self_contained && !self.rewriting => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let seq = self.writer.push(EntryKind::Snapshot, bytes);
        if self_contained {
            self.writer.references.rebase(seq);
        }
        Ok(())
    }

    /// Where it stands; nothing if nothing was ever run.
    pub(super) fn snapshot_body(
        &self,
        now_ms: u64,
        self_contained: bool,
    ) -> Result<Option<SnapshotBody>, Refused> {
        let Some(run) = self.run.clone() else { return Ok(None) };
        let whole = self.is_nested();
        let image = |slot| self.slot_image(slot, whole, now_ms);
        let channels = self.plan.schema.channels;
        let values =
            self.cell.image(&|channel| self_contained || !channels[channel].reducer.is_referenced())?;
        let references = if self_contained { Vec::new() } else { self.writer.references.lists().to_vec() };
        let crossed = self.counters.crossed.iter().enumerate().filter(|(_, count)| **count > 0);
        let body = SnapshotBody {
            fingerprint: self.plan.fingerprint,
            state_version: self.plan.schema.version,
            at_ms: now_ms,
            run,
            table: self.plan.table.clone(),
            superstep: self.superstep,
            cancelled: self.cancelled,
            drained: self.drained,
            exhausted: self.exhausted,
            held: self.held.clone(),
            cut_short: self.cut_short,
            failure: self.commit_failure.clone(),
            slots: self.slots.iter().map(image).collect::<Result<_, Refused>>()?,
            joins: self.counters.joins.images(),
            gates: self.counters.gates.images(),
            crossings: crossed
                .map(|(edge, count)| Crossing { edge: EdgeIx(edge as u32), count: *count })
                .collect(),
            values: ByteBuf::from(values),
            references,
            self_contained,
            outbox: self.outbox_image(whole),
            origin: self.origin.clone(),
            budget: self.budgets.image(),
            undos: self.undos.image(),
            known: self.writer.values.image(),
        };
        Ok(Some(body))
    }

    /// With `whole`, without references to entries.
    fn slot_image(&self, slot: &Slot, whole: bool, now_ms: u64) -> Result<SlotImage, Refused> {
        let state = match &slot.progress {
            Progress::Within => SlotState::Ready,
            Progress::Ready | Progress::Running => match slot.extra().waited.as_deref() {
                Some(wait) => back_off(wait),
                None => SlotState::Ready,
            },
            Progress::Failed(failure) => SlotState::Failed(failure.as_ref().clone()),
            Progress::Handled(failure) => SlotState::Handled(failure.as_ref().clone()),
            Progress::BackingOff(wait) => back_off(wait),
            Progress::Abandoned => SlotState::Abandoned,
            Progress::Waiting(open) => waiting_image(open),
            Progress::Finished { seq, .. } if *seq > 0 && !whole && !self.rewriting => {
                SlotState::Finished { seq: *seq, update: None, route: None }
            }
            Progress::Finished { update, decision, seq } => SlotState::Finished {
                seq: if whole { 0 } else { *seq },
                update: Some(ByteBuf::from(self.cell.encode(update)?)),
                route: decision.as_ref().map(|decision| writer::stored_route(decision, true)).transpose()?,
            },
        };
        let input =
            slot.input.encode().map_err(|reason| FrameError::Malformed { reason })?.map(ByteBuf::from);
        let answers = slot.extra().answers.clone();
        let steps = slot.extra().steps.image(whole);
        let elsewhere = !whole && !self.rewriting;
        let held = matches!(slot.progress, Progress::Finished { seq, .. } if seq > 0 && elsewhere);
        let posts = if held { Vec::new() } else { slot.extra().posts.clone() };
        let tries = slot.extra().tries;
        let nested = self.nested_image(slot, now_ms)?;
        // That an execution runs is no record: one that dies with its drive is not counted, whatever is written meanwhile.
        let runs = matches!(slot.progress, Progress::Running);
        let attempts = if nested.is_some() { 0 } else { slot.attempts.saturating_sub(u32::from(runs)) };
        let (node, critique) = (slot.node, slot.critique.clone());
        Ok(SlotImage { node, input, critique, attempts, state, answers, steps, posts, tries, nested })
    }
}

fn back_off(wait: &BackOff) -> SlotState {
    SlotState::BackingOff { failure: wait.failure.clone(), at_ms: wait.at_ms }
}

/// A rejected question is always the first one.
fn waiting_image(open: &[Question]) -> SlotState {
    let Some((first, more)) = open.split_first() else { return SlotState::Ready };
    let more = more.iter().map(|question| question.asked.clone()).collect();
    SlotState::Waiting { asked: first.asked.clone(), rejected: first.rejected.clone(), more }
}
