//! Taking a run up again: what other engines forgot, ran twice, or called finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use statewright_engine_core::{
    Action, Event, Execution, Journaling, Observe, Options, TypedCell, UpdateValue,
};
use statewright_engine_runtime::*;

/// A switch that nodes look at: while it is on they fail.
#[derive(Clone, Default)]
struct Broken(Arc<AtomicBool>);

impl Broken {
    fn set(&self, broken: bool) {
        self.0.store(broken, SeqCst);
    }

    fn check(&self) -> Result<(), NodeError> {
        if self.0.load(SeqCst) { Err(NodeError::transient("broken")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn resume_all_ok_reports_ok() {
    let broken = Broken::default();
    broken.set(true);
    let mut g = builder();
    let [first, sound, last] = ["first", "sound", "last"].map(|name| node(&mut g, name));
    let [one, two] = ["one", "two"].map(|name| {
        let broken = broken.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            let broken = broken.clone();
            async move { broken.check().map(|()| ran(&ctx)) }
        })
    });
    g.start(first);
    g.edge(first, sound.to().and(one).and(two));
    g.join((sound, one, two), last);
    g.end(last);
    let store = MemoryCheckpointer::new();
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(store.clone());
    let failed = within(runner.start("t", Log::update())).await.unwrap();
    assert!(matches!(&failed.outcome, Outcome::Failed(failures) if failures.len() == 2));
    broken.set(false);
    let mut run = graph.runner().checkpointer(crashed_after(&entries(&store)).await).resume("t");
    let mut events = run.events();
    let report = within(run).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.describe(), "finished", "nothing is left of the failures");
    while let Some(event) = events.next().await {
        assert!(!matches!(event, RunEvent::NodeFailed { .. }), "{event:?}");
    }
    expect_finished(&within(runner.resume("t")).await.unwrap());
    assert_eq!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Finished));
}

#[tokio::test]
async fn completed_run_does_not_resume_untaken_edge() {
    let witness = Witness::default();
    let mut g = builder();
    let first = node(&mut g, "first");
    let [left, right] = ["left", "right"].map(|name| {
        let seen = witness.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            seen.saw(name);
            async move { Ok(ran(&ctx)) }
        })
    });
    g.start(first);
    g.branch(first, |_: &Log| Fork::Right, ForkEdges { left: left.to(), right: right.to() });
    g.end(left);
    g.end(right);
    let graph = g.build().unwrap();
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone());
    expect_finished(&within(runner.start("t", Log::update())).await.unwrap());
    let all = entries(&store);
    for _ in 0..2 {
        let error = within(runner.resume("t")).await.unwrap_err();
        assert_eq!(error.code(), "SW-X202", "{error}");
    }
    assert_eq!(entries(&store), all, "nothing is written");
    for length in 1..all.len() {
        let crashed = graph.runner().checkpointer(crashed_after(&all[..length]).await);
        expect_finished(&within(crashed.resume("t")).await.unwrap());
    }
    assert_eq!(witness.count("left"), 0, "what was not chosen is never run");
}

/// `before → asks → after`, and the same graph changed while a thread waits at `asks`.
#[derive(Clone, Copy)]
enum Shape {
    Same,
    WithoutTheNodeThatWaits,
    WithAnotherName,
}

fn changing(shape: Shape, witness: &Witness) -> Graph<Log> {
    let name = if matches!(shape, Shape::WithAnotherName) { "other" } else { "test" };
    let mut g = StateGraph::<Log>::new(name);
    let seen = witness.clone();
    let [before, after] = ["before", "after"].map(|name| {
        let seen = seen.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            seen.saw(name);
            async move { Ok(ran(&ctx)) }
        })
    });
    let mut nodes = vec![before];
    if !matches!(shape, Shape::WithoutTheNodeThatWaits) {
        nodes.push(g.func("asks", async |ctx: Ctx<Log>| {
            let word: String = ctx.ask("word", "?").await;
            Ok(ran(&ctx).text(word))
        }));
    }
    nodes.push(after);
    chain(&mut g, &nodes);
    g.build().unwrap()
}

#[tokio::test]
async fn topology_change_is_refused() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let same = changing(Shape::Same, &witness).runner().checkpointer(store.clone());
    let id = questions(&within(same.start("t", Log::update())).await.unwrap())[0].id.clone();
    let (before, _) = (entries(&store), witness.take());
    for (shape, code) in [(Shape::WithoutTheNodeThatWaits, "SW-X263"), (Shape::WithAnotherName, "SW-X210")] {
        let changed = changing(shape, &witness).runner().checkpointer(store.clone());
        let resumed = within(changed.resume("t")).await.unwrap_err();
        let answered = within(changed.answer("t", id.clone(), "x")).await.unwrap_err();
        for error in [resumed, answered] {
            assert_eq!(error.code(), code, "{error}");
        }
        assert_eq!((entries(&store), witness.take().len()), (before.clone(), 0), "nothing ran");
    }
    expect_finished(&within(same.answer("t", id, "x")).await.unwrap());
}

