//! The mistakes of the table in `docs/guides/from-langgraph.md`, one test for each row: what becomes of it here, and that
//! the words which the guide quotes are the words that are said. What rustc says is pinned by the `ui` test.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;
use tokio::sync::{Notify, Semaphore};

/// What the guide quotes in a row of its table: whatever stands in double backticks.
fn quoted(row: u32) -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/from-langgraph.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let begin = format!("| {row} |");
    let line = guide.lines().find(|line| line.starts_with(&begin)).expect("the row is in the guide");
    line.split("``").skip(1).step_by(2).map(|quote| quote.trim().to_owned()).collect()
}

/// Expects that each quote of the row is said by one of these.
fn is_quoted(row: u32, said: &[impl AsRef<str>]) {
    let quotes = quoted(row);
    assert!(!quotes.is_empty(), "row {row} quotes nothing");
    let said: Vec<&str> = said.iter().map(AsRef::as_ref).collect();
    for quote in quotes {
        let is_said = said.iter().any(|words| words.contains(&quote));
        assert!(is_said, "row {row} quotes {quote:?}, but said is {said:#?}");
    }
}

/// What rustc says to a program of `tests/ui`.
fn rustc(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/ui/{name}.stderr"));
    std::fs::read_to_string(path).unwrap()
}

/// What `build()` says.
fn refused(g: Builder) -> String {
    g.build().unwrap_err().to_string()
}

#[test]
fn a_misspelt_target_of_a_branch_does_not_compile() {
    is_quoted(1, &[rustc("misspelt_target"), rustc("unwired_variant")]);
}

#[test]
fn a_way_out_that_does_not_exist_does_not_compile_and_a_foreign_one_does_not_build() {
    let mut g = builder();
    let goes = g.func("goes", async |ctx: Ctx<Log>| Ok((ran(&ctx), Fork::Left)));
    let stranger = node(&mut builder(), "stranger");
    g.start(goes);
    g.route(goes, ForkEdges { left: stranger.to(), right: To::END });
    is_quoted(2, &[rustc("unknown_variant"), refused(g)]);
}

#[test]
fn a_fan_out_to_a_misspelt_node_does_not_compile() {
    is_quoted(3, &[rustc("misspelt_fan_out_target"), rustc("wrong_payload")]);
}

#[test]
fn a_field_that_was_not_declared_cannot_be_written() {
    is_quoted(4, &[rustc("unknown_update_field")]);
}

#[test]
fn a_value_of_another_type_cannot_be_written() {
    is_quoted(5, &[rustc("update_of_wrong_type")]);
}

#[test]
fn a_node_that_cannot_be_reached_is_refused() {
    let mut g = builder();
    let [write, review] = ["write", "review"].map(|name| node(&mut g, name));
    g.start(write);
    g.end(write);
    g.end(review);
    is_quoted(6, &[refused(g)]);
}

#[test]
fn a_loop_without_a_way_out_is_refused() {
    let mut g = builder();
    let [write, review] = ["write", "review"].map(|name| node(&mut g, name));
    g.start(write);
    g.edge(write, review);
    g.edge(review, write);
    is_quoted(7, &[refused(g)]);
}

/// `a`, then `b` and `c` at once, then `d`.
fn diamond(b: Handle, c: Handle, g: &mut Builder) {
    let [a, d] = ["a", "d"].map(|name| node(g, name));
    g.start(a);
    g.edge(a, b.to().and(c));
    g.join((b, c), d);
    g.end(d);
}

#[tokio::test]
async fn two_writers_of_one_field_are_refused_at_build_or_fail_with_both_names() {
    let writers = |g: &mut Builder| {
        ["b", "c"].map(|name| g.func(name, async |ctx: Ctx<Log>| Ok(ran(&ctx).text(ctx.node().to_owned()))))
    };
    let mut g = builder();
    let [b, c] = writers(&mut g);
    diamond(b, c, &mut g);
    let graph = g.build().unwrap();
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    let (_, told) = failure(&report, &graph);
    assert_eq!((told.code.as_str(), report.state.text.as_str()), ("SW-X220", ""), "neither of them won");
    let mut g = builder();
    let [b, c] = writers(&mut g);
    diamond(b, c, &mut g);
    g.writes(b, ["text"]);
    g.writes(c, ["text"]);
    is_quoted(8, &[told.to_string(), refused(g)]);
}

