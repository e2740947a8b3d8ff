//! A graph over a type and the same graph as data: one fingerprint, the same bytes in the journal, and each takes up
//! what the other has begun.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use statewright_engine_core::Entry;
use statewright_engine_runtime::*;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Note {
    id: u32,
    text: String,
}

fn key(note: &Note) -> u32 {
    note.id
}

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Paper {
    #[reduce(append)]
    trace: Vec<String>,
    #[reduce(append)]
    text: String,
    title: String,
    #[reduce(sum)]
    total: u64,
    #[reduce(upsert = key)]
    notes: Vec<Note>,
    #[reduce(union)]
    tags: BTreeSet<String>,
    #[reduce(max)]
    most: u32,
    #[reduce(min)]
    least: Option<u32>,
    #[reduce(last)]
    last: String,
    #[state(ephemeral)]
    scratch: String,
    #[reduce(sum)]
    #[state(reset = run)]
    round: u32,
    parts: Vec<u32>,
    grade: Option<f64>,
}

#[derive(Route)]
enum Spread {
    #[each]
    Parts(Vec<u32>),
}

#[derive(Route)]
enum Review {
    Again,
    Enough(u32),
}

#[derive(Route)]
#[expect(non_camel_case_types, reason = "the names of a document's cases")]
enum Graded {
    good,
    otherwise,
}

/// What a node does, whatever its state is made of: what it writes, and its route.
fn work(node: &str, state: &Value, input: &Value) -> (Value, Option<&'static str>) {
    let round = state["round"].as_u64().unwrap();
    match node {
        "plan" => {
            let parts: Vec<u64> = if round == 0 { vec![3, 1, 2] } else { vec![7, 300_000] };
            (json!({ "trace": ["plan"], "title": "Rain", "parts": parts, "round": 1, "scratch": "s" }), None)
        }
        "part" => {
            let number = input.as_u64().unwrap();
            let note = json!({ "id": number % 2, "text": format!("{number} of round {round}") });
            let tags = [format!("tag {}", number % 3), "all".to_owned()];
            let update = json!({
                "trace": [format!("part {number}")], "text": "ab", "total": number, "most": number, "least": number,
                "notes": [note], "tags": BTreeSet::from(tags), "last": number.to_string(),
            });
            (update, None)
        }
        "review" => {
            let route = if round < 2 { "Again" } else { "Enough" };
            (json!({ "trace": [format!("review {}", state["total"])] }), Some(route))
        }
        "left" => (
            json!({ "trace": ["left"], "grade": 0.5, "trace:overwrite": ["over"], "tags:overwrite": [] }),
            None,
        ),
        "right" => (json!({ "text": format!("right of {input}"), "last": "right" }), None),
        "finish" => (json!({ "trace": ["finish"], "grade": null }), None),
        other => (json!({ "trace": [other] }), None),
    }
}

/// Which nodes ran, outside of any journal.
type Witness = Arc<Mutex<Vec<String>>>;

