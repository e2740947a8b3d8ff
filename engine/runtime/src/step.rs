//! Steps within a node: sub-results that are kept by name, so that a crash, a pause or a retry of the node does not
//! repeat them. What steps and effects have in common is here, too.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use statewright_engine_core::{
    Amounts, Data, EffectClass, Event, StepState, StoredStep, StoredUndo, ThreadId,
};

use crate::budget::{self, Grant, holding};
use crate::context::{Activation, Ctx};
use crate::effect::{EffectError, UnknownEffect};
use crate::error::NodeError;
use crate::lock::lock;
use crate::metered::in_full;

impl<S, I> Ctx<S, I> {
    /// A step: its result is kept under this name, and later executions of this activation are given it instead of
    /// doing the work again. It is durable before the step returns.
    ///
    /// A name is used once in an execution; in a loop, [`Step::at`] adds an index to it. An error is not kept, so put
    /// the check of a result into the step: what does not pass is not replayed.
    ///
    /// ```
    /// # use statewright_engine_runtime::*;
    /// # async fn node<S>(ctx: Ctx<S>) -> Result<(), NodeError> {
    /// # async fn download(url: &str) -> Result<String, std::io::Error> { Ok(url.to_owned()) }
    /// let url = "https://example.org".to_owned();
    /// let page: String = ctx.step("fetch").input(&url).run(|| async { Ok(download(&url).await?) }).await?;
    /// # Ok(()) }
    /// ```
    pub fn step(&self, name: impl Into<String>) -> Step {
        Step(Call::new(self.activation.clone(), name.into(), EffectClass::Pure))
    }
}

/// A step that is about to be done; see [`Ctx::step`].
#[must_use = "a step does nothing until it is run and awaited"]
#[derive(Debug)]
pub struct Step(pub(crate) Call);

impl Step {
    /// Tells calls of one name apart, as in a loop.
    pub fn at(self, index: usize) -> Self {
        Self(self.0.at(index))
    }

    /// What the result depends on. A hash of it is kept with the result; a later execution that comes with another
    /// input is an error and not given the old result.
    pub fn input(self, input: &(impl Serialize + ?Sized)) -> Self {
        Self(self.0.input(input))
    }

    /// Forgets the result when the attempt fails. Crashes and pauses do not make it forgotten.
    pub fn per_attempt(mut self) -> Self {
        self.0.per_attempt = true;
        self
    }

    /// Gives the kept result, or does the work and keeps what it gives.
    ///
    /// # Errors
    /// The work's own error. `SW-X250` if the input is not the one that the kept result belongs to, `SW-X251` if the
    /// name was used before in this execution, `SW-X253` above 1,000 steps of one activation, `SW-X254` if the result
    /// cannot be stored or read as a `T`.
    pub async fn run<T: Data, Fut>(self, work: impl FnOnce() -> Fut + Send) -> Result<T, NodeError>
    where
        Fut: Future<Output = Result<T, NodeError>> + Send,
    {
        self.0.step(work, in_full).await
    }
}

/// What steps and effects have in common.
pub(crate) struct Call {
    activation: Arc<Activation>,
    name: String,
    /// A hash of the declared input, or why there is none.
    input: Option<Result<ByteBuf, String>>,
    pub(crate) class: EffectClass,
    per_attempt: bool,
    /// What it may cost.
    pub(crate) reserving: Option<Amounts>,
    /// How it is undone, or why that cannot be stored.
    pub(crate) undo: Option<Result<Box<StoredUndo>, String>>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("name", &self.name).field("class", &self.class).finish_non_exhaustive()
    }
}

impl Call {
    pub(crate) fn new(activation: Arc<Activation>, name: String, class: EffectClass) -> Self {
        Self { activation, name, input: None, class, per_attempt: false, reserving: None, undo: None }
    }

    pub(crate) fn at(mut self, index: usize) -> Self {
        self.name = format!("{}#{index}", self.name);
        self
    }

    pub(crate) fn input(mut self, input: &(impl Serialize + ?Sized)) -> Self {
        self.input = Some(hash_of(input).map(ByteBuf::from));
        self
    }

    pub(crate) fn key(&self) -> String {
        key(&self.activation.run.thread, &self.activation.full_id(), &self.name)
    }

