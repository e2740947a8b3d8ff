//! Trying again: back-off, providers that say when to come back, limits of time. The clock is paused, so that waits
//! take no time and are exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::*;
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;
use tokio::time::Instant;

/// The paused clock, from a second after 1970 on.
fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || 1_000 + began.elapsed().as_millis() as u64)
}

fn exact(attempts: u32) -> RetryPolicy {
    RetryPolicy::new().attempts(attempts).jitter(0.0).initial(Duration::from_secs(1))
}

/// A graph of one node that fails a number of times, with a witness of when it ran.
fn failing(
    times: u32,
    policy: impl Into<NodePolicy>,
    error: impl Fn() -> NodeError + Send + Sync + 'static,
) -> (Graph<Log>, Witness) {
    let (witness, error, calls) = (Witness::default(), Arc::new(error), Arc::new(AtomicU32::new(0)));
    let mut g = builder();
    let began = Instant::now();
    let seen = witness.clone();
    let node = g.func("shaky", move |ctx: Ctx<Log>| {
        let (seen, error, calls) = (seen.clone(), error.clone(), calls.clone());
        async move {
            seen.saw(format!("{} at {}", ctx.attempt(), began.elapsed().as_millis()));
            if calls.fetch_add(1, Ordering::SeqCst) < times { Err(error()) } else { Ok(ran(&ctx)) }
        }
    });
    g.policy(node, policy);
    chain(&mut g, &[node]);
    (g.build().unwrap(), witness)
}

