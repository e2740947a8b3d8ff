//! What a node sees: its input, a snapshot of the state, and the few things it may ask of the engine.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::task::AtomicWaker;
use serde::Serialize;
use statewright_engine_core::journal::Critique;
use statewright_engine_core::{
    ActivationId, Answer, Asking, Data, Event, NodeIx, Plan, RunId, StoredStep, ThreadId,
};

use crate::cache::Cached;
use crate::error::Classifier;
use crate::events::{EventSender, Item, RunEvent};
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::outbox::Posts;
use crate::question::or_halt;
use crate::step::StepScope;
use crate::subgraph::Within;
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
    /// Where it stands, if it is inside a graph that is a node.
    pub(crate) within: Option<Arc<Within>>,
    pub(crate) id: ActivationId,
    pub(crate) node: NodeIx,
    pub(crate) attempt: u32,
    pub(crate) answers: Option<Arc<[Answer]>>,
    pub(crate) critique: Option<Arc<Critique>>,
    /// Where its signs of life are noted, if somebody waits for them.
    pub(crate) pulse: Option<Pulse>,
    pub(crate) steps: StepScope,
    /// How often it wanted to reserve.
    pub(crate) claims: AtomicU32,
    /// What the node posted.
    pub(crate) posts: Posts,
    /// Set after `posts`, so that a node that posts nothing, as nearly all do, takes no lock.
    pub(crate) posted: AtomicBool,
    /// Whether its result is an earlier one.
    pub(crate) cached: AtomicBool,
    /// Woken when the node asks, since the question may come from a task of its own.
    pub(crate) waker: AtomicWaker,
    /// Set after `halt`, so that an execution that goes on, as nearly all do, takes no lock.
    pub(crate) halting: AtomicBool,
    /// What stopped the node, set before it waits for ever; several questions if it asked them at once.
    pub(crate) halts: Mutex<Vec<Halt>>,
}

/// Everything that the executions of one drive share.
pub(crate) struct RunScope {
    pub(crate) plan: Arc<Plan>,
    pub(crate) thread: ThreadId,
    pub(crate) run: RunId,
    pub(crate) events: Option<EventSender>,
    /// Where nodes leave what is to be kept.
    pub(crate) mailbox: Mailbox,
    /// Where results of nodes are kept, if they are.
    pub(crate) results: Option<Cached>,
}

/// Why a node will not go on by itself.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It asked a question that has no answer.
    Asked(Asking),
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
            within: None,
            id: ActivationId { superstep: 0, index: 0 },
            node: NodeIx(0),
            attempt: 0,
            answers: None,
            critique: None,
            pulse: None,
            steps: StepScope::default(),
            claims: AtomicU32::new(0),
            posts: Posts::default(),
            posted: AtomicBool::new(false),
            cached: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            halting: AtomicBool::new(false),
            halts: Mutex::new(Vec::new()),
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
        steps: Option<Arc<[Arc<StoredStep>]>>,
    ) {
        (self.id, self.node, self.attempt) = (id, node, attempt);
        (self.answers, self.critique) = (answers, critique);
        let idle = self.plan().nodes.get(node.index()).and_then(|node| node.policy.idle_timeout_ms());
        self.pulse = idle.map(|_| Pulse::new());
        self.steps.begin(steps);
        *self.cached.get_mut() = false;
        *self.claims.get_mut() = 0;
        if std::mem::take(self.posted.get_mut()) {
            self.posts.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
        if std::mem::take(self.halting.get_mut()) {
            self.halts.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The graph that its node belongs to.
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        self.within.as_ref().map_or(&self.run.plan, |within| within.graph.plan())
    }

    /// Its name, unique in the whole thread.
    pub(crate) fn full_id(&self) -> String {
        format!("{}{}", self.within.as_ref().map_or("", |within| within.path()), self.id)
    }

    /// What recognises the errors of its graph, if that is not the outermost one.
    pub(crate) fn classifiers(&self) -> Option<&Arc<[Classifier]>> {
        self.within.as_ref().map(|within| within.graph.classifiers())
    }

    /// An event of this execution, as the driver takes it.
    #[inline]
    pub(crate) fn event(&self, event: Event) -> Event {
        match &self.within {
            Some(within) => within.event(event),
            None => event,
        }
    }

    /// The node will not go on.
    pub(crate) fn stop(&self, halt: Halt) {
        lock(&self.halts).push(halt);
        self.halting.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// What the node posted, once.
    pub(crate) fn take_posts(&self) -> Vec<(String, Vec<u8>)> {
        if !self.posted.load(Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *lock(&self.posts))
    }

    /// Why the node will not go on, if it will not.
    pub(crate) fn halted(&self) -> Option<Vec<Halt>> {
        if !self.halting.load(Ordering::Acquire) {
            return None;
        }
        Some(std::mem::take(&mut *lock(&self.halts)))
    }
}

impl<S, I> Ctx<S, I> {
    /// The node's name.
    pub fn node(&self) -> &str {
        self.activation.plan().node_name(self.activation.node)
    }

    /// Counts the executions of this activation, from 1.
    pub fn attempt(&self) -> u32 {
        self.activation.attempt
    }

    /// Which gate sent the run back to this node, and what is to be mended; nothing the first time.
    pub fn critique(&self) -> Option<&Critique> {
        self.activation.critique.as_deref()
    }

    /// This activation, unique within the thread, or within the activation of the graph that the node belongs to.
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
        format!("{}/{}", self.activation.run.thread, self.activation.full_id())
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
        let item = RunEvent::Item(Item {
            node: self.activation.node,
            activation: self.activation.id,
            attempt: self.activation.attempt,
            kind: kind.into(),
            payload,
        });
        events.send(match &self.activation.within {
            Some(within) => within.told(item),
            None => item,
        });
    }

    /// Asks whoever operates the run, and gives the answer.
    ///
    /// While there is no answer this never resolves: the question is stored, the node is dropped, and the run pauses
    /// once its siblings are done. When the answer is in, the node runs again from its top and the same call returns
    /// it, so what stands before it should be cheap or harmless to repeat. No error handling can swallow a pause.
    ///
    /// Questions that are asked at once, as by `tokio::join!`, are all stored before the pause, and the node runs again
    /// when all of them are answered. Answers are found by `name`; an answer that is not an `A` opens the question
    /// again and says why.
    pub fn ask<A: Data, Q: Serialize + ?Sized>(
        &self,
        name: &str,
        question: &Q,
    ) -> impl Future<Output = A> + Send + use<A, Q, S, I> {
        let answered = self.answered(name.to_owned(), question, (None, None), |_: &A| Ok(()));
        or_halt(self.activation.clone(), answered)
    }
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