#[test]
fn a_join_over_a_source_that_a_branch_can_skip_is_refused() {
    let mut g = builder();
    let [first, certain, maybe, last] = ["first", "certain", "maybe", "last"].map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, certain);
    g.branch(first, |_: &Log| Fork::Right, ForkEdges { left: maybe.to(), right: To::END });
    g.join((certain, maybe), last);
    g.end(last);
    is_quoted(9, &[refused(g)]);
}

#[test]
fn paths_of_unequal_length_into_one_node_are_refused() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b.to().and(c));
    g.edge(b, c);
    g.end(c);
    is_quoted(10, &[refused(g)]);
}

#[test]
fn a_node_that_chooses_its_way_has_no_edge_beside_it() {
    is_quoted(11, &[rustc("plain_edge_on_routing_node")]);
}

/// Neither through the shared state nor through a copy of it.
#[tokio::test]
async fn a_state_cannot_be_changed_in_place() {
    is_quoted(12, &[rustc("state_changed_in_place")]);
    let mut g = builder();
    let cheat = g.func("cheat", async |mut ctx: Ctx<Log>| {
        Arc::make_mut(&mut ctx.state).trace.push("leaked".to_owned());
        Ok(Log::update())
    });
    let after = node(&mut g, "after");
    chain(&mut g, &[cheat, after]);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store);
    let report = runner.start("t", Log::update()).await.unwrap();
    assert_eq!(report.state.trace, ["after"]);
    assert_eq!(runner.load("t").await.unwrap().state.trace, ["after"]);
}

#[tokio::test]
async fn no_error_handling_swallows_a_pause() {
    let mut g = builder();
    let approve = g.func("approve", async |ctx: Ctx<Log>| {
        // What asks has no error that could be handled, so what is tried is to leave the wait behind.
        let word = tokio::select! {
            biased;
            word = ctx.ask::<String, _>("really", "?") => word,
            () = std::future::ready(()) => "swallowed".to_owned(),
        };
        Ok(ran(&ctx).answer(word))
    });
    chain(&mut g, &[approve]);
    let report = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap();
    assert_eq!((questions(&report).len(), &report.state.answer), (1, &None));
    is_quoted(13, &[report.describe()]);
}

#[tokio::test]
async fn an_answer_goes_to_the_question_of_its_name_in_whatever_order_they_are_asked() {
    let turned = Arc::new(AtomicBool::new(false));
    let flag = turned.clone();
    let mut g = builder();
    let asks = g.func("asks", move |ctx: Ctx<Log>| {
        let names = if flag.load(SeqCst) { ["colour", "size"] } else { ["size", "colour"] };
        async move {
            let mut update = Log::update();
            for name in names {
                let word: String = ctx.ask(name, "?").await;
                update = update.tags(format!("{name} {word}"));
            }
            Ok(update)
        }
    });
    chain(&mut g, &[asks]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let first = within(runner.start("t", Log::update())).await.unwrap();
    turned.store(true, SeqCst);
    let second = within(runner.answer("t", "size@1.0", "large")).await.unwrap();
    is_quoted(14, &[first.describe(), second.describe()]);
    let report = within(runner.answer("t", "colour@1.0", "red")).await.unwrap();
    let tags: Vec<String> = report.finished().unwrap().tags.iter().cloned().collect();
    assert_eq!(tags, ["colour red", "size large"]);
}

/// `asks → next`, where the node that asks has this name, and perhaps had another.
fn asking(name: &str, former: Option<&str>) -> Graph<Log> {
    let mut g = builder();
    let asks = g.func(name, async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", "?").await;
        Ok(ran(&ctx).text(word))
    });
    let next = node(&mut g, "next");
    chain(&mut g, &[asks, next]);
    if let Some(former) = former {
        g.renamed(former, asks);
    }
    g.build().unwrap()
}

