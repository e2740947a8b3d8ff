//! Tavily. Source: its API reference, "Tavily Search".

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use statewright_nodes_ports::BoxFuture;

use super::client::{Api, Secret, header};
use super::{SearchError, SearchProvider, SearchResult};

pub(super) const KEY: &str = "TAVILY_API_KEY";
const URL: &str = "https://api.tavily.com/search";

/// Search by Tavily.
pub struct Tavily {
    api: Api,
    key: Secret,
    authorization: HeaderValue,
}

impl Tavily {
    /// With a key.
    ///
    /// # Errors
    /// [`SearchError::Configuration`] when the key cannot be sent.
    pub fn new(key: Secret) -> Result<Self, SearchError> {
        Self::at(URL, key)
    }

    /// At another address, such as a server for tests.
    ///
    /// # Errors
    /// [`SearchError::Configuration`] when the address or the key cannot be used.
    pub fn at(url: &str, key: Secret) -> Result<Self, SearchError> {
        Ok(Self { api: Api::new("Tavily", KEY, url)?, authorization: header(KEY, "Bearer ", &key)?, key })
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
    #[serde(default)]
    content: String,
}

impl SearchProvider for Tavily {
    fn name(&self) -> &'static str {
        self.api.provider
    }

    fn search<'a>(
        &'a self,
        query: &'a str,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<SearchResult>, SearchError>> {
        Box::pin(async move {
            let body = json!({ "query": query, "max_results": count, "search_depth": "basic" });
            let request = self.api.post().header(AUTHORIZATION, self.authorization.clone()).json(&body);
            let answer: Answer = self.api.answer(request, Some(&self.key)).await?;
            let result =
                |found: Found| SearchResult { title: found.title, url: found.url, snippet: found.content };
            Ok(answer.results.into_iter().take(count).map(result).collect())
        })
    }
}
