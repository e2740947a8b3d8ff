//! One handler for each event: what it changes, what is written down, what comes next.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_bytes::{ByteBuf, Bytes};

use super::advance::{self, Counters, panic_text};
use super::slot::{Progress, Slot};
use super::types::{Asking, EntryKind, Journaling, Notice, Observe, Outcome, Refused, Status};
use super::writer::{self, HotBody, HotCommit, HotOpened};
use super::{Execution, Gated};
use crate::cell::UpdateValue;
use crate::failure::Failure;
use crate::ids::{ActivationId, EdgeIx, RunId};
use crate::journal::{self, Body, BudgetChange, StoredInterrupt};
use crate::route::Decision;

impl Execution {
    pub(super) fn start(&mut self, now_ms: u64, run: RunId, mut input: UpdateValue) -> Result<(), Refused> {
        self.may_start()?;
        let mut bytes = Vec::new();
        if self.journals() {
            bytes = self.cell.encode(&input)?;
            self.fits(bytes.len())?;
        }
        if self.run.is_some() {
            self.cell.begin_run();
            self.writer.references.reset(self.cell.as_ref(), |channel| channel.reset_on_run);
        }
        if self.journals() {
            let seq = self.writer.next_seq;
            self.writer.references.note(self.cell.as_ref(), &input, seq)?;
        } else if self.options.journaling == Journaling::AtEnd {
            self.writer.references.incomplete = true;
        }
        let cell = &mut self.cell;
        // From here on a refusal leaves the state half folded: the thread is then to be loaded anew.
        self.half_folded = true;
        let folded = catch_unwind(AssertUnwindSafe(|| cell.apply(&mut input, None)));
        folded.map_err(|panic| Refused::Input {
            failure: Failure::permanent("SW-X224", panic_text(panic.as_ref())),
        })??;
        self.run = Some(run.clone());
        (self.cancelled, self.drained, self.cut_short) = (false, false, false);
        self.commit_failure = None;
        self.counters = Counters::for_plan(&self.plan);
        self.budgets.begin_run();
        self.undos.clear();
        self.advance.clear();
        self.advance.now_ms = now_ms;
        advance::begin(&self.plan, &self.counters, &self.options.limits, &mut self.advance)
            .map_err(|failure| Refused::Input { failure })?;
        self.pauses.between(&[], &self.advance.next, &mut self.advance.held);
        let superstep = self.superstep + 1;
        let budget = BudgetChange { limits: self.budgets.take_wanted(), ..BudgetChange::default() }.boxed();
        if self.journals() {
            let budget = budget.as_deref();
            let commit = HotCommit::new(superstep, &self.advance);
            let table = self.plan.table.as_ref();
            let input = Bytes::new(&bytes);
            let body = HotBody::Opened(HotOpened { run: &run, input, table, commit, budget });
            let bytes = journal::encode_about(
                table.bytes() + input.len() + 512,
                &writer::record(&self.plan, now_ms, body),
            )?;
            self.writer.push(EntryKind::Record, bytes);
        }
        self.half_folded = false;
        self.driving = true;
        self.driven = true;
        self.draining = false;
        if !self.is_nested() {
            self.emit(|_| Notice::RunOpened { run, resumed: false });
        }
        self.enter(superstep);
        self.take_posts_back();
        self.hand_out_posts(now_ms)?;
        self.go_on(now_ms)
    }

