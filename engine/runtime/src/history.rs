//! Time travel: what a thread's journal says about its past, the state as it was, and forks. Nothing here ever changes
//! the thread that it is about.

use statewright_engine_core::journal::{
    Body, Commit, Origin, PausePoint, Record, SlotImage, SlotState, SnapshotBody, decode,
};
use statewright_engine_core::{
    Entry, EntryKind, Event, Execution, NodeIx, Plan, RecoverError, Recovery, RunId, Seq, State, ThreadId,
    UpdateValue,
};

use crate::error::RunError;
use crate::reading::read_entries;
use crate::runner::{Runner, ThreadState, typed_state};

/// The end of a superstep, or the beginning of a run: a place from which a thread can be looked at and forked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The entry that made it.
    pub seq: Seq,
    /// When, in milliseconds since 1970 by the driver's clock.
    pub at_ms: u64,
    /// The run.
    pub run: RunId,
    /// The superstep that begins here.
    pub superstep: u64,
    /// The nodes that ended with it, in merge order; none at the beginning of a run. One that the graph has no more is
    /// [`NodeIx::GONE`].
    pub ended: Vec<NodeIx>,
    /// The nodes that run next; none if nothing is left to do. Where it stands in the middle of a superstep, as at the
    /// beginning of a fork or at level `exit`, those that had finished are left out.
    pub next: Vec<NodeIx>,
    /// Where the run paused here because somebody wanted to look.
    pub held: Vec<PausePoint>,
}

impl<S: State> Runner<S> {
    /// The checkpoints of a thread, oldest first. At level `exit` only snapshots are stored, and they are listed.
    ///
    /// # Errors
    /// [`RunError::NoCheckpointer`], or what makes the thread unreadable.
    pub async fn history(&self, thread: impl Into<ThreadId>) -> Result<Vec<Checkpoint>, RunError> {
        let entries = self.all_entries(&thread.into()).await?;
        let bare = entries.iter().all(|entry| entry.kind == EntryKind::Snapshot);
        let mut history: Vec<Checkpoint> = Vec::new();
        // All nodes of the present superstep, with those that had finished when a snapshot was written.
        let mut frontier = Vec::new();
        let mut names = Names { plan: self.graph().plan(), written: Vec::new() };
        for entry in &entries {
            let found = match entry.kind {
                EntryKind::Record => of_record(entry, history.last(), &mut frontier, &mut names)?,
                EntryKind::Snapshot => {
                    let (found, all) = of_snapshot(entry, &mut names)?;
                    // Beside records a snapshot says nothing that they do not say; at level `exit` there are no others.
                    let known =
                        |last: &Checkpoint| last.superstep == found.superstep && last.run == found.run;
                    let is_known = history.last().is_some_and(known);
                    if !is_known {
                        frontier = all;
                    }
                    (bare || !is_known).then_some(found)
                }
            };
            history.extend(found);
        }
        Ok(history)
    }

    /// Where the thread stood when this entry was its last one. Any entry will do, also one in the middle of a superstep.
    ///
    /// # Errors
    /// [`RunError::NoCheckpoint`] if the thread has no such entry.
    pub async fn state_at(&self, thread: impl Into<ThreadId>, seq: Seq) -> Result<ThreadState<S>, RunError> {
        let thread = thread.into();
        let execution = self.recover_at(&thread, seq).await?;
        Ok(ThreadState::of(thread, &execution))
    }

    /// Begins the thread `into` as a copy of `thread` at this entry, with an edit folded into its state by its reducers.
    /// The copy needs nothing of the original: it stays whole when that is deleted. Its run has an id of its own. Resume
    /// it to go on from there.
    ///
    /// # Errors
    /// [`RunError::NoCheckpoint`] if the thread has no such entry, [`RunError::ThreadExists`] if `into` is not empty.
    pub async fn fork(
        &self,
        thread: impl Into<ThreadId>,
        seq: Seq,
        into: impl Into<ThreadId>,
        edit: S::Update,
    ) -> Result<ThreadState<S>, RunError> {
        let (thread, into) = (thread.into(), into.into());
        let mut execution = self.recover_at(&thread, seq).await?;
        let store = self.checkpointer.as_ref().ok_or(RunError::NoCheckpointer)?;
        let mut journal = store.open(&into, self.durability).await?;
        if !store.entries(&into, &[(1, 1)]).await?.is_empty() {
            return Err(RunError::ThreadExists { thread: into });
        }
        let origin = Origin { thread: thread.as_str().to_owned(), seq };
        let run = RunId::new(crate::ids::random_id());
        let entry = execution.fork((self.clock)(), origin, run, UpdateValue::live(edit))?;
        journal.append(entry).await?;
        execution.handle(0, Event::Persisted { seq: 1 })?;
        Ok(ThreadState::of(into, &execution))
    }

