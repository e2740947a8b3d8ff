//! Undoing, as it is declared and told.

use crate::failure::Failure;
use crate::policy::RetryPolicy;

/// How often an undo handler is tried, and whether it may be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UndoPolicy {
    pub(crate) idempotent: bool,
    pub(crate) retry: RetryPolicy,
}

impl UndoPolicy {
    /// Tries once, and never repeats what was not seen to end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the other side undoes once for each key, however often it is asked: then it is simply repeated with the
    /// same key.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// When a failed try is followed by another one. One that is not idempotent is only tried again after an error that
    /// says that nothing happened.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}

/// An undo handler, as the graph declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanUndo {
    /// The name by which effects find it.
    pub kind: String,
    /// How it is treated.
    pub policy: UndoPolicy,
}

/// Something that could not be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUndone {
    /// The id by which it is settled.
    pub id: String,
    /// Why; nothing if the outcome is unknown.
    pub failure: Option<Failure>,
}

/// An effect to undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoTask {
    /// Its id, unique within the thread.
    pub id: String,
    /// Counts the tries, from 1.
    pub attempt: u32,
    /// The handler.
    pub kind: String,
    /// What the node said that it needs, MessagePack.
    pub payload: Vec<u8>,
    /// The result of the effect, MessagePack; nothing if nobody saw it end.
    pub result: Option<Vec<u8>>,
}

/// How a try to undo ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoEnd {
    /// The undo's id.
    pub id: String,
    /// The try, from 1.
    pub attempt: u32,
    /// What went wrong, if anything; and whether it is certain that nothing happened.
    pub failure: Option<(Failure, bool)>,
    /// A random number, for the jitter of the wait before another try.
    pub draw: u32,
}
