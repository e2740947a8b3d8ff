//! Replay: one record after the other becomes true again. The decisions are those that the records hold.

use super::Execution;
use super::advance::Counters;
use super::fold;
use super::recover::{RecoverError, countable, payload};
use super::slot::{Progress, Slot};
use crate::cell::UpdateValue;
use crate::failure::Failure;
use crate::ids::{EdgeIx, NodeIx, Seq};
use crate::journal::{Body, BudgetChange, ChosenRoute, Commit, Crashed, Opened, StoredStep};
use crate::route::{Decision, Payloads};

impl Execution {
    pub(super) fn replay(&mut self, seq: Seq, body: Body) -> Result<(), RecoverError> {
        match body {
            Body::Opened(opened) => self.replay_opened(seq, *opened),
            Body::Finished { index, attempt, update, route, commit, failure, posts, budget, .. } => {
                self.replay_budget(budget);
                let node = self.slot_mut(seq, index)?.node;
                let decision = route.map(|route| self.decision(seq, node, route)).transpose()?;
                let slot = self.slot_mut(seq, index)?;
                slot.attempts = attempt;
                slot.drop_steps();
                if !posts.is_empty() {
                    slot.extra_mut().posts = posts;
                }
                slot.progress =
                    Progress::Finished { update: UpdateValue::from_bytes(&update), decision, seq };
                self.adopt_posts(index as usize);
                self.replay_commit(seq, commit.map(|commit| *commit), failure)
            }
            Body::Failed { .. } => self.replay_failed(seq, body),
            Body::Asked { index, attempt, interrupt } => {
                let slot = self.slot_mut(seq, index)?;
                countable(seq, u64::from(attempt) << 32)?;
                slot.attempts = attempt;
                slot.ask(interrupt);
                Ok(())
            }
            Body::Answered { interrupt, value, drives } => {
                self.replay_answered(seq, &interrupt, value)?;
                self.driven |= drives;
                Ok(())
            }
            Body::AnswerRejected { attempt, interrupt, reason } => {
                self.replay_rejected(seq, attempt, &interrupt, &reason)
            }
            Body::Step { index, step, budget, .. } => self.replay_step(seq, index, step, budget),
            Body::Undo(undoing) => self.replay_undo(seq, *undoing),
            Body::Budget(change) => {
                self.budgets.apply(*change);
                Ok(())
            }
            Body::Settled { index, step } => self.replay_step(seq, index, step, None),
            Body::Nested { index, entry } => self.replay_nested(seq, index, &entry),
            Body::Delivered { id } => {
                self.outbox.retain(|pending| pending.post.id != id);
                Ok(())
            }
            Body::Committed { commit, failure } => {
                self.replay_commit(seq, commit.map(|commit| *commit), failure)
            }
            Body::Abandoned { indexes } => self.replay_abandoned(seq, &indexes),
            Body::Resumed { granted, keeps_failed, crashed, waits, budget } => {
                self.replay_budget(budget);
                self.counters.joins.apply(&waits);
                self.replay_resumed(seq, &granted, keeps_failed, &crashed)
            }
            Body::Escalated { interrupt, deadline_ms, .. } => {
                self.replay_escalated(seq, &interrupt, deadline_ms)
            }
            Body::Cancelled => self.replay_cancelled(),
            Body::Drained => {
                self.drained = true;
                self.driven = false;
                Ok(())
            }
        }
    }

    fn replay_answered(
        &mut self,
        seq: Seq,
        interrupt: &str,
        value: serde_bytes::ByteBuf,
    ) -> Result<(), RecoverError> {
        self.note_end();
        let waits = |slot: &&mut Slot| slot.progress.waits_for(interrupt);
        let slot = self.slots.iter_mut().find(waits).ok_or_else(|| RecoverError::Inconsistent {
            seq,
            what: "nobody asked what it answers".to_owned(),
        })?;
        slot.answer(interrupt, value);
        Ok(())
    }

    fn replay_failed(&mut self, seq: Seq, body: Body) -> Result<(), RecoverError> {
        let Body::Failed { index, attempt, failure, retry, handled, stops, budget } = body else {
            return Ok(());
        };
        self.replay_stops(seq, stops.as_deref())?;
        let slot = self.slot_mut(seq, index)?;
        countable(seq, u64::from(attempt) << 32)?;
        countable(seq, retry.map_or(0, |retry| retry.at_ms))?;
        slot.attempts = attempt;
        slot.fail(failure, retry, handled);
        self.driven = true;
        if handled {
            self.adopt_posts(index as usize);
        }
        if let Some(shortage) = budget.as_ref().and_then(|change| change.short.clone()) {
            self.budgets.fall_short(index, shortage);
        }
        self.replay_budget(budget);
        Ok(())
    }

    fn replay_step(
        &mut self,
        seq: Seq,
        index: u32,
        step: StoredStep,
        budget: Option<Box<BudgetChange>>,
    ) -> Result<(), RecoverError> {
        self.slot_mut(seq, index)?;
        self.register_undo(index, &step);
        self.slot_mut(seq, index)?.extra_mut().steps.keep(step, seq);
        self.replay_budget(budget);
        Ok(())
    }

    fn replay_cancelled(&mut self) -> Result<(), RecoverError> {
        self.cancelled = true;
        self.undos.clear();
        self.adopt_all_posts();
        self.slots.clear();
        Ok(())
    }

    fn replay_budget(&mut self, change: Option<Box<BudgetChange>>) {
        if let Some(change) = change {
            self.budgets.apply(*change);
        }
    }

