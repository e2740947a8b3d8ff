//! `web_search` over a [`SearchProvider`]: Tavily, Brave or a SearXNG of one's own.
//!
//! Which one is used stands in the environment; without any, there is no such tool.

mod brave;
mod client;
mod searxng;
mod tavily;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use statewright_nodes_ports::{BoxFuture, ErrorClass, SideEffect, ToolError};

pub use brave::Brave;
pub use client::Secret;
pub use searxng::SearXng;
pub use tavily::Tavily;

use crate::function::{Function, ToolCx, function};

/// Results of a search that does not say how many it wants.
pub const RESULTS_DEFAULT: usize = 5;
/// The most results of one search.
pub const RESULTS_MAX: usize = 20;
/// The longest description of a result, in characters.
const SNIPPET_CHARS_MAX: usize = 1_000;

/// Somebody who searches the web.
pub trait SearchProvider: Send + Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// The results for a query, best first, at most so many.
    ///
    /// # Errors
    /// [`SearchError`]; whoever calls decides whether to try again.
    fn search<'a>(
        &'a self,
        query: &'a str,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<SearchResult>, SearchError>>;
}

/// One thing that a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchResult {
    /// Its title, as plain text.
    pub title: String,
    /// Where it is.
    pub url: String,
    /// What it says about the query, as plain text.
    pub snippet: String,
}

/// Why a search failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A setting that cannot work.
    #[error("{setting} cannot be used: {problem}")]
    Configuration {
        /// The setting, by the name that the user knows.
        setting: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The provider refused the key (401, 403, and what it uses for that).
    #[error("{provider} refused access (HTTP {status}): {body}; check {setting}")]
    Unauthorised {
        /// The provider.
        provider: &'static str,
        /// The HTTP status.
        status: u16,
        /// The start of its answer.
        body: String,
        /// Where the key or the address is set.
        setting: &'static str,
    },
    /// Too many searches (429, and used-up plans).
    #[error("{provider} takes no more searches now (HTTP {status}){}: {body}; wait, or answer without a search", wait(*.retry_after))]
    RateLimited {
        /// The provider.
        provider: &'static str,
        /// The HTTP status.
        status: u16,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
        /// The start of its answer.
        body: String,
    },
    /// Another status, no answer in time, or no connection.
    #[error("{provider} could not be searched: {problem}; try again later, or answer without a search")]
    Unavailable {
        /// The provider.
        provider: &'static str,
        /// What happened.
        problem: String,
    },
    /// An answer that is not what the provider's interface promises.
    #[error("{provider} sent something that is no search result: {problem}; check {setting}")]
    Malformed {
        /// The provider.
        provider: &'static str,
        /// What is wrong with it.
        problem: String,
        /// Where its address is set.
        setting: &'static str,
    },
}

impl SearchError {
    /// The stable code; its page is `docs/errors/<code>.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Configuration { .. } => "SW-N370",
            Self::Unauthorised { .. } => "SW-N371",
            Self::RateLimited { .. } => "SW-N372",
            Self::Unavailable { .. } => "SW-N373",
            Self::Malformed { .. } => "SW-N374",
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::RateLimited { .. } | Self::Unavailable { .. } => ErrorClass::Transient,
            Self::Configuration { .. } | Self::Unauthorised { .. } | Self::Malformed { .. } => {
                ErrorClass::Permanent
            }
        }
    }
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!(" and asks to wait {} s", after.as_secs()))
}

/// The provider that the environment tells of: the first of `TAVILY_API_KEY`, `BRAVE_API_KEY` and `SEARXNG_URL` that is
/// set and not empty; `None` without any.
///
/// ```
/// use statewright_nodes_tools::search;
/// let env = |name: &str| (name == "SEARXNG_URL").then(|| "http://localhost:8888".to_owned());
/// assert_eq!(search::from_env(&env)?.map(|provider| provider.name()), Some("SearXNG"));
/// assert!(search::from_env(&|_| None)?.is_none());
/// # Ok::<(), search::SearchError>(())
/// ```
///
/// # Errors
/// [`SearchError::Configuration`] when what is set cannot be used.
pub fn from_env(
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Arc<dyn SearchProvider>>, SearchError> {
    let read = |name| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    if let Some(key) = read(tavily::KEY) {
        return Ok(Some(Arc::new(Tavily::new(key.into())?)));
    }
    if let Some(key) = read(brave::KEY) {
        return Ok(Some(Arc::new(Brave::new(key.into())?)));
    }
    match read(searxng::ADDRESS) {
        Some(url) => Ok(Some(Arc::new(SearXng::new(&url)?))),
        None => Ok(None),
    }
}

/// What the tool is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to look for, as one would type it into a search box.
    #[schemars(length(min = 1, max = 400))]
    query: String,
    /// How many results at most; 5 if left out.
    #[schemars(range(min = 1, max = 20))]
    count: Option<u8>,
}

/// `web_search`: titles, addresses and descriptions of pages.
#[must_use]
pub fn tool(provider: Arc<dyn SearchProvider>) -> Function {
    let description = "Searches the web and returns titles, addresses and short descriptions. Use it for what is \
        recent or what you do not know; fetch a page to read it.";
    function("web_search", description, SideEffect::External, move |arguments: Arguments, _: ToolCx| {
        let provider = Arc::clone(&provider);
        async move {
            let count = arguments.count.map_or(RESULTS_DEFAULT, usize::from).clamp(1, RESULTS_MAX);
            match provider.search(&arguments.query, count).await {
                Ok(results) => Ok(render(&results, count)),
                Err(error) => Err(ToolError { code: error.code(), message: error.to_string() }),
            }
        }
    })
    .idempotent()
}

fn render(results: &[SearchResult], count: usize) -> String {
    if results.is_empty() {
        return "Nothing was found. Try other words.".to_owned();
    }
    let line = |text: &str, most: usize| -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(most).collect()
    };
    let entry = |(at, result): (usize, &SearchResult)| {
        let (title, snippet) = (line(&result.title, 300), line(&result.snippet, SNIPPET_CHARS_MAX));
        let gap = if snippet.is_empty() { "" } else { "\n   " };
        format!("{}. {title}\n   {}{gap}{snippet}", at + 1, line(&result.url, 2_000))
    };
    results.iter().take(count).enumerate().map(entry).collect::<Vec<_>>().join("\n\n")
}
