//! Looking back and forking behind an object-safe door, like the rest of [`crate::pipeline`]: states are JSON here, and
//! edits are checked before anything is written.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use statewright_engine_core::State;
use statewright_engine_runtime::{
    ChannelDiff, Checkpoint, Checkpointer, Interrupt, RunError, RunId, Runner, Seq, Status, ThreadId,
    state_as_json,
};
use statewright_graphs::Pipeline;

use crate::error::{CliError, nearest};
use crate::pipeline::Opened;

/// A thread at an entry.
pub(crate) type Place = (ThreadId, Seq);

/// Where a thread stands, or stood.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) status: Status,
    pub(crate) run: Option<RunId>,
    pub(crate) state: Value,
    pub(crate) interrupts: Vec<Interrupt>,
    pub(crate) unknown_effects: Vec<String>,
    pub(crate) undelivered: Vec<String>,
    pub(crate) superstep: u64,
    /// The last entry.
    pub(crate) seq: Seq,
    pub(crate) origin: Option<Place>,
}

/// What can be asked about the past of a thread.
pub(crate) trait TimeTravel {
    /// The thread as of an entry, or as it is.
    fn look(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
        at: Option<Seq>,
    ) -> BoxFuture<'_, Result<Look, RunError>>;

    fn history(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
    ) -> BoxFuture<'_, Result<Vec<Checkpoint>, RunError>>;

    fn diff(
        &self,
        store: Arc<dyn Checkpointer>,
        old: Place,
        new: Place,
    ) -> BoxFuture<'_, Result<Vec<ChannelDiff>, RunError>>;

    /// A thread of its own that begins as another one at an entry, with these fields written.
    fn fork(
        &self,
        store: Arc<dyn Checkpointer>,
        from: Place,
        into: ThreadId,
        fields: Map<String, Value>,
    ) -> BoxFuture<'_, Result<Look, CliError>>;
}

impl<S: Pipeline> Opened<S> {
    fn runner(&self, store: Arc<dyn Checkpointer>) -> Runner<S> {
        Runner::new(self.graph.clone()).shared_checkpointer(store)
    }
}

impl<S: Pipeline> TimeTravel for Opened<S> {
    fn look(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
        at: Option<Seq>,
    ) -> BoxFuture<'_, Result<Look, RunError>> {
        let runner = self.runner(store);
        async move {
            Ok(Look::of(match at {
                Some(seq) => runner.state_at(thread, seq).await?,
                None => runner.load(thread).await?,
            }))
        }
        .boxed()
    }

    fn history(
        &self,
        store: Arc<dyn Checkpointer>,
        thread: ThreadId,
    ) -> BoxFuture<'_, Result<Vec<Checkpoint>, RunError>> {
        let runner = self.runner(store);
        async move { runner.history(thread).await }.boxed()
    }

    fn diff(
        &self,
        store: Arc<dyn Checkpointer>,
        old: Place,
        new: Place,
    ) -> BoxFuture<'_, Result<Vec<ChannelDiff>, RunError>> {
        let runner = self.runner(store);
        async move { runner.diff(old, new).await }.boxed()
    }

    fn fork(
        &self,
        store: Arc<dyn Checkpointer>,
        (thread, seq): Place,
        into: ThreadId,
        fields: Map<String, Value>,
    ) -> BoxFuture<'_, Result<Look, CliError>> {
        let runner = self.runner(store);
        async move {
            let edit = edit::<S>(fields)?;
            Ok(Look::of(runner.fork(thread, seq, into, edit).await?))
        }
        .boxed()
    }
}

impl Look {
    fn of<S: State>(found: statewright_engine_runtime::ThreadState<S>) -> Self {
        Self {
            state: state_as_json(&*found.state),
            status: found.status,
            run: found.run,
            interrupts: found.interrupts,
            unknown_effects: found.unknown_effects,
            undelivered: found.undelivered,
            superstep: found.superstep,
            seq: found.seq,
            origin: found.origin,
        }
    }
}

/// The update that writes these fields. Each is tried alone first, so that the error names the one that is wrong.
fn edit<S: State>(fields: Map<String, Value>) -> Result<S::Update, CliError> {
    let known = || S::SCHEMA.channels.iter().map(|channel| channel.name.to_owned());
    for (field, value) in &fields {
        if !known().any(|name| name == *field) {
            let (field, state) = (field.clone(), S::SCHEMA.name);
            let nearest = nearest(&field, known());
            return Err(CliError::UnknownField { field, state, nearest, known: known().collect() });
        }
        let alone = Value::Object([(field.clone(), value.clone())].into_iter().collect());
        if let Err(error) = serde_json::from_value::<S::Update>(alone) {
            return Err(CliError::WrongValue { field: field.clone(), reason: error.to_string() });
        }
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| CliError::WrongValue { field: "--set".to_owned(), reason: error.to_string() })
}
