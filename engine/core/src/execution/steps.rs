//! Steps of activations: sub-results that are kept while the activation is open, so that whatever executes it next
//! need not do them again. What an effect of unknown outcome means to a node is decided by the node; that its
//! beginning is durable before it begins, and how it was settled, stands here.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::recover::{RecoverError, find, read};
use super::slot::{Progress, Slot};
use super::types::{Entry, Journaling, Refused, StepKept};
use super::{Execution, Gated};
use crate::failure::Failure;
use crate::ids::{ActivationId, Seq};
use crate::journal::{Body, EffectClass, Record, StepImage, StepState, StoredStep};

/// The steps of one activation. Nothing is allocated for one that has none.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Kept>);

/// A step, and the entry that says so; 0 if there is none.
#[derive(Debug)]
struct Kept {
    step: Arc<StoredStep>,
    seq: Seq,
}

impl Kept {
    /// Whether it is an effect that began and was not seen to end.
    fn is_unknown(&self) -> bool {
        self.step.class == EffectClass::AtMostOnce && self.step.state == StepState::Started
    }
}

impl Steps {
    /// None.
    pub(super) const NONE: Self = Self(Vec::new());

    /// Takes a step as it stands now; one that did not take place is forgotten.
    pub(super) fn keep(&mut self, step: StoredStep, seq: Seq) {
        let list = &mut self.0;
        let place = list.iter().position(|kept| kept.step.name == step.name);
        let gone = step.state == StepState::NotDone;
        let kept = Kept { step: Arc::new(step), seq };
        match place {
            Some(place) if gone => {
                list.remove(place);
            }
            Some(place) => list[place] = kept,
            None if gone => {}
            None => list.push(kept),
        }
    }

    /// Whether an effect began and was not seen to end.
    pub(super) fn has_unknown(&self) -> bool {
        self.0.iter().any(Kept::is_unknown)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Lets snapshots hold what no entry of this journal holds. Effects that only began are another thread's.
    pub(super) fn hold(&mut self) {
        self.0.retain(|kept| kept.step.state != StepState::Started);
        self.0.iter_mut().for_each(|kept| kept.seq = 0);
    }

    /// Forgets what is not to survive a failed attempt.
    pub(super) fn attempt_failed(&mut self) {
        self.0.retain(|kept| !kept.step.per_attempt);
    }

    pub(super) fn for_task(&self) -> Option<Arc<[Arc<StoredStep>]>> {
        (!self.0.is_empty()).then(|| self.0.iter().map(|kept| kept.step.clone()).collect())
    }

    /// With `whole`, without references to entries.
    pub(super) fn image(&self, whole: bool) -> Vec<StepImage> {
        let image = |kept: &Kept| match kept.seq {
            _ if whole => StepImage::Held(kept.step.as_ref().clone()),
            0 => StepImage::Held(kept.step.as_ref().clone()),
            seq => StepImage::At(seq),
        };
        self.0.iter().map(image).collect()
    }

    fn find(&self, name: &str) -> Option<&StoredStep> {
        self.0.iter().find(|kept| kept.step.name == name).map(|kept| kept.step.as_ref())
    }
}

/// The entry that a step of a snapshot refers to.
pub(super) fn held_by(image: &StepImage) -> Option<Seq> {
    match image {
        StepImage::At(seq) => Some(*seq),
        StepImage::Held(_) => None,
    }
}

/// The steps of a snapshot, those that it refers to read from their entries.
pub(super) fn load(images: Vec<StepImage>, entries: &[Entry]) -> Result<Steps, RecoverError> {
    let mut steps = Steps::default();
    for image in images {
        match image {
            StepImage::Held(step) => steps.keep(step, 0),
            StepImage::At(seq) => {
                let record: Record = read(find(entries, seq)?)?;
                let (Body::Step { step, .. } | Body::Settled { step, .. }) = record.body else {
                    return Err(RecoverError::Inconsistent { seq, what: "it should hold a step".to_owned() });
                };
                steps.keep(step, seq);
            }
        }
    }
    Ok(steps)
}

impl Execution {
    /// The id by which an effect is settled.
    fn effect_id(&self, name: &str, activation: ActivationId) -> String {
        format!("{name}@{}", self.full_id(activation))
    }

