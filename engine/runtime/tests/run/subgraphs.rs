//! Graphs as nodes: their ends are durable one by one, their questions and failures come out, and only what the
//! projection says comes back.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::Entry;
use statewright_engine_core::journal::{Body, Record, decode};
use statewright_engine_runtime::*;

/// The state of inner graphs.
#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Inner {
    depth: u32,
    #[reduce(append)]
    trace: Vec<String>,
    answer: String,
    #[reduce(sum)]
    sum: u64,
}

type InnerBuilder = StateGraph<Inner>;

/// An inner node that only writes down that it ran, inside and outside.
fn seen(g: &mut InnerBuilder, witness: &Witness, name: &str) -> NodeHandle<Inner> {
    let witness = witness.clone();
    g.func(name, move |ctx: Ctx<Inner>| {
        let witness = witness.clone();
        async move {
            witness.saw(ctx.idempotency_key());
            Ok(Inner::update().trace(ctx.node().to_owned()).sum(1u64))
        }
    })
}

/// `first`, then `last`.
fn two(witness: &Witness) -> Graph<Inner> {
    let mut g = InnerBuilder::new("two");
    let (first, last) = (seen(&mut g, witness, "first"), seen(&mut g, witness, "last"));
    g.start(first);
    g.edge(first, last);
    g.end(last);
    g.build().unwrap()
}

/// A question, then a step with a witness of its own, then a fan-out over graphs one level further down.
fn rich(witness: &Witness, depth: u32) -> Graph<Inner> {
    let mut g = InnerBuilder::new(format!("rich{depth}"));
    let saw = witness.clone();
    let asks = g.func("asks", move |ctx: Ctx<Inner>| {
        let saw = saw.clone();
        async move {
            let kept: u64 = ctx
                .step("work")
                .run(|| async {
                    saw.saw(format!("step of {}", ctx.idempotency_key()));
                    Ok(2)
                })
                .await?;
            let answer: String = ctx.ask("which", "which one?").await;
            saw.saw(ctx.idempotency_key());
            Ok(Inner::update().answer(answer).sum(kept).trace("asks"))
        }
    });
    let last = seen(&mut g, witness, "last");
    g.start(asks);
    if depth > 1 {
        let below = g.subgraph(
            "below",
            &rich(witness, depth - 1),
            |inner: &Inner, (): ()| Inner::update().depth(inner.depth + 1),
            |inner: &Inner| Inner::update().sum(inner.sum).trace(format!("below: {}", inner.answer)),
        );
        g.edge(asks, below);
        g.edge(below, last);
    } else {
        g.edge(asks, last);
    }
    g.end(last);
    g.build().unwrap()
}

/// `before`, a fan-out over `parts` of inner runs, `after`.
fn fans_out(inner: &Graph<Inner>, parts: u32) -> Graph<Log> {
    let mut g = builder();
    let before =
        g.func(
            "before",
            move |ctx: Ctx<Log>| async move { Ok((ran(&ctx), Spread::Parts((0..parts).collect()))) },
        );
    let part = g.subgraph(
        "part",
        inner,
        |log: &Log, part: u32| Inner::update().depth(log.round + part),
        |inner: &Inner| {
            let trace = format!("{} of {} by {}", inner.trace.join(" "), inner.depth, inner.answer);
            Log::update().trace(trace).total(inner.sum)
        },
    );
    let after = node(&mut g, "after");
    g.start(before);
    g.route(before, SpreadEdges { parts: part.to(), nothing: To::END });
    g.edge(part, after);
    g.end(after);
    g.build().unwrap()
}

async fn to_the_end(runner: &Runner<Log>, first: Run<Log>) -> RunReport<Log> {
    let mut report = within(first).await.unwrap();
    while let Outcome::Paused(open) = &report.outcome {
        let id = open[0].id.clone();
        report = within(runner.answer("t", &*id, &format!("you, {id}"))).await.unwrap();
    }
    expect_finished(&report);
    report
}

#[tokio::test]
async fn only_what_the_projection_says_comes_back() {
    let graph = fans_out(&two(&Witness::default()), 3);
    let state = within(graph.run(Log::update().text("as it was"))).await.unwrap();
    let parts = (0..3).map(|part| format!("first last of {part} by "));
    let trace: Vec<String> =
        ["before".to_owned()].into_iter().chain(parts).chain(["after".to_owned()]).collect();
    assert_eq!(state.trace, trace);
    assert_eq!((state.text.as_str(), state.total), ("as it was", 6));
}

