//! Runners: start, resume and answer runs of one graph. What a run does is decided by the core; this is the door.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use statewright_engine_core::{
    Data, Event, Execution, Failure, Interrupt, Journaling, LimitChange, Limits, Observe, Options, Outcome,
    Recovery, RunId, Seq, Spending, State, Status, ThreadId, UpdateValue,
};

use tracing::Instrument;

use crate::cache::ResultCache;
use crate::checkpointer::{Checkpointer, Durability, Journal};
use crate::control::RunControl;
use crate::driver::Driver;
use crate::effect::Settlement;
use crate::error::{NodeError, RunError};
use crate::events::{EventSender, Events};
use crate::graph::Graph;
use crate::outbox::{Delivery, Handlers};
use crate::pauses::{PauseName, points};
use crate::reading;
use crate::undo::undone;

/// Reads the time, in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Runs one graph.
pub struct Runner<S> {
    graph: Graph<S>,
    pub(crate) checkpointer: Option<Arc<dyn Checkpointer>>,
    pub(crate) durability: Durability,
    limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) handlers: Handlers,
    pub(crate) results: Option<Arc<dyn ResultCache>>,
}

impl<S> Clone for Runner<S> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            checkpointer: self.checkpointer.clone(),
            durability: self.durability,
            limits: self.limits,
            clock: self.clock.clone(),
            handlers: self.handlers.clone(),
            results: self.results.clone(),
        }
    }
}

