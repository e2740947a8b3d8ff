//! Searches against a local server that speaks as the providers do, errors included.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use statewright_nodes_ports::{ErrorClass, SideEffect, Tool};
use statewright_nodes_tools::search::{
    self, Brave, SearXng, SearchError, SearchProvider, SearchResult, Tavily,
};

use crate::common::call_async;
use crate::server::{Reply, Server};

const SECRET: &str = "tvly-canary-1889";

fn result(title: &str, url: &str, snippet: &str) -> SearchResult {
    SearchResult { title: title.to_owned(), url: url.to_owned(), snippet: snippet.to_owned() }
}

/// What Tavily answers, by its reference.
const TAVILY: &str = r#"{
    "query": "eiffel tower", "follow_up_questions": null, "answer": null, "images": [],
    "results": [
        {"title": "Eiffel Tower", "url": "https://example.org/tower", "content": "Finished in 1889.", "score": 0.98, "raw_content": null},
        {"title": "Paris", "url": "https://example.org/paris", "content": "A city.", "score": 0.5, "raw_content": null}
    ],
    "response_time": "1.67", "request_id": "123e4567-e89b-12d3-a456-426614174111"
}"#;

/// What Brave answers, by its reference.
const BRAVE: &str = r#"{
    "type": "search",
    "query": {"original": "eiffel tower", "more_results_available": true},
    "mixed": {"type": "mixed", "main": [{"type": "web", "index": 0, "all": false}]},
    "web": {"type": "search", "family_friendly": true, "results": [
        {"title": "Eiffel Tower &amp; more", "url": "https://example.org/tower", "is_source_local": false,
         "description": "The <strong>tower</strong> was finished in 1889 &#x27;by hand&#x27;.", "profile": {"name": "Example"}}
    ]}
}"#;

/// What SearXNG answers, by its documentation.
const SEARXNG: &str = r#"{
    "query": "eiffel tower", "number_of_results": 0,
    "results": [
        {"url": "https://example.org/tower", "title": "Eiffel Tower", "content": "Finished in 1889.", "engine": "duckduckgo",
         "parsed_url": ["https", "example.org", "/tower", "", "", ""], "engines": ["duckduckgo"], "positions": [1], "score": 1.0, "category": "general"},
        {"url": "https://example.org/paris", "title": "Paris", "content": null, "engine": "bing"}
    ],
    "answers": [], "corrections": [], "infoboxes": [], "suggestions": [], "unresponsive_engines": []
}"#;

#[tokio::test]
async fn tavily_is_asked_and_understood() {
    let server = Server::start([("/search", Reply::json("200 OK", TAVILY))]).await;
    let tavily = Tavily::at(&server.url("/search"), SECRET.into()).unwrap();
    let found = tavily.search("eiffel tower", 1).await.unwrap();
    assert_eq!(found, [result("Eiffel Tower", "https://example.org/tower", "Finished in 1889.")]);
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /search");
    assert!(request.head.contains("authorization: Bearer tvly-canary-1889\n"), "{}", request.head);
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body, json!({"query": "eiffel tower", "max_results": 1, "search_depth": "basic"}));
}