#[tokio::test]
async fn five_deep_each_question_is_asked_and_answered_where_it_stands() {
    let witness = Witness::default();
    let store = MemoryCheckpointer::new();
    let mut g = builder();
    let deep = g.subgraph(
        "deep",
        &rich(&witness, 4),
        |_: &Log, (): ()| Inner::update(),
        |inner: &Inner| Log::update().total(inner.sum).trace(inner.trace.join(", ")),
    );
    chain(&mut g, &[deep]);
    let graph = g.build().unwrap();
    assert_eq!(graph.plan().depth(), 5);
    let runner = graph.runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let first = questions(&report);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].id, "which@1.0/1.0");
    let report = within(runner.answer("t", "which@1.0/1.0", &"one")).await.unwrap();
    assert_eq!(questions(&report)[0].id, "which@1.0/2.0/1.0");
    let report = to_the_end(&runner, runner.answer("t", "which@1.0/2.0/1.0", &"two")).await;
    // Each level asks, adds its step's 2 and its last node's 1, and adds what stands below.
    assert_eq!(report.state.total, 4 * 3);
    let steps = witness.take().into_iter().filter(|seen| seen.starts_with("step of")).count();
    assert_eq!(steps, 4, "answers and resumes repeat no step");
}

#[tokio::test]
async fn killed_after_any_entry_inner_work_that_had_finished_is_not_repeated() {
    for (snapshots, parts, depth) in [(u64::MAX, 2, 2), (1, 2, 2), (700, 1, 3)] {
        let limits = Limits { snapshot_after_bytes: snapshots, ..Limits::default() };
        let run = |witness: &Witness, store: &MemoryCheckpointer| {
            fans_out(&rich(witness, depth), parts).runner().checkpointer(store.clone()).limits(limits)
        };
        let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
        let runner = run(&witness, &store);
        let whole = to_the_end(&runner, runner.start("t", Log::update())).await;
        let all = entries(&store);
        let mut expected = witness.take();
        expected.sort();
        let mut unique = expected.clone();
        unique.dedup();
        assert_eq!(unique, expected, "an uninterrupted run does nothing twice");
        for cut in 1..all.len() {
            let store = crashed_after(&all[..cut]).await;
            let witness = Witness::default();
            let runner = run(&witness, &store);
            let loaded = runner.load("t").await.unwrap();
            if loaded.status == Status::Stopped(Outcome::Finished) {
                continue;
            }
            let report = to_the_end(&runner, runner.resume("t")).await;
            assert_eq!(report.state, whole.state, "cut after entry {cut}");
            let done = witness.take();
            let kept = ended(&all[..cut]);
            assert_eq!(done.len() + kept, expected.len(), "cut after entry {cut}: {done:?}");
        }
    }
}

/// How many ends of inner nodes with a witness, and of their steps, these entries hold.
fn ended(entries: &[Entry]) -> usize {
    records(entries).into_iter().map(innermost).filter(has_a_witness).count()
}

fn innermost(body: Body) -> Body {
    let Body::Nested { entry, .. } = body else { return body };
    innermost(decode::<Record>(&entry).unwrap().body)
}

/// Nodes of the outer graph have none, nor have the graphs that are nodes.
fn has_a_witness(body: &Body) -> bool {
    match body {
        Body::Step { .. } => true,
        Body::Finished { update, .. } => {
            let update = String::from_utf8_lossy(update);
            (update.contains("asks") || update.contains("last")) && !update.contains(" of ")
        }
        _ => false,
    }
}

