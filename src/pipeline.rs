//! Typed graphs behind one object-safe door, so that the commands need not know a state's type.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_runtime::{
    Budget, Checkpointer, Durability, Events, Graph, Interrupt, Outcome, Plan, Problems, RunControl,
    RunError, RunId, Runner, Status, ThreadId,
};
use statewright_graphs::{Pipeline, Report, Services};

/// A graph of the program, not built yet.
pub(crate) trait AnyGraph: Send + Sync {
    /// The name by which it is asked for, and by which stored runs find it.
    fn name(&self) -> &str;

    /// Builds it with these services.
    fn open(&self, services: &Services) -> Result<Arc<dyn OpenGraph>, Problems>;
}

/// A graph that can be driven.
pub(crate) trait OpenGraph: Send + Sync {
    fn plan(&self) -> &Arc<Plan>;

    /// A drive that begins once its end is awaited.
    fn drive(&self, store: Arc<dyn Checkpointer>, job: Job) -> Drive;

    /// Where a thread stands.
    fn load(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
    ) -> BoxFuture<'_, Result<Standing, RunError>>;
}

/// What is to be done to which thread.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) thread: ThreadId,
    pub(crate) durability: Durability,
    pub(crate) intent: Intent,
    /// What the run may spend, where that is not what the graph says.
    pub(crate) budget: Budget,
}

#[derive(Clone, Debug)]
pub(crate) enum Intent {
    Start { run: RunId, question: String },
    Resume,
    Answer { id: String, value: serde_json::Value },
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

struct Opened<S> {
    graph: Graph<S>,
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
        let mut run = match job.intent {
            Intent::Start { run, question } => runner.start(job.thread, S::ask(&question)).id(run),
            Intent::Resume => runner.resume(job.thread),
            Intent::Answer { id, value } => runner.answer(job.thread, id, &value),
            Intent::Cancel => runner.cancel(job.thread),
        };
        if !job.budget.limits().is_empty() {
            run = run.run_budget(job.budget);
        }
        let (events, control) = (run.events(), run.control());
        let end = async move {
            let report = run.await?;
            let words = report.describe();
            let finished = report.outcome == Outcome::Finished;
            Ok(Ended { words, report: answered(report.state.report(), finished), outcome: report.outcome })
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
}