    fn replay_resumed(
        &mut self,
        seq: Seq,
        granted: &[EdgeIx],
        keeps_failed: bool,
        crashed: &[Crashed],
    ) -> Result<(), RecoverError> {
        for crash in crashed {
            countable(seq, u64::from(crash.count) << 32)?;
            self.slot_mut(seq, crash.index)?;
        }
        self.note_end();
        self.take_up(granted, keeps_failed);
        self.count_crashes(crashed);
        self.driven = true;
        Ok(())
    }

    fn replay_rejected(
        &mut self,
        seq: Seq,
        attempt: u32,
        interrupt: &str,
        reason: &str,
    ) -> Result<(), RecoverError> {
        countable(seq, u64::from(attempt) << 32)?;
        for slot in &mut self.slots {
            let answered = slot.extra().answers.iter().find(|(asked, _)| asked.id == interrupt);
            if let Some(name) = answered.map(|(asked, _)| asked.name.clone()) {
                slot.attempts = attempt;
                slot.reject_answer(&name, reason);
                return Ok(());
            }
        }
        Err(RecoverError::Inconsistent { seq, what: "no such answer".to_owned() })
    }

    fn replay_opened(&mut self, seq: Seq, opened: Opened) -> Result<(), RecoverError> {
        let cell_error = |error| RecoverError::Cell { seq, error };
        if self.run.is_some() {
            self.cell.begin_run();
            self.writer.references.reset(self.cell.as_ref(), |channel| channel.reset_on_run);
        }
        let mut input = UpdateValue::from_bytes(&opened.input);
        self.writer.references.note(self.cell.as_ref(), &input, seq).map_err(cell_error)?;
        self.cell.apply(&mut input, None).map_err(cell_error)?;
        self.run = Some(opened.run);
        self.driven = true;
        (self.cancelled, self.drained) = (false, false);
        self.commit_failure = None;
        self.counters = Counters::for_plan(&self.plan);
        self.budgets.begin_run();
        self.undos.clear();
        self.replay_budget(opened.budget);
        self.enter_recorded(seq, opened.commit)
    }

    fn replay_commit(
        &mut self,
        seq: Seq,
        commit: Option<Commit>,
        failure: Option<Failure>,
    ) -> Result<(), RecoverError> {
        // What ends an activation or a superstep comes from a drive at work, also where an answer came in the middle of
        // one that had nothing left but deliveries.
        self.driven = true;
        self.commit_failure = failure;
        let Some(commit) = commit else { return Ok(()) };
        let references = Some(&mut self.writer.references);
        fold::fold(&self.plan, self.cell.as_mut(), references, &mut self.slots)
            .map_err(|failure| RecoverError::Fold { seq, failure })?;
        for round in &commit.gates {
            let applied = self.counters.gates.apply(&self.plan, self.cell.as_mut(), round);
            applied.map_err(|error| RecoverError::Cell { seq, error })?;
        }
        self.collect_posts();
        self.enter_recorded(seq, commit)
    }

    fn enter_recorded(&mut self, seq: Seq, commit: Commit) -> Result<(), RecoverError> {
        countable(seq, commit.superstep)?;
        let crossed = commit.crossings.iter().map(|crossing| u64::from(crossing.count) << 32);
        countable(seq, crossed.max().unwrap_or(0))?;
        self.superstep = commit.superstep;
        self.counters.apply(&commit.joins, &commit.crossings);
        self.exhausted = commit.exhausted;
        self.held = commit.held;
        self.slots.clear();
        for planned in commit.next {
            self.known_node(seq, planned.node)?;
            let slot = Slot::new(planned.node, payload(planned.input));
            self.slots.push(Slot { critique: planned.critique, ..slot });
        }
        if self.slots.is_empty() {
            self.undos.clear();
        }
        Ok(())
    }

    pub(super) fn known_node(&self, seq: Seq, node: NodeIx) -> Result<(), RecoverError> {
        if node.index() < self.plan.nodes.len() {
            return Ok(());
        }
        Err(RecoverError::Inconsistent { seq, what: format!("the graph has no node {}", node.0) })
    }

    pub(super) fn slot_mut(&mut self, seq: Seq, index: u32) -> Result<&mut Slot, RecoverError> {
        let superstep = self.superstep;
        self.slots.get_mut(index as usize).ok_or_else(|| RecoverError::Inconsistent {
            seq,
            what: format!("superstep {superstep} has no activation {index}"),
        })
    }

    pub(super) fn decision(
        &self,
        seq: Seq,
        node: NodeIx,
        route: ChosenRoute,
    ) -> Result<Box<Decision>, RecoverError> {
        let variants = &self.plan.nodes[node.index()].route;
        let variant = variants.get(usize::from(route.variant)).ok_or_else(|| RecoverError::Inconsistent {
            seq,
            what: format!("`{}` has no route variant {}", self.plan.node_name(node), route.variant),
        })?;
        let each = variant.edges.first().is_some_and(|edge| self.plan.edges[edge.index()].each);
        let mut payloads = route.payloads.into_iter().map(|bytes| payload(Some(bytes)));
        let payloads = match (each, payloads.len()) {
            (true, _) => Payloads::Each(payloads.collect()),
            (false, 0) => Payloads::None,
            (false, _) => Payloads::One(payloads.next().unwrap_or_default()),
        };
        Ok(Box::new(Decision { variant: route.variant, payloads }))
    }
}
