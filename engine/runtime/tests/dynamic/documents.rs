//! What is wrong with a document: all of it at once, with the code and the place of each.

use serde_json::{Value, json};
use statewright_engine_runtime::*;

fn code() -> NodeRegistry {
    let nothing = async |_: Ctx<DynState, Value>| Ok(DynUpdate::new());
    ["a", "b", "c", "d"].into_iter().fold(NodeRegistry::new(), |code, name| code.func(name, nothing))
}

/// The places and codes of all problems, in order.
#[track_caller]
fn found(document: &Value) -> Vec<(String, &'static str)> {
    let problems = match GraphDocument::read(document) {
        Ok(document) => document.build(&code()).unwrap_err(),
        Err(problems) => problems,
    };
    problems.iter().map(|problem| (problem.place.clone(), problem.code)).collect()
}

#[track_caller]
fn check(document: &Value, expected: &[(&str, &str)]) {
    let found = found(document);
    let found: Vec<(&str, &str)> = found.iter().map(|(place, code)| (place.as_str(), *code)).collect();
    assert_eq!(found, expected, "{document:#}");
}

/// `a → b → END`, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut document = json!({
        "name": "small",
        "state": { "fields": [{ "name": "word", "type": "text" }, { "name": "items", "type": "list" }] },
        "nodes": [{ "name": "a" }, { "name": "b" }],
        "start": "a",
        "edges": [{ "from": "a", "to": "b" }, { "from": "b", "to": "END" }],
    });
    change(&mut document);
    document
}

fn push(list: &mut Value, item: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(item);
}

#[test]
fn a_sound_document_becomes_a_graph_and_comes_back_as_it_was() {
    let value = changed(|_| {});
    let document = GraphDocument::read(&value).unwrap();
    let graph = document.build(&code()).unwrap();
    assert_eq!(graph.name(), "small");
    assert_eq!(graph.plan().schema.name, "small", "the state has the graph's name");
    let back = serde_json::to_value(&document).unwrap();
    assert_eq!(GraphDocument::read(&back).unwrap(), document);
    let again = document.build(&code()).unwrap();
    assert_eq!(again.plan().fingerprint, graph.plan().fingerprint);
    assert!(std::ptr::eq(again.plan().schema, graph.plan().schema), "what was loaded before is kept once");
}

#[test]
fn what_is_no_document_is_said_part_by_part() {
    check(&json!([]), &[("", "SW-G136")]);
    check(&json!({}), &[("", "SW-G136"); 4]);
    let document = changed(|document| {
        document["nodes"][1]["colour"] = json!("red");
        document["edges"][0]["at_most"] = json!(-1);
        document["state"]["fields"][0]["type"] = json!("word");
        document["state"]["color"] = json!(1);
        document["egdes"] = json!([]);
        document["joins"] = json!("all");
        document["name"] = json!(7);
    });
    check(
        &document,
        &[
            ("", "SW-G136"),
            ("name", "SW-G136"),
            ("state", "SW-G136"),
            ("state.fields[0]", "SW-G136"),
            ("nodes[1]", "SW-G136"),
            ("edges[0]", "SW-G136"),
            ("joins", "SW-G136"),
        ],
    );
    let problems = GraphDocument::read(&document).unwrap_err().to_string();
    assert!(problems.contains("a graph has no `egdes`; did you mean `edges`?"), "{problems}");
    assert!(problems.contains("nodes[1]: unknown field `colour`"), "{problems}");
}

