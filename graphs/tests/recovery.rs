//! A run that failed goes on where it stopped: what was finished is not paid for again.

mod common;

use std::sync::Arc;

use common::{WithDocs, scripted};
use statewright_engine_runtime::{MemoryCheckpointer, Outcome, RunEvent};
use statewright_graphs::{Pipeline, ResearchState, research};
use statewright_nodes_models::{Reply, Scripted};
use statewright_nodes_ports::{ModelError, purpose};

const QUESTION: &str = "How does the engine resume after a crash, and what is 15 percent of 80?";

#[tokio::test]
async fn a_resumed_run_repeats_no_finished_node() {
    let answer = "15 ÷ 100 × 80 = 12. After a crash the engine resumes from its journal. [1]";
    let model = Arc::new(Scripted::new([
        Reply::text("15 / 100 * 80").for_purpose(purpose::EXTRACT_EXPRESSION),
        Reply::error(ModelError::Transport { detail: "nobody answers".to_owned() })
            .for_purpose(purpose::WRITE),
    ]));
    let store = MemoryCheckpointer::new();
    let graph = research(&scripted(&model).with_docs()).unwrap();
    let failed =
        graph.runner().checkpointer(store.clone()).start("t", ResearchState::ask(QUESTION)).await.unwrap();
    assert!(matches!(failed.outcome, Outcome::Failed(_)), "{}", failed.describe());
    assert_eq!(model.calls(), 2);

    // Another process with the same store.
    model.push(Reply::text(answer).for_purpose(purpose::WRITE));
    let graph = research(&scripted(&model).with_docs()).unwrap();
    let runner = graph.runner().checkpointer(store);
    let mut run = runner.resume("t");
    let mut events = run.events();
    let done = run.await.unwrap();
    assert_eq!(done.outcome, Outcome::Finished, "{}", done.describe());
    assert_eq!(done.state.report().answer, answer);
    assert_eq!((model.calls_for(purpose::EXTRACT_EXPRESSION), model.calls_for(purpose::WRITE)), (1, 2));
    let keys: Vec<_> = model.requests().into_iter().skip(1).map(|request| request.idempotency_key).collect();
    assert_eq!(keys[0], keys[1], "the repeated call is recognisable");
    let mut visited = Vec::new();
    while let Some(event) = events.next().await {
        if let RunEvent::NodeStarted { node, .. } = event {
            visited.push(graph.plan().node_name(node).to_owned());
        }
    }
    assert_eq!(visited, ["writer", "reviewer"]);
}
