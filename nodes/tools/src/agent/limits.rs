//! How far a loop may go, what it has spent, and the ways in which it is stopped before the model says that it is done.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use statewright_nodes_ports::Usage;

/// How far one loop may go. What is reached is an early end with what there is so far, and not an error.
///
/// Tokens, cost and time are looked at before each call, so they are passed by at most one call. Budgets of the host
/// are reserved before a call and not passed at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most answers of the model. The last one is asked for without tools.
    pub iterations: u32,
    /// The most calls of tools.
    pub tool_calls: u32,
    /// The most tokens of all model calls, prompts and answers together.
    pub tokens: Option<u64>,
    /// The most that all model calls may cost, in billionths of a dollar. Calls without a known price count as free.
    pub nanodollars: Option<u64>,
    /// The most time in calls of the model and of tools. Waiting for an answer of a person does not count.
    pub wall_time: Option<Duration>,
    /// How often the same call may give the same result. The next one is refused, and the one after it ends the loop.
    pub identical_calls: u32,
    /// How many iterations in a row may fail in the same way.
    pub identical_failures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            iterations: 25,
            tool_calls: 100,
            tokens: None,
            nanodollars: None,
            wall_time: None,
            identical_calls: 3,
            identical_failures: 3,
        }
    }
}

impl Limits {
    /// The limits of a loop inside this one: no wider than what is left here.
    #[must_use]
    pub(crate) fn within(&self, own: &Limits, spent: &Spent) -> Limits {
        let left = |limit: Option<u64>, spent: u64| limit.map(|limit| limit.saturating_sub(spent));
        let narrower = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let time =
            |limit: Option<Duration>| limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let wall_ms = narrower(time(own.wall_time), left(time(self.wall_time), spent.ms));
        Limits {
            tool_calls: own.tool_calls.min(self.tool_calls.saturating_sub(spent.tool_calls)),
            tokens: narrower(own.tokens, left(self.tokens, spent.usage.total_tokens())),
            nanodollars: narrower(own.nanodollars, left(self.nanodollars, spent.nanodollars.unwrap_or(0))),
            wall_time: wall_ms.map(Duration::from_millis),
            ..own.clone()
        }
    }
}

/// What a loop has spent so far, loops inside it included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Answers of the model that were asked for, empty ones included.
    pub model_calls: u32,
    /// Tools that were called.
    pub tool_calls: u32,
    /// Tokens of all model calls.
    pub usage: Usage,
    /// What the model calls cost, in billionths of a dollar; nothing if no price was known.
    pub nanodollars: Option<u64>,
    /// Time in calls, in milliseconds.
    pub ms: u64,
}

impl Spent {
    pub(crate) fn add(&mut self, more: &Spent) {
        self.model_calls = self.model_calls.saturating_add(more.model_calls);
        self.tool_calls = self.tool_calls.saturating_add(more.tool_calls);
        self.usage += more.usage;
        self.nanodollars = match (self.nanodollars, more.nanodollars) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        self.ms = self.ms.saturating_add(more.ms);
    }
}

/// Why a loop ended before the model was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stopped {
    /// The model would have gone on. The answer, if there is one, is what it could say without further tools.
    #[error("the loop came to its limit of {0} iterations; ask for less at once, or raise the limit")]
    Iterations(u32),
    /// The next answer asks for more calls of tools than are left.
    #[error("the loop came to its limit of {0} tool calls; ask for less at once, or raise the limit")]
    ToolCalls(u32),
    /// The tokens are used up.
    #[error("the loop came to its limit of {0} tokens; ask for less at once, or raise the limit")]
    Tokens(u64),
    /// The money is used up.
    #[error("the loop came to its limit of {0} nano-dollars; ask for less at once, or raise the limit")]
    Cost(u64),
    /// The time is used up.
    #[error("the loop came to its limit of {0} ms in calls; ask for less at once, or raise the limit")]
    WallTime(u64),
    /// The model asked for the same call again and again, although its result stays the same.
    #[error(
        "the model repeats one call of the tool `{tool}` although its result stays the same; ask in another way, or use another model"
    )]
    Repeats {
        /// The tool.
        tool: String,
    },
    /// One iteration after the other failed in the same way.
    #[error(
        "{times} iterations in a row failed in the same way, the last one at the tool `{tool}`: {failure}"
    )]
    Failures {
        /// The tool.
        tool: String,
        /// What it failed with.
        failure: String,
        /// How often.
        times: u32,
    },
    /// A hook did not let a model call happen.
    #[error("a hook stopped the loop: {0}")]
    Denied(String),
}

impl Stopped {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Iterations(_) => "SW-N391",
            Self::ToolCalls(_) => "SW-N392",
            Self::Tokens(_) => "SW-N393",
            Self::Cost(_) => "SW-N394",
            Self::WallTime(_) => "SW-N395",
            Self::Repeats { .. } => "SW-N396",
            Self::Failures { .. } => "SW-N397",
            Self::Denied(_) => "SW-N398",
        }
    }
}
