//! A journal in memory: for tests, benchmarks and runs that may be forgotten. Survives nothing, obeys every other rule.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};

use crate::checkpointer::{Ack, Checkpointer, Durability, Journal, StoreError};
use crate::lock::lock;

#[derive(Debug, Default)]
struct Thread {
    entries: Mutex<Vec<Entry>>,
    holder: Mutex<Holder>,
}

/// Who has a thread.
#[derive(Debug, Default)]
struct Holder {
    /// Counts the drivers; an append of an earlier one is refused.
    epoch: u64,
    is_held: bool,
}

/// A [`Checkpointer`] that keeps everything in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryCheckpointer {
    threads: Arc<Mutex<HashMap<ThreadId, Arc<Thread>>>>,
}

impl MemoryCheckpointer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that was appended to a thread.
    pub fn all(&self, thread: &ThreadId) -> Vec<Entry> {
        lock(&self.thread(thread).entries).clone()
    }

    /// For tests: forgets who holds the thread, as if its driver had been cut off.
    #[doc(hidden)]
    pub fn forget_driver(&self, thread: &ThreadId) {
        lock(&self.thread(thread).holder).is_held = false;
    }

    fn thread(&self, thread: &ThreadId) -> Arc<Thread> {
        lock(&self.threads).entry(thread.clone()).or_default().clone()
    }
}

impl Checkpointer for MemoryCheckpointer {
    fn open<'a>(
        &'a self,
        thread: &'a ThreadId,
        _durability: Durability,
    ) -> BoxFuture<'a, Result<Box<dyn Journal>, StoreError>> {
        let stored = self.thread(thread);
        let mut holder = lock(&stored.holder);
        let journal = if holder.is_held {
            Err(StoreError::Busy { thread: thread.clone() })
        } else {
            *holder = Holder { epoch: holder.epoch + 1, is_held: true };
            let (id, thread) = (thread.clone(), Arc::clone(&stored));
            Ok(Box::new(MemoryJournal { id, epoch: holder.epoch, thread }) as Box<dyn Journal>)
        };
        drop(holder);
        async { journal }.boxed()
    }

    fn latest_snapshot<'a>(
        &'a self,
        thread: &'a ThreadId,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        let stored = self.thread(thread);
        let latest =
            lock(&stored.entries).iter().rev().find(|entry| entry.kind == EntryKind::Snapshot).cloned();
        async { Ok(latest) }.boxed()
    }

    fn entries<'a>(
        &'a self,
        thread: &'a ThreadId,
        ranges: &'a [(Seq, Seq)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        let stored = self.thread(thread);
        let wanted = |entry: &&Entry| ranges.iter().any(|(from, to)| (*from..=*to).contains(&entry.seq));
        let entries = lock(&stored.entries).iter().filter(wanted).cloned().collect();
        async { Ok(entries) }.boxed()
    }
}

struct MemoryJournal {
    id: ThreadId,
    epoch: u64,
    thread: Arc<Thread>,
}

impl Journal for MemoryJournal {
    fn append(&mut self, entry: Entry) -> Ack {
        // Held until the entry is stored, so that a successor begins after it.
        let holder = lock(&self.thread.holder);
        let mut entries = lock(&self.thread.entries);
        if holder.epoch != self.epoch || entries.last().map_or(0, |last| last.seq) + 1 != entry.seq {
            return Ack::ready(Err(StoreError::Fenced { thread: self.id.clone() }));
        }
        entries.push(entry);
        Ack::ready(Ok(()))
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        let mut holder = lock(&self.thread.holder);
        if holder.epoch == self.epoch {
            holder.is_held = false;
        }
    }
}
