//! Why an execution takes an event in or does not.

use crate::cell::CellError;
use crate::failure::Failure;
use crate::ids::RunId;
use crate::journal::FrameError;

/// Why an event was not accepted. The execution is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A start on a thread whose last run is not over.
    #[error("the thread has an open run `{run}`; resume, answer or cancel it, or start on another thread")]
    RunOpen {
        /// The open run.
        run: RunId,
    },
    /// A resume, an answer or a cancel on a thread that has nothing open.
    #[error("the thread has no open run; its last one has {how}; start a new run instead")]
    NothingOpen {
        /// How the last run ended, in a word.
        how: &'static str,
    },
    /// An answer to a question that nobody asked.
    #[error("no open question has the id `{id}`; open are: {open}")]
    UnknownInterrupt {
        /// The id that was given.
        id: String,
        /// The ids of the open questions, or "none".
        open: String,
    },
    /// An answer to a question that has one.
    #[error("the question `{id}` is already answered; resume the run")]
    AlreadyAnswered {
        /// The id.
        id: String,
    },
    /// An answer to a question whose time is over.
    #[error("the question `{id}` has expired; resume the run, and it goes on with the default answer")]
    Expired {
        /// The id.
        id: String,
    },
    /// A settlement of an effect whose outcome is not unknown.
    #[error("no effect with the id `{id}` waits to be settled; unknown is the outcome of: {open}")]
    UnknownEffect {
        /// The id that was given.
        id: String,
        /// The ids of the effects whose outcome is unknown, or "none".
        open: String,
    },
    /// A limit for a node that the graph does not have.
    #[error("the graph has no node `{node}` whose budget could be set; name one of its nodes")]
    NoSuchNode {
        /// The name that was given.
        node: String,
    },
    /// A value could not be written down.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// An entry could not be written down.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The state in memory was left half folded by a reducer or a branch that failed.
    #[error(
        "the state in memory is not the stored one after a failed commit; load the thread anew and try again"
    )]
    Unsound,
    /// The reducers of the state failed on the input of the run.
    #[error("the input of the run cannot be folded into the state: {failure}")]
    Input {
        /// What went wrong.
        failure: Failure,
    },
}

impl Refused {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::RunOpen { .. } => "SW-X201",
            Refused::NothingOpen { .. } => "SW-X202",
            Refused::UnknownInterrupt { .. } => "SW-X203",
            Refused::AlreadyAnswered { .. } => "SW-X204",
            Refused::Expired { .. } => "SW-X258",
            Refused::UnknownEffect { .. } => "SW-X255",
            Refused::NoSuchNode { .. } => "SW-X279",
            Refused::Cell(error) => error.code(),
            Refused::Frame(error) => error.code(),
            Refused::Input { .. } => "SW-X205",
            Refused::Unsound => "SW-X211",
        }
    }
}