    pub(super) fn resume(&mut self, now_ms: u64) -> Result<(), Refused> {
        self.may_go_on()?;
        let bounded = |edge: &EdgeIx| self.plan.edges[edge.index()].at_most;
        let edges = (0..self.plan.edges.len() as u32).map(EdgeIx);
        let granted: Vec<_> = edges
            .filter(|edge| bounded(edge).is_some_and(|most| self.counters.crossed[edge.index()] > most))
            .collect();
        let failed = |slot: &Slot| matches!(slot.progress, Progress::Failed(_));
        let failed = self.slots.iter().any(failed) || !self.nested_failures().is_empty();
        let keeps_failed = failed
            && !matches!(self.status(), Status::Stopped(Outcome::Failed(_) | Outcome::BudgetExceeded(_)));
        let crashed = self.crashed(now_ms);
        let waits = self.wait_anew(now_ms);
        // What the drive before left open was perhaps spent.
        self.budgets.end_all();
        let limits = self.budgets.take_wanted();
        let budget = BudgetChange { limits, ..self.budgets.take_change() }.boxed();
        let record = || {
            let (granted, crashed, waits) = (granted.clone(), crashed.clone(), waits.clone());
            Body::Resumed { granted, keeps_failed, crashed, waits, budget }
        };
        // Before the record of this drive, so that recovery sees them in the order in which they came to be.
        self.expire(now_ms)?;
        self.write(now_ms, record)?;
        self.counters.joins.apply(&waits);
        self.take_up(&granted, keeps_failed);
        self.count_crashes(&crashed);
        self.take_up_nested(now_ms, keeps_failed);
        self.driving = true;
        self.driven = true;
        self.draining = false;
        if let Some(run) = self.run.clone().filter(|_| !self.is_nested()) {
            self.emit(|_| Notice::RunOpened { run, resumed: true });
        }
        self.tell_crashes(crashed);
        self.take_posts_back();
        self.hand_out_posts(now_ms)?;
        self.all_overdue(now_ms)?;
        self.count_unsettled();
        if self.undos.is_compensating() {
            self.take_undoing_up(now_ms)?;
            return self.go_on_undoing(now_ms);
        }
        if self.slots.iter().all(Slot::is_finished) && !self.slots.is_empty() {
            // The last commit failed and its cause may be mended in this build.
            self.commit_again(now_ms)
        } else {
            self.wait_on(now_ms)?;
            self.go_on(now_ms)
        }
    }

    /// What a resume changes, live and in recovery alike.
    pub(super) fn take_up(&mut self, granted: &[EdgeIx], keeps_failed: bool) {
        for edge in granted {
            if let Some(count) = self.counters.crossed.get_mut(edge.index()) {
                *count = 1;
            }
        }
        // A pause that lies behind a bound was not seen yet.
        if self.exhausted.take().is_none() {
            self.held.clear();
        }
        (self.drained, self.cut_short) = (false, false);
        self.commit_failure = None;
        if !keeps_failed {
            self.budgets.forget_short();
        }
        for slot in &mut self.slots {
            match slot.progress {
                // Who was abandoned for a commit that was not made is awaited again, if only for a moment.
                Progress::Running | Progress::Abandoned => slot.progress = Progress::Ready,
                // Somebody wants it tried again: with everything that its policy allows.
                Progress::Failed(_) if !keeps_failed => {
                    slot.progress = Progress::Ready;
                    slot.grant_anew();
                }
                _ => {}
            }
        }
        self.count_unsettled();
    }

    pub(super) fn finished(
        &mut self,
        now_ms: u64,
        activation: ActivationId,
        attempt: u32,
        update: UpdateValue,
        decision: Option<Box<Decision>>,
    ) -> Result<(), Refused> {
        if !self.is_running(activation, attempt) {
            return Ok(());
        }
        let posted = self.slots[activation.index as usize].posted_bytes();
        let mut stored = std::mem::take(&mut self.writer.scratch);
        stored.clear();
        if self.journals() || self.options.observe == Observe::Updates {
            let encoded = self.encode_update(&update, &mut stored);
            if let Err(failure) =
                encoded.and_then(|()| self.route_fits(decision.as_deref(), stored.len() + posted))
            {
                self.writer.scratch = stored;
                return self.failed(now_ms, activation, attempt, failure, 0);
            }
        }
        let seq = if self.journals() { self.writer.next_seq } else { 0 };
        let index = activation.index as usize;
        self.end_reservations(activation);
        self.slots[index].progress = Progress::Finished { update, decision, seq };
        self.slots[index].drop_steps();
        self.adopt_posts(index);
        self.leave_running(activation.index);
        let complete = self.unsettled == 0 && self.slots.iter().all(Slot::is_finished);
        let committed = complete.then(|| self.try_commit(now_ms));
        let written = self.write_finished(now_ms, activation.index, attempt, &stored, committed);
        let cached = self.cached.take() == Some((activation.index, attempt));
        if self.options.observe != Observe::Nothing {
            let update = (self.options.observe == Observe::Updates).then(|| Arc::from(stored.as_slice()));
            let node = self.slots[index].node;
            self.emit(|_| Notice::NodeFinished { activation, node, update, cached });
        }
        self.writer.scratch = stored;
        if written? { self.committed(now_ms) } else { self.settle(now_ms) }
    }

