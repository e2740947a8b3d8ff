//! What goes into an execution and what comes out of it: plain data, no behaviour.

use std::sync::Arc;

pub use super::options::{Journaling, Limits, Observe, Options};
pub use super::questions::{Answer, Asking};
pub use super::refused::Refused;
use super::reserve::{Reserved, Spent, Wish};
use crate::budget::{BudgetEvent, LimitChange, Shortage};
use crate::cell::{Snapshot, UpdateValue};
use crate::failure::Failure;
use crate::ids::{ActivationId, EdgeIx, NodeIx, RunId, Seq};
use crate::journal::{Critique, GateRound, PausePoint, StoredPost, StoredStep, UndoState};
use crate::payload::Payload;
use crate::route::Decision;
use crate::undo::{NotUndone, UndoEnd, UndoTask};

/// Something that happened. The driver reports it together with the time.
#[derive(Debug)]
pub enum Event {
    /// Begin a run on a thread that has none open. The input is an update.
    Start {
        /// The run's name.
        run: RunId,
        /// The input.
        input: UpdateValue,
    },
    /// Take the open run up again: failed activations run anew, answered questions go on, used-up bounds begin anew.
    Resume,
    /// A node returned.
    Finished {
        /// The activation.
        activation: ActivationId,
        /// The attempt that the driver was told to run.
        attempt: u32,
        /// What it wrote.
        update: UpdateValue,
        /// The route that it returned.
        decision: Option<Box<Decision>>,
    },
    /// A node returned an error or panicked.
    Failed {
        /// The activation.
        activation: ActivationId,
        /// The attempt that the driver was told to run.
        attempt: u32,
        /// What went wrong.
        failure: Box<Failure>,
        /// A random number, for the jitter of the wait before another attempt.
        draw: u32,
    },
    /// A node asked questions that have no answer yet; the driver has dropped it. It runs again when all are answered.
    Asked {
        /// The activation.
        activation: ActivationId,
        /// The attempt that the driver was told to run.
        attempt: u32,
        /// The questions, in the order in which they were asked.
        questions: Vec<Asking>,
    },
    /// A node could not read the answer that it was given; the driver has dropped it.
    AnswerRejected {
        /// The activation.
        activation: ActivationId,
        /// The attempt that the driver was told to run.
        attempt: u32,
        /// The name that the node gave the question.
        name: String,
        /// Why it does not fit.
        reason: String,
    },
    /// Somebody answered a question.
    Answered {
        /// The interrupt's id.
        interrupt: String,
        /// The answer, MessagePack.
        value: Vec<u8>,
    },
    /// A step of a running node began or ended. The node waits for [`Action::StepKept`].
    Stepped {
        /// The activation.
        activation: ActivationId,
        /// The attempt that the driver was told to run.
        attempt: u32,
        /// The step.
        step: Box<StoredStep>,
    },
    /// A running node wants to spend. It waits for [`Action::Reserved`].
    Reserve(Box<Wish>),
    /// A running node says what a reservation came to.
    Spent(Spent),
    /// Other limits than those of the graph, from the start or the resume on that follows.
    Limit(LimitChange),
    /// A try to undo an effect ended.
    UndoEnded(Box<UndoEnd>),
    /// A running node posted items; reported before its end. Each is a kind and a payload in MessagePack.
    Posted {
        /// The activation.
        activation: ActivationId,
        /// The attempt that the driver was told to run.
        attempt: u32,
        /// The items.
        items: Vec<(String, Vec<u8>)>,
    },
    /// A running activation ends with an earlier result of its node, which was found by its key; reported before its end.
    Cached {
        /// The activation.
        activation: ActivationId,
        /// The attempt that the driver was told to run.
        attempt: u32,
    },
    /// An attempt to deliver an item of the outbox ended.
    Delivered {
        /// The item's id.
        id: String,
        /// Whether it was delivered; if not, it is handed out again when the thread is next taken up.
        delivered: bool,
    },
    /// Deliver what is left in the outbox, and run nothing.
    Deliver,
    /// Somebody says how an effect ended whose outcome is unknown.
    Settled {
        /// The effect's id.
        effect: String,
        /// Its result, MessagePack; none if it did not take place and may begin anew.
        value: Option<Vec<u8>>,
    },
    /// Everything up to this position is as durable as the thread's level promises.
    Persisted {
        /// The position.
        seq: Seq,
    },
    /// Something happened inside an activation whose node is a graph.
    Nested {
        /// The activation.
        within: ActivationId,
        /// What happened.
        event: Box<Event>,
    },
    /// The time has come that [`Action::SetTimer`] named, or an earlier or later one: a timer may fire twice.
    TimerFired,
    /// Stop at the next safe point.
    Drain,
    /// Stop for good: what is open will never finish.
    Cancel,
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Store this entry; report [`Event::Persisted`] once it is durable.
    Persist(Entry),
    /// Run a node.
    Run(Task),
    /// Report [`Event::TimerFired`] at this time, in milliseconds since 1970; it takes the place of an earlier timer.
    SetTimer {
        /// The time.
        at_ms: u64,
    },
    /// Deliver an item of the outbox; report [`Event::Delivered`].
    Deliver(Arc<StoredPost>),
    /// Drop an activation that runs: nobody awaits it any more.
    Abandon(ActivationId),
    /// Let a node go on that waits for a step to be kept.
    StepKept(Box<StepKept>),
    /// Let a node go on that waits for a reservation.
    Reserved(Box<Reserved>),
    /// Undo an effect; report [`Event::UndoEnded`]. Nothing else of the run goes on.
    Undo(Box<UndoTask>),
    /// Tell whoever watches.
    Emit(Notice),
    /// Do this for the graph inside an activation; what is reported about it is an [`Event::Nested`].
    Nested {
        /// The activation.
        within: ActivationId,
        /// Its node.
        node: NodeIx,
        /// What to do: run, let go on, deliver or emit.
        action: Box<Action>,
    },
    /// The drive is over.
    Stop(Outcome),
}

