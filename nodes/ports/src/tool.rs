//! The tool port: what a model may call, what that does to the world, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BoxFuture, NodeHost, ToolSpec};

/// Something that a model may call.
pub trait Tool: Send + Sync {
    /// Its name, what it is for, and the schema of its arguments.
    fn spec(&self) -> &ToolSpec;

    /// What a call does to the world. The strongest that a call can do.
    fn side_effect(&self) -> SideEffect;

    /// Whether the other side does a call once for each [`key`](ToolInput::key), however often it is made. Then a call that
    /// was not seen to end is simply made again.
    fn is_idempotent(&self) -> bool {
        false
    }

    /// Whether it does its work in durable steps of its own, by the [`host`](ToolInput::host). Then the call is no step
    /// itself, and is made again from the top when the node is begun anew.
    fn has_own_steps(&self) -> bool {
        false
    }

    /// Does the work. The arguments have passed the schema. Dropping the future ends the call.
    ///
    /// # Errors
    /// [`ToolError`]; the model is told of it as an error result.
    fn call<'a>(&'a self, input: ToolInput<'a>) -> BoxFuture<'a, Result<ToolOutput, ToolError>>;
}

/// What a tool does to the world, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SideEffect {
    /// Looks only; may be repeated.
    Read,
    /// Changes what belongs to the run, such as its workspace.
    Write,
    /// Reaches out of the process; others may notice.
    External,
    /// Cannot be taken back. Asks for approval by default.
    Irreversible,
}

/// One call of a tool.
#[derive(Clone, Copy)]
pub struct ToolInput<'a> {
    /// The arguments: an object that has passed the tool's schema.
    pub arguments: &'a Value,
    /// A key that is the same whenever this call is tried again, over retries and crashes.
    pub key: &'a str,
    /// The node in which the call is made, for tools that do durable steps of their own.
    pub host: &'a dyn NodeHost,
}

impl std::fmt::Debug for ToolInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolInput").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a tool gives back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// The result as text for the model.
    pub content: String,
}

impl From<String> for ToolOutput {
    fn from(content: String) -> Self {
        Self { content }
    }
}

/// Why a call of a tool failed. The model reads it, so it says what to do differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ToolError {
    /// The stable code, such as `SW-N301`.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}
