//! What a node lends to the parts that work inside it, so that an agent loop needs no graph: durable steps, questions,
//! budgets and streamed items. `graphs` binds it to the engine.

use std::time::Duration;

use serde_json::Value;

use crate::{BoxFuture, ErrorClass};

/// The node in which a part works. Whoever is given one may be dropped at any await, and begun again from the top later;
/// what is done in a [`step`](NodeHost::step) is then given back and not done again.
pub trait NodeHost: Send + Sync {
    /// Does a piece of work once and keeps its result under a name that no other step of this node has.
    ///
    /// # Errors
    /// What the work fails with, which is not kept; the host's own error when the result cannot be kept or belongs to
    /// another input, or a budget is used up.
    fn step<'a>(&'a self, step: HostStep<'a>, work: Work<'a>) -> BoxFuture<'a, Result<Value, HostError>>;

    /// Asks whoever operates the run, and does not resolve before there is an answer: until then the node rests, and is
    /// begun again with the answer. `name` is unique in the node.
    ///
    /// # Errors
    /// When the question cannot be posed.
    fn ask<'a>(&'a self, name: &'a str, question: Value) -> BoxFuture<'a, Result<Value, HostError>>;

    /// Streams an item to whoever watches; see [`item`](crate::item). Nothing is kept of it.
    fn emit(&self, kind: &'static str, payload: Value);

    /// A key of this node and `name` that is the same over retries and crashes.
    fn key(&self, name: &str) -> String;

    /// How many agents stand between this one and the node: 0 for one that the node runs itself.
    fn depth(&self) -> u32 {
        0
    }
}

/// The work of a step. It begins when it is awaited, and a host that has its result does not await it.
pub type Work<'a> = BoxFuture<'a, Result<Value, HostError>>;

/// A step that is about to be done.
#[derive(Debug, Clone, Copy)]
pub struct HostStep<'a> {
    /// Its name, unique in the node.
    pub name: &'a str,
    /// What its result depends on.
    pub input: &'a Value,
    /// Whether it may not be done twice: if it began and was not seen to end, it is not repeated, and the step fails with
    /// [`HostError::is_unknown`].
    pub at_most_once: bool,
    /// What it may cost, by unit; counted before it begins.
    pub reserve: &'a [(&'a str, u64)],
    /// What it did cost, told by its result; units that are not named are counted as reserved.
    pub spent: fn(&Value) -> Vec<(&'static str, u64)>,
}

impl<'a> HostStep<'a> {
    /// A step that costs nothing and may be repeated when it was not seen to end.
    #[must_use]
    pub fn new(name: &'a str, input: &'a Value) -> Self {
        Self { name, input, at_most_once: false, reserve: &[], spent: |_| Vec::new() }
    }
}

/// Why a step or a question failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// The stable code of what failed.
    pub code: String,
    /// What failed, for people.
    pub message: String,
    /// Whether trying again may help.
    pub class: ErrorClass,
    /// Whether the work may have been done, and nobody knows.
    pub is_unknown: bool,
    /// How long to wait before the next try, if whoever was asked said so.
    pub retry_after: Option<Duration>,
}

impl HostError {
    /// An error that trying again does not help.
    #[must_use]
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, class: ErrorClass::Permanent, is_unknown: false, retry_after: None }
    }
}

impl From<crate::ModelError> for HostError {
    fn from(error: crate::ModelError) -> Self {
        let (code, class) = (error.code().to_owned(), error.class());
        let retry_after = error.retry_after();
        Self { code, message: error.to_string(), class, is_unknown: false, retry_after }
    }
}
