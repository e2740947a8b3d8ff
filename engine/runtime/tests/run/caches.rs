//! Results of nodes that are kept by a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;

/// `work` adds the length of the text to the total and goes left or right, `left` writes down that it ran.
fn counting(witness: &Witness, version: u32) -> Graph<Log> {
    let mut g = builder();
    let seen = witness.clone();
    let work = g.func("work", move |ctx: Ctx<Log>| {
        seen.saw("work");
        async move {
            let route = if ctx.state.text.len() < 5 { Fork::Left } else { Fork::Right };
            Ok((ran(&ctx).total(ctx.state.text.len() as u64), route))
        }
    });
    let left = node(&mut g, "left");
    g.start(work);
    g.route(work, ForkEdges { left: left.to(), right: To::END });
    g.end(left);
    g.cache(work, version, Duration::from_secs(60), |log: &Log, (): &()| log.text.clone());
    g.build().unwrap()
}

fn text(text: &str) -> LogUpdate {
    Log::update().text(text.to_owned())
}

#[tokio::test]
async fn a_node_whose_result_is_known_finishes_without_running_until_its_time_is_over() {
    let (witness, now, cache) = (Witness::default(), Arc::new(AtomicU64::new(1_000)), MemoryCache::new());
    let runner = |version| {
        let clock = now.clone();
        let runner = counting(&witness, version).runner().cache(cache.clone());
        runner.clock(Arc::new(move || clock.load(SeqCst)))
    };
    let cases = [
        (1_000, 1, "abc", 1, "the first time it runs"),
        (60_999, 1, "abc", 0, "and then its result is known"),
        (60_999, 1, "abcdef", 1, "but not that of another key"),
        (60_999, 2, "abc", 1, "nor that of other code"),
        (61_000, 1, "abc", 1, "and after its time it runs again"),
        (120_999, 1, "abcdef", 1, "each result has its own time"),
        (120_999, 1, "abc", 0, "which begins anew when it is kept again"),
    ];
    for (thread, (now_ms, version, input, runs, why)) in cases.into_iter().enumerate() {
        now.store(now_ms, SeqCst);
        let report = runner(version).start(format!("t{thread}"), text(input)).await.unwrap();
        let state = report.finished().unwrap();
        let trace = if input.len() < 5 { "work left" } else { "work" };
        assert_eq!((state.total, state.trace.join(" ").as_str()), (input.len() as u64, trace), "{why}");
        assert_eq!(witness.take().len(), runs, "{why}");
    }
}

#[tokio::test]
async fn a_result_that_was_found_is_recorded_so_and_never_looked_for_again() {
    let (witness, cache, store) = (Witness::default(), MemoryCache::new(), MemoryCheckpointer::new());
    let graph = counting(&witness, 1);
    graph.runner().cache(cache.clone()).start("other", text("abc")).await.unwrap();
    let runner = graph.runner().cache(cache).checkpointer(store.clone());
    let whole = runner.start("t", text("abc")).await.unwrap().finished().unwrap();
    assert_eq!(witness.take(), ["work"], "once for both runs");
    let entries = entries(&store);
    let marks: Vec<bool> = records(&entries)
        .into_iter()
        .filter_map(|body| if let Body::Finished { cached, .. } = body { Some(cached) } else { None })
        .collect();
    assert_eq!(marks, [true, false]);
    let view = ThreadView::read(graph.plan(), &entries).unwrap();
    assert_eq!(view.steps.iter().map(|step| step.cached).collect::<Vec<_>>(), [true, false]);
    // A recovered run has the result from its journal, whatever the cache holds.
    let recovered = graph.runner().checkpointer(crashed_after(&entries[..2]).await);
    assert_eq!(recovered.resume("t").await.unwrap().state, whole);
    assert!(witness.take().is_empty());
}

#[tokio::test]
async fn failures_and_answers_are_not_kept() {
    let mut g = builder();
    let work = g.func("work", async |ctx: Ctx<Log>| {
        if ctx.state.text == "bad" {
            return Err(NodeError::permanent("broken"));
        }
        let answer: u64 = ctx.ask("how many", "?").await;
        Ok(ran(&ctx).total(answer))
    });
    chain(&mut g, &[work]);
    g.cache(work, 1, Duration::from_secs(60), |log: &Log, (): &()| log.text.clone());
    let runner =
        g.build().unwrap().runner().cache(MemoryCache::new()).checkpointer(MemoryCheckpointer::new());
    for thread in ["a", "b"] {
        let report = runner.start(thread, text("bad")).await.unwrap();
        assert!(matches!(report.outcome, Outcome::Failed(_)), "{}", report.describe());
    }
    for (thread, answer) in [("c", 3u64), ("d", 4)] {
        let report = runner.start(thread, text("good")).await.unwrap();
        let id = questions(&report)[0].id.clone();
        assert_eq!(runner.answer(thread, id, &answer).await.unwrap().finished().unwrap().total, answer);
    }
}

/// A cache that is broken.
struct Broken;

impl ResultCache for Broken {
    fn get<'a>(
        &'a self,
        _: &'a [u8; 16],
        _: u64,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(std::future::ready(Ok(Some(b"nonsense".to_vec()))))
    }

    fn put<'a>(
        &'a self,
        _: &'a [u8; 16],
        _: Vec<u8>,
        _: u64,
    ) -> futures_util::future::BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::Busy { thread: "t".into() })))
    }

    fn expire(&self, _: u64) -> futures_util::future::BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

#[tokio::test]
async fn a_broken_cache_costs_work_and_nothing_else() {
    let witness = Witness::default();
    for _ in 0..2 {
        let state = counting(&witness, 1)
            .runner()
            .cache(Broken)
            .start("t", text("abc"))
            .await
            .unwrap()
            .finished()
            .unwrap();
        assert_eq!(state.total, 3);
    }
    assert_eq!(witness.take().len(), 2);
}

#[tokio::test]
async fn nodes_of_an_inner_graph_have_results_of_their_own() {
    let mut inner = builder();
    let nodes: Vec<_> = (1..=4u64)
        .map(|number| {
            inner.func(
                format!("add{number}"),
                move |_: Ctx<Log>| async move { Ok(Log::update().total(number)) },
            )
        })
        .collect();
    chain(&mut inner, &nodes);
    for node in nodes {
        inner.cache(node, 1, Duration::from_secs(60), |log: &Log, (): &()| log.text.clone());
    }
    let inner = inner.build().unwrap();
    let mut outer = builder();
    let enter = |log: &Log, (): ()| text(&log.text);
    let work = outer.subgraph("work", &inner, enter, |log: &Log| Log::update().total(log.total));
    chain(&mut outer, &[work]);
    let runner = outer.build().unwrap().runner().cache(MemoryCache::new());
    for thread in ["first", "again"] {
        let state = runner.start(thread, text("abc")).await.unwrap().finished().unwrap();
        assert_eq!(state.total, 1 + 2 + 3 + 4, "each node has the result of its own: {thread}");
    }
}

#[tokio::test]
async fn watchers_are_told_what_was_found() {
    let (witness, cache) = (Witness::default(), MemoryCache::new());
    let runner = counting(&witness, 1).runner().cache(cache);
    for expected in [[false, false], [true, false]] {
        let mut run = runner.start("t", text("abc"));
        let mut events = run.events();
        run.await.unwrap().finished().unwrap();
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            if let RunEvent::NodeFinished { cached, .. } = event {
                told.push(cached);
            }
        }
        assert_eq!(told, expected);
    }
}
