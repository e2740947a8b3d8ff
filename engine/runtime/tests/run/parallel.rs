//! Nodes of one superstep: they really run at once, see one state, are merged in one order, and fail on their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use statewright_engine_runtime::*;
use tokio::sync::{Barrier, Semaphore};

/// `plan` fans out `count` parts to `work`, which runs `body`.
fn fan_out<Fut>(count: u32, body: impl Fn(Ctx<Log, u32>) -> Fut + Send + Sync + 'static) -> Graph<Log>
where
    Fut: Future<Output = Done> + Send + 'static,
{
    let mut g = builder();
    let plan = g.func("plan", move |_: Ctx<Log>| async move { Ok(Spread::Parts((0..count).collect())) });
    let work = g.func("work", body);
    let last = node(&mut g, "last");
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.edge(work, last);
    g.end(last);
    g.build().unwrap()
}

/// A barrier that opens only when all activations stand in it: they would wait for ever one after the other.
fn meeting(count: u32) -> Graph<Log> {
    let barrier = Arc::new(Barrier::new(count as usize));
    fan_out(count, move |ctx| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            Ok(Log::update().total(u64::from(ctx.input)))
        }
    })
}

#[tokio::test]
async fn a_thousand_activations_run_at_once_on_one_thread() {
    let state = within(meeting(1_000).run(Log::update())).await.unwrap();
    assert_eq!((state.total, state.trace.len()), (499_500, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_activations_run_at_once_on_several_threads() {
    let state = within(meeting(1_000).run(Log::update())).await.unwrap();
    assert_eq!(state.total, 499_500);
}

#[tokio::test]
async fn different_nodes_of_a_superstep_run_at_once() {
    let barrier = Arc::new(Barrier::new(3));
    let mut g = builder();
    let a = node(&mut g, "a");
    let sides = ["b", "c", "d"].map(|name| {
        let barrier = Arc::clone(&barrier);
        g.func(name, move |ctx: Ctx<Log>| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok(ran(&ctx))
            }
        })
    });
    let e = node(&mut g, "e");
    g.start(a);
    for side in sides {
        g.edge(a, side);
    }
    g.join(sides, e);
    g.end(e);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(report.state.trace, ["a", "b", "c", "d", "e"]);
}

/// Branches that compute without ever yielding meet only if each has a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn branches_that_compute_run_on_several_cores() {
    let inside = Arc::new(AtomicUsize::new(0));
    let graph = fan_out(2, move |_| {
        let inside = Arc::clone(&inside);
        async move {
            inside.fetch_add(1, Ordering::SeqCst);
            let began = Instant::now();
            while inside.load(Ordering::SeqCst) < 2 {
                if began.elapsed() > Duration::from_secs(10) {
                    return Err(NodeError::permanent(
                        "the other branch did not begin while this one computed",
                    ));
                }
                std::thread::yield_now();
            }
            Ok(Log::update().total(1u64))
        }
    });
    let state = within(graph.run(Log::update())).await.unwrap();
    assert_eq!(state.total, 2);
}

#[tokio::test]
async fn writes_are_merged_by_declaration_and_fan_out_index_not_by_arrival() {
    // Each waits for its successor, so that they arrive in the reverse of their order.
    let gates: Arc<Vec<Semaphore>> = Arc::new((0..20).map(|_| Semaphore::new(0)).collect());
    gates[19].add_permits(1);
    let arrived = Witness::default();
    let seen = arrived.clone();
    let graph = fan_out(20, move |ctx| {
        let (gates, arrived) = (Arc::clone(&gates), arrived.clone());
        async move {
            let index = ctx.input as usize;
            gates[index].acquire().await.unwrap().forget();
            arrived.saw(format!("{index:02}"));
            if index > 0 {
                gates[index - 1].add_permits(1);
            }
            Ok(Log::update().trace(format!("{index:02}")).last(format!("{index:02}")))
        }
    });
    let state = within(graph.run(Log::update())).await.unwrap();
    let mut order: Vec<String> = (0..20).map(|index| format!("{index:02}")).collect();
    assert_eq!(state.trace[..20], order[..]);
    assert_eq!(state.last, "19");
    order.reverse();
    assert_eq!(seen.take(), order);
}

