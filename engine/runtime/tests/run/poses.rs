//! Typed questions: several at once, answers that are checked, deadlines, and what other engines got wrong about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Approval {
    cents: u64,
}

impl Question for Approval {
    type Answer = u64;
    const NAME: &'static str = "approval";

    fn check(&self, granted: &u64) -> Result<(), String> {
        if *granted <= self.cents { Ok(()) } else { Err(format!("at most {} can be granted", self.cents)) }
    }
}

fn one<Fut>(work: impl Fn(Ctx<Log>) -> Fut + Send + Sync + 'static) -> Graph<Log>
where
    Fut: Future<Output = Done> + Send + 'static,
{
    let mut g = builder();
    let only = g.func("only", work);
    chain(&mut g, &[only]);
    g.build().unwrap()
}

fn approving() -> Graph<Log> {
    one(async |ctx: Ctx<Log>| {
        let granted = ctx.pose(&Approval { cents: 900 }).await;
        Ok(ran(&ctx).total(granted))
    })
}

#[tokio::test]
async fn a_typed_question_checks_its_answer_and_says_what_is_wrong_with_it() {
    let runner = approving().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let open = questions(&report);
    assert_eq!((open[0].id.as_str(), open[0].name.as_str()), ("approval@1.0", "approval"));
    assert_eq!(rmp_serde::from_slice::<Approval>(&open[0].question).unwrap(), Approval { cents: 900 });
    let report = within(runner.answer("t", "approval@1.0", &1000u64)).await.unwrap();
    assert_eq!(questions(&report)[0].rejected.as_deref(), Some("at most 900 can be granted"));
    let report = within(runner.answer("t", "approval@1.0", &"yes")).await.unwrap();
    assert!(questions(&report)[0].rejected.is_some());
    let report = within(runner.answer("t", "approval@1.0", &800u64)).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.total, 800);
}

#[tokio::test]
async fn questions_asked_at_once_are_all_open_before_the_pause_and_over_a_crash() {
    let witness = Witness::default();
    let graph = |witness: &Witness| {
        let seen = witness.clone();
        one(move |ctx| {
            seen.saw("runs");
            async move {
                let (low, high) = (Approval { cents: 10 }, Approval { cents: 900 });
                let (one, two, three) = tokio::join!(
                    ctx.pose(&low).at(0).into_future(),
                    ctx.pose(&high).at(1).into_future(),
                    ctx.ask::<u64, _>("three", "?"),
                );
                Ok(ran(&ctx).total(one + two + three))
            }
        })
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let store = MemoryCheckpointer::new();
        let runner = graph(&witness).runner().checkpointer(store.clone());
        let report = within(runner.start("t", Log::update())).await.unwrap();
        let open = questions(&report);
        let ids: Vec<&str> = open.iter().map(|question| question.id.as_str()).collect();
        assert_eq!(ids, ["approval#0@1.0", "approval#1@1.0", "three@1.0"]);
        // Elsewhere, from the snapshot and from the records alone.
        let all = entries(&store);
        for entries in [&all[..], &all[..all.len() - 1]] {
            let runner = graph(&witness).runner().checkpointer(crashed_after(entries).await);
            assert_eq!(runner.load("t").await.unwrap().interrupts, open);
            witness.take();
            let mut report = None;
            for (number, place) in order.into_iter().enumerate() {
                let answered =
                    within(runner.answer("t", ids[place], &10u64.pow(place as u32))).await.unwrap();
                assert_eq!(answered.interrupts.len(), 2 - number);
                report = Some(answered);
            }
            let report = report.unwrap();
            expect_finished(&report);
            assert_eq!((report.state.total, witness.count("runs")), (111, 1), "again when all are answered");
        }
    }
}

#[tokio::test]
async fn two_questions_of_one_name_at_once_are_an_error() {
    let graph = one(async |ctx: Ctx<Log>| {
        let (one, two) = tokio::join!(ctx.ask::<u64, _>("same", "?"), ctx.ask::<u64, _>("same", "?"));
        Ok(ran(&ctx).total(one + two))
    });
    let report = within(graph.runner().start("t", Log::update())).await.unwrap();
    let failure = failure(&report, &graph).1;
    assert_eq!(failure.code, "SW-X259", "{failure}");
}

