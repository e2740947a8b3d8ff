//! Questions that nobody answers in time: posed to somebody else, and in the end answered by a default or failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;
use tokio::time::{Instant, sleep};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Approval;

impl Question for Approval {
    type Answer = u64;
    const NAME: &'static str = "approval";
}

const MINUTE: Duration = Duration::from_secs(60);

/// Asks ops, after a minute the lead, after another one the head, who has two; then `end` says what counts.
async fn ask(ctx: &Ctx<Log>, default: Option<u64>) -> u64 {
    let pose = ctx.pose(&Approval).to("ops").escalates(MINUTE, "lead").escalates(MINUTE, "head");
    match default {
        Some(default) => pose.expires(2 * MINUTE, &default).await,
        None => pose.fails(2 * MINUTE).await,
    }
}

fn asking(default: Option<u64>) -> Graph<Log> {
    let mut g = builder();
    let only = g.func("only", move |ctx: Ctx<Log>| async move {
        let granted = ask(&ctx, default).await;
        Ok(ran(&ctx).total(granted))
    });
    chain(&mut g, &[only]);
    g.build().unwrap()
}

fn by_hand(now: &Arc<AtomicU64>) -> Clock {
    let now = now.clone();
    Arc::new(move || now.load(SeqCst))
}

/// Who is asked, on which level, and until when.
fn asked(report: &RunReport<Log>) -> (String, u32, u64) {
    let [question] = &questions(report)[..] else { panic!("{}", report.describe()) };
    assert_eq!(question.id, "approval@1.0", "it stays one question");
    (question.to.clone().unwrap(), question.level, question.deadline_ms.unwrap() / 1000)
}

#[tokio::test]
async fn a_question_climbs_level_by_level_and_then_has_its_default_also_while_nobody_drives() {
    let now = Arc::new(AtomicU64::new(0));
    let store = MemoryCheckpointer::new();
    let runner = || asking(Some(7)).runner().checkpointer(store.clone()).clock(by_hand(&now));
    assert_eq!(asked(&within(runner().start("t", Log::update())).await.unwrap()), ("ops".to_owned(), 0, 60));
    now.store(59_000, SeqCst);
    assert_eq!(asked(&within(runner().resume("t")).await.unwrap()), ("ops".to_owned(), 0, 60));
    // Nobody drove for an hour: the lead is asked only now, and has a whole minute.
    now.store(3_600_000, SeqCst);
    assert_eq!(asked(&within(runner().resume("t")).await.unwrap()), ("lead".to_owned(), 1, 3_660));
    now.store(3_660_000, SeqCst);
    assert_eq!(asked(&within(runner().resume("t")).await.unwrap()), ("head".to_owned(), 2, 3_780));
    assert_eq!(runner().load("t").await.unwrap().interrupts[0].level, 2, "over a restart");
    now.store(3_780_000, SeqCst);
    let late = within(runner().answer("t", "approval@1.0", &5u64)).await.unwrap_err();
    assert_eq!(late.code(), "SW-X258", "{late}");
    assert_eq!(within(runner().resume("t")).await.unwrap().finished().unwrap().total, 7);
    let climbs: Vec<(String, u32)> = records(&entries(&store))
        .into_iter()
        .filter_map(|body| match body {
            Body::Escalated { to, level, .. } => Some((to, level)),
            _ => None,
        })
        .collect();
    assert_eq!(climbs, [("lead".to_owned(), 1), ("head".to_owned(), 2)]);
}

#[tokio::test]
async fn whoever_is_asked_first_may_still_answer_when_somebody_else_is_due() {
    let now = Arc::new(AtomicU64::new(0));
    let runner = asking(Some(7)).runner().checkpointer(MemoryCheckpointer::new()).clock(by_hand(&now));
    within(runner.start("t", Log::update())).await.unwrap();
    now.store(600_000, SeqCst);
    let report = within(runner.answer("t", "approval@1.0", &5u64)).await.unwrap();
    assert_eq!(report.finished().unwrap().total, 5);
}

#[tokio::test]
async fn without_a_default_the_node_fails_and_a_resume_asks_again_from_the_first_level() {
    let now = Arc::new(AtomicU64::new(0));
    let graph = asking(None);
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone()).clock(by_hand(&now));
    within(runner.start("t", Log::update())).await.unwrap();
    for (at_ms, level) in [(60_000, 1), (120_000, 2)] {
        now.store(at_ms, SeqCst);
        assert_eq!(asked(&within(runner.resume("t")).await.unwrap()).1, level);
    }
    now.store(240_000, SeqCst);
    let report = within(runner.resume("t")).await.unwrap();
    let (node, failure) = failure(&report, &graph);
    assert_eq!((node.as_deref(), failure.code.as_str()), (Some("only"), "SW-X271"));
    assert_eq!(failure.message, "nobody answered the question `approval` in time");
    let again = graph.runner().checkpointer(crashed_after(&entries(&store)).await).clock(by_hand(&now));
    assert_eq!(asked(&within(again.resume("t")).await.unwrap()), ("ops".to_owned(), 0, 300));
}

/// A clock that goes with the paused one of the test.
fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || began.elapsed().as_millis() as u64)
}

/// `only` asks while `slow` runs for ten minutes.
fn beside_a_slow_one(default: Option<u64>, handler: bool) -> Graph<Log> {
    let mut g = builder();
    let first = node(&mut g, "first");
    let only = g.func("only", move |ctx: Ctx<Log>| async move {
        let granted = ask(&ctx, default).await;
        Ok(ran(&ctx).total(granted))
    });
    let slow = g.func("slow", async |ctx: Ctx<Log>| {
        sleep(10 * MINUTE).await;
        Ok(ran(&ctx))
    });
    g.start(first);
    g.edge(first, only.to().and(slow));
    g.end(only);
    g.end(slow);
    if handler {
        let handler =
            g.func("handler", async |ctx: Ctx<Log, NodeFailure>| Ok(ran(&ctx).text(ctx.input.code)));
        g.on_error(only, handler);
        g.end(handler);
    }
    g.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn while_siblings_run_a_drive_heeds_the_time_of_its_questions() {
    let graph = beside_a_slow_one(Some(7), false);
    let store = MemoryCheckpointer::new();
    let mut run = graph.runner().checkpointer(store.clone()).clock(clock()).start("t", Log::update());
    let mut events = run.events();
    let report = run.await.unwrap();
    assert_eq!(report.finished().unwrap().total, 7, "one drive did it all");
    let mut levels = Vec::new();
    while let Some(event) = events.next().await {
        if let RunEvent::Asked(question) = event {
            levels.push(question.level);
        }
    }
    assert_eq!(levels, [0, 1, 2], "and told whoever watches");
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_question_leads_to_the_error_handler() {
    let graph = beside_a_slow_one(None, true);
    let report = graph
        .runner()
        .checkpointer(MemoryCheckpointer::new())
        .clock(clock())
        .start("t", Log::update())
        .await
        .unwrap();
    let state = report.finished().unwrap();
    assert_eq!((state.trace.join(" "), state.text.as_str()), ("first slow handler".to_owned(), "SW-X271"));
}
