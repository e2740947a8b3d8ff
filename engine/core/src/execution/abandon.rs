//! Joins that wait for a limited time. A superstep is a barrier: when the time of a join is over, activations that lead
//! nowhere but to it are abandoned as soon as nothing else holds the superstep. That is recorded, what they would still
//! report is fenced, and the join runs with what came. Activations that others await go on, and hold the join with them.

use super::advance::went_elsewhere;
use super::recover::RecoverError;
use super::slot::{Progress, Slot};
use super::types::Refused;
use super::{Execution, Gated};
use crate::failure::Failure;
use crate::graph::JoinMode;
use crate::ids::{ActivationId, NodeIx, Seq};
use crate::journal::{Body, JoinChange, JoinEvent};

impl Slot {
    /// Nobody awaits it any more, live and in recovery alike.
    pub(super) fn abandon(&mut self) {
        self.progress = Progress::Abandoned;
        if let Some(extra) = &mut self.extra {
            extra.waited = None;
            extra.posts.clear();
        }
    }
}

impl Execution {
    pub(super) fn replay_abandoned(&mut self, seq: Seq, indexes: &[u32]) -> Result<(), RecoverError> {
        for index in indexes {
            self.slot_mut(seq, *index)?.abandon();
            self.adopt_posts(*index as usize);
        }
        Ok(())
    }

    /// Abandons what holds the superstep for joins whose time is over and for nothing else; says whether it did.
    pub(super) fn abandon(&mut self, now_ms: u64) -> Result<bool, Refused> {
        if self.draining || self.counters.joins.until_ms().is_none_or(|at_ms| at_ms > now_ms) {
            return Ok(false);
        }
        let over: Vec<u32> = self.counters.joins.over(now_ms).map(|(join, _)| join).collect();
        let open = |(_, slot): &(usize, &Slot)| !slot.is_finished();
        let open: Vec<u32> =
            self.slots.iter().enumerate().filter(open).map(|(place, _)| place as u32).collect();
        let feeders = over.iter().filter_map(|join| Some(&self.plan.joins.get(*join as usize)?.feeders));
        let feeders: Vec<_> = feeders.collect();
        let feeds = |node: NodeIx| feeders.iter().any(|set| set.contains(node));
        let of_no_use = |place: &u32| {
            let slot = &self.slots[*place as usize];
            // A node that has failed for good fails the run, and an effect that has begun is seen to its end.
            let effect = slot.extra().steps.has_unknown() || self.effect_within(slot);
            !matches!(slot.progress, Progress::Failed(_)) && feeds(slot.node) && !effect
        };
        if open.is_empty() || !open.iter().all(of_no_use) {
            return Ok(false);
        }
        self.write(now_ms, || Body::Abandoned { indexes: open.clone() })?;
        self.gated.retain(|(_, action)| !matches!(action, Gated::Run(place) if open.contains(place)));
        for index in open {
            let slot = &mut self.slots[index as usize];
            let runs = matches!(slot.progress, Progress::Running);
            slot.abandon();
            self.adopt_posts(index as usize);
            if runs {
                self.gate(Gated::Abandon(ActivationId { superstep: self.superstep, index }));
            }
        }
        self.lanes.clear();
        self.count_unsettled();
        Ok(true)
    }

    /// Whether each join whose time is over, and that needs so many, has them.
    pub(super) fn enough_came(&self, now_ms: u64) -> Result<(), Failure> {
        for (number, tokens) in self.counters.joins.over(now_ms) {
            let Some(join) = self.plan.joins.get(number as usize) else { continue };
            let (JoinMode::Quorum(needed), Some(timeout)) = (join.mode, join.timeout) else { continue };
            let ended = |source: &NodeIx| {
                let of_source = |slot: &&Slot| {
                    slot.node == *source
                        && matches!(slot.progress, Progress::Finished { .. })
                        && !went_elsewhere(&self.plan, slot)
                };
                self.slots.iter().any(|slot| of_source(&slot))
            };
            let came = join.sources.iter().filter(|source| tokens.contains(source) || ended(source)).count();
            if timeout.fails && came < needed as usize {
                let target = self.plan.node_name(join.target);
                return Err(Failure::permanent(
                    "SW-X272",
                    format!(
                        "only {came} of {} came to `{target}` within {} ms, and it needs {needed}",
                        join.sources.len(),
                        timeout.within_ms
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whoever resumes a run that failed over the time of a join wants it to wait anew.
    pub(super) fn wait_anew(&self, now_ms: u64) -> Vec<JoinChange> {
        if self.commit_failure.as_ref().is_none_or(|failure| failure.code != "SW-X272") {
            return Vec::new();
        }
        let anew = |(join, _): (u32, &[NodeIx])| {
            let within_ms = self.plan.joins.get(join as usize)?.timeout?.within_ms;
            Some(JoinChange { join, event: JoinEvent::Until(now_ms.saturating_add(within_ms)) })
        };
        self.counters.joins.over(now_ms).filter_map(anew).collect()
    }
}