/// Questions of siblings: answering one goes on with that one alone.
#[tokio::test]
async fn one_answer_of_several_goes_on_with_its_own_inner_run() {
    let witness = Witness::default();
    let store = MemoryCheckpointer::new();
    let runner = fans_out(&rich(&witness, 1), 3).runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let ids: Vec<String> = questions(&report).into_iter().map(|asked| asked.id).collect();
    assert_eq!(ids, ["which@2.0/1.0", "which@2.1/1.0", "which@2.2/1.0"]);
    witness.take();
    let report = within(runner.answer("t", &*ids[1], &"one")).await.unwrap();
    let open: Vec<String> = questions(&report).into_iter().map(|asked| asked.id).collect();
    assert_eq!(open, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(witness.take(), ["t/2.1/1.0", "t/2.1/2.0"]);
    let again = within(runner.answer("t", &*ids[1], &"two")).await.unwrap_err();
    assert_eq!(again.code(), "SW-X203");
    let report = to_the_end(&runner, runner.answer("t", &*ids[0], &"zero")).await;
    assert_eq!(report.state.total, 9);
}

#[tokio::test]
async fn an_inner_failure_names_the_inner_node_and_a_resume_goes_on_inside() {
    let broken = Arc::new(AtomicBool::new(true));
    let witness = Witness::default();
    let mut g = InnerBuilder::new("breaks");
    let first = seen(&mut g, &witness, "first");
    let fails = broken.clone();
    let breaks =
        g.func("breaks", move |_: Ctx<Inner>| {
            let broken = fails.load(SeqCst);
            async move {
                if broken { Err(NodeError::permanent("no paper")) } else { Ok(Inner::update().sum(1u64)) }
            }
        });
    g.start(first);
    g.edge(first, breaks);
    g.end(breaks);
    let graph = fans_out(&g.build().unwrap(), 1);
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let (node, failed) = failure(&report, &graph);
    assert_eq!((node.as_deref(), failed.message.as_str()), (Some("part"), "`breaks`: no paper"));
    broken.store(false, SeqCst);
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(witness.take(), ["t/2.0/1.0"], "the inner node that had finished does not run again");
}

#[tokio::test]
async fn an_error_handler_of_the_outer_graph_goes_on_for_an_inner_failure() {
    let mut g = InnerBuilder::new("breaks");
    let breaks = g.func("breaks", async |_: Ctx<Inner>| -> Result<InnerUpdate, NodeError> {
        Err(NodeError::permanent("no paper"))
    });
    g.start(breaks);
    g.end(breaks);
    let breaks = g.build().unwrap();
    let mut g = builder();
    let part = g.subgraph("part", &breaks, |_: &Log, (): ()| Inner::update(), |_: &Inner| Log::update());
    let mend =
        g.func("mend", async |ctx: Ctx<Log, NodeFailure>| Ok(ran(&ctx).text(ctx.input.message.clone())));
    g.start(part);
    g.end(part);
    g.on_error(part, mend);
    g.end(mend);
    let state = within(g.build().unwrap().run(Log::update())).await.unwrap();
    assert_eq!(state.text, "`breaks`: no paper");
}

#[tokio::test]
async fn a_projection_that_panics_fails_its_node_and_nothing_else() {
    let two = two(&Witness::default());
    for out in [false, true] {
        let mut g = builder();
        let part = g.subgraph(
            "part",
            &two,
            move |_: &Log, (): ()| if out { Inner::update() } else { panic!("in") },
            move |_: &Inner| if out { panic!("out") } else { Log::update() },
        );
        chain(&mut g, &[part]);
        let graph = g.build().unwrap();
        let report = within(graph.runner().start("t", Log::update())).await.unwrap();
        let (node, failed) = failure(&report, &graph);
        assert_eq!((node.as_deref(), &*failed.code), (Some("part"), "SW-X285"), "{failed}");
        assert!(failed.message.ends_with(if out { "panicked: out" } else { "panicked: in" }), "{failed}");
    }
}

#[tokio::test]
async fn a_used_up_inner_bound_is_granted_anew_by_a_resume() {
    let mut g = InnerBuilder::new("turns");
    let turn = g.func("turn", async |_: Ctx<Inner>| Ok(Inner::update().sum(1u64)));
    g.start(turn);
    let again = |inner: &Inner| if inner.sum < 5 { Fork::Left } else { Fork::Right };
    g.branch(turn, again, ForkEdges { left: turn.to().at_most(2), right: To::END });
    let graph = fans_out(&g.build().unwrap(), 1);
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let (_, failed) = failure(&report, &graph);
    assert_eq!(failed.code, "SW-X286", "{failed}");
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.total, 5);
}

#[tokio::test]
async fn what_inner_nodes_retry_and_tell_is_seen_with_their_place() {
    let mut g = InnerBuilder::new("retries");
    let flaky = g.func("flaky", async |ctx: Ctx<Inner>| {
        ctx.emit("tried", &ctx.attempt());
        if ctx.attempt() < 3 { Err(NodeError::transient("busy")) } else { Ok(Inner::update().sum(1u64)) }
    });
    g.policy(flaky, RetryPolicy::new().attempts(3).initial(std::time::Duration::from_millis(1)));
    g.start(flaky);
    g.end(flaky);
    let graph = fans_out(&g.build().unwrap(), 1);
    let mut run = graph.runner().start("t", Log::update());
    let mut events = run.events();
    let report = within(run).await.unwrap();
    expect_finished(&report);
    let part = graph.plan().node_named("part").unwrap();
    let (mut items, mut failed) = (Vec::new(), 0);
    while let Some(event) = events.next().await {
        let RunEvent::Within { node, activation, event } = event else { continue };
        assert_eq!((node, activation.to_string().as_str()), (part, "2.0"));
        match *event {
            RunEvent::Item(item) => items.push(item.payload),
            RunEvent::NodeFailed { .. } => failed += 1,
            _ => {}
        }
    }
    assert_eq!((items, failed), (vec![1.into(), 2.into(), 3.into()], 2));
}