/// Another engine showed such a run as running for ever.
#[tokio::test]
async fn parked_after_upgrade_is_visible() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let old = changing(Shape::Same, &witness).runner().checkpointer(store.clone());
    within(old.start("t", Log::update())).await.unwrap();
    let upgraded = changing(Shape::WithoutTheNodeThatWaits, &witness).runner().checkpointer(store);
    let words = upgraded.load("t").await.unwrap_err().to_string();
    for part in
        ["the node `asks`, at which the run stands, is gone", "drain it once with the build that wrote it"]
    {
        assert!(words.contains(part), "{words}");
    }
    let stored = old.graph().plan().fingerprint.to_string();
    assert!(words.contains(&stored), "it says which build can go on: {words}");
    let seen = old.load("t").await.unwrap();
    assert!(
        matches!(seen.status, Status::Stopped(Outcome::Paused(_))),
        "and that build shows where it waits"
    );
}

/// A node that asks for a word about the state, and goes round until it has three.
fn asking_loop() -> Graph<Log> {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", &ctx.state.total).await;
        Ok(Log::update().trace(word).total(1u64))
    });
    g.start(asks);
    let again = |log: &Log| if log.total < 3 { Fork::Left } else { Fork::Right };
    g.branch(asks, again, ForkEdges { left: asks.to().at_most(2), right: To::END });
    g.build().unwrap()
}

#[tokio::test]
async fn loop_after_resume_gets_fresh_input() {
    let store = MemoryCheckpointer::new();
    let mut report =
        within(asking_loop().runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    for word in ["one", "two", "three"] {
        let open = questions(&report);
        // Another process each time: what it knows of earlier answers, it knows from the journal.
        let elsewhere = asking_loop().runner().checkpointer(store.clone());
        report = within(elsewhere.answer("t", open[0].id.clone(), word)).await.unwrap();
    }
    expect_finished(&report);
    assert_eq!(report.state.trace, ["one", "two", "three"], "no answer is used in a later round");
}

#[tokio::test]
async fn hitl_in_sequence_and_loop_pauses() {
    let mut g = builder();
    let [one, two] = ["one", "two"].map(|name| {
        g.func(name, async |ctx: Ctx<Log>| {
            let word: String = ctx.ask("word", "?").await;
            Ok(ran(&ctx).trace(word))
        })
    });
    g.start(one);
    g.edge(one, two);
    let again = |log: &Log| if log.trace.len() < 8 { Fork::Left } else { Fork::Right };
    g.branch(two, again, ForkEdges { left: one.to().at_most(1), right: To::END });
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    for (round, id) in ["word@1.0", "word@2.0", "word@3.0", "word@4.0"].into_iter().enumerate() {
        let open = questions(&report);
        assert_eq!((open.len(), open[0].id.as_str()), (1, id));
        assert_eq!(report.state.trace.len(), 2 * round, "nothing runs on before the answer");
        report = within(runner.answer("t", id, &format!("a{round}"))).await.unwrap();
    }
    expect_finished(&report);
    assert_eq!(report.state.trace, ["one", "a0", "two", "a1", "one", "a2", "two", "a3"]);
}

/// A node that says that it was entered, and waits until the test lets it go on.
fn gated(gate: &Arc<tokio::sync::Semaphore>, witness: &Witness) -> Graph<Log> {
    let (gate, seen) = (gate.clone(), witness.clone());
    let mut g = builder();
    let first = node(&mut g, "first");
    let waits = g.func("waits", move |ctx: Ctx<Log>| {
        let (gate, seen) = (gate.clone(), seen.clone());
        async move {
            seen.saw(format!("entered on {}", ctx.thread()));
            drop(gate.acquire().await.unwrap());
            Ok(ran(&ctx).total(1u64))
        }
    });
    chain(&mut g, &[first, waits]);
    g.build().unwrap()
}

/// A store in which these threads stand as a crash left them: `first` has finished, `waits` has not.
async fn left_open(graph: &Graph<Log>, threads: &[&str]) -> MemoryCheckpointer {
    let store = MemoryCheckpointer::new();
    for thread in threads {
        let whole = MemoryCheckpointer::new();
        expect_finished(
            &within(graph.runner().checkpointer(whole.clone()).start(*thread, Log::update())).await.unwrap(),
        );
        let thread = ThreadId::new(*thread);
        let mut journal = store.open(&thread, Durability::Power).await.unwrap();
        for entry in whole.all(&thread).into_iter().take(2) {
            journal.append(entry).await.unwrap();
        }
    }
    store
}

#[tokio::test]
async fn double_resume_race_single_winner() {
    let (gate, witness) = (Arc::new(tokio::sync::Semaphore::new(1)), Witness::default());
    let graph = gated(&gate, &witness);
    let store = left_open(&graph, &["t"]).await;
    gate.acquire().await.unwrap().forget();
    witness.take();
    // Each with a runner of its own, as two processes would have.
    let racing = (0..4).map(|_| gated(&gate, &witness).runner().checkpointer(store.clone()));
    let mut runs: FuturesUnordered<_> = racing.map(|runner| runner.resume("t").into_future()).collect();
    for _ in 0..3 {
        let error = within(runs.next()).await.unwrap().unwrap_err();
        assert_eq!(error.code(), "SW-S401", "{error}");
    }
    gate.add_permits(1);
    let report = within(runs.next()).await.unwrap().unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, witness.take().len()), (1, 1), "one claim counts, and one ran");
}

