//! Panics in the user's code: a node's is a failure, a branch's and a reducer's fail the run and leave no trace in
//! the state, and after the cause is mended the run goes on.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[tokio::test]
async fn a_node_that_panics_is_a_failure_and_its_sibling_finishes() {
    let broken = Arc::new(AtomicBool::new(true));
    let witness = Witness::default();
    let mut g = builder();
    let a = node(&mut g, "a");
    let (flag, seen) = (Arc::clone(&broken), witness.clone());
    let bad = g.func("bad", move |ctx: Ctx<Log>| {
        let broken = flag.load(Ordering::SeqCst);
        seen.saw("bad");
        async move {
            assert!(!broken, "the sky falls");
            Ok(ran(&ctx))
        }
    });
    let seen = witness.clone();
    let good = g.func("good", move |ctx: Ctx<Log>| {
        seen.saw("good");
        async move {
            tokio::task::yield_now().await;
            Ok(ran(&ctx))
        }
    });
    let last = node(&mut g, "last");
    g.start(a);
    g.edge(a, bad);
    g.edge(a, good);
    g.join((bad, good), last);
    g.end(last);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let (node, failure) = failure(&report, &graph);
    assert_eq!((node.as_deref(), failure.code.as_str()), (Some("bad"), "SW-X241"));
    assert!(failure.message.contains("the sky falls"), "{failure}");
    broken.store(false, Ordering::SeqCst);
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!((witness.count("bad"), witness.count("good")), (2, 1));
    assert_eq!(report.state.trace, ["a", "bad", "good", "last"]);
}