    pub(super) fn failed(
        &mut self,
        now_ms: u64,
        activation: ActivationId,
        attempt: u32,
        failure: Failure,
        draw: u32,
    ) -> Result<(), Refused> {
        if !self.is_running(activation, attempt) {
            return Ok(());
        }
        let index = activation.index;
        let failure = failure.bounded();
        let short = self.end_short(activation, &failure);
        // A higher limit lets the activation go on, so that neither a policy nor a handler is to take it over.
        let retry = if short.is_some() { None } else { self.retry(index, &failure, now_ms, draw) };
        let handled = retry.is_none() && short.is_none() && self.has_handler(index);
        let failure = if handled { self.with_unknown_effects(index, failure) } else { failure };
        // Nor does it end what others do beside it.
        let stops = self.stops(index, retry.is_none() && short.is_none() && !handled);
        let cut_short = stops.is_some();
        self.end_reservations_of(stops.as_deref());
        let budget = BudgetChange { short: short.clone(), ..self.budgets.take_change() }.boxed();
        let record =
            || Body::Failed { index, attempt, failure: failure.clone(), retry, handled, stops, budget };
        self.write(now_ms, record)?;
        if let Some(shortage) = short {
            self.budgets.fall_short(index, shortage);
        }
        let slot = &mut self.slots[index as usize];
        slot.fail(failure.clone(), retry, handled);
        let node = slot.node;
        if handled {
            self.adopt_posts(index as usize);
        }
        let (retry_at_ms, failure) = (retry.map(|retry| retry.at_ms), Arc::new(failure));
        self.emit(|_| Notice::NodeFailed { activation, node, attempt, failure, retry_at_ms });
        match retry_at_ms {
            Some(at_ms) => self.back_off(index, at_ms),
            None => self.leave_running(index),
        }
        if cut_short {
            self.cut_short();
        }
        if handled && self.unsettled == 0 && self.slots.iter().all(Slot::is_finished) {
            return self.commit_again(now_ms);
        }
        self.settle(now_ms)
    }

    pub(super) fn asked(
        &mut self,
        now_ms: u64,
        activation: ActivationId,
        attempt: u32,
        questions: Vec<Asking>,
    ) -> Result<(), Refused> {
        if !self.is_running(activation, attempt) || questions.is_empty() {
            return Ok(());
        }
        for Asking { name, question, expiry, .. } in &questions {
            let default = expiry.as_ref().map_or(0, |(_, default)| default.len());
            if let Err(error) = self.fits(name.len() + question.len() + default) {
                let message = format!("the question `{name}` cannot be stored: {error}");
                let failure = Failure::permanent(error.code(), message);
                return self.failed(now_ms, activation, attempt, failure, 0);
            }
        }
        let index = activation.index;
        self.end_reservations(activation);
        self.write_settlements(now_ms)?;
        for Asking { name, question, expiry, ladder } in questions {
            let (after_ms, default) = expiry.unzip();
            let mut asked = StoredInterrupt {
                id: format!("{name}@{}", self.full_id(activation)),
                name,
                question: ByteBuf::from(question),
                deadline_ms: after_ms.map(|after_ms| now_ms.saturating_add(after_ms)),
                default: default.map(ByteBuf::from),
                ladder,
            };
            asked.deadline_ms = asked.deadline_from(now_ms).or(asked.deadline_ms);
            self.write(now_ms, || Body::Asked { index, attempt, interrupt: asked.clone() })?;
            self.slots[index as usize].ask(asked);
        }
        self.leave_running(index);
        self.time_answers(index);
        self.tell_questions(index);
        self.settle(now_ms)
    }

    fn tell_questions(&mut self, index: u32) {
        let activation = ActivationId { superstep: self.superstep, index };
        let open: Vec<_> = self.slots[index as usize].open_questions(activation).map(Arc::new).collect();
        for interrupt in open {
            self.emit(|_| Notice::Asked { interrupt });
        }
    }

    /// Questions whose time is over are answered by their defaults.
    pub(super) fn expire(&mut self, now_ms: u64) -> Result<(), Refused> {
        let drives = self.is_revived();
        for place in 0..self.slots.len() {
            for (interrupt, value) in self.slots[place].expired(now_ms) {
                let (id, default) = (interrupt.clone(), value.clone());
                self.write(now_ms, || Body::Answered { interrupt: id, value: default, drives })?;
                self.slots[place].answer(&interrupt, value);
            }
        }
        self.count_unsettled();
        Ok(())
    }

