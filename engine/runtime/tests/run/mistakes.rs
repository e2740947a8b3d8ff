//! Mistakes that other engines turn into silent success. What rustc or `build()` already refuses is tested in
//! `tests/ui` and `tests/build`; here is what can only be seen while a graph runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::*;
use statewright_engine_runtime::*;

#[tokio::test]
async fn a_state_changed_in_place_does_not_leak_to_later_nodes() {
    let mut g = builder();
    let cheat = g.func("cheat", async |mut ctx: Ctx<Log>| {
        Arc::make_mut(&mut ctx.state).trace.push("leaked".to_owned());
        if let Some(state) = Arc::get_mut(&mut ctx.state) {
            state.text = "leaked".to_owned();
        }
        Ok(ran(&ctx))
    });
    let after = g.func("after", async |ctx: Ctx<Log>| {
        assert_eq!((ctx.state.trace.as_slice(), ctx.state.text.as_str()), (&["cheat".to_owned()][..], ""));
        Ok(ran(&ctx))
    });
    chain(&mut g, &[cheat, after]);
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace, ["cheat", "after"]);
}

#[tokio::test]
async fn a_snapshot_that_a_node_keeps_never_changes() {
    let kept: Arc<Mutex<Vec<Arc<Log>>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let mut g = builder();
    let nodes = ["a", "b", "c"].map(|name| {
        let keeper = Arc::clone(&keeper);
        g.func(name, move |ctx: Ctx<Log>| {
            keeper.lock().unwrap().push(Arc::clone(&ctx.state));
            async move { Ok(ran(&ctx)) }
        })
    });
    chain(&mut g, &nodes);
    g.build().unwrap().run(Log::update()).await.unwrap();
    let lengths: Vec<usize> = kept.lock().unwrap().iter().map(|state| state.trace.len()).collect();
    assert_eq!(lengths, [0, 1, 2]);
}

fn two_writers() -> Graph<Log> {
    let mut g = builder();
    let a = node(&mut g, "a");
    let [b, c] = ["b", "c"].map(|name| {
        g.func(name, async |ctx: Ctx<Log>| Ok(ran(&ctx).text(ctx.node().to_owned()).total(1u64)))
    });
    let d = node(&mut g, "d");
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.end(d);
    g.build().unwrap()
}

#[tokio::test]
async fn two_writers_of_one_field_are_told_the_field_and_both_names() {
    let graph = two_writers();
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    let (_, failure) = failure(&report, &graph);
    assert_eq!(failure.code, "SW-X220");
    for word in ["`Log.text`", "`b`", "`c`"] {
        assert!(failure.message.contains(word), "{failure}");
    }
    assert_eq!((report.state.trace.as_slice(), report.state.total), (&["a".to_owned()][..], 0));
}

#[tokio::test]
async fn two_writers_do_not_wedge_the_thread() {
    let store = MemoryCheckpointer::new();
    let runner = two_writers().runner().checkpointer(store.clone());
    runner.start("t", Log::update()).await.unwrap();
    let again = runner.resume("t").await.unwrap();
    assert_eq!(failure(&again, runner.graph()).1.code, "SW-X220");
    let cancelled = runner.cancel("t").await.unwrap();
    assert_eq!(cancelled.outcome, Outcome::Cancelled);
    let fresh = runner.start("t", Log::update()).await.unwrap();
    assert_eq!(failure(&fresh, runner.graph()).1.code, "SW-X220");
    assert_eq!(fresh.state.trace, ["a", "a"]);
}

#[tokio::test]
async fn two_activations_of_one_node_that_write_one_field_conflict_too() {
    let mut g = builder();
    let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts(vec![1, 2])));
    let work = g.func("work", async |ctx: Ctx<Log, u32>| Ok(Log::update().text(ctx.input.to_string())));
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.end(work);
    let graph = g.build().unwrap();
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    let (_, failure) = failure(&report, &graph);
    assert_eq!(failure.code, "SW-X220");
    assert!(failure.message.contains("`Log.text`") && failure.message.contains("`work`"), "{failure}");
}

#[tokio::test]
async fn a_pause_cannot_be_swallowed_by_error_handling() {
    let mut g = builder();
    let sly = g.func("sly", async |ctx: Ctx<Log>| {
        let asked = async {
            let word: String = ctx.ask("really", "?").await;
            Ok::<_, NodeError>(word)
        };
        let word = asked.await.unwrap_or_else(|_| "swallowed".to_owned());
        Ok(ran(&ctx).answer(word))
    });
    chain(&mut g, &[sly]);
    let report = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap();
    assert_eq!(questions(&report).len(), 1);
    assert_eq!(report.state.answer, None);
}

