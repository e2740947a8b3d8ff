//! What a node sees: its input, a snapshot of the state, and the few things it may ask of the engine.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::task::AtomicWaker;
use serde::Serialize;
use statewright_engine_core::journal::Critique;
use statewright_engine_core::{ActivationId, Answer, Data, NodeIx, Plan, RunId, ThreadId};

use crate::events::{EventSender, Item, RunEvent};
use crate::timers::Pulse;

/// The context of one execution of a node over the state `S` with the input `I`.
pub struct Ctx<S, I = ()> {
    /// The state when the superstep began. Nodes that run at the same time see the same one.
    pub state: Arc<S>,
    /// What travelled along the edge.
    pub input: I,
    pub(crate) activation: Arc<Activation>,
}

/// Everything about an execution that does not depend on types.
pub(crate) struct Activation {
    pub(crate) run: Arc<RunScope>,
    pub(crate) id: ActivationId,
    pub(crate) node: NodeIx,
    pub(crate) attempt: u32,
    pub(crate) answers: Option<Arc<[Answer]>>,
    pub(crate) critique: Option<Arc<Critique>>,
    /// Where its signs of life are noted, if somebody waits for them.
    pub(crate) pulse: Option<Pulse>,
    /// Woken when the node asks, since the question may come from a task of its own.
    pub(crate) waker: AtomicWaker,
    /// Set after `halt`, so that an execution that goes on, as nearly all do, takes no lock.
    pub(crate) halting: AtomicBool,
    /// What stopped the node, set before it waits for ever.
    pub(crate) halt: Mutex<Option<Box<Halt>>>,
}

/// Everything that the executions of one drive share.
pub(crate) struct RunScope {
    pub(crate) plan: Arc<Plan>,
    pub(crate) thread: ThreadId,
    pub(crate) run: RunId,
    pub(crate) events: Option<EventSender>,
}

/// Why a node will not go on by itself.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It asked a question that has no answer.
    Asked { name: String, question: Vec<u8> },
    /// It asked a question that cannot be written down.
    Unaskable { name: String, reason: String },
    /// The answer that it was given does not fit.
    Rejected { name: String, reason: String },
}

impl Activation {
    /// One that stands for no execution yet.
    pub(crate) fn of(run: &Arc<RunScope>) -> Arc<Self> {
        Arc::new(Self {
            run: run.clone(),
            id: ActivationId { superstep: 0, index: 0 },
            node: NodeIx(0),
            attempt: 0,
            answers: None,
            critique: None,
            pulse: None,
            waker: AtomicWaker::new(),
            halting: AtomicBool::new(false),
            halt: Mutex::new(None),
        })
    }

