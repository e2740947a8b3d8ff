//! The execution: one thread of one graph as a state machine. Events go in by [`Execution::handle`], actions come
//! out by [`Execution::poll_action`]; the same events in the same order give the same actions, always.
//!
//! | in state | event | what happens |
//! |---|---|---|
//! | empty, finished, cancelled | `Start` | the input is folded, START's edges are taken, the record `Opened` |
//! | open, stopped | `Resume` | failed activations and answered questions run again, bounds begin anew |
//! | open | `Finished` | recorded; the last of a superstep folds all updates and commits what comes next |
//! | open | `Failed`, `Asked` | recorded; siblings go on; the drive stops when none runs or will be tried again |
//! | open | `TimerFired` | what waited for this time is tried again |
//! | open | `Stepped` | recorded; the node goes on once that is durable |
//! | open | `Reserve` | decided, or waits; recorded if granted, and then the node goes on |
//! | open | `Spent` | counted; recorded with whatever is written next |
//! | stopped | `Settled` | recorded; the effect has this outcome when the activation runs again |
//! | paused | `Answered` | recorded; a `Resume` runs the activation that asked, and only that |
//! | any | `Persisted` | actions that waited for the entry become available |
//! | open, stopped | `Cancel` | recorded; whatever is still reported later is fenced |
//!
//! Entries to persist are handed out at once; everything that depends on them waits until they are durable.

mod abandon;
mod adopt;
mod advance;
mod budgets;
mod commit;
mod crashes;
mod fail_fast;
mod fold;
mod fork;
mod gates;
mod handlers;
mod joins;
mod lanes;
mod nested;
mod options;
mod outbox;
mod overdue;
mod past;
mod pauses;
mod questions;
mod recover;
mod refused;
mod replay;
mod reserve;
mod retry;
mod slot;
mod stand;
mod steps;
mod types;
mod undos;
mod values;
mod versions;
mod view;
mod writer;

use std::collections::VecDeque;
use std::sync::Arc;

pub use advance::panic_text;
pub use recover::{RecoverError, Recovery};
pub use reserve::{Reserved, Spent, Wish};
pub use types::{
    Action, Answer, Asking, Entry, EntryKind, Event, Interrupt, Journaling, Limits, Notice, Observe, Options,
    Outcome, Refused, Status, StepKept, Task,
};
pub use values::{fill_values, missing_values};
pub use view::{StepView, ThreadView};

use self::advance::{Advance, Counters};
use self::budgets::Budgets;
use self::fold::References;
use self::lanes::Lanes;
use self::nested::{Inner, Polled};
use self::outbox::Pending;
use self::pauses::Pauses;
use self::retry::BackOffs;
use self::slot::{Progress, Slot};
use self::undos::Undos;
use self::values::Values;
use self::writer::Writer;
use crate::cell::{Snapshot, StateCell, UpdateValue};
use crate::failure::Failure;
use crate::graph::Plan;
use crate::ids::{ActivationId, RunId, Seq};
use crate::journal::{self, Body, FrameError, Origin, PausePoint, StoredPost};
use crate::route::{Decision, Payloads};
use crate::undo::UndoTask;

/// One thread of one graph.
pub struct Execution {
    plan: Arc<Plan>,
    cell: Box<dyn StateCell>,
    options: Options,
    run: Option<RunId>,
    superstep: u64,
    slots: Vec<Slot>,
    /// Activations that have neither finished, nor failed, nor asked.
    unsettled: usize,
    /// Activations that the driver has.
    running: usize,
    counters: Counters,
    advance: Advance,
    commit_failure: Option<Failure>,
    /// Whether the failed commit had begun to fold, so that the cell's value means nothing.
    half_folded: bool,
    /// The activation, and its attempt, whose end is no work but an earlier result.
    cached: Option<(u32, u32)>,
    exhausted: Option<crate::ids::EdgeIx>,
    /// Where this execution pauses, and where it has.
    pauses: Pauses,
    held: Vec<PausePoint>,
    /// Whether the drive ended with a failure before the others had ended.
    cut_short: bool,
    outbox: Vec<Pending>,
    budgets: Budgets,
    undos: Undos,
    /// Where the thread comes from, if it is a fork.
    origin: Option<Origin>,
    cancelled: bool,
    drained: bool,
    /// Whether a driver drives: between an accepted start or resume and the stop.
    driving: bool,
    draining: bool,
    /// Whether the drive only delivers what is left in the outbox.
    errand: bool,
    /// What differs, if another version of the graph or of the state wrote the thread.
    migrated: Option<String>,
    /// Whether such a thread is still as that version left it.
    unwritten: bool,
    /// Whether the snapshot that is being written holds what entries hold in other numbers.
    rewriting: bool,
    /// Whether a drive began, in this process or an earlier one, and nothing says how it ended.
    driven: bool,
    back_offs: BackOffs,
    lanes: Lanes,
    writer: Writer,
    inner: Inner,
    gated: VecDeque<(Seq, Gated)>,
}