#[tokio::test]
async fn a_node_that_was_renamed_while_a_thread_waits_is_named() {
    let store = MemoryCheckpointer::new();
    let old = asking("write", None).runner().checkpointer(store.clone());
    let id = questions(&within(old.start("t", Log::update())).await.unwrap())[0].id.clone();
    let renamed = asking("draft", None).runner().checkpointer(store.clone());
    let error = within(renamed.answer("t", id.clone(), "x")).await.unwrap_err();
    assert_eq!(error.code(), "SW-X263");
    is_quoted(15, &[error.to_string()]);
    let declared = asking("draft", Some("write")).runner().checkpointer(store);
    expect_finished(&within(declared.answer("t", id, "x")).await.unwrap());
}

mod before {
    use serde::{Deserialize, Serialize};
    use statewright_engine_runtime::*;

    #[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
    pub(super) struct Order {
        pub(super) amount: String,
        pub(super) word: String,
    }
}

mod after {
    use serde::{Deserialize, Serialize};
    use statewright_engine_runtime::*;

    #[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
    pub(super) struct Order {
        pub(super) amount: u32,
        pub(super) word: String,
    }
}

#[tokio::test]
async fn a_field_whose_type_changed_while_a_thread_waits_is_refused_and_nothing_is_lost() {
    macro_rules! graph {
        ($state:ty, $update:expr) => {{
            let mut g = StateGraph::<$state>::new("orders");
            let writes = g.func("writes", async |_: Ctx<$state>| Ok($update));
            let asks = g.func("asks", async |ctx: Ctx<$state>| {
                let word: String = ctx.ask("word", "?").await;
                Ok(<$state>::update().word(word))
            });
            g.start(writes);
            g.edge(writes, asks);
            g.end(asks);
            g.build().unwrap()
        }};
    }
    let store = MemoryCheckpointer::new();
    let old = graph!(before::Order, before::Order::update().amount("seven"));
    let old = old.runner().checkpointer(store.clone());
    within(old.start("t", before::Order::update())).await.unwrap();
    let new = graph!(after::Order, after::Order::update().amount(7u32));
    let error = within(new.runner().checkpointer(store).resume("t")).await.unwrap_err();
    is_quoted(16, &[format!("{} {error}", error.code())]);
    let still = old.load("t").await.unwrap();
    assert_eq!(
        (still.state.amount.as_str(), still.interrupts.len()),
        ("seven", 1),
        "nothing is stuck or lost"
    );
}

#[tokio::test]
async fn of_four_runs_on_one_thread_three_are_told_before_their_first_node() {
    let (gate, witness) = (Arc::new(Semaphore::new(0)), Witness::default());
    let (waits, seen) = (gate.clone(), witness.clone());
    let mut g = builder();
    let adds = g.func("adds", move |_: Ctx<Log>| {
        let gate = waits.clone();
        seen.saw("ran");
        async move {
            drop(gate.acquire().await.unwrap());
            Ok(Log::update().total(1u64))
        }
    });
    chain(&mut g, &[adds]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let starts = (0..4).map(|_| runner.start("t", Log::update()).into_future());
    let mut runs: FuturesUnordered<_> = starts.collect();
    for _ in 0..3 {
        let error = within(runs.next()).await.unwrap().unwrap_err();
        is_quoted(17, &[format!("{} {error}", error.code())]);
    }
    gate.add_permits(1);
    let report = within(runs.next()).await.unwrap().unwrap();
    assert_eq!((report.finished().unwrap().total, witness.take().len()), (1, 1));
}

/// `fails` fails at once, the other two finish later.
#[tokio::test]
async fn when_one_node_fails_the_later_ones_finish_and_do_not_run_again() {
    let (broken, told, witness) =
        (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()), Witness::default());
    let mut g = builder();
    let (flag, tell) = (broken.clone(), told.clone());
    let fails = g.func("fails", move |ctx: Ctx<Log>| {
        let broken = flag.load(SeqCst);
        tell.notify_waiters();
        tell.notify_one();
        async move { if broken { Err(NodeError::permanent("no such city")) } else { Ok(ran(&ctx)) } }
    });
    let (later, seen) = (told, witness.clone());
    let slow = g.func("slow", move |ctx: Ctx<Log>| {
        let (told, seen) = (later.clone(), seen.clone());
        async move {
            told.notified().await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            seen.saw("slow");
            Ok(ran(&ctx))
        }
    });
    let last = node(&mut g, "last");
    g.start(fails);
    g.start(slow);
    g.join((fails, slow), last);
    g.end(last);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    is_quoted(18, &[report.describe()]);
    assert_eq!(witness.count("slow"), 1, "it finished");
    broken.store(false, SeqCst);
    expect_finished(&within(runner.resume("t")).await.unwrap());
    assert_eq!(witness.count("slow"), 1, "and did not run again");
}

