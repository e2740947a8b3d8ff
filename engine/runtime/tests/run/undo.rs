//! Undoing effects: in reverse order, when a run is cancelled or fails for good, and never twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use crate::support::*;
use statewright_engine_core::journal::{Body, Undoing};
use statewright_engine_runtime::*;
use tokio::sync::Notify;

/// How the last node of a trip ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Asks,
    Fails,
}

/// What happens outside: bookings, and how often undoing one fails first.
#[derive(Clone, Default)]
struct Outside {
    seen: Witness,
    failures: Arc<AtomicU32>,
}

/// Books a flight, a hotel and a car, and then asks or fails. Each booking is undone by `cancel`.
fn trip(outside: &Outside, end: End, policy: UndoPolicy) -> Builder {
    let mut g = builder();
    let mut nodes: Vec<Handle> = Vec::new();
    for what in ["flight", "hotel", "car"] {
        let seen = outside.seen.clone();
        nodes.push(g.func(what, move |ctx: Ctx<Log>| {
            let seen = seen.clone();
            async move {
                let book = |key: String| async move {
                    seen.saw(format!("book {what} {key}"));
                    Ok(format!("{what} 7"))
                };
                let booked: String = ctx.effect("book").undo_with("cancel", what).run(book).await?;
                Ok(ran(&ctx).text(booked))
            }
        }));
    }
    nodes.push(g.func("last", move |ctx: Ctx<Log>| async move {
        if end == End::Fails {
            return Err(NodeError::permanent("no passport"));
        }
        let answer: String = ctx.ask("go", "?").await;
        Ok(ran(&ctx).text(answer))
    }));
    chain(&mut g, &nodes);
    let outside = outside.clone();
    g.undo("cancel", policy, move |undo: Undo<String, String>| {
        let outside = outside.clone();
        async move {
            let Undo { key, effect_key, payload, result, .. } = undo;
            assert_eq!(result, Some(format!("{payload} 7")));
            assert_eq!(
                outside.seen.count(&format!("book {payload} {effect_key}")),
                1,
                "the effect's own key"
            );
            outside.seen.saw(format!("cancel {payload}"));
            outside.seen.saw(format!("key {key}"));
            let left = outside.failures.load(SeqCst);
            if left > 0 && payload == "hotel" {
                outside.failures.store(left - 1, SeqCst);
                return Err(NodeError::transient("the line is dead"));
            }
            Ok(())
        }
    });
    g
}

fn left(report: &RunReport<Log>) -> Vec<(String, Option<String>)> {
    let Outcome::Compensated { left, .. } = &report.outcome else { panic!("{}", report.describe()) };
    left.iter().map(|left| (left.id.clone(), left.failure.as_ref().map(|f| f.code.clone()))).collect()
}

/// What was undone, in order.
fn undone(outside: &Outside) -> Vec<String> {
    let all = outside.seen.0.lock().unwrap().clone();
    all.into_iter().filter_map(|seen| seen.strip_prefix("cancel ").map(str::to_owned)).collect()
}

fn now() -> RetryPolicy {
    RetryPolicy::new().attempts(3).initial(std::time::Duration::ZERO)
}

#[tokio::test]
async fn a_cancelled_run_is_undone_in_reverse_order_and_is_over() {
    let outside = Outside::default();
    let store = MemoryCheckpointer::new();
    let graph = trip(&outside, End::Asks, UndoPolicy::new()).build().unwrap();
    let runner = graph.runner().checkpointer(store.clone());
    questions(&within(runner.start("t", Log::update())).await.unwrap());
    let report = within(runner.cancel("t")).await.unwrap();
    assert_eq!(left(&report), []);
    assert!(report.describe().contains("is undone"), "{}", report.describe());
    assert_eq!(undone(&outside), ["car", "hotel", "flight"]);
    assert_eq!(within(runner.resume("t")).await.unwrap_err().code(), "SW-X202");
    let found = runner.load("t").await.unwrap();
    assert_eq!(found.status, Status::Stopped(report.outcome.clone()));
    questions(&within(runner.start("t", Log::update())).await.unwrap());
    within(runner.cancel("t")).await.unwrap();
    assert_eq!(undone(&outside).len(), 6, "only its own effects");
}

#[tokio::test]
async fn a_run_that_failed_is_undone_only_where_the_graph_says_so() {
    for compensates in [false, true] {
        let outside = Outside::default();
        let mut g = trip(&outside, End::Fails, UndoPolicy::new());
        if compensates {
            g.compensate_on_failure();
        }
        let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
        let report = within(runner.start("t", Log::update())).await.unwrap();
        if compensates {
            let Outcome::Compensated { failures, left } = &report.outcome else { panic!() };
            assert!(failures[0].1.message.contains("passport") && left.is_empty(), "{failures:?}");
            assert_eq!(undone(&outside), ["car", "hotel", "flight"]);
        } else {
            assert!(matches!(report.outcome, Outcome::Failed(_)));
            assert!(undone(&outside).is_empty(), "it may still be resumed");
            assert_eq!(left(&within(runner.cancel("t")).await.unwrap()), []);
            assert_eq!(undone(&outside).len(), 3);
        }
    }
}

