//! Undoing effects: handlers on the graph, and the driver's side, which undoes one effect after the other.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde::Serialize;
use statewright_engine_core::{
    Data, Event, Failure, NodeIx, NotUndone, PlanUndo, State, StoredUndo, ThreadId, UndoEnd, UndoPolicy,
    UndoTask, panic_text,
};

use crate::builder::StateGraph;
use crate::effect::Effect;
use crate::error::{Classifier, NodeError};
use crate::step::key;

impl<S: State> StateGraph<S> {
    /// Says how effects of this kind are undone: those that name it by [`Effect::undo_with`], with a payload `P` and a
    /// result `R`. It is done when the run is cancelled, or has failed where [`StateGraph::compensate_on_failure`] says so:
    /// the latest effect first, one after the other. Handlers are not part of the graph's fingerprint.
    pub fn undo<P: Data, R: Data, Fut>(
        &mut self,
        kind: impl Into<String>,
        policy: UndoPolicy,
        handler: impl Fn(Undo<P, R>) -> Fut + Send + Sync + 'static,
    ) where
        Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        let kind = kind.into();
        self.topology.undos.retain(|undo| undo.kind != kind);
        self.topology.undos.push(PlanUndo { kind: kind.clone(), policy });
        self.undoers.insert(kind, undoer(handler));
    }

    /// Undoes the effects of a run that would stop with failures that no policy tries again. Such a run cannot be resumed.
    pub fn compensate_on_failure(&mut self) {
        self.topology.compensates = true;
    }
}

impl Effect {
    /// Names the handler that undoes this effect, and tells it what it needs to know beside the result. It is registered
    /// in the record that holds the result.
    pub fn undo_with(mut self, kind: impl Into<String>, payload: &(impl Serialize + ?Sized)) -> Self {
        let kind = kind.into();
        let stored = rmp_serde::to_vec_named(payload);
        let undo = stored.map(|payload| Box::new(StoredUndo { kind, payload: payload.into() }));
        self.0.undo = Some(undo.map_err(|error| error.to_string()));
        self
    }
}

/// An effect that is to be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo<P, R> {
    /// The same for every try to undo this effect, and no other one's.
    pub key: String,
    /// The key that the effect was given.
    pub effect_key: String,
    /// The thread.
    pub thread: ThreadId,
    /// What the node said that is needed.
    pub payload: P,
    /// The result of the effect; nothing if nobody saw it end.
    pub result: Option<R>,
}

type Stored = Undo<Vec<u8>, Vec<u8>>;

/// Undoes the effects of one kind.
pub(crate) type Undoer = Arc<dyn Fn(Stored) -> BoxFuture<'static, Result<(), NodeError>> + Send + Sync>;

pub(crate) type Undoers = HashMap<String, Undoer>;

/// Reads payload and result before it calls the typed handler.
fn undoer<P: Data, R: Data, Fut>(handler: impl Fn(Undo<P, R>) -> Fut + Send + Sync + 'static) -> Undoer
where
    Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
{
    Arc::new(move |Undo { key, effect_key, thread, payload, result }| {
        let read = rmp_serde::from_slice(&payload).and_then(|payload| {
            let result = result.map(|result| rmp_serde::from_slice(&result)).transpose()?;
            Ok(Undo { key, effect_key, thread, payload, result })
        });
        match read {
            Ok(undo) => Box::pin(handler(undo)),
            Err(error) => {
                let message = format!("what is to be undone cannot be read: {error}");
                refused(NodeError::permanent(message).with_code("SW-X281"))
            }
        }
    })
}

fn refused(error: NodeError) -> BoxFuture<'static, Result<(), NodeError>> {
    Box::pin(std::future::ready(Err(error.without_effect())))
}

/// The id of an undo, the try, and its work.
type UnderWay = (String, u32, BoxFuture<'static, Result<(), NodeError>>);

/// The driver's side.
pub(crate) struct Compensator {
    undoers: Arc<Undoers>,
    classifiers: Arc<[Classifier]>,
    thread: ThreadId,
    under_way: Option<UnderWay>,
}

impl fmt::Debug for Compensator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compensator").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Compensator {
    pub(crate) fn new(undoers: Arc<Undoers>, classifiers: Arc<[Classifier]>, thread: ThreadId) -> Self {
        Self { undoers, classifiers, thread, under_way: None }
    }

    pub(crate) fn take(&mut self, task: UndoTask) {
        let UndoTask { id, attempt, kind, payload, result } = task;
        let (effect, activation) =
            id.strip_prefix("undo ").and_then(|id| id.rsplit_once('@')).unwrap_or_default();
        let undo = Undo {
            key: key(&self.thread, &id, "undo"),
            effect_key: key(&self.thread, activation, effect),
            thread: self.thread.clone(),
            payload,
            result,
        };
        let future = match self.undoers.get(&kind).cloned() {
            // The handler's own code before its first wait may panic, too.
            Some(undoer) => Box::pin(async move { undoer(undo).await }),
            None => {
                let message = format!("the graph has no undo handler `{kind}`; give it one by `g.undo(…)`");
                refused(NodeError::permanent(message).with_code("SW-X280"))
            }
        };
        self.under_way = Some((id, attempt, future));
    }

    /// The end of what is under way, if it has ended.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let Some((_, _, future)) = &mut self.under_way else { return Poll::Pending };
        let ended = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(ended)) => ended,
            Err(panic) => {
                let message = format!("the undo handler panicked: {}", panic_text(panic.as_ref()));
                Err(NodeError::permanent(message).with_code("SW-X241"))
            }
        };
        let Some((id, attempt, _)) = self.under_way.take() else { return Poll::Pending };
        let failure = ended.err().map(|error| {
            let failure = error.to_failure(&self.classifiers);
            tracing::warn!(undo = id, attempt, code = %failure.code, "an undo handler failed");
            (failure, error.is_without_effect())
        });
        Poll::Ready(Event::UndoEnded(Box::new(UndoEnd { id, attempt, failure, draw: crate::ids::draw() })))
    }
}

/// The end of a run that was undone, in words.
pub(crate) fn undone(failures: &[(Option<NodeIx>, Failure)], left: &[NotUndone]) -> String {
    let why = failures.first().map_or("cancelled".to_owned(), |(_, failure)| format!("failed: {failure}"));
    if left.is_empty() {
        return format!("{why}; what it had done outside is undone");
    }
    let list: Vec<String> = left
        .iter()
        .map(|left| match &left.failure {
            Some(failure) => format!("`{}` failed: {failure} [{}]", left.id, failure.code),
            None => format!("the outcome of `{}` is unknown", left.id),
        })
        .collect();
    format!("{why}; not everything is undone: {}; resume it to try again, or cancel it", list.join("; "))
}
