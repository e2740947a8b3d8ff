//! Brave. Source: its API reference, "Web Search".

use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use statewright_nodes_ports::BoxFuture;

use super::client::{Api, Secret, header};
use super::{SearchError, SearchProvider, SearchResult};

pub(super) const KEY: &str = "BRAVE_API_KEY";
const URL: &str = "https://api.search.brave.com/res/v1/web/search";

/// Search by Brave.
pub struct Brave {
    api: Api,
    key: Secret,
    token: HeaderValue,
}

impl Brave {
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
        Ok(Self { api: Api::new("Brave", KEY, url)?, token: header(KEY, "", &key)?, key })
    }
}

/// `web` is left out when nothing was found; `type` tells a search from anything else.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    web: Web,
}

#[derive(Default, Deserialize)]
struct Web {
    #[serde(default)]
    results: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    title: String,
    url: String,
    #[serde(default)]
    description: String,
}

impl SearchProvider for Brave {
    fn name(&self) -> &'static str {
        self.api.provider
    }

    fn search<'a>(
        &'a self,
        query: &'a str,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<SearchResult>, SearchError>> {
        Box::pin(async move {
            let request = self.api.get(&[("q", query), ("count", &count.to_string())]);
            let request =
                request.header(ACCEPT, "application/json").header("x-subscription-token", self.token.clone());
            let answer: Answer = self.api.answer(request, Some(&self.key)).await?;
            if answer.kind != "search" {
                let problem = format!("its type is `{}`, not `search`", answer.kind);
                return Err(SearchError::Malformed { provider: self.name(), problem, setting: KEY });
            }
            let result = |found: Found| SearchResult {
                title: plain(&found.title),
                url: found.url,
                snippet: plain(&found.description),
            };
            Ok(answer.web.results.into_iter().take(count).map(result).collect())
        })
    }
}

/// Descriptions come as HTML: words of the query stand in `<strong>`, and signs are escaped.
fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    for (at, piece) in html.split('<').enumerate() {
        text.push_str(if at == 0 { piece } else { piece.split_once('>').map_or("", |(_, after)| after) });
    }
    let signs =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    signs.iter().fold(text, |text, (escaped, sign)| text.replace(escaped, sign))
}