/// A worker that made its list of open runs long ago: meanwhile one was finished, one is driven, one was cancelled.
#[tokio::test]
async fn stale_recovery_list_cannot_execute() {
    let (gate, witness) = (Arc::new(tokio::sync::Semaphore::new(1)), Witness::default());
    let graph = gated(&gate, &witness);
    let store = left_open(&graph, &["done", "driven", "gone"]).await;
    let runner = graph.runner().checkpointer(store.clone());
    let mut list = Vec::new();
    for thread in ["done", "driven", "gone"] {
        let found = runner.load(thread).await.unwrap();
        assert_eq!(found.status, Status::Open);
        list.push(found.thread);
    }
    expect_finished(&within(runner.resume("done")).await.unwrap());
    within(runner.cancel("gone")).await.unwrap();
    gate.acquire().await.unwrap().forget();
    let driven = tokio::spawn(runner.resume("driven").into_future());
    witness.take();
    while witness.count("entered on driven") == 0 {
        tokio::task::yield_now().await;
    }
    let stale = gated(&gate, &witness).runner().checkpointer(store);
    for (thread, code) in list.into_iter().zip(["SW-X202", "SW-S401", "SW-X202"]) {
        let error = within(stale.resume(thread.clone())).await.unwrap_err();
        assert_eq!(error.code(), code, "{thread}: {error}");
    }
    assert_eq!(witness.take().len(), 1, "nothing ran that the worker did not own");
    gate.add_permits(1);
    expect_finished(&within(driven).await.unwrap().unwrap());
}

#[tokio::test]
async fn snapshot_history_immutable() {
    let store = MemoryCheckpointer::new();
    let runner = asking_loop().runner().checkpointer(store.clone());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    let mut history = Vec::new();
    let mut kept = Vec::new();
    for word in ["one", "two", "three"] {
        let id = questions(&report)[0].id.clone();
        report = within(runner.answer("t", id, word)).await.unwrap();
        for checkpoint in runner.history("t").await.unwrap().split_off(history.len()) {
            let then = runner.state_at("t", checkpoint.seq).await.unwrap();
            kept.push((then.state.clone(), (*then.state).clone()));
            history.push(checkpoint);
        }
    }
    expect_finished(&report);
    let all = entries(&store);
    assert_eq!(runner.history("t").await.unwrap(), history);
    for (checkpoint, (handed_out, copy)) in history.iter().zip(&kept) {
        assert_eq!(&**handed_out, copy, "what was handed out does not change");
        let again = runner.state_at("t", checkpoint.seq).await.unwrap();
        assert_eq!(&*again.state, copy, "entry {} says what it said", checkpoint.seq);
    }
    assert_eq!(kept.len(), 4);
    assert_eq!(entries(&store), all, "and looking writes nothing");
}

#[derive(Clone, Serialize, Deserialize)]
struct Approval;

impl Question for Approval {
    type Answer = u64;
    const NAME: &'static str = "approval";
}

/// Whoever drove the run is gone while it waits; the deadline is not.
#[tokio::test]
async fn evicted_wait_still_times_out() {
    let now = Arc::new(AtomicU64::new(1_000));
    let graph = || {
        let mut g = builder();
        let asks = g.func("asks", async |ctx: Ctx<Log>| {
            let granted = ctx.pose(&Approval).expires(Duration::from_secs(60), &1).await;
            Ok(ran(&ctx).total(granted))
        });
        chain(&mut g, &[asks]);
        g.build().unwrap()
    };
    let clock = || -> Clock {
        let now = now.clone();
        Arc::new(move || now.load(SeqCst))
    };
    let store = MemoryCheckpointer::new();
    within(graph().runner().checkpointer(store.clone()).clock(clock()).start("t", Log::update()))
        .await
        .unwrap();
    let all = entries(&store);
    // From the snapshot of the pause, and after a crash before it was written.
    for left in [&all[..], &all[..all.len() - 1]] {
        now.store(60_999, SeqCst);
        let elsewhere = graph().runner().checkpointer(crashed_after(left).await).clock(clock());
        assert_eq!(questions(&within(elsewhere.resume("t")).await.unwrap()).len(), 1, "not too early");
        now.store(61_000, SeqCst);
        let report = within(elsewhere.resume("t")).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.total, 1);
    }
}

