//! Recovery: from entries back to an execution. Applies what the records decided and decides nothing anew.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::advance::Counters;
use super::gates::Gates;
use super::joins::Joins;
use super::slot::{BackOff, Extra, Progress, Question, Slot};
use super::types::{Entry, EntryKind, Options};
use super::{Execution, outbox, steps};
use crate::cell::{CellError, StateCell, UpdateValue};
use crate::failure::Failure;
use crate::graph::Plan;
use crate::ids::{Fingerprint, Seq};
use crate::journal::{self, Body, FrameError, NodeTable, Record, SlotImage, SlotState, SnapshotBody};
use crate::payload::Payload;

/// Why a thread cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// An entry cannot be read.
    #[error("entry {seq} cannot be read: {error}")]
    Entry {
        /// Its position.
        seq: Seq,
        /// Why.
        error: FrameError,
    },
    /// Entries are missing.
    #[error(
        "the journal lacks entry {expected} (the next one found is {found}); restore the database from a backup"
    )]
    Gap {
        /// The position that was expected.
        expected: Seq,
        /// The position that was found.
        found: Seq,
    },
    /// Another graph, or another version of this one, wrote the thread.
    #[error(
        "the thread was written by another version of the graph `{graph}`: {differences}; finish it once with the build that wrote it ({stored}; this one is {present})"
    )]
    OtherGraph {
        /// The graph's name as stored.
        graph: String,
        /// The stored fingerprint.
        stored: Fingerprint,
        /// This graph's fingerprint.
        present: Fingerprint,
        /// What differs, in words.
        differences: String,
    },
    /// Stored values do not fit the state.
    #[error("entry {seq}: {error}")]
    Cell {
        /// The entry.
        seq: Seq,
        /// Why.
        error: CellError,
    },
    /// A record speaks of something that its predecessors do not know.
    #[error(
        "entry {seq} does not follow from the entries before it: {what}; restore the database from a backup"
    )]
    Inconsistent {
        /// Its position.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
    /// A reducer panicked on an update that was once folded.
    #[error("entry {seq} cannot be folded: {failure}")]
    Fold {
        /// Its position.
        seq: Seq,
        /// What went wrong.
        failure: Failure,
    },
}

impl RecoverError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RecoverError::Entry { error, .. } => error.code(),
            RecoverError::Gap { .. } | RecoverError::Inconsistent { .. } => "SW-S413",
            RecoverError::OtherGraph { .. } => "SW-X210",
            RecoverError::Cell { error, .. } => error.code(),
            RecoverError::Fold { .. } => "SW-X224",
        }
    }
}

/// A thread on its way back: first what to read is asked, then it is put together.
pub struct Recovery {
    execution: Execution,
    snapshot: Option<(Seq, Box<SnapshotBody>)>,
    snapshot_bytes: u64,
}

impl Recovery {
    /// Begins with the latest snapshot of the thread, if it has one.
    ///
    /// # Errors
    /// [`RecoverError::Entry`] if it cannot be read, [`RecoverError::OtherGraph`] if another graph wrote it.
    pub fn new(
        plan: Arc<Plan>,
        cell: Box<dyn StateCell>,
        options: Options,
        latest_snapshot: Option<&Entry>,
    ) -> Result<Self, RecoverError> {
        let mut execution = Execution::new(plan, cell, options);
        let mut snapshot = None;
        if let Some(entry) = latest_snapshot {
            let body: SnapshotBody = read(entry)?;
            same_graph(&execution.plan, body.fingerprint, Some(&body.table))?;
            countable(entry.seq, entry.seq.max(body.superstep))?;
            execution.writer.values.load(entry.seq, &body.known)?;
            execution.writer.values.learn(entry);
            snapshot = Some((entry.seq, Box::new(body)));
        }
        let snapshot_bytes = latest_snapshot.map_or(0, stored_bytes);
        Ok(Self { execution, snapshot, snapshot_bytes })
    }

