//! Questions: asked once, answered by id, each answer for one question only; a pause survives everything.

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;

/// Two nodes at once, each with a question of its own, and a node that waits for both.
fn two_askers(witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let first = node(&mut g, "first");
    let [left, right] = ["left", "right"].map(|name| {
        let witness = witness.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            let witness = witness.clone();
            async move {
                witness.saw(format!("{name} from the top"));
                let word: String = ctx.ask("word", &format!("{name}?")).await;
                witness.saw(format!("{name} goes on"));
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
async fn two_questions_at_once_are_answered_one_by_one() {
    for right_first in [false, true] {
        let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
        let graph = two_askers(&witness);
        let runner = graph.runner().checkpointer(store.clone());
        let report = within(runner.start("t", Log::update())).await.unwrap();
        let mut open = questions(&report);
        assert_eq!(open.len(), 2);
        assert_ne!(open[0].id, open[1].id, "one name, two questions");
        let asked: String = rmp_serde::from_slice(&open[1].question).unwrap();
        assert_eq!((asked.as_str(), graph.plan().node_name(open[1].node)), ("right?", "right"));
        witness.take();
        let answered = open.swap_remove(usize::from(right_first));
        let name = graph.plan().node_name(answered.node).to_owned();
        let report = within(runner.answer("t", answered.id.clone(), &"one")).await.unwrap();
        assert_eq!(questions(&report), open, "the other one is still open");
        assert_eq!(witness.take(), [format!("{name} from the top"), format!("{name} goes on")]);
        assert_eq!(report.state.trace, ["first"], "the superstep is not over");
        // Elsewhere, after a crash.
        let runner = two_askers(&witness).runner().checkpointer(crashed_after(&entries(&store)).await);
        let twice = within(runner.answer("t", answered.id, &"again")).await.unwrap_err();
        assert!(["SW-X203", "SW-X204"].contains(&twice.code()), "{} {twice}", twice.code());
        let report = within(runner.answer("t", open[0].id.clone(), &"two")).await.unwrap();
        expect_finished(&report);
        let words = if right_first { ["two", "one"] } else { ["one", "two"] };
        assert_eq!(report.state.trace, ["first", "left", words[0], "right", words[1], "last"]);
    }
}

#[tokio::test]
async fn resuming_without_an_answer_pauses_again_and_runs_nothing() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let runner = two_askers(&witness).runner().checkpointer(store);
    let first = within(runner.start("t", Log::update())).await.unwrap();
    witness.take();
    for _ in 0..3 {
        let again = within(runner.resume("t")).await.unwrap();
        assert_eq!((&again.outcome, again.run), (&first.outcome, first.run.clone()));
    }
    assert!(witness.take().is_empty());
}

#[tokio::test]
async fn unknown_ids_and_answers_after_the_end_are_refused_and_name_what_is_open() {
    let runner = two_askers(&Witness::default()).runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let open = questions(&report);
    let error = runner.answer("t", "nobody", &"x").await.unwrap_err();
    assert_eq!(error.code(), "SW-X203");
    for words in ["nobody", &open[0].id, &open[1].id] {
        assert!(error.to_string().contains(words), "{error}");
    }
    let other = runner.answer("another thread", open[0].id.clone(), &"x").await.unwrap_err();
    assert_eq!(other.code(), "SW-X202", "{other}");
    for question in &open {
        within(runner.answer("t", question.id.clone(), &"x")).await.unwrap();
    }
    let late = runner.answer("t", open[0].id.clone(), &"x").await.unwrap_err();
    assert_eq!(late.code(), "SW-X202", "{late}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Approval {
    yes: bool,
    limit: Option<u32>,
}

fn one_asker() -> Graph<Log> {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let approval: Approval = ctx.ask("approve", &("question", 7)).await;
        Ok(ran(&ctx).text(format!("{approval:?}")))
    });
    chain(&mut g, &[asks]);
    g.build().unwrap()
}

#[tokio::test]
async fn an_answer_of_the_wrong_type_opens_the_question_again_and_says_why() {
    let store = MemoryCheckpointer::new();
    let runner = one_asker().runner().checkpointer(store.clone());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    let id = questions(&report)[0].id.clone();
    assert_eq!(questions(&report)[0].rejected, None);
    for _ in 0..3 {
        report = within(runner.answer("t", id.clone(), &vec![1, 2])).await.unwrap();
        let open = questions(&report);
        assert_eq!((open.len(), &open[0].id), (1, &id), "the same question");
        let why = "`[1,2]` is not of the type `Approval`: invalid type: integer `1`, expected a boolean";
        assert_eq!(open[0].rejected.as_deref(), Some(why));
        assert_eq!(runner.load("t").await.unwrap().interrupts, open, "stored as told");
    }
    let elsewhere = one_asker().runner().checkpointer(crashed_after(&entries(&store)).await);
    assert_eq!(elsewhere.load("t").await.unwrap().interrupts, questions(&report));
    let approval = Approval { yes: true, limit: None };
    let report = within(elsewhere.answer("t", id, &approval)).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, format!("{approval:?}"));
}

#[tokio::test]
async fn an_answer_may_be_json() {
    let runner = one_asker().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let value = serde_json::json!({ "limit": 3, "yes": false });
    let report = within(runner.answer("t", questions(&report)[0].id.clone(), &value)).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, "Approval { yes: false, limit: Some(3) }");
}