#[tokio::test]
async fn a_question_that_expires_is_answered_by_its_default_and_by_nothing_else() {
    let now = Arc::new(AtomicU64::new(1_000));
    let graph = one(async |ctx: Ctx<Log>| {
        let approval = Approval { cents: 900 };
        let granted = ctx.pose(&approval).expires(Duration::from_secs(60), &1).await;
        Ok(ran(&ctx).total(granted))
    });
    for expired in [false, true] {
        now.store(1_000, SeqCst);
        let clock = now.clone();
        let store = MemoryCheckpointer::new();
        let runner = graph.runner().checkpointer(store).clock(Arc::new(move || clock.load(SeqCst)));
        let report = within(runner.start("t", Log::update())).await.unwrap();
        assert_eq!(questions(&report)[0].deadline_ms, Some(61_000));
        now.store(if expired { 61_000 } else { 60_999 }, SeqCst);
        let report = within(runner.resume("t")).await.unwrap();
        if expired {
            expect_finished(&report);
            assert_eq!(report.state.total, 1);
            continue;
        }
        assert_eq!(questions(&report).len(), 1, "it is not too late");
        now.store(61_000, SeqCst);
        let late = within(runner.answer("t", "approval@1.0", &5u64)).await.unwrap_err();
        assert_eq!(late.code(), "SW-X258", "{late}");
        assert_eq!(within(runner.resume("t")).await.unwrap().finished().unwrap().total, 1);
    }
}

#[tokio::test]
async fn a_default_that_its_own_check_refuses_cannot_be_posed() {
    let graph = one(async |ctx: Ctx<Log>| {
        let approval = Approval { cents: 900 };
        let granted = ctx.pose(&approval).expires(Duration::from_secs(60), &1_000).await;
        Ok(ran(&ctx).total(granted))
    });
    let report = within(graph.runner().start("t", Log::update())).await.unwrap();
    let failure = failure(&report, &graph).1;
    assert_eq!(failure.code, "SW-X234");
    assert!(failure.message.contains("its default answer does not pass its own check"), "{failure}");
}

/// A later build checks more strictly than the one that posed the question.
#[tokio::test]
async fn a_default_that_a_later_build_refuses_leaves_the_question_to_a_person() {
    let now = Arc::new(AtomicU64::new(1_000));
    let asking = |cents: u64| {
        one(move |ctx: Ctx<Log>| async move {
            let approval = Approval { cents };
            let granted = match cents {
                900 => ctx.pose(&approval).expires(Duration::from_secs(60), &500).await,
                _ => ctx.pose(&approval).await,
            };
            Ok(ran(&ctx).total(granted))
        })
    };
    let store = MemoryCheckpointer::new();
    let clock = || {
        let now = now.clone();
        Arc::new(move || now.load(SeqCst))
    };
    let runner = |cents| asking(cents).runner().checkpointer(store.clone()).clock(clock());
    within(runner(900).start("t", Log::update())).await.unwrap();
    now.store(61_000, SeqCst);
    let report = within(runner(100).resume("t")).await.unwrap();
    let open = questions(&report).remove(0);
    assert!(open.rejected.is_some() && open.deadline_ms.is_none(), "{open:?}");
    let report = within(runner(100).answer("t", open.id, &50u64)).await.unwrap();
    assert_eq!(report.finished().unwrap().total, 50);
}

/// `left` and `right` ask at once, after `first`; `left` asks again in a second round.
fn askers(witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let seen = witness.clone();
    let first = g.func("first", move |ctx: Ctx<Log>| {
        seen.saw("first");
        async move { Ok(ran(&ctx)) }
    });
    let [left, right] = ["left", "right"].map(|name| {
        let seen = witness.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            let seen = seen.clone();
            async move {
                let word: String = ctx.ask(name, &format!("{name}?")).await;
                seen.saw(format!("{name} got {word}"));
                Ok(ran(&ctx).trace(word))
            }
        })
    });
    let last = node(&mut g, "last");
    g.start(first);
    g.edge(first, left);
    g.edge(first, right);
    g.join((left, right), last);
    g.end(last);
    g.build().unwrap()
}

#[tokio::test]
async fn resume_one_of_n_only_one() {
    let witness = Witness::default();
    let runner = askers(&witness).runner().checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update())).await.unwrap();
    witness.take();
    let report = within(runner.answer("t", "right@2.1", &"r")).await.unwrap();
    assert_eq!(witness.take(), ["right got r"]);
    assert_eq!(questions(&report)[0].id, "left@2.0");
}