    /// The ids of effects that began and were not seen to end, while nothing executes them.
    pub fn unknown_effects(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| may_be_settled(slot)) {
            let activation = ActivationId { superstep: self.superstep, index: index as u32 };
            let unknown = slot.extra().steps.0.iter().filter(|kept| kept.is_unknown());
            ids.extend(unknown.map(|kept| self.effect_id(&kept.step.name, activation)));
        }
        ids.extend(self.nested_effects());
        ids
    }

    pub(super) fn stepped(
        &mut self,
        now_ms: u64,
        activation: ActivationId,
        attempt: u32,
        step: StoredStep,
    ) -> Result<(), Refused> {
        if !self.is_running(activation, attempt) {
            return Ok(());
        }
        let (index, name) = (activation.index, step.name.clone());
        let refused = self.step_fits(index, &step).err();
        if refused.is_none() {
            let begins = step.state == StepState::Started;
            self.write(now_ms, || Body::Step { index, attempt, step: step.clone() })?;
            let seq = if self.journals() { self.last_seq() } else { 0 };
            self.slots[index as usize].extra_mut().steps.keep(step, seq);
            if begins && self.options.journaling == Journaling::AtEnd {
                // That an effect begins is stored at every level: what is not stored would happen twice.
                self.write_snapshot(now_ms)?;
            }
        }
        self.gate(Gated::Kept(Box::new(StepKept { activation, attempt, name, refused })));
        // An effect that has ended may be all that its activation was waited for.
        self.settle(now_ms)
    }

    fn step_fits(&self, index: u32, step: &StoredStep) -> Result<(), Failure> {
        let (steps, most) = (&self.slots[index as usize].extra().steps, self.options.limits.steps);
        if steps.find(&step.name).is_none() && steps.0.len() >= most {
            let message = format!(
                "the activation has {most} steps, and `{}` would be one more; hand a part of the work to another node",
                step.name
            );
            return Err(Failure::permanent("SW-X253", message));
        }
        let value = if let StepState::Finished(value) = &step.state { value.len() } else { 0 };
        self.fits(step.name.len() + value).map_err(|error| {
            Failure::permanent(error.code(), format!("the step `{}` cannot be stored: {error}", step.name))
        })
    }

    pub(super) fn settled(
        &mut self,
        now_ms: u64,
        effect: &str,
        value: Option<Vec<u8>>,
    ) -> Result<(), Refused> {
        self.may_go_on()?;
        if let Some(settled) = self.settle_within(now_ms, effect, value.as_deref()) {
            return settled;
        }
        let superstep = self.superstep;
        let here = |(index, slot): (usize, &Slot)| {
            let activation = ActivationId { superstep, index: index as u32 };
            let is_it =
                |kept: &&Kept| kept.is_unknown() && self.effect_id(&kept.step.name, activation) == effect;
            let kept = may_be_settled(slot).then(|| slot.extra().steps.0.iter().find(is_it)).flatten()?;
            Some((index, kept.step.as_ref().clone()))
        };
        let Some((place, mut step)) = self.slots.iter().enumerate().find_map(here) else {
            let open = self.unknown_effects();
            let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
            return Err(Refused::UnknownEffect { id: effect.to_owned(), open });
        };
        self.fits(value.as_ref().map_or(0, Vec::len) + step.name.len())?;
        step.state = value.map_or(StepState::NotDone, |value| StepState::Finished(ByteBuf::from(value)));
        let index = place as u32;
        self.write(now_ms, || Body::Settled { index, step: step.clone() })?;
        let seq = if self.journals() { self.last_seq() } else { 0 };
        self.slots[place].extra_mut().steps.keep(step, seq);
        if self.options.journaling == Journaling::AtEnd {
            // What a person found out is stored at every level.
            self.write_snapshot(now_ms)?;
        }
        Ok(())
    }

    /// Tells an error handler which effects of the activation began and were not seen to end: the activation is gone
    /// afterwards, and nobody else can ask.
    pub(super) fn with_unknown_effects(&self, index: u32, mut failure: Failure) -> Failure {
        let activation = ActivationId { superstep: self.superstep, index };
        let unknown = self.slots[index as usize].extra().steps.0.iter().filter(|kept| kept.is_unknown());
        let words = unknown.map(|kept| {
            format!("the outcome of the effect `{}` is unknown", self.effect_id(&kept.step.name, activation))
        });
        failure.details.extend(words);
        failure
    }
}

/// While a node is at work, only the node knows how its effects end.
fn may_be_settled(slot: &Slot) -> bool {
    !matches!(slot.progress, Progress::Running | Progress::Finished { .. })
}
