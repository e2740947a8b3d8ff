//! Errors: what a node returns, and what a run can fail with.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use statewright_engine_core::{Failure, FailureKind, RecoverError, Refused, Seq, ThreadId};

use crate::checkpointer::StoreError;

/// What a node returns when it cannot do its work. Every `std::error::Error` becomes one by `?`, with its chain of
/// causes; input/output errors and timeouts arrive classified.
pub struct NodeError(Box<Inner>);

/// Behind a pointer, so that the results of nodes that do not fail stay small.
struct Inner {
    kind: FailureKind,
    code: Option<Cow<'static, str>>,
    message: String,
    without_effect: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
    retry_after: Option<Duration>,
}

/// What a [`Classifier`] knows about an error of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// A stable code.
    pub code: Cow<'static, str>,
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// When to come back, if whoever was asked said so.
    pub retry_after: Option<Duration>,
}

/// Recognises errors of one library. The engine knows none but the standard library's and tokio's.
pub type Classifier = fn(&(dyn Error + 'static)) -> Option<Classified>;

impl NodeError {
    /// An error that the same input brings about again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind: FailureKind::Permanent,
            code: None,
            message: message.into(),
            without_effect: false,
            source: None,
            retry_after: None,
        }))
    }

    /// An error that may be gone when the node is run again.
    pub fn transient(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind: FailureKind::Transient,
            code: None,
            message: message.into(),
            without_effect: false,
            source: None,
            retry_after: None,
        }))
    }

    /// Gives the error a stable code of the caller's own.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Says when to come back, as a provider did. With a retry policy the node is not run again before, and the wait
    /// costs no attempt as long as it stays within [`crate::RETRY_AFTERS_MAX`] and [`crate::RETRY_AFTER_TOTAL`].
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Says that an effect that failed with this error certainly did not take place, so that it may begin anew.
    #[must_use]
    pub fn without_effect(mut self) -> Self {
        self.0.without_effect = true;
        self
    }

    /// Whether [`NodeError::without_effect`] was said.
    pub(crate) fn is_without_effect(&self) -> bool {
        self.0.without_effect
    }

    /// Whether trying again can help, as far as is known.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The error that was converted, if one was.
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }

    /// The error as data, as a journal keeps it.
    pub fn to_failure(&self, classifiers: &[Classifier]) -> Failure {
        let mut details = Vec::new();
        let mut found = None;
        let mut next = self.source();
        while let Some(error) = next {
            found = found.or_else(|| classifiers.iter().find_map(|classify| classify(error)));
            let words = error.to_string();
            if words != self.0.message && details.last() != Some(&words) {
                details.push(words);
            }
            next = error.source();
        }
        let retry_after = self.0.retry_after.or_else(|| found.as_ref().and_then(|found| found.retry_after));
        let (code, kind) = match found {
            Some(found) => (found.code, found.kind),
            None => (self.0.code.clone().unwrap_or(Cow::Borrowed("SW-X240")), self.0.kind),
        };
        let retry_after_ms = retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Failure { code: code.into_owned(), kind, message: self.0.message.clone(), details, retry_after_ms }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for NodeError {
    fn from(error: E) -> Self {
        let (kind, message) = (classify(&error), error.to_string());
        Self(Box::new(Inner {
            kind,
            code: None,
            message,
            retry_after: None,
            without_effect: false,
            source: Some(Box::new(error)),
        }))
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.kind.name())
    }
}

/// The first error of the chain that the engine knows decides.
fn classify(error: &(dyn Error + 'static)) -> FailureKind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return classify_io(error.kind());
        }
        if error.is::<tokio::time::error::Elapsed>() {
            return FailureKind::Transient;
        }
        if error.is::<serde_json::Error>()
            || error.is::<std::num::ParseIntError>()
            || error.is::<std::str::Utf8Error>()
        {
            return FailureKind::Permanent;
        }
        next = error.source();
    }
    FailureKind::Unclassified
}

fn classify_io(kind: io::ErrorKind) -> FailureKind {
    use io::ErrorKind as Kind;
    match kind {
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::NotConnected
        | Kind::BrokenPipe
        | Kind::TimedOut
        | Kind::WouldBlock
        | Kind::Interrupted
        | Kind::UnexpectedEof
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::ResourceBusy => FailureKind::Transient,
        Kind::NotFound
        | Kind::PermissionDenied
        | Kind::AlreadyExists
        | Kind::InvalidInput
        | Kind::InvalidData
        | Kind::Unsupported
        | Kind::NotADirectory
        | Kind::IsADirectory => FailureKind::Permanent,
        _ => FailureKind::Unclassified,
    }
}

/// Why a run could not be driven. How a run *ended* is never one of these: that is an outcome.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The thread does not allow what was asked.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The thread cannot be taken up.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A resume, an answer or a cancel without a store to find the thread in.
    #[error(
        "the runner has no checkpointer, so there is nothing to take up; give it one by `.checkpointer(…)`"
    )]
    NoCheckpointer,
    /// A run whose state was lost because a reducer or a branch failed, and that has no journal to load it from.
    #[error("the run failed and its state is lost, since it has no journal: {0}")]
    StateLost(Failure),
    /// The run did not finish, and the caller asked for a finished state.
    #[error("the run did not finish: {0}")]
    Unfinished(String),
    /// The answer cannot be written down.
    #[error("the answer cannot be stored: {0}")]
    Answer(String),
    /// A look at an entry, or a fork from one, that the thread does not have.
    #[error("the thread `{thread}` has no entry {seq}; {}", range(*last))]
    NoCheckpoint {
        /// The thread.
        thread: ThreadId,
        /// The entry that was asked for.
        seq: Seq,
        /// The last entry of the thread, 0 if it has none.
        last: Seq,
    },
    /// A pause at a node that the graph does not have.
    #[error("the graph `{graph}` has no node `{node}` to pause at; it has: {known}")]
    UnknownNode {
        /// The graph.
        graph: String,
        /// The node that was named.
        node: String,
        /// The nodes that there are.
        known: String,
    },
    /// A fork into a thread that is not empty.
    #[error("the thread `{thread}` exists already; fork into a thread of another name")]
    ThreadExists {
        /// The thread.
        thread: ThreadId,
    },
}

fn range(last: Seq) -> String {
    if last == 0 {
        "nothing was ever run on it".to_owned()
    } else {
        format!("it has the entries 1 to {last}")
    }
}

impl RunError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RunError::Refused(error) => error.code(),
            RunError::Recover(error) => error.code(),
            RunError::Store(error) => error.code(),
            RunError::NoCheckpointer => "SW-X206",
            RunError::StateLost(_) => "SW-X207",
            RunError::Unfinished(_) => "SW-X208",
            RunError::Answer(_) => "SW-X209",
            RunError::NoCheckpoint { .. } => "SW-X212",
            RunError::ThreadExists { .. } => "SW-X213",
            RunError::UnknownNode { .. } => "SW-X270",
        }
    }
}