    /// The entries before the tail that are needed: closed ranges, without overlap, in ascending order.
    pub fn needs(&self) -> Vec<(Seq, Seq)> {
        let Some((at, body)) = &self.snapshot else { return Vec::new() };
        let mut ranges: Vec<(Seq, Seq)> =
            body.references.iter().flat_map(|list| list.ranges.iter().copied()).collect();
        for slot in &body.slots {
            if let SlotState::Finished { seq, .. } = slot.state
                && seq > 0
            {
                ranges.push((seq, seq));
            }
            ranges.extend(slot.steps.iter().filter_map(steps::held_by).map(|seq| (seq, seq)));
        }
        ranges.extend(body.outbox.iter().filter_map(outbox::held_by).map(|seq| (seq, seq)));
        ranges.retain(|(from, to)| from <= to && *to < *at);
        ranges.sort_unstable();
        let mut merged: Vec<(Seq, Seq)> = Vec::new();
        for (from, to) in ranges {
            match merged.last_mut() {
                Some((_, last)) if from <= *last + 1 => *last = to.max(*last),
                _ => merged.push((from, to)),
            }
        }
        merged
    }

    /// The first position of the tail: everything from here on is needed.
    pub fn tail_from(&self) -> Seq {
        self.snapshot.as_ref().map_or(1, |(seq, _)| seq + 1)
    }

    /// Puts the thread together from the entries that [`Recovery::needs`] names and from the tail.
    ///
    /// # Errors
    /// Every variant of [`RecoverError`]: stored bytes may be anything.
    pub fn finish(self, referenced: &[Entry], tail: &[Entry]) -> Result<Execution, RecoverError> {
        let mut execution = self.execution;
        let mut next = 1;
        if let Some((seq, body)) = self.snapshot {
            execution.load_snapshot(seq, *body, referenced)?;
            execution.writer.last_snapshot = self.snapshot_bytes;
            next = seq + 1;
        }
        for entry in tail {
            if entry.seq != next {
                return Err(RecoverError::Gap { expected: next, found: entry.seq });
            }
            next += 1;
            execution.writer.next_seq = next;
            execution.writer.values.learn(entry);
            match entry.kind {
                // A snapshot in the tail says nothing that the records around it do not say, but it may be a base.
                EntryKind::Snapshot => execution.pass_snapshot(entry)?,
                EntryKind::Record => {
                    let record: Record = read(entry)?;
                    let table =
                        if let Body::Opened(opened) = &record.body { Some(&opened.table) } else { None };
                    same_graph(&execution.plan, record.fingerprint, table)?;
                    execution.replay(entry.seq, record.body)?;
                    execution.writer.since_snapshot += stored_bytes(entry);
                }
            }
        }
        execution.writer.acked = next - 1;
        execution.note_end();
        execution.settle_nested();
        Ok(execution)
    }
}

fn stored_bytes(entry: &Entry) -> u64 {
    journal::stored_bytes(&entry.bytes) as u64
}

pub(super) fn read<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, RecoverError> {
    read_bytes(entry.seq, &entry.bytes)
}

pub(super) fn read_bytes<T: serde::de::DeserializeOwned>(seq: Seq, bytes: &[u8]) -> Result<T, RecoverError> {
    journal::decode(bytes).map_err(|error| RecoverError::Entry { seq, error })
}

pub(super) fn same_graph(
    plan: &Plan,
    stored: Fingerprint,
    table: Option<&NodeTable>,
) -> Result<(), RecoverError> {
    if stored == plan.fingerprint {
        return Ok(());
    }
    let (graph, differences) = match table {
        None => (plan.name.to_string(), "a record in the middle of it has another fingerprint".to_owned()),
        Some(table) => (table.graph.clone(), differences(table, &plan.table)),
    };
    Err(RecoverError::OtherGraph { graph, stored, present: plan.fingerprint, differences })
}

