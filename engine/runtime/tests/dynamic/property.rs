//! Any document at all is a graph or a list of coded problems with places, and a graph runs to an outcome.

use proptest::prelude::*;
use serde_json::{Value, json};
use statewright_engine_runtime::*;

fn code() -> NodeRegistry {
    let write = async |ctx: Ctx<DynState, Value>| {
        let number = ctx.activation().superstep;
        let names: Vec<String> = ctx.state.fields().map(|(name, _)| name.to_owned()).collect();
        let mut command = DynCommand::default();
        if let Some(name) = names.get(number as usize % names.len().max(1)) {
            let values = [json!(number), json!([number]), json!([{ "k": number }]), json!("a"), json!(null)];
            command = DynCommand::new(DynUpdate::new().set(name, values[number as usize % 5].clone()));
        }
        Ok(if number.is_multiple_of(3) { command.route("a") } else { command })
    };
    ["a", "b", "c"].into_iter().fold(NodeRegistry::new(), |code, name| code.func(name, write))
}

/// A name that mostly fits.
fn name() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => prop_oneof!["a", "b", "c"].prop_map(Value::from),
        2 => Just(json!("END")),
        1 => prop_oneof!["", "START", "d", "a:overwrite", "\u{0}"].prop_map(Value::from),
    ]
}

fn names() -> impl Strategy<Value = Value> {
    prop_oneof![name(), prop::collection::vec(name(), 0..3).prop_map(Value::from)]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// An object with some of these members.
fn object(members: Vec<(&'static str, u32, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, weight, value)| {
            let value = prop_oneof![30 => value, 1 => anything()];
            (Just(name), prop::option::weighted(f64::from(weight) / 100.0, value))
        })
        .collect();
    members
        .prop_map(|members| {
            let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(given.collect())
        })
        .boxed()
}

fn list(item: impl Strategy<Value = Value> + 'static, most: usize) -> BoxedStrategy<Value> {
    prop::collection::vec(item, 0..=most).prop_map(Value::from).boxed()
}

fn bound() -> BoxedStrategy<Value> {
    (0u32..3).prop_map(Value::from).boxed()
}

fn flag() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(Value::from).boxed()
}

pub(crate) fn document() -> impl Strategy<Value = Value> {
    let reducers = ["replace", "last", "append", "union", "upsert", "sum", "min", "max", "none"];
    let shapes = ["any", "boolean", "integer", "number", "text", "list", "object"];
    let word = |words: &'static [&'static str]| prop::sample::select(words).prop_map(Value::from).boxed();
    let field = object(vec![
        ("name", 99, name().boxed()),
        ("reducer", 60, prop::sample::select(reducers.to_vec()).prop_map(Value::from).boxed()),
        ("type", 30, prop::sample::select(shapes.to_vec()).prop_map(Value::from).boxed()),
        ("key", 20, word(&["k"])),
        ("default", 10, anything().boxed()),
        ("ephemeral", 10, flag()),
        ("reset_on_run", 10, flag()),
    ]);
    let route = object(vec![
        ("name", 99, name().boxed()),
        ("to", 99, names().boxed()),
        ("at_most", 50, bound()),
        ("each", 20, flag()),
    ]);
    let node = object(vec![
        ("name", 99, name().boxed()),
        ("run", 40, word(&["a"])),
        ("routes", 15, list(route, 2)),
        ("goto", 15, flag()),
        ("any", 40, flag()),
        ("deferred", 5, flag()),
        ("on_error", 20, name().boxed()),
        ("writes", 10, names().boxed()),
        ("attempts", 10, bound()),
        ("at_once", 10, bound()),
    ]);
    let edge =
        object(vec![("from", 99, name().boxed()), ("to", 99, names().boxed()), ("at_most", 50, bound())]);
    let case = object(vec![
        ("equals", 99, anything().boxed()),
        ("to", 99, names().boxed()),
        ("at_most", 50, bound()),
    ]);
    let branch = object(vec![
        ("after", 99, name().boxed()),
        ("field", 99, name().boxed()),
        ("cases", 99, list(case, 2)),
        ("otherwise", 99, names().boxed()),
        ("at_most", 50, bound()),
    ]);
    let map = object(vec![
        ("after", 99, name().boxed()),
        ("over", 99, name().boxed()),
        ("to", 99, name().boxed()),
        ("at_most", 50, bound()),
    ]);
    let join = object(vec![
        ("sources", 99, list(name(), 3)),
        ("target", 99, name().boxed()),
        ("quorum", 20, bound()),
    ]);
    object(vec![
        ("name", 99, word(&["g"])),
        ("state", 99, object(vec![("fields", 99, list(field, 3)), ("version", 10, bound())])),
        ("nodes", 99, list(node, 4)),
        ("start", 99, names().boxed()),
        ("edges", 99, list(edge, 4)),
        ("branches", 40, list(branch, 2)),
        ("maps", 20, list(map, 1)),
        ("joins", 20, list(join, 1)),
    ])
}

/// Whether there is something at a place, or could be: its last member may be what is missing.
fn stands(document: &Value, place: &str) -> bool {
    let (owner, _) = place.rsplit_once('.').unwrap_or((place, ""));
    let mut at = document;
    for part in owner.split('.').filter(|part| !part.is_empty()) {
        let (name, numbers) = part.split_once('[').unwrap_or((part, ""));
        let Some(inner) = at.get(name) else { return owner == place };
        at = inner;
        for number in numbers.split(['[', ']']).filter(|number| !number.is_empty()) {
            let Some(inner) = number.parse::<usize>().ok().and_then(|number| at.get(number)) else {
                return false;
            };
            at = inner;
        }
    }
    true
}

fn sound(document: &Value, problems: &DocumentProblems) -> Result<(), TestCaseError> {
    prop_assert!(problems.iter().count() > 0);
    for problem in problems.iter() {
        let is_known = problem.code.starts_with("SW-G1") && problem.code.len() == 7;
        prop_assert!(is_known && !problem.message.is_empty(), "{problem:?}");
        prop_assert!(stands(document, &problem.place), "{problem:?} in {document:#}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_document_is_a_graph_or_a_list_of_coded_problems(document in document()) {
        let read = match GraphDocument::read(&document) {
            Ok(read) => read,
            Err(problems) => return sound(&document, &problems),
        };
        let graph = match read.build(&code()) {
            Ok(graph) => graph,
            Err(problems) => return sound(&document, &problems),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let limits = Limits { frontier: 50, ..Limits::default() };
        let run = async {
            let store = MemoryCheckpointer::new();
            let runner = graph.runner().limits(limits).checkpointer(store);
            let report = runner.start("t", DynUpdate::new()).await;
            let stored = runner.load("t").await;
            (report, stored)
        };
        let (report, stored) = runtime.block_on(run);
        if let Ok(report) = report {
            prop_assert_eq!(&*report.state, &*stored.unwrap().state);
        }
    }

    #[test]
    fn any_value_is_a_document_or_refused(value in anything()) {
        match GraphDocument::read(&value) {
            Ok(_) => {}
            Err(problems) => sound(&value, &problems)?,
        }
    }
}
