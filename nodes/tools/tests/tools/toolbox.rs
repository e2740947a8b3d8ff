//! What a toolbox offers, what it refuses, and what it tells a model that asks for the wrong thing.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use statewright_nodes_ports::{SideEffect, Tool, ToolCall};
use statewright_nodes_tools::{NoArguments, ToolCx, Toolbox, ToolboxError, function};

use crate::common::{call_tool, with_schema};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// What to look for.
    query: String,
    /// How many results.
    #[serde(default)]
    #[schemars(range(min = 1, max = 20))]
    count: Option<u8>,
    #[serde(default)]
    sources: Vec<Source>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "what matters is that it can be read")]
enum Source {
    Site { domain: String },
    Since { year: u16 },
}

fn named(name: &str) -> Arc<dyn Tool> {
    function(name, "Answers.", SideEffect::Read, |_: NoArguments, _: ToolCx| async { "pong" }).shared()
}

fn search() -> Arc<dyn Tool> {
    function("web_search", "Searches.", SideEffect::External, |args: Search, cx: ToolCx| async move {
        format!("{} {:?} {} {}", args.query, args.count, args.sources.len(), cx.key)
    })
    .shared()
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: "1".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

#[test]
fn tools_keep_their_order_and_are_filtered_by_an_allow_list() {
    let toolbox = Toolbox::new([named("b"), search(), named("a")]).unwrap();
    assert_eq!(toolbox.names().collect::<Vec<_>>(), ["b", "web_search", "a"]);
    let specs = toolbox.specs();
    assert_eq!(specs[1].parameters["properties"]["query"]["description"], "What to look for.");
    assert_eq!(specs[1].parameters["required"], json!(["query"]));
    assert_eq!(specs[0].parameters["properties"], json!({}));

    let allowed = toolbox.allow(&["a", "b"]).unwrap();
    assert_eq!(allowed.names().collect::<Vec<_>>(), ["b", "a"]);
    assert!(toolbox.allow(&[]).unwrap().is_empty());
    let refused = toolbox.allow(&["a", "web_serch"]).unwrap_err();
    assert_eq!(refused.code(), "SW-N352");
    assert_eq!(
        refused.to_string(),
        "there is no tool `web_serch` to allow (did you mean `web_search`?); the tools are: b, web_search, a"
    );
}

#[test]
fn a_name_is_checked_and_taken_once() {
    let longest = "n".repeat(64);
    for name in ["a", "A_b-9", longest.as_str()] {
        assert!(Toolbox::new([named(name)]).is_ok(), "{name}");
    }
    for name in ["", "with space", "dot.ted", "ünicode", "new\nline", &"n".repeat(65)] {
        let refused = Toolbox::new([named(name)]).unwrap_err();
        assert_eq!(refused.code(), "SW-N350", "{name}");
        assert!(!refused.to_string().contains('\n'), "{refused}");
    }
    let refused = Toolbox::new([named("a"), named("b"), named("a")]).unwrap_err();
    assert_eq!(refused, ToolboxError::Duplicate { name: "a".to_owned() });
    assert_eq!(refused.code(), "SW-N351");
}

#[test]
fn an_unknown_tool_is_answered_with_what_there_is() {
    let toolbox = Toolbox::new([named("read_file"), search()]).unwrap();
    let found = toolbox.find("web_search").unwrap();
    assert_eq!(found.spec().name, "web_search");
    for (asked, hint) in [
        ("websearch", " (did you mean `web_search`?)"),
        ("Read_File", " (did you mean `read_file`?)"),
        ("", ""),
        ("zzz", ""),
    ] {
        let Err(error) = toolbox.find(asked) else { panic!("{asked}") };
        assert_eq!(error.code, "SW-N352");
        let wanted = format!("there is no tool `{asked}`{hint}; the tools are: read_file, web_search");
        assert_eq!(error.message, wanted);
        assert_eq!(toolbox.check(&call(asked, "{}")).unwrap_err(), error);
    }
    let Err(error) = toolbox.find(&"x".repeat(1_000_000)) else { panic!("found") };
    assert!(error.message.len() < 300, "{}", error.message.len());
    let Err(error) = Toolbox::default().find("a") else { panic!("found") };
    assert!(error.message.ends_with("the tools are: none"), "{error}");
}

#[test]
fn arguments_that_miss_the_schema_are_told_where_what_and_what_instead() {
    let toolbox = Toolbox::new([search(), named("ping")]).unwrap();
    for (arguments, words) in [
        ("{}", "`query`: expected a string, found nothing"),
        (r#"{"query": 5}"#, "`query`: expected a string, found 5"),
        (r#"{"query": "q", "count": 21}"#, "`count`: expected a number ≤ 20, found 21"),
        (r#"{"query": "q", "count": 2.5}"#, "`count`: expected an integer or null, found 2.5"),
        (
            r#"{"query": "q", "limit": 3}"#,
            "`limit`: expected no such field (there are: count, query, sources), found 3",
        ),
        (
            r#"{"query": "q", "sources": [{"kind": "site", "domain": "a.b"}, {"kind": "since", "year": "new"}]}"#,
            "`sources[1].year`: expected an integer, found \"new\"",
        ),
        (
            r#"{"query": "q", "sources": [{"kind": "since", "year": 70000}]}"#,
            "`sources[0].year`: expected a number ≤ 65535, found 70000",
        ),
    ] {
        let error = toolbox.check(&call("web_search", arguments)).unwrap_err();
        assert_eq!(error.code, "SW-N354", "{arguments}");
        assert!(error.message.contains(words), "{arguments}: {error}");
    }
    let long = format!(r#"{{"query": {}}}"#, json!({"a": "x".repeat(100_000)}));
    let error = toolbox.check(&call("web_search", &long)).unwrap_err();
    assert!(error.message.len() < 400, "{}", error.message.len());
}

#[test]
fn arguments_that_are_no_object_are_refused_and_none_at_all_are_fine() {
    let toolbox = Toolbox::new([named("ping")]).unwrap();
    for arguments in ["", "  ", "{}", "null"] {
        assert_eq!(toolbox.check(&call("ping", arguments)).unwrap(), json!({}), "{arguments:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for arguments in ["[1]", "5", "\"{}\"", "{", "{} {}", "{'a': 1}", deep.as_str()] {
        let error = toolbox.check(&call("ping", arguments)).unwrap_err();
        assert_eq!(error.code, "SW-N353");
        assert!(error.message.starts_with("the arguments of `ping` are not a JSON object: "), "{error}");
        assert!(error.message.len() < 300, "{}", error.message.len());
    }
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_when_the_toolbox_is_made() {
    #[derive(Deserialize, JsonSchema)]
    struct NotAnObject(#[expect(dead_code, reason = "only its schema matters")] String);
    let tool = function("t", "d", SideEffect::Read, |_: NotAnObject, _: ToolCx| async { "" }).shared();
    let refused = Toolbox::new([tool]).unwrap_err();
    assert_eq!(refused.code(), "SW-N355");
    assert!(refused.to_string().contains("wrap them in a struct"), "{refused}");

    let dangling = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}});
    let refused = Toolbox::new([with_schema("t", dangling)]).unwrap_err();
    assert!(refused.to_string().contains("`#/$defs/gone` leads nowhere"), "{refused}");
}

#[test]
fn a_typed_function_is_called_with_its_arguments_and_its_key() {
    let arguments = json!({"query": "q", "count": 3, "sources": [{"kind": "since", "year": 2020}]});
    let output = call_tool(&*search(), &arguments).unwrap();
    assert_eq!(output.content, "q Some(3) 1 key-1");
}

#[test]
fn an_error_of_a_function_is_told_to_the_model() {
    let tool = |result: fn() -> Result<&'static str, std::num::ParseIntError>| {
        function("t", "d", SideEffect::Read, move |_: NoArguments, _: ToolCx| async move { result() })
    };
    assert_eq!(call_tool(&tool(|| Ok("fine")), &json!({})).unwrap().content, "fine");
    let error = call_tool(&tool(|| "x".parse::<i32>().map(|_| "")), &json!({})).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        ("SW-N356", "the tool failed: invalid digit found in string")
    );

    let refused = statewright_nodes_ports::ToolError { code: "SW-N301", message: "empty".to_owned() };
    let same = refused.clone();
    let tool = function("t", "d", SideEffect::Read, move |_: NoArguments, _: ToolCx| {
        let refused = refused.clone();
        async move { Err::<Value, _>(refused) }
    });
    assert_eq!(call_tool(&tool, &json!({})).unwrap_err(), same);
}
