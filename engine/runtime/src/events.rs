//! The event stream of a run: one typed sequence of what happened, for progress bars, logs and servers.
//!
//! A slow reader never holds a run up: it loses the oldest events and is told how many.

use std::sync::Arc;

use statewright_engine_core::journal::GateRound;
use statewright_engine_core::{
    ActivationId, BudgetEvent, EdgeIx, Failure, Interrupt, NodeIx, Notice, Outcome, RunId, Seq, UndoState,
};
use tokio::sync::broadcast;

/// Events that a reader may lag behind before it loses the oldest ones.
pub const EVENT_BUFFER: usize = 4096;

/// Something that happened in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunEvent {
    /// A run began or was taken up again.
    Opened {
        /// The run.
        run: RunId,
        /// Whether it had begun before.
        resumed: bool,
    },
    /// A node is about to run.
    NodeStarted {
        /// The node.
        node: NodeIx,
        /// The activation.
        activation: ActivationId,
        /// Counts executions of the activation, from 1. Above 1, items of earlier ones are void.
        attempt: u32,
    },
    /// A node finished, and what it wrote is durable.
    NodeFinished {
        /// The node.
        node: NodeIx,
        /// The activation.
        activation: ActivationId,
        /// What it wrote, as stored, if the runner was asked to show it.
        update: Option<Arc<[u8]>>,
        /// Whether it did not run: an earlier result was found by its key.
        cached: bool,
    },
    /// An execution of a node failed.
    NodeFailed {
        /// The node.
        node: NodeIx,
        /// The activation.
        activation: ActivationId,
        /// The execution, from 1.
        attempt: u32,
        /// What went wrong.
        failure: Arc<Failure>,
        /// When it is tried again, in milliseconds since 1970; nothing if this was the last attempt. Items of the failed
        /// attempt are void either way.
        retry_at_ms: Option<u64>,
    },
    /// A node asked a question and waits.
    Asked(Arc<Interrupt>),
    /// A gate judged.
    Judged(GateRound),
    /// Something happened to a reservation of a budget.
    Budget {
        /// The node.
        node: NodeIx,
        /// The activation.
        activation: ActivationId,
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
    EdgeTaken(EdgeIx),
    /// A superstep was committed.
    Committed {
        /// The superstep.
        superstep: u64,
        /// The journal's position; 0 without a journal.
        seq: Seq,
    },
    /// Something happened in a graph that is a node; numbers of nodes and edges in it are those of that graph. The drive
    /// ends once, outside.
    Within {
        /// The node.
        node: NodeIx,
        /// Its activation.
        activation: ActivationId,
        /// What happened.
        event: Box<RunEvent>,
    },
    /// A node sent something of its own.
    Item(Item),
    /// The drive ended.
    Stopped(Outcome),
    /// This reader was too slow and lost events.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Something that a node sent: the engine passes it on and knows no kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The node.
    pub node: NodeIx,
    /// The activation.
    pub activation: ActivationId,
    /// The execution of the activation, from 1.
    pub attempt: u32,
    /// What it is.
    pub kind: Arc<str>,
    /// Its value.
    pub payload: serde_json::Value,
}

/// The sending side.
#[derive(Clone, Debug)]
pub(crate) struct EventSender(broadcast::Sender<RunEvent>);

impl EventSender {
    pub(crate) fn channel() -> (Self, Events) {
        let (sender, receiver) = broadcast::channel(EVENT_BUFFER);
        (Self(sender), Events(receiver))
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }

    /// Nobody listening is no error.
    pub(crate) fn send(&self, event: RunEvent) {
        let _ = self.0.send(event);
    }
}

/// A reader of a run's events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<RunEvent>);

impl Events {
    /// The next event; `None` once the run is over and everything was read.
    pub async fn next(&mut self) -> Option<RunEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(RunEvent::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl From<Notice> for RunEvent {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::RunOpened { run, resumed } => RunEvent::Opened { run, resumed },
            Notice::NodeStarted { activation, node, attempt } => {
                RunEvent::NodeStarted { node, activation, attempt }
            }
            Notice::NodeFinished { activation, node, update, cached } => {
                RunEvent::NodeFinished { node, activation, update, cached }
            }
            Notice::NodeFailed { activation, node, attempt, failure, retry_at_ms } => {
                RunEvent::NodeFailed { node, activation, attempt, failure, retry_at_ms }
            }
            Notice::Asked { interrupt } => RunEvent::Asked(interrupt),
            Notice::Judged { round } => RunEvent::Judged(round),
            Notice::Budget { activation, node, event } => RunEvent::Budget { node, activation, event },
            Notice::Undo { id, state } => RunEvent::Undo { id, state },
            Notice::EdgeTaken { edge } => RunEvent::EdgeTaken(edge),
            Notice::Committed { superstep, seq } => RunEvent::Committed { superstep, seq },
        }
    }
}
