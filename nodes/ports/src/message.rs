//! Messages, tools and tool calls, free of any provider's wire format.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions of the application.
    System,
    /// The person, or the pipeline on their behalf.
    User,
    /// The model.
    Assistant,
    /// Results of tool calls.
    Tool,
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Plain text.
    Text(String),
    /// A call that the model asks for; only in assistant messages.
    ToolCall(ToolCall),
    /// The answer to a call; only in tool messages.
    ToolResult(ToolResult),
    /// A picture; only in user messages.
    Image(Image),
    /// What a model thought before it answered; only in assistant messages. It is not part of the answer's text.
    Reasoning(Reasoning),
}

/// A picture for a model that can see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// Where the provider fetches it from.
    Url(String),
    /// The picture itself.
    Data {
        /// Its kind, such as `image/png`.
        media_type: String,
        /// Its bytes in base64, standard alphabet with padding.
        base64: String,
    },
}

/// A stretch of a model's reasoning. Some providers want it back, unchanged, together with the tool calls that it led to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reasoning {
    /// What may be read of it; empty when the provider hides it.
    pub text: String,
    /// The provider's seal over it, to be sent back with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The provider's ciphertext where it hides the text, to be sent back in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
}

/// One message of a conversation: a role and its parts, in order.
///
/// ```
/// use statewright_nodes_ports::Message;
/// assert_eq!(Message::user("What is 2 + 2?").text(), "What is 2 + 2?");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What they say, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// A system message of one text.
    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        Self { role: Role::System, parts: vec![Part::Text(text.into())] }
    }

    /// A user message of one text.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, parts: vec![Part::Text(text.into())] }
    }

    /// An assistant message of one text.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, parts: vec![Part::Text(text.into())] }
    }

    /// An assistant message with tool calls, and its text when there is any.
    #[must_use]
    pub fn assistant_calls(text: impl Into<String>, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        let text = text.into();
        let text = (!text.is_empty()).then_some(Part::Text(text));
        let parts = text.into_iter().chain(calls.into_iter().map(Part::ToolCall)).collect();
        Self { role: Role::Assistant, parts }
    }

    /// A tool message with one result.
    #[must_use]
    pub fn tool_result(result: ToolResult) -> Self {
        Self { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
    }

    /// All text parts, joined without a separator. Tool calls and results are not text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }

    /// The tool calls that this message asks for.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// The tool results that this message carries.
    pub fn tool_results(&self) -> impl Iterator<Item = &ToolResult> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        })
    }
}

/// A tool as it is offered to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name that the model calls it by.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// The JSON schema of its arguments object.
    pub parameters: Value,
}

/// A tool call that a model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of this call; the result carries it back.
    pub id: String,
    /// The tool's name. Nothing says that such a tool was offered.
    pub name: String,
    /// The arguments as the model wrote them: meant to be a JSON object, but not checked.
    pub arguments: String,
}

impl ToolCall {
    /// The arguments as JSON; no arguments at all count as an empty object.
    ///
    /// # Errors
    /// What `serde_json` says when the model wrote something that is not JSON.
    pub fn arguments_json(&self) -> Result<Value, serde_json::Error> {
        match self.arguments.trim() {
            "" => Ok(Value::Object(serde_json::Map::new())),
            text => serde_json::from_str(text),
        }
    }
}

/// What a tool call came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the [`ToolCall`] that this answers.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The result, or what went wrong, as text for the model.
    pub content: String,
    /// Whether `content` tells of a failure.
    pub is_error: bool,
}