impl<S> fmt::Debug for Runner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("graph", &self.graph)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl<S: State> Runner<S> {
    /// A runner that stores nothing.
    pub fn new(graph: Graph<S>) -> Self {
        let clock = Arc::new(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
        });
        Self {
            graph,
            checkpointer: None,
            durability: Durability::Power,
            limits: Limits::default(),
            clock,
            handlers: Handlers::default(),
            results: None,
        }
    }

    /// Stores runs here.
    #[must_use]
    pub fn checkpointer(mut self, store: impl Checkpointer) -> Self {
        self.checkpointer = Some(Arc::new(store));
        self
    }

    /// Stores runs here, shared with other runners.
    #[must_use]
    pub fn shared_checkpointer(mut self, store: Arc<dyn Checkpointer>) -> Self {
        self.checkpointer = Some(store);
        self
    }

    /// What stored runs survive; power loss unless said otherwise.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Delivers the items of this kind that nodes post by [`crate::Ctx::outbox`]: one after the other, in the order in
    /// which they were committed, and only once their superstep is durable. An item that is not delivered, because
    /// the handler fails, takes longer than 60 s ([`Runner::outbox_timeout`]) or the process dies, comes again with the
    /// same id when the thread is next taken up, or by [`Runner::deliver`], and not before. It does not hold up later
    /// ones, so the order holds among items that are delivered at the first try.
    #[must_use]
    pub fn outbox<T: Data, Fut>(
        mut self,
        kind: impl Into<String>,
        handler: impl Fn(Delivery<T>) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        self.handlers = self.handlers.on(kind, handler);
        self
    }

    /// The graph.
    pub fn graph(&self) -> &Graph<S> {
        &self.graph
    }

    /// Begins a run on a thread that has none open; the input is an update. Nothing happens until it is awaited.
    pub fn start(&self, thread: impl Into<ThreadId>, input: S::Update) -> Run<S> {
        self.run(thread.into(), Intent::Start(UpdateValue::live(input)))
    }

    /// Takes the open run of a thread up again. Nothing happens until it is awaited.
    pub fn resume(&self, thread: impl Into<ThreadId>) -> Run<S> {
        self.run(thread.into(), Intent::Resume)
    }

    /// Answers an open question and takes the run up again. Nothing happens until it is awaited.
    pub fn answer(
        &self,
        thread: impl Into<ThreadId>,
        interrupt: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Run<S> {
        let value = rmp_serde::to_vec_named(value).map_err(|error| error.to_string());
        self.run(thread.into(), Intent::Answer { interrupt: interrupt.into(), value })
    }

    /// Says how an effect ended whose outcome is unknown, and takes the run up again. The id stands in the failure
    /// of the activation and in [`ThreadState::unknown_effects`]. Nothing happens until it is awaited.
    pub fn settle(
        &self,
        thread: impl Into<ThreadId>,
        effect: impl Into<String>,
        settlement: Settlement,
    ) -> Run<S> {
        self.run(thread.into(), Intent::Settle { effect: effect.into(), settlement })
    }

    /// Delivers what is left in the outbox of a thread, and runs nothing. Nothing happens until it is awaited.
    pub fn deliver(&self, thread: impl Into<ThreadId>) -> Run<S> {
        self.run(thread.into(), Intent::Deliver)
    }

    /// Ends the open run of a thread for good. Nothing happens until it is awaited.
    pub fn cancel(&self, thread: impl Into<ThreadId>) -> Run<S> {
        self.run(thread.into(), Intent::Cancel)
    }

    fn run(&self, thread: ThreadId, intent: Intent) -> Run<S> {
        Run {
            runner: self.clone(),
            thread,
            intent,
            run: None,
            events: None,
            updates: false,
            limits: Vec::new(),
            control: RunControl::new(),
            pauses: Vec::new(),
        }
    }

    /// Where a thread stands, without taking it.
    ///
    /// # Errors
    /// [`RunError::NoCheckpointer`], or what makes the thread unreadable.
    pub async fn load(&self, thread: impl Into<ThreadId>) -> Result<ThreadState<S>, RunError> {
        let thread = thread.into();
        let execution = self.recover(&thread, self.options(Observe::Nothing)).await?;
        Ok(ThreadState::of(thread, &execution))
    }

    pub(crate) fn options(&self, observe: Observe) -> Options {
        let journaling = match (&self.checkpointer, self.durability) {
            (None, _) => Journaling::Off,
            (Some(_), Durability::Exit) => Journaling::AtEnd,
            (Some(_), Durability::Power | Durability::Process) => Journaling::Each,
        };
        Options { journaling, limits: self.limits, observe }
    }

    pub(crate) async fn recover(&self, thread: &ThreadId, options: Options) -> Result<Execution, RunError> {
        let store = self.checkpointer.as_ref().ok_or(RunError::NoCheckpointer)?;
        let store = store.as_ref();
        let snapshot = reading::latest_snapshot(store, thread).await?;
        let cell = (self.graph.cell)();
        let recovery = Recovery::new(self.graph.plan.clone(), cell, options, snapshot.as_ref())?;
        let needs = recovery.needs();
        let referenced = match needs.as_slice() {
            [] => Vec::new(),
            needs => reading::entries(store, thread, needs, &[]).await?,
        };
        let tail = [(recovery.tail_from(), u64::MAX >> 1)];
        let tail = reading::entries(store, thread, &tail, &referenced).await?;
        Ok(recovery.finish(&referenced, &tail)?)
    }
}

enum Intent {
    Start(UpdateValue),
    Resume,
    Answer { interrupt: String, value: Result<Vec<u8>, String> },
    Settle { effect: String, settlement: Settlement },
    Deliver,
    Cancel,
}

/// A run that is about to be driven: ask for its events and its control, then await it.
#[must_use = "a run does nothing until it is awaited"]
pub struct Run<S> {
    runner: Runner<S>,
    thread: ThreadId,
    intent: Intent,
    run: Option<RunId>,
    events: Option<EventSender>,
    updates: bool,
    pub(crate) limits: Vec<LimitChange>,
    control: RunControl,
    pub(crate) pauses: Vec<PauseName>,
}

impl<S: State> Run<S> {
    /// Gives a new run its name; a random one is made up otherwise.
    pub fn id(mut self, run: impl Into<RunId>) -> Self {
        self.run = Some(run.into());
        self
    }