fn transient() -> NodeError {
    NodeError::transient("try again")
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_after_a_wait_that_doubles() {
    let (graph, witness) = failing(3, exact(5), transient);
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone()).clock(clock());
    expect_finished(&runner.start("t", Log::update()).await.unwrap());
    assert_eq!(witness.take(), ["1 at 0", "2 at 1000", "3 at 3000", "4 at 7000"]);
    let retries: Vec<Option<u64>> = records(&entries(&store))
        .iter()
        .filter_map(|body| match body {
            Body::Failed { retry, .. } => Some(retry.map(|retry| retry.at_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(retries, [Some(2_000), Some(4_000), Some(8_000)], "the decisions are recorded");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_it_is_tried_again_too() {
    let (graph, witness) = failing(2, exact(3), transient);
    graph.run(Log::update()).await.unwrap();
    assert_eq!(witness.take(), ["1 at 0", "2 at 1000", "3 at 3000"]);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_run_fails_and_a_resume_grants_all_of_them_anew() {
    let (graph, witness) = failing(4, exact(3), transient);
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new()).clock(clock());
    let report = runner.start("t", Log::update()).await.unwrap();
    assert_eq!(failure(&report, &graph).1.message, "try again");
    assert_eq!(witness.take().len(), 3);
    expect_finished(&runner.resume("t").await.unwrap());
    assert_eq!(witness.take().len(), 2, "the fifth call succeeds");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_never_tried_again_and_an_unclassified_one_where_the_policy_says_so() {
    let unclassified = || -> NodeError { std::fmt::Error.into() };
    let cases = [
        (failing(1, exact(3).unclassified(), || NodeError::permanent("no")), 1),
        (failing(1, exact(3), unclassified), 1),
        (failing(1, exact(3).unclassified(), unclassified), 2),
        (failing(1, NodePolicy::new(), transient), 1),
    ];
    for ((graph, witness), executions) in cases {
        graph.runner().start("t", Log::update()).await.unwrap();
        assert_eq!(witness.take().len(), executions);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_waited_for_exactly_and_without_an_attempt() {
    let busy = || NodeError::transient("busy").retry_after(Duration::from_secs(20));
    let (graph, witness) = failing(4, exact(2), busy);
    expect_finished(
        &graph
            .runner()
            .checkpointer(MemoryCheckpointer::new())
            .clock(clock())
            .start("t", Log::update())
            .await
            .unwrap(),
    );
    assert_eq!(witness.take(), ["1 at 0", "2 at 20000", "3 at 40000", "4 at 60000", "5 at 80000"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_lets_in_uses_the_attempts_up() {
    let busy = || NodeError::transient("busy").retry_after(Duration::from_secs(1));
    let (graph, witness) = failing(u32::MAX, exact(2), busy);
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Failed(_)));
    assert_eq!(witness.take().len() as u32, RETRY_AFTERS_MAX + 2);
}

#[tokio::test(start_paused = true)]
async fn watchers_are_told_when_the_next_attempt_is_due() {
    let (graph, _) = failing(1, exact(2), transient);
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new()).clock(clock());
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    expect_finished(&run.await.unwrap());
    let mut due = Vec::new();
    while let Some(event) = events.next().await {
        if let RunEvent::NodeFailed { retry_at_ms, .. } = event {
            due.push(retry_at_ms);
        }
    }
    assert_eq!(due, [Some(2_000)]);
}

#[tokio::test(start_paused = true)]
async fn siblings_go_on_while_one_backs_off() {
    let (witness, calls) = (Witness::default(), Arc::new(AtomicU32::new(0)));
    let mut g = builder();
    let began = Instant::now();
    let shaky = g.func("shaky", move |ctx: Ctx<Log>| {
        let calls = calls.clone();
        async move {
            if calls.fetch_add(1, Ordering::SeqCst) == 0 { Err(transient()) } else { Ok(ran(&ctx)) }
        }
    });
    let seen = witness.clone();
    let slow = g.func("slow", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            seen.saw(format!("{} at {}", ctx.node(), began.elapsed().as_millis()));
            Ok(ran(&ctx))
        }
    });
    g.policy(shaky, exact(2));
    for node in [shaky, slow] {
        g.start(node);
        g.end(node);
    }
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new()).clock(clock());
    let report = runner.start("t", Log::update()).await.unwrap();
    expect_finished(&report);
    assert_eq!(witness.take(), ["slow at 400"]);
    assert_eq!(report.state.trace, ["shaky", "slow"], "merged by declaration, not by arrival");
    assert_eq!(began.elapsed(), Duration::from_millis(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_drain_while_backing_off_stops_and_a_resume_waits_for_the_rest() {
    let (graph, witness) = failing(1, exact(2), transient);
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new()).clock(clock());
    let run = runner.start("t", Log::update());
    let control = run.control();
    let drain = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        control.drain();
    };
    let (report, ()) = tokio::join!(run.into_future(), drain);
    assert_eq!(report.unwrap().outcome, Outcome::Drained);
    assert_eq!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Drained));
    tokio::time::sleep(Duration::from_millis(200)).await;
    expect_finished(&runner.resume("t").await.unwrap());
    assert_eq!(witness.take(), ["1 at 0", "2 at 1000"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_gives_no_fresh_attempts_and_does_not_shorten_the_wait() {
    let (graph, witness) = failing(u32::MAX, exact(3), transient);
    let store = MemoryCheckpointer::new();
    let time = clock();
    let report =
        graph.runner().checkpointer(store.clone()).clock(time.clone()).start("t", Log::update()).await;
    assert_eq!(witness.take(), ["1 at 0", "2 at 1000", "3 at 3000"]);
    let Outcome::Failed(_) = report.unwrap().outcome else { panic!("it fails") };
    let all = entries(&store);
    let failed = |count: usize| {
        let mut left = count;
        let place = all.iter().position(|entry| {
            let is_failed = matches!(records(std::slice::from_ref(entry)).first(), Some(Body::Failed { .. }));
            left -= usize::from(is_failed);
            left == 0
        });
        &all[..=place.unwrap()]
    };
    for (count, left) in [(1, 2), (2, 1)] {
        let store = crashed_after(failed(count)).await;
        // The clock of the process that takes it up stands where the first one began.
        let began = Instant::now();
        let early: Clock = Arc::new(move || 1_000 + began.elapsed().as_millis() as u64);
        let report = graph.runner().checkpointer(store).clock(early).resume("t").await.unwrap();
        assert!(matches!(report.outcome, Outcome::Failed(_)));
        assert_eq!(witness.take().len(), left, "after a crash behind failure {count}");
        assert_eq!(began.elapsed(), Duration::from_secs(3), "both waits end when they were decided to");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_ended_and_tried_again() {
    let witness = Witness::default();
    let mut g = builder();
    let seen = witness.clone();
    let node = g.func("slow", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            let wait = if ctx.attempt() == 1 { 3_600 } else { 5 };
            tokio::time::sleep(Duration::from_secs(wait)).await;
            seen.saw(format!("attempt {} returns", ctx.attempt()));
            Ok(ran(&ctx))
        }
    });
    g.policy(node, NodePolicy::new().run_timeout(Duration::from_secs(10)).retry(exact(2)));
    chain(&mut g, &[node]);
    let (graph, began) = (g.build().unwrap(), Instant::now());
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone()).clock(clock());
    expect_finished(&runner.start("t", Log::update()).await.unwrap());
    assert_eq!(began.elapsed(), Duration::from_secs(10 + 1 + 5));
    assert_eq!(witness.take(), ["attempt 2 returns"], "the first one was dropped");
    let failed = records(&entries(&store)).into_iter().find_map(|body| match body {
        Body::Failed { failure, .. } => Some(failure),
        _ => None,
    });
    let failed = failed.unwrap();
    assert_eq!((failed.code.as_str(), failed.kind), ("SW-X244", FailureKind::Transient));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_sign_of_life_is_ended_and_heartbeats_and_items_are_signs() {
    let mut g = builder();
    let node = g.func("quiet", async |ctx: Ctx<Log>| {
        for second in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Alive for thirty seconds, in two ways, and then silent.
            if second % 2 == 0 { ctx.heartbeat() } else { ctx.emit("tick", &second) }
        }
        std::future::pending::<Done>().await
    });
    g.policy(node, NodePolicy::new().idle_timeout(Duration::from_secs(2)));
    chain(&mut g, &[node]);
    let (graph, began) = (g.build().unwrap(), Instant::now());
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    let (_, told) = failure(&report, &graph);
    assert_eq!((told.code.as_str(), told.kind), ("SW-X245", FailureKind::Transient));
    assert_eq!(began.elapsed(), Duration::from_secs(32));
}

#[tokio::test]
async fn a_policy_that_no_attempt_could_keep_is_refused_at_build() {
    let bad = [
        NodePolicy::from(RetryPolicy::new().attempts(0)),
        RetryPolicy::new().factor(0.5).into(),
        RetryPolicy::new().jitter(1.5).into(),
        RetryPolicy::new().jitter(f64::NAN).into(),
        NodePolicy::new().run_timeout(Duration::ZERO),
        NodePolicy::new().at_once(0),
    ];
    for policy in bad {
        let mut g = builder();
        let only = node(&mut g, "only");
        g.policy(only, policy);
        chain(&mut g, &[only]);
        assert_eq!(g.build().unwrap_err().code(), "SW-G120", "{policy:?}");
    }
}

#[tokio::test]
async fn a_policy_is_no_part_of_the_fingerprint() {
    let build = |policy: NodePolicy| {
        let mut g = builder();
        let only = node(&mut g, "only");
        g.policy(only, policy);
        chain(&mut g, &[only]);
        g.build().unwrap().plan().fingerprint
    };
    assert_eq!(build(NodePolicy::new()), build(exact(7).into()));
}

#[tokio::test]
async fn an_activation_that_takes_the_process_down_three_times_is_not_run_a_fourth_time() {
    let (graph, witness) = failing(0, exact(5), transient);
    let store = MemoryCheckpointer::new();
    expect_finished(&graph.runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap());
    assert_eq!(witness.take().len(), 1);
    let opened = entries(&store).into_iter().take(1).collect::<Vec<_>>();
    let mut store = crashed_after(&opened).await;
    for crash in 1..=3 {
        let report = graph.runner().checkpointer(store.clone()).resume("t").await.unwrap();
        let all = entries(&store);
        let resumed = records(&all).into_iter().filter_map(|body| match body {
            Body::Resumed { crashed, .. } => Some(crashed),
            _ => None,
        });
        let crashed = resumed.last().unwrap();
        assert_eq!((crashed[0].index, crashed[0].count), (0, crash), "it is recorded");
        if crash < 3 {
            expect_finished(&report);
            assert_eq!(witness.take().len(), 1);
            // The process dies right after the record that it took the run up.
            store = crashed_after(&all[..1 + crash as usize]).await;
            continue;
        }
        let (node, told) = failure(&report, &graph);
        assert_eq!((node.as_deref(), told.code.as_str()), (Some("shaky"), "SW-X246"));
        let view = ThreadView::read(graph.plan(), &all).unwrap();
        let failed = view.steps.iter().filter_map(|step| step.failure.as_ref());
        assert_eq!(failed.map(|failure| failure.code.as_str()).collect::<Vec<_>>(), ["SW-X246"]);
        assert_eq!(witness.take().len(), 0);
    }
    expect_finished(&graph.runner().checkpointer(store).resume("t").await.unwrap());
    assert_eq!(witness.take().len(), 1, "whoever resumes it after the failure begins anew");
}
