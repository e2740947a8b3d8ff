//! Trials: a user's graph run in a test from its input to its end, over answers, faults and crashes, and everything that
//! can be asserted about it.

mod clock;
mod faults;
mod node;
mod ran;
mod scripted;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use statewright_engine_core::{Entry, Status, ThreadView};
use statewright_engine_runtime::{
    ActivationId, Checkpointer, Data, Durability, Graph, Interrupt, MemoryCheckpointer, Outcome, Plan, Run,
    RunError, RunId, RunReport, Runner, State, ThreadId, ThreadState, read_entries,
};

pub use clock::PausedClock;
pub use faults::{Fault, FaultyStore};
pub use node::{NodeTrial, Tried};
pub use ran::{Crash, Executed, Ran};
pub use scripted::Scripted;

/// A run that needs more drives than this goes round in circles.
const DRIVES_MAX: usize = 1_000;
/// The thread of every trial: each has a store of its own.
const THREAD: &str = "trial";
/// Gives each run of a trial a name of its own, so that scripts begin anew.
static NEXT_RUN: AtomicU64 = AtomicU64::new(1);

type Setup<S> = Arc<dyn Fn(Runner<S>) -> Runner<S> + Send + Sync>;
type Reply<S> = Arc<dyn Fn(&Runner<S>, &str) -> Run<S> + Send + Sync>;

/// A run that is about to be tried: a graph, an input, answers to what it asks, and faults.
///
/// ```
/// use statewright_engine_runtime::*;
/// use statewright_engine_testkit::{Fault, Trial};
///
/// #[derive(State, Clone, Debug, Default, PartialEq)]
/// struct Order { paid: u64 }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut g = StateGraph::<Order>::new("order");
/// let pay = g.func("pay", async |ctx: Ctx<Order>| Ok(Order::update().paid(ctx.ask::<u64, _>("sum", "?").await)));
/// g.start(pay);
/// g.end(pay);
/// let trial = Trial::of(&g.build()?, Order::update()).answer("sum", 900u64);
///
/// let ran = trial.clone().fault(Fault::CrashAfterEntry(2)).run().await?;
/// ran.assert_finished();
/// ran.assert_path(&["pay"]);
/// assert_eq!(ran.state.paid, 900);
///
/// let everywhere = trial.crash_everywhere().await?;
/// assert_eq!(everywhere, 2 * trial.run().await?.entries.len());
/// # Ok(()) }
/// ```
#[must_use = "a trial does nothing until it is run"]
pub struct Trial<S: State> {
    graph: Graph<S>,
    input: S::Update,
    replies: BTreeMap<String, Reply<S>>,
    faults: Vec<Fault>,
    slow: Option<Duration>,
    durability: Durability,
    clock: Option<PausedClock>,
    store: Arc<dyn Fn() -> Arc<dyn Checkpointer> + Send + Sync>,
    setup: Setup<S>,
}

impl<S: State> Clone for Trial<S> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            input: self.input.clone(),
            replies: self.replies.clone(),
            faults: self.faults.clone(),
            slow: self.slow,
            durability: self.durability,
            clock: self.clock,
            store: self.store.clone(),
            setup: self.setup.clone(),
        }
    }
}

impl<S: State> fmt::Debug for Trial<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("graph", &self.graph.name())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl<S: State> Trial<S> {
    /// A trial of this graph with this input, on a store in memory.
    pub fn of(graph: &Graph<S>, input: S::Update) -> Self {
        Self {
            graph: graph.clone(),
            input,
            replies: BTreeMap::new(),
            faults: Vec::new(),
            slow: None,
            durability: Durability::Power,
            clock: None,
            store: Arc::new(|| Arc::new(MemoryCheckpointer::new())),
            setup: Arc::new(|runner| runner),
        }
    }

