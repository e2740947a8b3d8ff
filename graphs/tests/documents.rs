//! When documents are read: not before they are searched, and once.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{docs_folder, offline, run};
use statewright_engine_runtime::{Outcome, RunEvent};
use statewright_graphs::{ClassicState, Docs, Pipeline, ResearchState, Services, classic, research};
use statewright_nodes_context::{ContextError, DocsIndex};

const CRASH: &str = "How does the engine resume after a crash?";

/// The nodes that start although the index is never ready; then the run is cancelled.
macro_rules! started_without_an_index {
    ($graph:expr, $state:ty) => {{
        let graph = $graph;
        let mut run = graph.runner().start("t", <$state>::ask(CRASH));
        let (mut events, control) = (run.events(), run.control());
        let watch = async {
            let mut started = Vec::new();
            while let Some(event) = events.next().await {
                if let RunEvent::NodeStarted { node, .. } = event {
                    started.push(graph.plan().node_name(node).to_owned());
                    if started.len() == 2 {
                        control.cancel();
                    }
                }
            }
            started
        };
        let (end, started) = tokio::join!(run, watch);
        assert_eq!(end.unwrap().outcome, Outcome::Cancelled);
        started
    }};
}

#[tokio::test]
async fn nodes_start_without_waiting_for_the_index() {
    let services = Services { docs: Some(Docs::when(std::future::pending())), ..offline() };
    let expected = ["orchestrator", "research"];
    assert_eq!(started_without_an_index!(classic(&services).unwrap(), ClassicState), expected);
    assert_eq!(started_without_an_index!(research(&services).unwrap(), ResearchState), expected);
}

#[tokio::test]
async fn all_searches_share_one_reading() {
    let readings = Arc::new(AtomicUsize::new(0));
    let counted = readings.clone();
    let docs = Docs::when(async move {
        counted.fetch_add(1, Ordering::Relaxed);
        DocsIndex::open(&docs_folder())
    });
    let graph = research(&Services { docs: Some(docs.clone()), ..offline() }).unwrap();
    assert_eq!(readings.load(Ordering::Relaxed), 0, "a graph is built without its documents");
    for _ in 0..2 {
        assert!(!run(&graph, CRASH).await.report().citations.is_empty());
    }
    docs.index().await.unwrap();
    assert_eq!(readings.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_folder_that_is_gone_by_then_fails_the_search_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Docs::open(folder.path()), Err(ContextError::NothingToSearch { .. })));
    std::fs::write(folder.path().join("a.md"), "# Crash\n\nThe engine resumes.\n").unwrap();
    let docs = Docs::open(folder.path()).unwrap();
    drop(folder);
    let graph = research(&Services { docs: Some(docs), ..offline() }).unwrap();
    let end = graph.runner().start("t", ResearchState::ask(CRASH)).await.unwrap();
    let Outcome::Failed(failures) = &end.outcome else { panic!("{}", end.describe()) };
    assert_eq!(failures[0].1.code, "SW-N310");
}