/// An action that waits until what it depends on is durable. A task is only put together when it is handed out.
#[derive(Debug)]
enum Gated {
    Run(u32),
    SetTimer(u64),
    Abandon(ActivationId),
    Emit(Notice),
    Kept(Box<StepKept>),
    Reserved(Box<Reserved>),
    Undo(Box<UndoTask>),
    Deliver(Arc<StoredPost>),
    Stop(Outcome),
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Execution")
            .field("graph", &self.plan.name)
            .field("run", &self.run)
            .field("superstep", &self.superstep)
            .field("slots", &self.slots)
            .field("outbox", &self.outbox)
            .field("budgets", &self.budgets)
            .field("undos", &self.undos)
            .finish_non_exhaustive()
    }
}

impl Execution {
    /// A thread on which nothing was ever run.
    pub fn new(plan: Arc<Plan>, cell: Box<dyn StateCell>, options: Options) -> Self {
        let counters = Counters::for_plan(&plan);
        let references = References::new(cell.as_ref());
        let lanes = Lanes::new(&plan);
        let budgets = Budgets::of(&plan);
        let inner = Inner::new(&plan);
        let values = Values::new(options.limits.value_bytes);
        let pauses = Pauses::of(&plan);
        Self {
            plan,
            cell,
            options,
            run: None,
            superstep: 0,
            slots: Vec::new(),
            unsettled: 0,
            running: 0,
            counters,
            advance: Advance::default(),
            commit_failure: None,
            half_folded: false,
            cached: None,
            exhausted: None,
            pauses,
            held: Vec::new(),
            cut_short: false,
            outbox: Vec::new(),
            budgets,
            undos: Undos::default(),
            origin: None,
            cancelled: false,
            drained: false,
            driving: false,
            draining: false,
            errand: false,
            migrated: None,
            unwritten: false,
            rewriting: false,
            driven: false,
            back_offs: BackOffs::default(),
            lanes,
            writer: Writer { next_seq: 1, references, values, ..Writer::default() },
            inner,
            gated: VecDeque::new(),
        }
    }

    /// The graph.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The state as of the last commit.
    pub fn state(&self) -> Snapshot {
        self.cell.snapshot()
    }

    /// The state's cell, for reading.
    pub fn cell(&self) -> &dyn StateCell {
        self.cell.as_ref()
    }

    /// The open run, or the last one.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// The present superstep, counted over the thread.
    pub fn superstep(&self) -> u64 {
        self.superstep
    }

    /// Whether [`Execution::state`] is the state of the last commit. After a reducer or a branch failed it is not:
    /// load the thread anew from its journal.
    pub fn is_sound(&self) -> bool {
        !self.half_folded && self.is_sound_within()
    }

    /// The position of the last entry.
    pub fn last_seq(&self) -> Seq {
        self.writer.last_seq()
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// [`Refused`] when the thread's state does not allow it; nothing has changed then. Reports about executions that
    /// were superseded are not errors: they are fenced, silently.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Result<(), Refused> {
        self.note_time(now_ms);
        let changes = !matches!(event, Event::Persisted { .. } | Event::TimerFired | Event::Drain);
        if self.unwritten && changes {
            return self.handle_adopted(now_ms, event);
        }
        match event {
            Event::Start { run, input } => self.start(now_ms, run, input),
            Event::Resume => self.resume(now_ms),
            Event::Finished { activation, attempt, update, decision } => {
                self.finished(now_ms, activation, attempt, update, decision)
            }
            Event::Failed { activation, attempt, failure, draw } => {
                self.failed(now_ms, activation, attempt, *failure, draw)
            }
            Event::Asked { activation, attempt, questions } => {
                self.asked(now_ms, activation, attempt, questions)
            }
            Event::AnswerRejected { activation, attempt, name, reason } => {
                self.answer_rejected(now_ms, activation, attempt, &name, reason)
            }
            Event::Stepped { activation, attempt, step } => self.stepped(now_ms, activation, attempt, *step),
            Event::Reserve(wish) => self.reserve(now_ms, *wish),
            Event::Spent(spent) => self.spent(now_ms, spent),
            Event::Limit(change) => self.limit(change),
            Event::UndoEnded(end) => self.undo_ended(now_ms, *end),
            Event::Posted { activation, attempt, items } => self.posted(now_ms, activation, attempt, items),
            Event::Cached { activation, attempt } => {
                let running = self.is_running(activation, attempt);
                self.cached = running.then_some((activation.index, attempt));
                Ok(())
            }
            Event::Delivered { id, delivered } => self.delivered(now_ms, &id, delivered),
            Event::Deliver => self.deliver(now_ms),
            Event::Settled { effect, value } => self.settled(now_ms, &effect, value),
            Event::Answered { interrupt, value } => self.answered(now_ms, &interrupt, value),
            Event::Persisted { seq } => {
                self.writer.acked = self.writer.acked.max(seq);
                self.acknowledge()
            }
            Event::TimerFired => {
                self.timer_fired(now_ms)?;
                self.undo_timer_fired(now_ms)?;
                self.wake_nested(now_ms)
            }
            Event::Nested { within, event } => self.pass_on(now_ms, within, *event),
            Event::Drain => self.drain(now_ms),
            Event::Cancel => self.cancel(now_ms),
        }
    }

