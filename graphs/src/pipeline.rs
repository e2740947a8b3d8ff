//! What a program needs to know of a pipeline: how to ask it, how to read what came out, and what its nodes work
//! with. No pipeline is defined here.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{Classified, FailureKind, State};
use statewright_nodes_context::prompt::PromptError;
use statewright_nodes_context::{Citation, ContextError};
use statewright_nodes_ports::{ChatModel, ErrorClass, ModelError, TokenCounter, Usage};
use statewright_nodes_tools::calculator::CalculatorError;

pub use crate::classic::{ClassicState, classic};
use crate::docs::Docs;
use crate::graph_prompts::GraphPrompts;
pub use crate::research::{ResearchState, research};

/// What nodes of the ready pipelines work with.
#[derive(Clone)]
pub struct Services {
    /// The model that extracts and writes.
    pub model: Arc<dyn ChatModel>,
    /// Counts tokens of what goes into a prompt, and of calls whose provider does not say.
    pub tokens: Arc<dyn TokenCounter>,
    /// The documents to search, such as `Some(Docs::open("docs")?)`; `None` if none were given.
    pub docs: Option<Docs>,
    /// The system prompts; by default those that are built in.
    pub prompts: GraphPrompts,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("model", self.model.id())
            .field("tokens", &self.tokens.name())
            .field("docs", &self.docs)
            .field("prompts", &self.prompts)
            .finish()
    }
}

/// What a program needs to know to put a question to a graph and to show what came out.
pub trait Pipeline: State {
    /// The input of a run that answers this question.
    fn ask(question: &str) -> Self::Update;

    /// What came out. Complete once the run has finished; before that, what there is so far.
    fn report(&self) -> Report;
}

/// What a run came to, for people and for machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The answer; of a run that is not finished, the draft so far. `[n]` in it is the n-th citation, counted from 1.
    pub answer: String,
    /// What the answer cites.
    pub citations: Vec<Citation>,
    /// The calculation, as `150 × 223.48 = 33,522`.
    pub calculation: Option<String>,
    /// How good the reviewer found the answer, from 0 to 1; `None` before a review.
    pub quality: Option<f64>,
    /// How many drafts were written.
    pub attempts: u32,
    /// The tokens of all model calls.
    pub usage: Usage,
    /// What a reader should know beside the answer: what is missing, what the reviewer found.
    pub notes: Vec<String>,
}

/// Recognises the errors of models, calculator and context, for a graph's failures: their code, and whether trying
/// again can help.
pub fn classify_model_errors(error: &(dyn Error + 'static)) -> Option<Classified> {
    let permanent =
        |code| Classified { code: Cow::Borrowed(code), kind: FailureKind::Permanent, retry_after: None };
    if let Some(error) = error.downcast_ref::<ModelError>() {
        let kind = match error.class() {
            ErrorClass::Transient => FailureKind::Transient,
            ErrorClass::Permanent => FailureKind::Permanent,
        };
        return Some(Classified {
            code: Cow::Borrowed(error.code()),
            kind,
            retry_after: error.retry_after(),
        });
    }
    if let Some(error) = error.downcast_ref::<CalculatorError>() {
        return Some(permanent(error.code()));
    }
    if let Some(error) = error.downcast_ref::<PromptError>() {
        return Some(permanent(error.code()));
    }
    error.downcast_ref::<ContextError>().map(|error| permanent(error.code()))
}
