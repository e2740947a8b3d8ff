//! Effects within a node: work that must not happen twice. That it begins is durable before it begins, and one that was
//! not seen to end is unknown, never silently repeated.

use std::fmt;
use std::future::Future;

use serde::Serialize;
use statewright_engine_core::{Data, EffectClass, StepState};

use crate::context::Ctx;
use crate::error::NodeError;
use crate::metered::in_full;
use crate::step::Call;

impl<S, I> Ctx<S, I> {
    /// An effect on the world outside that must not happen twice. That it begins is durable before it begins; if it
    /// is then not seen to end, because the process died or it returned an error, the next execution of this
    /// activation does not repeat it, but gets [`EffectError::Unknown`], unless [`Effect::verify`] finds out.
    ///
    /// ```
    /// # use statewright_engine_runtime::*;
    /// # async fn node<S>(ctx: Ctx<S>) -> Result<(), NodeError> {
    /// # async fn pay(key: &str, cents: u64) -> Result<u64, std::io::Error> { Ok(cents) }
    /// let receipt: u64 = ctx.effect("charge").input(&900).run(|key| async move { Ok(pay(&key, 900).await?) }).await?;
    /// # Ok(()) }
    /// ```
    pub fn effect(&self, name: impl Into<String>) -> Effect {
        Effect(Call::new(self.activation.clone(), name.into(), EffectClass::AtMostOnce))
    }
}

/// An effect that is about to be done; see [`Ctx::effect`].
#[must_use = "an effect does nothing until it is run and awaited"]
#[derive(Debug)]
pub struct Effect(pub(crate) Call);

impl Effect {
    /// Tells calls of one name apart, as in a loop.
    pub fn at(self, index: usize) -> Self {
        Self(self.0.at(index))
    }

    /// What the effect depends on; as [`Step::input`](crate::Step::input).
    pub fn input(self, input: &(impl Serialize + ?Sized)) -> Self {
        Self(self.0.input(input))
    }

    /// Says that the other side does it once for each key, however often it is called: then it is simply repeated
    /// with the same key, and its outcome is never unknown.
    pub fn idempotent(mut self) -> Self {
        self.0.class = EffectClass::Idempotent;
        self
    }

    /// Asks the other side what became of an effect that began and was not seen to end. `Some` is its result; `None`
    /// says that it did not take place, and then it is done now.
    pub fn verify<V>(self, verify: V) -> VerifiedEffect<V> {
        VerifiedEffect { call: self.0, verify }
    }

    /// The key that the work is given: the same for every execution of this activation, over retries and crashes, and
    /// no other effect's.
    pub fn key(&self) -> String {
        self.0.key()
    }

    /// Gives the kept result, or does the work with its idempotency key and keeps what it gives.
    ///
    /// # Errors
    /// [`EffectError::Unknown`] if it began earlier and was not seen to end; else as [`Step::run`](crate::Step::run).
    pub async fn run<T: Data, Fut>(self, work: impl FnOnce(String) -> Fut + Send) -> Result<T, EffectError>
    where
        Fut: Future<Output = Result<T, NodeError>> + Send,
    {
        let call = self.0;
        let _flight = call.enter().await?;
        match call.kept()? {
            Some(StepState::Finished(value)) => Ok(call.read(value)?),
            Some(StepState::Started) => Err(EffectError::Unknown(call.unknown())),
            Some(StepState::NotDone) | None => call.perform(work, false, in_full).await,
        }
    }
}

/// An effect that can be looked up; see [`Effect::verify`].
#[must_use = "an effect does nothing until it is run and awaited"]
pub struct VerifiedEffect<V> {
    call: Call,
    verify: V,
}

impl<V> fmt::Debug for VerifiedEffect<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifiedEffect").field(&self.call).finish()
    }
}

impl<V> VerifiedEffect<V> {
    /// As [`Effect::run`], but an unknown outcome is looked up.
    ///
    /// # Errors
    /// As [`Effect::run`]; an error of the look-up leaves the outcome unknown, and the next execution looks again.
    pub async fn run<T: Data, Fut, Found>(
        self,
        work: impl FnOnce(String) -> Fut + Send,
    ) -> Result<T, EffectError>
    where
        Fut: Future<Output = Result<T, NodeError>> + Send,
        V: FnOnce(String) -> Found + Send,
        Found: Future<Output = Result<Option<T>, NodeError>> + Send,
    {
        let Self { call, verify } = self;
        let _flight = call.enter().await?;
        match call.kept()? {
            Some(StepState::Finished(value)) => Ok(call.read(value)?),
            Some(StepState::Started) => match verify(call.key()).await? {
                Some(result) => {
                    call.keep_result(&result).await?;
                    Ok(result)
                }
                None => call.perform(work, true, in_full).await,
            },
            Some(StepState::NotDone) | None => call.perform(work, false, in_full).await,
        }
    }
}

/// What an effect fails with. It becomes a [`NodeError`] by `?`.
#[derive(Debug)]
pub enum EffectError {
    /// It began and was not seen to end: it may have taken place, or not.
    Unknown(UnknownEffect),
    /// The work itself failed, or could not be done as a step.
    Failed(NodeError),
}

impl fmt::Display for EffectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EffectError::Unknown(unknown) => unknown.fmt(f),
            EffectError::Failed(error) => error.fmt(f),
        }
    }
}

impl From<NodeError> for EffectError {
    fn from(error: NodeError) -> Self {
        EffectError::Failed(error)
    }
}

impl From<EffectError> for NodeError {
    fn from(error: EffectError) -> Self {
        match error {
            EffectError::Unknown(unknown) => unknown.into(),
            EffectError::Failed(error) => error,
        }
    }
}

/// An effect whose outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEffect {
    /// The id by which an operator settles it: [`crate::Runner::settle`].
    pub id: String,
    /// The name of the effect, with its index if it has one.
    pub name: String,
    /// The idempotency key that its work was given.
    pub key: String,
}

impl fmt::Display for UnknownEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, key } = self;
        write!(
            f,
            "the effect `{name}` began and was not seen to end, so it may have taken place; look for its key {key} and settle `{id}`"
        )
    }
}

impl From<UnknownEffect> for NodeError {
    fn from(unknown: UnknownEffect) -> Self {
        NodeError::permanent(unknown.to_string()).with_code("SW-X252")
    }
}

/// What an operator found out about an effect whose outcome was unknown.
#[derive(Clone, Debug)]
pub struct Settlement(Option<Result<Vec<u8>, String>>);

impl Settlement {
    /// It took place, with this result; the type is the one that the work gives.
    pub fn took_place(result: &(impl Serialize + ?Sized)) -> Self {
        Self(Some(rmp_serde::to_vec_named(result).map_err(|error| error.to_string())))
    }

    /// It did not take place: do it when the activation runs again.
    pub fn did_not_take_place() -> Self {
        Self(None)
    }

    pub(crate) fn into_value(self) -> Result<Option<Vec<u8>>, String> {
        self.0.transpose()
    }
}