#[tokio::test]
async fn several_questions_in_one_node_are_asked_in_turn() {
    let witness = Witness::default();
    let seen = witness.clone();
    let mut g = builder();
    let asks = g.func("asks", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            let mut update = ran(&ctx);
            for index in 0..3 {
                seen.saw(format!("asks {index}"));
                let number: u32 = ctx.ask(&format!("number {index}"), &index).await;
                update = update.total(u64::from(number));
            }
            Ok(update)
        }
    });
    chain(&mut g, &[asks]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    let mut ids = Vec::new();
    for index in 0..3u32 {
        let open = questions(&report);
        assert_eq!((open.len(), open[0].name.as_str()), (1, format!("number {index}").as_str()));
        ids.push(open[0].id.clone());
        report = within(runner.answer("t", open[0].id.clone(), &10u32.pow(index))).await.unwrap();
    }
    expect_finished(&report);
    assert_eq!(report.state.total, 111);
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert_eq!(witness.count("asks 0"), 4, "from the top, once for each answer");
}

#[tokio::test]
async fn questions_of_a_loop_are_asked_in_each_round() {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let number: u32 = ctx.ask("number", "?").await;
        Ok(ran(&ctx).total(u64::from(number)))
    });
    g.start(asks);
    let again = |state: &Log| if state.trace.len() < 3 { Fork::Left } else { Fork::Right };
    g.branch(asks, again, ForkEdges { left: asks.to().at_most(2), right: To::END });
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    let mut ids = Vec::new();
    for round in 0..3u32 {
        let open = questions(&report);
        assert!(!ids.contains(&open[0].id), "an old answer is not used again");
        ids.push(open[0].id.clone());
        report = within(runner.answer("t", open[0].id.clone(), &10u32.pow(round))).await.unwrap();
    }
    expect_finished(&report);
    assert_eq!(report.state.total, 111);
}

#[tokio::test]
async fn a_question_beside_a_failure_is_still_open_afterwards() {
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = std::sync::Arc::clone(&broken);
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", "?").await;
        Ok(ran(&ctx).text(word))
    });
    let fails = g.func("fails", move |ctx: Ctx<Log>| {
        let broken = flag.load(std::sync::atomic::Ordering::SeqCst);
        async move { if broken { Err(NodeError::permanent("broken")) } else { Ok(ran(&ctx)) } }
    });
    let last = node(&mut g, "last");
    g.start(asks);
    g.start(fails);
    g.join((asks, fails), last);
    g.end(last);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(report.interrupts.len(), 1, "{}", report.describe());
    assert!(!matches!(report.outcome, Outcome::Finished), "{}", report.describe());
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    let id = report.interrupts[0].id.clone();
    let report = within(runner.answer("t", id, &"yes")).await.unwrap();
    let report =
        if report.outcome == Outcome::Finished { report } else { within(runner.resume("t")).await.unwrap() };
    expect_finished(&report);
    assert_eq!((report.state.text.as_str(), report.state.trace.len()), ("yes", 3));
}

