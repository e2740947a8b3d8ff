//! What comes out of inner executions while they stand, and what is said to them: questions, effects, items, failures.

use super::{failures_within, standing};
use crate::execution::Execution;
use crate::execution::slot::{Progress, Slot};
use crate::execution::types::{Event, Interrupt, Outcome, Refused, Status};
use crate::failure::Failure;
use crate::ids::{ActivationId, NodeIx};
use crate::journal::{PausePoint, StoredPost};

impl Execution {
    /// What an activation that is over leaves in its inner outbox goes on waiting in this one.
    #[inline]
    pub(in crate::execution) fn adopt_posts(&mut self, place: usize) {
        if self.inner.any {
            self.adopt_posts_of(place);
        }
    }

    fn adopt_posts_of(&mut self, place: usize) {
        let Some(mut nested) = self.slots[place].child.take() else { return };
        nested.execution.adopt_all_posts();
        nested.execution.forget_holders();
        self.outbox.append(&mut nested.execution.outbox);
    }

    pub(in crate::execution) fn adopt_all_posts(&mut self) {
        if self.inner.any {
            (0..self.slots.len()).for_each(|place| self.adopt_posts(place));
        }
    }

    /// What failed inside activations that no handler goes on for.
    pub(in crate::execution) fn nested_failures(&self) -> Vec<(Option<NodeIx>, Failure)> {
        let mut failures = Vec::new();
        for slot in self.slots.iter().filter(|slot| matches!(slot.progress, Progress::Within)) {
            let Some(nested) = slot.child.as_deref() else { continue };
            match nested.execution.status() {
                Status::Stopped(Outcome::Failed(list)) => failures.extend(failures_within(slot, list)),
                Status::Stopped(Outcome::BudgetExceeded(list)) => {
                    let told = |shortage: String| Failure::permanent("SW-X276", shortage);
                    let list =
                        list.into_iter().map(|(_, shortage)| (Some(slot.node), told(shortage.to_string())));
                    failures.extend(list);
                }
                Status::Stopped(Outcome::Exhausted(edge)) => {
                    let edge = nested.execution.plan.describe_edge(edge);
                    let message = format!("the bound of the edge {edge} is used up; resuming grants it anew");
                    failures.push((Some(slot.node), Failure::permanent("SW-X286", message)));
                }
                _ => {}
            }
        }
        failures
    }

    /// Whether an effect has begun inside this activation and was not seen to end.
    pub(in crate::execution) fn effect_within(&self, slot: &Slot) -> bool {
        let Some(nested) = slot.child.as_deref() else { return false };
        let inner = &nested.execution;
        inner.slots.iter().any(|slot| slot.extra().steps.has_unknown() || inner.effect_within(slot))
    }

    /// Where inner executions pause because somebody wants to look: inside these nodes.
    pub(in crate::execution) fn nested_pauses(&self) -> Vec<PausePoint> {
        let paused = |(place, inner): (u32, &Execution)| match inner.status() {
            Status::Stopped(Outcome::PausedAt(_)) => {
                Some(PausePoint::Within(self.slots[place as usize].node))
            }
            _ => None,
        };
        self.nested().filter_map(paused).collect()
    }

    /// The open questions of inner executions, by the nodes of this graph.
    pub(in crate::execution) fn nested_interrupts(&self) -> Vec<Interrupt> {
        let of = |(place, inner): (u32, &Execution)| {
            let (node, activation) =
                (self.slots[place as usize].node, ActivationId { superstep: self.superstep, index: place });
            inner.interrupts().into_iter().map(move |asked| Interrupt { node, activation, ..asked })
        };
        self.nested().flat_map(of).collect()
    }

    /// Items that are left in inner outboxes.
    pub(in crate::execution) fn nested_outbox(&self) -> Box<dyn Iterator<Item = &StoredPost> + '_> {
        if !self.inner.any {
            return Box::new(std::iter::empty());
        }
        Box::new(self.nested().flat_map(|(_, inner)| inner.outbox()))
    }

    pub(in crate::execution) fn nested_effects(&self) -> Vec<String> {
        self.nested().flat_map(|(_, inner)| inner.unknown_effects()).collect()
    }

    /// Answers a question that was asked inside an activation; `None` if none was asked there.
    pub(in crate::execution) fn answer_within(
        &mut self,
        now_ms: u64,
        id: &str,
        value: &[u8],
    ) -> Option<Result<(), Refused>> {
        let knows =
            |inner: &Execution| !matches!(inner.knows_question(id), Err(Refused::UnknownInterrupt { .. }));
        let place = self.places(knows).first().copied()?;
        let answered =
            self.tell(now_ms, place, Event::Answered { interrupt: id.to_owned(), value: value.to_vec() });
        if answered.is_ok() {
            let slot = &mut self.slots[place as usize];
            if let (Progress::Within, Some(nested)) = (&slot.progress, slot.child.as_deref()) {
                slot.progress = standing(&nested.execution);
            }
            self.count_unsettled();
            if self.driving && !self.draining && !self.errand {
                self.run_ready();
            }
        }
        Some(answered)
    }

    fn knows_question(&self, id: &str) -> Result<(), Refused> {
        if self.nested().any(|(_, inner)| inner.knows_question(id).is_ok()) {
            return Ok(());
        }
        match self.question(id) {
            Ok(_) | Err(Refused::AlreadyAnswered { .. }) => Ok(()),
            Err(_) => Err(Refused::UnknownInterrupt { id: id.to_owned(), open: String::new() }),
        }
    }

    /// Settles an effect of an inner execution; `None` if it is of none.
    pub(in crate::execution) fn settle_within(
        &mut self,
        now_ms: u64,
        effect: &str,
        value: Option<&[u8]>,
    ) -> Option<Result<(), Refused>> {
        let place =
            self.places(|inner| inner.unknown_effects().iter().any(|id| id == effect)).first().copied()?;
        let value = value.map(<[u8]>::to_vec);
        Some(self.tell(now_ms, place, Event::Settled { effect: effect.to_owned(), value }))
    }

    /// Hands out what is left in inner outboxes.
    pub(in crate::execution) fn deliver_within(&mut self, now_ms: u64) -> Result<(), Refused> {
        for place in self.places(|inner| inner.outbox().next().is_some()) {
            let Some(nested) = self.nested_mut(place) else { continue };
            nested.execution.take_posts_back();
            nested.execution.hand_out_posts(now_ms)?;
            nested.execution.deliver_within(now_ms)?;
            self.inner.active.insert(place);
        }
        Ok(())
    }

    /// Whose outbox holds this item; `None` if it is not an inner one.
    pub(in crate::execution) fn delivered_within(
        &mut self,
        now_ms: u64,
        id: &str,
        delivered: bool,
    ) -> Option<Result<(), Refused>> {
        let place = self.places(|inner| inner.outbox().any(|post| post.id == id)).first().copied()?;
        Some(self.tell(now_ms, place, Event::Delivered { id: id.to_owned(), delivered }))
    }

    pub(in crate::execution) fn delivers_within(&self) -> bool {
        self.nested().any(|(_, inner)| inner.delivers() || inner.delivers_within())
    }
}
