//! Effects: begun only once that is durable, never repeated unasked, settled by look-up or by an operator.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::support::*;
use statewright_engine_core::journal::{Body, StepState};
use statewright_engine_runtime::*;

/// The system outside: it counts what is done to it, by key.
#[derive(Clone, Default)]
struct Outside {
    done: Arc<Mutex<Vec<String>>>,
    broken: Arc<AtomicBool>,
}

impl Outside {
    fn pay(&self, key: &str) -> Result<u64, NodeError> {
        self.done.lock().unwrap().push(key.to_owned());
        if self.broken.load(SeqCst) { Err(NodeError::transient("the line is dead")) } else { Ok(7) }
    }

    fn payments(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Plain,
    Idempotent,
    /// The look-up says what the outside has.
    Verified,
}

fn charges(outside: &Outside, how: How) -> Graph<Log> {
    let outside = outside.clone();
    let mut g = builder();
    let charge = g.func("charge", move |ctx: Ctx<Log>| {
        let outside = outside.clone();
        async move {
            let effect = ctx.effect("pay").input(&900);
            let pay = async |key: String| outside.pay(&key);
            let receipt = match how {
                How::Plain => effect.run(|key| async move { pay(key).await }).await?,
                How::Idempotent => effect.idempotent().run(|key| async move { pay(key).await }).await?,
                How::Verified => {
                    let known = outside.payments();
                    let verify = |key: String| async move { Ok(known.contains(&key).then_some(70u64)) };
                    effect.verify(verify).run(|key| async move { pay(key).await }).await?
                }
            };
            Ok(ran(&ctx).total(receipt))
        }
    });
    let last = node(&mut g, "last");
    chain(&mut g, &[charge, last]);
    g.build().unwrap()
}

/// The entries of a whole run, cut behind the record that the effect began.
async fn begun(how: How) -> Vec<Entry> {
    let store = MemoryCheckpointer::new();
    let runner = charges(&Outside::default(), how).runner().checkpointer(store.clone());
    expect_finished(&within(runner.start("t", Log::update())).await.unwrap());
    let mut all = entries(&store);
    let is_start = |body: &Body| matches!(body, Body::Step { step, .. } if step.state == StepState::Started);
    let cut = (1..=all.len()).find(|cut| records(&all[..*cut]).last().is_some_and(is_start)).unwrap();
    all.truncate(cut);
    all
}

#[tokio::test]
async fn an_effect_that_began_and_was_not_seen_to_end_is_unknown_and_not_repeated() {
    let outside = Outside::default();
    let graph = charges(&outside, How::Plain);
    let runner = graph.runner().checkpointer(crashed_after(&begun(How::Plain).await).await);
    assert_eq!(runner.load("t").await.unwrap().unknown_effects, ["pay@1.0"]);
    for _ in 0..3 {
        let report = within(runner.resume("t")).await.unwrap();
        let (node, failure) = failure(&report, &graph);
        assert_eq!((node.as_deref(), failure.code.as_str()), (Some("charge"), "SW-X252"));
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(failure.message.contains("`pay`") && failure.message.contains("`pay@1.0`"), "{failure}");
    }
    assert!(outside.payments().is_empty(), "it was not repeated");
}

#[tokio::test]
async fn an_operator_settles_an_unknown_effect_by_its_result_or_by_doing_it() {
    let stored = begun(How::Plain).await;
    let settlements = [(Settlement::took_place(&5u64), 5, 0), (Settlement::did_not_take_place(), 7, 1)];
    for (settlement, total, payments) in settlements {
        for resumed_before in [false, true] {
            let outside = Outside::default();
            let runner = charges(&outside, How::Plain).runner().checkpointer(crashed_after(&stored).await);
            if resumed_before {
                within(runner.resume("t")).await.unwrap();
            }
            let wrong = within(runner.settle("t", "pay@9.9", settlement.clone())).await.unwrap_err();
            assert_eq!(wrong.code(), "SW-X255");
            assert!(wrong.to_string().contains("pay@1.0"), "{wrong}");
            let report = within(runner.settle("t", "pay@1.0", settlement.clone())).await.unwrap();
            expect_finished(&report);
            assert_eq!((report.state.total, outside.payments().len()), (total, payments));
            let late = within(runner.settle("t", "pay@1.0", settlement.clone())).await.unwrap_err();
            assert_eq!(late.code(), "SW-X202", "{late}");
        }
    }
}

#[tokio::test]
async fn a_settlement_survives_a_crash_right_after_it() {
    let store = crashed_after(&begun(How::Plain).await).await;
    let outside = Outside::default();
    let runner = charges(&outside, How::Plain).runner().checkpointer(store.clone());
    within(runner.settle("t", "pay@1.0", Settlement::took_place(&5u64))).await.unwrap();
    let all = entries(&store);
    let cut = (1..=all.len()).find(|cut| matches!(records(&all[..*cut]).last(), Some(Body::Settled { .. })));
    let runner =
        charges(&outside, How::Plain).runner().checkpointer(crashed_after(&all[..cut.unwrap()]).await);
    let again = within(runner.settle("t", "pay@1.0", Settlement::did_not_take_place())).await.unwrap_err();
    assert_eq!(again.code(), "SW-X255", "the first settlement counts: {again}");
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, outside.payments().len()), (5, 0));
}

