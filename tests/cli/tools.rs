//! What `tools list` says of tools that are configured, and of those that are not.

use serde_json::Value;

use crate::support::Home;

/// The entry of a tool.
fn tool<'a>(listed: &'a Value, name: &str) -> &'a Value {
    listed["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name).unwrap()
}

#[test]
fn tools_are_listed_with_their_side_effects_and_why_they_are_absent() {
    let home = Home::new();
    let listed = home.json(0, &["tools", "list"]);
    let told: Vec<(&str, &str, bool)> = listed["tools"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        told,
        [
            ("calculator", "read", true),
            ("docs_search", "read", false),
            ("web_search", "external", false),
            ("fetch_url", "external", true),
            ("storage_metrics", "read", true),
            ("read_file", "read", false),
            ("list_files", "read", false),
            ("write_file", "write", false),
            ("delete_file", "write", false),
        ]
    );
    assert_eq!(tool(&listed, "web_search")["detail"], "set TAVILY_API_KEY, BRAVE_API_KEY or SEARXNG_URL");

    home.write("docs/a.md", "# A\n\nText.\n");
    let listed = home.json(0, &["tools", "list"]);
    assert_eq!(tool(&listed, "docs_search")["configured"], true);

    let wrong = Home::new().env("SEARXNG_URL", "localhost").json(0, &["tools", "list"]);
    assert_eq!(tool(&wrong, "web_search")["code"], "SW-N370", "{wrong}");
    let right = Home::new().env("TAVILY_API_KEY", "tvly-canary").json(0, &["tools", "list"]);
    assert_eq!(tool(&right, "web_search")["detail"], "by Tavily");
    assert!(!right.to_string().contains("canary"), "{right}");

    let done = home.run(&["tools", "list", "--docs", "no-such-folder"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("[SW-N310]") && done.stdout.contains("SEARXNG_URL"), "{done:?}");
}

fn told(tool: &Value) -> (&str, &str, bool) {
    let text = |field: &str| tool[field].as_str().unwrap();
    (text("name"), text("side_effect"), tool["configured"].as_bool().unwrap())
}
