//! Faults that a test injects: a store that is slow or full, and a process that dies at a chosen place. A crash is the
//! drive dropped where it stands, with nothing left of it but what the store has.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_core::journal::{Body, Record, decode};
use statewright_engine_core::{EffectClass, StepState, fill_values};
use statewright_engine_runtime::{
    Ack, Checkpointer, Durability, Entry, EntryKind, Journal, Seq, StoreError, ThreadId,
};
use tokio::sync::{oneshot, watch};

/// Something that goes wrong once, at a chosen place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The process dies just before this entry would be stored, counted from 1.
    CrashBeforeEntry(Seq),
    /// The process dies when this entry is stored and nobody knows it yet.
    CrashAfterEntry(Seq),
    /// The process dies when so many activations are stored as finished, and nobody knows it of the last one yet.
    CrashAfterActivation(usize),
    /// The effect of this name takes place, and the process dies before that is stored: its outcome is unknown.
    LoseEffect(String),
    /// There is no room for this entry; there is again for the next try.
    FullDisk(Seq),
}

impl Fault {
    /// Whether it strikes at this entry, `finished` activations being stored once it is.
    fn strikes(&self, entry: &Entry, body: Option<&Body>, finished: usize) -> bool {
        match self {
            Fault::CrashBeforeEntry(seq) | Fault::CrashAfterEntry(seq) | Fault::FullDisk(seq) => {
                entry.seq == *seq
            }
            Fault::CrashAfterActivation(count) => {
                matches!(body, Some(Body::Finished { .. })) && finished == *count
            }
            Fault::LoseEffect(name) => match body {
                Some(Body::Step { step, .. }) => {
                    step.name == *name
                        && step.class != EffectClass::Pure
                        && matches!(step.state, StepState::Finished(_))
                }
                _ => false,
            },
        }
    }
}

/// A store with faults, over any other one.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Checkpointer>,
    shared: Arc<Shared>,
}

struct Shared {
    faults: Mutex<Vec<Fault>>,
    finished: Mutex<usize>,
    /// What was stored: a later entry may leave out a value that an earlier one holds.
    seen: Mutex<Vec<Entry>>,
    slow: Option<Duration>,
    /// Counts the crashes.
    crashes: watch::Sender<usize>,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("faults", &*lock(&self.shared.faults)).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultyStore {
    /// A store over `inner` in which these faults strike, each once. With `slow` each acknowledgement takes that long.
    pub fn new(inner: Arc<dyn Checkpointer>, faults: Vec<Fault>, slow: Option<Duration>) -> Self {
        let shared = Shared {
            faults: Mutex::new(faults),
            finished: Mutex::new(0),
            seen: Mutex::default(),
            slow,
            crashes: watch::Sender::new(0),
        };
        Self { inner, shared: Arc::new(shared) }
    }

    /// Drives a run until it ends or a fault kills it; `None` is a crash. A run that is awaited without this waits for
    /// ever once it is killed, since its store no longer answers.
    pub async fn drive<T>(&self, run: impl IntoFuture<Output = T>) -> Option<T> {
        let mut crashes = self.shared.crashes.subscribe();
        crashes.mark_unchanged();
        let run = run.into_future();
        tokio::select! {
            biased;
            _ = crashes.changed() => None,
            done = run => Some(done),
        }
    }

    /// The faults that have not struck yet.
    pub fn outstanding(&self) -> Vec<Fault> {
        lock(&self.shared.faults).clone()
    }
}

impl Shared {
    /// The fault that strikes at this entry, which is then gone.
    fn at(&self, entry: &Entry) -> Option<Fault> {
        let body = self.body(entry);
        let mut finished = lock(&self.finished);
        *finished += usize::from(matches!(body, Some(Body::Finished { .. })));
        let mut faults = lock(&self.faults);
        let place = faults.iter().position(|fault| fault.strikes(entry, body.as_ref(), *finished))?;
        let fault = faults.remove(place);
        if !matches!(fault, Fault::CrashAfterEntry(_) | Fault::CrashAfterActivation(_)) {
            *finished -= usize::from(matches!(body, Some(Body::Finished { .. })));
        }
        Some(fault)
    }