#[tokio::test]
async fn an_unknown_effect_is_looked_up_and_done_only_if_it_did_not_take_place() {
    let stored = begun(How::Verified).await;
    for took_place in [true, false] {
        let outside = Outside::default();
        let store = crashed_after(&stored).await;
        if took_place {
            outside.pay(&key_of_the_run().await).unwrap();
        }
        let runner = charges(&outside, How::Verified).runner().checkpointer(store);
        let report = within(runner.resume("t")).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.total, if took_place { 70 } else { 7 });
        assert_eq!(outside.payments().len(), 1, "once, by whoever did it");
    }
}

async fn key_of_the_run() -> String {
    let outside = Outside::default();
    within(charges(&outside, How::Plain).runner().start("t", Log::update())).await.unwrap();
    outside.payments().remove(0)
}

#[tokio::test]
async fn the_key_is_the_same_for_every_execution_and_another_for_every_thread_activation_and_name() {
    let outside = Outside::default();
    outside.broken.store(true, SeqCst);
    let graph = charges(&outside, How::Idempotent);
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update())).await.unwrap();
    within(runner.resume("t")).await.unwrap();
    outside.broken.store(false, SeqCst);
    expect_finished(&within(runner.resume("t")).await.unwrap());
    within(runner.start("other", Log::update())).await.unwrap();
    within(runner.start("t", Log::update())).await.unwrap();
    let keys = outside.payments();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert!(keys[0] == keys[1] && keys[1] == keys[2], "one key for one activation: {keys:?}");
    assert!(keys[2] != keys[3] && keys[3] != keys[4] && keys[2] != keys[4], "{keys:?}");
    assert_eq!(keys[0], key_of_the_run().await, "whoever drives it");
    let mut g = builder();
    let names = g.func("names", async |ctx: Ctx<Log>| {
        let keys = [ctx.effect("a").key(), ctx.effect("b").key(), ctx.effect("a").at(0).key()];
        Ok(ran(&ctx).text(keys.join(" ")))
    });
    chain(&mut g, &[names]);
    let state = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap().state;
    let mut keys: Vec<&str> = state.text.split(' ').collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((keys.len(), keys[0].len()), (3, 32));
}

#[tokio::test]
async fn an_effect_that_failed_is_unknown_to_the_next_execution_unless_it_says_that_nothing_happened() {
    for harmless in [false, true] {
        let turns = Arc::new(Mutex::new(0));
        let count = turns.clone();
        let mut g = builder();
        let charge = g.func("charge", move |ctx: Ctx<Log>| {
            let turns = count.clone();
            async move {
                let work = |_| async move {
                    let mut turns = turns.lock().unwrap();
                    *turns += 1;
                    match (*turns, harmless) {
                        (1, false) => Err(NodeError::transient("timed out")),
                        (1, true) => Err(NodeError::transient("refused").without_effect()),
                        _ => Ok(7u64),
                    }
                };
                let receipt = ctx.effect("pay").run(work).await?;
                Ok(ran(&ctx).total(receipt))
            }
        });
        chain(&mut g, &[charge]);
        let graph = g.build().unwrap();
        let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
        let report = within(runner.start("t", Log::update())).await.unwrap();
        assert_eq!(failure(&report, &graph).1.kind, FailureKind::Transient, "its own error, the first time");
        let report = within(runner.resume("t")).await.unwrap();
        if harmless {
            expect_finished(&report);
            assert_eq!(report.state.total, 7);
        } else {
            assert_eq!(failure(&report, &graph).1.code, "SW-X252");
            assert_eq!(*turns.lock().unwrap(), 1);
        }
    }
}

#[tokio::test]
async fn a_node_can_take_an_unknown_outcome_as_a_value() {
    let mut g = builder();
    let charge = g.func("charge", async |ctx: Ctx<Log>| {
        let paid: Result<u64, EffectError> =
            ctx.effect("pay").input(&900).run(|_| async { Err(NodeError::transient("dead")) }).await;
        match paid {
            Err(EffectError::Unknown(unknown)) => Ok(ran(&ctx).text(unknown.id)),
            Err(EffectError::Failed(error)) => Err(error),
            Ok(_) => unreachable!(),
        }
    });
    let last = node(&mut g, "last");
    chain(&mut g, &[charge, last]);
    let runner = g.build().unwrap().runner().checkpointer(crashed_after(&begun(How::Plain).await).await);
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, "pay@1.0");
}

#[tokio::test]
async fn that_an_effect_begins_is_stored_at_every_level() {
    let store = MemoryCheckpointer::new();
    let outside = Outside::default();
    outside.broken.store(true, SeqCst);
    let graph = charges(&outside, How::Plain);
    let runner = graph.runner().checkpointer(store.clone()).durability(Durability::Exit);
    within(runner.start("t", Log::update())).await.unwrap();
    // The first entry is what a crash during the effect leaves.
    let runner =
        graph.runner().checkpointer(crashed_after(&entries(&store)[..1]).await).durability(Durability::Exit);
    assert_eq!(runner.load("t").await.unwrap().unknown_effects, ["pay@1.0"]);
    let report = within(runner.resume("t")).await.unwrap();
    assert_eq!(failure(&report, &graph).1.code, "SW-X252");
    assert_eq!(outside.payments().len(), 1);
    let report = within(runner.settle("t", "pay@1.0", Settlement::took_place(&5u64))).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.total, 5);
}
