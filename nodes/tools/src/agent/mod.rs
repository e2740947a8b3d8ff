//! The agent loop: a model that calls tools until it has an answer, inside a node that may crash, pause and be begun anew.
//!
//! Each model call and each call of a tool is a step of the [`NodeHost`], kept by name (`model#3`, `tool#3.0`), so a loop
//! that is begun anew after a crash in its seventh iteration goes on in its seventh iteration. What comes next is decided by
//! a pure state machine (`turn`), the calls are made by `drive`. Not here: models, tools, and how a node comes to run.
//!
//! | what a model does | what it is told |
//! |---|---|
//! | names a tool that is not there, or gives it wrong arguments | an error result that says what there is and what was expected |
//! | calls a tool that fails, panics or gives too much | an error result; the beginning and the end of what it gave |
//! | repeats a call although its result stays the same | that it is not made again; then the loop ends |
//! | calls a tool of which nobody knows whether it was called before | that it may have happened, and is not repeated |
//! | gives an empty answer | nothing; it is asked once more |

mod approval;
mod compact;
mod drive;
mod error;
mod hooks;
mod limits;
mod model;
mod stop_loss;
mod subagent;
mod turn;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright_nodes_ports::{ChatModel, FinishReason, Message, ModelId, NodeHost, TokenCounter, Usage};

pub use approval::Approvals;
pub use error::AgentError;
pub use hooks::{Hooks, ToolUse, Verdict};
pub use limits::{Limits, Spent, Stopped};
pub use subagent::{DEPTH_MAX, Subagent};

use crate::{Toolbox, ToolboxError};

/// The unit of budgets that counts model calls.
pub const CALLS: &str = "calls";
/// The unit of budgets that counts tokens, prompts and answers together.
pub const TOKENS: &str = "tokens";
/// The unit of budgets that counts billionths of a dollar.
pub const NANODOLLARS: &str = "nanodollars";

/// What a call of this usage costs with this model, in billionths of a dollar; nothing if no price is known.
pub type Prices = Arc<dyn Fn(&ModelId, &Usage) -> Option<u64> + Send + Sync>;

/// What is done with what does not fit into the window any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compaction {
    /// The oldest turns are left out, and the model is told how much is missing.
    #[default]
    Drop,
    /// The model writes a summary of the oldest turns, which stands in for them.
    Summarise,
}

/// A loop that is ready to run. Cheap to clone; one can run in many nodes at once.
#[derive(Clone)]
pub struct AgentLoop {
    model: Arc<dyn ChatModel>,
    tokens: Arc<dyn TokenCounter>,
    toolbox: Toolbox,
    system: Option<String>,
    prompt_version: Option<String>,
    limits: Limits,
    hooks: Vec<Arc<dyn Hooks>>,
    approvals: Approvals,
    window: usize,
    compaction: Compaction,
    prices: Option<Prices>,
    temperature: Option<f32>,
    output_tokens: u32,
    result_bytes: usize,
    subagents: Vec<Arc<Subagent>>,
}

/// What a loop is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentInput {
    /// What was said before, oldest first; what earlier turns put into [`AgentOutput::messages`].
    pub history: Vec<Message>,
    /// What the user says now.
    pub question: String,
}

impl AgentInput {
    /// A question without a history.
    #[must_use]
    pub fn new(question: impl Into<String>) -> Self {
        Self { history: Vec::new(), question: question.into() }
    }
}

/// What a loop came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentOutput {
    /// The answer; empty if the loop was stopped before there was one.
    pub text: String,
    /// Everything that was said in this turn, the question first. Each call has its result.
    pub messages: Vec<Message>,
    /// Why the model ended its last answer; [`FinishReason::Length`] says that the answer is cut off.
    pub finish: Option<FinishReason>,
    /// Why the loop ended before the model was done, if it did.
    pub stopped: Option<Stopped>,
    /// Answers of the model that were of use.
    pub iterations: u32,
    /// What was spent, agents inside this one included.
    pub spent: Spent,
}