fn differences(stored: &NodeTable, present: &NodeTable) -> String {
    let mut words = Vec::new();
    if stored.graph != present.graph {
        words.push(format!("it is the graph `{}`, and this one is `{}`", stored.graph, present.graph));
    }
    let channels = |table: &NodeTable| -> Vec<String> {
        table.channels.iter().map(|channel| format!("{} ({})", channel.name, channel.reducer)).collect()
    };
    let lists = [
        ("node", stored.nodes.clone(), present.nodes.clone()),
        ("field", channels(stored), channels(present)),
    ];
    for (what, stored, present) in lists {
        let gone: Vec<&String> = stored.iter().filter(|name| !present.contains(name)).collect();
        let new: Vec<&String> = present.iter().filter(|name| !stored.contains(name)).collect();
        words.extend(gone.into_iter().map(|name| format!("the {what} `{name}` is gone")));
        words.extend(new.into_iter().map(|name| format!("the {what} `{name}` is new")));
    }
    if words.is_empty() { "its edges or the state's version differ".to_owned() } else { words.join(", ") }
}

impl Execution {
    pub(super) fn load_snapshot(
        &mut self,
        seq: Seq,
        body: SnapshotBody,
        referenced: &[Entry],
    ) -> Result<(), RecoverError> {
        let cell_error = |error| RecoverError::Cell { seq, error };
        let channels = self.plan.schema.channels;
        let held = |channel: usize| body.self_contained || !channels[channel].reducer.is_referenced();
        self.cell.restore(&body.values, &held).map_err(cell_error)?;
        for list in &body.references {
            self.read_channel(list.channel as usize, &list.ranges, referenced)?;
        }
        self.writer.references.set(&body.references);
        if body.self_contained {
            self.writer.references.rebase(seq);
        }
        self.slots.clear();
        self.run = Some(body.run);
        self.origin = body.origin;
        self.superstep = body.superstep;
        self.cancelled = body.cancelled;
        self.drained = body.drained;
        self.exhausted = body.exhausted;
        self.commit_failure = body.failure;
        let crossed = body.crossings.iter().map(|crossing| u64::from(crossing.count) << 32);
        countable(seq, crossed.max().unwrap_or(0))?;
        self.counters = Counters::for_plan(&self.plan);
        self.counters.apply(&[], &body.crossings);
        self.counters.joins = Joins::from_images(body.joins);
        self.counters.gates = Gates::from_images(body.gates);
        for image in body.slots {
            self.load_next_slot(seq, image, referenced)?;
        }
        self.load_outbox(body.outbox, referenced)?;
        if let Some(images) = body.undos {
            self.undos.load(seq, *images)?;
        }
        if let Some(image) = body.budget {
            self.budgets.load(*image);
        }
        self.writer.next_seq = seq + 1;
        // One that was written at the end of a drive says how it ended, and nobody has driven a fresh fork yet.
        let fresh_fork = seq == 1 && self.origin.is_some();
        self.driven = !fresh_fork;
        self.note_end();
        Ok(())
    }

    /// Reads one referenced channel back from the entries that wrote it, in the order in which they were folded.
    fn read_channel(
        &mut self,
        channel: usize,
        ranges: &[(Seq, Seq)],
        entries: &[Entry],
    ) -> Result<(), RecoverError> {
        let only = |candidate: usize| candidate == channel;
        for seq in ranges.iter().flat_map(|(from, to)| *from..=*to) {
            let entry = find(entries, seq)?;
            let cell_error = |error| RecoverError::Cell { seq, error };
            if entry.kind == EntryKind::Snapshot {
                let base: SnapshotBody = read(entry)?;
                self.cell.restore(&base.values, &only).map_err(cell_error)?;
                continue;
            }
            let record: Record = read(entry)?;
            let update = match record.body {
                Body::Finished { update, .. } => update,
                Body::Opened(opened) => opened.input,
                _ => continue,
            };
            let mut update = UpdateValue::from_bytes(&update);
            self.cell.apply(&mut update, Some(&only)).map_err(cell_error)?;
        }
        Ok(())
    }