/// The first attempt was given up, the second one runs; then the first one reports after all.
#[test]
fn stale_attempt_eviction() {
    let mut g = builder();
    let only = node(&mut g, "only");
    g.policy(only, RetryPolicy::new().attempts(2).jitter(0.0).initial(Duration::from_secs(1)));
    chain(&mut g, &[only]);
    let graph = g.build().unwrap();
    let options =
        Options { journaling: Journaling::Off, limits: Limits::default(), observe: Observe::Nothing };
    let mut execution = Execution::new(graph.plan().clone(), Box::new(TypedCell::<Log>::new()), options);
    let started = Event::Start { run: RunId::new("r"), input: UpdateValue::live(Log::update()) };
    execution.handle(0, started).unwrap();
    let first = next_task(&mut execution);
    let timed_out = Failure::new("SW-X244", FailureKind::Transient, "it took too long");
    let failed =
        Event::Failed { activation: first.0, attempt: first.1, failure: Box::new(timed_out), draw: 0 };
    execution.handle(0, failed).unwrap();
    execution.handle(1_000, Event::TimerFired).unwrap();
    let second = next_task(&mut execution);
    assert_eq!((first.1, second.1), (1, 2));
    let returned = |attempt, text: &str| Event::Finished {
        activation: second.0,
        attempt,
        update: UpdateValue::live(Log::update().text(text)),
        decision: None,
    };
    execution.handle(1_001, returned(1, "late")).unwrap();
    let late = Failure::permanent("SW-X240", "late");
    execution
        .handle(1_001, Event::Failed { activation: second.0, attempt: 1, failure: Box::new(late), draw: 0 })
        .unwrap();
    assert!(execution.poll_action().is_none(), "what it reports changes nothing");
    execution.handle(1_002, returned(2, "right")).unwrap();
    let stopped = std::iter::from_fn(|| execution.poll_action()).last();
    assert!(matches!(stopped, Some(Action::Stop(Outcome::Finished))), "{stopped:?}");
    let state = execution.state().downcast::<Log>().unwrap();
    assert_eq!(state.text, "right");
}

/// The activation and the attempt that the execution wants run next.
fn next_task(execution: &mut Execution) -> (ActivationId, u32) {
    let actions = std::iter::from_fn(|| execution.poll_action());
    let mut tasks = actions.filter_map(|action| match action {
        Action::Run(task) => Some((task.activation, task.attempt)),
        _ => None,
    });
    tasks.next().unwrap()
}

/// Nine parts, three at once; the process dies in the middle, and so does the next one.
#[tokio::test]
async fn resume_keeps_runtime_concurrency() {
    let (present, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let graph = |limit: Option<u32>| {
        let (present, most) = (present.clone(), most.clone());
        let mut g = builder();
        let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts((0..9).collect())));
        let part = g.func("part", move |ctx: Ctx<Log, u32>| {
            let (present, most) = (present.clone(), most.clone());
            async move {
                most.fetch_max(present.fetch_add(1, SeqCst) + 1, SeqCst);
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                present.fetch_sub(1, SeqCst);
                Ok(ran(&ctx).tags(ctx.input.to_string()))
            }
        });
        if let Some(limit) = limit {
            g.policy(part, NodePolicy::new().at_once(limit));
        }
        g.start(plan);
        g.route(plan, SpreadEdges { parts: part.to(), nothing: To::END });
        g.end(part);
        g.build().unwrap()
    };
    let limits = Limits { at_once: 4, ..Limits::default() };
    for (limit, expected) in [(Some(3), 3), (None, 4)] {
        let store = MemoryCheckpointer::new();
        let runner = graph(limit).runner().checkpointer(store.clone()).limits(limits);
        expect_finished(&within(runner.start("t", Log::update())).await.unwrap());
        let all = entries(&store);
        // Behind `plan`, and behind some of the parts, while enough are left to fill every place.
        for length in 2..=6 {
            present.store(0, SeqCst);
            most.store(0, SeqCst);
            let crashed = crashed_after(&all[..length]).await;
            let resumed = graph(limit).runner().checkpointer(crashed).limits(limits);
            let report = within(resumed.resume("t")).await.unwrap();
            expect_finished(&report);
            assert_eq!(report.state.tags.len(), 9, "no sibling is dropped");
            assert_eq!(most.load(SeqCst), expected, "killed after entry {length}");
        }
    }
}