#[tokio::test]
async fn names_do_not_decide_the_order_of_merging() {
    let mut g = builder();
    let first = node(&mut g, "first");
    let [z, a, m] = ["z", "a", "m"].map(|name| node(&mut g, name));
    g.start(first);
    for side in [m, a, z] {
        g.edge(first, side);
        g.end(side);
    }
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace, ["first", "z", "a", "m"]);
}

#[tokio::test]
async fn nodes_of_one_superstep_do_not_see_each_others_writes() {
    let graph = fan_out(3, |ctx| async move {
        assert_eq!(ctx.state.total, 0);
        Ok(Log::update().total(1u64))
    });
    assert_eq!(graph.run(Log::update()).await.unwrap().total, 3);
}

/// Parts 0 and 2 finish only after part 1 has failed; part 1 fails as long as `broken` says so.
fn one_of_three_fails(broken: &Arc<AtomicBool>, witness: &Witness) -> Graph<Log> {
    let failed = Arc::new(Semaphore::new(0));
    let (broken, witness) = (Arc::clone(broken), witness.clone());
    fan_out(3, move |ctx| {
        let (failed, broken, witness) = (Arc::clone(&failed), Arc::clone(&broken), witness.clone());
        async move {
            witness.saw(ctx.input.to_string());
            if ctx.input != 1 {
                drop(failed.acquire().await.unwrap());
            } else if broken.load(Ordering::SeqCst) {
                failed.add_permits(1);
                return Err(NodeError::permanent("broken"));
            }
            Ok(ran(&ctx).total(10u64.pow(ctx.input)))
        }
    })
}

#[tokio::test]
async fn when_a_branch_fails_its_siblings_finish_and_resume_runs_only_the_failed_one() {
    let (broken, witness) = (Arc::new(AtomicBool::new(true)), Witness::default());
    let store = MemoryCheckpointer::new();
    let graph = one_of_three_fails(&broken, &witness);
    let runner = graph.runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let (node, why) = failure(&report, &graph);
    assert_eq!((node.as_deref(), why.message.as_str()), (Some("work"), "broken"));
    assert_eq!(report.state.total, 0, "the superstep is not committed");
    assert_eq!(finished(&entries(&store)), 3, "plan and two of three are recorded");
    let mut seen = witness.take();
    seen.sort();
    assert_eq!(seen, ["0", "1", "2"]);
    // Still broken: only the failed one is tried.
    let report = within(runner.resume("t")).await.unwrap();
    assert_eq!(failure(&report, &graph).1.message, "broken");
    assert_eq!(witness.take(), ["1"]);
    // In another process, mended.
    broken.store(false, Ordering::SeqCst);
    let runner =
        one_of_three_fails(&broken, &witness).runner().checkpointer(crashed_after(&entries(&store)).await);
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(witness.take(), ["1"]);
    assert_eq!((report.state.total, report.state.trace.len()), (111, 4));
}

#[tokio::test]
async fn all_failures_of_a_superstep_are_reported() {
    let graph = fan_out(4, |ctx| async move {
        if ctx.input % 2 == 0 {
            Ok(ran(&ctx))
        } else {
            Err(NodeError::permanent(format!("no {}", ctx.input)))
        }
    });
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    let Outcome::Failed(failures) = &report.outcome else { panic!("{}", report.describe()) };
    let words: Vec<&str> = failures.iter().map(|(_, failure)| failure.message.as_str()).collect();
    assert_eq!(words, ["no 1", "no 3"]);
    for word in ["work", "no 1", "no 3"] {
        assert!(report.describe().contains(word), "{}", report.describe());
    }
}