    /// What a record says, with the values put back that it leaves out.
    fn body(&self, entry: &Entry) -> Option<Body> {
        let mut seen = lock(&self.seen);
        let mut whole = [entry.clone()];
        // What was refused comes again with the same position.
        seen.retain(|earlier| earlier.seq < entry.seq);
        let filled = fill_values(&mut whole, &seen);
        seen.push(entry.clone());
        let read = filled.is_ok() && entry.kind == EntryKind::Record;
        read.then(|| decode::<Record>(&whole[0].bytes).ok())?.map(|record| record.body)
    }

    fn crash(&self) {
        self.crashes.send_modify(|crashes| *crashes += 1);
    }
}

impl Checkpointer for FaultyStore {
    fn open<'a>(
        &'a self,
        thread: &'a ThreadId,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Box<dyn Journal>, StoreError>> {
        async move {
            let inner = self.inner.open(thread, durability).await?;
            let journal = FaultyJournal { inner, shared: self.shared.clone(), unheard: Vec::new() };
            Ok(Box::new(journal) as Box<dyn Journal>)
        }
        .boxed()
    }

    fn latest_snapshot<'a>(
        &'a self,
        thread: &'a ThreadId,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.inner.latest_snapshot(thread)
    }

    fn entries<'a>(
        &'a self,
        thread: &'a ThreadId,
        ranges: &'a [(Seq, Seq)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.inner.entries(thread, ranges)
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a ThreadId>,
        threads_max: u32,
    ) -> BoxFuture<'a, Result<Vec<(ThreadId, Seq)>, StoreError>> {
        self.inner.list(after, threads_max)
    }

    fn delete<'a>(
        &'a self,
        thread: &'a ThreadId,
        at: Option<Seq>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.inner.delete(thread, at)
    }
}

type Sender = oneshot::Sender<Result<(), StoreError>>;

struct FaultyJournal {
    inner: Box<dyn Journal>,
    shared: Arc<Shared>,
    /// Where a killed driver waits: kept, so that it waits until it is dropped. Not empty once the process is dead.
    unheard: Vec<Sender>,
}

impl FaultyJournal {
    /// An acknowledgement that never comes.
    fn silence(&mut self) -> Ack {
        let (sender, receiver) = oneshot::channel();
        self.unheard.push(sender);
        Ack::pending(receiver)
    }
}

impl Journal for FaultyJournal {
    fn append(&mut self, entry: Entry) -> Ack {
        if !self.unheard.is_empty() {
            return self.silence();
        }
        let shared = self.shared.clone();
        match self.shared.at(&entry) {
            Some(Fault::FullDisk(_)) => {
                Ack::ready(Err(StoreError::Full { message: "the test left no room".to_owned() }))
            }
            Some(Fault::CrashBeforeEntry(_) | Fault::LoseEffect(_)) => {
                shared.crash();
                self.silence()
            }
            Some(Fault::CrashAfterEntry(_) | Fault::CrashAfterActivation(_)) => {
                let stored = self.inner.append(entry);
                when_done(stored, None, move |_| shared.crash());
                self.silence()
            }
            None => {
                let stored = self.inner.append(entry);
                let Some(slow) = shared.slow else { return stored };
                let (sender, receiver) = oneshot::channel();
                when_done(stored, Some(slow), move |result| {
                    // A driver that is gone needs no answer.
                    let _ = sender.send(result);
                });
                Ack::pending(receiver)
            }
        }
    }
}

/// Does something when the acknowledgement is in: at once if it is, else in a task.
fn when_done(
    mut ack: Ack,
    slow: Option<Duration>,
    then: impl FnOnce(Result<(), StoreError>) + Send + 'static,
) {
    let polled = Pin::new(&mut ack).poll(&mut Context::from_waker(Waker::noop()));
    match (polled, slow) {
        (Poll::Ready(result), None) => then(result),
        (Poll::Ready(result), Some(slow)) => {
            tokio::spawn(async move {
                tokio::time::sleep(slow).await;
                then(result);
            });
        }
        (Poll::Pending, slow) => {
            tokio::spawn(async move {
                let result = ack.await;
                tokio::time::sleep(slow.unwrap_or_default()).await;
                then(result);
            });
        }
    }
}
