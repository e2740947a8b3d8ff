//! Defects that were reproduced in graph engines written in Rust. Those about speed are counted here, not timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::*;
use statewright_engine_runtime::*;
use tokio::time::Instant;

/// On a paused clock, so that the figure is exact on every machine.
#[tokio::test(start_paused = true)]
async fn a_hundred_branches_that_sleep_take_the_time_of_one() {
    let (present, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak) = (present.clone(), most.clone());
    let mut g = builder();
    let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts((0..100).collect())));
    let sleeps = g.func("sleeps", move |_: Ctx<Log, u32>| {
        let (inside, peak) = (inside.clone(), peak.clone());
        async move {
            peak.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            inside.fetch_sub(1, SeqCst);
            Ok(Log::update().total(1u64))
        }
    });
    g.start(plan);
    g.route(plan, SpreadEdges { parts: sleeps.to(), nothing: To::END });
    g.end(sleeps);
    let began = Instant::now();
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!((state.total, most.load(SeqCst)), (100, 100), "all of them at the same time");
    assert_eq!(began.elapsed(), Duration::from_millis(10));
}

/// Whatever ends a run early, `finished()` and `Graph::run` give no state.
#[tokio::test(start_paused = true)]
async fn a_limit_is_never_a_success() {
    let circle = |bound: u32| {
        let mut g = builder();
        let work = node(&mut g, "work");
        g.start(work);
        g.branch(work, |_: &Log| Fork::Left, ForkEdges { left: work.to().at_most(bound), right: To::END });
        g.build().unwrap()
    };
    let wide = || {
        let mut g = builder();
        let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts((0..9).collect())));
        let part = g.func("part", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx)));
        g.start(plan);
        g.route(plan, SpreadEdges { parts: part.to(), nothing: To::END });
        g.end(part);
        g.build().unwrap()
    };
    let slow = || {
        let mut g = builder();
        let waits = g.func("waits", async |_: Ctx<Log>| std::future::pending::<Done>().await);
        g.policy(waits, NodePolicy::new().run_timeout(Duration::from_secs(1)));
        chain(&mut g, &[waits]);
        g.build().unwrap()
    };
    let limits = Limits { frontier: 5, ..Limits::default() };
    for (graph, word) in [(circle(3), "used up"), (wide(), "SW-X221"), (slow(), "SW-X244")] {
        let runner = graph.runner().checkpointer(MemoryCheckpointer::new()).limits(limits);
        let report = runner.start("t", Log::update()).await.unwrap();
        assert_ne!(report.outcome, Outcome::Finished);
        let words = report.describe();
        assert!(words.contains(word), "{words}");
        let error = report.finished().unwrap_err();
        assert_eq!(error.code(), "SW-X208");
        assert!(error.to_string().contains(&words), "{error}");
    }
    assert_eq!(circle(3).run(Log::update()).await.unwrap_err().code(), "SW-X208");
}
