//! Folds the deltas of a streamed answer into one response. Pure: no I/O and no clock.

use crate::{ChatDelta, ChatResponse, FinishReason, ModelError, ModelId, Reasoning, ToolCall, Usage};

/// The most text and tool arguments of one answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most tool calls in one answer.
pub const TOOL_CALLS_MAX: usize = 128;

/// Collects deltas; whoever streams to a screen and also wants the whole answer pushes each delta in here.
///
/// ```
/// use statewright_nodes_ports::{ChatDelta, ChatFold, FinishReason, ModelId};
/// let mut fold = ChatFold::new(ModelId::new("m")?);
/// fold.push(ChatDelta::Text("Hel".into()))?;
/// fold.push(ChatDelta::Text("lo".into()))?;
/// fold.push(ChatDelta::Finish(FinishReason::Stop))?;
/// assert_eq!(fold.finish()?.text, "Hello");
/// # Ok::<(), statewright_nodes_ports::ModelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChatFold {
    model: ModelId,
    text: String,
    calls: Vec<PartialCall>,
    reasoning: Vec<Reasoning>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct PartialCall {
    index: u32,
    id: Option<String>,
    name: Option<String>,
    arguments: String,
}

impl ChatFold {
    /// An empty answer of `model`.
    #[must_use]
    pub fn new(model: ModelId) -> Self {
        Self {
            model,
            text: String::new(),
            calls: Vec::new(),
            reasoning: Vec::new(),
            usage: None,
            finish: None,
            bytes: 0,
        }
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds one delta.
    ///
    /// # Errors
    /// [`ModelError::Protocol`] when the answer exceeds [`ANSWER_BYTES_MAX`] or [`TOOL_CALLS_MAX`].
    pub fn push(&mut self, delta: ChatDelta) -> Result<(), ModelError> {
        match delta {
            ChatDelta::Text(text) => {
                self.count_bytes(text.len())?;
                self.text.push_str(&text);
            }
            ChatDelta::ToolCall { index, id, name, arguments } => {
                self.count_bytes(arguments.len())?;
                self.push_call(
                    index,
                    id.filter(|id| !id.is_empty()),
                    name.filter(|n| !n.is_empty()),
                    &arguments,
                )?;
            }
            ChatDelta::Reasoning(more) => self.push_reasoning(more)?,
            ChatDelta::Usage(usage) => self.usage = Some(usage),
            ChatDelta::Finish(finish) => self.finish = Some(finish),
        }
        Ok(())
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`ModelError::Transport`] when no finish was seen, [`ModelError::EmptyAnswer`] when there is neither text
    /// nor a tool call, [`ModelError::Protocol`] when a tool call has no name.
    pub fn finish(self) -> Result<ChatResponse, ModelError> {
        let Some(finish) = self.finish else {
            let detail = "the answer stopped before the model said that it had finished".to_owned();
            return Err(ModelError::Transport { detail });
        };
        if self.calls.is_empty() && self.text.trim().is_empty() {
            return Err(ModelError::EmptyAnswer { model: self.model, finish });
        }
        let calls = self.calls.into_iter().enumerate().map(|(position, call)| call.complete(position));
        let tool_calls = calls.collect::<Result<_, _>>()?;
        let Self { model, text, reasoning, usage, .. } = self;
        Ok(ChatResponse { text, tool_calls, reasoning, usage, finish, model })
    }

    /// A stretch goes on until it is sealed, or was hidden.
    fn push_reasoning(&mut self, more: Reasoning) -> Result<(), ModelError> {
        let sealed = |of: &Reasoning| of.signature.as_ref().or(of.redacted.as_ref()).map_or(0, String::len);
        self.count_bytes(more.text.len() + sealed(&more))?;
        match self.reasoning.last_mut() {
            Some(open) if sealed(open) == 0 && more.redacted.is_none() => {
                open.text.push_str(&more.text);
                open.signature = more.signature;
            }
            _ => self.reasoning.push(more),
        }
        Ok(())
    }

    fn push_call(
        &mut self,
        index: u32,
        id: Option<String>,
        name: Option<String>,
        arguments: &str,
    ) -> Result<(), ModelError> {
        // Some servers number all parallel calls 0 and tell them apart by id only: a new id starts a new call.
        let latest = self.calls.iter().rposition(|call| call.index == index);
        let open =
            latest.filter(|at| id.is_none() || self.calls[*at].id.is_none() || self.calls[*at].id == id);
        match open {
            Some(at) => {
                let call = &mut self.calls[at];
                call.id = call.id.take().or(id);
                call.name = call.name.take().or(name);
                call.arguments.push_str(arguments);
            }
            None if self.calls.len() == TOOL_CALLS_MAX => {
                let detail = format!("one answer asks for more than {TOOL_CALLS_MAX} tool calls");
                return Err(ModelError::Protocol { detail });
            }
            None => self.calls.push(PartialCall { index, id, name, arguments: arguments.to_owned() }),
        }
        Ok(())
    }

    fn count_bytes(&mut self, more: usize) -> Result<(), ModelError> {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > ANSWER_BYTES_MAX {
            let detail = format!("one answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(ModelError::Protocol { detail });
        }
        Ok(())
    }
}

impl PartialCall {
    fn complete(self, position: usize) -> Result<ToolCall, ModelError> {
        let Some(name) = self.name else {
            return Err(ModelError::Protocol {
                detail: format!("tool call {position} of the answer has no name"),
            });
        };
        // A local server may send no ids; the result only has to find its way back to this call.
        let id = self.id.unwrap_or_else(|| format!("call_{position}"));
        Ok(ToolCall { id, name, arguments: self.arguments })
    }
}
