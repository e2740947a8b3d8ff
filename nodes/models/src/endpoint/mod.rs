//! A model behind an HTTP endpoint that streams its answers as server-sent events.
//!
//! This file drives a call: attempts, time limits, hand-over of the stream. What goes over the wire is the affair of a
//! [`Protocol`]; the event framing is in `sse`, the waiting rules are in `retry` and `limiter`. Keys never leave `config`
//! but in the header that carries them.

mod answer;
mod config;
mod limiter;
mod network;
pub(crate) mod protocol;
mod retry;
mod sse;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use reqwest::{
    Client, Url,
    header::{HeaderName, HeaderValue},
};
use statewright_nodes_ports::{
    BoxFuture, ChatDelta, ChatModel, ChatRequest, ChatStream, ErrorClass, ModelError, ModelId,
};

use answer::Answer;
pub use config::{EndpointConfig, Secret};
pub use limiter::{RateLimiter, RateLimits};
pub use network::{Network, install_tls};
pub use protocol::{EventReader, Facts, Protocol};
pub use retry::{Pacing, RetryPolicy};
pub use sse::{EVENT_BYTES_MAX, SseParser};

/// A model behind an endpoint that speaks the protocol `P`.
///
/// Faults that may pass are tried again by the [`RetryPolicy`] as long as nothing of the answer was handed out;
/// after that they come as an item of the stream, and the caller decides.
#[derive(Clone)]
pub struct Endpoint<P> {
    shared: Arc<Shared<P>>,
}

struct Shared<P> {
    config: EndpointConfig<P>,
    url: Url,
    client: Client,
    pacing: Pacing,
}

impl<P: Protocol> Endpoint<P> {
    /// Checks the configuration and prepares the connection pool. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ModelError::Configuration`] when the base URL, the key or the network can't be used, [`ModelError::NotAllowed`]
    /// for a model that is not on the list.
    pub fn new(config: EndpointConfig<P>) -> Result<Self, ModelError> {
        Self::with_pacing(config, Pacing::default())
    }

    /// As [`new`](Endpoint::new), with another way to wait and another source of chance.
    ///
    /// # Errors
    /// As [`new`](Endpoint::new).
    pub fn with_pacing(config: EndpointConfig<P>, pacing: Pacing) -> Result<Self, ModelError> {
        config.allowed.check(&config.model)?;
        let url = config.url()?;
        let client = network::client(&config, &url)?;
        Ok(Self { shared: Arc::new(Shared { config, url, client, pacing }) })
    }

    /// The configuration that this model runs with.
    #[must_use]
    pub fn config(&self) -> &EndpointConfig<P> {
        &self.shared.config
    }
}

impl<P: Protocol> std::fmt::Debug for Endpoint<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl<P: Protocol> ChatModel for Endpoint<P> {
    fn id(&self) -> &ModelId {
        &self.shared.config.model
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        Box::pin(async move { Arc::clone(&self.shared).stream(request).await })
    }
}

/// What is sent in each attempt of a call.
struct Call {
    request: ChatRequest,
    body: Vec<u8>,
    key: Option<HeaderValue>,
    /// How many tokens the call may come to, as far as that can be told before.
    tokens: u64,
}

impl<P: Protocol> Shared<P> {
    async fn stream(self: Arc<Self>, request: ChatRequest) -> Result<ChatStream, ModelError> {
        let key = idempotency_header(request.idempotency_key.as_deref())?;
        let body = P::body(&self.config.model, &request, self.url.host_str())?;
        // About four bytes make a token; the answer's usage corrects this.
        let tokens = body.len() as u64 / 4 + request.max_output_tokens.map_or(0, u64::from);
        let call = Call { request, body, key, tokens };
        let (mut attempt, mut pause) = (1, Duration::ZERO);
        loop {
            let pause_or_limit = pause.max(self.config.limiter.reserve(call.tokens)?);
            if !pause_or_limit.is_zero() || attempt > 1 {
                (self.pacing.sleep)(pause_or_limit).await;
            }
            let error = match self.attempt(&call).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            self.config.limiter.settle(call.tokens, 0);
            if error.class() == ErrorClass::Permanent || attempt >= self.config.retry.attempts {
                return Err(error);
            }
            pause = self.config.retry.pause(attempt, error.retry_after(), (self.pacing.chance)());
            tracing::warn!(
                code = error.code(),
                attempt,
                pause_ms = pause.as_millis(),
                "model call failed, trying again"
            );
            attempt += 1;
        }
    }

    /// One attempt, up to its first delta: until then nothing was handed out and a fault can be tried again.
    async fn attempt(self: &Arc<Self>, call: &Call) -> Result<ChatStream, ModelError> {
        let limit = self.config.timeout;
        let mut answer = within(limit, self.open(call)).await?;
        let first = within(limit, answer.next_delta()).await?;
        Ok(rest_of(answer, first, limit))
    }

    async fn open(self: &Arc<Self>, call: &Call) -> Result<Answer<P>, ModelError> {
        let mut post = self.client.post(self.url.clone()).body(call.body.clone());
        if let Some(key) = &call.key {
            post = post.header(HeaderName::from_static("idempotency-key"), key.clone());
        }
        let response = post.send().await.map_err(|error| self.broken(error))?;
        self.config.limiter.learn(response.headers());
        Answer::open(response, Arc::clone(self), P::reader(&call.request), call.tokens).await
    }
}

/// The stream of an answer whose first delta is known. It ends after its first error.
fn rest_of<P: Protocol>(answer: Answer<P>, first: Option<ChatDelta>, limit: Duration) -> ChatStream {
    let state = first.map(|delta| (answer, Some(delta)));
    let stream = stream::unfold(state, move |state| async move {
        let (mut answer, first) = state?;
        if let Some(delta) = first.or_else(|| answer.ready_delta()) {
            return Some((Ok(delta), Some((answer, None))));
        }
        match within(limit, answer.next_delta()).await {
            Ok(Some(delta)) => Some((Ok(delta), Some((answer, None)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    stream.boxed()
}

async fn within<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, ModelError>>,
) -> Result<T, ModelError> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_elapsed) => Err(ModelError::Timeout { after: limit }),
    }
}

fn idempotency_header(key: Option<&str>) -> Result<Option<HeaderValue>, ModelError> {
    let header = key.map(HeaderValue::from_str).transpose();
    header.map_err(|_| ModelError::Configuration {
        setting: "the idempotency key".to_owned(),
        problem: "it has characters that an HTTP header cannot carry; use visible ASCII characters"
            .to_owned(),
    })
}
