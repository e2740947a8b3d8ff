//! The port to durable storage: what a runner asks of a journal store, and what is true once each call has returned.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use statewright_engine_core::{Entry, Seq, ThreadId};
use tokio::sync::oneshot;

/// What stored data survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Power loss: an entry is on the disk before anything depends on it.
    #[default]
    Power,
    /// The death of the process: an entry is with the operating system before anything depends on it.
    Process,
    /// Only snapshots are stored, each of which survives what it would at `Power`: at the end of a drive, and within one
    /// when an effect begins that is not idempotent, when items of the outbox are handed out, and when somebody answers
    /// or settles. A crash repeats everything since the last one.
    Exit,
}

impl Durability {
    /// The word used in options and messages.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Power => "power",
            Durability::Process => "process",
            Durability::Exit => "exit",
        }
    }
}

impl std::str::FromStr for Durability {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "power" => Ok(Durability::Power),
            "process" => Ok(Durability::Process),
            "exit" => Ok(Durability::Exit),
            other => Err(format!("`{other}` is not a durability level; use power, process or exit")),
        }
    }
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another driver holds the thread.
    #[error("the thread `{thread}` is being driven by another process; wait for it, or stop it first")]
    Busy {
        /// The thread.
        thread: ThreadId,
    },
    /// Another driver took the thread over: what this one appends is refused.
    #[error(
        "the thread `{thread}` was taken over by another driver; nothing of this one's later work is stored"
    )]
    Fenced {
        /// The thread.
        thread: ThreadId,
    },
    /// A thread that was to be deleted as of an entry has others by now.
    #[error(
        "the thread `{thread}` has gone on since it was looked at, and was not deleted; look at it again"
    )]
    Moved {
        /// The thread.
        thread: ThreadId,
    },
    /// There is no room.
    #[error(
        "the disk is full: {message}; free some space and resume, everything acknowledged so far is stored"
    )]
    Full {
        /// The store's words.
        message: String,
    },
    /// The store cannot be opened or used.
    #[error("{message}")]
    Unusable {
        /// A stable code of the store's own, `SW-S4xx`.
        code: &'static str,
        /// What happened, where, and what to do.
        message: String,
    },
}

impl StoreError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::Busy { .. } => "SW-S401",
            StoreError::Fenced { .. } => "SW-S402",
            StoreError::Full { .. } => "SW-S403",
            StoreError::Moved { .. } => "SW-S462",
            StoreError::Unusable { code, .. } => code,
        }
    }
}

/// The acknowledgement of one append: ready at once, or when the store has done its part.
pub struct Ack(AckState);

enum AckState {
    Ready(Option<Result<(), StoreError>>),
    Pending(oneshot::Receiver<Result<(), StoreError>>),
}

impl Ack {
    /// An acknowledgement that is already in.
    pub fn ready(result: Result<(), StoreError>) -> Self {
        Self(AckState::Ready(Some(result)))
    }

    /// An acknowledgement that arrives by a channel. A dropped sender counts as a store that is gone.
    pub fn pending(receiver: oneshot::Receiver<Result<(), StoreError>>) -> Self {
        Self(AckState::Pending(receiver))
    }
}

impl Future for Ack {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            AckState::Ready(result) => Poll::Ready(result.take().unwrap_or_else(|| Err(gone()))),
            AckState::Pending(receiver) => {
                Pin::new(receiver).poll(context).map(|received| received.unwrap_or_else(|_| Err(gone())))
            }
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack(..)")
    }
}

fn gone() -> StoreError {
    StoreError::Unusable {
        code: "SW-S404",
        message: "the store stopped before it acknowledged a write".to_owned(),
    }
}

/// A durable journal for many threads.
///
/// The conformance suite in the testkit says in tests what these words say in prose.
pub trait Checkpointer: Send + Sync + 'static {
    /// Takes the thread for this driver. Once it has returned, no other driver holds the thread, every append of an
    /// earlier driver is refused, and the lock is given back when the journal is dropped or the process dies.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another driver holds the thread.
    fn open<'a>(
        &'a self,
        thread: &'a ThreadId,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Box<dyn Journal>, StoreError>>;

    /// The latest snapshot entry of the thread. Needs no lock.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn latest_snapshot<'a>(
        &'a self,
        thread: &'a ThreadId,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// The entries at the positions in these closed ranges, in ascending order; positions that do not exist are left
    /// out. Needs no lock, and never shows an entry that is not as durable as its thread's level promises.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn entries<'a>(
        &'a self,
        thread: &'a ThreadId,
        ranges: &'a [(Seq, Seq)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>>;

    /// Threads that have entries, in the order of their names' bytes, each with its last position: at most so many, from
    /// the first one after this name on. Needs no lock.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read; `SW-S461` from one that keeps no list.
    fn list<'a>(
        &'a self,
        after: Option<&'a ThreadId>,
        threads_max: u32,
    ) -> BoxFuture<'a, Result<Vec<(ThreadId, Seq)>, StoreError>> {
        let _ = (after, threads_max);
        Box::pin(async { Err(cannot("list")) })
    }

    /// Deletes a thread for good, with everything that the store knows about it, and says whether there was one. It is
    /// taken for that as a driver takes it: of a deletion and a start at the same moment either the deletion is refused,
    /// or the start begins an empty thread. What an earlier driver still appends is refused. With `at` it is deleted
    /// only if that is its last entry.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while a driver holds the thread, [`StoreError::Moved`] if it has another last entry, and
    /// `SW-S461` from a store that cannot delete.
    fn delete<'a>(
        &'a self,
        thread: &'a ThreadId,
        at: Option<Seq>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let _ = (thread, at);
        Box::pin(async { Err(cannot("delete")) })
    }
}

fn cannot(what: &str) -> StoreError {
    StoreError::Unusable {
        code: "SW-S461",
        message: format!("this store cannot {what} threads; use the means of whatever it stores them in"),
    }
}

/// The right to append to one thread's journal. Dropping it gives the thread back.
pub trait Journal: Send {
    /// Appends an entry. Calls return at once and are stored in order; once the acknowledgement is in, the entry and
    /// all before it are as durable as the level that the thread was opened with.
    ///
    /// An entry whose position is not the next one, or whose driver was superseded, is refused with
    /// [`StoreError::Fenced`] and changes nothing.
    fn append(&mut self, entry: Entry) -> Ack;
}