#[tokio::test]
async fn brave_is_asked_and_understood() {
    let server = Server::start([("/res/v1/web/search", Reply::json("200 OK", BRAVE))]).await;
    let brave = Brave::at(&server.url("/res/v1/web/search"), SECRET.into()).unwrap();
    let found = brave.search("eiffel & tower", 5).await.unwrap();
    let snippet = "The tower was finished in 1889 'by hand'.";
    assert_eq!(found, [result("Eiffel Tower & more", "https://example.org/tower", snippet)]);
    let request = &server.requests()[0];
    assert_eq!(request.line, "GET /res/v1/web/search?q=eiffel+%26+tower&count=5");
    assert!(request.head.contains("x-subscription-token: tvly-canary-1889\n"), "{}", request.head);

    let nothing = Server::start([("/", Reply::json("200 OK", r#"{"type": "search", "query": {}}"#))]).await;
    assert_eq!(Brave::at(&nothing.url("/"), SECRET.into()).unwrap().search("q", 5).await.unwrap(), []);
}

#[tokio::test]
async fn searxng_is_asked_and_understood() {
    let server = Server::start([("/s/search", Reply::json("200 OK", SEARXNG))]).await;
    for address in ["/s", "/s/", "/s/search"] {
        let searxng = SearXng::new(&server.url(address)).unwrap();
        let found = searxng.search("eiffel tower", 5).await.unwrap();
        assert_eq!(found[0], result("Eiffel Tower", "https://example.org/tower", "Finished in 1889."));
        assert_eq!(found[1], result("Paris", "https://example.org/paris", ""));
    }
    assert_eq!(server.requests()[2].line, "GET /s/search?q=eiffel+tower&format=json");
}

/// Each provider at a server that gives this answer to everything.
async fn each(reply: Reply) -> (Server, [Arc<dyn SearchProvider>; 3]) {
    let server = Server::start([("/search", reply)]).await;
    let url = server.url("/search");
    let providers: [Arc<dyn SearchProvider>; 3] = [
        Arc::new(Tavily::at(&url, SECRET.into()).unwrap()),
        Arc::new(Brave::at(&url, SECRET.into()).unwrap()),
        Arc::new(SearXng::new(&url).unwrap()),
    ];
    (server, providers)
}

#[tokio::test]
async fn a_refused_key_names_the_setting_and_not_the_key() {
    let body = format!(r#"{{"detail": {{"error": "Unauthorized: invalid API key {SECRET}."}}}}"#);
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let (_server, providers) = each(Reply::json(status, &body)).await;
        for (provider, setting) in providers.iter().zip(["TAVILY_API_KEY", "BRAVE_API_KEY", "SEARXNG_URL"]) {
            let error = provider.search("q", 5).await.unwrap_err();
            assert_eq!((error.code(), error.class()), ("SW-N371", ErrorClass::Permanent));
            assert!(error.to_string().ends_with(&format!("check {setting}")), "{error}");
            // SearXNG has no key: what it echoes is not ours.
            assert!(setting == "SEARXNG_URL" || !error.to_string().contains(SECRET), "{error}");
        }
    }
    let token = r#"{"type": "ErrorResponse", "error": {"id": "x", "status": 422, "code": "SUBSCRIPTION_TOKEN_INVALID"}}"#;
    let (_server, [_, brave, _]) = each(Reply::json("422 Unprocessable Entity", token)).await;
    assert_eq!(brave.search("q", 5).await.unwrap_err().code(), "SW-N371");
}

#[tokio::test]
async fn a_limited_rate_tells_how_long_to_wait() {
    let headers = "content-type: application/json\r\nretry-after: 7\r\n";
    let (_server, providers) =
        each(Reply::new("429 Too Many Requests", headers, r#"{"detail": {"error": "slow down"}}"#)).await;
    for provider in providers {
        let error = provider.search("q", 5).await.unwrap_err();
        let SearchError::RateLimited { retry_after, .. } = &error else { panic!("{error}") };
        assert_eq!(*retry_after, Some(Duration::from_secs(7)));
        assert_eq!((error.code(), error.class()), ("SW-N372", ErrorClass::Transient));
        assert!(error.to_string().contains("asks to wait 7 s"), "{error}");
    }
    let headers = "x-ratelimit-limit: 1, 15000\r\nx-ratelimit-reset: 2, 1419704\r\n";
    let (_server, [_, brave, _]) = each(Reply::new("429 Too Many Requests", headers, "{}")).await;
    let Err(SearchError::RateLimited { retry_after, .. }) = brave.search("q", 5).await else { panic!() };
    assert_eq!(retry_after, Some(Duration::from_secs(2)));
    let (_server, [tavily, ..]) =
        each(Reply::json("432 Plan", r#"{"detail": {"error": "plan limit"}}"#)).await;
    assert_eq!(tavily.search("q", 5).await.unwrap_err().code(), "SW-N372");
}

#[tokio::test]
async fn what_is_no_search_result_is_shown_and_not_guessed_at() {
    let long = format!("{{\"results\": \"{}\"}}", "x".repeat(100_000));
    for reply in [
        Reply::html("<html><body>Sign in to the network</body></html>"),
        Reply::json("200 OK", "{\"results\": [{\"title\": \"cut of"),
        Reply::json("200 OK", r#"{"results": {"no": "list"}}"#),
        Reply::json("200 OK", r#"{"error": "none"}"#),
        Reply::json("200 OK", &long),
        Reply::new("200 OK", "", [0xff, 0xfe, 0x00]),
    ] {
        let (_server, providers) = each(reply).await;
        for provider in providers {
            let error = provider.search("q", 5).await.unwrap_err();
            assert_eq!((error.code(), error.class()), ("SW-N374", ErrorClass::Permanent), "{error}");
            assert!(error.to_string().len() < 1_500, "{error}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_down_or_breaks_off_is_unavailable() {
    let broken = Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"results\": [".to_vec());
    for reply in [
        Reply::json("500 Oops", "down"),
        Reply::new("302 Found", "location: http://example.org/\r\n", ""),
        broken,
    ] {
        let (_server, providers) = each(reply).await;
        for provider in providers {
            let error = provider.search("q", 5).await.unwrap_err();
            assert_eq!((error.code(), error.class()), ("SW-N373", ErrorClass::Transient), "{error}");
        }
    }
    let (server, [tavily, ..]) = each(Reply::json("200 OK", TAVILY)).await;
    let task_ended = server.address;
    drop(server);
    // The port may take a moment to close; an answer in between would be the good one.
    while tokio::net::TcpStream::connect(task_ended).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(tavily.search("q", 5).await.unwrap_err().code(), "SW-N373");
}

#[test]
fn the_environment_says_which_provider_is_used() {
    let chosen = |set: &[(&str, &str)]| {
        let env =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        search::from_env(&env).map(|provider| provider.map(|provider| provider.name()))
    };
    let all = [("TAVILY_API_KEY", "k"), ("BRAVE_API_KEY", "k"), ("SEARXNG_URL", "http://localhost:8888")];
    assert_eq!(chosen(&all).unwrap(), Some("Tavily"));
    assert_eq!(chosen(&all[1..]).unwrap(), Some("Brave"));
    assert_eq!(chosen(&all[2..]).unwrap(), Some("SearXNG"));
    assert_eq!(chosen(&[("TAVILY_API_KEY", " "), ("SEARXNG_URL", "")]).unwrap(), None);
    for wrong in ["localhost", "ftp://host", "http://user:pass@host", "http://"] {
        let error = chosen(&[("SEARXNG_URL", wrong)]).unwrap_err();
        assert_eq!(error.code(), "SW-N370");
        assert!(error.to_string().starts_with("SEARXNG_URL cannot be used: "), "{error}");
        assert!(!error.to_string().contains("pass@"), "{error}");
    }
    let error = chosen(&[("BRAVE_API_KEY", "canary\nbreak")]).unwrap_err();
    assert!(error.to_string().starts_with("BRAVE_API_KEY cannot be used: "), "{error}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn the_tool_lists_what_was_found() {
    let server = Server::start([("/search", Reply::json("200 OK", SEARXNG))]).await;
    let tool = search::tool(Arc::new(SearXng::new(&server.url("/")).unwrap()));
    assert_eq!(tool.side_effect(), SideEffect::External);
    let found = call_async(&tool, &json!({"query": "tower", "count": 2})).await.unwrap().content;
    assert_eq!(
        found,
        "1. Eiffel Tower\n   https://example.org/tower\n   Finished in 1889.\n\n2. Paris\n   https://example.org/paris"
    );
    let empty = Server::start([("/search", Reply::json("200 OK", r#"{"results": []}"#))]).await;
    let tool = search::tool(Arc::new(SearXng::new(&empty.url("/")).unwrap()));
    let found = call_async(&tool, &json!({"query": "tower"})).await.unwrap().content;
    assert!(found.starts_with("Nothing was found"), "{found}");
}