#[tokio::test]
async fn a_run_that_finished_or_did_nothing_has_nothing_to_undo() {
    let outside = Outside::default();
    let runner = trip(&outside, End::Asks, UndoPolicy::new())
        .build()
        .unwrap()
        .runner()
        .checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let answered = within(runner.answer("t", questions(&report)[0].id.clone(), "yes")).await.unwrap();
    expect_finished(&answered);
    assert_eq!(within(runner.cancel("t")).await.unwrap_err().code(), "SW-X202");
    let mut g = builder();
    let asks =
        g.func("asks", async |ctx: Ctx<Log>| Ok(ran(&ctx).text(ctx.ask::<String, _>("go", "?").await)));
    chain(&mut g, &[asks]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(within(runner.cancel("t")).await.unwrap().outcome, Outcome::Cancelled);
    assert!(undone(&outside).is_empty());
}

/// The entries of a trip that was cancelled, with the position of the first one of its undoing.
async fn cancelled(policy: UndoPolicy) -> (Vec<Entry>, usize) {
    let store = MemoryCheckpointer::new();
    let graph = trip(&Outside::default(), End::Asks, policy).build().unwrap();
    let runner = graph.runner().checkpointer(store.clone());
    within(runner.start("t", Log::update())).await.unwrap();
    within(runner.cancel("t")).await.unwrap();
    let all = entries(&store);
    let begins = |cut: &usize| {
        let last = records(&all[..*cut]);
        matches!(last.last(), Some(Body::Undo(undoing)) if matches!(**undoing, Undoing::Begins(_)))
    };
    let begin = (1..=all.len()).find(begins).unwrap();
    (all, begin)
}

/// A world in which everything is booked already, with the keys that the run gave.
async fn booked() -> Outside {
    let outside = Outside::default();
    let graph = trip(&outside, End::Asks, UndoPolicy::new()).build().unwrap();
    within(graph.runner().checkpointer(MemoryCheckpointer::new()).start("t", Log::update())).await.unwrap();
    outside
}

#[tokio::test]
async fn killed_after_any_entry_what_is_undone_is_not_undone_twice() {
    for idempotent in [true, false] {
        let policy = if idempotent { UndoPolicy::new().idempotent() } else { UndoPolicy::new() };
        let (all, begin) = cancelled(policy).await;
        for cut in begin..all.len() {
            let bodies = records(&all[begin..cut]);
            let changes = bodies.len();
            let (ended, begun) = (changes / 2, changes % 2 == 1);
            let outside = booked().await;
            let graph = trip(&outside, End::Asks, policy).build().unwrap();
            let runner = graph.runner().checkpointer(crashed_after(&all[..cut]).await);
            let Ok(report) = within(runner.resume("t")).await else {
                assert_eq!(ended, 3, "cut at {cut}");
                continue;
            };
            let order = ["car", "hotel", "flight"];
            let skipped = ended + usize::from(begun && !idempotent);
            assert_eq!(undone(&outside), order[skipped..], "cut at {cut}, idempotent {idempotent}");
            if begun && !idempotent {
                let unknown = left(&report)[0].0.clone();
                let told = runner.load("t").await.unwrap().unknown_effects;
                assert_eq!(told.as_slice(), std::slice::from_ref(&unknown));
                let settled = runner.settle("t", unknown, Settlement::took_place(&()));
                assert_eq!(left(&within(settled).await.unwrap()), []);
                assert_eq!(undone(&outside), order[skipped..], "settled, not repeated");
            } else {
                assert_eq!(left(&report), []);
            }
        }
    }
}

#[tokio::test]
async fn an_undo_is_tried_again_by_its_policy_with_the_same_key_and_holds_up_no_other_when_it_fails() {
    for failures in [2, 3] {
        let outside = Outside::default();
        let policy = UndoPolicy::new().idempotent().retry(now());
        let graph = trip(&outside, End::Asks, policy).build().unwrap();
        let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
        within(runner.start("t", Log::update())).await.unwrap();
        outside.failures.store(failures, SeqCst);
        let report = within(runner.cancel("t")).await.unwrap();
        assert_eq!(undone(&outside), ["car", "hotel", "hotel", "hotel", "flight"]);
        let mut keys: Vec<String> = outside.seen.take();
        keys.retain(|seen| seen.starts_with("key "));
        assert!(keys[1] == keys[2] && keys[2] == keys[3] && keys[0] != keys[1], "{keys:?}");
        if failures == 2 {
            assert_eq!(left(&report), []);
            continue;
        }
        let [(id, Some(code))] = &left(&report)[..] else { panic!("{}", report.describe()) };
        assert_eq!((id.as_str(), code.as_str()), ("undo book@2.0", "SW-X240"));
        let again = within(runner.start("t", Log::update())).await.unwrap_err();
        assert_eq!(again.code(), "SW-X201", "the run is not over");
    }
}

#[tokio::test]
async fn what_could_not_be_undone_is_tried_again_by_a_resume_or_given_up_by_a_cancel() {
    for gives_up in [false, true] {
        let outside = Outside::default();
        let graph = trip(&outside, End::Asks, UndoPolicy::new().idempotent()).build().unwrap();
        let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
        within(runner.start("t", Log::update())).await.unwrap();
        outside.failures.store(1, SeqCst);
        assert_eq!(left(&within(runner.cancel("t")).await.unwrap()).len(), 1);
        if gives_up {
            assert_eq!(within(runner.cancel("t")).await.unwrap().outcome, Outcome::Cancelled);
        } else {
            assert_eq!(left(&within(runner.resume("t")).await.unwrap()), []);
        }
        assert_eq!(undone(&outside).len(), if gives_up { 3 } else { 4 });
        questions(&within(runner.start("t", Log::update())).await.unwrap());
    }
}

#[tokio::test]
async fn a_missing_handler_is_told_and_nothing_is_lost() {
    let graph = trip(&Outside::default(), End::Asks, UndoPolicy::new()).build().unwrap();
    let store = MemoryCheckpointer::new();
    within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    let mut g = builder();
    let nodes: Vec<Handle> = ["flight", "hotel", "car", "last"].map(|name| node(&mut g, name)).into();
    chain(&mut g, &nodes);
    let bare = g.build().unwrap().runner().checkpointer(store.clone());
    let codes: Vec<_> =
        left(&within(bare.cancel("t")).await.unwrap()).into_iter().map(|left| left.1).collect();
    assert_eq!(codes, vec![Some("SW-X280".to_owned()); 3]);
    let outside = booked().await;
    let graph = trip(&outside, End::Asks, UndoPolicy::new()).build().unwrap();
    assert_eq!(left(&within(graph.runner().checkpointer(store).resume("t")).await.unwrap()), []);
    assert_eq!(undone(&outside), ["car", "hotel", "flight"]);
}

#[tokio::test]
async fn an_effect_under_way_when_its_run_is_cancelled_is_unknown_and_its_node_is_dropped() {
    let begun = Arc::new(Notify::new());
    let signal = begun.clone();
    let seen = Witness::default();
    let witness = seen.clone();
    let mut g = builder();
    let pay = g.func("pay", move |ctx: Ctx<Log>| {
        let signal = signal.clone();
        async move {
            let pay = |_| async move {
                signal.notify_one();
                std::future::pending::<Result<u32, NodeError>>().await
            };
            let paid: u32 = ctx.effect("pay").undo_with("refund", &900).run(pay).await?;
            Ok(ran(&ctx).total(u64::from(paid)))
        }
    });
    chain(&mut g, &[pay]);
    g.undo("refund", UndoPolicy::new(), move |undo: Undo<u32, u32>| {
        let seen = witness.clone();
        async move {
            seen.saw(format!("refund {} {:?}", undo.payload, undo.result));
            Ok(())
        }
    });
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let run = runner.start("t", Log::update());
    let control = run.control();
    let (report, ()) = within(async {
        tokio::join!(run.into_future(), async {
            begun.notified().await;
            control.cancel();
        })
    })
    .await;
    assert_eq!(left(&report.unwrap()), [("undo pay@1.0".to_owned(), None)]);
    // Somebody looked: it was paid, so it is to be undone.
    let settled = runner.settle("t", "undo pay@1.0", Settlement::did_not_take_place());
    assert_eq!(left(&within(settled).await.unwrap()), []);
    assert_eq!(seen.take(), ["refund 900 None"]);
}

#[tokio::test]
async fn an_effect_that_a_retry_was_given_again_is_undone_once() {
    let outside = Outside::default();
    let seen = outside.seen.clone();
    let mut g = builder();
    let flaky = g.func("flaky", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            let book = |_| async move {
                seen.saw("book");
                Ok("seat 7".to_owned())
            };
            let _: String = ctx.effect("book").undo_with("cancel", "seat").run(book).await?;
            Err::<LogUpdate, _>(NodeError::transient("again"))
        }
    });
    chain(&mut g, &[flaky]);
    g.policy(flaky, now());
    g.compensate_on_failure();
    let undoing = outside.clone();
    g.undo("cancel", UndoPolicy::new(), move |undo: Undo<String, String>| {
        undoing.seen.saw(format!("cancel {}", undo.payload));
        async { Ok(()) }
    });
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    assert_eq!(left(&within(runner.start("t", Log::update())).await.unwrap()), []);
    assert_eq!(outside.seen.take(), ["book", "cancel seat"]);
}
