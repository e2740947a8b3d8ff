//! Undoing effects in reverse order: which took place in this run, how far each of them is undone, and what comes next.
//! An undo is an effect: its beginning is durable before it begins.

use serde_bytes::ByteBuf;

use super::recover::{RecoverError, countable};
use super::types::{Journaling, Notice, Outcome, Refused};
use super::{Execution, Gated};
use crate::failure::Failure;
use crate::graph::Plan;
use crate::ids::{NodeIx, Seq};
use crate::journal::{
    Body, Compensating, StepState, StoredStep, StoredUndo, UndoChange, UndoImage, UndoImages, UndoState,
    Undoing,
};
use crate::policy::Tries;
use crate::undo::{NotUndone, UndoEnd, UndoPolicy, UndoTask};

/// Effects of one run that can be undone.
pub(super) const UNDOS_MAX: usize = 1000;

/// An effect that took place and how far it is undone.
#[derive(Debug)]
struct Undo {
    id: String,
    undo: StoredUndo,
    result: Option<ByteBuf>,
    state: UndoState,
    tries: Tries,
    /// Counts the tries, whatever they cost.
    attempts: u32,
}

/// All of them, in the order in which they took place.
#[derive(Debug, Default)]
pub(super) struct Undos {
    list: Vec<Undo>,
    compensating: Option<Compensating>,
}

impl Undos {
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= UNDOS_MAX
    }

    /// An effect ended, and says how it is undone.
    pub(super) fn register(&mut self, effect: &str, step: &StoredStep) {
        let (StepState::Finished(result), Some(undo)) = (&step.state, &step.undo) else { return };
        let id = id_of(effect);
        if self.list.iter().any(|undo| undo.id == id) {
            return;
        }
        let (undo, result) = (undo.as_ref().clone(), Some(result.clone()));
        let (state, tries) = (UndoState::Registered, Tries::default());
        self.list.push(Undo { id, undo, result, state, tries, attempts: 0 });
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the run is being undone, or was.
    pub(super) fn is_compensating(&self) -> bool {
        self.compensating.is_some()
    }

    /// Whether the driver undoes something.
    pub(super) fn is_at_work(&self) -> bool {
        self.list.iter().any(|undo| matches!(undo.state, UndoState::Begun(_)))
    }

    /// Whether something is left that will be tried without anybody's help.
    pub(super) fn goes_on(&self) -> bool {
        self.list.iter().any(|undo| {
            matches!(undo.state, UndoState::Registered | UndoState::Begun(_) | UndoState::BackingOff(_))
        })
    }

    fn left(&self) -> Vec<NotUndone> {
        let left = self.list.iter().rev().filter_map(|undo| match &undo.state {
            UndoState::Failed(failure) => {
                Some(NotUndone { id: undo.id.clone(), failure: Some(failure.clone()) })
            }
            UndoState::Unknown => Some(NotUndone { id: undo.id.clone(), failure: None }),
            _ => None,
        });
        left.collect()
    }

    /// How the drive ends once nothing goes on.
    pub(super) fn outcome(&self, plan: &Plan) -> Option<Outcome> {
        let compensating = self.compensating.as_ref()?;
        let node = |name: &Option<String>| name.as_deref().and_then(|name| plan.node_named(name));
        let failures = compensating.failures.iter();
        let failures = failures.map(|(name, failure)| (node(name), failure.clone())).collect();
        Some(Outcome::Compensated { failures, left: self.left() })
    }

    fn find(&mut self, id: &str) -> Option<&mut Undo> {
        self.list.iter_mut().find(|undo| undo.id == id)
    }

    fn apply(&mut self, change: UndoChange) -> bool {
        let Some(undo) = self.find(&change.id) else { return false };
        if let UndoState::Begun(attempt) = change.state {
            undo.attempts = attempt;
        }
        (undo.state, undo.tries) = (change.state, change.tries);
        true
    }

    pub(super) fn image(&self) -> Option<Box<UndoImages>> {
        let image = |undo: &Undo| UndoImage {
            change: UndoChange { id: undo.id.clone(), state: undo.state.clone(), tries: undo.tries },
            attempts: undo.attempts,
            undo: undo.undo.clone(),
            result: undo.result.clone(),
        };
        let images = UndoImages {
            list: self.list.iter().map(image).collect(),
            compensating: self.compensating.clone(),
        };
        (images != UndoImages::default()).then(|| Box::new(images))
    }

    pub(super) fn load(&mut self, seq: Seq, images: UndoImages) -> Result<(), RecoverError> {
        self.compensating = images.compensating;
        images.list.into_iter().try_for_each(|image| self.push(seq, image))
    }

    fn push(&mut self, seq: Seq, image: UndoImage) -> Result<(), RecoverError> {
        let UndoImage { change: UndoChange { id, state, tries }, attempts, undo, result } = image;
        countable_undo(seq, &state, attempts)?;
        self.list.push(Undo { id, undo, result, state, tries, attempts });
        Ok(())
    }
}

