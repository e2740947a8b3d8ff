//! The answer to one attempt: status and headers checked, then read delta by delta.

use std::{collections::VecDeque, error::Error, time::SystemTime};

use futures_util::{StreamExt, stream::BoxStream};
use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use statewright_nodes_ports::{ChatDelta, FinishReason, ModelError, body_excerpt};

use super::{OpenAiConfig, SseParser, chunk, retry::parse_retry_after};

/// How much of an error body is read, in bytes; what an error keeps of it is less.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;

/// A streamed answer that is being read.
pub(super) struct Answer {
    bytes: BoxStream<'static, Result<Vec<u8>, String>>,
    parser: SseParser,
    ready: VecDeque<ChatDelta>,
    finished: bool,
    done: bool,
    config: OpenAiConfig,
}

impl Answer {
    /// Checks status and content type.
    pub(super) async fn open(
        response: Response,
        config: &OpenAiConfig,
        url: &Url,
    ) -> Result<Self, ModelError> {
        let status = response.status();
        if !status.is_success() {
            return Err(status_error(response, config, url).await);
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let content_type = content_type.unwrap_or_default().trim().to_ascii_lowercase();
        if !content_type.starts_with("text/event-stream") {
            let found =
                if content_type.is_empty() { "nothing".to_owned() } else { body_excerpt(&content_type) };
            let body = error_body(response, config).await;
            let detail = format!("the content type is {found} instead of text/event-stream: {body}");
            return Err(ModelError::Protocol { detail: config.without_key(&detail) });
        }
        let bytes = response.bytes_stream();
        let bytes =
            bytes.map(|part| part.map(Vec::from).map_err(|error| causes(&error.without_url()))).boxed();
        let parser = SseParser::default();
        Ok(Self {
            bytes,
            parser,
            ready: VecDeque::new(),
            finished: false,
            done: false,
            config: config.clone(),
        })
    }

    /// The next delta, or `None` at the proper end.
    pub(super) async fn next_delta(&mut self) -> Result<Option<ChatDelta>, ModelError> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                self.finished |= matches!(delta, ChatDelta::Finish(_));
                return Ok(Some(delta));
            }
            if self.done {
                return Ok(None);
            }
            match self.parser.next_event() {
                Some(data) => self.take_event(&data)?,
                None => self.read_more().await?,
            }
        }
    }

    fn take_event(&mut self, data: &str) -> Result<(), ModelError> {
        if data.trim() == "[DONE]" {
            self.done = true;
            if !self.finished {
                // Some servers never give a reason; the end marker says that the answer is whole.
                self.ready.push_back(ChatDelta::Finish(FinishReason::Stop));
            }
            return Ok(());
        }
        let deltas = chunk::deltas(data).map_err(|error| self.scrubbed(error))?;
        self.ready.extend(deltas);
        Ok(())
    }

    async fn read_more(&mut self) -> Result<(), ModelError> {
        let detail = match self.bytes.next().await {
            Some(Ok(bytes)) => return self.parser.push(&bytes),
            Some(Err(error)) => format!("the connection broke in the middle of the answer ({error})"),
            None => "the answer stopped before the model said that it had finished".to_owned(),
        };
        if self.finished {
            // The answer is whole; only its end marker, and perhaps the usage, is lost.
            self.done = true;
            return Ok(());
        }
        Err(ModelError::Transport { detail: self.config.without_key(&detail) })
    }

    fn scrubbed(&self, error: ModelError) -> ModelError {
        match error {
            ModelError::Protocol { detail } => {
                ModelError::Protocol { detail: self.config.without_key(&detail) }
            }
            ModelError::Reported { message, class } => {
                ModelError::Reported { message: self.config.without_key(&message), class }
            }
            other => other,
        }
    }
}

/// An error of the connection, without the URL (it may carry a query) and without the key.
pub(super) fn transport(error: reqwest::Error, config: &OpenAiConfig) -> ModelError {
    if error.is_timeout() {
        return ModelError::Timeout { after: config.timeout };
    }
    ModelError::Transport { detail: config.without_key(&causes(&error.without_url())) }
}

/// An error and what caused it, on one line.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    body_excerpt(&text)
}

async fn status_error(response: Response, config: &OpenAiConfig, url: &Url) -> ModelError {
    let status = response.status();
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|value| parse_retry_after(value, SystemTime::now()));
    let body = error_body(response, config).await;
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ModelError::Unauthorised { endpoint: shown(url), status: status.as_u16(), body }
        }
        StatusCode::TOO_MANY_REQUESTS => ModelError::RateLimited { retry_after, body },
        _ => ModelError::Status { endpoint: shown(url), status: status.as_u16(), retry_after, body },
    }
}

/// The start of a body, for an error. Whatever goes wrong while reading it is less important than that error.
async fn error_body(mut response: Response, config: &OpenAiConfig) -> String {
    let mut body = Vec::new();
    while body.len() < ERROR_BODY_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ERROR_BODY_BYTES_MAX);
    // Scrubbed before and after it is cut, so that not even the front of a key stays at the end.
    let text = config.without_key(&String::from_utf8_lossy(&body));
    config.without_key(&body_excerpt(&text))
}

/// A URL as errors show it: without its query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