    /// Takes the name, and keeps the node from being dropped by a question while the step is at work. Never resolves
    /// once the node has asked: what is at work then ends, and nothing more begins.
    pub(crate) async fn enter(&self) -> Result<InFlight, NodeError> {
        if self.activation.halting.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        if let Some(Err(reason)) = &self.input {
            let message = format!("the input of the step `{}` cannot be hashed: {reason}", self.name);
            return Err(NodeError::permanent(message).with_code("SW-X254"));
        }
        if self.undo.is_some() && self.activation.within.is_some() {
            return Err(budget::outermost_only("do an effect that can be undone"));
        }
        if let Some(Err(reason)) = &self.undo {
            let message = format!("how `{}` is undone cannot be stored: {reason}", self.name);
            return Err(NodeError::permanent(message).with_code("SW-X281"));
        }
        if !self.activation.steps.take_name(&self.name) {
            let message = format!(
                "the step `{}` is already used in this execution; give it another name, or an index by `.at(…)`",
                self.name
            );
            return Err(NodeError::permanent(message).with_code("SW-X251"));
        }
        Ok(InFlight::begin(&self.activation))
    }

    /// What an earlier execution kept.
    pub(crate) fn kept(&self) -> Result<Option<&StepState>, NodeError> {
        let Some(step) = self.activation.steps.earlier(&self.name) else { return Ok(None) };
        let present = self.input.as_ref().and_then(|input| input.as_ref().ok());
        if step.input.as_ref() != present {
            let message = format!(
                "the step `{}` has a kept result for another input; what a step depends on must be the same in every execution",
                self.name
            );
            return Err(NodeError::permanent(message).with_code("SW-X250"));
        }
        Ok(Some(&step.state))
    }

    pub(crate) fn read<T: Data>(&self, value: &[u8]) -> Result<T, NodeError> {
        rmp_serde::from_slice(value).map_err(|error| self.unstorable("read", &error))
    }

    fn unstorable(&self, what: &str, reason: &dyn fmt::Display) -> NodeError {
        let message = format!("the result of the step `{}` cannot be {what}: {reason}", self.name);
        NodeError::permanent(message).with_code("SW-X254")
    }

    pub(crate) fn unknown(&self) -> UnknownEffect {
        let id = format!("{}@{}", self.name, self.activation.full_id());
        UnknownEffect { id, name: self.name.clone(), key: self.key() }
    }

    /// Does the work of a step, unless its result is kept; `spent` says by the result what it cost.
    pub(crate) async fn step<T: Data, Fut>(
        self,
        work: impl FnOnce() -> Fut + Send,
        spent: impl FnOnce(&T) -> Amounts + Send,
    ) -> Result<T, NodeError>
    where
        Fut: Future<Output = Result<T, NodeError>> + Send,
    {
        let flight = self.enter().await?;
        match self.kept()? {
            Some(StepState::Finished(value)) => self.read(value),
            Some(StepState::Started) => Err(self.unknown().into()),
            Some(StepState::NotDone) | None => {
                let grant = self.reserve(None).await?;
                let result = holding(grant.as_ref(), work()).await?;
                self.settle_and_keep(grant, &result, spent).await?;
                drop(flight);
                Ok(result)
            }
        }
    }

    /// What the work may cost; `begins` is the effect that begins with it.
    async fn reserve(&self, begins: Option<StoredStep>) -> Result<Option<Grant>, NodeError> {
        match self.reserving.clone() {
            Some(amounts) => budget::reserve(self.activation.clone(), amounts, true, begins).await.map(Some),
            None => Ok(None),
        }
    }

    /// The settlement is left before the result, so that both are one record.
    async fn settle_and_keep<T: Data>(
        &self,
        grant: Option<Grant>,
        result: &T,
        spent: impl FnOnce(&T) -> Amounts,
    ) -> Result<(), NodeError> {
        if let Some(grant) = grant {
            grant.settle_amounts(spent(result));
        }
        self.keep_result(result).await
    }

    /// Does the work of an effect; `begun` says that its beginning is already durable.
    pub(crate) async fn perform<T: Data, Fut>(
        &self,
        work: impl FnOnce(String) -> Fut,
        begun: bool,
        spent: impl FnOnce(&T) -> Amounts,
    ) -> Result<T, EffectError>
    where
        Fut: Future<Output = Result<T, NodeError>> + Send,
    {
        let announced = self.class == EffectClass::AtMostOnce;
        let begins = announced && !begun;
        let grant = self.reserve(begins.then(|| self.stored(StepState::Started))).await?;
        if begins && grant.is_none() {
            self.keep(StepState::Started).await?;
        }
        match holding(grant.as_ref(), work(self.key())).await {
            Ok(result) => {
                self.settle_and_keep(grant, &result, spent).await?;
                Ok(result)
            }
            Err(error) => {
                if let Some(grant) = grant.filter(|_| error.is_without_effect()) {
                    grant.release();
                }
                if announced && error.is_without_effect() {
                    self.keep(StepState::NotDone).await?;
                }
                Err(EffectError::Failed(error))
            }
        }
    }

