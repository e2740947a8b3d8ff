//! Places that few may have at once: whoever fails, waits or dies gives its place back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;
use tokio::time::Instant;

/// `plan` fans out `count` parts to `work`, of which one runs at a time under this policy.
fn one_at_a_time<Fut>(
    count: u32,
    policy: NodePolicy,
    body: impl Fn(Ctx<Log, u32>) -> Fut + Send + Sync + 'static,
) -> Graph<Log>
where
    Fut: Future<Output = Done> + Send + 'static,
{
    let mut g = builder();
    let plan = g.func("plan", move |_: Ctx<Log>| async move { Ok(Spread::Parts((0..count).collect())) });
    let work = g.func("work", body);
    g.policy(work, policy.at_once(1));
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.end(work);
    g.build().unwrap()
}

/// By the paused clock, so that work that nothing will ever wake fails its test at once.
async fn within_an_hour<T>(work: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3_600), work.into_future()).await.expect("this must not hang")
}

/// One panics before there is a future to poll, one while it runs, one fails, one takes too long, one asks.
#[tokio::test(start_paused = true)]
async fn no_slot_leak_on_assign_failure() {
    let broken = Arc::new(AtomicBool::new(true));
    let (flag, witness) = (broken.clone(), Witness::default());
    let seen = witness.clone();
    let policy = NodePolicy::new().run_timeout(Duration::from_secs(5));
    let graph = one_at_a_time(10, policy, move |ctx| {
        let (broken, input) = (flag.load(SeqCst), ctx.input);
        seen.saw(input.to_string());
        assert!(!(broken && input == 1), "before there is a future");
        async move {
            match input {
                3 if broken => panic!("while it runs"),
                5 if broken => return Err(NodeError::permanent("no")),
                7 if broken => std::future::pending::<()>().await,
                9 if broken => drop(ctx.ask::<u64, _>("number", "?").await),
                _ => {}
            }
            Ok(Log::update().total(1u64))
        }
    });
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = within_an_hour(runner.start("t", Log::update())).await.unwrap();
    let Outcome::Failed(failures) = &report.outcome else { panic!("{}", report.describe()) };
    let codes: Vec<&str> = failures.iter().map(|(_, failure)| failure.code.as_str()).collect();
    assert_eq!((codes, report.interrupts.len()), (vec!["SW-X241", "SW-X241", "SW-X240", "SW-X244"], 1));
    assert_eq!(witness.take(), (0..10).map(|part| part.to_string()).collect::<Vec<_>>(), "all had a place");
    broken.store(false, SeqCst);
    let paused = runner.resume("t").await.unwrap();
    let report = runner.answer("t", questions(&paused)[0].id.clone(), &7u64).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.total, 10);
}

/// A part that a provider turns away for a minute leaves its place to the others for that time.
#[tokio::test(start_paused = true)]
async fn rate_limited_slot() {
    let began = Instant::now();
    let clock: Clock = Arc::new(move || began.elapsed().as_millis() as u64);
    let witness = Witness::default();
    let seen = witness.clone();
    let policy = NodePolicy::from(RetryPolicy::new().attempts(2).jitter(0.0));
    let graph = one_at_a_time(4, policy, move |ctx| {
        let seen = seen.clone();
        async move {
            if ctx.input == 0 && ctx.attempt() == 1 {
                return Err(NodeError::transient("busy").retry_after(Duration::from_secs(60)));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen.saw(format!("{} after {}", ctx.input, began.elapsed().as_secs()));
            Ok(ran(&ctx))
        }
    });
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new()).clock(clock);
    expect_finished(&within_an_hour(runner.start("t", Log::update())).await.unwrap());
    assert_eq!(witness.take(), ["1 after 1", "2 after 2", "3 after 3", "0 after 61"]);
}

/// A part is taken up between its steps, and it has its place again: it does not wait for the one that died with it.
#[tokio::test]
async fn recovered_step_boundary_progresses() {
    let graph = |witness: &Witness| {
        let seen = witness.clone();
        one_at_a_time(3, NodePolicy::new(), move |ctx| {
            let seen = seen.clone();
            async move {
                for step in ["first", "second"] {
                    let did = format!("{step} of {}", ctx.input);
                    let seen = seen.clone();
                    let work = async move || {
                        seen.saw(did);
                        Ok(())
                    };
                    ctx.step(step).run(work).await?;
                }
                Ok(Log::update().total(1u64))
            }
        })
    };
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let whole = graph(&witness).runner().checkpointer(store.clone());
    expect_finished(&within(whole.start("t", Log::update())).await.unwrap());
    assert_eq!(witness.take().len(), 6);
    let all = entries(&store);
    for length in 1..all.len() {
        let steps = |body: &Body| matches!(body, Body::Step { .. });
        let kept = records(&all[..length]).iter().filter(|body| steps(body)).count();
        let runner = graph(&witness).runner().checkpointer(crashed_after(&all[..length]).await);
        let report = within(runner.resume("t")).await.unwrap();
        expect_finished(&report);
        assert_eq!((report.state.total, witness.take().len()), (3, 6 - kept), "killed after entry {length}");
    }
}