    pub(super) fn answer_rejected(
        &mut self,
        now_ms: u64,
        activation: ActivationId,
        attempt: u32,
        name: &str,
        reason: String,
    ) -> Result<(), Refused> {
        if !self.is_running(activation, attempt) {
            return Ok(());
        }
        let slot = &mut self.slots[activation.index as usize];
        let reason = crate::failure::shortened(reason);
        let Some(interrupt) = slot.reject_answer(name, &reason) else { return Ok(()) };
        self.leave_running(activation.index);
        self.end_reservations(activation);
        self.write_settlements(now_ms)?;
        self.write(now_ms, || Body::AnswerRejected { attempt, interrupt, reason })?;
        self.tell_questions(activation.index);
        self.settle(now_ms)
    }

    pub(super) fn answered(&mut self, now_ms: u64, id: &str, value: Vec<u8>) -> Result<(), Refused> {
        if let Some(answered) = self.answer_within(now_ms, id, &value) {
            return answered;
        }
        let place = self.question(id)?;
        self.fits(value.len())?;
        if self.slots[place].expired(now_ms).iter().any(|(expired, _)| expired == id) {
            return Err(Refused::Expired { id: id.to_owned() });
        }
        let (value, drives) = (ByteBuf::from(value), self.is_revived());
        self.write(now_ms, || Body::Answered { interrupt: id.to_owned(), value: value.clone(), drives })?;
        self.slots[place].answer(id, value);
        self.count_unsettled();
        if self.driving && !self.draining && !self.errand {
            self.run_ready();
        } else if self.options.journaling == Journaling::AtEnd {
            // An answer is a person's work: it is stored at every level.
            self.write_snapshot(now_ms)?;
        }
        Ok(())
    }

    pub(super) fn drain(&mut self, now_ms: u64) -> Result<(), Refused> {
        if !self.driving || self.draining {
            return Ok(());
        }
        self.draining = true;
        // Activations that are handed out but not yet taken need not begin: their record says that they are next.
        let mut kept = VecDeque::with_capacity(self.gated.len());
        for (seq, action) in std::mem::take(&mut self.gated) {
            match action {
                Gated::Run(place) => {
                    let slot = &mut self.slots[place as usize];
                    slot.progress = Progress::Ready;
                    slot.attempts -= 1;
                    self.yield_lane(place);
                }
                Gated::Emit(Notice::NodeStarted { .. }) | Gated::SetTimer(_) => {}
                other => kept.push_back((seq, other)),
            }
        }
        self.gated = kept;
        self.lanes.clear();
        self.drain_nested(now_ms)?;
        self.settle(now_ms)
    }

    pub(super) fn cancel(&mut self, now_ms: u64) -> Result<(), Refused> {
        if self.status() == Status::Stopped(Outcome::Finished) {
            let stopping = self.gated.iter().any(|(_, action)| matches!(action, Gated::Stop(_)));
            // Too late: the run has just finished, which whoever cancels it is told by its outcome.
            match (self.driving, stopping) {
                (true, _) => return self.leave_outbox(now_ms),
                (false, true) => return Ok(()),
                (false, false) => {}
            }
        }
        self.may_go_on()?;
        if self.driving && self.undos.is_compensating() {
            // It is on its way to the same end, and nobody wants to wait for the outbox.
            self.gated.retain(|(_, action)| !matches!(action, Gated::Deliver(_)));
            self.take_posts_back();
            return self.settle(now_ms);
        }
        self.budgets.end_all();
        self.write_settlements(now_ms)?;
        if self.can_compensate() {
            self.gated.retain(|(_, action)| matches!(action, Gated::Emit(_)));
            self.take_posts_back();
            return self.compensate(now_ms, &[]);
        }
        self.write(now_ms, || Body::Cancelled)?;
        self.cancelled = true;
        self.undos.clear();
        self.adopt_all_posts();
        self.forget_nested();
        self.slots.clear();
        self.count_unsettled();
        self.gated.retain(|(_, action)| matches!(action, Gated::Emit(_)));
        // What is under way is ended with the drive; whoever takes the thread up next delivers it again.
        self.take_posts_back();
        self.stop(now_ms, Outcome::Cancelled)
    }
}
