//! The outbox: nodes post items, and handlers of the runner deliver them once what the node did is durable.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use statewright_engine_core::journal::StoredPost;
use statewright_engine_core::{Data, Event, State, ThreadId, panic_text};

use crate::context::Ctx;
use crate::error::NodeError;
use crate::lock::lock;
use crate::runner::Runner;
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
type Deliverer = Arc<dyn Fn(Delivery<Vec<u8>>) -> BoxFuture<'static, Result<(), NodeError>> + Send + Sync>;

/// How long a handler may take unless somebody says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Who delivers what is in the outbox of a thread: a handler for each kind, and how long one may take. Clones share the
/// handlers, so that several runners can have the same.
#[derive(Clone)]
pub struct Handlers {
    by_kind: Arc<HashMap<String, Deliverer>>,
    time_limit: Duration,
}

impl Default for Handlers {
    fn default() -> Self {
        Self { by_kind: Arc::default(), time_limit: TIME_LIMIT }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<&String> = self.by_kind.keys().collect();
        kinds.sort();
        f.debug_struct("Handlers").field("kinds", &kinds).field("time_limit", &self.time_limit).finish()
    }
}

impl Handlers {
    /// None yet; one that takes longer than 60 s is given up.
    pub fn new() -> Self {
        Self::default()
    }

    /// Delivers the items of this kind: see [`crate::Runner::outbox`].
    #[must_use]
    pub fn on<T: Data, Fut>(
        mut self,
        kind: impl Into<String>,
        handler: impl Fn(Delivery<T>) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        Arc::make_mut(&mut self.by_kind).insert(kind.into(), deliverer(handler));
        self
    }

    /// Gives a handler up that takes longer than this, 60 s by default. Its item stays in the outbox, like any that
    /// could not be delivered.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }
}

impl<S: State> Runner<S> {
    /// Delivers what is in the outbox by these handlers and no others.
    #[must_use]
    pub fn outbox_handlers(mut self, handlers: Handlers) -> Self {
        self.handlers = handlers;
        self
    }

    /// Gives a handler of the outbox up that takes longer than this, 60 s by default.
    #[must_use]
    pub fn outbox_timeout(mut self, limit: Duration) -> Self {
        self.handlers = self.handlers.time_limit(limit);
        self
    }
}

/// Reads the payload before it calls the typed handler.
fn deliverer<T: Data, Fut>(handler: impl Fn(Delivery<T>) -> Fut + Send + Sync + 'static) -> Deliverer
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
    handlers: Handlers,
    thread: ThreadId,
    waiting: VecDeque<Arc<StoredPost>>,
    under_way: Option<UnderWay>,
}

impl Postman {
    pub(crate) fn new(handlers: Handlers, thread: ThreadId) -> Self {
        Self { handlers, thread, waiting: VecDeque::new(), under_way: None }
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
            let code = error.to_failure(&[]).code;
            tracing::warn!(
                item = post.id,
                kind = post.kind,
                %code,
                "an item of the outbox was not delivered"
            );
        }
        let event = Event::Delivered { id: post.id.clone(), delivered: ended.is_ok() };
        self.under_way = None;
        Poll::Ready(event)
    }

    fn begin(&self, post: &StoredPost) -> BoxFuture<'static, Result<(), NodeError>> {
        let Some(deliverer) = self.handlers.by_kind.get(&post.kind) else {
            let message =
                format!("the runner has no handler for `{}`; give it one by `.outbox(…)`", post.kind);
            return Box::pin(std::future::ready(Err(NodeError::permanent(message))));
        };
        let (thread, payload) = (self.thread.clone(), post.payload.to_vec());
        let delivery = Delivery { id: key(&thread, &post.id, "outbox"), thread, payload };
        let (deliverer, limit) = (deliverer.clone(), self.handlers.time_limit);
        // The handler's own code before its first wait may panic, too.
        Box::pin(async move {
            let delivered = tokio::time::timeout(limit, async move { deliverer(delivery).await }).await;
            delivered.unwrap_or_else(|_| {
                let words = format!("the handler had not come back after {} s", limit.as_secs_f64());
                Err(NodeError::transient(words).with_code("SW-X247"))
            })
        })
    }
}