    /// Answers every question of this name so. A question without an answer ends the trial paused, unless it has a
    /// deadline and the trial a [`PausedClock`]: then the time moves on to the deadline, and its default counts.
    pub fn answer<A: Data>(mut self, name: impl Into<String>, answer: A) -> Self {
        let reply = move |runner: &Runner<S>, id: &str| runner.answer(THREAD, id, &answer);
        self.replies.insert(name.into(), Arc::new(reply));
        self
    }

    /// Lets something go wrong once. After a crash, or where the disk was full, the run is resumed.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Lets every acknowledgement of the store take that long.
    pub fn slow_store(mut self, wait: Duration) -> Self {
        self.slow = Some(wait);
        self
    }

    /// Stores at this level; at `Power` unless said otherwise. At `Exit` no activations are stored, and a
    /// [`Fault::CrashAfterActivation`] never strikes.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Runs by this clock.
    pub fn clock(mut self, clock: PausedClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Runs on these stores: one is made for each run, and has to be empty.
    pub fn store<C: Checkpointer>(mut self, make: impl Fn() -> C + Send + Sync + 'static) -> Self {
        self.store = Arc::new(move || Arc::new(make()));
        self
    }

    /// Sets the runner up: limits, an outbox.
    pub fn runner(mut self, setup: impl Fn(Runner<S>) -> Runner<S> + Send + Sync + 'static) -> Self {
        self.setup = Arc::new(setup);
        self
    }

    /// Runs until nothing is left to do: the run has ended, or waits for what nobody answers.
    ///
    /// # Errors
    /// [`RunError`] of a drive, but for the faults of this trial.
    pub async fn run(&self) -> Result<Ran<S>, RunError> {
        let inner = (self.store)();
        let store = FaultyStore::new(inner.clone(), self.faults.clone(), self.slow);
        let executed: Arc<Mutex<Vec<Executed>>> = Arc::default();
        let witness = executed.clone();
        let graph = self.graph.watch(move |node, activation, attempt| {
            let seen = Executed { node: node.to_owned(), activation, attempt };
            witness.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        });
        let mut runner = graph.runner().durability(self.durability);
        if let Some(clock) = &self.clock {
            runner = runner.clock(clock.clock());
        }
        let runner = (self.setup)(runner).checkpointer(store.clone());
        let drives = Drives { trial: self, runner, store, inner, executed };
        drives.drive_on().await
    }

    /// Runs once undisturbed, and then once more for each entry of that journal with a crash just before it and once
    /// with a crash just after it. Gives the number of crashes.
    ///
    /// # Errors
    /// [`RunError`] of a drive.
    ///
    /// # Panics
    /// If a run does not come to the same end by the same path, or if it executes again what was stored as finished.
    pub async fn crash_everywhere(&self) -> Result<usize, RunError>
    where
        S: PartialEq + fmt::Debug,
    {
        let whole = self.run().await?;
        let mut crashes = 0;
        for seq in 1..=whole.entries.len() as u64 {
            for fault in [Fault::CrashBeforeEntry(seq), Fault::CrashAfterEntry(seq)] {
                let ran = self.clone().fault(fault.clone()).run().await?;
                crashes += ran.crashes.len();
                whole.assert_same_end(&ran, &format!("{fault:?}"));
                ran.assert_nothing_finished_ran_again();
            }
        }
        Ok(crashes)
    }
}

/// The drives of one trial.
struct Drives<'a, S: State> {
    trial: &'a Trial<S>,
    runner: Runner<S>,
    store: FaultyStore,
    inner: Arc<dyn Checkpointer>,
    executed: Arc<Mutex<Vec<Executed>>>,
}

/// What is to be done next.
enum Next<S> {
    Drive(Box<Run<S>>),
    Wait { at_ms: u64 },
    Over(Outcome),
}

