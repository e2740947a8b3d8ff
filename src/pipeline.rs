//! Typed graphs behind one object-safe door, so that the commands need not know a state's type.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_runtime::{
    Budget, Checkpointer, Durability, Events, Graph, Handlers, Interrupt, Outcome, Plan, Problems,
    RunControl, RunError, RunId, Runner, Settlement, Status, ThreadCheck, ThreadId,
};
use statewright_engine_sql::SqlResults;
use statewright_graphs::{Pipeline, Report, Services};

use crate::time_travel::TimeTravel;

/// A graph of the program, not built yet.
pub(crate) trait AnyGraph: Send + Sync {
    /// The name by which it is asked for, and by which stored runs find it.
    fn name(&self) -> &str;

    /// Builds it with these services.
    fn open(&self, services: &Services) -> Result<Arc<dyn OpenGraph>, Problems>;
}

/// A graph that can be driven.
pub(crate) trait OpenGraph: TimeTravel + Send + Sync {
    fn plan(&self) -> &Arc<Plan>;

    /// A drive that begins once its end is awaited.
    fn drive(&self, store: Arc<dyn Checkpointer>, job: Job) -> Drive;

    /// Where a thread stands.
    fn load(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
    ) -> BoxFuture<'_, Result<Standing, RunError>>;

    /// What this build makes of a stored thread.
    fn check(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
    ) -> BoxFuture<'_, Result<ThreadCheck, RunError>>;
}

/// What is to be done to which thread.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) thread: ThreadId,
    pub(crate) durability: Durability,
    pub(crate) intent: Intent,
    /// Who delivers what is in the outbox.
    pub(crate) handlers: Handlers,
    /// Nodes before which this drive pauses, and nodes after which it does.
    pub(crate) pauses: [Vec<String>; 2],
    /// What the run may spend, where that is not what the graph says.
    pub(crate) budget: Budget,
    /// Where results of nodes are kept, if they are.
    pub(crate) results: Option<SqlResults>,
}

#[derive(Clone, Debug)]
pub(crate) enum Intent {
    Start {
        run: RunId,
        question: String,
    },
    Resume,
    Answer {
        id: String,
        value: serde_json::Value,
    },
    /// With the result that the effect had; none if it did not take place.
    Settle {
        effect: String,
        value: Option<serde_json::Value>,
    },
    Deliver,
    Cancel,
}

/// A drive, ready to be awaited.
pub(crate) struct Drive {
    pub(crate) events: Events,
    pub(crate) control: RunControl,
    pub(crate) end: BoxFuture<'static, Result<Ended, RunError>>,
}

/// How a drive ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The outcome in words.
    pub(crate) words: String,
    pub(crate) report: Report,
    /// Ids of items of the outbox that were not delivered.
    pub(crate) undelivered: Vec<String>,
}

/// Where a thread stands.
pub(crate) struct Standing {
    pub(crate) status: Status,
    pub(crate) run: Option<RunId>,
    pub(crate) interrupts: Vec<Interrupt>,
    pub(crate) report: Report,
}

/// A graph with its type.
pub(crate) struct Registered<S, F> {
    name: String,
    make: F,
    state: PhantomData<fn() -> S>,
}

impl<S, F> Registered<S, F> {
    pub(crate) fn new(name: impl Into<String>, make: F) -> Self {
        Self { name: name.into(), make, state: PhantomData }
    }
}

impl<S, F> AnyGraph for Registered<S, F>
where
    S: Pipeline,
    F: Fn(&Services) -> Result<Graph<S>, Problems> + Send + Sync,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, services: &Services) -> Result<Arc<dyn OpenGraph>, Problems> {
        Ok(Arc::new(Opened { graph: (self.make)(services)? }))
    }
}

pub(crate) struct Opened<S> {
    pub(crate) graph: Graph<S>,
}

/// A draft that no run has settled on is shown to nobody as the answer.
fn answered(report: Report, finished: bool) -> Report {
    if finished { report } else { Report { answer: String::new(), ..report } }
}

impl<S: Pipeline> OpenGraph for Opened<S> {
    fn plan(&self) -> &Arc<Plan> {
        self.graph.plan()
    }

    fn drive(&self, store: Arc<dyn Checkpointer>, job: Job) -> Drive {
        let runner = Runner::new(self.graph.clone()).shared_checkpointer(store).durability(job.durability);
        let mut runner = runner.outbox_handlers(job.handlers);
        if let Some(results) = job.results {
            runner = runner.cache(results);
        }
        let mut run = match job.intent {
            Intent::Start { run, question } => runner.start(job.thread, S::ask(&question)).id(run),
            Intent::Resume => runner.resume(job.thread),
            Intent::Answer { id, value } => runner.answer(job.thread, id, &value),
            Intent::Settle { effect, value } => {
                let settlement =
                    value.as_ref().map_or_else(Settlement::did_not_take_place, Settlement::took_place);
                runner.settle(job.thread, effect, settlement)
            }
            Intent::Deliver => runner.deliver(job.thread),
            Intent::Cancel => runner.cancel(job.thread),
        };
        let [before, after] = job.pauses;
        run = before.into_iter().fold(run, |run, node| run.pause_before(node));
        run = after.into_iter().fold(run, |run, node| run.pause_after(node));
        if !job.budget.limits().is_empty() {
            run = run.run_budget(job.budget);
        }
        let (events, control) = (run.events(), run.control());
        let end = async move {
            let report = run.await?;
            let words = report.describe();
            let finished = report.outcome == Outcome::Finished;
            let shown = answered(report.state.report(), finished);
            Ok(Ended { words, report: shown, undelivered: report.undelivered, outcome: report.outcome })
        };
        Drive { events, control, end: end.boxed() }
    }

    fn load(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
    ) -> BoxFuture<'_, Result<Standing, RunError>> {
        let runner = Runner::new(self.graph.clone()).shared_checkpointer(store);
        let load = async move {
            let found = runner.load(thread).await?;
            let finished = found.status == Status::Stopped(Outcome::Finished);
            let report = answered(found.state.report(), finished);
            Ok(Standing { status: found.status, run: found.run, interrupts: found.interrupts, report })
        };
        load.boxed()
    }

    fn check(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
    ) -> BoxFuture<'_, Result<ThreadCheck, RunError>> {
        let runner = Runner::new(self.graph.clone()).shared_checkpointer(store);
        async move { runner.check(thread).await }.boxed()
    }
}