#[tokio::test]
async fn a_node_that_panics_before_its_first_await_or_with_anything_is_a_failure_too() {
    for case in 0..3 {
        let mut g = builder();
        let bad = g.func("bad", move |_: Ctx<Log>| {
            assert!(case != 0, "before there is a future");
            async move {
                if case == 1 {
                    panic_any(17_u8);
                }
                let owned = "words".to_owned();
                assert!(case != 2, "{owned} of {case}");
                Ok(Log::update())
            }
        });
        chain(&mut g, &[bad]);
        let graph = g.build().unwrap();
        let report = within(graph.runner().start("t", Log::update())).await.unwrap();
        let (_, failure) = failure(&report, &graph);
        let words = ["before there is a future", "", "words of 2"][case];
        assert!(failure.code == "SW-X241" && failure.message.contains(words), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_on_several_threads_is_a_failure_too() {
    let mut g = builder();
    let bad = g.func("bad", async |ctx: Ctx<Log>| {
        tokio::task::yield_now().await;
        assert!(ctx.state.total > 0, "the sky falls");
        Ok(ran(&ctx))
    });
    chain(&mut g, &[bad]);
    let graph = g.build().unwrap();
    let report = within(graph.runner().start("t", Log::update())).await.unwrap();
    assert_eq!(failure(&report, &graph).1.code, "SW-X241");
}

#[tokio::test]
async fn a_branch_that_panics_fails_the_run_and_resume_goes_on_once_it_is_mended() {
    let broken = Arc::new(AtomicBool::new(true));
    let witness = Witness::default();
    let (flag, seen) = (Arc::clone(&broken), witness.clone());
    let mut g = builder();
    let work = g.func("work", move |ctx: Ctx<Log>| {
        seen.saw("work");
        async move { Ok(ran(&ctx)) }
    });
    let last = node(&mut g, "last");
    g.start(work);
    let decide = move |_: &Log| {
        assert!(!flag.load(Ordering::SeqCst), "no decision");
        Fork::Left
    };
    g.branch(work, decide, ForkEdges { left: last.to(), right: To::END });
    g.end(last);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    for report in [runner.start("t", Log::update()).await.unwrap(), runner.resume("t").await.unwrap()] {
        let (_, failure) = failure(&report, &graph);
        assert_eq!(failure.code, "SW-X223", "{failure}");
        assert!(failure.message.contains("`work`") && failure.message.contains("no decision"), "{failure}");
        assert!(report.state.trace.is_empty(), "nothing of the superstep is committed");
    }
    broken.store(false, Ordering::SeqCst);
    let report = runner.resume("t").await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["work", "last"]);
    assert_eq!(witness.count("work"), 1, "the node was finished, only the commit was not");
}

/// Each test has a fuse of its own, since a reducer is a function and has no other way to know.
macro_rules! fused_state {
    ($module:ident) => {
        mod $module {
            use super::*;

            pub(super) static BROKEN: AtomicBool = AtomicBool::new(true);

            fn explodes(present: &mut Vec<u32>, value: Vec<u32>) {
                present.extend(&value);
                assert!(value != [13] || !BROKEN.load(Ordering::SeqCst), "unlucky {value:?}");
            }

            #[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            pub(super) struct Fused {
                #[reduce(append)]
                pub(super) trace: Vec<String>,
                #[reduce(with = explodes)]
                pub(super) numbers: Vec<u32>,
                #[reduce(append)]
                pub(super) behind: Vec<String>,
            }

            pub(super) fn graph(witness: &Witness) -> Graph<Fused> {
                let mut g = StateGraph::<Fused>::new("fused");
                let [a, b, c] = [("a", 1), ("b", 13), ("c", 2)].map(|(name, number)| {
                    let witness = witness.clone();
                    g.func(name, move |_: Ctx<Fused>| {
                        witness.saw(name);
                        async move {
                            let update = Fused::update().trace(name.to_owned()).numbers(vec![number]);
                            Ok(update.behind(name.to_owned()))
                        }
                    })
                });
                let d = g.func("d", async |_: Ctx<Fused>| Ok(Fused::update().trace("d".to_owned())));
                g.start(a);
                g.edge(a, b);
                g.edge(a, c);
                g.join((b, c), d);
                g.end(d);
                g.build().unwrap()
            }
        }
    };
}

fused_state!(with_a_journal);
fused_state!(without_a_journal);
fused_state!(on_the_input);

#[tokio::test]
async fn a_reducer_that_panics_fails_the_run_and_the_state_is_loaded_again() {
    use with_a_journal::*;
    let witness = Witness::default();
    let runner = graph(&witness).runner().checkpointer(MemoryCheckpointer::new());
    for report in
        [within(runner.start("t", Fused::update())).await.unwrap(), within(runner.resume("t")).await.unwrap()]
    {
        let Outcome::Failed(failures) = &report.outcome else { panic!("{}", report.describe()) };
        assert_eq!((failures.len(), failures[0].1.code.as_str()), (1, "SW-X224"), "{}", report.describe());
        assert!(failures[0].1.message.contains("unlucky [13]"), "{}", failures[0].1);
        let half_written = &report.state;
        assert_eq!(
            (half_written.trace.as_slice(), half_written.numbers.as_slice()),
            (&["a".to_owned()][..], &[1][..])
        );
        assert_eq!(runner.load("t").await.unwrap().state, report.state);
    }
    BROKEN.store(false, Ordering::SeqCst);
    let report = within(runner.resume("t")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished, "{}", report.describe());
    assert_eq!(report.state.trace, ["a", "b", "c", "d"]);
    assert_eq!((report.state.numbers.as_slice(), report.state.behind.len()), (&[1, 13, 2][..], 3));
    assert_eq!((witness.count("a"), witness.count("b"), witness.count("c")), (1, 1, 1));
}

#[tokio::test]
async fn a_reducer_that_panics_without_a_journal_loses_the_state_and_says_so() {
    use without_a_journal::*;
    let error = within(graph(&Witness::default()).runner().start("t", Fused::update())).await.unwrap_err();
    assert_eq!(error.code(), "SW-X207", "{error}");
    assert!(error.to_string().contains("unlucky [13]"), "{error}");
}

#[tokio::test]
async fn an_input_on_which_a_reducer_panics_begins_no_run() {
    use on_the_input::*;
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let runner = graph(&witness).runner().checkpointer(store.clone());
    let error = within(runner.start("t", Fused::update().trace("in".to_owned()).numbers(vec![13])))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "SW-X205", "{error}");
    assert!(error.to_string().contains("unlucky [13]"), "{error}");
    assert_eq!((witness.take().len(), entries(&store).len()), (0, 0));
    BROKEN.store(false, Ordering::SeqCst);
    let report = within(runner.start("t", Fused::update())).await.unwrap();
    assert_eq!(report.state.trace, ["a", "b", "c", "d"], "the refused input left nothing behind");
}
