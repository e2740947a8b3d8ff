//! `fetch_url`: a page of the public internet as text that a model can read.
//!
//! Nothing of the network in which it runs can be reached by it; see [`is_public`]. It runs no scripts, sends no cookies,
//! goes by no proxy (which would resolve hosts by itself) and follows at most five redirects, each judged like the first
//! URL.

mod guard;
mod text;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use statewright_nodes_ports::{SideEffect, ToolError};

pub use guard::{Lookup, SystemLookup, is_public};

use crate::function::{Function, ToolCx, function};
use crate::http;
use guard::{Guard, RefusedAddress};

/// The most redirects that are followed.
pub const REDIRECTS_MAX: usize = 5;

/// What may be fetched, and how much of it.
#[derive(Clone)]
pub struct FetchOptions {
    /// The most bytes of a page that are read. Default 2 MiB.
    pub bytes_max: usize,
    /// The most bytes of text that are given back. Default [`OUTPUT_BYTES_MAX`](crate::OUTPUT_BYTES_MAX).
    pub text_bytes_max: usize,
    /// The time for all of it, redirects included. Default 20 s.
    pub time_max: Duration,
    /// If not empty, the only hosts that may be fetched from.
    pub only_hosts: Vec<String>,
    /// Hosts that may be fetched from although they are not at public addresses. They are trusted: whoever can answer
    /// there can be asked anything by a model.
    pub private_hosts: Vec<String>,
    /// Who looks up hosts. Default [`SystemLookup`].
    pub lookup: Arc<dyn Lookup>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            bytes_max: 2 * 1024 * 1024,
            text_bytes_max: crate::OUTPUT_BYTES_MAX,
            time_max: Duration::from_secs(20),
            only_hosts: Vec::new(),
            private_hosts: Vec::new(),
            lookup: Arc::new(SystemLookup),
        }
    }
}

impl fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions")
            .field("bytes_max", &self.bytes_max)
            .field("time_max", &self.time_max)
            .field("only_hosts", &self.only_hosts)
            .field("private_hosts", &self.private_hosts)
            .finish_non_exhaustive()
    }
}

/// What the tool is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The address of the page, such as `https://example.org/page`.
    url: String,
}

/// `fetch_url`: fetches a page and gives back its title and its text.
///
/// ```
/// use statewright_nodes_tools::fetch::{self, FetchOptions};
/// use statewright_nodes_ports::{SideEffect, Tool};
///
/// let tool = fetch::tool(FetchOptions { only_hosts: vec!["example.org".into()], ..FetchOptions::default() });
/// assert_eq!((tool.spec().name.as_str(), tool.side_effect()), ("fetch_url", SideEffect::External));
/// ```
#[must_use]
pub fn tool(options: FetchOptions) -> Function {
    let description = "Fetches a page from the web and returns its text. Use it for an address that you know or have found.";
    let fetcher = Arc::new(Fetcher::new(options));
    function("fetch_url", description, SideEffect::External, move |arguments: Arguments, _: ToolCx| {
        let fetcher = Arc::clone(&fetcher);
        async move { fetcher.page(&arguments.url).await }
    })
    .idempotent()
}

/// A URL in its normal form, if [`tool`] would fetch it without an exception for its host. The addresses of a name are
/// judged when it is resolved.
///
/// # Errors
/// SW-N380 for what is no web address, SW-N381 for an address that is not public; in words for a model.
pub fn check_url(url: &str) -> Result<String, ToolError> {
    Guard::new(Arc::new(SystemLookup), &[], &[]).url(url).map(String::from)
}

struct Fetcher {
    guard: Guard,
    options: FetchOptions,
    /// One for plain HTTP, which needs no certificates, and one for HTTPS; made when they are first needed.
    clients: [OnceLock<Client>; 2],
}

impl Fetcher {
    fn new(options: FetchOptions) -> Self {
        let guard = Guard::new(Arc::clone(&options.lookup), &options.private_hosts, &options.only_hosts);
        Self { guard, options, clients: Default::default() }
    }

    async fn page(&self, url: &str) -> Result<String, ToolError> {
        let limit = self.options.time_max;
        match tokio::time::timeout(limit, self.follow(url)).await {
            Ok(page) => page,
            Err(_elapsed) => {
                let words =
                    format!("it took longer than {} s; try again, or another page", limit.as_secs_f64());
                Err(unreachable(url, &words))
            }
        }
    }

    /// Goes from redirect to redirect to a page.
    async fn follow(&self, given: &str) -> Result<String, ToolError> {
        let mut url = self.guard.url(given)?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.get(&url).await?;
            if !response.status().is_redirection() {
                return self.read(&url, response).await;
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.ok_or_else(|| refused(&url, "it redirects without saying to where"))?;
            let target =
                url.join(target).map_err(|_| refused(&url, "it redirects to something that is no URL"))?;
            url = self.guard.url(target.as_str())?;
        }
        let message = format!(
            "`{given}` redirects more than {REDIRECTS_MAX} times, at last to {url}; give the address where it ends"
        );
        Err(ToolError { code: "SW-N384", message })
    }

    async fn get(&self, url: &Url) -> Result<Response, ToolError> {
        let request = self.client(url.scheme() == "https")?.get(url.clone());
        let request = request.header(ACCEPT, "text/html, text/plain;q=0.9, */*;q=0.5");
        request.send().await.map_err(|error| match RefusedAddress::cause(&error) {
            Some(refused) => refused.told(),
            None => unreachable(url.as_str(), &http::causes(error)),
        })
    }

    async fn read(&self, url: &Url, mut response: Response) -> Result<String, ToolError> {
        let status = response.status();
        if !status.is_success() {
            let words = if status.as_u16() == 404 { "check the address" } else { "try another page" };
            let message = format!("{url} answered HTTP {}; {words}", status.as_u16());
            return Err(ToolError { code: "SW-N383", message });
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(encoding) =
            header(CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Err(refused(
                url,
                &format!("it is compressed ({encoding}) though that was not asked for"),
            ));
        }
        let content_type = header(CONTENT_TYPE).map(str::to_owned);
        let kind = text::Kind::of(content_type.as_deref())
            .map_err(|found| refused(url, &format!("it is `{found}`, not text")))?;
        let (bytes, is_whole) = http::body(&mut response, self.options.bytes_max)
            .await
            .map_err(|error| unreachable(url.as_str(), &http::causes(error)))?;
        let (url, most) = (url.clone(), self.options.text_bytes_max);
        // Reading HTML takes the processor, not the network.
        let read = tokio::task::spawn_blocking(move || text::page(&url, &kind, &bytes, is_whole, most)).await;
        read.map_err(|stopped| ToolError {
            code: "SW-N385",
            message: format!("the page could not be read: {stopped}"),
        })
    }

    fn client(&self, is_https: bool) -> Result<&Client, ToolError> {
        let slot = &self.clients[usize::from(is_https)];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let builder = http::client(self.options.time_max).no_proxy().dns_resolver(self.guard.clone());
        let builder = if is_https { builder } else { builder.tls_certs_only([]) };
        let client = builder.build().map_err(|error| {
            unreachable("https", &format!("{}; check the certificates of this system", http::causes(error)))
        })?;
        Ok(slot.get_or_init(|| client))
    }
}

fn unreachable(url: &str, problem: &str) -> ToolError {
    ToolError { code: "SW-N382", message: format!("`{url}` could not be fetched: {problem}") }
}

fn refused(url: &Url, problem: &str) -> ToolError {
    ToolError { code: "SW-N385", message: format!("{url} is nothing to read: {problem}; try another page") }
}