#[tokio::test]
async fn a_question_asked_from_a_task_of_the_node_pauses_too() {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let update = ran(&ctx);
        let task = tokio::spawn(async move { ctx.ask::<String, _>("word", "?").await });
        Ok(update.text(task.await?))
    });
    chain(&mut g, &[asks]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let id = questions(&report)[0].id.clone();
    let report = within(runner.answer("t", id, &"yes")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, "yes");
}

#[tokio::test]
async fn two_questions_asked_at_once_in_one_node_are_both_answered_in_the_end() {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let (one, two) = tokio::join!(ctx.ask::<u64, _>("one", "?"), ctx.ask::<u64, _>("two", "?"));
        Ok(ran(&ctx).total(one * 10 + two))
    });
    chain(&mut g, &[asks]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    for _ in 0..2 {
        let open = questions(&report);
        let value = if open[0].name == "one" { 4 } else { 2 };
        report = within(runner.answer("t", open[0].id.clone(), &value)).await.unwrap();
    }
    expect_finished(&report);
    assert_eq!(report.state.total, 42);
}

#[tokio::test]
async fn a_pause_without_a_store_is_told_and_lost() {
    let runner = one_asker().runner();
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let id = questions(&report)[0].id.clone();
    let error = runner.answer("t", id, &1).await.unwrap_err();
    assert_eq!(error.code(), "SW-X206", "{error}");
    for error in [runner.resume("t").await.unwrap_err(), runner.cancel("t").await.unwrap_err()] {
        assert_eq!(error.code(), "SW-X206");
    }
    assert_eq!(runner.load("t").await.unwrap_err().code(), "SW-X206");
}

#[tokio::test]
async fn an_answer_that_was_stored_before_a_crash_counts_and_a_second_one_is_refused() {
    let store = MemoryCheckpointer::new();
    let runner = one_asker().runner().checkpointer(store.clone());
    let id = questions(&within(runner.start("t", Log::update())).await.unwrap())[0].id.clone();
    let first = Approval { yes: true, limit: Some(1) };
    expect_finished(&within(runner.answer("t", id.clone(), &first)).await.unwrap());
    let all = entries(&store);
    let answered =
        (1..=all.len()).find(|cut| matches!(records(&all[..*cut]).last(), Some(Body::Answered { .. })));
    let runner = one_asker().runner().checkpointer(crashed_after(&all[..answered.unwrap()]).await);
    let second = Approval { yes: false, limit: None };
    let error = within(runner.answer("t", id, &second)).await.unwrap_err();
    assert_eq!(error.code(), "SW-X204", "{error}");
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, format!("{first:?}"));
}

#[tokio::test]
async fn of_a_fan_out_a_question_says_which_activation_asks() {
    let mut g = builder();
    let plan = g.func("plan", async |ctx: Ctx<Log>| Ok((ran(&ctx), Spread::Parts(vec![1, 2, 3]))));
    let work = g.func("work", async |ctx: Ctx<Log, u32>| {
        if ctx.input == 2 {
            let _: u32 = ctx.ask("why", "?").await;
        }
        Ok(ran(&ctx))
    });
    let gather = node(&mut g, "gather");
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: gather.to() });
    g.edge(work, gather);
    g.any(gather);
    g.end(gather);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    let report = run.await.unwrap();
    let asked = questions(&report).remove(0).activation;
    assert_eq!((asked.superstep, asked.index), (2, 1));
    assert_eq!(runner.load("t").await.unwrap().interrupts[0].activation, asked);
    let mut told = None;
    while let Some(event) = events.next().await {
        if let RunEvent::Asked(question) = event {
            told = Some(question.activation);
        }
    }
    assert_eq!(told, Some(asked));
}
