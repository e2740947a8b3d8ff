//! Graphs inside nodes. The activation of such a node holds an execution of its own. Its events come in through the outer
//! one, its records are wrapped into records of the outer journal, and when it has finished, what it amounts to is the
//! update of the activation. Nothing about it is decided here: an inner execution is an execution like any other.
//!
//! It never sees the positions of the outer journal. It counts its own entries, and is told that one of them is durable
//! when the record that wraps it is.

mod errands;
mod recovery;

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_bytes::ByteBuf;

use super::advance::panic_text;
use super::slot::{Progress, Slot};
use super::types::{Action, Entry, EntryKind, Event, Journaling, Options, Outcome, Refused, Status};
use super::{Execution, writer};
use crate::failure::Failure;
use crate::graph::{Child, Plan};
use crate::ids::{ActivationId, NodeIx, Seq};
use crate::journal::{self, Body};

/// The execution inside an activation.
#[derive(Debug)]
pub(in crate::execution) struct Nested {
    pub(super) execution: Execution,
    /// When it wants to be woken.
    timer: Option<u64>,
}

/// What an execution knows of those inside it, and of the one around it.
#[derive(Debug, Default)]
pub(in crate::execution) struct Inner {
    /// Whether any node of the graph holds a graph.
    pub(super) any: bool,
    /// For an inner execution where it stands, such as `3.0/`; ids that leave it begin with that.
    pub(super) path: Option<Box<str>>,
    /// The latest time that an event came with.
    now_ms: u64,
    /// Activations that have begun and whose inner execution is still to be told.
    entering: VecDeque<u32>,
    /// Activations whose inner execution may have something to do.
    active: BTreeSet<u32>,
    /// Entries of inner executions: the position that makes it durable, its superstep, its activation, its own position.
    acks: VecDeque<(Seq, u64, u32, Seq)>,
}

impl Inner {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { any: plan.children().next().is_some(), ..Self::default() }
    }
}

/// What came of asking the inner executions for an action.
pub(in crate::execution) enum Polled {
    Action(Action),
    /// Something was taken in; there may be entries or actions now.
    Again,
    Nothing,
}

impl Execution {
    /// Whether this execution stands inside another one.
    pub(in crate::execution) fn is_nested(&self) -> bool {
        self.inner.path.is_some()
    }

    /// The name of an activation that is unique in the whole thread.
    pub(in crate::execution) fn full_id(&self, activation: ActivationId) -> String {
        match &self.inner.path {
            Some(path) => format!("{path}{activation}"),
            None => activation.to_string(),
        }
    }

    pub(in crate::execution) fn note_time(&mut self, now_ms: u64) {
        self.inner.now_ms = self.inner.now_ms.max(now_ms);
    }

    fn child_spec(&self, place: u32) -> Option<&Child> {
        let slot = self.slots.get(place as usize)?;
        self.plan.nodes.get(slot.node.index())?.child.as_ref()
    }

    fn nested_mut(&mut self, place: u32) -> Option<&mut Nested> {
        self.slots.get_mut(place as usize)?.child.as_deref_mut()
    }

    /// The inner executions, with the places of their activations.
    fn nested(&self) -> impl Iterator<Item = (u32, &Execution)> {
        let slots = if self.inner.any { self.slots.as_slice() } else { &[] };
        slots.iter().enumerate().filter_map(move |(place, slot)| {
            slot.child.as_deref().map(|nested| (place as u32, &nested.execution))
        })
    }

    fn places(&self, wanted: impl Fn(&Execution) -> bool) -> Vec<u32> {
        self.nested().filter(|(_, inner)| wanted(inner)).map(|(place, _)| place).collect()
    }

    /// An execution for the graph inside the node of this activation, on which nothing was run.
    fn nested_new(&self, place: u32) -> Option<Box<Nested>> {
        let child = self.child_spec(place)?;
        let activation = ActivationId { superstep: self.superstep, index: place };
        let mut limits = self.options.limits;
        // The outer execution writes the snapshots, and stores what is large once.
        limits.snapshot_after_bytes = u64::MAX;
        limits.value_bytes = usize::MAX;
        let options = Options { limits, ..self.options };
        let mut execution = Execution::new(child.plan.clone(), (child.cell)(), options);
        execution.inner.path = Some(format!("{}/", self.full_id(activation)).into());
        Some(Box::new(Nested { execution, timer: None }))
    }

