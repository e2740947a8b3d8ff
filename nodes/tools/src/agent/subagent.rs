//! Agents as tools: a task of its own, a conversation of its own, the tools of whoever hands it over or fewer, and no
//! more budget than is left there.

use serde_json::{Value, json};
use statewright_nodes_ports::{
    BoxFuture, HostError, HostStep, NodeHost, SideEffect, Tool, ToolError, ToolInput, ToolOutput, ToolSpec,
    Work,
};

use super::limits::{Limits, Spent};
use super::{AgentError, AgentInput, AgentLoop, AgentOutput};
use crate::Toolbox;

/// How deep agents may stand inside each other: the outermost one may hand a task to one that hands it on to another.
pub const DEPTH_MAX: u32 = 3;

/// An agent that another one may hand a task to; see [`AgentLoop::subagent`].
///
/// It is told the task and nothing else of the conversation, has the model, hooks and approvals of the agent that called
/// it, and may spend no more than what that one has left. Its steps stand under the name of the call, so they are kept like
/// any others.
#[derive(Debug, Clone)]
pub struct Subagent {
    spec: ToolSpec,
    system: String,
    tools: Option<Vec<String>>,
    limits: Limits,
}

impl Subagent {
    /// An agent of this name. `description` says to the calling model what it is good for, `system` tells the agent itself.
    #[must_use]
    pub fn new(name: &str, description: &str, system: impl Into<String>) -> Self {
        let parameters = json!({
            "type": "object",
            "properties": { "task": {
                "type": "string",
                "description": "The whole task, with everything that is needed to do it: nothing else is known there.",
            } },
            "required": ["task"],
            "additionalProperties": false,
        });
        let spec = ToolSpec { name: name.to_owned(), description: description.to_owned(), parameters };
        Self { spec, system: system.into(), tools: None, limits: Limits::default() }
    }

    /// Only these tools of the calling agent [default: all].
    #[must_use]
    pub fn tools(mut self, names: &[&str]) -> Self {
        self.tools = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// How far it may go by itself.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl Tool for Subagent {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// What it calls has side effects of its own, and is judged by them.
    fn side_effect(&self) -> SideEffect {
        SideEffect::Read
    }

    fn has_own_steps(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, _input: ToolInput<'a>) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        let message = format!("`{}` is an agent, which only an agent loop can call", self.spec.name);
        Box::pin(std::future::ready(Err(ToolError { code: "SW-N401", message })))
    }
}

impl AgentLoop {
    /// The agent that a call of this name means.
    pub(super) fn subagent_named(&self, name: &str) -> Option<&Subagent> {
        self.subagents.iter().map(|agent| &**agent).find(|agent| agent.spec.name == name)
    }

    /// The tools that are offered at this depth.
    pub(super) fn offered(&self, depth: u32) -> Toolbox {
        if depth < DEPTH_MAX || self.subagents.is_empty() {
            return self.toolbox.clone();
        }
        self.only(|name| self.subagent_named(name).is_none())
    }

    fn only(&self, keep: impl Fn(&str) -> bool) -> Toolbox {
        let names: Vec<&str> = self.toolbox.names().filter(|name| keep(name)).collect();
        // Names of the toolbox itself are never missing in it.
        self.toolbox.allow(&names).unwrap_or_default()
    }

    /// Hands a task over and gives what came of it. Boxed, since the future of a loop cannot hold another one of its kind.
    pub(super) fn delegate<'s>(
        &'s self,
        subagent: &'s Subagent,
        (host, name): (&'s dyn NodeHost, &'s str),
        arguments: &'s Value,
        spent: Spent,
    ) -> BoxFuture<'s, Result<AgentOutput, AgentError>> {
        let toolbox = match &subagent.tools {
            Some(names) => self.only(|name| names.iter().any(|allowed| allowed == name)),
            None => self.toolbox.clone(),
        };
        let inner = Self {
            toolbox,
            system: Some(subagent.system.clone()),
            limits: self.limits.within(&subagent.limits, &spent),
            ..self.clone()
        };
        Box::pin(async move {
            let host = Inside { host, prefix: format!("{name}/") };
            let task = arguments["task"].as_str().unwrap_or_default();
            inner.run(&host, AgentInput::new(task)).await
        })
    }
}

/// The host as an agent inside another one sees it: every name begins with that of its call.
struct Inside<'h> {
    host: &'h dyn NodeHost,
    prefix: String,
}

impl NodeHost for Inside<'_> {
    fn step<'a>(&'a self, step: HostStep<'a>, work: Work<'a>) -> BoxFuture<'a, Result<Value, HostError>> {
        Box::pin(async move {
            let name = format!("{}{}", self.prefix, step.name);
            self.host.step(HostStep { name: &name, ..step }, work).await
        })
    }

    fn ask<'a>(&'a self, name: &'a str, question: Value) -> BoxFuture<'a, Result<Value, HostError>> {
        Box::pin(async move { self.host.ask(&format!("{}{name}", self.prefix), question).await })
    }

    /// What it says is for the agent that called it, and not for whoever watches.
    fn emit(&self, kind: &'static str, payload: Value) {
        if ![statewright_nodes_ports::item::TOKEN, statewright_nodes_ports::item::ATTEMPT_RESET]
            .contains(&kind)
        {
            self.host.emit(kind, payload);
        }
    }

    fn key(&self, name: &str) -> String {
        self.host.key(&format!("{}{name}", self.prefix))
    }

    fn depth(&self) -> u32 {
        self.host.depth() + 1
    }
}