fn countable_undo(seq: Seq, state: &UndoState, attempts: u32) -> Result<(), RecoverError> {
    countable(seq, u64::from(attempts) << 32)?;
    match state {
        UndoState::Begun(attempt) => countable(seq, u64::from(*attempt) << 32),
        UndoState::BackingOff(at_ms) => countable(seq, *at_ms),
        _ => Ok(()),
    }
}

impl Execution {
    /// Whether a run that is cancelled, or that failed where the graph says so, has something to undo.
    pub(super) fn can_compensate(&self) -> bool {
        let has_undos = || !self.undos.list.is_empty() || !self.begun_effects().is_empty();
        // What a graph inside a node did is not undone without the run around it.
        !self.half_folded && !self.is_nested() && !self.undos.is_compensating() && has_undos()
    }

    /// Effects that began, were not seen to end, and say how they are undone.
    fn begun_effects(&self) -> Vec<UndoImage> {
        let image = |(effect, undo): (String, StoredUndo)| {
            // Whoever undoes once for each key may be asked to undo what perhaps never was.
            let idempotent = policy_of(&self.plan, &undo.kind).idempotent;
            let state = if idempotent { UndoState::Registered } else { UndoState::Unknown };
            let change = UndoChange { id: id_of(&effect), state, tries: Tries::default() };
            UndoImage { change, attempts: 0, undo, result: None }
        };
        self.begun_undos().into_iter().map(image).collect()
    }

    /// Nothing of the run goes on but its undoing.
    pub(super) fn compensate(
        &mut self,
        now_ms: u64,
        failures: &[(Option<NodeIx>, Failure)],
    ) -> Result<(), Refused> {
        let name = |node: &Option<NodeIx>| node.map(|node| self.plan.node_name(node).to_owned());
        let failures = failures.iter().map(|(node, failure)| (name(node), failure.clone())).collect();
        let compensating = Compensating { failures, begun: self.begun_effects() };
        self.write(now_ms, || Body::Undo(Box::new(Undoing::Begins(compensating.clone()))))?;
        // What comes from here cannot be out of range, so it is taken as it is.
        drop(self.begin_compensating(0, compensating));
        self.driving = true;
        self.driven = true;
        self.draining = false;
        self.go_on_undoing(now_ms)
    }

    /// What changes when undoing begins, live and in recovery alike.
    pub(super) fn begin_compensating(
        &mut self,
        seq: Seq,
        mut compensating: Compensating,
    ) -> Result<(), RecoverError> {
        self.adopt_all_posts();
        self.forget_nested();
        self.slots.clear();
        self.commit_failure = None;
        self.exhausted = None;
        self.held.clear();
        (self.drained, self.cut_short) = (false, false);
        self.back_offs.clear();
        self.lanes.clear();
        self.count_unsettled();
        let begun = std::mem::take(&mut compensating.begun);
        self.undos.compensating = Some(compensating);
        begun.into_iter().try_for_each(|image| self.undos.push(seq, image))
    }

    /// Undoes the next one, or ends the drive.
    pub(super) fn go_on_undoing(&mut self, now_ms: u64) -> Result<(), Refused> {
        if self.draining || self.undos.is_at_work() {
            return self.settle(now_ms);
        }
        let goes_on = |undo: &Undo| matches!(undo.state, UndoState::Registered | UndoState::BackingOff(_));
        let Some(place) = self.undos.list.iter().rposition(goes_on) else { return self.settle(now_ms) };
        let undo = &self.undos.list[place];
        match undo.state {
            UndoState::BackingOff(at_ms) if at_ms > now_ms => {
                self.gate(Gated::SetTimer(at_ms));
                Ok(())
            }
            _ => {
                let (id, tries, attempt) = (undo.id.clone(), undo.tries, undo.attempts + 1);
                self.change_undo(now_ms, UndoChange { id, state: UndoState::Begun(attempt), tries })?;
                if self.options.journaling == Journaling::AtEnd {
                    // That an effect begins is stored at every level.
                    self.write_snapshot(now_ms)?;
                }
                let undo = &self.undos.list[place];
                let task = UndoTask {
                    id: undo.id.clone(),
                    attempt,
                    kind: undo.undo.kind.clone(),
                    payload: undo.undo.payload.to_vec(),
                    result: undo.result.as_deref().map(|result| result.to_vec()),
                };
                self.gate(Gated::Undo(Box::new(task)));
                Ok(())
            }
        }
    }

