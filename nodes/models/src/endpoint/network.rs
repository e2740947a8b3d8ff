//! The way to an endpoint: proxy, trusted authorities, time to connect.

use std::{path::PathBuf, time::Duration};

use reqwest::{
    Certificate, Client, Proxy, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::ExposeSecret;
use statewright_nodes_ports::ModelError;

use super::{EndpointConfig, Protocol, Secret, answer, config};

/// How an endpoint is reached.
#[derive(Debug, Clone)]
pub struct Network {
    /// The URL of a proxy for all calls, which may carry a password; without it, `HTTPS_PROXY` and its like count, and an
    /// endpoint on this machine is reached directly.
    pub proxy: Option<Secret>,
    /// A PEM file of authorities that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long making a connection may take, within the time limit of an attempt. Default 30 s.
    pub connect_timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self { proxy: None, ca_file: None, connect_timeout: Duration::from_secs(30) }
    }
}

/// Makes the TLS implementation known to the process. Calling it again, or after another one was installed, is fine.
///
/// Adapters call it; a program that makes HTTPS connections of its own calls it first in `main`.
pub fn install_tls() {
    // The only failure is that a provider is installed already, which is what this function is for.
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub(super) fn client<P: Protocol>(config: &EndpointConfig<P>, url: &Url) -> Result<Client, ModelError> {
    install_tls();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    for (name, value) in P::FACTS.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Some(key) = config.key_header()? {
        headers.insert(HeaderName::from_static(P::FACTS.key_header.0), key);
    }
    let network = &config.network;
    // A redirect could carry the key to another place; the status is reported instead.
    let mut builder = Client::builder()
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(network.connect_timeout.min(config.timeout));
    if let Some(proxy) = &network.proxy {
        builder = builder.proxy(self::proxy(proxy)?);
    } else if config::is_loopback(url) {
        builder = builder.no_proxy();
    }
    if let Some(file) = &network.ca_file {
        builder = builder.tls_certs_merge(authorities(file)?);
    } else if url.scheme() == "http" {
        // Reading the system's certificates takes time and may fail; plain HTTP needs none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ModelError::Configuration {
        setting: "the HTTP client".to_owned(),
        problem: format!("{}; check the certificates of this system", answer::causes(&error)),
    })
}

fn proxy(url: &Secret) -> Result<Proxy, ModelError> {
    // The error is not shown: it may repeat the password.
    let unusable = || ModelError::Configuration {
        setting: "STATEWRIGHT_PROXY".to_owned(),
        problem: "it is no URL of an HTTP proxy; write it like http://host:3128".to_owned(),
    };
    let parsed = Url::parse(url.expose_secret()).map_err(|_| unusable())?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(unusable());
    }
    Proxy::all(parsed).map_err(|_| unusable())
}

fn authorities(file: &PathBuf) -> Result<Vec<Certificate>, ModelError> {
    let unusable = |problem: String| ModelError::Configuration {
        setting: format!("STATEWRIGHT_CA_FILE ({})", file.display()),
        problem: format!("{problem}; give a PEM file of certificates"),
    };
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(unusable("it has no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(answer::causes(&error))),
    }
}