#[tokio::test]
async fn a_pause_cannot_be_swallowed_by_a_timeout_or_a_race() {
    for race in [false, true] {
        let store = MemoryCheckpointer::new();
        let mut g = builder();
        let sly = g.func("sly", move |ctx: Ctx<Log>| async move {
            let asked = ctx.ask::<String, _>("really", "?");
            let word = if race {
                tokio::select! {
                    biased;
                    word = asked => word,
                    () = std::future::ready(()) => "swallowed".to_owned(),
                }
            } else {
                let waited = tokio::time::timeout(std::time::Duration::ZERO, asked).await;
                waited.unwrap_or_else(|_| "swallowed".to_owned())
            };
            Ok(ran(&ctx).answer(word))
        });
        chain(&mut g, &[sly]);
        let runner = g.build().unwrap().runner().checkpointer(store.clone());
        let report = within(runner.start("t", Log::update())).await.unwrap();
        let open = questions(&report);
        assert_eq!(report.state.answer, None);
        let report = within(runner.answer("t", open[0].id.clone(), &"yes")).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.answer.as_deref(), Some("yes"));
    }
}

#[tokio::test]
async fn answers_go_to_the_question_of_their_name_when_the_order_changes() {
    let flipped = Arc::new(AtomicBool::new(false));
    let flip = Arc::clone(&flipped);
    let mut g = builder();
    let asks = g.func("asks", move |ctx: Ctx<Log>| {
        let names = if flip.load(Ordering::SeqCst) { ["b", "a"] } else { ["a", "b"] };
        async move {
            let mut update = ran(&ctx);
            for name in names {
                let word: String = ctx.ask(name, name).await;
                update = update.trace(format!("{name}={word}"));
            }
            Ok(update)
        }
    });
    chain(&mut g, &[asks]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut report = runner.start("t", Log::update()).await.unwrap();
    while let Outcome::Paused(open) = &report.outcome {
        flipped.fetch_xor(true, Ordering::SeqCst);
        report =
            within(runner.answer("t", open[0].id.clone(), &format!("for {}", open[0].name))).await.unwrap();
    }
    expect_finished(&report);
    let mut answers = report.state.trace.clone();
    answers.sort();
    assert_eq!(answers, ["a=for a", "asks", "b=for b"]);
}

#[tokio::test]
async fn a_node_renamed_behind_the_one_at_which_a_thread_waits_is_taken() {
    let graph = |name: &str| {
        let mut g = builder();
        let asks = g.func("asks", async |ctx: Ctx<Log>| {
            let word: String = ctx.ask("word", "?").await;
            Ok(ran(&ctx).text(word))
        });
        let next = node(&mut g, name);
        chain(&mut g, &[asks, next]);
        g.build().unwrap()
    };
    let store = MemoryCheckpointer::new();
    let report = graph("next").runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap();
    let id = questions(&report)[0].id.clone();
    let before = entries(&store);
    let renamed = graph("renamed").runner().checkpointer(store.clone());
    // The run stands at `asks`; what it has not reached yet may be another node.
    assert_eq!(renamed.load("t").await.unwrap().interrupts[0].id, id);
    assert_eq!(entries(&store), before, "a look writes nothing");
    let report = renamed.answer("t", id, &"x").await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["asks", "renamed"]);
}

#[tokio::test]
async fn a_thread_of_another_graph_is_refused() {
    let graph = |name: &str| {
        let mut g = Builder::new(name);
        let asks = g.func("asks", async |ctx: Ctx<Log>| {
            let word: String = ctx.ask("word", "?").await;
            Ok(ran(&ctx).text(word))
        });
        chain(&mut g, &[asks]);
        g.build().unwrap()
    };
    let store = MemoryCheckpointer::new();
    graph("draft").runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap();
    let before = entries(&store);
    let error = graph("offer").runner().checkpointer(store.clone()).resume("t").await.unwrap_err();
    assert_eq!(error.code(), "SW-X210", "{error}");
    assert!(error.to_string().contains("`draft`") && error.to_string().contains("`offer`"), "{error}");
    assert_eq!(entries(&store), before, "a refused resume writes nothing");
}

mod before {
    use serde::{Deserialize, Serialize};
    use statewright_engine_runtime::*;

    #[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
    pub(super) struct Shape {
        pub(super) field: String,
        pub(super) word: String,
    }
}

mod after {
    use serde::{Deserialize, Serialize};
    use statewright_engine_runtime::*;

    #[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
    pub(super) struct Shape {
        pub(super) field: u32,
        pub(super) word: String,
    }
}

#[tokio::test]
async fn a_field_whose_type_changed_while_a_thread_waits_is_refused() {
    macro_rules! graph {
        ($state:ty, $update:expr) => {{
            let mut g = StateGraph::<$state>::new("shapes");
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
    let old = graph!(before::Shape, before::Shape::update().field("seven"));
    old.runner().checkpointer(store.clone()).start("t", before::Shape::update()).await.unwrap();
    let new = graph!(after::Shape, after::Shape::update().field(7u32));
    let error = new.runner().checkpointer(store.clone()).resume("t").await.unwrap_err();
    assert!(["SW-X231", "SW-X210"].contains(&error.code()), "{} {error}", error.code());
    assert!(error.to_string().contains("Shape"), "{error}");
    let still = old.runner().checkpointer(store).load("t").await.unwrap();
    assert_eq!((still.state.field.as_str(), still.interrupts.len()), ("seven", 1));
}