    /// The time has come, perhaps, to try an undo again.
    pub(super) fn undo_timer_fired(&mut self, now_ms: u64) -> Result<(), Refused> {
        let waits = self.driving && self.undos.is_compensating() && !self.undos.is_at_work();
        if waits { self.go_on_undoing(now_ms) } else { Ok(()) }
    }

    fn change_undo(&mut self, now_ms: u64, change: UndoChange) -> Result<(), Refused> {
        self.write(now_ms, || Body::Undo(Box::new(Undoing::Changed(change.clone()))))?;
        let (id, state) = (change.id.clone(), change.state.clone());
        self.undos.apply(change);
        self.emit(|_| Notice::Undo { id, state });
        Ok(())
    }

    /// A try to undo has ended.
    pub(super) fn undo_ended(&mut self, now_ms: u64, end: UndoEnd) -> Result<(), Refused> {
        let UndoEnd { id, attempt, failure, draw } = end;
        let policies = self.plan.clone();
        let Some(undo) = self.undos.find(&id).filter(|undo| undo.state == UndoState::Begun(attempt)) else {
            return Ok(());
        };
        let mut tries = undo.tries;
        let state = match failure {
            None => UndoState::Undone,
            Some((failure, harmless)) => {
                let failure = failure.bounded();
                let policy = policy_of(&policies, &undo.undo.kind);
                let repeatable = policy.idempotent || harmless;
                match policy.retry.decide(&tries, &failure, now_ms, draw).filter(|_| repeatable) {
                    Some(retry) => {
                        tries.apply(&retry);
                        UndoState::BackingOff(retry.at_ms)
                    }
                    None if repeatable => UndoState::Failed(failure),
                    None => UndoState::Unknown,
                }
            }
        };
        self.change_undo(now_ms, UndoChange { id, state, tries })?;
        self.go_on_undoing(now_ms)
    }

    /// A driver takes undoing up again: what failed is tried anew, and what was at work only if it may be repeated.
    pub(super) fn take_undoing_up(&mut self, now_ms: u64) -> Result<(), Refused> {
        let mut changes = Vec::new();
        for undo in &self.undos.list {
            let idempotent = policy_of(&self.plan, &undo.undo.kind).idempotent;
            let state = match undo.state {
                UndoState::Failed(_) => UndoState::Registered,
                UndoState::Begun(_) | UndoState::Unknown if idempotent => UndoState::Registered,
                UndoState::Begun(_) => UndoState::Unknown,
                _ => continue,
            };
            changes.push(UndoChange { id: undo.id.clone(), state, tries: Tries::default() });
        }
        changes.into_iter().try_for_each(|change| self.change_undo(now_ms, change))
    }

    /// Somebody says how an undo ended whose outcome is unknown. Whether there is one with this id.
    pub(super) fn settle_undo(&mut self, now_ms: u64, id: &str, took_place: bool) -> Result<bool, Refused> {
        let unknown = |undo: &&mut Undo| undo.state == UndoState::Unknown;
        if self.undos.find(id).filter(unknown).is_none() {
            return Ok(false);
        }
        let state = if took_place { UndoState::Undone } else { UndoState::Registered };
        self.change_undo(now_ms, UndoChange { id: id.to_owned(), state, tries: Tries::default() })?;
        if self.options.journaling == Journaling::AtEnd {
            // What a person found out is stored at every level.
            self.write_snapshot(now_ms)?;
        }
        Ok(true)
    }

    /// The ids of undos that began and were not seen to end.
    pub(super) fn unknown_undos(&self) -> impl Iterator<Item = String> {
        let unknown = self.undos.list.iter().filter(|undo| undo.state == UndoState::Unknown);
        unknown.map(|undo| undo.id.clone())
    }

    pub(super) fn replay_undo(&mut self, seq: Seq, undoing: Undoing) -> Result<(), RecoverError> {
        let change = match undoing {
            Undoing::Begins(compensating) => return self.begin_compensating(seq, compensating),
            Undoing::Changed(change) => change,
        };
        let attempts = if let UndoState::Begun(attempt) = change.state { attempt } else { 0 };
        countable_undo(seq, &change.state, attempts)?;
        if self.undos.apply(change) {
            return Ok(());
        }
        Err(RecoverError::Inconsistent { seq, what: "it undoes what never took place".to_owned() })
    }
}

fn policy_of(plan: &Plan, kind: &str) -> UndoPolicy {
    plan.undos.iter().find(|undo| undo.kind == kind).map(|undo| undo.policy).unwrap_or_default()
}

/// The id by which the undoing of an effect is settled.
fn id_of(effect: &str) -> String {
    format!("undo {effect}")
}
