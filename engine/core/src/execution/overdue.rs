//! Questions whose time is over: posed to somebody else, answered by their default, or failed. What was done is
//! recorded; time that nobody drove counts, but whoever is asked next has his whole time from when he is asked.

use std::sync::Arc;

use super::Execution;
use super::recover::RecoverError;
use super::slot::{Progress, Slot};
use super::types::{Notice, Refused};
use crate::failure::Failure;
use crate::ids::{ActivationId, Seq};
use crate::journal::{Body, StoredInterrupt};

/// What a question whose time is over calls for.
enum Due {
    Escalate { id: String, to: String, level: u32, deadline_ms: Option<u64> },
    Fail { name: String },
}

impl StoredInterrupt {
    /// Whether it is posed to somebody else before anything final happens.
    pub(super) fn climbs(&self) -> bool {
        self.ladder.as_ref().is_some_and(|ladder| !ladder.next.is_empty())
    }

    /// When whoever is asked from now on has no more time.
    pub(super) fn deadline_from(&self, now_ms: u64) -> Option<u64> {
        Some(now_ms.saturating_add(self.ladder.as_ref()?.wait_ms()?))
    }

    fn due(&self, now_ms: u64) -> Option<Due> {
        let mut ladder = self.ladder.clone().filter(|_| self.deadline_ms.is_some_and(|at| at <= now_ms))?;
        if self.climbs() {
            ladder.climb();
            let deadline_ms = ladder.wait_ms().map(|wait_ms| now_ms.saturating_add(wait_ms));
            let to = ladder.to.unwrap_or_default();
            return Some(Due::Escalate { id: self.id.clone(), to, level: ladder.level, deadline_ms });
        }
        ladder.fails.then(|| Due::Fail { name: self.name.clone() })
    }

    fn escalated(&mut self, deadline_ms: Option<u64>) {
        self.deadline_ms = deadline_ms;
        if let Some(ladder) = &mut self.ladder {
            ladder.climb();
        }
    }
}

impl Slot {
    /// When the first of its questions needs a look.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let Progress::Waiting(open) = &self.progress else { return None };
        open.iter().filter_map(|question| question.asked.deadline_ms).min()
    }

    /// Poses a question to the next one, live and in recovery alike; false if it is not open.
    pub(super) fn escalate(&mut self, id: &str, deadline_ms: Option<u64>) -> bool {
        let Progress::Waiting(open) = &mut self.progress else { return false };
        let found = open.iter_mut().find(|question| question.asked.id == id);
        found.map(|question| question.asked.escalated(deadline_ms)).is_some()
    }

    fn due(&self, now_ms: u64) -> Vec<Due> {
        let Progress::Waiting(open) = &self.progress else { return Vec::new() };
        open.iter().filter_map(|question| question.asked.due(now_ms)).collect()
    }
}

impl Execution {
    pub(super) fn replay_escalated(
        &mut self,
        seq: Seq,
        interrupt: &str,
        deadline_ms: Option<u64>,
    ) -> Result<(), RecoverError> {
        let climbed = self.slots.iter_mut().any(|slot| slot.escalate(interrupt, deadline_ms));
        let what = || "nobody asked what it escalates".to_owned();
        climbed.then_some(()).ok_or_else(|| RecoverError::Inconsistent { seq, what: what() })
    }

    /// What is called for at one activation.
    pub(super) fn overdue(&mut self, now_ms: u64, place: u32) -> Result<(), Refused> {
        for due in self.slots[place as usize].due(now_ms) {
            match due {
                Due::Escalate { id, to, level, deadline_ms } => {
                    self.slots[place as usize].escalate(&id, deadline_ms);
                    let interrupt = id.clone();
                    self.write(now_ms, || Body::Escalated { interrupt, to, level, deadline_ms })?;
                    let activation = ActivationId { superstep: self.superstep, index: place };
                    let mut open = self.slots[place as usize].open_questions(activation);
                    if let Some(interrupt) = open.find(|open| open.id == id).map(Arc::new) {
                        drop(open);
                        self.emit(|_| Notice::Asked { interrupt });
                    }
                }
                // Its other questions end with it.
                Due::Fail { name } => return self.unanswered(now_ms, place, &name),
            }
        }
        Ok(())
    }

    fn unanswered(&mut self, now_ms: u64, index: u32, name: &str) -> Result<(), Refused> {
        let failure = Failure::permanent("SW-X271", format!("nobody answered the question `{name}` in time"));
        let handled = self.has_handler(index);
        let failure = if handled { self.with_unknown_effects(index, failure) } else { failure };
        let stops = self.stops(index, !handled);
        let cut_short = stops.is_some();
        self.end_reservations_of(stops.as_deref());
        let slot = &self.slots[index as usize];
        let (attempt, node) = (slot.attempts, slot.node);
        let budget = self.budgets.take_settled();
        self.write(now_ms, || Body::Failed {
            index,
            attempt,
            failure: failure.clone(),
            retry: None,
            handled,
            stops,
            budget,
        })?;
        self.slots[index as usize].fail(failure.clone(), None, handled);
        if cut_short {
            self.cut_short();
        }
        let activation = ActivationId { superstep: self.superstep, index };
        let failure = Arc::new(failure);
        self.emit(|_| Notice::NodeFailed { activation, node, attempt, failure, retry_at_ms: None });
        Ok(())
    }

    /// The same at every activation, when a drive begins.
    pub(super) fn all_overdue(&mut self, now_ms: u64) -> Result<(), Refused> {
        for place in 0..self.slots.len() as u32 {
            self.overdue(now_ms, place)?;
        }
        Ok(())
    }
}