    /// Makes it stand for this execution. A chain uses one for all its steps, since nobody else holds it between two.
    pub(crate) fn begin(
        &mut self,
        id: ActivationId,
        node: NodeIx,
        attempt: u32,
        answers: Option<Arc<[Answer]>>,
        critique: Option<Arc<Critique>>,
    ) {
        (self.id, self.node, self.attempt) = (id, node, attempt);
        (self.answers, self.critique) = (answers, critique);
        let idle = self.run.plan.nodes.get(node.index()).and_then(|node| node.policy.idle_timeout_ms());
        self.pulse = idle.map(|_| Pulse::new());
        if std::mem::take(self.halting.get_mut()) {
            *self.halt.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// The node will not go on: the first reason counts.
    fn stop(&self, halt: Halt) {
        self.halt.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Box::new(halt));
        self.halting.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Why the node will not go on, if it will not.
    pub(crate) fn halted(&self) -> Option<Box<Halt>> {
        if !self.halting.load(Ordering::Acquire) {
            return None;
        }
        self.halt.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S, I> Ctx<S, I> {
    /// The node's name.
    pub fn node(&self) -> &str {
        self.activation.run.plan.node_name(self.activation.node)
    }

    /// Counts the executions of this activation, from 1.
    pub fn attempt(&self) -> u32 {
        self.activation.attempt
    }

    /// Which gate sent the run back to this node, and what is to be mended; nothing the first time.
    pub fn critique(&self) -> Option<&Critique> {
        self.activation.critique.as_deref()
    }

    /// This activation, unique within the thread.
    pub fn activation(&self) -> ActivationId {
        self.activation.id
    }

    /// The thread.
    pub fn thread(&self) -> &ThreadId {
        &self.activation.run.thread
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        &self.activation.run.run
    }

    /// A key that is the same for every execution of this activation, over retries and crashes: give it to external
    /// systems, so that they recognise repeated work.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.activation.run.thread, self.activation.id)
    }

    /// Gives a sign of life, for the idle timeout of the node's policy. Without one it does nothing.
    pub fn heartbeat(&self) {
        if let Some(pulse) = &self.activation.pulse {
            pulse.beat();
        }
    }

    /// Sends an item to whoever watches the run, and gives a sign of life. Nothing is stored, and nobody is waited for.
    pub fn emit(&self, kind: &str, payload: &impl Serialize) {
        self.heartbeat();
        let Some(events) = &self.activation.run.events else { return };
        // An item that cannot be shown is not worth failing a node for.
        let Ok(payload) = serde_json::to_value(payload) else { return };
        events.send(RunEvent::Item(Item {
            node: self.activation.node,
            activation: self.activation.id,
            attempt: self.activation.attempt,
            kind: kind.into(),
            payload,
        }));
    }

    /// Asks whoever operates the run, and gives the answer.
    ///
    /// While there is no answer this never resolves: the question is stored, the node is dropped, and the run pauses
    /// once its siblings are done. When the answer is in, the node runs again from its top and the same call returns
    /// it, so what stands before it should be cheap or harmless to repeat. No error handling can swallow a pause.
    ///
    /// Answers are found by `name`; an answer that is not an `A` opens the question again and says why.
    pub fn ask<A: Data, Q: Serialize + ?Sized>(
        &self,
        name: &str,
        question: &Q,
    ) -> impl Future<Output = A> + Send + use<A, Q, S, I> {
        let answers = self.activation.answers.as_deref().unwrap_or_default();
        let answered = match answers.iter().find(|answer| answer.name == name) {
            Some(answer) => rmp_serde::from_slice::<A>(&answer.value)
                .map_err(|_| Halt::Rejected { name: name.to_owned(), reason: misfit::<A>(&answer.value) }),
            None => Err(match rmp_serde::to_vec_named(question) {
                Ok(question) => Halt::Asked { name: name.to_owned(), question },
                Err(error) => Halt::Unaskable { name: name.to_owned(), reason: error.to_string() },
            }),
        };
        let activation = self.activation.clone();
        async move {
            match answered {
                Ok(answer) => answer,
                Err(halt) => {
                    activation.stop(halt);
                    std::future::pending().await
                }
            }
        }
    }
}

/// Why an answer is not an `A`, for the person who gave it: the answer is shown as JSON, since nobody reads bytes.
fn misfit<A: Data>(answer: &[u8]) -> String {
    let expected = without_modules(std::any::type_name::<A>());
    let Ok(value) = rmp_serde::from_slice::<serde_json::Value>(answer) else {
        return format!("it is not of the type `{expected}`");
    };
    let shown = shortened(&value.to_string());
    match serde_json::from_value::<A>(value) {
        Ok(_) => format!("`{shown}` is not of the type `{expected}`"),
        Err(why) => format!("`{shown}` is not of the type `{expected}`: {}", shortened(&why.to_string())),
    }
}

/// The beginning of a text that may be as long as somebody likes.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `Option<String>` for `core::option::Option<alloc::string::String>`.
fn without_modules(type_name: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let type_name = type_name.replace("{{closure}}", "");
    let mut short = String::new();
    for piece in type_name.split_inclusive(|c: char| !is_path(c)) {
        short.push_str(piece.rsplit("::").next().unwrap_or(piece));
    }
    short
}

impl<S: fmt::Debug, I: fmt::Debug> fmt::Debug for Ctx<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("activation", &self.activation.id)
            .field("state", &self.state)
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn said<A: Data>(answer: &impl Serialize) -> String {
        misfit::<A>(&rmp_serde::to_vec_named(answer).unwrap())
    }

    #[test]
    fn an_answer_that_does_not_fit_is_explained_in_words() {
        #[derive(Clone, Serialize, serde::Deserialize)]
        struct Approval {
            yes: bool,
        }
        assert_eq!(
            said::<String>(&17),
            "`17` is not of the type `String`: invalid type: integer `17`, expected a string"
        );
        assert_eq!(
            said::<bool>(&"perhaps"),
            "`\"perhaps\"` is not of the type `bool`: invalid type: string \"perhaps\", expected a boolean"
        );
        let map = BTreeMap::from([("no", true)]);
        assert_eq!(
            said::<Approval>(&map),
            "`{\"no\":true}` is not of the type `Approval`: missing field `yes`"
        );
        assert!(
            said::<Option<Vec<Approval>>>(&1).starts_with("`1` is not of the type `Option<Vec<Approval>>`: ")
        );
        assert!(said::<(u8, Approval)>(&1).starts_with("`1` is not of the type `(u8, Approval)`: "));
        assert_eq!(misfit::<bool>(&[0xc1]), "it is not of the type `bool`");
    }

    #[test]
    fn an_answer_is_not_repeated_at_length() {
        let long = said::<bool>(&"ä".repeat(5_000));
        assert!(long.chars().count() < 500, "{long}");
    }
}
