//! A store whose entries are sealed before they reach it: what lies on the disk, in a backup or on a server says nothing
//! without the key.
//!
//! There is no cipher here and no key: both are the [`Sealer`]'s.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_core::journal::{frame_sealed, unframe_sealed};
use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};

use crate::checkpointer::{Ack, Checkpointer, Durability, Journal, StoreError};

/// Why a sealer did not do its part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SealError {
    /// In words, without any key in them.
    pub reason: String,
}

impl SealError {
    /// The reason in words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Makes bytes unreadable and back: a cipher with the key that belongs to a thread, or the way to a service that has
/// one.
///
/// The cipher has to authenticate what it encrypts, and with it the thread and the position as associated data: then an
/// entry that was changed, or moved to another place, does not open. A sealer that changes its keys writes into the
/// sealed bytes which one it used. Calls are made on the tasks of the runtime, so they must not wait for long: fetch
/// keys beforehand, and keep them.
pub trait Sealer: Send + Sync + 'static {
    /// Seals the bytes of the entry at a position.
    ///
    /// # Errors
    /// [`SealError`] if there is no key for the thread, or it cannot be used.
    fn seal(&self, thread: &ThreadId, seq: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Gives back what was sealed.
    ///
    /// # Errors
    /// [`SealError`] if the bytes are not what [`seal`](Self::seal) made of an entry at this position with this key.
    fn open(&self, thread: &ThreadId, seq: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// A [`Checkpointer`] that seals what it stores in another, and opens what it reads from there.
///
/// Sealed are the entries: states, updates, payloads, questions and answers. The names of threads stay readable, and
/// so do the number, kind and size of their entries. Each has a checksum over what was sealed, so that damage is found
/// without the key.
///
/// ```
/// use statewright_engine_runtime::{MemoryCheckpointer, SealError, Sealed, Sealer, Seq, ThreadId};
///
/// /// Shows the shape and keeps no secret: a real one uses a cipher that authenticates.
/// struct Mirror;
///
/// impl Sealer for Mirror {
///     fn seal(&self, _: &ThreadId, _: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
///         Ok(bytes.iter().rev().copied().collect())
///     }
///
///     fn open(&self, _: &ThreadId, _: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
///         Ok(bytes.iter().rev().copied().collect())
///     }
/// }
///
/// let store = Sealed::new(MemoryCheckpointer::new(), Mirror);
/// ```
pub struct Sealed<C> {
    store: C,
    sealer: Arc<dyn Sealer>,
}

impl<C: Checkpointer> Sealed<C> {
    /// Seals what is stored in `store` from now on. What is in there already does not open.
    pub fn new(store: C, sealer: impl Sealer) -> Self {
        Self { store, sealer: Arc::new(sealer) }
    }

    fn unsealed(&self, thread: &ThreadId, mut entry: Entry) -> Result<Entry, StoreError> {
        let refused = |reason: &str| StoreError::Unusable {
            code: "SW-S438",
            message: format!(
                "entry {} of the thread `{thread}` cannot be opened: {reason}; give the key that it was sealed with, or restore a backup if it was changed",
                entry.seq
            ),
        };
        // The sealer authenticates what it opens, so a frame that is not whole is left to it as it is.
        let sealed = unframe_sealed(&entry.bytes).unwrap_or(&entry.bytes);
        let opened = self.sealer.open(thread, entry.seq, sealed);
        let mut bytes = opened.map_err(|error| refused(&error.reason))?;
        if bytes.pop() != Some(mark(entry.kind)) {
            return Err(refused("it was sealed as an entry of another kind"));
        }
        entry.bytes = bytes;
        Ok(entry)
    }
}

/// Stands behind the bytes of an entry, so that nobody can make a snapshot of a record.
fn mark(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Record => 0,
        EntryKind::Snapshot => 1,
    }
}

impl<C: fmt::Debug> fmt::Debug for Sealed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("store", &self.store).finish_non_exhaustive()
    }
}

impl<C: Clone> Clone for Sealed<C> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), sealer: Arc::clone(&self.sealer) }
    }
}

impl<C: Checkpointer> Checkpointer for Sealed<C> {
    fn open<'a>(
        &'a self,
        thread: &'a ThreadId,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Box<dyn Journal>, StoreError>> {
        async move {
            let journal = self.store.open(thread, durability).await?;
            let (thread, sealer) = (thread.clone(), Arc::clone(&self.sealer));
            Ok(Box::new(SealedJournal { journal, thread, sealer }) as Box<dyn Journal>)
        }
        .boxed()
    }

    fn latest_snapshot<'a>(
        &'a self,
        thread: &'a ThreadId,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        async move {
            let entry = self.store.latest_snapshot(thread).await?;
            entry.map(|entry| self.unsealed(thread, entry)).transpose()
        }
        .boxed()
    }

    fn entries<'a>(
        &'a self,
        thread: &'a ThreadId,
        ranges: &'a [(Seq, Seq)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        async move {
            let entries = self.store.entries(thread, ranges).await?;
            entries.into_iter().map(|entry| self.unsealed(thread, entry)).collect()
        }
        .boxed()
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a ThreadId>,
        threads_max: u32,
    ) -> BoxFuture<'a, Result<Vec<(ThreadId, Seq)>, StoreError>> {
        self.store.list(after, threads_max)
    }

    fn delete<'a>(
        &'a self,
        thread: &'a ThreadId,
        at: Option<Seq>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.store.delete(thread, at)
    }
}

struct SealedJournal {
    journal: Box<dyn Journal>,
    thread: ThreadId,
    sealer: Arc<dyn Sealer>,
}

impl Journal for SealedJournal {
    fn append(&mut self, mut entry: Entry) -> Ack {
        entry.bytes.push(mark(entry.kind));
        match self.sealer.seal(&self.thread, entry.seq, &entry.bytes) {
            Ok(bytes) => self.journal.append(Entry { bytes: frame_sealed(&bytes), ..entry }),
            Err(SealError { reason }) => Ack::ready(Err(StoreError::Unusable {
                code: "SW-S439",
                message: format!(
                    "entry {} of the thread `{}` cannot be sealed: {reason}; see that there is a key for it, and resume: everything acknowledged is stored",
                    entry.seq, self.thread
                ),
            })),
        }
    }
}
