//! A SearXNG of one's own. Its settings have to allow the format `json`. Source: its documentation, "Search API".

use reqwest::Url;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use statewright_nodes_ports::BoxFuture;

use super::client::Api;
use super::{SearchError, SearchProvider, SearchResult};

pub(super) const ADDRESS: &str = "SEARXNG_URL";

/// Search by a SearXNG server.
pub struct SearXng {
    api: Api,
}

impl SearXng {
    /// At the address of its start page.
    ///
    /// # Errors
    /// [`SearchError::Configuration`] when the address cannot be used.
    pub fn new(url: &str) -> Result<Self, SearchError> {
        let mut api = Api::new("SearXNG", ADDRESS, url)?;
        with_search(&mut api.url);
        Ok(Self { api })
    }
}

/// The path of searches, unless the address has it already.
fn with_search(url: &mut Url) {
    let is_there = url.path_segments().and_then(Iterator::last) == Some("search");
    if let Ok(mut segments) = url.path_segments_mut()
        && !is_there
    {
        segments.pop_if_empty().push("search");
    }
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    title: String,
    url: String,
    content: Option<String>,
}

impl SearchProvider for SearXng {
    fn name(&self) -> &'static str {
        self.api.provider
    }

    fn search<'a>(
        &'a self,
        query: &'a str,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<SearchResult>, SearchError>> {
        Box::pin(async move {
            let request = self.api.get(&[("q", query), ("format", "json")]);
            let answer: Answer = self.api.answer(request.header(ACCEPT, "application/json"), None).await?;
            let result = |found: Found| SearchResult {
                title: found.title,
                url: found.url,
                snippet: found.content.unwrap_or_default(),
            };
            Ok(answer.results.into_iter().take(count).map(result).collect())
        })
    }
}
