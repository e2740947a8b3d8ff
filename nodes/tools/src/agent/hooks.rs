//! Hooks: code of the application that looks on at a loop, and may stand between it and a call.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use statewright_nodes_ports::{BoxFuture, ChatRequest, SideEffect, ToolResult};

use super::{AgentInput, AgentOutput};

/// What a hook makes of a call that is about to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It happens.
    Allow,
    /// It does not happen, for this reason. The model is told of a tool's; without a model call the loop ends.
    Deny(String),
    /// It does not happen, and this is its result: of a tool for the model, of the model as the answer.
    Instead(String),
    /// Whoever operates the run decides, and is told this.
    Ask(String),
}

/// A call of a tool as a hook sees it: the tool exists, and the arguments fit its schema.
#[derive(Debug, Clone, Copy)]
pub struct ToolUse<'a> {
    /// The tool.
    pub tool: &'a str,
    /// What it does to the world.
    pub side_effect: SideEffect,
    /// Its arguments.
    pub arguments: &'a Value,
}

/// Looks on at a loop. Each method has a default that does nothing.
///
/// Verdicts are kept like any other step, so a hook is not asked twice about one call, also not after a crash. What only
/// looks on is called again when the node is begun anew.
pub trait Hooks: Send + Sync {
    /// A run begins, or begins anew after a crash or a pause.
    fn run_start<'a>(&'a self, _input: &'a AgentInput) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The model is about to be asked.
    fn before_model<'a>(&'a self, _request: &'a ChatRequest) -> BoxFuture<'a, Verdict> {
        Box::pin(std::future::ready(Verdict::Allow))
    }

    /// A tool is about to be called.
    fn before_tool<'a>(&'a self, _call: ToolUse<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(std::future::ready(Verdict::Allow))
    }

    /// A tool was called; what comes out is what the model sees and what is kept.
    fn after_tool<'a>(&'a self, _call: ToolUse<'a>, result: ToolResult) -> BoxFuture<'a, ToolResult> {
        Box::pin(std::future::ready(result))
    }

    /// The run is over.
    fn run_end<'a>(&'a self, _output: &'a AgentOutput) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
