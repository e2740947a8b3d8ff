//! A defect that was reported against another engine, on a real database. The others, and which is which, stand in
//! `docs/inherited-defects.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use statewright_engine_runtime::{
    Ctx, Durability, Graph, NodeError, Outcome, RunError, State, StateGraph, Status,
};
use statewright_engine_sql::{SqliteOptions, SqliteStore};
use tokio::sync::Notify;

#[derive(State, Clone, Debug, Default, PartialEq, Eq)]
struct Trip {
    #[reduce(append)]
    log: Vec<String>,
}

/// How often each node ran; the second one says that it runs, and waits until the database is gone.
#[derive(Clone, Default)]
struct World {
    ran: Arc<[AtomicU32; 3]>,
    runs: Arc<Notify>,
    gone: Arc<Notify>,
}

fn graph(world: &World) -> Graph<Trip> {
    let mut g = StateGraph::<Trip>::new("trip");
    let nodes = [0, 1, 2].map(|number| {
        let world = world.clone();
        let name = ["leave", "cross", "arrive"][number];
        g.func(name, move |_: Ctx<Trip>| {
            let world = world.clone();
            async move {
                if world.ran[number].fetch_add(1, SeqCst) == 0 && number == 1 {
                    world.runs.notify_one();
                    world.gone.notified().await;
                }
                Ok::<_, NodeError>(Trip::update().log(name))
            }
        })
    });
    let [leave, cross, arrive] = nodes;
    g.start(leave);
    g.edge(leave, cross);
    g.edge(cross, arrive);
    g.end(arrive);
    g.build().unwrap()
}

/// The database goes away under a run and comes back: the run is told, is found open, and goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovery_under_db_restart() {
    for durability in [Durability::Power, Durability::Process] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let world = World::default();
        let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
        let runner = graph(&world).runner().checkpointer(store.clone()).durability(durability);
        let run = tokio::spawn(runner.start("t", Trip::update().log("go")).into_future());
        world.runs.notified().await;
        store.close().await;
        world.gone.notify_one();
        let error = run.await.unwrap().unwrap_err();
        assert!(matches!(error, RunError::Store(_)), "{} {error}", error.code());

        let restarted = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
        let runner = graph(&world).runner().checkpointer(restarted).durability(durability);
        let found = runner.load("t").await.unwrap();
        assert_eq!(
            (found.status, found.state.log.as_slice()),
            (Status::Open, &["go", "leave"].map(String::from)[..])
        );
        let report = runner.resume("t").await.unwrap();
        assert_eq!(report.outcome, Outcome::Finished);
        assert_eq!(report.state.log, ["go", "leave", "cross", "arrive"]);
        let ran = world.ran.each_ref().map(|count| count.load(SeqCst));
        assert_eq!(ran, [1, 2, 1], "only what was in flight is repeated");
    }
}
