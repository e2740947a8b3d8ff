//! The answer to one attempt: status and headers checked, then read delta by delta.

use std::{collections::VecDeque, error::Error, io, sync::Arc, time::SystemTime};

use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use statewright_nodes_ports::{ChatDelta, ModelError, Usage, body_excerpt};

use super::{EventReader, Protocol, Shared, SseParser, retry::parse_retry_after};

/// How much of an error body is read, in bytes; what an error keeps of it is less.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;

/// A streamed answer that is being read.
pub(super) struct Answer<P: Protocol> {
    response: Response,
    parser: SseParser,
    reader: P::Reader,
    ready: VecDeque<ChatDelta>,
    finished: bool,
    done: bool,
    /// The tokens that the limiter counts for the call.
    counted_tokens: u64,
    shared: Arc<Shared<P>>,
}

impl<P: Protocol> Answer<P> {
    /// Checks status and content type.
    pub(super) async fn open(
        response: Response,
        shared: Arc<Shared<P>>,
        reader: P::Reader,
        counted_tokens: u64,
    ) -> Result<Self, ModelError> {
        let status = response.status();
        if !status.is_success() {
            return Err(shared.status_error(response).await);
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let content_type = content_type.unwrap_or_default().trim().to_ascii_lowercase();
        if !content_type.starts_with("text/event-stream") {
            let found =
                if content_type.is_empty() { "nothing".to_owned() } else { body_excerpt(&content_type) };
            let body = shared.error_body(response).await;
            let detail = format!("the content type is {found} instead of text/event-stream: {body}");
            return Err(ModelError::Protocol { detail: shared.placed(&detail) });
        }
        let (parser, ready) = (SseParser::default(), VecDeque::new());
        Ok(Self { response, parser, reader, ready, finished: false, done: false, counted_tokens, shared })
    }

    /// The next delta that has arrived already.
    pub(super) fn ready_delta(&mut self) -> Option<ChatDelta> {
        let delta = self.ready.pop_front();
        match &delta {
            Some(ChatDelta::Finish(_)) => self.finished = true,
            Some(ChatDelta::Usage(usage)) => self.settle(*usage),
            _ => {}
        }
        delta
    }

    /// The next delta, or `None` at the proper end.
    pub(super) async fn next_delta(&mut self) -> Result<Option<ChatDelta>, ModelError> {
        loop {
            if let Some(delta) = self.ready_delta() {
                return Ok(Some(delta));
            }
            if self.done {
                return Ok(None);
            }
            match self.parser.next_event() {
                Some(data) => {
                    let read = self.reader.read(&data, &mut self.ready);
                    self.done = read.map_err(|error| self.shared.scrubbed(error))?;
                }
                None => self.read_more().await?,
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), ModelError> {
        let detail = match self.response.chunk().await {
            Ok(Some(bytes)) => {
                return self.parser.push(&bytes).map_err(|error| self.shared.scrubbed(error));
            }
            Err(error) => {
                format!("the connection broke in the middle of the answer ({})", causes(&error.without_url()))
            }
            Ok(None) => "the answer stopped before the model said that it had finished".to_owned(),
        };
        if self.finished {
            // The answer is whole; only its end marker, and perhaps the usage, is lost.
            self.done = true;
            return Ok(());
        }
        Err(ModelError::Transport { detail: self.shared.placed(&detail) })
    }

    /// Usage may be told more than once; the limiter counts the latest.
    fn settle(&mut self, usage: Usage) {
        let used = usage.total_tokens();
        self.shared.config.limiter.settle(self.counted_tokens, used);
        self.counted_tokens = used;
    }
}

impl<P: Protocol> Shared<P> {
    /// An error of the connection, without the URL (it may carry a query) and without the key.
    pub(super) fn broken(&self, error: reqwest::Error) -> ModelError {
        if error.is_timeout() {
            let connecting = error.is_connect();
            let limits = (self.config.network.connect_timeout.min(self.config.timeout), self.config.timeout);
            return ModelError::Timeout { after: if connecting { limits.0 } else { limits.1 } };
        }
        let error = error.without_url();
        let detail = self.placed(&causes(&error));
        if is_untrusted(&error) {
            return ModelError::UntrustedCertificate { detail };
        }
        ModelError::Transport { detail }
    }

    /// What went wrong, after the setting that says where; without the key.
    fn placed(&self, detail: &str) -> String {
        let place = format!("{} is {}: {detail}", P::FACTS.base_url_setting, shown(&self.url));
        self.config.without_key(&place)
    }

    fn scrubbed(&self, error: ModelError) -> ModelError {
        match error {
            ModelError::Protocol { detail } => ModelError::Protocol { detail: self.placed(&detail) },
            ModelError::Reported { message, class } => {
                ModelError::Reported { message: self.config.without_key(&message), class }
            }
            other => other,
        }
    }

    async fn status_error(&self, response: Response) -> ModelError {
        let status = response.status();
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| parse_retry_after(value, SystemTime::now()));
        let body = self.error_body(response).await;
        let (endpoint, setting) = (self.config.without_key(&shown(&self.url)), P::FACTS.key_setting);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ModelError::Unauthorised { setting, endpoint, status: status.as_u16(), body }
            }
            StatusCode::TOO_MANY_REQUESTS => ModelError::RateLimited { retry_after, body },
            _ => ModelError::Status { endpoint, status: status.as_u16(), retry_after, body },
        }
    }

    /// The start of a body, for an error. Whatever goes wrong while reading it is less important than that error.
    async fn error_body(&self, mut response: Response) -> String {
        let mut body = Vec::new();
        while body.len() < ERROR_BODY_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(ERROR_BODY_BYTES_MAX);
        // Scrubbed before and after it is cut, so that not even the front of a key stays at the end.
        let text = self.config.without_key(&String::from_utf8_lossy(&body));
        self.config.without_key(&body_excerpt(&text))
    }
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

/// Whether the other side showed a certificate that does not hold. The error of TLS stands inside errors of I/O, which do
/// not name what is in them as their source.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_)))
        || within.is_some_and(|within| is_untrusted(within))
        || error.source().is_some_and(is_untrusted)
}

/// A URL as errors show it: without its query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