fn typed(witness: &Witness) -> Graph<Paper> {
    let mut g = StateGraph::<Paper>::new("paper");
    let did = |witness: &Witness, name: &str, state: &Paper, input: Value| {
        witness.lock().unwrap().push(name.to_owned());
        let (update, route) = work(name, &state_as_json(state), &input);
        (serde_json::from_value::<PaperUpdate>(update).unwrap(), route)
    };
    let w = witness.clone();
    let plan = g.func("plan", move |ctx: Ctx<Paper>| {
        let done = did(&w, "plan", &ctx.state, json!(null)).0;
        async move { Ok(done) }
    });
    let w = witness.clone();
    let part = g.func("part", move |ctx: Ctx<Paper, u32>| {
        let done = did(&w, "part", &ctx.state, json!(ctx.input)).0;
        async move { Ok(done) }
    });
    let w = witness.clone();
    let review = g.func("review", move |ctx: Ctx<Paper>| {
        let w = w.clone();
        async move {
            let answer: u32 = ctx.ask("enough", "Is it enough?").await;
            let (update, route) = did(&w, "review", &ctx.state, json!(null));
            let route = if route == Some("Again") { Review::Again } else { Review::Enough(answer) };
            Ok((update, route))
        }
    });
    let w = witness.clone();
    let left = g.func("left", move |ctx: Ctx<Paper>| {
        let done = did(&w, "left", &ctx.state, json!(null)).0;
        async move { Ok(done) }
    });
    let w = witness.clone();
    let right = g.func("right", move |ctx: Ctx<Paper, u32>| {
        let done = did(&w, "right", &ctx.state, json!(ctx.input)).0;
        async move { Ok(done) }
    });
    let w = witness.clone();
    let finish = g.func("finish", move |ctx: Ctx<Paper>| {
        let done = did(&w, "finish", &ctx.state, json!(null)).0;
        async move { Ok(done) }
    });
    let w = witness.clone();
    let extra = g.func("extra", move |ctx: Ctx<Paper>| {
        let done = did(&w, "extra", &ctx.state, json!(null)).0;
        async move { Ok(done) }
    });
    g.start(plan);
    g.branch(plan, |paper: &Paper| Spread::Parts(paper.parts.clone()), SpreadEdges { parts: part.to() });
    g.edge(part, review);
    g.route(review, ReviewEdges { again: plan.to().at_most(3), enough: right.to() });
    g.edge(right, left);
    g.branch(
        left,
        |paper: &Paper| if paper.title == "Rain" { Graded::good } else { Graded::otherwise },
        GradedEdges { good: finish.to().and(extra), otherwise: To::END },
    );
    g.end(finish);
    g.end(extra);
    g.build().unwrap()
}

pub(crate) fn document() -> Value {
    json!({
        "name": "paper",
        "state": { "name": "Paper", "fields": [
            { "name": "trace", "reducer": "append" },
            { "name": "text", "reducer": "append", "type": "text" },
            { "name": "title", "type": "text" },
            { "name": "total", "reducer": "sum", "type": "integer" },
            { "name": "notes", "reducer": "upsert", "key": "id" },
            { "name": "tags", "reducer": "union" },
            { "name": "most", "reducer": "max", "type": "integer", "default": 0 },
            { "name": "least", "reducer": "min" },
            { "name": "last", "reducer": "last", "type": "text" },
            { "name": "scratch", "type": "text", "ephemeral": true },
            { "name": "round", "reducer": "sum", "reset_on_run": true },
            { "name": "parts", "type": "list" },
            { "name": "grade" },
        ] },
        "nodes": [
            { "name": "plan" },
            { "name": "part" },
            { "name": "review", "routes": [
                { "name": "Again", "to": "plan", "at_most": 3 },
                { "name": "Enough", "to": "right" },
            ] },
            { "name": "left" },
            { "name": "right" },
            { "name": "finish", "run": "last" },
            { "name": "extra", "run": "last" },
        ],
        "start": "plan",
        "edges": [
            { "from": "part", "to": "review" },
            { "from": "right", "to": "left" },
            { "from": "finish", "to": "END" },
            { "from": "extra", "to": ["END"] },
        ],
        "branches": [{
            "after": "left", "field": "title",
            "cases": [{ "equals": "Rain", "to": ["finish", "extra"], "name": "good" }],
            "otherwise": "END",
        }],
        "maps": [{ "after": "plan", "over": "parts", "to": "part", "name": "Parts" }],
    })
}

fn registry(witness: &Witness) -> NodeRegistry {
    let did = |witness: &Witness, ctx: &Ctx<DynState, Value>| {
        witness.lock().unwrap().push(ctx.node().to_owned());
        let state = serde_json::to_value(&*ctx.state).unwrap();
        let (update, route) = work(ctx.node(), &state, &ctx.input);
        let Value::Object(update) = update else { panic!("a node writes fields") };
        (DynUpdate::from(update), route)
    };
    let plain = |witness: &Witness| {
        let w = witness.clone();
        move |ctx: Ctx<DynState, Value>| {
            let done = did(&w, &ctx).0;
            async move { Ok(done) }
        }
    };
    let w = witness.clone();
    let review = move |ctx: Ctx<DynState, Value>| {
        let w = w.clone();
        async move {
            let answer: u32 = ctx.ask("enough", "Is it enough?").await;
            let (update, route) = did(&w, &ctx);
            let command = DynCommand::new(update);
            Ok(match route {
                Some("Enough") => command.route_with("Enough", answer),
                route => command.route(route.unwrap()),
            })
        }
    };
    let names = ["plan", "part", "left", "right", "last"];
    names
        .into_iter()
        .fold(NodeRegistry::new(), |code, name| code.func(name, plain(witness)))
        .func("review", review)
}

