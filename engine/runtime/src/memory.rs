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
    /// The thread was deleted: who has just looked it up looks again.
    is_gone: bool,
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

    fn remove(&self, thread: &ThreadId, at: Option<Seq>) -> Result<bool, StoreError> {
        let mut threads = lock(&self.threads);
        let Some(stored) = threads.get(thread).cloned() else { return Ok(false) };
        let mut holder = lock(&stored.holder);
        if holder.is_held {
            return Err(StoreError::Busy { thread: thread.clone() });
        }
        let mut entries = lock(&stored.entries);
        let last = entries.last().map_or(0, |entry| entry.seq);
        if at.is_some_and(|at| at != last) {
            return Err(StoreError::Moved { thread: thread.clone() });
        }
        *holder = Holder { epoch: holder.epoch + 1, is_held: false, is_gone: true };
        entries.clear();
        threads.remove(thread);
        Ok(last > 0)
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
        let journal = loop {
            let stored = self.thread(thread);
            let mut holder = lock(&stored.holder);
            if holder.is_gone {
                continue;
            }
            if holder.is_held {
                break Err(StoreError::Busy { thread: thread.clone() });
            }
            *holder = Holder { epoch: holder.epoch + 1, is_held: true, is_gone: false };
            let (id, thread) = (thread.clone(), Arc::clone(&stored));
            break Ok(Box::new(MemoryJournal { id, epoch: holder.epoch, thread }) as Box<dyn Journal>);
        };
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

    fn list<'a>(
        &'a self,
        after: Option<&'a ThreadId>,
        threads_max: u32,
    ) -> BoxFuture<'a, Result<Vec<(ThreadId, Seq)>, StoreError>> {
        let last = |thread: &Thread| lock(&thread.entries).last().map(|entry| entry.seq);
        let mut listed: Vec<(ThreadId, Seq)> = lock(&self.threads)
            .iter()
            .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after.as_str()))
            .filter_map(|(name, thread)| Some((name.clone(), last(thread)?)))
            .collect();
        listed.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        listed.truncate(threads_max as usize);
        async { Ok(listed) }.boxed()
    }

    fn delete<'a>(
        &'a self,
        thread: &'a ThreadId,
        at: Option<Seq>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let deleted = self.remove(thread, at);
        async move { deleted }.boxed()
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