    async fn all_entries(&self, thread: &ThreadId) -> Result<Vec<Entry>, RunError> {
        let store = self.checkpointer.as_ref().ok_or(RunError::NoCheckpointer)?;
        read_entries(store.as_ref(), thread, &[(1, Seq::MAX >> 1)]).await
    }

    async fn recover_at(&self, thread: &ThreadId, seq: Seq) -> Result<Execution, RunError> {
        let mut entries = self.all_entries(thread).await?;
        let last = entries.last().map_or(0, |entry| entry.seq);
        entries.retain(|entry| entry.seq <= seq);
        if entries.last().is_none_or(|entry| entry.seq != seq) {
            return Err(RunError::NoCheckpoint { thread: thread.clone(), seq, last });
        }
        let base = entries.iter().rev().find(|entry| entry.kind == EntryKind::Snapshot);
        let cell = (self.graph().cell)();
        let options = self.options(statewright_engine_core::Observe::Nothing);
        let recovery = Recovery::new(self.graph().plan.clone(), cell, options, base)?;
        let tail = entries.partition_point(|entry| entry.seq < recovery.tail_from());
        Ok(recovery.finish(&entries, &entries[tail..])?)
    }
}

/// The names of the nodes in the entries that are read now, whose numbers are those of the graph that wrote them.
struct Names<'a> {
    plan: &'a Plan,
    written: Vec<String>,
}

impl Names<'_> {
    /// The present number of a node.
    fn now(&self, node: NodeIx) -> NodeIx {
        let name = self.written.get(node.index());
        name.and_then(|name| self.plan.successor_of(name)).unwrap_or(NodeIx::GONE)
    }
}

fn of_record(
    entry: &Entry,
    before: Option<&Checkpoint>,
    frontier: &mut Vec<NodeIx>,
    names: &mut Names<'_>,
) -> Result<Option<Checkpoint>, RunError> {
    let unreadable = |error| RecoverError::Entry { seq: entry.seq, error };
    let record: Record = decode(&entry.bytes).map_err(unreadable)?;
    let (run, commit) = match record.body {
        Body::Opened(opened) => {
            names.written = opened.table.nodes;
            (Some(opened.run), opened.commit)
        }
        Body::Finished { commit: Some(commit), .. } | Body::Committed { commit: Some(commit), .. } => {
            (None, *commit)
        }
        _ => return Ok(None),
    };
    let Commit { superstep, next, held, .. } = commit;
    let next: Vec<NodeIx> = next.into_iter().map(|planned| names.now(planned.node)).collect();
    let before_it = std::mem::replace(frontier, next.clone());
    let ended = if run.is_some() { Vec::new() } else { before_it };
    let run = run.or_else(|| before.map(|before| before.run.clone())).unwrap_or_else(|| RunId::new(""));
    Ok(Some(Checkpoint { seq: entry.seq, at_ms: record.at_ms, run, superstep, ended, next, held }))
}

/// Where the thread stood, and all nodes of the superstep, with those that had finished.
fn of_snapshot(entry: &Entry, names: &mut Names<'_>) -> Result<(Checkpoint, Vec<NodeIx>), RunError> {
    let unreadable = |error| RecoverError::Entry { seq: entry.seq, error };
    let body: SnapshotBody = decode(&entry.bytes).map_err(unreadable)?;
    names.written.clone_from(&body.table.nodes);
    let is_open =
        |slot: &&SlotImage| !matches!(slot.state, SlotState::Finished { .. } | SlotState::Handled(_));
    let found = Checkpoint {
        seq: entry.seq,
        at_ms: body.at_ms,
        run: body.run,
        superstep: body.superstep,
        ended: Vec::new(),
        next: body.slots.iter().filter(is_open).map(|slot| names.now(slot.node)).collect(),
        held: body.held,
    };
    Ok((found, body.slots.iter().map(|slot| names.now(slot.node)).collect()))
}

impl<S: State> ThreadState<S> {
    pub(crate) fn of(thread: ThreadId, execution: &Execution) -> Self {
        Self {
            status: execution.status(),
            run: execution.run().cloned(),
            state: typed_state(execution),
            interrupts: execution.interrupts(),
            unknown_effects: execution.unknown_effects(),
            spending: execution.spending(),
            undelivered: execution.outbox().map(|post| post.id.clone()).collect(),
            superstep: execution.superstep(),
            seq: execution.last_seq(),
            origin: execution.origin().map(|origin| (ThreadId::new(origin.thread.clone()), origin.seq)),
            thread,
        }
    }
}