    /// A slot has to be there before the execution inside it.
    fn load_next_slot(
        &mut self,
        at: Seq,
        mut image: SlotImage,
        entries: &[Entry],
    ) -> Result<(), RecoverError> {
        let nested = image.nested.take();
        let place = self.slots.len() as u32;
        self.slots.push(self.load_slot(at, image, entries)?);
        if let Some(body) = nested {
            let child = self.load_nested(at, place, *body)?;
            self.slots[place as usize].child = Some(child);
        }
        Ok(())
    }

    fn load_slot(&self, at: Seq, image: SlotImage, entries: &[Entry]) -> Result<Slot, RecoverError> {
        self.known_node(at, image.node)?;
        countable(at, u64::from(image.attempts) << 32)?;
        let mut posts = image.posts;
        let progress = match image.state {
            SlotState::Ready => Progress::Ready,
            SlotState::Failed(failure) => Progress::Failed(Box::new(failure)),
            SlotState::Handled(failure) => Progress::Handled(Box::new(failure)),
            SlotState::BackingOff { failure, at_ms } => {
                countable(at, at_ms)?;
                Progress::BackingOff(Box::new(BackOff { failure, at_ms }))
            }
            SlotState::Waiting { asked, rejected, more } => {
                let first = Question { asked, rejected };
                let more = more.into_iter().map(|asked| Question { asked, rejected: None });
                Progress::Waiting(std::iter::once(first).chain(more).collect())
            }
            SlotState::Finished { seq: 0, update, route } => {
                let update = UpdateValue::from_bytes(&update.unwrap_or_default());
                let decision = route.map(|route| self.decision(at, image.node, route)).transpose()?;
                Progress::Finished { update, decision, seq: 0 }
            }
            SlotState::Finished { seq, .. } => {
                let record: Record = read(find(entries, seq)?)?;
                let Body::Finished { update, route, posts: posted, .. } = record.body else {
                    return Err(RecoverError::Inconsistent {
                        seq,
                        what: "it should finish an activation".to_owned(),
                    });
                };
                posts = posted;
                let decision = route.map(|route| self.decision(seq, image.node, route)).transpose()?;
                Progress::Finished { update: UpdateValue::from_bytes(&update), decision, seq }
            }
        };
        let input = payload(image.input);
        let steps = steps::load(image.steps, entries)?;
        if let Some(tries) = &image.tries {
            let counted = tries.attempts.max(tries.honoured).max(tries.crashes);
            countable(at, tries.waited_ms.max(u64::from(counted) << 32))?;
        }
        let SlotImage { node, critique, attempts, answers, tries, .. } = image;
        let extra = Some(Box::new(Extra { answers, steps, posts, tries, waited: None }));
        Ok(Slot { node, input, critique, attempts, progress, extra, child: None })
    }

    fn pass_snapshot(&mut self, entry: &Entry) -> Result<(), RecoverError> {
        let body: SnapshotBody = read(entry)?;
        self.writer.last_snapshot = stored_bytes(entry);
        self.writer.since_snapshot = 0;
        if body.self_contained {
            self.writer.references.rebase(entry.seq);
        }
        Ok(())
    }
}

/// Counters that could not be counted on were never written by an engine.
pub(super) fn countable(seq: Seq, number: u64) -> Result<(), RecoverError> {
    if number > u64::MAX >> 1 {
        return Err(RecoverError::Inconsistent {
            seq,
            what: "a number in it is out of all bounds".to_owned(),
        });
    }
    Ok(())
}

pub(super) fn find(entries: &[Entry], seq: Seq) -> Result<&Entry, RecoverError> {
    let place = entries.binary_search_by_key(&seq, |entry| entry.seq);
    let place = place.map_err(|place| RecoverError::Gap {
        expected: seq,
        found: entries.get(place).map_or(0, |entry| entry.seq),
    })?;
    Ok(&entries[place])
}

pub(super) fn payload(bytes: Option<ByteBuf>) -> Payload {
    match bytes {
        Some(bytes) if !bytes.is_empty() => Payload::Bytes(bytes.into_vec().into()),
        _ => Payload::Unit,
    }
}
