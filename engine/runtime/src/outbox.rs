//! The outbox: nodes post items, and handlers of the runner deliver them once what the node did is durable.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde::Serialize;
use statewright_engine_core::journal::StoredPost;
use statewright_engine_core::{Data, Event, ThreadId, panic_text};

use crate::context::Ctx;
use crate::error::NodeError;
use crate::lock::lock;
use crate::step::key;

impl<S, I> Ctx<S, I> {
    /// Posts an item for the handler that the runner has for this kind. It is stored with the end of this activation
    /// and delivered once the superstep is durable: never for an execution that failed or was repeated, and at least
    /// once for one that counts. See [`crate::Runner::outbox`].
    ///
    /// # Errors
    /// `SW-X234` if the payload cannot be stored.
    pub fn outbox(
        &self,
        kind: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<(), NodeError> {
        let kind = kind.into();
        let payload = rmp_serde::to_vec_named(payload).map_err(|error| {
            NodeError::permanent(format!("the item `{kind}` of the outbox cannot be stored: {error}"))
                .with_code("SW-X234")
        })?;
        lock(&self.activation.posts).push((kind, payload));
        self.activation.posted.store(true, Ordering::Release);
        Ok(())
    }
}

/// An item that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<T> {
    /// The same for every delivery of this item, and no other item's: give it to the other side, so that it
    /// recognises an item that comes again after a crash.
    pub id: String,
    /// The thread that it comes from.
    pub thread: ThreadId,
    /// What the node posted.
    pub payload: T,
}

/// Delivers the items of one kind.
pub(crate) type Deliverer =
    Arc<dyn Fn(Delivery<Vec<u8>>) -> BoxFuture<'static, Result<(), NodeError>> + Send + Sync>;

pub(crate) type Deliverers = Arc<HashMap<String, Deliverer>>;

/// Reads the payload before it calls the typed handler.
pub(crate) fn deliverer<T: Data, Fut>(
    handler: impl Fn(Delivery<T>) -> Fut + Send + Sync + 'static,
) -> Deliverer
where
    Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
{
    Arc::new(move |Delivery { id, thread, payload }| match rmp_serde::from_slice(&payload) {
        Ok(payload) => Box::pin(handler(Delivery { id, thread, payload })),
        Err(error) => Box::pin(std::future::ready(Err(error.into()))),
    })
}

/// What nodes posted and nobody has taken yet.
pub(crate) type Posts = Mutex<Vec<(String, Vec<u8>)>>;

/// A delivery that has not ended.
type UnderWay = (Arc<StoredPost>, BoxFuture<'static, Result<(), NodeError>>);

/// The driver's side: delivers one item after the other, in the order in which they were committed.
pub(crate) struct Postman {
    deliverers: Deliverers,
    thread: ThreadId,
    waiting: VecDeque<Arc<StoredPost>>,
    under_way: Option<UnderWay>,
}

impl Postman {
    pub(crate) fn new(deliverers: Deliverers, thread: ThreadId) -> Self {
        Self { deliverers, thread, waiting: VecDeque::new(), under_way: None }
    }

    pub(crate) fn take(&mut self, post: Arc<StoredPost>) {
        self.waiting.push_back(post);
    }

    /// The end of the delivery under way, if it has ended.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if self.under_way.is_none() {
            let Some(post) = self.waiting.pop_front() else { return Poll::Pending };
            let future = self.begin(&post);
            self.under_way = Some((post, future));
        }
        let Some((post, future)) = &mut self.under_way else { return Poll::Pending };
        let ended = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(ended)) => ended,
            Err(panic) => {
                Err(NodeError::permanent(format!("the handler panicked: {}", panic_text(panic.as_ref()))))
            }
        };
        if let Err(error) = &ended {
            tracing::warn!(
                item = post.id,
                kind = post.kind,
                "an item of the outbox was not delivered: {error}"
            );
        }
        let event = Event::Delivered { id: post.id.clone(), delivered: ended.is_ok() };
        self.under_way = None;
        Poll::Ready(event)
    }

    fn begin(&self, post: &StoredPost) -> BoxFuture<'static, Result<(), NodeError>> {
        let Some(deliverer) = self.deliverers.get(&post.kind) else {
            let message =
                format!("the runner has no handler for `{}`; give it one by `.outbox(…)`", post.kind);
            return Box::pin(std::future::ready(Err(NodeError::permanent(message))));
        };
        let (thread, payload) = (self.thread.clone(), post.payload.to_vec());
        let delivery = Delivery { id: key(&thread, &post.id, "outbox"), thread, payload };
        let deliverer = deliverer.clone();
        // The handler's own code before its first wait may panic, too.
        Box::pin(async move { deliverer(delivery).await })
    }
}