#[tokio::test]
async fn a_fan_out_over_nothing_runs_no_worker_and_what_stands_behind_it() {
    let report =
        fan_out(0, |ctx| async move { Ok(ran(&ctx)) }).runner().start("t", Log::update()).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["last"]);
}

#[tokio::test]
async fn a_frontier_of_exactly_the_limit_runs_and_one_more_is_refused() {
    for (count, allowed) in [(5, true), (6, false)] {
        let graph = fan_out(count, |ctx| async move { Ok(ran(&ctx)) });
        let limits = Limits { frontier: 5, ..Limits::default() };
        let runner = graph.runner().checkpointer(MemoryCheckpointer::new()).limits(limits);
        let report = runner.start("t", Log::update()).await.unwrap();
        if allowed {
            expect_finished(&report);
        } else {
            let (_, failure) = failure(&report, &graph);
            assert_eq!(failure.code, "SW-X221", "{failure}");
            assert!(failure.message.contains('6') && failure.message.contains('5'), "{failure}");
        }
    }
}

#[tokio::test]
async fn a_join_runs_once_however_many_activations_arrive() {
    let witness = Witness::default();
    let seen = witness.clone();
    let mut g = builder();
    let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts(vec![1, 2, 3])));
    let work = g.func("work", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx)));
    let last = g.func("last", move |ctx: Ctx<Log>| {
        seen.saw("last");
        async move { Ok(ran(&ctx)) }
    });
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: last.to() });
    g.edge(work, last);
    g.end(last);
    let report = g.build().unwrap().runner().start("t", Log::update()).await.unwrap();
    expect_finished(&report);
    assert_eq!((witness.count("last"), report.state.trace.len()), (1, 4));
}

/// Runs a fan-out and gives how many ran at once at most, and the order in which they began.
async fn crowd(
    count: u32,
    policy: NodePolicy,
    limits: Limits,
    multiple: bool,
) -> (usize, Vec<u32>, Arc<Log>) {
    let (present, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (inside, peak, began) = (present.clone(), most.clone(), order.clone());
    let mut g = builder();
    let plan = g.func("plan", move |_: Ctx<Log>| async move { Ok(Spread::Parts((0..count).collect())) });
    let work = g.func("work", move |ctx: Ctx<Log, u32>| {
        let (inside, peak, began) = (inside.clone(), peak.clone(), began.clone());
        async move {
            peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            began.lock().unwrap().push(ctx.input);
            for _ in 0..=ctx.input % 4 {
                tokio::task::yield_now().await;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(Log::update().total(u64::from(ctx.input)))
        }
    });
    g.policy(work, policy);
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.end(work);
    let runner = g.build().unwrap().runner().limits(limits);
    let runner = if multiple { runner.checkpointer(MemoryCheckpointer::new()) } else { runner };
    let report = within(runner.start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    let order = order.lock().unwrap().clone();
    (most.load(Ordering::SeqCst), order, report.state)
}

#[tokio::test]
async fn a_fan_out_of_ten_thousand_runs_a_few_at_a_time_in_order() {
    for stored in [false, true] {
        let (most, order, state) =
            crowd(10_000, NodePolicy::new().at_once(7), Limits::default(), stored).await;
        assert_eq!(most, 7);
        assert_eq!(order, (0..10_000).collect::<Vec<_>>(), "they begin in fan-out order");
        assert_eq!(state.total, 49_995_000);
    }
}

#[tokio::test]
async fn a_superstep_runs_a_thousand_at_a_time_unless_said_otherwise() {
    assert_eq!(crowd(3_000, NodePolicy::new(), Limits::default(), false).await.0, 1_000);
    let limits = Limits { at_once: 5, ..Limits::default() };
    assert_eq!(crowd(50, NodePolicy::new().at_once(20), limits, false).await.0, 5);
}
