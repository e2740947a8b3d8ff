//! Chat models behind an OpenAI-compatible Chat Completions endpoint, streamed over server-sent events.
//!
//! This file drives a call: attempts, time limits, hand-over of the stream. What goes over the wire is in
//! `request` and `chunk`, the event framing in `sse`, the waiting rules in `retry`. Keys never leave `config`
//! but in the `Authorization` header.
//! Source: OpenAI API reference, "Create chat completion" and its streaming events.

mod chunk;
mod config;
mod request;
mod response;
mod retry;
mod sse;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use reqwest::{
    Client, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use statewright_nodes_ports::{
    BoxFuture, ChatDelta, ChatModel, ChatRequest, ChatStream, ErrorClass, ModelError, ModelId,
};

pub use config::{OpenAiConfig, Secret};
use response::Answer;
pub use retry::{Pacing, RetryPolicy};
pub use sse::{EVENT_BYTES_MAX, SseParser};

/// Makes the TLS implementation known to the process. Calling it again, or after another one was installed, is fine.
///
/// [`OpenAi::new`] calls it; a program that makes HTTPS connections of its own calls it first in `main`.
pub fn install_tls() {
    // The only failure is that a provider is installed already, which is what this function is for.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A model behind an OpenAI-compatible endpoint.
///
/// Faults that may pass are tried again by the [`RetryPolicy`] as long as nothing of the answer was handed out;
/// after that they come as an item of the stream, and the caller decides.
#[derive(Clone)]
pub struct OpenAi {
    shared: Arc<Shared>,
}

struct Shared {
    config: OpenAiConfig,
    url: Url,
    client: Client,
    pacing: Pacing,
}

impl OpenAi {
    /// Checks the configuration and prepares the connection pool. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ModelError::Configuration`] when the base URL or the key can't be used.
    pub fn new(config: OpenAiConfig) -> Result<Self, ModelError> {
        Self::with_pacing(config, Pacing::default())
    }

    /// As [`new`](OpenAi::new), with another way to wait and another source of chance.
    ///
    /// # Errors
    /// As [`new`](OpenAi::new).
    pub fn with_pacing(config: OpenAiConfig, pacing: Pacing) -> Result<Self, ModelError> {
        let url = config.completions_url()?;
        let client = client(&config, &url)?;
        Ok(Self { shared: Arc::new(Shared { config, url, client, pacing }) })
    }

    /// The configuration that this model runs with.
    #[must_use]
    pub fn config(&self) -> &OpenAiConfig {
        &self.shared.config
    }
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl ChatModel for OpenAi {
    fn id(&self) -> &ModelId {
        &self.shared.config.model
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        Box::pin(self.shared.stream(request))
    }
}

impl Shared {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, ModelError> {
        let key = idempotency_header(request.idempotency_key.as_deref())?;
        let body = request::body(&self.config.model, &request, &self.url)?;
        let mut attempt = 1;
        loop {
            let error = match self.attempt(&body, key.as_ref()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if error.class() == ErrorClass::Permanent || attempt >= self.config.retry.attempts {
                return Err(error);
            }
            let pause = self.config.retry.pause(attempt, error.retry_after(), (self.pacing.chance)());
            tracing::warn!(
                code = error.code(),
                attempt,
                pause_ms = pause.as_millis(),
                "model call failed, trying again"
            );
            (self.pacing.sleep)(pause).await;
            attempt += 1;
        }
    }

    /// One attempt, up to its first delta: until then nothing was handed out and a fault can be tried again.
    async fn attempt(&self, body: &[u8], key: Option<&HeaderValue>) -> Result<ChatStream, ModelError> {
        let limit = self.config.timeout;
        let mut answer = within(limit, self.open(body, key)).await?;
        let first = within(limit, answer.next_delta()).await?;
        Ok(rest_of(answer, first, limit))
    }

    async fn open(&self, body: &[u8], key: Option<&HeaderValue>) -> Result<Answer, ModelError> {
        let mut post = self.client.post(self.url.clone()).body(body.to_vec());
        if let Some(key) = key {
            post = post.header(HeaderName::from_static("idempotency-key"), key.clone());
        }
        let response: Response =
            post.send().await.map_err(|error| response::transport(error, &self.config))?;
        Answer::open(response, &self.config, &self.url).await
    }
}

/// The stream of an answer whose first delta is known. It ends after its first error.
fn rest_of(answer: Answer, first: Option<ChatDelta>, limit: Duration) -> ChatStream {
    let state = first.map(|delta| (answer, Some(delta)));
    let stream = stream::unfold(state, move |state| async move {
        let (mut answer, first) = state?;
        if let Some(delta) = first {
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

fn client(config: &OpenAiConfig, url: &Url) -> Result<Client, ModelError> {
    install_tls();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(authorization) = config.authorization()? {
        headers.insert(AUTHORIZATION, authorization);
    }
    // A redirect could carry the key to another place; the status is reported instead.
    let mut builder = Client::builder()
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(config.timeout);
    if config::is_loopback(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // Reading the system's certificates takes time and may fail; plain HTTP needs none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ModelError::Configuration {
        setting: "the HTTP client".to_owned(),
        problem: format!("{}; check the certificates of this system", response::causes(&error)),
    })
}

fn idempotency_header(key: Option<&str>) -> Result<Option<HeaderValue>, ModelError> {
    let header = key.map(HeaderValue::from_str).transpose();
    header.map_err(|_| ModelError::Configuration {
        setting: "the idempotency key".to_owned(),
        problem: "it has characters that an HTTP header cannot carry; use visible ASCII characters"
            .to_owned(),
    })
}
