//! The pages of `docs/errors` show what the tools really say.

use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use statewright_nodes_ports::{BoxFuture, HostError, NodeHost, SideEffect, ToolCall, ToolError};
use statewright_nodes_tools::fetch::{self, FetchOptions, Lookup};
use statewright_nodes_tools::search::{self, Brave, SearXng, SearchProvider, Tavily};
use statewright_nodes_tools::workspace::Workspace;
use statewright_nodes_tools::{Alone, Function, NoArguments, ToolCx, Toolbox, calculator, function};

use crate::common::call_async;
use crate::server::{Reply, Server};

/// The page of a code shows these words as what the program says.
#[track_caller]
fn assert_shown(code: &str, words: &dyn Display) {
    let path = format!("{}/../../docs/errors/{code}.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains(&format!("\nerror[{code}]: {words}\n")), "{code}: {words}");
}

#[track_caller]
fn assert_told(code: &str, error: &ToolError) {
    assert_eq!(error.code, code, "{error}");
    assert_shown(code, error);
}

fn named(name: &str) -> Function {
    function(name, "", SideEffect::Read, |_: NoArguments, _: ToolCx| async { "" })
}

#[test]
fn pages_about_toolboxes_show_what_is_said() {
    #[derive(Deserialize, JsonSchema)]
    struct Length(#[expect(dead_code, reason = "only its schema matters")] String);

    #[derive(Deserialize, JsonSchema)]
    struct Search {
        #[expect(dead_code, reason = "only its schema matters")]
        #[schemars(range(max = 20))]
        count: u8,
    }
    let length = function("length", "", SideEffect::Read, |_: Length, _: ToolCx| async { "" });
    for (code, tools) in [
        ("SW-N350", vec![named("web search")]),
        ("SW-N351", vec![named("read_file"), named("read_file")]),
        ("SW-N355", vec![length]),
    ] {
        let error = Toolbox::new(tools.into_iter().map(Function::shared)).unwrap_err();
        assert_eq!(error.code(), code);
        assert_shown(code, &error);
    }
    let web_search = function("web_search", "", SideEffect::Read, |_: Search, _: ToolCx| async { "" });
    let toolbox = Toolbox::new([named("read_file").shared(), web_search.shared()]).unwrap();
    let Err(unknown) = toolbox.find("websearch") else { panic!("found") };
    assert_told("SW-N352", &unknown);
    let toolbox = toolbox.with(calculator::tool().shared()).unwrap();
    let call = |name: &str, arguments: &str| {
        let call = ToolCall { id: String::new(), name: name.to_owned(), arguments: arguments.to_owned() };
        toolbox.check(&call).unwrap_err()
    };
    assert_told("SW-N353", &call("calculator", "{"));
    assert_told("SW-N354", &call("web_search", r#"{"count": 21}"#));
}

#[tokio::test]
async fn pages_about_calls_show_what_is_said() {
    let failing = function("t", "", SideEffect::Read, |_: NoArguments, _: ToolCx| async {
        "x".parse::<i32>().map(|_| "")
    });
    assert_told("SW-N356", &call_async(&failing, &json!({})).await.unwrap_err());
    let HostError { code, message, .. } = Alone.ask("approve", json!(null)).await.unwrap_err();
    assert_eq!(code, "SW-N357");
    assert_shown("SW-N357", &message);

    let folder = tempfile::tempdir().unwrap();
    let huge = std::fs::File::create(folder.path().join("dump.json")).unwrap();
    huge.set_len(104_857_600).unwrap();
    let read = Workspace::open(folder.path()).unwrap().read_file();
    for (code, path) in [("SW-N361", "../secret.txt"), ("SW-N362", "plan.md"), ("SW-N363", "dump.json")] {
        assert_told(code, &call_async(&read, &json!({ "path": path })).await.unwrap_err());
    }
    let missing = Workspace::open(Path::new("./no-such-folder")).unwrap_err();
    assert!(
        missing.to_string().starts_with("the workspace `./no-such-folder` cannot be opened: "),
        "{missing}"
    );
}

#[tokio::test]
async fn pages_about_searches_show_what_is_said() {
    let env = |name: &str| (name == "SEARXNG_URL").then(|| "localhost".to_owned());
    let Err(error) = search::from_env(&env) else { panic!("chosen") };
    assert_shown("SW-N370", &error);
    let unauthorised = r#"{"detail":{"error":"Unauthorized: missing or invalid API key."}}"#;
    let limited = r#"{"error":{"code":"RATE_LIMITED"}}"#;
    let server = Server::start([
        ("/401", Reply::json("401 Unauthorized", unauthorised)),
        ("/429", Reply::new("429 Too Many Requests", "x-ratelimit-reset: 2, 99\r\n", limited)),
        ("/down/search", Reply::new("500 Oops", "", "down")),
        ("/portal/search", Reply::html("<html><body>Sign in</body></html>")),
    ])
    .await;
    let providers: [(&str, Box<dyn SearchProvider>); 4] = [
        ("SW-N371", Box::new(Tavily::at(&server.url("/401"), "k1889".into()).unwrap())),
        ("SW-N372", Box::new(Brave::at(&server.url("/429"), "k1889".into()).unwrap())),
        ("SW-N373", Box::new(SearXng::new(&server.url("/down")).unwrap())),
        ("SW-N374", Box::new(SearXng::new(&server.url("/portal")).unwrap())),
    ];
    for (code, provider) in providers {
        let error = provider.search("q", 1).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert_shown(code, &error);
    }
}

struct Metadata;

impl Lookup for Metadata {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(vec!["169.254.169.254".parse().unwrap()]) })
    }
}

#[tokio::test]
async fn pages_about_web_pages_show_what_is_said() {
    let tool = fetch::tool(FetchOptions { lookup: Arc::new(Metadata), ..FetchOptions::default() });
    for (code, url) in [("SW-N380", "file:///etc/passwd"), ("SW-N381", "http://metadata.internal/")] {
        assert_told(code, &call_async(&tool, &json!({ "url": url })).await.unwrap_err());
    }
}