/// Of what kind an entry is: a store keeps this beside the bytes, so that it can find the last snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Something became true.
    Record,
    /// Where the thread stands.
    Snapshot,
}

/// One journal entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position in the thread's journal, from 1 without gaps.
    pub seq: Seq,
    /// Of what kind it is.
    pub kind: EntryKind,
    /// The framed bytes.
    pub bytes: Vec<u8>,
}

/// One execution of a node.
pub struct Task {
    /// Which activation this is.
    pub activation: ActivationId,
    /// The node.
    pub node: NodeIx,
    /// Counts the executions of this activation, from 1; results of earlier ones are fenced.
    pub attempt: u32,
    /// What travelled along the edge.
    pub input: Payload,
    /// Which gate sent the run back here, and why.
    pub critique: Option<Arc<Critique>>,
    /// The state that the node sees.
    pub state: Snapshot,
    /// Answers to questions it asked before, by name; shared, since most activations have none.
    pub answers: Option<Arc<[Answer]>>,
    /// Steps that earlier executions did; shared, since most activations have none.
    pub steps: Option<Arc<[Arc<StoredStep>]>>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("activation", &self.activation)
            .field("node", &self.node)
            .field("attempt", &self.attempt)
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

/// A step is as durable as the thread's level promises, or cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepKept {
    /// The activation.
    pub activation: ActivationId,
    /// The attempt that did it.
    pub attempt: u32,
    /// Its name.
    pub name: String,
    /// Why it cannot be kept, if it cannot.
    pub refused: Option<Failure>,
}

