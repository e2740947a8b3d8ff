//! The end of a superstep: folding, deciding what comes next, writing both down in one record, and going on.

use serde_bytes::Bytes;

use super::slot::Progress;
use super::types::{EntryKind, Journaling, Notice, Observe, Refused};
use super::writer::{self, HotBody, HotCommit};
use super::{Execution, Gated, advance, fold, gates};
use crate::failure::Failure;
use crate::ids::ActivationId;
use crate::journal;

impl Execution {
    /// Folds, judges and advances; on an error the failure, and the cell may be half folded.
    pub(super) fn try_commit(&mut self, now_ms: u64) -> Result<(), Failure> {
        self.enough_came(now_ms)?;
        fold::check_conflicts(&self.plan, self.cell.as_ref(), &self.slots)?;
        let references = match self.options.journaling {
            Journaling::Each => Some(&mut self.writer.references),
            Journaling::AtEnd => {
                self.writer.references.incomplete = true;
                None
            }
            Journaling::Off => None,
        };
        self.half_folded = true;
        fold::fold(&self.plan, self.cell.as_mut(), references, &mut self.slots)?;
        self.advance.clear();
        self.advance.now_ms = now_ms;
        let (gates, judged) = (&mut self.counters.gates, &mut self.advance.gates);
        gates::judge(&self.plan, gates, &self.slots, self.cell.as_mut(), judged)?;
        advance::advance(
            &self.plan,
            &self.counters,
            &self.options.limits,
            &self.slots,
            self.cell.as_ref(),
            &mut self.advance,
        )?;
        self.pauses.between(&self.slots, &self.advance.next, &mut self.advance.held);
        self.half_folded = false;
        Ok(())
    }

    /// Writes the record of a finished activation, with the commit or its failure. Says whether it was committed.
    pub(super) fn write_finished(
        &mut self,
        now_ms: u64,
        index: u32,
        attempt: u32,
        update: &[u8],
        committed: Option<Result<(), Failure>>,
    ) -> Result<bool, Refused> {
        let (commits, mut failure) = match committed {
            None => (false, None),
            Some(Ok(())) => (true, None),
            Some(Err(failure)) => (false, Some(failure)),
        };
        let budget = self.budgets.take_settled();
        if !self.journals() {
            self.commit_failure = failure;
            return Ok(commits);
        }
        let slot = &self.slots[index as usize];
        let posts = slot.extra().posts.as_slice();
        let cached = self.cached == Some((index, attempt));
        let Progress::Finished { decision, .. } = &slot.progress else {
            return Ok(false);
        };
        let route =
            |with_payloads| decision.as_ref().map(|d| writer::stored_route(d, with_payloads)).transpose();
        if commits {
            let commit = Some(HotCommit::new(self.superstep + 1, &self.advance));
            let body = HotBody::Finished {
                index,
                attempt,
                update: Bytes::new(update),
                route: route(false)?,
                commit,
                failure: None,
                posts,
                cached,
                budget: budget.as_deref(),
            };
            match journal::encode(&writer::record(&self.plan, now_ms, body)) {
                Ok(bytes) => {
                    self.writer.push(EntryKind::Record, bytes);
                    return Ok(true);
                }
                Err(error) => {
                    self.half_folded = true;
                    failure = Some(Failure::permanent(error.code(), error.to_string()));
                }
            }
        }
        let body = HotBody::Finished {
            index,
            attempt,
            update: Bytes::new(update),
            route: route(true)?,
            commit: None,
            failure: failure.as_ref(),
            posts,
            cached,
            budget: budget.as_deref(),
        };
        let bytes = journal::encode(&writer::record(&self.plan, now_ms, body))?;
        self.writer.push(EntryKind::Record, bytes);
        self.commit_failure = failure;
        Ok(false)
    }

    pub(super) fn commit_again(&mut self, now_ms: u64) -> Result<(), Refused> {
        let mut failure = self.try_commit(now_ms).err();
        if self.journals() {
            let encode = |commit, failure| {
                journal::encode(&writer::record(&self.plan, now_ms, HotBody::Committed { commit, failure }))
            };
            let commit = failure.is_none().then(|| HotCommit::new(self.superstep + 1, &self.advance));
            let bytes = match encode(commit, failure.as_ref()) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.half_folded = true;
                    let cause = Failure::permanent(error.code(), error.to_string());
                    let bytes = encode(None, Some(&cause))?;
                    failure = Some(cause);
                    bytes
                }
            };
            self.writer.push(EntryKind::Record, bytes);
        }
        let failed = failure.is_some();
        self.commit_failure = failure;
        if failed { self.settle(now_ms) } else { self.committed(now_ms) }
    }

    /// A superstep is over and its successor is decided.
    pub(super) fn committed(&mut self, now_ms: u64) -> Result<(), Refused> {
        let (superstep, seq) = (self.superstep, if self.journals() { self.last_seq() } else { 0 });
        if self.options.observe != Observe::Nothing {
            for place in 0..self.advance.gates.len() {
                let round = self.advance.gates[place].round.clone();
                self.emit(|_| Notice::Judged { round });
            }
        }
        self.emit(|_| Notice::Committed { superstep, seq });
        self.collect_posts();
        self.enter(superstep + 1);
        self.hand_out_posts(now_ms)?;
        if self.journals() && (self.writer.snapshot_due(&self.options) || self.writer.references.incomplete) {
            self.write_snapshot(now_ms)?;
        }
        self.go_on(now_ms)
    }

    /// Makes the advance the present superstep.
    pub(super) fn enter(&mut self, superstep: u64) {
        self.superstep = superstep;
        self.forget_nested();
        self.counters.apply(&self.advance.joins, &self.advance.crossings);
        self.exhausted = self.advance.exhausted;
        if !(self.held.is_empty() && self.advance.held.is_empty()) {
            self.held.clone_from(&self.advance.held);
        }
        self.back_offs.begin_superstep();
        std::mem::swap(&mut self.slots, &mut self.advance.next);
        self.advance.next.clear();
        self.unsettled = self.slots.len();
        if self.slots.is_empty() {
            // A run that finished is not undone.
            self.undos.clear();
        }
        if self.options.observe != Observe::Nothing {
            for place in 0..self.advance.taken.len() {
                let edge = self.advance.taken[place];
                self.emit(|_| Notice::EdgeTaken { edge });
            }
        }
    }

    /// Runs what is ready, or stops.
    pub(super) fn go_on(&mut self, now_ms: u64) -> Result<(), Refused> {
        self.time_joins();
        if !self.draining && self.exhausted.is_none() && self.held.is_empty() {
            self.run_ready();
        }
        self.settle(now_ms)
    }

    pub(super) fn run_ready(&mut self) {
        let limited = self.lanes.limit || self.slots.len() > self.options.limits.at_once;
        for place in 0..self.slots.len() {
            if !matches!(self.slots[place].progress, Progress::Ready) {
                continue;
            }
            if limited {
                self.lanes.hold(self.slots[place].node, place as u32);
            } else {
                self.begin(place as u32);
            }
        }
        self.run_held();
    }

    pub(super) fn begin(&mut self, place: u32) {
        let slot = &mut self.slots[place as usize];
        slot.progress = Progress::Running;
        self.running += 1;
        slot.attempts += 1;
        let activation = ActivationId { superstep: self.superstep, index: place };
        let (node, attempt) = (slot.node, slot.attempts);
        self.lanes.enter(node);
        self.emit(|_| Notice::NodeStarted { activation, node, attempt });
        if self.plan.nodes[node.index()].child.is_some() {
            self.enter_later(place);
        } else {
            self.gate(Gated::Run(place));
        }
    }
}
