//! Errors of nodes as they are told and stored: kind, code, causes; and attempts that count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, io};

use crate::support::*;
use statewright_engine_runtime::*;

#[derive(Debug)]
struct Outer(io::Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the page could not be fetched")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Runs one node that fails, and gives what was told and what was stored about it.
async fn fails(
    with: impl Fn() -> NodeError + Send + Sync + 'static,
    classifier: Option<Classifier>,
) -> Failure {
    let mut g = builder();
    let with = Arc::new(with);
    let bad = g.func("bad", move |_: Ctx<Log>| {
        let with = Arc::clone(&with);
        async move { Done::Err(with()) }
    });
    chain(&mut g, &[bad]);
    if let Some(classifier) = classifier {
        g.classify(classifier);
    }
    let graph = g.build().unwrap();
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone());
    let report = runner.start("t", Log::update()).await.unwrap();
    let (node, told) = failure(&report, &graph);
    assert_eq!(node.as_deref(), Some("bad"));
    let loaded = runner.load("t").await.unwrap();
    assert_eq!(loaded.status, Status::Stopped(report.outcome.clone()), "stored as told");
    assert!(report.describe().contains("bad") && report.describe().contains(&told.message));
    told
}

#[tokio::test]
async fn an_error_keeps_its_chain_of_causes() {
    let reset = || io::Error::new(io::ErrorKind::ConnectionReset, "the peer hung up");
    let failure = fails(move || Outer(reset()).into(), None).await;
    assert_eq!(failure.message, "the page could not be fetched");
    assert_eq!(failure.details, ["the peer hung up"]);
    assert_eq!(failure.kind, FailureKind::Transient, "the cause decides");
}

#[tokio::test]
async fn io_errors_are_classified() {
    use io::ErrorKind::*;
    let transient =
        [ConnectionReset, ConnectionRefused, ConnectionAborted, TimedOut, BrokenPipe, Interrupted];
    for kind in transient {
        assert_eq!(
            fails(move || io::Error::from(kind).into(), None).await.kind,
            FailureKind::Transient,
            "{kind:?}"
        );
    }
    for kind in [NotFound, PermissionDenied, InvalidInput, InvalidData, AlreadyExists, Unsupported] {
        assert_eq!(
            fails(move || io::Error::from(kind).into(), None).await.kind,
            FailureKind::Permanent,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_timeout_is_transient() {
    let elapsed =
        tokio::time::timeout(std::time::Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
    let elapsed = Arc::new(std::sync::Mutex::new(Some(elapsed)));
    let failure = fails(move || elapsed.lock().unwrap().take().unwrap().into(), None).await;
    assert_eq!(failure.kind, FailureKind::Transient);
}

#[tokio::test]
async fn an_error_that_nobody_knows_is_unclassified() {
    #[derive(Debug)]
    struct Mine;

    impl fmt::Display for Mine {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("something of mine")
        }
    }

    impl std::error::Error for Mine {}

    let failure = fails(|| Mine.into(), None).await;
    assert_eq!((failure.code.as_str(), failure.kind), ("SW-X240", FailureKind::Unclassified));
    assert_eq!(failure.message, "something of mine");
}

#[tokio::test]
async fn a_classifier_knows_more_and_looks_at_causes_too() {
    fn knows(error: &(dyn std::error::Error + 'static)) -> Option<Classified> {
        let io = error.downcast_ref::<io::Error>()?;
        let kind = (io.kind() == io::ErrorKind::NotFound).then_some(FailureKind::Transient)?;
        Some(Classified { code: "MY-1".into(), kind, retry_after: None })
    }
    let failure = fails(|| Outer(io::ErrorKind::NotFound.into()).into(), Some(knows)).await;
    assert_eq!((failure.code.as_str(), failure.kind), ("MY-1", FailureKind::Transient));
    let failure = fails(|| io::Error::from(io::ErrorKind::PermissionDenied).into(), Some(knows)).await;
    assert_eq!((failure.code.as_str(), failure.kind), ("SW-X240", FailureKind::Permanent));
}

#[tokio::test]
async fn errors_may_have_a_code_and_a_kind_of_their_own() {
    let failure = fails(|| NodeError::transient("later").with_code("MY-2"), None).await;
    assert_eq!((failure.code.as_str(), failure.kind), ("MY-2", FailureKind::Transient));
    assert_eq!((failure.message.as_str(), failure.details.len()), ("later", 0));
    let failure = fails(|| NodeError::permanent("never"), None).await;
    assert_eq!((failure.code.as_str(), failure.kind), ("SW-X240", FailureKind::Permanent));
}

#[tokio::test]
async fn a_code_given_to_a_converted_error_stays() {
    let failure =
        fails(|| NodeError::from(io::Error::from(io::ErrorKind::TimedOut)).with_code("MY-3"), None).await;
    assert_eq!((failure.code.as_str(), failure.kind), ("MY-3", FailureKind::Transient));
}

#[tokio::test]
async fn attempts_count_up_and_the_idempotency_key_stays() {
    let broken = Arc::new(AtomicBool::new(true));
    let witness = Witness::default();
    let (flag, seen) = (Arc::clone(&broken), witness.clone());
    let mut g = builder();
    let flaky = g.func("flaky", move |ctx: Ctx<Log>| {
        seen.saw(format!("{} {}", ctx.attempt(), ctx.idempotency_key()));
        let broken = flag.load(Ordering::SeqCst);
        async move { if broken { Err(NodeError::transient("not yet")) } else { Ok(ran(&ctx)) } }
    });
    chain(&mut g, &[flaky]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let first = runner.start("t", Log::update()).await.unwrap();
    assert!(matches!(first.outcome, Outcome::Failed(_)));
    runner.resume("t").await.unwrap();
    broken.store(false, Ordering::SeqCst);
    expect_finished(&runner.resume("t").await.unwrap());
    expect_finished(&runner.start("t", Log::update()).await.unwrap());
    let seen = witness.take();
    let (attempts, keys): (Vec<&str>, Vec<&str>) =
        seen.iter().map(|line| line.split_once(' ').unwrap()).unzip();
    assert_eq!(attempts, ["1", "2", "3", "1"]);
    assert!(keys[0] == keys[1] && keys[1] == keys[2], "{keys:?}");
    assert_ne!(keys[2], keys[3], "another run is other work");
}

#[tokio::test]
async fn every_activation_has_an_idempotency_key_of_its_own() {
    let witness = Witness::default();
    let mut g = builder();
    let plan = g.func("plan", async |ctx: Ctx<Log>| Ok((ran(&ctx), Spread::Parts(vec![1, 1, 1]))));
    let seen = witness.clone();
    let work = g.func("work", move |ctx: Ctx<Log, u32>| {
        seen.saw(ctx.idempotency_key());
        async move { Ok(ran(&ctx)) }
    });
    let last = node(&mut g, "last");
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.edge(work, last);
    let again = |state: &Log| if state.trace.len() < 10 { Fork::Left } else { Fork::Right };
    g.branch(last, again, ForkEdges { left: plan.to().at_most(1), right: To::END });
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    for thread in ["t", "u"] {
        expect_finished(&runner.start(thread, Log::update()).await.unwrap());
    }
    let mut keys = witness.take();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 12);
}
