//! What the tests of the pipelines share: running a question and collecting what happened.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::expect_used, reason = "a helper of tests may fail the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use statewright_engine_runtime::{Graph, Item, Outcome, RunEvent, RunReport};
use statewright_graphs::{GraphPrompts, Pipeline, Report, Services};
use statewright_nodes_context::DocsIndex;
use statewright_nodes_models::{Offline, Scripted};
use statewright_nodes_ports::{ChatModel, TokenCounter};

/// Counts words: exact tokens would only load a vocabulary.
pub(crate) struct Words;

impl TokenCounter for Words {
    fn count(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn name(&self) -> &str {
        "words"
    }
}

pub(crate) fn docs_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs")
}

pub(crate) fn services(model: Arc<dyn ChatModel>) -> Services {
    Services { model, tokens: Arc::new(Words), docs: None, prompts: GraphPrompts::default() }
}

pub(crate) fn offline() -> Services {
    services(Arc::new(Offline::new(Arc::new(Words))))
}

pub(crate) fn scripted(model: &Arc<Scripted>) -> Services {
    services(model.clone())
}

pub(crate) trait WithDocs {
    fn with_docs(self) -> Services;
}

impl WithDocs for Services {
    fn with_docs(self) -> Services {
        let index = DocsIndex::open(&docs_folder()).expect("the folder of the tests");
        Services { docs: Some(index.into()), ..self }
    }
}

/// What a run came to.
pub(crate) struct Ran<S> {
    pub(crate) visited: Vec<String>,
    pub(crate) items: Vec<Item>,
    pub(crate) restored: bool,
    pub(crate) end: RunReport<S>,
}

impl<S: Pipeline> Ran<S> {
    pub(crate) fn report(&self) -> Report {
        assert_eq!(self.end.outcome, Outcome::Finished, "{}", self.end.describe());
        self.end.state.report()
    }

    pub(crate) fn path(&self) -> String {
        self.visited.join(" ")
    }

    /// The text that a viewer shows at the end: what was streamed since the last reset, or the answer itself if a gate
    /// put an earlier draft back.
    pub(crate) fn shown(&self) -> String {
        let mut shown = String::new();
        if self.restored {
            return self.report().answer;
        }
        for item in &self.items {
            match &*item.kind {
                "attempt_reset" => shown.clear(),
                "token" => shown.push_str(item.payload.as_str().expect("tokens are text")),
                _ => {}
            }
        }
        shown
    }
}

pub(crate) async fn run<S: Pipeline>(graph: &Graph<S>, question: &str) -> Ran<S> {
    let mut run = graph.runner().start("t", S::ask(question));
    let mut events = run.events();
    let end = run.await.expect("a run that can be driven");
    let (mut visited, mut items, mut restored) = (Vec::new(), Vec::new(), false);
    while let Some(event) = events.next().await {
        match event {
            RunEvent::NodeStarted { node, .. } => visited.push(graph.plan().node_name(node).to_owned()),
            RunEvent::Item(item) => items.push(item),
            RunEvent::Judged(round) => restored |= round.restored.is_some(),
            _ => {}
        }
    }
    Ran { visited, items, restored, end }
}
