//! What graphs that are data can do: the same as others.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use statewright_engine_runtime::*;

fn built(document: &Value, code: &NodeRegistry) -> Graph<DynState> {
    GraphDocument::read(document).unwrap().build(code).unwrap()
}

/// Writes its own name, or fails if the state says so.
fn code() -> NodeRegistry {
    NodeRegistry::new().func("trace", async |ctx: Ctx<DynState, Value>| {
        let fails: Vec<String> = ctx.state.read("fails")?;
        if fails.iter().any(|node| node == ctx.node()) && ctx.attempt() < 3 {
            return Err(NodeError::transient("not yet").with_code("MY-1"));
        }
        let line =
            if ctx.input.is_null() { ctx.node().to_owned() } else { format!("{} {}", ctx.node(), ctx.input) };
        Ok(DynUpdate::new().set("trace", json!([line])))
    })
}

/// A document over the fields that `code` knows.
fn document(nodes: Value, rest: Value) -> Value {
    let (Value::Array(mut nodes), Value::Object(rest)) = (nodes, rest) else { panic!("nodes and more") };
    for node in &mut nodes {
        node["run"] = json!("trace");
    }
    let mut document = json!({
        "name": "test", "nodes": nodes, "start": "first",
        "state": { "fields": [
            { "name": "trace", "reducer": "append" }, { "name": "fails", "type": "list" },
            { "name": "items", "type": "list" }, { "name": "word" },
        ] },
    });
    document.as_object_mut().unwrap().extend(rest);
    document
}

async fn trace(graph: &Graph<DynState>, input: DynUpdate) -> String {
    let report = graph.runner().start("t", input).await.unwrap();
    let lines: Vec<String> = report.state.read("trace").unwrap();
    match report.outcome {
        Outcome::Finished => lines.join(", "),
        _ => format!("{}; {}", lines.join(", "), report.describe()),
    }
}

#[tokio::test]
async fn a_branch_takes_the_first_case_that_fits_or_the_other_way() {
    let cases = json!([
        { "equals": "left", "to": "left" }, { "equals": 1, "to": ["left", "right"] }, { "equals": null, "to": "END" },
    ]);
    let graph = built(
        &document(
            json!([{ "name": "first" }, { "name": "left" }, { "name": "right" }]),
            json!({
                "branches": [{ "after": "first", "field": "word", "cases": cases, "otherwise": "right" }],
                "edges": [{ "from": "left", "to": "END" }, { "from": "right", "to": "END" }],
            }),
        ),
        &code(),
    );
    for (word, expected) in [
        (json!("left"), "first, left"),
        (json!(1.0), "first, left, right"),
        (json!(null), "first"),
        (json!({ "a": 1 }), "first, right"),
    ] {
        assert_eq!(trace(&graph, DynUpdate::new().set("word", word.clone())).await, expected, "{word}");
    }
}

#[tokio::test]
async fn a_fan_out_runs_once_for_each_item_and_goes_on_behind_none() {
    let graph = built(
        &document(
            json!([{ "name": "first" }, { "name": "item" }, { "name": "last" }]),
            json!({
                "maps": [{ "after": "first", "over": "items", "to": "item" }],
                "edges": [{ "from": "item", "to": "last" }, { "from": "last", "to": "END" }],
            }),
        ),
        &code(),
    );
    let items = |items: Value| DynUpdate::new().set("items", items);
    assert_eq!(trace(&graph, items(json!([2, "x", null]))).await, "first, item 2, item \"x\", item, last");
    assert_eq!(trace(&graph, items(json!([]))).await, "first, last");
}

#[tokio::test]
async fn joins_wait_for_all_or_for_a_quorum_and_not_for_what_was_left_out() {
    let nodes = json!([{ "name": "first" }, { "name": "a" }, { "name": "b" }, { "name": "last" }]);
    let rest = |sources: Value, quorum: Value| {
        let case = json!({ "equals": "b", "to": "b" });
        json!({
            "edges": [{ "from": "first", "to": "a" }, { "from": "last", "to": "END" }],
            "branches": [{ "after": "first", "field": "word", "cases": [case], "otherwise": "END" }],
            "joins": [{ "sources": sources, "target": "last", "quorum": quorum }],
        })
    };
    let optional = json!(["a", { "node": "b", "optional": true }]);
    let graph = built(&document(nodes, rest(optional, json!(null))), &code());
    assert_eq!(trace(&graph, DynUpdate::new()).await, "first, a, last");
    assert_eq!(trace(&graph, DynUpdate::new().set("word", "b")).await, "first, a, b, last");
}

