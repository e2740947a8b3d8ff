//! What nodes write to a state that is data: folded as by typed fields, and refused with a code where it does not fit.

use serde_json::{Value, json};
use statewright_engine_runtime::*;

/// A graph of one node over these fields, which writes its input's `update`.
fn graph(fields: &Value) -> Graph<DynState> {
    let document = json!({
        "name": "one", "state": { "fields": fields }, "nodes": [{ "name": "write" }], "start": "write",
        "edges": [{ "from": "write", "to": "END" }],
    });
    let code = NodeRegistry::new().func("write", async |ctx: Ctx<DynState, Value>| {
        let Value::Object(update) = ctx.state.read("todo")? else { return Ok(DynUpdate::new()) };
        Ok(DynUpdate::from(update))
    });
    GraphDocument::read(&document).unwrap().build(&code).unwrap()
}

fn fields() -> Value {
    json!([
        { "name": "todo" },
        { "name": "any" },
        { "name": "text", "type": "text" },
        { "name": "flag", "type": "boolean" },
        { "name": "list", "reducer": "append" },
        { "name": "words", "reducer": "append", "type": "text" },
        { "name": "set", "reducer": "union" },
        { "name": "rows", "reducer": "upsert", "key": "id" },
        { "name": "sum", "reducer": "sum" },
        { "name": "count", "reducer": "sum", "type": "integer" },
        { "name": "min", "reducer": "min" },
        { "name": "max", "reducer": "max", "type": "text" },
        { "name": "object", "type": "object", "default": { "a": 1 } },
        { "name": "scratch", "type": "list", "ephemeral": true },
    ])
}

#[tokio::test]
async fn every_reducer_folds_as_a_typed_field_does() {
    let graph = graph(&fields());
    let before = json!({
        "list": [1], "words": "a", "set": ["b", "a", "b"], "rows": [{ "id": 1, "n": 1 }, { "id": 2 }], "sum": 1,
        "count": 2, "min": 5, "max": "m", "scratch": [1],
    });
    let cases = [
        ("any", json!(null), json!(null)),
        ("any", json!([1, { "a": [] }]), json!([1, { "a": [] }])),
        ("text", json!("t"), json!("t")),
        ("flag", json!(true), json!(true)),
        ("list", json!([2, [3]]), json!([1, 2, [3]])),
        ("list", json!([]), json!([1])),
        ("list:overwrite", json!([9]), json!([9])),
        ("words", json!("b"), json!("ab")),
        ("words:overwrite", json!(""), json!("")),
        ("set", json!(["c", "a", 1, 1.0, 1]), json!([1, 1.0, "a", "b", "c"])),
        ("set:overwrite", json!(["z", "y"]), json!(["y", "z"])),
        (
            "rows",
            json!([{ "id": 3 }, { "id": 1, "n": 2 }]),
            json!([{ "id": 1, "n": 2 }, { "id": 2 }, { "id": 3 }]),
        ),
        ("sum", json!(0.5), json!(1.5)),
        ("sum", json!(-3), json!(-2)),
        ("count", json!(-3), json!(-1)),
        ("min", json!(7), json!(5)),
        ("min", json!(4.5), json!(4.5)),
        ("min", json!(null), json!(5)),
        ("max", json!("n"), json!("n")),
        ("max", json!("a"), json!("m")),
        ("object", json!({ "b": 2 }), json!({ "b": 2 })),
        ("scratch", json!([2]), json!([2])),
    ];
    for (name, write, expected) in cases {
        let Value::Object(input) = before.clone() else { panic!("an object") };
        let input = DynUpdate::from(input).set("todo", json!({ name: write }));
        let state = graph.run(input).await.unwrap();
        let field = name.trim_end_matches(":overwrite");
        assert_eq!(state.get(field), Some(&expected), "{name} {write}");
    }
    let state = graph.run(DynUpdate::new()).await.unwrap();
    let empty = json!({
        "todo": null, "any": null, "text": "", "flag": false, "list": [], "words": "", "set": [], "rows": [], "sum": 0,
        "count": 0, "min": null, "max": null, "object": { "a": 1 }, "scratch": [],
    });
    assert_eq!(serde_json::to_value(&*state).unwrap(), empty);
}