#[tokio::test]
async fn when_one_of_three_parts_fails_only_that_one_runs_again() {
    let (broken, witness) = (Arc::new(AtomicBool::new(true)), Witness::default());
    let (flag, seen) = (broken.clone(), witness.clone());
    let mut g = builder();
    let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts(vec![1, 2, 3])));
    let part = g.func("part", move |ctx: Ctx<Log, u32>| {
        let fails = flag.load(SeqCst) && ctx.input == 2;
        seen.saw(ctx.input.to_string());
        async move { if fails { Err(NodeError::permanent("no part 2")) } else { Ok(ran(&ctx)) } }
    });
    g.start(plan);
    g.route(plan, SpreadEdges { parts: part.to(), nothing: To::END });
    g.end(part);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    is_quoted(19, &[report.describe()]);
    assert_eq!(witness.take().len(), 3);
    broken.store(false, SeqCst);
    let report = within(runner.resume("t")).await.unwrap();
    assert_eq!((report.finished().unwrap().trace.len(), witness.take()), (3, vec!["2".to_owned()]));
}

/// A value that says no when it is to be written down.
#[derive(Clone, Debug, Default, Deserialize)]
struct Connection(bool);

impl Serialize for Connection {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            Err(serde::ser::Error::custom("an open connection cannot be stored"))
        } else {
            serializer.serialize_bool(false)
        }
    }
}

#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
struct Session {
    handle: Connection,
}

#[tokio::test]
async fn what_cannot_be_stored_does_not_compile_or_fails_its_node_and_leaves_the_thread_usable() {
    let graph =
        |bad: bool| {
            let mut g = StateGraph::<Session>::new("session");
            let connect = g.func("connect", move |_: Ctx<Session>| async move {
                Ok(Session::update().handle(Connection(bad)))
            });
            g.start(connect);
            g.end(connect);
            g.build().unwrap()
        };
    let store = MemoryCheckpointer::new();
    let runner = graph(true).runner().checkpointer(store.clone());
    let report = within(runner.start("t", Session::update())).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Failed(_)));
    is_quoted(20, &[rustc("state_not_serialisable"), report.describe()]);
    let mended = graph(false).runner().checkpointer(store);
    assert_eq!(within(mended.resume("t")).await.unwrap().outcome, Outcome::Finished);
}

#[tokio::test]
async fn a_chain_of_three_nodes_needs_no_limit() {
    let mut g = builder();
    let nodes = ["a", "b", "c"].map(|name| node(&mut g, name));
    chain(&mut g, &nodes);
    assert_eq!(g.build().unwrap().run(Log::update()).await.unwrap().trace, ["a", "b", "c"]);
    assert!(quoted(21).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_a_fifth_longer_or_shorter_and_no_more() {
    let mut waits = Vec::new();
    for _ in 0..50 {
        let mut g = builder();
        let shaky = g.func("shaky", async |_: Ctx<Log>| -> Done { Err(NodeError::transient("busy")) });
        g.policy(shaky, RetryPolicy::new().attempts(3).initial(Duration::from_millis(50)));
        chain(&mut g, &[shaky]);
        let store = MemoryCheckpointer::new();
        let began = tokio::time::Instant::now();
        let clock: Clock = Arc::new(move || began.elapsed().as_millis() as u64);
        let runner = g.build().unwrap().runner().checkpointer(store.clone()).clock(clock);
        runner.start("t", Log::update()).await.unwrap();
        let mut before = 0;
        for body in records(&entries(&store)) {
            if let Body::Failed { retry: Some(retry), .. } = body {
                waits.push((retry.at_ms - before, before == 0));
                before = retry.at_ms;
            }
        }
    }
    assert_eq!(waits.len(), 100);
    for (wait, first) in waits {
        let allowed = if first { 40..=60 } else { 80..=120 };
        assert!(allowed.contains(&wait), "{wait} ms");
    }
    assert!(quoted(22).is_empty());
}