    /// The next action, if one is due.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(entry) = self.writer.entries.pop_front() {
                return Some(Action::Persist(entry));
            }
            if self.gated.front().is_some_and(|(seq, _)| *seq <= self.writer.acked) {
                return self.gated.pop_front().map(|(_, gated)| self.open_gate(gated));
            }
            if !self.inner.any {
                return None;
            }
            match self.poll_nested() {
                Polled::Action(action) => return Some(action),
                Polled::Again => {}
                Polled::Nothing => return None,
            }
        }
    }

    fn open_gate(&self, gated: Gated) -> Action {
        match gated {
            Gated::SetTimer(at_ms) => Action::SetTimer { at_ms: self.earliest(at_ms) },
            Gated::Abandon(activation) => Action::Abandon(activation),
            Gated::Emit(notice) => Action::Emit(notice),
            Gated::Deliver(post) => Action::Deliver(post),
            Gated::Kept(kept) => Action::StepKept(kept),
            Gated::Reserved(reply) => Action::Reserved(reply),
            Gated::Undo(task) => Action::Undo(task),
            Gated::Stop(outcome) => Action::Stop(outcome),
            Gated::Run(place) => {
                let slot = &self.slots[place as usize];
                Action::Run(Task {
                    activation: ActivationId { superstep: self.superstep, index: place },
                    node: slot.node,
                    attempt: slot.attempts,
                    input: slot.input.clone(),
                    critique: slot.critique.clone(),
                    state: self.cell.snapshot(),
                    answers: slot.answers_for_task(),
                    steps: slot.extra().steps.for_task(),
                })
            }
        }
    }

    fn emit(&mut self, notice: impl FnOnce(&Plan) -> Notice) {
        if self.options.observe != Observe::Nothing {
            let notice = notice(&self.plan);
            self.gate(Gated::Emit(notice));
        }
    }

    /// The action waits until everything written so far is durable.
    fn gate(&mut self, action: Gated) {
        let seq = if self.options.journaling == Journaling::Off { 0 } else { self.writer.last_seq() };
        self.gated.push_back((seq, action));
    }

    fn journals(&self) -> bool {
        self.options.journaling == Journaling::Each
    }

    fn write(&mut self, now_ms: u64, body: impl FnOnce() -> Body) -> Result<(), Refused> {
        if self.journals() {
            let bytes = writer::encode_record(&self.plan, now_ms, body())?;
            self.writer.push(EntryKind::Record, bytes);
        }
        Ok(())
    }

    fn encode_update(&self, update: &UpdateValue, out: &mut Vec<u8>) -> Result<(), Failure> {
        let encoded = self.cell.encode_into(update, out);
        encoded.map_err(|error| Failure::permanent(error.code(), error.to_string()))?;
        self.fits(out.len()).map_err(|error| Failure::permanent(error.code(), error.to_string()))
    }

    /// The payloads of a route must be writable before anything is changed.
    fn route_fits(&self, decision: Option<&Decision>, update_bytes: usize) -> Result<(), Failure> {
        let fits =
            |bytes| self.fits(bytes).map_err(|error| Failure::permanent(error.code(), error.to_string()));
        let Some(decision) = decision.filter(|decision| !matches!(decision.payloads, Payloads::None)) else {
            return fits(update_bytes);
        };
        let payloads = match &decision.payloads {
            Payloads::None => &[],
            Payloads::One(payload) => std::slice::from_ref(payload),
            Payloads::Each(payloads) => payloads.as_slice(),
        };
        let mut bytes = update_bytes;
        for payload in payloads {
            let stored = payload.encode().map_err(|reason| {
                let message = format!(
                    "a payload of the route cannot be stored: {reason}; it must serialise to MessagePack"
                );
                Failure::permanent("SW-X234", message)
            })?;
            bytes += stored.map_or(0, |stored| stored.len()) + 16;
        }
        fits(bytes)
    }

    /// Leaves room for the record around a value.
    fn fits(&self, bytes: usize) -> Result<(), FrameError> {
        const ENVELOPE: usize = 4096;
        if bytes + ENVELOPE > journal::MAX_ENTRY_BYTES { Err(FrameError::Oversize { bytes }) } else { Ok(()) }
    }

    fn is_running(&self, activation: ActivationId, attempt: u32) -> bool {
        activation.superstep == self.superstep
            && self.slots.get(activation.index as usize).is_some_and(|slot| slot.runs(attempt))
    }

    fn count_unsettled(&mut self) {
        self.unsettled = self.slots.iter().filter(|slot| !slot.is_settled()).count();
        self.running = self.slots.iter().filter(|slot| matches!(slot.progress, Progress::Running)).count();
        self.lanes.recount(&self.slots);
    }

    /// An activation has settled.
    fn leave_running(&mut self, place: u32) {
        self.unsettled -= 1;
        self.yield_lane(place);
    }

    /// An activation runs no more, settled or not.
    fn yield_lane(&mut self, place: u32) {
        self.running -= 1;
        self.lanes.leave(self.slots[place as usize].node);
    }
}