/// An open question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The id by which it is answered.
    pub id: String,
    /// The name that the node gave it.
    pub name: String,
    /// The node that asks.
    pub node: NodeIx,
    /// The activation that asks: of a fan-out, which of its siblings.
    pub activation: ActivationId,
    /// The question, MessagePack.
    pub question: Vec<u8>,
    /// Why the last answer did not fit, if there was one.
    pub rejected: Option<String>,
    /// From when on, in milliseconds since 1970, it is posed to the next one, or else its default answer counts and no
    /// other.
    pub deadline_ms: Option<u64>,
    /// To whom it is posed, if the node says so.
    pub to: Option<String>,
    /// How often it was escalated.
    pub level: u32,
}

/// Progress, for whoever watches. Everything in it is durable by the time it is emitted, but for starts, claims that wait
/// or are refused, and settlements.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A run began or was taken up again.
    RunOpened {
        /// The run.
        run: RunId,
        /// Whether it had begun before.
        resumed: bool,
    },
    /// A node is about to run.
    NodeStarted {
        /// The activation.
        activation: ActivationId,
        /// The node.
        node: NodeIx,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// A node finished.
    NodeFinished {
        /// The activation.
        activation: ActivationId,
        /// The node.
        node: NodeIx,
        /// What it wrote, as stored; absent unless the options ask for it.
        update: Option<Arc<[u8]>>,
        /// Whether it did not run: an earlier result was found by its key.
        cached: bool,
    },
    /// An attempt failed.
    NodeFailed {
        /// The activation.
        activation: ActivationId,
        /// The node.
        node: NodeIx,
        /// The attempt, from 1.
        attempt: u32,
        /// What went wrong.
        failure: Arc<Failure>,
        /// When it is tried again, in milliseconds since 1970; nothing if this was the last attempt.
        retry_at_ms: Option<u64>,
    },
    /// A node asked.
    Asked {
        /// The question.
        interrupt: Arc<Interrupt>,
    },
    /// A gate judged.
    Judged {
        /// The round.
        round: GateRound,
    },
    /// Something happened to a reservation.
    Budget {
        /// The activation.
        activation: ActivationId,
        /// The node.
        node: NodeIx,
        /// What.
        event: BudgetEvent,
    },
    /// The undoing of an effect changed.
    Undo {
        /// Its id.
        id: String,
        /// How far it is.
        state: UndoState,
    },
    /// An edge was taken.
    EdgeTaken {
        /// The edge.
        edge: EdgeIx,
    },
    /// A superstep was committed.
    Committed {
        /// The superstep that ended.
        superstep: u64,
        /// The journal's position, 0 without a journal.
        seq: Seq,
    },
}

/// How a drive ended. None of these is an error of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do.
    Finished,
    /// Questions wait for answers.
    Paused(Vec<Interrupt>),
    /// The run has come to places at which somebody wants to look. Resuming goes on.
    PausedAt(Vec<PausePoint>),
    /// Nodes failed, or a superstep could not be committed (then without a node). Resuming tries again, with all the
    /// attempts that the policy allows.
    Failed(Vec<(Option<NodeIx>, Failure)>),
    /// The bound of an edge is used up. Resuming grants it anew.
    Exhausted(EdgeIx),
    /// These nodes could not reserve what they need, and nothing else can go on. Resuming tries again: give it another limit.
    BudgetExceeded(Vec<(NodeIx, Shortage)>),
    /// Cancelled, or failed where the graph says so, and what its effects did is undone. The run is over unless something
    /// could not be undone: then resuming tries that again, and cancelling gives it up.
    Compensated {
        /// The failures that brought it about; none if it was cancelled.
        failures: Vec<(Option<NodeIx>, Failure)>,
        /// What could not be undone.
        left: Vec<NotUndone>,
    },
    /// Stopped at a safe point on request. Resuming goes on.
    Drained,
    /// Stopped for good on request.
    Cancelled,
}

/// Where a thread stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing was ever run.
    Empty,
    /// A driver is at work, or was when it died.
    Open,
    /// The last drive ended like this.
    Stopped(Outcome),
}