#[tokio::test]
async fn parallel_suspend_keeps_sibling_payload() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let runner = askers(&witness).runner().checkpointer(store.clone());
    let before = questions(&within(runner.start("t", Log::update())).await.unwrap());
    within(runner.answer("t", "left@2.0", &"l")).await.unwrap();
    let elsewhere = askers(&witness).runner().checkpointer(crashed_after(&entries(&store)).await);
    assert_eq!(elsewhere.load("t").await.unwrap().interrupts, before[1..], "as it was asked");
    let report = within(elsewhere.answer("t", "right@2.1", &"r")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["first", "left", "l", "right", "r", "last"]);
}

#[tokio::test]
async fn resume_does_not_rerun_previous_step() {
    let witness = Witness::default();
    let runner = askers(&witness).runner().checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update())).await.unwrap();
    within(runner.answer("t", "left@2.0", &"l")).await.unwrap();
    expect_finished(&within(runner.answer("t", "right@2.1", &"r")).await.unwrap());
    assert_eq!(witness.take(), ["first", "left got l", "right got r"]);
}

#[tokio::test]
async fn hosted_restart_restores_pending_request() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let runner = askers(&witness).runner().checkpointer(store.clone());
    let open = questions(&within(runner.start("t", Log::update())).await.unwrap());
    let all = entries(&store);
    // From the snapshot that the pause left, and after a crash before it was written.
    for entries in [&all[..], &all[..all.len() - 1]] {
        let restarted = askers(&witness).runner().checkpointer(crashed_after(entries).await);
        let state = restarted.load("t").await.unwrap();
        assert_eq!(
            (state.status, &state.interrupts),
            (Status::Stopped(Outcome::Paused(open.clone())), &open)
        );
        assert_eq!(questions(&within(restarted.resume("t")).await.unwrap()), open);
    }
    assert_eq!(witness.count("first"), 1, "not from the entry");
}

#[tokio::test]
async fn resume_requires_no_new_input() {
    let witness = Witness::default();
    let runner = askers(&witness).runner().checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update().text("the input"))).await.unwrap();
    within(runner.answer("t", "left@2.0", &"l")).await.unwrap();
    let report = within(runner.answer("t", "right@2.1", &"r")).await.unwrap();
    assert_eq!(report.finished().unwrap().text, "the input");
}

#[tokio::test]
async fn resume_while_sibling_runs() {
    // `slow` fails after `asks` has paused: what is taken up again is the failure alone, and then the answer.
    let broken = Arc::new(AtomicU64::new(1));
    let (witness, flag) = (Witness::default(), broken.clone());
    let mut g = builder();
    let seen = witness.clone();
    let slow = g.func("slow", move |ctx: Ctx<Log>| {
        let (seen, broken) = (seen.clone(), flag.load(SeqCst));
        async move {
            tokio::task::yield_now().await;
            seen.saw("slow");
            if broken > 0 { Err(NodeError::transient("broken")) } else { Ok(ran(&ctx)) }
        }
    });
    let done = node(&mut g, "done");
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", "?").await;
        Ok(ran(&ctx).trace(word))
    });
    let last = node(&mut g, "last");
    g.start(slow);
    g.start(done);
    g.start(asks);
    g.join((slow, done, asks), last);
    g.end(last);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Failed(_)) && report.interrupts.len() == 1);
    broken.store(0, SeqCst);
    let report = within(runner.resume("t")).await.unwrap();
    assert_eq!(questions(&report).len(), 1);
    let report = within(runner.answer("t", "word@1.2", &"w")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["slow", "done", "asks", "w", "last"], "no finished branch reverts");
    assert_eq!(witness.count("slow"), 2);
}

#[tokio::test]
async fn hitl_in_sequence_and_loop_pauses_and_loop_after_resume_gets_fresh_input() {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let one: u64 = ctx.ask("one", &ctx.state.total).await;
        let two: u64 = ctx.ask("two", &one).await;
        Ok(ran(&ctx).total(one * 10 + two))
    });
    g.start(asks);
    let again = |state: &Log| if state.trace.len() < 2 { Fork::Left } else { Fork::Right };
    g.branch(asks, again, ForkEdges { left: asks.to().at_most(1), right: To::END });
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    for (id, about, value) in [("one@1.0", 0, 1u64), ("two@1.0", 1, 2), ("one@2.0", 12, 3), ("two@2.0", 3, 4)]
    {
        let open = questions(&report);
        assert_eq!((open.len(), open[0].id.as_str()), (1, id), "it pauses at each");
        assert_eq!(rmp_serde::from_slice::<u64>(&open[0].question).unwrap(), about);
        report = within(runner.answer("t", id, &value)).await.unwrap();
    }
    expect_finished(&report);
    assert_eq!(report.state.total, 12 + 34, "no old answer is used again");
}
