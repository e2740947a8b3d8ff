//! Steps and effects that reserve from a budget, and say by their result what was spent.

use std::fmt;
use std::future::Future;

use statewright_engine_core::{Amounts, Data, StepState};

use crate::budget::to_amounts;
use crate::effect::{Effect, EffectError};
use crate::error::NodeError;
use crate::step::{Call, Step};

impl Step {
    /// Reserves before the work, as [`Ctx::reserve`](crate::Ctx::reserve) does, unless the result is kept already. Its
    /// settlement is stored in the same record as the result, in full unless [`Step::settling`] says otherwise. If the
    /// work fails, the reservation counts in full as an estimate.
    pub fn reserving(mut self, amounts: &[(&str, u64)]) -> Self {
        self.0.reserving = Some(to_amounts(amounts));
        self
    }

    /// Says by the result what was spent; units that are not named were spent in full.
    pub fn settling<F>(self, spent: F) -> MeteredStep<F> {
        MeteredStep { call: self.0, spent }
    }
}

impl Effect {
    /// As [`Step::reserving`]; the beginning of the effect and the reservation are one record. An error that is
    /// [`without_effect`](NodeError::without_effect) gives everything back.
    pub fn reserving(mut self, amounts: &[(&str, u64)]) -> Self {
        self.0.reserving = Some(to_amounts(amounts));
        self
    }

    /// As [`Step::settling`].
    pub fn settling<F>(self, spent: F) -> MeteredEffect<F> {
        MeteredEffect { call: self.0, spent }
    }
}

/// A step whose result says what was spent; see [`Step::settling`].
#[must_use = "a step does nothing until it is run and awaited"]
pub struct MeteredStep<F> {
    call: Call,
    spent: F,
}

impl<F> fmt::Debug for MeteredStep<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeteredStep").field(&self.call).finish()
    }
}

impl<F> MeteredStep<F> {
    /// As [`Step::run`].
    ///
    /// # Errors
    /// As [`Step::run`] and [`Ctx::reserve`](crate::Ctx::reserve).
    pub async fn run<T: Data, U, Fut>(self, work: impl FnOnce() -> Fut + Send) -> Result<T, NodeError>
    where
        F: FnOnce(&T) -> U + Send,
        U: IntoIterator<Item = (&'static str, u64)>,
        Fut: Future<Output = Result<T, NodeError>> + Send,
    {
        let Self { call, spent } = self;
        call.step(work, |result| named(spent(result))).await
    }
}

/// An effect whose result says what was spent; see [`Effect::settling`].
#[must_use = "an effect does nothing until it is run and awaited"]
pub struct MeteredEffect<F> {
    call: Call,
    spent: F,
}

impl<F> fmt::Debug for MeteredEffect<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeteredEffect").field(&self.call).finish()
    }
}

impl<F> MeteredEffect<F> {
    /// As [`Effect::run`].
    ///
    /// # Errors
    /// As [`Effect::run`] and [`Ctx::reserve`](crate::Ctx::reserve).
    pub async fn run<T: Data, U, Fut>(self, work: impl FnOnce(String) -> Fut + Send) -> Result<T, EffectError>
    where
        F: FnOnce(&T) -> U + Send,
        U: IntoIterator<Item = (&'static str, u64)>,
        Fut: Future<Output = Result<T, NodeError>> + Send,
    {
        let Self { call, spent } = self;
        let _flight = call.enter().await?;
        match call.kept()? {
            Some(StepState::Finished(value)) => Ok(call.read(value)?),
            Some(StepState::Started) => Err(EffectError::Unknown(call.unknown())),
            Some(StepState::NotDone) | None => call.perform(work, false, |result| named(spent(result))).await,
        }
    }
}

/// Everything that was reserved was spent.
pub(crate) fn in_full<T>(_: &T) -> Amounts {
    Amounts::new()
}

fn named(spent: impl IntoIterator<Item = (&'static str, u64)>) -> Amounts {
    let spent: Vec<(&str, u64)> = spent.into_iter().collect();
    to_amounts(&spent)
}