    /// An activation has begun whose node holds a graph.
    pub(in crate::execution) fn enter_later(&mut self, place: u32) {
        self.inner.entering.push_back(place);
    }

    /// Tells the inner executions something, and looks at them later.
    fn tell(&mut self, now_ms: u64, place: u32, event: Event) -> Result<(), Refused> {
        self.inner.active.insert(place);
        self.nested_mut(place).map_or(Ok(()), |nested| nested.execution.handle(now_ms, event))
    }

    /// An event for the execution inside an activation; late ones are fenced.
    pub(in crate::execution) fn pass_on(
        &mut self,
        now_ms: u64,
        within: ActivationId,
        event: Event,
    ) -> Result<(), Refused> {
        if within.superstep != self.superstep {
            return Ok(());
        }
        self.tell(now_ms, within.index, event)
    }

    /// Tells inner executions which of their entries are durable.
    pub(in crate::execution) fn acknowledge(&mut self) -> Result<(), Refused> {
        while let Some((seq, superstep, place, entry)) = self.inner.acks.front().copied() {
            if seq > self.writer.acked {
                break;
            }
            self.inner.acks.pop_front();
            if superstep == self.superstep {
                self.tell(self.inner.now_ms, place, Event::Persisted { seq: entry })?;
            }
        }
        Ok(())
    }

    /// Wakes those that wait for their time; whoever was woken too early sets its timer again.
    pub(in crate::execution) fn wake_nested(&mut self, now_ms: u64) -> Result<(), Refused> {
        for place in self.places(|inner| inner.driving) {
            if let Some(nested) = self.nested_mut(place).filter(|nested| nested.timer.is_some()) {
                nested.timer = None;
                self.tell(now_ms, place, Event::TimerFired)?;
            }
        }
        Ok(())
    }

    /// The earliest of this time and what the inner executions wait for.
    pub(in crate::execution) fn earliest(&self, at_ms: u64) -> u64 {
        let waits = |slot: &Slot| slot.child.as_deref().and_then(|nested| nested.timer);
        let slots = if self.inner.any { self.slots.as_slice() } else { &[] };
        slots.iter().filter_map(waits).chain(self.back_offs.timer()).fold(at_ms, u64::min)
    }

    /// Lets the inner executions stop at their next safe point; those that have not begun need not.
    pub(in crate::execution) fn drain_nested(&mut self, now_ms: u64) -> Result<(), Refused> {
        for place in std::mem::take(&mut self.inner.entering) {
            let slot = &mut self.slots[place as usize];
            slot.progress = Progress::Ready;
            slot.attempts -= 1;
            self.yield_lane(place);
        }
        for place in self.places(|inner| inner.driving) {
            self.tell(now_ms, place, Event::Drain)?;
        }
        Ok(())
    }

    /// The next thing that an inner execution wants done.
    pub(in crate::execution) fn poll_nested(&mut self) -> Polled {
        if self.cut_short {
            // The drive is over, and what runs is begun again by the next one.
            return Polled::Nothing;
        }
        let result = match self.inner.entering.pop_front() {
            Some(place) => self.enter_graph(place),
            None => {
                let Some(place) = self.inner.active.first().copied() else { return Polled::Nothing };
                let within = ActivationId { superstep: self.superstep, index: place };
                let Some(nested) = self.nested_mut(place) else {
                    self.inner.active.remove(&place);
                    return Polled::Again;
                };
                match nested.execution.poll_action() {
                    None => {
                        self.inner.active.remove(&place);
                        Ok(())
                    }
                    Some(Action::Persist(entry)) => {
                        self.wrap(place, entry).and_then(|()| self.snapshot_if_due())
                    }
                    Some(Action::Stop(outcome)) => self.stopped_within(place, outcome),
                    Some(Action::SetTimer { at_ms }) => {
                        nested.timer = Some(at_ms);
                        return Polled::Action(Action::SetTimer { at_ms: self.earliest(at_ms) });
                    }
                    Some(action) => {
                        let node = self.slots[place as usize].node;
                        return Polled::Action(Action::Nested { within, node, action: Box::new(action) });
                    }
                }
            }
        };
        if let Err(refused) = result {
            // Nothing that was stored is wrong, but this drive cannot go on.
            let failure = Failure::permanent(refused.code(), refused.to_string());
            self.gated.clear();
            self.driving = false;
            self.half_folded = true;
            self.gate(super::Gated::Stop(Outcome::Failed(vec![(None, failure)])));
        }
        Polled::Again
    }