fn twin(witness: &Witness) -> Graph<DynState> {
    GraphDocument::read(&document()).unwrap().build(&registry(witness)).unwrap()
}

/// Runs with a clock that stands still, so that nothing but what is written differs.
fn runner<S: State>(graph: &Graph<S>, store: &MemoryCheckpointer) -> Runner<S> {
    graph.runner().checkpointer(store.clone()).clock(Arc::new(|| 1_000))
}

async fn answered<S: State>(runner: &Runner<S>, mut report: RunReport<S>) -> RunReport<S> {
    let mut answer = 4;
    while let Outcome::Paused(questions) = &report.outcome {
        let id = questions[0].id.clone();
        report = runner.answer("t", id, &answer).await.unwrap();
        answer += 1;
    }
    report
}

/// Drives a run to its end, from the beginning.
async fn whole<S: State>(graph: &Graph<S>, input: S::Update) -> (Value, Vec<Entry>) {
    let store = MemoryCheckpointer::new();
    let runner = runner(graph, &store);
    let report = runner.start("t", input).id(RunId::new("r")).await.unwrap();
    let state = answered(&runner, report).await.finished().unwrap();
    (comparable(&*state), store.all(&ThreadId::new("t")))
}

/// The fields; what holds nothing may be null or empty.
fn comparable<S: State>(state: &S) -> Value {
    let Value::Object(fields) = state_as_json(state) else { panic!("a state is an object") };
    let holds = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    Value::Object(fields.into_iter().filter(|(_, value)| holds(value)).collect())
}

fn inputs() -> (PaperUpdate, DynUpdate) {
    let input = json!({ "trace": ["input"], "title": "Sun", "tags": ["b", "a"] });
    let Value::Object(fields) = input.clone() else { panic!("an object") };
    (serde_json::from_value(input).unwrap(), DynUpdate::from(fields))
}

#[tokio::test]
async fn a_graph_and_its_twin_that_is_data_write_the_same_bytes() {
    let witness = Witness::default();
    let (typed, twin) = (typed(&witness), twin(&witness));
    assert_eq!(typed.plan().fingerprint, twin.plan().fingerprint);
    assert_eq!(typed.render(Format::Mermaid, None), twin.render(Format::Mermaid, None));
    let (typed_input, twin_input) = inputs();
    let (typed_state, typed_entries) = whole(&typed, typed_input).await;
    let typed_ran = std::mem::take(&mut *witness.lock().unwrap());
    let (twin_state, twin_entries) = whole(&twin, twin_input).await;
    assert_eq!(typed_state, twin_state);
    assert_eq!(typed_ran, *witness.lock().unwrap());
    assert_eq!(twin_state["trace"], json!(["over", "left", "finish", "extra"]), "{twin_state}");
    assert_eq!(twin_state["total"], 3 + 1 + 2 + 7 + 300_000, "{twin_state}");
    assert!(typed_entries.len() > 12, "{}", typed_entries.len());
    assert!(typed_entries.iter().any(|entry| entry.kind == EntryKind::Snapshot), "a pause writes one");
    for (typed, twin) in typed_entries.iter().zip(&twin_entries) {
        assert_eq!(typed, twin, "entry {}", typed.seq);
    }
    assert_eq!(typed_entries.len(), twin_entries.len());
}