#[tokio::test]
async fn what_an_inner_node_posts_is_delivered_once() {
    let mut g = InnerBuilder::new("posts");
    let posts = g.func("posts", async |ctx: Ctx<Inner>| {
        ctx.outbox("mail", &ctx.state.depth)?;
        Ok(Inner::update().sum(1u64))
    });
    g.start(posts);
    g.end(posts);
    let graph = fans_out(&g.build().unwrap(), 3);
    for durability in [Durability::Process, Durability::Exit] {
        let (sent, down) = (Witness::default(), Arc::new(AtomicBool::new(true)));
        let (saw, refuses) = (sent.clone(), down.clone());
        let runner = graph.runner().durability(durability).checkpointer(MemoryCheckpointer::new()).outbox(
            "mail",
            move |mail: Delivery<u32>| {
                let (saw, refuses) = (saw.clone(), refuses.load(SeqCst));
                async move {
                    if refuses && mail.payload == 1 {
                        return Err(NodeError::transient("the line is dead"));
                    }
                    saw.saw(format!("{} {}", mail.payload, mail.id));
                    Ok(())
                }
            },
        );
        let report = within(runner.start("t", Log::update())).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.undelivered.len(), 1, "{:?}", report.undelivered);
        down.store(false, SeqCst);
        let report = within(runner.deliver("t")).await.unwrap();
        assert_eq!(report.undelivered, Vec::<String>::new());
        let mut sent = sent.take();
        sent.sort();
        sent.dedup();
        assert_eq!(sent.iter().map(|mail| &mail[..1]).collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}

#[tokio::test]
async fn a_drained_or_cancelled_run_stops_inside_too() {
    let witness = Witness::default();
    let graph = fans_out(&two(&witness), 2);
    for cancelled in [false, true] {
        let store = MemoryCheckpointer::new();
        let runner = graph.runner().checkpointer(store.clone());
        let mut run = runner.start("t", Log::update());
        let (mut events, control) = (run.events(), run.control());
        let watch = async move {
            while let Some(event) = events.next().await {
                if matches!(event, RunEvent::Within { .. }) {
                    if cancelled {
                        control.cancel();
                    } else {
                        control.drain();
                    }
                    break;
                }
            }
        };
        let (report, ()) = within(async { tokio::join!(run.into_future(), watch) }).await;
        let report = report.unwrap();
        if cancelled {
            assert_eq!(report.outcome, Outcome::Cancelled);
            continue;
        }
        assert_eq!(report.outcome, Outcome::Drained, "{}", report.describe());
        let report = within(runner.resume("t")).await.unwrap();
        expect_finished(&report);
        let mut keys = witness.take();
        keys.sort();
        assert_eq!(keys, ["t/2.0/1.0", "t/2.0/2.0", "t/2.1/1.0", "t/2.1/2.0"]);
    }
}

#[tokio::test]
async fn a_fork_takes_what_stands_inside_with_it() {
    let witness = Witness::default();
    let store = MemoryCheckpointer::new();
    let runner = fans_out(&rich(&witness, 2), 1).runner().checkpointer(store.clone());
    within(runner.start("t", Log::update())).await.unwrap();
    let last = entries(&store).last().unwrap().seq;
    runner.fork("t", last, "copy", Log::update().text("edited")).await.unwrap();
    witness.take();
    let report = within(runner.answer("copy", "which@2.0/1.0", &"a")).await.unwrap();
    let report = within(runner.answer("copy", &*report.interrupts[0].id, &"b")).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, report.state.text.as_str()), (6, "edited"));
    assert!(
        !witness.take().contains(&"step of copy/2.0/1.0".to_owned()),
        "its step was done before the fork"
    );
    let first = to_the_end(&runner, runner.resume("t")).await;
    assert_eq!(first.state.text, "");
}

#[test]
fn a_policy_that_only_a_node_can_keep_is_refused_on_a_graph() {
    let two = two(&Witness::default());
    let mut g = builder();
    let part = g.subgraph("part", &two, |_: &Log, (): ()| Inner::update(), |_: &Inner| Log::update());
    g.policy(part, RetryPolicy::new().attempts(3));
    chain(&mut g, &[part]);
    let problems = g.build().unwrap_err();
    assert_eq!(problems.iter().map(Problem::code).collect::<Vec<_>>(), ["SW-G130"]);
}

#[test]
fn graphs_nine_deep_are_refused() {
    let mut inner = two(&Witness::default());
    for depth in 2..=8 {
        let mut g = InnerBuilder::new(format!("level{depth}"));
        let below =
            g.subgraph("below", &inner, |_: &Inner, (): ()| Inner::update(), |_: &Inner| Inner::update());
        g.start(below);
        g.end(below);
        inner = g.build().unwrap();
    }
    let mut g = builder();
    let top = g.subgraph("top", &inner, |_: &Log, (): ()| Inner::update(), |_: &Inner| Log::update());
    chain(&mut g, &[top]);
    let problems = g.build().unwrap_err();
    assert_eq!(problems.iter().map(Problem::code).collect::<Vec<_>>(), ["SW-G131"]);
}
