//! One commit: which of the waiting entries may be stored, and the single statement that stores them.
//!
//! A batch is one statement, so it is committed or rolled back as a whole by the database itself, and one record costs
//! one round trip. The statement checks driver and position of every row against the database as it was before the
//! batch: a row that lost its thread is left out, and the others are stored.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};
use statewright_engine_runtime::StoreError;
use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::locks::Lock;
use crate::schema::key;

/// The most entries in one commit.
pub(crate) const BATCH_RECORDS_MAX: usize = 256;
/// A batch of this many bytes or more takes no further entry.
pub(crate) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A thread while a driver of this process has it. Whoever drops the last reference, the journal or the last entry
/// that still waits in the queue, gives the thread back.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) thread: ThreadId,
    pub(crate) row: i64,
    pub(crate) epoch: i64,
    pub(crate) synced: bool,
    pub(crate) progress: Mutex<Progress>,
    pub(crate) lock: Lock,
}

impl Held {
    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a driver got.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last position that is stored.
    pub(crate) stored: Seq,
    /// The last position that the batch in hand would store.
    planned: Seq,
    /// Another driver took the thread.
    fenced: bool,
    /// The first position that could not be stored, until it is.
    failed: Option<(Seq, StoreError)>,
}

impl Progress {
    pub(crate) fn after(stored: Seq) -> Self {
        Self { stored, planned: stored, ..Self::default() }
    }

    /// An entry was refused before it came into the queue: those behind it follow.
    pub(crate) fn refuse(&mut self, seq: Seq, error: &StoreError) {
        if self.failed.as_ref().is_none_or(|(first, _)| seq < *first) {
            self.failed = Some((seq, error.clone()));
        }
    }

    fn plan(&mut self, seq: Seq, thread: &ThreadId) -> Result<(), StoreError> {
        if self.fenced {
            return Err(StoreError::Fenced { thread: thread.clone() });
        }
        if seq == self.planned + 1 {
            self.planned = seq;
            return Ok(());
        }
        match &self.failed {
            Some((first, error)) if seq > *first => Err(error.clone()),
            _ => Err(StoreError::Fenced { thread: thread.clone() }),
        }
    }

    fn settle(&mut self, seq: Seq, result: &Result<(), StoreError>) {
        match result {
            Ok(()) => {
                self.stored = seq;
                self.failed.take_if(|(first, _)| *first <= seq);
            }
            Err(StoreError::Fenced { .. }) => self.fenced = true,
            Err(error) => self.refuse(seq, error),
        }
        self.planned = self.stored;
    }
}

/// An entry on its way to the disk.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) held: Arc<Held>,
    pub(crate) entry: Entry,
    pub(crate) ack: oneshot::Sender<Result<(), StoreError>>,
}

/// What is bound for one entry.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: i64,
    pub(crate) epoch: i64,
    /// The key of the last entry of the thread as the database must have it before the batch.
    pub(crate) head: i64,
    pub(crate) kind: i64,
    pub(crate) bytes: Vec<u8>,
}

/// The entries of one commit.
#[derive(Debug)]
pub(crate) struct Batch {
    appends: Vec<Append>,
    rows: Vec<Row>,
}

impl Batch {
    /// Sorts out what can be refused without asking the database. `None` if nothing is left to store.
    ///
    /// A driver whose lock went with another session of the database gets the error `lost`.
    pub(crate) fn plan(waiting: Vec<Append>, session: u64, lost: impl Fn() -> StoreError) -> Option<Self> {
        let mut batch =
            Self { appends: Vec::with_capacity(waiting.len()), rows: Vec::with_capacity(waiting.len()) };
        let mut refused = Vec::new();
        for mut append in waiting {
            let held = &append.held;
            let mut progress = held.progress();
            let planned = if held.lock.session() == session {
                progress.plan(append.entry.seq, &held.thread)
            } else {
                Err(lost())
            };
            match planned {
                Ok(()) => {
                    let row = Row {
                        key: key(held.row, append.entry.seq),
                        epoch: held.epoch,
                        head: key(held.row, progress.stored),
                        kind: kind_number(append.entry.kind),
                        bytes: std::mem::take(&mut append.entry.bytes),
                    };
                    drop(progress);
                    batch.rows.push(row);
                    batch.appends.push(append);
                }
                Err(error) => {
                    drop(progress);
                    refused.push((append, Err(error)));
                }
            }
        }
        acknowledge(refused);
        (!batch.rows.is_empty()).then_some(batch)
    }

    /// How many entries it holds.
    pub(crate) fn len(&self) -> usize {
        self.appends.len()
    }

    /// Whether any of its threads wants its entries on the disk before they are acknowledged.
    pub(crate) fn synced(&self) -> bool {
        self.appends.iter().any(|append| append.held.synced)
    }

    /// Stores the entries: one statement, one commit. Gives the keys that were stored.
    pub(crate) async fn commit(&mut self, connection: &mut Connection) -> Result<Stored, sqlx::Error> {
        connection.insert(std::mem::take(&mut self.rows)).await
    }

    /// Tells every driver what became of its entries. Those that were stored are counted first, so that whoever is told
    /// finds them counted.
    pub(crate) fn finish(self, result: &Result<Stored, StoreError>, counted: &AtomicU64) {
        let mut count = 0;
        let mut settled = Vec::with_capacity(self.appends.len());
        for append in self.appends {
            let held = &append.held;
            let result = match result {
                Ok(Stored::All) => Ok(()),
                Ok(Stored::Some(keys)) if keys.contains(&key(held.row, append.entry.seq)) => Ok(()),
                Ok(Stored::Some(_)) => Err(StoreError::Fenced { thread: held.thread.clone() }),
                Err(error) => Err(error.clone()),
            };
            count += u64::from(result.is_ok());
            held.progress().settle(append.entry.seq, &result);
            settled.push((append, result));
        }
        counted.fetch_add(count, Ordering::Relaxed);
        acknowledge(settled);
    }
}

/// What a commit stored.
#[derive(Debug)]
pub(crate) enum Stored {
    All,
    Some(HashSet<i64>),
}

impl Stored {
    /// The keys that were stored, of so many rows.
    pub(crate) fn of(keys: Vec<i64>, rows: usize) -> Self {
        if keys.len() == rows { Stored::All } else { Stored::Some(keys.into_iter().collect()) }
    }

    pub(crate) fn none() -> Self {
        Stored::Some(HashSet::new())
    }
}

/// Sends the results. The holds go first: who drops a journal after its last acknowledgement has then given the
/// thread back.
fn acknowledge(settled: Vec<(Append, Result<(), StoreError>)>) {
    let acks: Vec<_> = settled.into_iter().map(|(append, result)| (append.ack, result)).collect();
    for (ack, result) in acks {
        // A driver that went away does not wait for it.
        let _ = ack.send(result);
    }
}

fn kind_number(kind: EntryKind) -> i64 {
    match kind {
        EntryKind::Record => 0,
        EntryKind::Snapshot => 1,
    }
}