    /// An entry of an inner execution becomes a record of this one's journal.
    fn wrap(&mut self, place: u32, entry: Entry) -> Result<(), Refused> {
        let now_ms = self.inner.now_ms;
        match (entry.kind, self.options.journaling) {
            (EntryKind::Record, Journaling::Each) => {
                let body = Body::Nested { index: place, entry: ByteBuf::from(entry.bytes) };
                let bytes = journal::encode_wrapping(&writer::record(&self.plan, now_ms, body))?;
                self.writer.push(EntryKind::Record, bytes);
            }
            // An inner execution asks for a snapshot where something is to be stored at every level.
            (EntryKind::Snapshot, Journaling::AtEnd) => self.write_snapshot(now_ms)?,
            _ => {}
        }
        self.inner.acks.push_back((self.last_seq(), self.superstep, place, entry.seq));
        self.acknowledge()
    }

    /// Begins an inner run, or takes it up again.
    fn enter_graph(&mut self, place: u32) -> Result<(), Refused> {
        let slot = &self.slots[place as usize];
        if !matches!(slot.progress, Progress::Running) {
            return Ok(());
        }
        let begun = slot.child.as_deref().map(|nested| nested.execution.status());
        let event = match begun {
            Some(Status::Stopped(Outcome::Finished)) => return self.leave_graph(place),
            Some(Status::Open | Status::Stopped(_)) => Ok(Event::Resume),
            Some(Status::Empty) | None => self.input_of(place),
        };
        let failure = match event {
            Ok(event) => match self.tell(self.inner.now_ms, place, event) {
                Ok(()) => return Ok(()),
                Err(refused) => Failure::permanent(refused.code(), refused.to_string()),
            },
            Err(failure) => failure,
        };
        self.fail_within(place, failure)
    }

    fn input_of(&mut self, place: u32) -> Result<Event, Failure> {
        let nested = self.nested_new(place);
        let slot = &self.slots[place as usize];
        let node = self.plan.node_name(slot.node);
        let (Some(child), Some(run)) = (self.child_spec(place), self.run.clone()) else {
            return Err(Failure::permanent("SW-X285", format!("`{node}` holds no graph")));
        };
        let state = self.cell.snapshot();
        let input = catch_unwind(AssertUnwindSafe(|| (child.enter)(state.as_ref(), &slot.input)));
        let input = match input {
            Ok(Ok(input)) => input,
            Ok(Err(reason)) => {
                let message = format!(
                    "the input of `{node}` cannot be read: {reason}; the payload's type must be the one it was sent with"
                );
                return Err(Failure::permanent("SW-X233", message));
            }
            Err(panic) => {
                let words = panic_text(panic.as_ref());
                let message = format!("the projection into the graph inside `{node}` panicked: {words}");
                return Err(Failure::permanent("SW-X285", message));
            }
        };
        self.slots[place as usize].child = nested;
        Ok(Event::Start { run, input })
    }

    fn fail_within(&mut self, place: u32, failure: Failure) -> Result<(), Refused> {
        let activation = ActivationId { superstep: self.superstep, index: place };
        let attempt = self.slots[place as usize].attempts;
        self.failed(self.inner.now_ms, activation, attempt, failure, 0)
    }

    /// An inner run is over: its state becomes the update of the activation.
    fn leave_graph(&mut self, place: u32) -> Result<(), Refused> {
        let activation = ActivationId { superstep: self.superstep, index: place };
        let slot = &self.slots[place as usize];
        let (node, attempt) = (slot.node, slot.attempts);
        let (Some(child), Some(nested)) = (self.child_spec(place), slot.child.as_deref()) else {
            return Ok(());
        };
        let state = nested.execution.state();
        match catch_unwind(AssertUnwindSafe(|| (child.leave)(state))) {
            Ok(update) => self.finished(self.inner.now_ms, activation, attempt, update, None),
            Err(panic) => {
                let (node, words) = (self.plan.node_name(node), panic_text(panic.as_ref()));
                let message = format!("the projection out of the graph inside `{node}` panicked: {words}");
                self.fail_within(place, Failure::permanent("SW-X285", message))
            }
        }
    }

