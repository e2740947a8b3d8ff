//! Trying again: what follows a failure, and which activations wait for their time. The time itself is the driver's.

use std::collections::BTreeSet;

use super::slot::{Progress, Slot};
use super::types::Refused;
use super::{Execution, Gated};
use crate::failure::Failure;
use crate::policy::Retry;

/// The activations of the superstep that back off, by time. Made from the slots when a drive begins.
#[derive(Debug, Default)]
pub(super) struct BackOffs {
    waiting: BTreeSet<(u64, u32)>,
    /// The timer that the driver was told to set last.
    timer: Option<u64>,
}

impl BackOffs {
    /// Nothing of the superstep before waits any more.
    pub(super) fn begin_superstep(&mut self) {
        if !self.waiting.is_empty() {
            self.waiting.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.timer = None;
    }

    pub(super) fn timer(&self) -> Option<u64> {
        self.timer
    }

    /// Those whose time has come, in the order of the superstep.
    fn due(&mut self, now_ms: u64) -> BTreeSet<u32> {
        let mut due = BTreeSet::new();
        while let Some((at_ms, place)) = self.waiting.first().copied().filter(|(at_ms, _)| *at_ms <= now_ms) {
            self.waiting.remove(&(at_ms, place));
            due.insert(place);
        }
        due
    }

    /// The timer to set, if the one that is set is not the right one.
    fn next_timer(&mut self) -> Option<u64> {
        let next = self.waiting.first().map(|(at_ms, _)| *at_ms);
        let changed = next.is_some() && next != self.timer;
        self.timer = next;
        next.filter(|_| changed)
    }
}

/// In place of an activation: joins wait.
const JOINS: u32 = u32::MAX;

impl Execution {
    /// What the policy of its node says about a failure.
    pub(super) fn retry(&self, index: u32, failure: &Failure, now_ms: u64, draw: u32) -> Option<Retry> {
        let slot = &self.slots[index as usize];
        self.plan.nodes[slot.node.index()].policy.retries().decide(&slot.tries(), failure, now_ms, draw)
    }

    /// Whether an error handler goes on when this activation has failed for good.
    pub(super) fn has_handler(&self, index: u32) -> bool {
        !self.plan.nodes[self.slots[index as usize].node.index()].on_error.is_empty()
    }

    /// An activation that ran waits for its next attempt.
    pub(super) fn back_off(&mut self, index: u32, at_ms: u64) {
        self.yield_lane(index);
        self.back_offs.waiting.insert((at_ms, index));
        self.set_timer();
    }

    /// A drive begins: what backed off before goes on waiting for the rest of its time.
    pub(super) fn wait_on(&mut self, now_ms: u64) -> Result<(), Refused> {
        self.back_offs.clear();
        for (place, slot) in self.slots.iter().enumerate() {
            let at_ms = match &slot.progress {
                Progress::BackingOff(wait) => Some(wait.at_ms),
                _ => slot.deadline_ms(),
            };
            self.back_offs.waiting.extend(at_ms.map(|at_ms| (at_ms, place as u32)));
        }
        self.wake(now_ms).map(drop)
    }

    /// Joins wait for a limited time.
    pub(super) fn time_joins(&mut self) {
        if let Some(at_ms) = self.counters.joins.until_ms().filter(|_| self.driving) {
            self.back_offs.waiting.insert((at_ms, JOINS));
            self.set_timer();
        }
    }

    /// An activation waits for answers, and while others run its questions have their time.
    pub(super) fn time_answers(&mut self, index: u32) {
        if let Some(at_ms) = self.slots[index as usize].deadline_ms() {
            self.back_offs.waiting.insert((at_ms, index));
            self.set_timer();
        }
    }

    pub(super) fn timer_fired(&mut self, now_ms: u64) -> Result<(), Refused> {
        // The driver has no timer any more: if it fired too early, it is to be set again.
        self.back_offs.timer = None;
        if !self.driving || self.draining || !self.wake(now_ms)? {
            return Ok(());
        }
        // A commit that failed is tried again by a resume: what it had begun to fold is still there.
        let failed = self.commit_failure.is_some();
        if !failed && self.slots.iter().all(Slot::is_finished) && !self.slots.is_empty() {
            return self.commit_again(now_ms);
        }
        self.run_ready();
        self.settle(now_ms)
    }

    /// Makes those ready whose time has come, and says whether there were any.
    fn wake(&mut self, now_ms: u64) -> Result<bool, Refused> {
        let due = self.back_offs.due(now_ms);
        let mut asked = false;
        for place in &due {
            // The time of joins is looked at whenever something ends, and so after this.
            let Some(slot) = self.slots.get_mut(*place as usize) else { continue };
            match &slot.progress {
                Progress::BackingOff(wait) if wait.at_ms <= now_ms => slot.wake(),
                Progress::Waiting(_) => {
                    asked = true;
                    self.overdue(now_ms, *place)?;
                    self.time_answers(*place);
                }
                _ => {}
            }
        }
        if asked {
            self.expire(now_ms)?;
        }
        self.set_timer();
        Ok(!due.is_empty())
    }

    fn set_timer(&mut self) {
        if self.draining {
            return;
        }
        if let Some(at_ms) = self.back_offs.next_timer() {
            self.gate(Gated::SetTimer(at_ms));
        }
    }
}