    pub(crate) async fn keep_result<T: Data>(&self, result: &T) -> Result<(), NodeError> {
        let value = rmp_serde::to_vec_named(result).map_err(|error| self.unstorable("stored", &error))?;
        self.keep(StepState::Finished(ByteBuf::from(value))).await
    }

    fn stored(&self, state: StepState) -> StoredStep {
        StoredStep {
            name: self.name.clone(),
            input: self.input.clone().and_then(Result::ok),
            class: self.class,
            per_attempt: self.per_attempt,
            state,
            undo: self.undo.clone().and_then(Result::ok),
        }
    }

    /// Until the step is as durable as the thread's level promises.
    async fn keep(&self, state: StepState) -> Result<(), NodeError> {
        let step = self.stored(state);
        let Activation { id, attempt, run, .. } = self.activation.as_ref();
        let event = Event::Stepped { activation: *id, attempt: *attempt, step: Box::new(step) };
        let kept = run.mailbox.send(self.activation.event(event));
        match kept.await {
            Ok(None) => Ok(()),
            Ok(Some(failure)) => Err(NodeError::permanent(failure.message).with_code(failure.code)),
            // Only a task that outlives its node can see this.
            Err(_) => {
                Err(NodeError::permanent("the drive is over, and the step is not kept").with_code("SW-X256"))
            }
        }
    }
}

/// A key that external systems can recognise repeated work by. SHA-256, cut to 128 bits.
pub(crate) fn key(thread: &ThreadId, activation: &str, name: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [thread.as_str(), activation, name] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of a value that does not depend on the order in which a map gives its keys.
pub(crate) fn hash_of(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, String> {
    let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    let mut hasher = Sha256::new();
    feed(&mut hasher, &value);
    Ok(hasher.finalize()[..16].to_vec())
}

fn feed(hasher: &mut Sha256, value: &serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => {
            hasher.update([b'[']);
            hasher.update((items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| feed(hasher, item));
        }
        serde_json::Value::Object(fields) => {
            hasher.update([b'{']);
            hasher.update((fields.len() as u64).to_le_bytes());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, field) in fields {
                feed_text(hasher, b'k', name);
                feed(hasher, field);
            }
        }
        serde_json::Value::String(text) => feed_text(hasher, b's', text),
        scalar => feed_text(hasher, b'n', &scalar.to_string()),
    }
}

fn feed_text(hasher: &mut Sha256, kind: u8, text: &str) {
    hasher.update([kind]);
    hasher.update((text.len() as u64).to_le_bytes());
    hasher.update(text);
}

/// A step that is at work. A node that asks is dropped only once there is none.
pub(crate) struct InFlight(Arc<Activation>);

impl InFlight {
    fn begin(activation: &Arc<Activation>) -> Self {
        activation.steps.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(activation.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.steps.in_flight.fetch_sub(1, Ordering::AcqRel);
        if self.0.halting.load(Ordering::Acquire) {
            self.0.waker.wake();
        }
    }
}

/// What one execution knows about its steps. Costs nothing for a node that does none.
#[derive(Default)]
pub(crate) struct StepScope {
    earlier: Option<Arc<[Arc<StoredStep>]>>,
    used: Mutex<BTreeSet<String>>,
    in_flight: AtomicU32,
}

impl StepScope {
    pub(crate) fn begin(&mut self, earlier: Option<Arc<[Arc<StoredStep>]>>) {
        self.earlier = earlier;
        let used = self.used.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !used.is_empty() {
            used.clear();
        }
        *self.in_flight.get_mut() = 0;
    }

    /// Whether nothing is at work.
    pub(crate) fn are_still(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    /// Whether nobody has used the name.
    fn take_name(&self, name: &str) -> bool {
        lock(&self.used).insert(name.to_owned())
    }

    fn earlier(&self, name: &str) -> Option<&StoredStep> {
        self.earlier.as_deref()?.iter().find(|step| step.name == name).map(AsRef::as_ref)
    }
}