    /// An inner drive has ended.
    fn stopped_within(&mut self, place: u32, outcome: Outcome) -> Result<(), Refused> {
        let now_ms = self.inner.now_ms;
        let runs = matches!(self.slots[place as usize].progress, Progress::Running);
        match outcome {
            // It only delivered.
            _ if !runs => Ok(()),
            Outcome::Finished => self.leave_graph(place),
            Outcome::Failed(failures) if self.has_handler(place) => {
                let failure = failures_within(&self.slots[place as usize], failures).into_iter().next();
                let lost = || Failure::permanent("SW-X285", "the inner run failed without a reason");
                self.fail_within(place, failure.map_or_else(lost, |(_, failure)| failure))
            }
            Outcome::Drained | Outcome::Cancelled => {
                self.slots[place as usize].progress = Progress::Ready;
                self.yield_lane(place);
                self.settle(now_ms)
            }
            Outcome::Failed(_)
            | Outcome::Paused(_)
            | Outcome::PausedAt(_)
            | Outcome::Exhausted(_)
            | Outcome::BudgetExceeded(_)
            | Outcome::Compensated { .. } => {
                let slot = &mut self.slots[place as usize];
                slot.progress =
                    slot.child.as_deref().map_or(Progress::Within, |nested| standing(&nested.execution));
                if slot.is_settled() {
                    self.leave_running(place);
                } else {
                    // A question was answered before anybody was told that the drive had ended.
                    self.yield_lane(place);
                    if !self.draining {
                        self.run_ready();
                    }
                }
                self.settle(now_ms)
            }
        }
    }

    /// Lets those go on whose last drive ended in a way that a resume can change.
    pub(in crate::execution) fn take_up_nested(&mut self, now_ms: u64, keeps_failed: bool) {
        if !self.inner.any {
            return;
        }
        for slot in &mut self.slots {
            let (Progress::Within, Some(nested)) = (&slot.progress, slot.child.as_deref()) else { continue };
            let goes_on = match nested.execution.status() {
                Status::Stopped(Outcome::Paused(_)) => nested.execution.is_overdue(now_ms),
                Status::Stopped(Outcome::PausedAt(_)) => true,
                _ => !keeps_failed,
            };
            if goes_on {
                slot.progress = Progress::Ready;
            }
        }
        self.count_unsettled();
    }

    /// Whether a question needs a look.
    fn is_overdue(&self, now_ms: u64) -> bool {
        self.slots.iter().filter_map(Slot::deadline_ms).any(|at_ms| at_ms <= now_ms)
            || self.nested().any(|(_, inner)| inner.is_overdue(now_ms))
    }

    pub(in crate::execution) fn is_sound_within(&self) -> bool {
        self.nested().all(|(_, inner)| inner.is_sound())
    }

    pub(in crate::execution) fn forget_nested(&mut self) {
        if !self.inner.any {
            return;
        }
        self.inner.entering.clear();
        self.inner.active.clear();
    }
}

fn standing(inner: &Execution) -> Progress {
    match inner.status() {
        Status::Stopped(
            Outcome::Failed(_)
            | Outcome::Paused(_)
            | Outcome::PausedAt(_)
            | Outcome::Exhausted(_)
            | Outcome::BudgetExceeded(_),
        ) => Progress::Within,
        _ => Progress::Ready,
    }
}

/// Failures of inner nodes as failures of the node around them.
fn failures_within(slot: &Slot, failures: Vec<(Option<NodeIx>, Failure)>) -> Vec<(Option<NodeIx>, Failure)> {
    let plan = slot.child.as_deref().map(|nested| nested.execution.plan.clone());
    let told = |(node, mut failure): (Option<NodeIx>, Failure)| {
        if let (Some(node), Some(plan)) = (node, &plan) {
            failure.message = format!("`{}`: {}", plan.node_name(node), failure.message);
        }
        (Some(slot.node), failure)
    };
    failures.into_iter().map(told).collect()
}