#[test]
fn names_that_are_not_there_are_said_with_the_one_that_was_meant() {
    let document = changed(|document| {
        document["edges"][0]["to"] = json!(["b", "bb"]);
        document["edges"][1]["from"] = json!("x");
        document["nodes"][1]["run"] = json!("print");
        document["start"] = json!("nowhere");
        push(
            &mut document["branches"],
            json!({ "after": "a", "field": "wrod", "cases": [], "otherwise": "END" }),
        );
        push(&mut document["maps"], json!({ "after": "a", "over": "word", "to": "b" }));
        push(&mut document["joins"], json!({ "sources": ["a", "q"], "target": "z" }));
    });
    check(
        &document,
        &[
            ("nodes[1].run", "SW-G133"),
            ("start", "SW-G132"),
            ("edges[0].to[1]", "SW-G132"),
            ("edges[1].from", "SW-G132"),
            ("branches[0].field", "SW-G134"),
            ("branches[0].cases", "SW-G137"),
            ("maps[0].over", "SW-G138"),
            ("joins[0].target", "SW-G132"),
            ("joins[0].sources[1]", "SW-G132"),
        ],
    );
    let problems = GraphDocument::read(&document).unwrap().build(&code()).unwrap_err();
    assert_eq!(problems.code(), "SW-G133");
    let words = problems.to_string();
    assert!(
        words.starts_with("the document of the graph `small` has 9 problems\n  SW-G133 nodes[1].run: "),
        "{words}"
    );
    assert!(
        words.contains("branches[0].field: the state has no field `wrod`; did you mean `word`?"),
        "{words}"
    );
}

#[test]
fn fields_that_cannot_be_are_said_each() {
    let document = changed(|document| {
        document["state"]["version"] = json!(0);
        document["state"]["fields"] = json!([
            { "name": "a", "reducer": "apend" },
            { "name": "a", "reducer": "upsert" },
            { "name": "b:c" },
            { "name": "", "reducer": "sum", "type": "text" },
            { "name": "d", "key": "id" },
            { "name": "e", "type": "integer", "default": 1.5 },
            { "name": "f", "reducer": "append", "default": [1] },
            { "name": "x".repeat(300) },
        ]);
    });
    check(
        &document,
        &[
            ("state.version", "SW-G135"),
            ("state.fields[0].reducer", "SW-G135"),
            ("state.fields[1].name", "SW-G135"),
            ("state.fields[1].key", "SW-G135"),
            ("state.fields[2].name", "SW-G135"),
            ("state.fields[3].name", "SW-G135"),
            ("state.fields[3].type", "SW-G135"),
            ("state.fields[4].key", "SW-G135"),
            ("state.fields[5].default", "SW-G135"),
            ("state.fields[6].default", "SW-G135"),
            ("state.fields[7].name", "SW-G135"),
        ],
    );
}