impl AgentLoop {
    /// A loop with this model and without tools. `tokens` counts what the provider does not, and what fits into the window.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, tokens: Arc<dyn TokenCounter>) -> Self {
        Self {
            model,
            tokens,
            toolbox: Toolbox::default(),
            system: None,
            prompt_version: None,
            limits: Limits::default(),
            hooks: Vec::new(),
            approvals: Approvals::default(),
            window: 128_000,
            compaction: Compaction::default(),
            prices: None,
            temperature: None,
            output_tokens: 4_096,
            result_bytes: 32 * 1024,
            subagents: Vec::new(),
        }
    }

    /// The tools that the model may call. A node that is to have fewer takes [`Toolbox::allow`].
    #[must_use]
    pub fn toolbox(mut self, toolbox: Toolbox) -> Self {
        self.toolbox = toolbox;
        self
    }

    /// What the model is told before everything else.
    #[must_use]
    pub fn system(mut self, system: impl Into<String>) -> Self {
        self.system = Some(system.into());
        self
    }

    /// The version of the text that it is told, for spans and recordings.
    #[must_use]
    pub fn prompt_version(mut self, version: impl Into<String>) -> Self {
        self.prompt_version = Some(version.into());
        self
    }

    /// How far it may go.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds hooks. Of several, the first that does not allow a call decides.
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks + 'static) -> Self {
        self.hooks.push(Arc::new(hooks));
        self
    }

    /// Which calls a person has to allow [default: those of irreversible tools].
    #[must_use]
    pub fn approvals(mut self, approvals: Approvals) -> Self {
        self.approvals = approvals;
        self
    }

    /// How many tokens the model can take, answer included [default: 128,000]. At 80 % of what is left for the prompt the
    /// history is compacted.
    #[must_use]
    pub fn window(mut self, tokens: usize, compaction: Compaction) -> Self {
        (self.window, self.compaction) = (tokens, compaction);
        self
    }

    /// What calls cost; without prices nothing is reserved of a budget of [`NANODOLLARS`].
    #[must_use]
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = Some(prices);
        self
    }

    /// The sampling temperature [default: the provider's].
    #[must_use]
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// The most tokens of one answer [default: 4,096].
    #[must_use]
    pub fn output_tokens(mut self, most: u32) -> Self {
        self.output_tokens = most;
        self
    }

    /// The most that a model is shown of one result, in bytes [default: 32 KiB, least: 512]. Of a longer one it sees the
    /// beginning and the end.
    #[must_use]
    pub fn result_bytes(mut self, most: usize) -> Self {
        self.result_bytes = most.max(RESULT_BYTES_LEAST);
        self
    }

    /// Adds an agent that the model may hand a task to, as a tool of the agent's name.
    ///
    /// # Errors
    /// As [`Toolbox::with`].
    pub fn subagent(mut self, subagent: Subagent) -> Result<Self, ToolboxError> {
        let subagent = Arc::new(subagent);
        self.toolbox = self.toolbox.with(subagent.clone())?;
        self.subagents.push(subagent);
        Ok(self)
    }

    /// Asks, calls, and asks again until there is an answer. A limit that is reached is an end and not an error, see
    /// [`AgentOutput::stopped`].
    ///
    /// # Errors
    /// [`AgentError`]. What was done before is kept, and is not done again when the node is begun anew.
    pub async fn run(&self, host: &dyn NodeHost, input: AgentInput) -> Result<AgentOutput, AgentError> {
        for hooks in &self.hooks {
            hooks.run_start(&input).await;
        }
        let output = drive::Drive::new(self, host, input).run().await?;
        for hooks in &self.hooks {
            hooks.run_end(&output).await;
        }
        Ok(output)
    }

    /// What the prompt may take of the window.
    fn prompt_tokens(&self) -> usize {
        self.window.saturating_sub(self.output_tokens as usize)
    }
}

/// Less than this would leave nothing but the word that something is missing.
const RESULT_BYTES_LEAST: usize = 512;

impl fmt::Debug for AgentLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentLoop")
            .field("model", self.model.id())
            .field("toolbox", &self.toolbox)
            .field("limits", &self.limits)
            .field("approvals", &self.approvals)
            .finish_non_exhaustive()
    }
}
