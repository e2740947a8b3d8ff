//! Recovery: from entries back to an execution. Applies what the records decided and decides nothing anew.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::advance::Counters;
use super::gates::Gates;
use super::joins::Joins;
use super::slot::{BackOff, Extra, Progress, Question, Slot};
use super::types::{Entry, EntryKind, Options};
use super::versions::{self, Author, same_graph};
use super::{Execution, outbox, steps};
use crate::cell::{CellError, StateCell, UpdateValue};
use crate::failure::Failure;
use crate::graph::Plan;
use crate::ids::{Fingerprint, Seq};
use crate::journal::{self, Body, FrameError, Record, SlotImage, SlotState, SnapshotBody};
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
    /// The state's type is newer than this program's.
    #[error(
        "the thread was written with version {stored} of the state `{state}`, and this program has version {present}; use the build that wrote it, or a later one"
    )]
    NewerState {
        /// The state's name.
        state: String,
        /// The stored version.
        stored: u32,
        /// This program's version.
        present: u32,
    },
    /// Fields of the state changed in a way that nothing declares.
    #[error(
        "the thread was written with version {stored} of the state `{state}`, and this program has version {present}: {differences}; or finish it once with the build that wrote it"
    )]
    OtherState {
        /// The state's name.
        state: String,
        /// The stored version.
        stored: u32,
        /// This program's version.
        present: u32,
        /// What differs, in words.
        differences: String,
    },
    /// The open run stands where this version of the graph has no place.
    #[error(
        "the open run cannot go on in this version of the graph `{graph}`: {differences}; or drain it once with the build that wrote it ({stored}; this one is {present})"
    )]
    Blocked {
        /// The graph's name.
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
            RecoverError::NewerState { .. } => "SW-X261",
            RecoverError::OtherState { .. } => "SW-X262",
            RecoverError::Blocked { .. } => "SW-X263",
            RecoverError::Cell { error, .. } => error.code(),
            RecoverError::Fold { .. } => "SW-X224",
        }
    }
}

/// A thread on its way back: first what to read is asked, then it is put together.
pub struct Recovery {
    pub(super) execution: Execution,
    pub(super) present: Arc<Plan>,
    /// Who wrote the entries that are read now, if another version did.
    pub(super) author: Option<Author>,
    snapshot: Option<(Seq, Box<SnapshotBody>)>,
    snapshot_bytes: u64,
}

impl Recovery {
    /// Begins with the latest snapshot of the thread, if it has one.
    ///
    /// # Errors
    /// [`RecoverError::Entry`] if it cannot be read, and what makes another version's thread unreadable here.
    pub fn new(
        plan: Arc<Plan>,
        cell: Box<dyn StateCell>,
        options: Options,
        latest_snapshot: Option<&Entry>,
    ) -> Result<Self, RecoverError> {
        let snapshot_bytes = latest_snapshot.map_or(0, stored_bytes);
        let execution = Execution::new(plan.clone(), cell, options);
        let mut recovery = Self { execution, present: plan, author: None, snapshot: None, snapshot_bytes };
        if let Some(entry) = latest_snapshot {
            let body: SnapshotBody = read(entry)?;
            recovery.follow(body.fingerprint, body.state_version, &body.table)?;
            recovery.execution.cell.begin_older(body.state_version);
            countable(entry.seq, entry.seq.max(body.superstep))?;
            recovery.execution.writer.values.load(entry.seq, &body.known)?;
            recovery.execution.writer.values.learn(entry);
            recovery.snapshot = Some((entry.seq, Box::new(body)));
        }
        Ok(recovery)
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
    pub fn finish(mut self, referenced: &[Entry], tail: &[Entry]) -> Result<Execution, RecoverError> {
        let mut next = 1;
        if let Some((seq, body)) = self.snapshot.take() {
            self.execution.load_snapshot(seq, *body, referenced, self.author.as_ref())?;
            self.execution.writer.last_snapshot = self.snapshot_bytes;
            next = seq + 1;
        }
        for entry in tail {
            if entry.seq != next {
                return Err(RecoverError::Gap { expected: next, found: entry.seq });
            }
            next += 1;
            self.execution.writer.next_seq = next;
            self.execution.writer.values.learn(entry);
            match entry.kind {
                EntryKind::Snapshot => self.pass_snapshot(entry)?,
                EntryKind::Record => self.replay(entry)?,
            }
        }
        let Self { mut execution, present, author, .. } = self;
        execution.writer.acked = next - 1;
        if let Some(author) = author {
            let (graph, stored) = (present.name.to_string(), execution.plan.fingerprint);
            let fingerprint = present.fingerprint;
            execution.adopt(present, &author).map_err(|differences| RecoverError::Blocked {
                graph,
                stored,
                present: fingerprint,
                differences,
            })?;
        }
        execution.note_end();
        execution.settle_nested();
        Ok(execution)
    }

    fn replay(&mut self, entry: &Entry) -> Result<(), RecoverError> {
        let mut record: Record = read(entry)?;
        if let Body::Opened(opened) = &record.body {
            self.follow(record.fingerprint, record.state_version, &opened.table)?;
            if self.execution.run.is_none() {
                self.execution.cell.begin_older(record.state_version);
            }
        } else {
            same_graph(&self.execution.plan, record.fingerprint, None)?;
        }
        self.has_inner(&record.body)?;
        let execution = &mut self.execution;
        versions::migrate_record(execution.cell.as_ref(), entry.seq, &mut record)?;
        execution.replay(entry.seq, record.body)?;
        execution.writer.since_snapshot += stored_bytes(entry);
        Ok(())
    }
}

pub(super) fn stored_bytes(entry: &Entry) -> u64 {
    journal::stored_bytes(&entry.bytes) as u64
}

pub(super) fn read<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, RecoverError> {
    read_bytes(entry.seq, &entry.bytes)
}

pub(super) fn read_bytes<T: serde::de::DeserializeOwned>(seq: Seq, bytes: &[u8]) -> Result<T, RecoverError> {
    journal::decode(bytes).map_err(|error| RecoverError::Entry { seq, error })
}

impl Execution {
    pub(super) fn load_snapshot(
        &mut self,
        seq: Seq,
        mut body: SnapshotBody,
        referenced: &[Entry],
        author: Option<&Author>,
    ) -> Result<(), RecoverError> {
        let version = body.state_version;
        versions::migrate(self.cell.as_ref(), seq, version, &mut body.values)?;
        self.load_values(seq, &body, author)?;
        let references = match author {
            Some(author) => author.references(&body.references),
            None => std::mem::take(&mut body.references),
        };
        for list in &references {
            self.read_channel(list.channel as usize, &list.ranges, referenced)?;
        }
        self.writer.references.set(&references);
        if body.self_contained {
            self.writer.references.rebase(seq);
        }
        self.writer.references.incomplete |=
            author.is_some_and(|author| !body.self_contained && author.lacks_references(self.cell.as_ref()));
        self.load_outbox(std::mem::take(&mut body.outbox), referenced)?;
        self.load_standing(seq, body, referenced)
    }

