//! Where a model's endpoint is, the key for it, and the bounds of a call. The only file that reads a key.

use std::{net::IpAddr, time::Duration};

use reqwest::{Url, header::HeaderValue};
use secrecy::ExposeSecret;
use statewright_nodes_ports::{ModelError, ModelId};

use super::{Network, Protocol, RateLimiter, RetryPolicy};
use crate::AllowedModels;

/// A key: redacted in `Debug`, not serialisable, wiped from memory when dropped.
pub type Secret = secrecy::SecretString;

/// Settings of one model behind an endpoint that speaks the protocol `P`.
#[derive(Debug, Clone)]
pub struct EndpointConfig<P> {
    /// The protocol.
    pub protocol: P,
    /// The API's root; the path of the protocol is added.
    pub base_url: String,
    /// The key; local servers usually need none.
    pub api_key: Option<Secret>,
    /// The model to ask for.
    pub model: ModelId,
    /// The models that may be asked for.
    pub allowed: AllowedModels,
    /// How long an attempt may wait for the response, and then for each further delta. Default 120 s.
    pub timeout: Duration,
    /// When and how often a failed attempt is tried again.
    pub retry: RetryPolicy,
    /// Holds the calls of a key to its limits. Clones of a configuration share it.
    pub limiter: RateLimiter,
    /// The way to the endpoint.
    pub network: Network,
}

impl<P: Protocol> EndpointConfig<P> {
    /// Settings for a base URL and a model, without a key and with the default times.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: ModelId) -> Self {
        Self {
            protocol: P::default(),
            base_url: base_url.into(),
            api_key: None,
            model,
            allowed: AllowedModels::default(),
            timeout: Duration::from_secs(120),
            retry: RetryPolicy::default(),
            limiter: RateLimiter::default(),
            network: Network::default(),
        }
    }

    /// Reads the key, the base URL and the model (`OPENAI_API_KEY`, `OPENAI_BASE_URL` and `OPENAI_MODEL`, or the same of
    /// `ANTHROPIC_`) through `env`, and `STATEWRIGHT_CA_FILE`, `STATEWRIGHT_PROXY` and `STATEWRIGHT_ALLOWED_MODELS`;
    /// `None` when there is neither a key nor a base URL. An empty value counts as not set.
    ///
    /// # Errors
    /// [`ModelError::InvalidModelId`] for the model, [`ModelError::Configuration`] when the base URL, the key or the
    /// way to the endpoint can't be used.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, ModelError> {
        let read = |name| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let api_key = read(P::FACTS.key_setting).map(Secret::from);
        let base_url = read(P::FACTS.base_url_setting);
        if api_key.is_none() && base_url.is_none() {
            return Ok(None);
        }
        let base_url = base_url.unwrap_or_else(|| P::FACTS.base_url_default.to_owned());
        let model = read(P::FACTS.model_setting).unwrap_or_else(|| P::FACTS.model_default.to_owned());
        let network = Network {
            proxy: read("STATEWRIGHT_PROXY").map(Secret::from),
            ca_file: read("STATEWRIGHT_CA_FILE").map(Into::into),
            ..Network::default()
        };
        let allowed = AllowedModels::from_env(env);
        let config = Self { api_key, network, allowed, ..Self::new(base_url, ModelId::new(model)?) };
        config.url()?;
        config.key_header()?;
        Ok(Some(config))
    }

    /// The URL that calls go to.
    pub(super) fn url(&self) -> Result<Url, ModelError> {
        let facts = P::FACTS;
        let mut url = Url::parse(self.base_url.trim()).map_err(|error| {
            base_url_error::<P>(&format!(
                "it is not a URL ({error}); write it like {}",
                facts.base_url_default
            ))
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(base_url_error::<P>(
                "only http and https URLs can be called; write it like https://host/v1",
            ));
        }
        let key = facts.key_setting;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(base_url_error::<P>(&format!(
                "it contains a user name or password; put the key into {key}"
            )));
        }
        if self.api_key.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            return Err(base_url_error::<P>(&format!(
                "it would send the key unencrypted over plain http to another machine; use an https URL, or unset {key} if the server needs no key"
            )));
        }
        let last = url.path().trim_end_matches('/').rsplit('/').next().map(str::to_owned);
        let repeated = usize::from(last.as_deref() == facts.path.first().copied());
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(&facts.path[repeated..]),
            Err(()) => return Err(base_url_error::<P>("it has no path; write it like https://host/v1")),
        };
        Ok(url)
    }

    /// The header with the key, marked sensitive so that HTTP logs leave it out.
    pub(super) fn key_header(&self) -> Result<Option<HeaderValue>, ModelError> {
        let Some(key) = &self.api_key else { return Ok(None) };
        let (_, before) = P::FACTS.key_header;
        let header = HeaderValue::from_str(&format!("{before}{}", key.expose_secret()));
        let mut header = header.map_err(|_| ModelError::Configuration {
            setting: P::FACTS.key_setting.to_owned(),
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

fn base_url_error<P: Protocol>(problem: &str) -> ModelError {
    ModelError::Configuration { setting: P::FACTS.base_url_setting.to_owned(), problem: problem.to_owned() }
}
