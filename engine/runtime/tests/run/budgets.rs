//! Budgets: reserved before something is spent, shared by everything that runs at the same time, settled after it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::support::*;
use statewright_engine_core::ThreadView;
use statewright_engine_core::journal::{Body, StepState};
use statewright_engine_runtime::*;
use tokio::sync::Barrier;

const COST: &[(&str, u64)] = &[("calls", 1), ("tokens", 100)];

/// A model outside, which counts its calls and takes 40 tokens for each.
#[derive(Clone, Default)]
struct Meter(Arc<AtomicU64>);

impl Meter {
    fn call(&self) -> u64 {
        self.0.fetch_add(1, SeqCst);
        40
    }

    fn calls(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

/// One row of what was counted: limit, spent, estimated, open.
fn row(spending: &[Spending], scope: &Scope, unit: &str) -> (Option<u64>, u64, u64, u64) {
    let row = spending.iter().find(|row| row.scope == *scope && row.unit == unit);
    row.map(|row| (row.limit, row.spent, row.estimated, row.open)).unwrap_or_default()
}

fn of_node(name: &str) -> Scope {
    Scope::OneNode(name.to_owned())
}

fn shortages(report: &RunReport<Log>) -> Vec<Shortage> {
    let Outcome::BudgetExceeded(short) = &report.outcome else { panic!("{}", report.describe()) };
    short.iter().map(|(_, shortage)| shortage.clone()).collect()
}

/// `spread` sends so many parts to `work`, each of which makes one call, by what is given.
fn spread<Fut>(parts: u32, work: impl Fn(Ctx<Log, u32>) -> Fut + Send + Sync + 'static) -> Builder
where
    Fut: Future<Output = Done> + Send + 'static,
{
    let mut g = builder();
    let first =
        g.func(
            "spread",
            move |ctx: Ctx<Log>| async move { Ok((ran(&ctx), Spread::Parts((0..parts).collect()))) },
        );
    let work = g.func("work", work);
    g.start(first);
    g.route(first, SpreadEdges { parts: work.to(), nothing: To::END });
    g.end(work);
    g
}

/// Each part reserves, calls, and settles.
fn calls(parts: u32, meter: &Meter) -> Builder {
    let meter = meter.clone();
    spread(parts, move |ctx| {
        let meter = meter.clone();
        async move {
            let grant = ctx.reserve(COST).await?;
            tokio::task::yield_now().await;
            grant.settle(&[("tokens", meter.call())]);
            Ok(ran(&ctx))
        }
    })
}

#[tokio::test]
async fn parallel_nodes_never_pass_a_limit_and_a_resume_with_another_one_goes_on() {
    let meter = Meter::default();
    let mut g = calls(10, &meter);
    g.run_budget(Budget::new().limit("calls", 4));
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(meter.calls(), 4, "exact units do not overshoot");
    let short = shortages(&report);
    assert_eq!(short.len(), 6, "{short:?}");
    assert_eq!((short[0].limit, short[0].spent, short[0].wanted), (4, 4, 1), "{short:?}");
    assert!(report.describe().contains("of 4 calls, 4 are spent"), "{}", report.describe());
    let report = within(runner.resume("t")).await.unwrap();
    assert_eq!((shortages(&report).len(), meter.calls()), (6, 4), "the same limit stops it again");
    let raised = runner.resume("t").run_budget(Budget::new().limit("calls", 7));
    assert_eq!(shortages(&within(raised).await.unwrap()).len(), 3);
    let report = within(runner.resume("t").run_budget(Budget::new().limit("calls", 10))).await.unwrap();
    expect_finished(&report);
    assert_eq!(meter.calls(), 10, "nothing that had finished ran again");
    assert_eq!(row(&report.spending, &Scope::Run, "calls"), (Some(10), 10, 0, 0));
    assert_eq!(row(&report.spending, &of_node("work"), "tokens"), (None, 400, 0, 0));
}

#[tokio::test]
async fn a_claim_waits_for_what_others_may_give_back() {
    let meter = Meter::default();
    let mut g = calls(10, &meter);
    // Two ceilings fit at a time, and all ten calls only by what they really take.
    g.thread_budget(Budget::new().limit("tokens", 460));
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    let report = within(run).await.unwrap();
    expect_finished(&report);
    assert_eq!(row(&report.spending, &Scope::Thread, "tokens"), (Some(460), 400, 0, 0));
    let (mut open, mut most, mut waited) = (0u64, 0, 0);
    while let Some(event) = events.next().await {
        match event {
            RunEvent::Budget { event: BudgetEvent::Reserved(_), .. } => open += 1,
            RunEvent::Budget { event: BudgetEvent::Settled { estimated, .. }, .. } => {
                assert!(!estimated);
                open -= 1;
            }
            RunEvent::Budget { event: BudgetEvent::Waits(_), .. } => waited += 1,
            _ => {}
        }
        most = most.max(open);
    }
    assert!(waited > 0 && most <= 4, "{waited} waited, and {most} were open at once");
}

#[tokio::test]
async fn what_cannot_fit_is_refused_at_once_and_a_node_may_go_another_way() {
    let mut g = builder();
    let thrifty = g.func("thrifty", async |ctx: Ctx<Log>| {
        let held = ctx.reserve(&[("tokens", 500)]).await?;
        let refused = ctx.reserve(&[("tokens", 2_000)]).await.unwrap_err();
        held.release();
        let grant = ctx.reserve(&[("tokens", 1_000)]).await?;
        grant.settle(&[]);
        Ok(ran(&ctx).text(refused.to_failure(&[]).code))
    });
    chain(&mut g, &[thrifty]);
    g.node_budget(thrifty, Budget::new().limit("tokens", 1_000));
    let report = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, "SW-X276");
    assert_eq!(row(&report.spending, &of_node("thrifty"), "tokens"), (Some(1_000), 1_000, 0, 0));
}

#[tokio::test]
async fn two_that_hold_and_want_more_are_decided_and_not_stuck() {
    let both = Arc::new(Barrier::new(2));
    let mut g = spread(2, move |ctx| {
        let both = both.clone();
        async move {
            let first = ctx.reserve(&[("slots", 1)]).await?;
            if ctx.attempt() == 1 {
                both.wait().await;
            }
            let second = ctx.reserve(&[("slots", 1)]).await?;
            first.settle(&[]);
            second.release();
            Ok(ran(&ctx))
        }
    });
    g.run_budget(Budget::new().limit("slots", 2));
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert!(!shortages(&report).is_empty());
    let spent = row(&report.spending, &Scope::Run, "slots");
    assert!(spent.1 <= 2 && spent.3 == 0, "{spent:?}");
    let raised = runner.resume("t").run_budget(Budget::new().limit("slots", 9));
    expect_finished(&within(raised).await.unwrap());
}

/// A node whose only call is a step or an effect that reserves.
fn metered(meter: &Meter, effect: bool) -> Graph<Log> {
    let meter = meter.clone();
    let mut g = builder();
    let ask = g.func("ask", move |ctx: Ctx<Log>| {
        let meter = meter.clone();
        async move {
            let spent = |tokens: &u64| [("tokens", *tokens)];
            let tokens: u64 = if effect {
                let work = |_| async move { Ok(meter.call()) };
                ctx.effect("call").reserving(COST).settling(spent).run(work).await?
            } else {
                let work = || async move { Ok(meter.call()) };
                ctx.step("call").reserving(COST).settling(spent).run(work).await?
            };
            Ok(ran(&ctx).total(tokens))
        }
    });
    let last = node(&mut g, "last");
    chain(&mut g, &[ask, last]);
    g.run_budget(Budget::new().limit("calls", 5).limit("tokens", 500));
    g.build().unwrap()
}

async fn whole_run(graph: &Graph<Log>) -> Vec<Entry> {
    let store = MemoryCheckpointer::new();
    let report = within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!(row(&report.spending, &Scope::Run, "tokens"), (Some(500), 40, 0, 0));
    entries(&store)
}

#[tokio::test]
async fn a_step_settles_in_the_record_of_its_result_and_an_effect_begins_with_its_reservation() {
    let step = records(&whole_run(&metered(&Meter::default(), false)).await);
    let [Body::Opened(_), Body::Budget(reserved), Body::Step { step, budget: Some(settled), .. }, ..] =
        step.as_slice()
    else {
        panic!("{step:?}")
    };
    assert!(reserved.opened.is_some() && matches!(step.state, StepState::Finished(_)));
    assert_eq!(settled.settled[0].spent, [("calls".to_owned(), 1), ("tokens".to_owned(), 40)].into());
    let effect = records(&whole_run(&metered(&Meter::default(), true)).await);
    let [
        Body::Opened(_),
        Body::Step { step: begun, budget: Some(reserved), .. },
        Body::Step { step: ended, budget: Some(settled), .. },
        Body::Finished { budget: None, .. },
        Body::Finished { .. },
    ] = effect.as_slice()
    else {
        panic!("{effect:?}")
    };
    assert!(begun.state == StepState::Started && reserved.opened.is_some());
    assert!(matches!(ended.state, StepState::Finished(_)) && settled.settled.len() == 1);
}

#[tokio::test]
async fn a_bare_reservation_costs_one_record_and_its_settlement_none() {
    let store = MemoryCheckpointer::new();
    let runner = calls(1, &Meter::default()).build().unwrap().runner().checkpointer(store.clone());
    expect_finished(&within(runner.start("t", Log::update())).await.unwrap());
    let bodies = records(&entries(&store));
    let [
        Body::Opened(_),
        Body::Finished { .. },
        Body::Budget(_),
        Body::Finished { budget: Some(change), .. },
    ] = bodies.as_slice()
    else {
        panic!("{bodies:?}")
    };
    assert!(change.settled.len() == 1 && !change.settled[0].estimated);
}

#[tokio::test]
async fn killed_after_any_entry_an_open_reservation_counts_at_its_ceiling_unless_the_result_is_stored() {
    let all = whole_run(&metered(&Meter::default(), false)).await;
    for cut in 1..all.len() {
        let bodies = records(&all[..cut]);
        let open = matches!(bodies.last(), Some(Body::Budget(_)));
        let kept = bodies.iter().any(|body| matches!(body, Body::Step { .. }));
        let meter = Meter::default();
        let runner = metered(&meter, false).runner().checkpointer(crashed_after(&all[..cut]).await);
        let before = runner.load("t").await.unwrap().spending;
        assert_eq!(row(&before, &Scope::Run, "tokens").3, if open { 100 } else { 0 });
        let report = within(runner.resume("t")).await.unwrap();
        expect_finished(&report);
        assert_eq!(meter.calls(), u64::from(!kept), "cut at {cut}");
        let expected = if open { (Some(500), 140, 100, 0) } else { (Some(500), 40, 0, 0) };
        assert_eq!(row(&report.spending, &Scope::Run, "tokens"), expected, "cut at {cut}");
    }
}

#[tokio::test]
async fn attempts_share_the_budget_and_an_unsettled_one_counts_in_full() {
    let meter = Meter::default();
    let outside = meter.clone();
    let mut g = builder();
    let flaky = g.func("flaky", move |ctx: Ctx<Log>| {
        let meter = outside.clone();
        async move {
            let grant = ctx.reserve(COST).await?;
            let tokens = meter.call();
            if meter.calls() < 10 {
                return Err(NodeError::transient("again"));
            }
            grant.settle(&[("tokens", tokens)]);
            Ok(ran(&ctx))
        }
    });
    chain(&mut g, &[flaky]);
    let retry = RetryPolicy::new().attempts(20).initial(std::time::Duration::ZERO);
    g.policy(flaky, retry);
    let caught = g.func("caught", async |ctx: Ctx<Log, NodeFailure>| Ok(ran(&ctx)));
    g.end(caught);
    g.on_error(flaky, caught);
    g.node_budget(flaky, Budget::new().limit("calls", 3));
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(shortages(&report).len(), 1, "neither a retry nor a handler takes it over");
    assert_eq!(meter.calls(), 3);
    assert_eq!(row(&report.spending, &of_node("flaky"), "tokens"), (None, 300, 300, 0));
    let unknown = within(runner.resume("t").node_budget("flacky", Budget::new())).await.unwrap_err();
    assert_eq!(unknown.code(), "SW-X279");
    let raised = runner.resume("t").node_budget("flaky", Budget::new().limit("calls", 10));
    let report = within(raised).await.unwrap();
    expect_finished(&report);
    assert_eq!(row(&report.spending, &of_node("flaky"), "tokens"), (None, 940, 900, 0));
}

#[tokio::test]
async fn a_new_run_begins_at_zero_and_the_thread_does_not() {
    let meter = Meter::default();
    let mut g = calls(2, &meter);
    g.run_budget(Budget::new().limit("calls", 2));
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let five = || Budget::new().limit("calls", 5);
    expect_finished(&within(runner.start("t", Log::update()).thread_budget(five())).await.unwrap());
    let own = runner.start("t", Log::update()).run_budget(Budget::new().limit("calls", 1));
    assert_eq!(shortages(&within(own).await.unwrap())[0].scope, Scope::Run);
    let raised = runner.resume("t").run_budget(Budget::new().limit("calls", 2));
    expect_finished(&within(raised).await.unwrap());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let short = shortages(&report);
    assert_eq!((&short[0].scope, short[0].limit, short[0].spent), (&Scope::Thread, 5, 5));
    assert_eq!(row(&report.spending, &Scope::Run, "calls"), (Some(2), 1, 0, 0), "the graph's limit is back");
    assert_eq!(meter.calls(), 5);
}

#[tokio::test]
async fn a_fork_begins_with_the_counters_of_its_origin_and_the_view_of_a_thread_has_them() {
    let meter = Meter::default();
    let store = MemoryCheckpointer::new();
    let mut g = calls(3, &meter);
    g.thread_budget(Budget::new().limit("calls", 2));
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(shortages(&report).len(), 1);
    let last = entries(&store).len() as u64;
    runner.fork("t", last, "other", Log::update()).await.unwrap();
    let raised = runner.resume("other").thread_budget(Budget::new().limit("calls", 3));
    let report = within(raised).await.unwrap();
    expect_finished(&report);
    assert_eq!(row(&report.spending, &Scope::Thread, "calls"), (Some(3), 3, 0, 0));
    let origin = runner.load("t").await.unwrap().spending;
    assert_eq!(row(&origin, &Scope::Thread, "calls"), (Some(2), 2, 0, 0));
    for (thread, spending) in [("t", origin), ("other", report.spending)] {
        let all = store.all(&ThreadId::new(thread));
        let view = ThreadView::read(graph.plan(), &all).unwrap();
        assert_eq!(view.spending, spending, "{thread}");
    }
}

#[tokio::test]
async fn a_node_that_stops_waiting_gives_nothing_up_and_holds_nothing() {
    let holding = Arc::new(Barrier::new(2));
    let given_up = Arc::new(Barrier::new(2));
    let mut g = spread(2, move |ctx| {
        let (holding, given_up) = (holding.clone(), given_up.clone());
        async move {
            if ctx.input == 0 {
                let grant = ctx.reserve(&[("slots", 1)]).await?;
                holding.wait().await;
                given_up.wait().await;
                grant.release();
            } else {
                holding.wait().await;
                let waits = ctx.reserve(&[("slots", 1)]);
                tokio::select! {
                    biased;
                    granted = waits => panic!("it was granted: {granted:?}"),
                    () = std::future::ready(()) => {}
                }
                given_up.wait().await;
                ctx.reserve(&[("slots", 1)]).await?.settle(&[]);
            }
            Ok(ran(&ctx))
        }
    });
    g.run_budget(Budget::new().limit("slots", 1));
    let report = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!(row(&report.spending, &Scope::Run, "slots"), (Some(1), 1, 0, 0));
}

#[tokio::test]
async fn a_settlement_before_a_question_is_stored_with_the_pause_and_a_cancelled_run_counts_what_is_open() {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        ctx.reserve(COST).await?.settle(&[("tokens", 7)]);
        let _held = ctx.reserve(COST).await?;
        let answer: String = ctx.ask("go", "?").await;
        Ok(ran(&ctx).text(answer))
    });
    chain(&mut g, &[asks]);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    questions(&report);
    assert_eq!(row(&report.spending, &Scope::Run, "tokens"), (None, 107, 100, 0));
    let stored = crashed_after(&entries(&store)).await;
    let found = runner.clone().checkpointer(stored).load("t").await.unwrap();
    assert_eq!(found.spending, report.spending);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let mut g = builder();
    let odd = g.func("odd", async |ctx: Ctx<Log>| {
        let code = |result: Result<Grant, NodeError>| result.unwrap_err().to_failure(&[]).code;
        let many: Vec<String> = (0..17).map(|unit| format!("u{unit}")).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|unit| (unit.as_str(), 1)).collect();
        let mut codes: BTreeSet<String> = BTreeSet::new();
        for amounts in [&[][..], &[("", 1)], &[("u".repeat(65).as_str(), 1)], &many] {
            codes.insert(code(ctx.reserve(amounts).await));
        }
        let inside = ctx.step("outer").reserving(&[("calls", 1)]).run(|| async {
            let refused = ctx.step("inner").reserving(&[("calls", 1)]).run(|| async { Ok(1u8) }).await;
            Ok(refused.unwrap_err().to_failure(&[]).code)
        });
        codes.insert(inside.await?);
        Ok(ran(&ctx).text(codes.into_iter().collect::<Vec<_>>().join(" ")))
    });
    chain(&mut g, &[odd]);
    let report = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, "SW-X277 SW-X278");
}

#[tokio::test]
async fn what_a_call_takes_above_its_ceiling_is_counted_and_nothing_more_is_granted() {
    let meter = Meter::default();
    let outside = meter.clone();
    let mut g = spread(4, move |ctx| {
        let meter = outside.clone();
        async move {
            let grant = ctx.reserve(&[("tokens", 10)]).await?;
            grant.settle(&[("tokens", meter.call())]);
            Ok(ran(&ctx))
        }
    });
    g.run_budget(Budget::new().limit("tokens", 10));
    let report = within(g.build().unwrap().runner().start("t", Log::update())).await.unwrap();
    assert_eq!((shortages(&report).len(), meter.calls()), (3, 1));
    assert_eq!(row(&report.spending, &Scope::Run, "tokens"), (Some(10), 40, 0, 0));
}