    /// Everything but the state: where the thread stands.
    pub(super) fn load_standing(
        &mut self,
        seq: Seq,
        mut body: SnapshotBody,
        referenced: &[Entry],
    ) -> Result<(), RecoverError> {
        self.slots.clear();
        self.run = Some(body.run);
        self.origin = body.origin;
        self.superstep = body.superstep;
        self.cancelled = body.cancelled;
        self.drained = body.drained;
        self.exhausted = body.exhausted;
        self.held = body.held;
        self.cut_short = body.cut_short;
        self.commit_failure = body.failure;
        let crossed = body.crossings.iter().map(|crossing| u64::from(crossing.count) << 32);
        countable(seq, crossed.max().unwrap_or(0))?;
        self.counters = Counters::for_plan(&self.plan);
        self.counters.apply(&[], &body.crossings);
        self.counters.joins = Joins::from_images(body.joins);
        for gate in &mut body.gates {
            versions::migrate(self.cell.as_ref(), seq, body.state_version, &mut gate.kept)?;
        }
        self.counters.gates = Gates::from_images(body.gates);
        let version = body.state_version;
        for image in body.slots {
            self.load_next_slot((seq, version), image, referenced)?;
        }
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
        if fresh_fork || self.cut_short {
            self.nobody_drives_within();
        }
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
                let mut base: SnapshotBody = read(entry)?;
                versions::migrate(self.cell.as_ref(), seq, base.state_version, &mut base.values)?;
                self.cell.restore(&base.values, &only).map_err(cell_error)?;
                continue;
            }
            let mut record: Record = read(entry)?;
            versions::migrate_record(self.cell.as_ref(), seq, &mut record)?;
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
        at: (Seq, u32),
        mut image: SlotImage,
        entries: &[Entry],
    ) -> Result<(), RecoverError> {
        let nested = image.nested.take();
        let place = self.slots.len() as u32;
        self.slots.push(self.load_slot(at, image, entries)?);
        if let Some(body) = nested {
            let child = self.load_nested(at.0, place, *body)?;
            self.slots[place as usize].child = Some(child);
        }
        Ok(())
    }

    fn load_slot(
        &self,
        (at, version): (Seq, u32),
        image: SlotImage,
        entries: &[Entry],
    ) -> Result<Slot, RecoverError> {
        self.known_node(at, image.node)?;
        countable(at, u64::from(image.attempts) << 32)?;
        let mut posts = image.posts;
        let progress = match image.state {
            SlotState::Ready => Progress::Ready,
            SlotState::Abandoned => Progress::Abandoned,
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
            SlotState::Finished { seq, update, route } if seq == 0 || update.is_some() => {
                let mut update = update.unwrap_or_default();
                versions::migrate(self.cell.as_ref(), at, version, &mut update)?;
                let decision = route.map(|route| self.decision(at, image.node, route)).transpose()?;
                Progress::Finished { update: UpdateValue::from_bytes(&update), decision, seq }
            }
            SlotState::Finished { seq, .. } => {
                let mut record: Record = read(find(entries, seq)?)?;
                versions::migrate_record(self.cell.as_ref(), seq, &mut record)?;
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