#[tokio::test]
async fn attempts_and_error_handlers_are_declared_and_a_handler_is_told_what_happened() {
    let graph = built(
        &document(
            json!([{ "name": "first", "attempts": 2, "on_error": "mend" }, { "name": "mend" }]),
            json!({ "edges": [{ "from": "first", "to": "END" }, { "from": "mend", "to": "END" }] }),
        ),
        &code(),
    );
    tokio::time::pause();
    let done = trace(&graph, DynUpdate::new().set("fails", json!(["first"]))).await;
    assert!(done.starts_with("mend {") && done.contains("MY-1") && done.contains("not yet"), "{done}");
    let loops = built(
        &document(
            json!([{ "name": "first" }]),
            json!({
                "branches": [{ "after": "first", "field": "word", "cases": [
                    { "equals": "again", "to": "first", "at_most": 2 },
                ], "otherwise": "END" }],
            }),
        ),
        &code(),
    );
    let done = trace(&loops, DynUpdate::new().set("word", "again")).await;
    assert!(
        done.starts_with("first, first, first; the bound of the edge first -again→ first is used up"),
        "{done}"
    );
}

#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
struct Outer {
    #[reduce(append)]
    lines: Vec<String>,
}

#[tokio::test]
async fn a_graph_that_is_data_is_a_node_of_one_that_is_not_and_a_crash_inside_repeats_nothing() {
    let inner = built(
        &document(
            json!([{ "name": "first" }, { "name": "second" }]),
            json!({
                "edges": [{ "from": "first", "to": "second" }, { "from": "second", "to": "END" }],
            }),
        ),
        &code(),
    );
    let mut g = StateGraph::<Outer>::new("outer");
    let enter = |outer: &Outer, (): ()| DynUpdate::new().set("trace", json!(outer.lines));
    let leave = |inner: &DynState| {
        Outer::update().extend_lines(inner.read::<Vec<String>>("trace").unwrap_or_default())
    };
    let held = g.subgraph("held", &inner, enter, leave);
    g.start(held);
    g.end(held);
    let graph = g.build().unwrap();
    let store = MemoryCheckpointer::new();
    let input = Outer::update().lines("in");
    let whole =
        graph.runner().checkpointer(store.clone()).start("t", input).await.unwrap().finished().unwrap();
    assert_eq!(whole.lines, ["in", "in", "first", "second"]);
    let entries = store.all(&ThreadId::new("t"));
    for cut in 1..entries.len() {
        let store = MemoryCheckpointer::new();
        let mut journal = store.open(&ThreadId::new("t"), Durability::Power).await.unwrap();
        for entry in &entries[..cut] {
            journal.append(entry.clone()).await.unwrap();
        }
        drop(journal);
        let resumed = graph.runner().checkpointer(store).resume("t").await;
        match resumed {
            Ok(report) => assert_eq!(report.finished().unwrap().lines, whole.lines, "cut at {cut}"),
            // The last entry but one may already say that the run is over.
            Err(error) => assert!(cut + 1 == entries.len(), "cut at {cut}: {error}"),
        }
    }
}

#[tokio::test]
async fn results_of_a_node_in_the_state_s_fields_are_diffed_and_shown_by_name() {
    let graph = built(
        &document(json!([{ "name": "first" }]), json!({ "edges": [{ "from": "first", "to": "END" }] })),
        &code(),
    );
    let state = graph.run(DynUpdate::new().set("word", "w")).await.unwrap();
    let expected = json!({ "trace": ["first"], "fails": [], "items": [], "word": "w" });
    assert_eq!(state_as_json(&*state), expected);
    assert_eq!(
        format!("{state:?}"),
        r#"{"trace": Array [String("first")], "fails": Array [], "items": Array [], "word": String("w")}"#
    );
}

#[tokio::test]
async fn a_graph_that_is_built_over_fields_it_does_not_have_fails_and_says_which() {
    let mut g = StateGraph::<DynState>::new("bare");
    let write = g.func("write", async |_: Ctx<DynState>| Ok(DynUpdate::new().set("word", 1)));
    g.start(write);
    g.end(write);
    let report = g.build().unwrap().runner().start("t", DynUpdate::new()).await.unwrap();
    assert!(report.describe().contains("has no field `word`"), "{}", report.describe());
    assert!(report.describe().contains("SW-X224"), "{}", report.describe());
}
