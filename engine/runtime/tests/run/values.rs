//! Values: what cannot be stored is refused with a name, and what can be stored comes back as it was.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::support::*;
use serde::{Deserialize, Serialize, Serializer};
use statewright_engine_runtime::*;

/// A value that says no when it is to be written down.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Stubborn(bool);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 { Err(serde::ser::Error::custom("I will not")) } else { serializer.serialize_bool(false) }
    }
}

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Holder {
    #[reduce(append)]
    trace: Vec<String>,
    value: Stubborn,
}

#[derive(Route)]
enum Out {
    Carry(Stubborn),
}

fn holder(at: &'static str) -> Graph<Holder> {
    let mut g = StateGraph::<Holder>::new("holder");
    let before = g.func("before", async |_: Ctx<Holder>| Ok(Holder::update().trace("before".to_owned())));
    let writes = g.func("writes", move |ctx: Ctx<Holder>| async move {
        if at == "question" {
            let _: String = ctx.ask("q", &Stubborn(true)).await;
        }
        let update = Holder::update().trace("writes".to_owned());
        let update = if at == "update" { update.value(Stubborn(true)) } else { update };
        ctx.emit("item", &Stubborn(at == "item"));
        Ok((update, Out::Carry(Stubborn(at == "payload"))))
    });
    let takes =
        g.func("takes", async |_: Ctx<Holder, Stubborn>| Ok(Holder::update().trace("takes".to_owned())));
    g.start(before);
    g.edge(before, writes);
    g.route(writes, OutEdges { carry: takes.to() });
    g.end(takes);
    g.build().unwrap()
}

#[tokio::test]
async fn a_value_that_cannot_be_stored_fails_its_node_and_the_thread_stays_usable() {
    for at in ["update", "payload", "question"] {
        let store = MemoryCheckpointer::new();
        let runner = holder(at).runner().checkpointer(store.clone());
        let report = within(runner.start("t", Holder::update())).await.unwrap();
        let Outcome::Failed(failures) = &report.outcome else { panic!("{at}: {}", report.describe()) };
        let (node, failure) = &failures[0];
        assert_eq!(node.map(|node| runner.graph().plan().node_name(node)), Some("writes"), "{at}: {failure}");
        assert!(failure.message.contains("I will not"), "{at}: {failure}");
        assert!(["SW-X230", "SW-X234"].contains(&failure.code.as_str()), "{at}: {} {failure}", failure.code);
        assert_eq!(report.state.trace, ["before"], "{at}");
        // The mended program takes the thread up as it stands.
        let mended = holder("").runner().checkpointer(store);
        let report = within(mended.resume("t")).await.unwrap();
        assert_eq!(report.outcome, Outcome::Finished, "{at}: {}", report.describe());
        assert_eq!(report.state.trace, ["before", "writes", "takes"], "{at}");
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_written_down_does_not_fail_the_node() {
    let report = within(holder("item").runner().start("t", Holder::update())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished, "{}", report.describe());
}

#[tokio::test]
async fn an_input_or_an_answer_that_cannot_be_stored_is_refused() {
    let store = MemoryCheckpointer::new();
    let runner = holder("").runner().checkpointer(store.clone());
    let error = runner.start("t", Holder::update().value(Stubborn(true))).await.unwrap_err();
    assert_eq!(error.code(), "SW-X230");
    assert!(error.to_string().contains("Holder") && error.to_string().contains("I will not"), "{error}");
    assert_eq!(entries(&store).len(), 0);
    let error = runner.answer("t", "any", &Stubborn(true)).await.unwrap_err();
    assert!(
        error.code() == "SW-X209" && error.to_string().contains("I will not"),
        "{} {error}",
        error.code()
    );
    let report = within(runner.start("t", Holder::update())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished);
}

/// `big → asks`, where `big` writes this many bytes into each of two fields, one node after the other.
fn heavy(first: usize, second: usize) -> Graph<Log> {
    let mut g = builder();
    let one = g.func("one", move |ctx: Ctx<Log>| async move { Ok(ran(&ctx).text("x".repeat(first))) });
    let two = g.func("two", move |ctx: Ctx<Log>| async move { Ok(ran(&ctx).last("y".repeat(second))) });
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("go on", "?").await;
        Ok(ran(&ctx).answer(word))
    });
    chain(&mut g, &[one, two, asks]);
    g.build().unwrap()
}

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_value_larger_than_a_record_may_be_fails_its_node_and_loses_nothing() {
    let store = MemoryCheckpointer::new();
    let graph = heavy(10, 9 * MIB);
    let report = within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    let (node, failure) = failure(&report, &graph);
    assert_eq!((node.as_deref(), failure.code.as_str()), (Some("two"), "SW-S412"), "{failure}");
    assert_eq!(report.state.trace, ["one"]);
    let report = within(heavy(10, 10).runner().checkpointer(store).resume("t")).await.unwrap();
    assert_eq!((report.interrupts.len(), report.state.trace.len()), (1, 2), "{}", report.describe());
}