impl<S: State> Drives<'_, S> {
    async fn drive_on(self) -> Result<Ran<S>, RunError> {
        let run = RunId::new(format!("run-{}", NEXT_RUN.fetch_add(1, Ordering::Relaxed)));
        let mut crashes = Vec::new();
        for _ in 0..DRIVES_MAX {
            let stand = self.runner.load(THREAD).await?;
            let drive = match self.next(&stand, &run) {
                Next::Over(outcome) => return self.ran(outcome, stand, crashes).await,
                Next::Wait { at_ms } => {
                    if let Some(clock) = &self.trial.clock {
                        clock.advance_to(at_ms).await;
                    }
                    self.runner.resume(THREAD)
                }
                Next::Drive(drive) => *drive,
            };
            match self.store.drive(drive).await {
                None => crashes.push(self.crash().await?),
                Some(Err(RunError::Store(error))) if error.code() == "SW-S403" => {
                    crashes.push(self.crash().await?);
                }
                Some(done) => drop::<RunReport<S>>(done?),
            }
        }
        Err(RunError::Unfinished(format!("the run was driven {DRIVES_MAX} times and goes round in circles")))
    }

    fn next(&self, stand: &ThreadState<S>, run: &RunId) -> Next<S> {
        match &stand.status {
            Status::Empty => {
                Next::Drive(Box::new(self.runner.start(THREAD, self.trial.input.clone()).id(run.clone())))
            }
            Status::Open | Status::Stopped(Outcome::Drained) => {
                Next::Drive(Box::new(self.runner.resume(THREAD)))
            }
            Status::Stopped(Outcome::Paused(questions)) => self.reply(questions),
            Status::Stopped(outcome) => Next::Over(outcome.clone()),
        }
    }

    fn reply(&self, questions: &[Interrupt]) -> Next<S> {
        // An answer that was refused once is refused again.
        let fresh = questions.iter().filter(|question| question.rejected.is_none());
        for question in fresh {
            if let Some(reply) = self.trial.replies.get(&question.name) {
                return Next::Drive(Box::new(reply(&self.runner, &question.id)));
            }
        }
        let deadline = questions.iter().filter_map(|question| question.deadline_ms).min();
        match deadline.filter(|_| self.trial.clock.is_some()) {
            Some(at_ms) => Next::Wait { at_ms },
            None => Next::Over(Outcome::Paused(questions.to_vec())),
        }
    }

    async fn entries(&self) -> Result<Vec<Entry>, RunError> {
        read_entries(self.inner.as_ref(), &ThreadId::new(THREAD), &[(1, u64::MAX >> 1)]).await
    }

    fn executed(&self) -> Vec<Executed> {
        self.executed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is left after a crash.
    async fn crash(&self) -> Result<Crash, RunError> {
        let entries = self.entries().await?;
        let finished = finished(&self.view(&entries)?);
        Ok(Crash { entries: entries.len(), executions: self.executed().len(), finished })
    }

    fn plan(&self) -> &Arc<Plan> {
        self.runner.graph().plan()
    }

    fn view(&self, entries: &[Entry]) -> Result<ThreadView, RunError> {
        let view = ThreadView::read(self.plan(), entries);
        view.map_err(|error| RunError::Unfinished(format!("the journal cannot be read: {error}")))
    }

    async fn ran(
        self,
        outcome: Outcome,
        stand: ThreadState<S>,
        crashes: Vec<Crash>,
    ) -> Result<Ran<S>, RunError> {
        let entries = self.entries().await?;
        Ok(Ran {
            outcome,
            state: stand.state,
            interrupts: stand.interrupts,
            unknown_effects: stand.unknown_effects,
            undelivered: stand.undelivered,
            executed: self.executed(),
            crashes,
            view: self.view(&entries)?,
            entries,
            outstanding: self.store.outstanding(),
            plan: self.plan().clone(),
        })
    }
}

/// The activations that are stored as ended for good.
fn finished(view: &ThreadView) -> BTreeSet<ActivationId> {
    let ended =
        view.steps.iter().filter(|step| step.asked.is_none() && (step.failure.is_none() || step.handled));
    ended.map(|step| step.activation).collect()
}