#[test]
fn all_checks_of_a_graph_apply_with_their_codes_and_places() {
    check(&changed(|document| document["start"] = json!([])), &[("start", "SW-G136")]);
    check(
        &changed(|document| push(&mut document["nodes"], json!({ "name": "c" }))),
        &[("nodes[2]", "SW-G104")],
    );
    check(
        &changed(|document| document["nodes"][1]["name"] = json!("START")),
        &[
            ("nodes[1].name", "SW-G133"),
            ("edges[0].to", "SW-G132"),
            ("edges[1].from", "SW-G132"),
            ("nodes[1].name", "SW-G103"),
        ],
    );
    check(
        &changed(|document| push(&mut document["nodes"], json!({ "name": "b" }))),
        &[("nodes[2].name", "SW-G102")],
    );
    let looped = |at_most: Value| {
        changed(|document| {
            document["edges"][1] = json!({ "from": "b", "to": "END" });
            let back = json!({
                "after": "b", "field": "word", "cases": [{ "equals": "again", "to": "a", "at_most": at_most }],
                "otherwise": "END",
            });
            document["edges"].as_array_mut().unwrap().pop();
            push(&mut document["branches"], back);
        })
    };
    check(&looped(json!(null)), &[("branches[0].cases[0].to", "SW-G108")]);
    check(&looped(json!(0)), &[("branches[0].cases[0].at_most", "SW-G109")]);
    GraphDocument::read(&looped(json!(2))).unwrap().build(&code()).unwrap();
    let diamond = |more: &dyn Fn(&mut Value)| {
        changed(|document| {
            document["nodes"] = json!([{ "name": "a" }, { "name": "b" }, { "name": "c" }, { "name": "d" }]);
            document["edges"] = json!([
                { "from": "a", "to": ["b", "c"] },
                { "from": "d", "to": "END" },
            ]);
            more(document);
        })
    };
    let edges = |document: &mut Value| {
        for from in ["b", "c"] {
            push(&mut document["edges"], json!({ "from": from, "to": "d" }));
        }
    };
    let join =
        |document: &mut Value| push(&mut document["joins"], json!({ "sources": ["b", "c"], "target": "d" }));
    GraphDocument::read(&diamond(&join)).unwrap().build(&code()).unwrap();
    check(
        &diamond(&|document| {
            join(document);
            document["joins"][0]["quorum"] = json!(3);
            document["nodes"][1]["writes"] = json!(["word", "wrod"]);
            document["nodes"][2]["writes"] = json!(["word"]);
            document["nodes"][3]["attempts"] = json!(0);
        }),
        &[
            ("nodes[3].attempts", "SW-G120"),
            ("joins[0].quorum", "SW-G116"),
            ("nodes[1].writes", "SW-G115"),
            ("nodes[2].writes", "SW-G114"),
        ],
    );
    check(
        &diamond(&|document| {
            join(document);
            document["nodes"][3]["deferred"] = json!(true);
        }),
        &[("nodes[3].deferred", "SW-G117")],
    );
    check(
        &diamond(&|document| {
            edges(document);
            push(&mut document["joins"], json!({ "sources": ["b", "b"], "target": "c" }));
        }),
        &[("joins[0].sources", "SW-G112"), ("nodes[2]", "SW-G110"), ("nodes[3]", "SW-G110")],
    );
    check(
        &diamond(&|document| {
            document["edges"][0]["to"] = json!("b");
            let case = json!({ "equals": "c", "to": "c" });
            push(
                &mut document["branches"],
                json!({ "after": "a", "field": "word", "cases": [case], "otherwise": "END" }),
            );
            join(document);
        }),
        &[("joins[0].sources[1]", "SW-G111")],
    );
}

#[test]
fn ways_that_contradict_each_other_are_said() {
    let document = changed(|document| {
        document["nodes"][0]["routes"] = json!([
            { "name": "on", "to": "b" }, { "name": "on", "to": "b" }, { "name": "", "to": [] },
        ]);
        let cases = json!([
            { "equals": 1, "to": "END" }, { "equals": 1.0, "to": "END" }, { "equals": "1", "to": "END" },
        ]);
        push(
            &mut document["branches"],
            json!({ "after": "b", "field": "word", "cases": cases, "otherwise": "END" }),
        );
        push(&mut document["joins"], json!({ "sources": ["a", "b"], "target": "b" }));
    });
    let found = found(&document);
    for expected in [
        ("nodes[0].routes[1].name", "SW-G137"),
        ("nodes[0].routes[2].name", "SW-G136"),
        ("nodes[0].routes[2].to", "SW-G136"),
        ("edges[0].from", "SW-G137"),
        ("branches[0].cases[1].equals", "SW-G137"),
        ("branches[0].cases[2].name", "SW-G137"),
        ("joins[0].sources[0]", "SW-G137"),
    ] {
        assert!(found.contains(&(expected.0.to_owned(), expected.1)), "{expected:?} in {found:?}");
    }
}

#[test]
fn what_is_too_large_is_refused_at_once() {
    let nodes: Vec<Value> = (0..1_001).map(|number| json!({ "name": format!("n{number}") })).collect();
    let many: Vec<&str> = vec!["b"; 10_001];
    check(&changed(|document| document["nodes"] = json!(nodes)), &[("nodes", "SW-G136")]);
    check(&changed(|document| document["edges"][0]["to"] = json!(many)), &[("edges", "SW-G136")]);
    let fields: Vec<Value> = (0..501).map(|number| json!({ "name": format!("f{number}") })).collect();
    check(&changed(|document| document["state"]["fields"] = json!(fields)), &[("state.fields", "SW-G136")]);
}