    /// A reader of the run's events from its beginning.
    pub fn events(&mut self) -> Events {
        if let Some(sender) = &self.events {
            return sender.subscribe();
        }
        let (sender, events) = EventSender::channel();
        self.events = Some(sender);
        events
    }

    /// Lets events carry the updates as they are stored.
    pub fn with_updates(mut self) -> Self {
        self.updates = true;
        self
    }

    /// A handle that stops the run from elsewhere.
    pub fn control(&self) -> RunControl {
        self.control.clone()
    }

    async fn drive(self) -> Result<RunReport<S>, RunError> {
        let Run { runner, thread, intent, run, events, updates, limits, control, pauses } = self;
        let pauses = points(&runner.graph.plan, &pauses)?;
        let observe = match (&events, updates) {
            (None, _) => Observe::Nothing,
            (Some(_), false) => Observe::Progress,
            (Some(_), true) => Observe::Updates,
        };
        let options = runner.options(observe);
        let mut journal = None;
        let mut execution = match &runner.checkpointer {
            None => {
                if !matches!(intent, Intent::Start(_)) {
                    return Err(RunError::NoCheckpointer);
                }
                Execution::new(runner.graph.plan.clone(), (runner.graph.cell)(), options)
            }
            Some(store) => {
                // The thread is taken before it is read, so that nobody else writes in between.
                journal = Some(store.open(&thread, runner.durability).await?);
                runner.recover(&thread, options).await?
            }
        };
        execution.pause_at(pauses);
        let now = (runner.clock)();
        for change in limits {
            execution.handle(now, Event::Limit(change))?;
        }
        match intent {
            Intent::Start(input) => {
                let run = run.unwrap_or_else(|| RunId::new(crate::ids::random_id()));
                execution.handle(now, Event::Start { run, input })?;
            }
            Intent::Resume => execution.handle(now, Event::Resume)?,
            Intent::Answer { interrupt, value } => {
                let value = value.map_err(RunError::Answer)?;
                execution.handle(now, Event::Answered { interrupt, value })?;
                execution.handle(now, Event::Resume)?;
            }
            Intent::Settle { effect, settlement } => {
                let value = settlement.into_value().map_err(RunError::Answer)?;
                execution.handle(now, Event::Settled { effect, value })?;
                if !matches!(execution.status(), Status::Stopped(Outcome::Compensated { left, .. }) if left.is_empty())
                {
                    execution.handle(now, Event::Resume)?;
                }
            }
            Intent::Deliver => execution.handle(now, Event::Deliver)?,
            Intent::Cancel => execution.handle(now, Event::Cancel)?,
        }
        runner.finish(thread, execution, journal, events, control).await
    }
}

impl<S: State> Runner<S> {
    async fn finish(
        &self,
        thread: ThreadId,
        execution: Execution,
        journal: Option<Box<dyn Journal>>,
        events: Option<EventSender>,
        control: RunControl,
    ) -> Result<RunReport<S>, RunError> {
        let run = execution.run().cloned().unwrap_or_else(|| RunId::new(""));
        let driver = Driver::new(self, execution, journal, events, control, thread.clone());
        let span = tracing::info_span!("run", run = %run, thread = %thread, graph = self.graph.name());
        let (outcome, execution) = driver.drive().instrument(span).await?;
        let interrupts = execution.interrupts();
        let undelivered = execution.outbox().map(|post| post.id.clone()).collect();
        let spending = execution.spending();
        let state = if execution.is_sound() {
            typed_state(&execution)
        } else if self.checkpointer.is_some() {
            // A reducer failed half way: what was stored is right, what is in memory is not.
            drop(execution);
            typed_state(&self.recover(&thread, self.options(Observe::Nothing)).await?)
        } else {
            return Err(RunError::StateLost(first_failure(&outcome)));
        };
        let plan = self.graph.plan.clone();
        Ok(RunReport { thread, run, outcome, state, interrupts, undelivered, spending, plan })
    }
}