#[tokio::test]
async fn an_input_larger_than_a_record_may_be_is_refused() {
    let store = MemoryCheckpointer::new();
    let runner = heavy(1, 1).runner().checkpointer(store.clone());
    let error = within(runner.start("t", Log::update().text("x".repeat(9 * MIB)))).await.unwrap_err();
    assert_eq!((error.code(), entries(&store).len()), ("SW-S412", 0), "{error}");
}

#[tokio::test]
async fn a_state_larger_than_a_record_may_be_can_pause_and_go_on() {
    let store = MemoryCheckpointer::new();
    let runner = heavy(5 * MIB, 5 * MIB).runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let id = questions(&report)[0].id.clone();
    let elsewhere = heavy(1, 1).runner().checkpointer(crashed_after(&entries(&store)).await);
    let report = within(elsewhere.answer("t", id, &"yes")).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.text.len(), report.state.last.len()), (5 * MIB, 5 * MIB));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Tagged {
    One { number: u32 },
    Two { text: String, deep: Option<Box<Tagged>> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    List(Vec<Untagged>),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
}

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Zoo {
    tagged: Option<Tagged>,
    #[reduce(append)]
    untagged: Vec<Untagged>,
    flat: Flat,
    json: serde_json::Value,
    tuple: (u8, char, Option<i64>),
    float: f64,
    small: f32,
    wide: i128,
    extremes: (i64, u64, i8),
    #[reduce(append)]
    numbers: BTreeMap<u32, String>,
    #[reduce(append)]
    table: HashMap<String, Vec<u8>>,
    #[reduce(append)]
    queue: VecDeque<()>,
    duration: std::time::Duration,
    text: String,
    result: Option<Result<u8, String>>,
    bytes: Vec<u8>,
}

fn zoo() -> ZooUpdate {
    let deep = Tagged::Two { text: "deep".into(), deep: Some(Box::new(Tagged::One { number: 7 })) };
    let list = Untagged::List(vec![Untagged::Number(-3), Untagged::Text("x".into())]);
    Zoo::update()
        .tagged(deep)
        .untagged(list)
        .flat(Flat { name: "f".into(), rest: BTreeMap::from([("a".to_owned(), 1)]) })
        .json(serde_json::json!({ "a": [1, -2, 3.5, null, true], "b": { "c": "d" } }))
        .tuple((255, 'ß', Some(i64::MIN)))
        .float(f64::MIN_POSITIVE)
        .small(f32::MAX)
        .wide(i128::MIN)
        .extremes((i64::MIN, u64::MAX, i8::MIN))
        .numbers((5, "five".to_owned()))
        .table(("k".to_owned(), vec![0, 255]))
        .queue(())
        .duration(std::time::Duration::new(3, 999_999_999))
        .text("\u{0}\u{1F600} \r\n\"'\\")
        .result(Err("no".to_owned()))
        .bytes((0..=255).collect::<Vec<u8>>())
}

#[tokio::test]
async fn values_of_many_shapes_come_back_from_storage_as_they_were() {
    let build = || {
        let mut g = StateGraph::<Zoo>::new("zoo");
        let writes = g.func("writes", async |_: Ctx<Zoo>| Ok(zoo()));
        let asks = g.func("asks", async |ctx: Ctx<Zoo>| {
            let _: String = ctx.ask("go on", "?").await;
            Ok(Zoo::update())
        });
        g.start(writes);
        g.edge(writes, asks);
        g.end(asks);
        g.build().unwrap()
    };
    let mut expected = Zoo::default();
    expected.apply(zoo());
    for bytes in [1, u64::MAX] {
        let store = MemoryCheckpointer::new();
        let limits = Limits { snapshot_after_bytes: bytes, ..Limits::default() };
        let runner = build().runner().checkpointer(store.clone()).limits(limits);
        let report = within(runner.start("t", Zoo::update())).await.unwrap();
        assert_eq!(report.interrupts.len(), 1, "{}", report.describe());
        assert_eq!(*report.state, expected);
        let elsewhere = build().runner().checkpointer(store);
        assert_eq!(*elsewhere.load("t").await.unwrap().state, expected);
        let report = within(elsewhere.answer("t", report.interrupts[0].id.clone(), &"on")).await.unwrap();
        assert_eq!((report.outcome, &*report.state), (Outcome::Finished, &expected));
    }
}