#[tokio::test]
async fn an_update_that_does_not_fit_fails_its_node_and_names_the_field() {
    let graph = graph(&fields());
    let deep = (0..65).fold(json!(1), |inner, _| json!([inner]));
    let cases = [
        (json!({ "lists": [1] }), "SW-X287", "the state `one` has no field `lists`; did you mean `list`?"),
        (json!({ "text:overwrite": "t" }), "SW-X287", "the state `one` has no field `text:overwrite`"),
        (json!({ "": 1 }), "SW-X287", "the state `one` has no field ``"),
        (
            json!({ "text": 1 }),
            "SW-X288",
            "the field `one.text`, which is `replace`, takes a text, and this is an integer",
        ),
        (json!({ "text": null }), "SW-X288", "takes a text, and this is null"),
        (
            json!({ "list": 1 }),
            "SW-X288",
            "the field `one.list`, which is `append`, takes a list, and this is an integer",
        ),
        (json!({ "list:overwrite": "x" }), "SW-X288", "takes a list, and this is a text"),
        (
            json!({ "rows": [{ "id": 1 }, 2] }),
            "SW-X288",
            "takes objects with the key `id`, and item 1 is none",
        ),
        (json!({ "sum": "1" }), "SW-X288", "takes a number, and this is a text"),
        (json!({ "count": 1.5 }), "SW-X288", "takes an integer, and this is a number with a fraction"),
        (json!({ "min": [1] }), "SW-X288", "takes a number, and this is a list"),
        (json!({ "max": 1 }), "SW-X288", "takes a text, and this is an integer"),
        (json!({ "any": deep }), "SW-X288", "nested at most 64 deep"),
    ];
    for (update, code, words) in cases {
        let report = graph.runner().start("t", DynUpdate::new().set("todo", update.clone())).await;
        // The todo itself is too deep in the last case, so the input is refused already.
        let (found, message) = match report {
            Ok(report) => {
                let Outcome::Failed(failures) = &report.outcome else { panic!("{}", report.describe()) };
                (failures[0].1.code.to_string(), failures[0].1.message.clone())
            }
            Err(error) => (error.code().to_owned(), error.to_string()),
        };
        assert_eq!(found, code, "{update}: {message}");
        assert!(message.contains(words), "{update}: {message}");
    }
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_before_anything_is_stored() {
    let (graph, store) = (graph(&fields()), MemoryCheckpointer::new());
    let runner = graph.runner().checkpointer(store.clone());
    for (input, code) in [(json!({ "nothing": 1 }), "SW-X287"), (json!({ "sum": [] }), "SW-X288")] {
        let Value::Object(input) = input else { panic!("an object") };
        let error = runner.start("t", DynUpdate::from(input)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(store.all(&ThreadId::new("t")).is_empty());
    }
    runner.start("t", DynUpdate::new()).await.unwrap().finished().unwrap();
}

#[tokio::test]
async fn a_sum_that_no_number_holds_fails_the_superstep_and_loses_nothing() {
    let (graph, store) = (graph(&fields()), MemoryCheckpointer::new());
    let runner = graph.runner().checkpointer(store);
    let input = DynUpdate::new().set("count", u64::MAX).set("todo", json!({ "count": 1 }));
    let report = runner.start("t", input).await.unwrap();
    let Outcome::Failed(failures) = &report.outcome else { panic!("{}", report.describe()) };
    assert_eq!(failures[0].1.code, "SW-X288", "{}", report.describe());
    assert!(report.describe().contains("cannot hold the sum"), "{}", report.describe());
    assert_eq!(report.state.get("count"), Some(&json!(u64::MAX)), "as it was stored");
}

#[tokio::test]
async fn two_writers_of_a_replaced_field_are_refused_as_in_any_graph() {
    let document = json!({
        "name": "two", "state": { "fields": [{ "name": "title" }] }, "start": ["a", "b"],
        "nodes": [{ "name": "a", "run": "write" }, { "name": "b", "run": "write" }],
        "edges": [{ "from": "a", "to": "END" }, { "from": "b", "to": "END" }],
    });
    let code = NodeRegistry::new()
        .func("write", async |_: Ctx<DynState, Value>| Ok(DynUpdate::new().set("title", 1)));
    let graph = GraphDocument::read(&document).unwrap().build(&code).unwrap();
    let report = graph.runner().start("t", DynUpdate::new()).await.unwrap();
    let Outcome::Failed(failures) = &report.outcome else { panic!("{}", report.describe()) };
    assert_eq!(failures[0].1.code, "SW-X220");
    assert!(
        failures[0].1.message.starts_with("`a` and `b` both wrote `two.title`"),
        "{}",
        failures[0].1.message
    );
}

#[tokio::test]
async fn a_field_is_read_as_a_type_or_refused_by_name() {
    let state = graph(&fields()).run(DynUpdate::new().set("count", 7)).await.unwrap();
    assert_eq!(state.read::<u8>("count").unwrap(), 7);
    assert_eq!(state.read::<Option<String>>("any").unwrap(), None);
    assert_eq!(state.read::<String>("count").unwrap_err().code(), "SW-X288");
    assert_eq!(state.read::<u8>("cuont").unwrap_err().code(), "SW-X287");
    assert_eq!(state.get("cuont"), None);
    assert_eq!(State::schema(&*state).channels.len(), 14);
}

#[tokio::test]
async fn what_the_code_of_a_node_says_must_be_a_way_of_the_node() {
    let document = json!({
        "name": "ways", "state": { "fields": [{ "name": "say" }] }, "start": "say",
        "nodes": [
            { "name": "say", "routes": [{ "name": "on", "to": "END" }, { "name": "all", "to": "item", "each": true }] },
            { "name": "item", "run": "nothing" },
            { "name": "plain", "run": "routed" },
        ],
        "edges": [{ "from": "item", "to": "plain" }, { "from": "plain", "to": "END" }],
    });
    let say = async |ctx: Ctx<DynState, Value>| {
        let command = DynCommand::default();
        Ok(match ctx.state.read::<String>("say")?.as_str() {
            "on" => command.route("on"),
            "on with" => command.route_with("on", 1),
            "none" => command,
            "no such" => command.route("off"),
            "all with one" => command.route_with("all", 1),
            "on with each" => command.route_each("on", vec![]),
            _ => command.route_each("all", vec![json!(1), json!(2)]),
        })
    };
    let code = NodeRegistry::new().func("say", say);
    let code = code.func("nothing", async |_: Ctx<DynState, Value>| Ok(DynUpdate::new()));
    let code = code.func("routed", async |_: Ctx<DynState, Value>| Ok(DynCommand::default().route("on")));
    let graph = GraphDocument::read(&document).unwrap().build(&code).unwrap();
    let cases = [
        ("on", None),
        ("on with", None),
        ("none", Some("the node returned no route; it has `on` and `all` and must take one")),
        ("no such", Some("the node has no route `off`; it has `on` and `all`")),
        ("all with one", Some("the route `all` fans out; carry a list of inputs")),
        ("on with each", Some("the route `on` does not fan out")),
        ("each", Some("the node has no route `on`; it has nothing")),
    ];
    for (say, words) in cases {
        let report = graph.runner().start("t", DynUpdate::new().set("say", say)).await.unwrap();
        match (&report.outcome, words) {
            (Outcome::Finished, None) => {}
            (Outcome::Failed(failures), Some(words)) => {
                assert_eq!(failures[0].1.code, "SW-X289", "{say}");
                assert!(failures[0].1.message.contains(words), "{say}: {}", failures[0].1.message);
            }
            _ => panic!("{say}: {}", report.describe()),
        }
    }
}