fn first_failure(outcome: &Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failures) => failures.first().map(|(_, failure)| failure.clone()),
        _ => None,
    }
    .unwrap_or_else(|| Failure::permanent("SW-X207", "the superstep could not be committed"))
}

pub(crate) fn typed_state<S: State>(execution: &Execution) -> Arc<S> {
    // The cell was made by this runner, so it holds an `S`.
    execution.state().downcast::<S>().unwrap_or_default()
}

impl<S: State> IntoFuture for Run<S> {
    type Output = Result<RunReport<S>, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.drive())
    }
}

/// How a drive ended.
#[derive(Clone, Debug)]
pub struct RunReport<S> {
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// The state of the last commit.
    pub state: Arc<S>,
    /// The open questions.
    pub interrupts: Vec<Interrupt>,
    /// Ids of items of the outbox that were not delivered.
    pub undelivered: Vec<String>,
    /// What was spent, and the limits, by scope and unit.
    pub spending: Vec<Spending>,
    plan: Arc<statewright_engine_core::Plan>,
}

impl<S> RunReport<S> {
    /// The state of a run that finished.
    ///
    /// # Errors
    /// [`RunError::Unfinished`] says how it ended instead.
    pub fn finished(self) -> Result<Arc<S>, RunError> {
        match self.outcome {
            Outcome::Finished => Ok(self.state),
            _ => Err(RunError::Unfinished(self.describe())),
        }
    }

    /// The outcome in words.
    pub fn describe(&self) -> String {
        let name = |node| self.plan.name_of(node, "the superstep");
        match &self.outcome {
            Outcome::Finished => "finished".to_owned(),
            Outcome::Paused(questions) => {
                let list: Vec<String> = questions
                    .iter()
                    .map(|question| format!("`{}` asks {}", name(Some(question.node)), question.id))
                    .collect();
                format!("paused: {}", list.join(", "))
            }
            Outcome::PausedAt(points) => {
                let at: Vec<String> =
                    points.iter().map(|point| point.describe(name(Some(point.node())))).collect();
                format!("paused {}; resume it to go on", at.join(", "))
            }
            Outcome::Failed(failures) => {
                let list: Vec<String> = failures
                    .iter()
                    .map(|(node, failure)| format!("{} failed: {failure} [{}]", name(*node), failure.code))
                    .collect();
                list.join("; ")
            }
            Outcome::Exhausted(edge) => {
                format!(
                    "the bound of the edge {} is used up; resuming grants it anew",
                    self.plan.describe_edge(*edge)
                )
            }
            Outcome::Compensated { failures, left } => undone(failures, left),
            Outcome::BudgetExceeded(shortages) => {
                let list: Vec<String> = shortages
                    .iter()
                    .map(|(node, shortage)| format!("`{}` stopped: {shortage}", name(Some(*node))))
                    .collect();
                format!("{}; resume it with another limit to go on", list.join("; "))
            }
            Outcome::Drained => "stopped at a safe point; resume it to go on".to_owned(),
            Outcome::Cancelled => "cancelled".to_owned(),
        }
    }
}

/// Where a thread stands.
#[derive(Clone, Debug)]
pub struct ThreadState<S> {
    /// The thread.
    pub thread: ThreadId,
    /// Open, or how the last drive ended.
    pub status: Status,
    /// The open run, or the last one.
    pub run: Option<RunId>,
    /// The state of the last commit.
    pub state: Arc<S>,
    /// The open questions.
    pub interrupts: Vec<Interrupt>,
    /// Ids of effects that began and were not seen to end. While a driver is at work, they may be under way.
    pub unknown_effects: Vec<String>,
    /// Ids of items of the outbox that are not known to be delivered.
    pub undelivered: Vec<String>,
    /// What was spent and reserved, and the limits, by scope and unit.
    pub spending: Vec<Spending>,
    /// The present superstep.
    pub superstep: u64,
    /// The thread's last entry, 0 if it has none.
    pub seq: Seq,
    /// The thread and the entry that it was forked from, if it was.
    pub origin: Option<(ThreadId, Seq)>,
}