/// A store that holds the first entries of another one's thread: what a crash at that point leaves.
async fn crashed_after(entries: &[Entry]) -> MemoryCheckpointer {
    let store = MemoryCheckpointer::new();
    let mut journal = store.open(&ThreadId::new("t"), Durability::Power).await.unwrap();
    for entry in entries {
        journal.append(entry.clone()).await.unwrap();
    }
    store
}

async fn taken_up<S: State>(graph: &Graph<S>, entries: &[Entry]) -> Value {
    let store = crashed_after(entries).await;
    let runner = runner(graph, &store);
    let report = runner.resume("t").await.unwrap();
    comparable(&*answered(&runner, report).await.finished().unwrap())
}

#[tokio::test]
async fn whichever_of_the_two_was_killed_either_takes_it_up_and_repeats_nothing_that_finished() {
    let witness = Witness::default();
    let (typed, twin) = (typed(&witness), twin(&witness));
    let (state, entries) = whole(&twin, inputs().1).await;
    let ran = witness.lock().unwrap().len();
    // Which of the entries say that an activation has finished: questions are asked by the first execution of a node.
    let finished = |entries: &[Entry]| {
        let view = ThreadView::read(twin.plan(), entries).unwrap();
        view.steps.iter().filter(|step| step.asked.is_none()).count()
    };
    for cut in 1..entries.len() {
        let left = ran - finished(&entries[..cut]);
        // Answers after the cut are given anew, each with a number of its own, so only those that came before it count.
        let later = |value: &Value| {
            let mut value = value.clone();
            value["text"] = json!(value["text"].as_str().unwrap().split(" of ").next().unwrap());
            value
        };
        if finished(&entries[..cut]) == ran {
            break;
        }
        witness.lock().unwrap().clear();
        assert_eq!(later(&taken_up(&twin, &entries[..cut]).await), later(&state), "as data, cut at {cut}");
        assert_eq!(witness.lock().unwrap().len(), left, "cut at {cut}");
        witness.lock().unwrap().clear();
        assert_eq!(later(&taken_up(&typed, &entries[..cut]).await), later(&state), "as a type, cut at {cut}");
        assert_eq!(witness.lock().unwrap().len(), left, "cut at {cut}");
    }
}

#[tokio::test]
async fn the_twin_forks_and_shows_what_differs() {
    let witness = Witness::default();
    let twin = twin(&witness);
    let store = MemoryCheckpointer::new();
    let runner = runner(&twin, &store);
    let report = runner.start("t", inputs().1).await.unwrap();
    answered(&runner, report).await.finished().unwrap();
    let history = runner.history("t").await.unwrap();
    let (first, last) = (history[1].seq, history.last().unwrap().seq);
    let diff = runner.diff(("t", first), ("t", last)).await.unwrap();
    let of = |channel: &str| diff.iter().find(|diff| diff.channel == channel).map(|diff| &diff.change);
    assert!(matches!(of("total"), Some(Change::Value { old, .. }) if *old == json!(0)), "{diff:?}");
    assert!(of("title").is_none(), "{diff:?}");
    let edit = DynUpdate::new().set("title", "Snow").overwrite("trace", json!(["forked"]));
    let fork = runner.fork("t", first, "fork", edit).await.unwrap();
    assert_eq!(fork.state.get("title"), Some(&json!("Snow")));
    assert_eq!(fork.state.get("trace"), Some(&json!(["forked"])));
    let wrong = runner.fork("t", first, "other", DynUpdate::new().set("titel", "Snow")).await.unwrap_err();
    assert_eq!(wrong.code(), "SW-X287", "{wrong}");
    assert!(wrong.to_string().contains("did you mean `title`?"), "{wrong}");
}

/// By name, as a document or a server gives it.
#[test]
fn an_update_is_the_same_whether_it_is_set_or_read() {
    let mut fields = Map::new();
    fields.insert("a".to_owned(), json!(1));
    fields.insert("b:overwrite".to_owned(), json!([2]));
    let set = DynUpdate::new().set("a", 1).overwrite("b", json!([2]));
    assert_eq!(DynUpdate::from(fields), set);
    assert_eq!(serde_json::from_value::<DynUpdate>(serde_json::to_value(&set).unwrap()).unwrap(), set);
}
