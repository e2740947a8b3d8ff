//! Where an OpenAI-compatible endpoint is, and the key for it. The only file that reads a key.

use std::{net::IpAddr, time::Duration};

use reqwest::{Url, header::HeaderValue};
use secrecy::ExposeSecret;
use statewright_nodes_ports::{ModelError, ModelId};

use super::RetryPolicy;

/// A key: redacted in `Debug`, not serialisable, wiped from memory when dropped.
pub type Secret = secrecy::SecretString;

/// The endpoint of OpenAI itself, used when a key is set and no base URL.
const OPENAI_BASE_URL_DEFAULT: &str = "https://api.openai.com/v1";
/// The model when `OPENAI_MODEL` is not set.
const OPENAI_MODEL_DEFAULT: &str = "gpt-4.1-mini";

/// Settings of one OpenAI-compatible model.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// The API's root, usually ending in `/v1`; `/chat/completions` is added.
    pub base_url: String,
    /// The key; local servers usually need none.
    pub api_key: Option<Secret>,
    /// The model to ask for.
    pub model: ModelId,
    /// How long an attempt may wait for the response, and then for each further delta. Default 120 s.
    pub timeout: Duration,
    /// When and how often a failed attempt is tried again.
    pub retry: RetryPolicy,
}

impl OpenAiConfig {
    /// Settings for a base URL and a model, without a key and with the default times.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: ModelId) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model,
            timeout: Duration::from_secs(120),
            retry: RetryPolicy::default(),
        }
    }

    /// Reads `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `OPENAI_MODEL` through `env`; `None` when neither of the first
    /// two is set. An empty value counts as not set.
    ///
    /// # Errors
    /// [`ModelError::InvalidModelId`] for `OPENAI_MODEL`, [`ModelError::Configuration`] when the base URL or the key
    /// can't be used.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, ModelError> {
        let read = |name| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let api_key = read("OPENAI_API_KEY").map(Secret::from);
        let base_url = read("OPENAI_BASE_URL");
        if api_key.is_none() && base_url.is_none() {
            return Ok(None);
        }
        let base_url = base_url.unwrap_or_else(|| OPENAI_BASE_URL_DEFAULT.to_owned());
        let model = ModelId::new(read("OPENAI_MODEL").unwrap_or_else(|| OPENAI_MODEL_DEFAULT.to_owned()))?;
        let config = Self { api_key, ..Self::new(base_url, model) };
        config.completions_url()?;
        config.authorization()?;
        Ok(Some(config))
    }

    /// The URL that calls go to.
    pub(super) fn completions_url(&self) -> Result<Url, ModelError> {
        let mut url = Url::parse(self.base_url.trim()).map_err(|error| {
            base_url_error(&format!("it is not a URL ({error}); write it like {OPENAI_BASE_URL_DEFAULT}"))
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(base_url_error(
                "only http and https URLs can be called; write it like https://host/v1",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(base_url_error(
                "it contains a user name or password; put the key into OPENAI_API_KEY",
            ));
        }
        if self.api_key.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            return Err(base_url_error(
                "it would send the key unencrypted over plain http to another machine; use an https URL, or unset OPENAI_API_KEY if the server needs no key",
            ));
        }
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(["chat", "completions"]),
            Err(()) => return Err(base_url_error("it has no path; write it like https://host/v1")),
        };
        Ok(url)
    }

    /// The `Authorization` header, marked sensitive so that HTTP logs leave it out.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, ModelError> {
        let Some(key) = &self.api_key else { return Ok(None) };
        let header = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
        let mut header = header.map_err(|_| ModelError::Configuration {
            setting: "OPENAI_API_KEY".to_owned(),
            problem:
                "it has characters that an HTTP header cannot carry; copy the key again, without line breaks"
                    .to_owned(),
        })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// `text` without the key, for texts that come from the other side and end up in errors: some servers echo
    /// what they were sent. A key that the end of `text` cuts off goes too.
    pub(super) fn without_key(&self, text: &str) -> String {
        let Some(key) = self.api_key.as_ref().map(ExposeSecret::expose_secret).filter(|key| !key.is_empty())
        else {
            return text.to_owned();
        };
        let text = text.replace(key, "[key]");
        let cut = (1..key.len()).rev().find(|n| key.is_char_boundary(*n) && text.ends_with(&key[..*n]));
        // Two characters are no secret, and many texts end with the same letter as a key begins with.
        match cut.filter(|length| *length > 2) {
            Some(length) => format!("{}[key]", &text[..text.len() - length]),
            None => text,
        }
    }
}

/// Whether the host is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn base_url_error(problem: &str) -> ModelError {
    ModelError::Configuration { setting: "OPENAI_BASE_URL".to_owned(), problem: problem.to_owned() }
}
