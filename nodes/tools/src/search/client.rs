//! What the providers share: one request, its errors in common terms, and an answer of a bounded size.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use statewright_nodes_ports::body_excerpt;

use super::SearchError;
use crate::http;

/// A key: redacted in `Debug`, wiped from memory when dropped.
pub type Secret = secrecy::SecretString;

/// How long a search may take.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The most that is read of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A way to one provider.
pub(super) struct Api {
    pub(super) provider: &'static str,
    /// Where its key or address is set.
    pub(super) setting: &'static str,
    pub(super) url: Url,
    client: Client,
}

impl Api {
    /// # Errors
    /// When the URL is none that can be called, or the client cannot be made.
    pub(super) fn new(provider: &'static str, setting: &'static str, url: &str) -> Result<Self, SearchError> {
        let wrong = |problem: String| SearchError::Configuration { setting, problem };
        let url = Url::parse(url)
            .map_err(|error| wrong(format!("it is no URL ({error}); write it like https://host")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("only http and https can be called; write it like https://host".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it has a user name or a password in it; leave them out".to_owned()));
        }
        let mut builder = http::client(TIME_MAX).timeout(TIME_MAX);
        if url.scheme() == "http" {
            // Reading the system's certificates takes time and may fail; plain HTTP needs none.
            builder = builder.tls_certs_only([]);
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
            // A proxy elsewhere would look for the server on its own machine.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            wrong(format!("{}; check the certificates of this system", http::causes(error)))
        })?;
        Ok(Self { provider, setting, url, client })
    }

    pub(super) fn get(&self, query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(query);
        self.client.get(url)
    }

    pub(super) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }

    /// Sends a request and reads the answer as JSON of a type.
    pub(super) async fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        key: Option<&Secret>,
    ) -> Result<T, SearchError> {
        let provider = self.provider;
        let lost = |error| SearchError::Unavailable { provider, problem: http::causes(error) };
        let mut response = request.send().await.map_err(lost)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let (bytes, is_whole) = http::body(&mut response, ANSWER_BYTES_MAX).await.map_err(lost)?;
        if !status.is_success() {
            return Err(self.refused(status, retry_after, &without_key(&bytes, key)));
        }
        let malformed = |problem: String| SearchError::Malformed { provider, problem, setting: self.setting };
        if !is_whole {
            return Err(malformed(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            // The error may quote what was sent.
            let error = without_key(error.to_string().as_bytes(), key);
            malformed(format!("{} in: {}", excerpt(&error), excerpt(&without_key(&bytes, key))))
        })
    }

    fn refused(&self, status: StatusCode, retry_after: Option<Duration>, body: &str) -> SearchError {
        let (provider, body) = (self.provider, excerpt(body));
        let status = status.as_u16();
        match status {
            401 | 403 | 407 => SearchError::Unauthorised { provider, status, body, setting: self.setting },
            // A key of the wrong form, by Brave.
            422 if body.contains("TOKEN") => {
                SearchError::Unauthorised { provider, status, body, setting: self.setting }
            }
            // The limits of a plan, by Tavily, beside the common status.
            429 | 432 | 433 => SearchError::RateLimited { provider, status, retry_after, body },
            _ => SearchError::Unavailable { provider, problem: format!("it answered HTTP {status}: {body}") },
        }
    }
}

/// A key as a header that logs leave out.
pub(super) fn header(setting: &'static str, prefix: &str, key: &Secret) -> Result<HeaderValue, SearchError> {
    let header = HeaderValue::from_str(&format!("{prefix}{}", key.expose_secret()));
    let mut header = header.map_err(|_| SearchError::Configuration {
        setting,
        problem:
            "it has characters that an HTTP header cannot carry; copy the key again, without line breaks"
                .to_owned(),
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// Seconds to wait: as `Retry-After` says, or the first window of `X-RateLimit-Reset`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = |text: &str| text.split(',').next()?.trim().parse().ok();
    let wait =
        text(RETRY_AFTER.as_str()).and_then(seconds).or_else(|| text("x-ratelimit-reset").and_then(seconds));
    wait.map(Duration::from_secs)
}

/// The text of an answer without the key: some servers echo what they were sent.
fn without_key(bytes: &[u8], key: Option<&Secret>) -> String {
    let text = String::from_utf8_lossy(bytes);
    match key.map(ExposeSecret::expose_secret).filter(|key| !key.is_empty()) {
        Some(key) => text.replace(key, "[key]"),
        None => text.into_owned(),
    }
}

/// The start of an answer, for a model: it has to pay for each word.
fn excerpt(body: &str) -> String {
    const SHOWN: usize = 300;
    let excerpt = body_excerpt(body);
    match excerpt.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &excerpt[..end]),
        None => excerpt,
    }
}
