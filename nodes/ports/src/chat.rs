//! The chat model port: requests, streamed deltas, responses, and the trait that adapters implement.

use std::borrow::Cow;

use futures_util::{StreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{BoxFuture, ChatFold, Message, ModelError, ModelId, Reasoning, ToolCall, ToolSpec, Usage};

/// A language model that answers a conversation, streamed.
///
/// A stream ends after its [`ChatDelta::Finish`] (a [`ChatDelta::Usage`] may still follow it) or after its first
/// error; a stream that just stops is a transport error, never an answer. Implementations retry transient
/// faults only before the first delta was handed out, so that no caller sees a text twice.
pub trait ChatModel: Send + Sync {
    /// The model that answers.
    fn id(&self) -> &ModelId;

    /// Starts a call and hands out the answer as it is generated. Dropping the stream ends the call.
    ///
    /// # Errors
    /// [`ModelError`] when the call could not be started; later faults come as an item of the stream.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>>;

    /// Runs a call to its end.
    ///
    /// # Errors
    /// As [`stream`](ChatModel::stream), and [`ModelError::EmptyAnswer`] when there is neither text nor a tool call.
    fn complete(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatResponse, ModelError>> {
        Box::pin(async move {
            let mut stream = self.stream(request).await?;
            let mut fold = ChatFold::new(self.id().clone());
            while let Some(delta) = stream.next().await {
                fold.push(delta?)?;
            }
            fold.finish()
        })
    }
}

/// The deltas of one answer. It borrows nothing, so it can outlive the model's reference.
pub type ChatStream = BoxStream<'static, Result<ChatDelta, ModelError>>;

/// What is asked of a model.
///
/// ```
/// use statewright_nodes_ports::{ChatRequest, Message, purpose};
/// let request = ChatRequest {
///     temperature: Some(0.0),
///     purpose: Some(purpose::WRITE.into()),
///     ..ChatRequest::new([Message::system("Be brief."), Message::user("Hello")])
/// };
/// assert_eq!(request.last_user_text(), "Hello");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatRequest {
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// Tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// Sampling temperature; the provider's default when `None`.
    pub temperature: Option<f32>,
    /// The most tokens to generate; the provider's default when `None`.
    pub max_output_tokens: Option<u32>,
    /// What the call is for, see [`purpose`](crate::purpose). A hint that never leaves the process.
    pub purpose: Option<Cow<'static, str>>,
    /// The version of the prompt that the messages were made from, for traces and recordings. Never leaves the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
    /// A key that is the same whenever the same piece of work is tried again, over retries and crashes. Adapters
    /// send it as `Idempotency-Key`, so that a server can tell repeated work from new work.
    pub idempotency_key: Option<String>,
    /// Whether and which tool the model has to call.
    #[serde(skip_serializing_if = "ToolChoice::is_auto")]
    pub tool_choice: ToolChoice,
    /// Whether it may call several tools at once; the provider's default when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// The form that the answer's text must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSchema>,
    /// Texts at which generation ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// A seed for providers that sample reproducibly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How many leading messages stay the same in the calls that follow, so that a provider can keep them in its cache;
    /// each number marks the end of one such prefix, shortest first. Tools count as part of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache_prefixes: Vec<usize>,
    /// Fields that are put into the provider's request as they are, over what the adapter would send.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra_body: Map<String, Value>,
}

/// Whether and which tool a model has to call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// None, although tools are listed.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

impl ToolChoice {
    /// Whether the model is free.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// A form that an answer must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputSchema {
    /// A short name for the provider: letters, digits, `_` and `-`.
    pub name: String,
    /// The JSON schema of the whole text.
    pub schema: Value,
}

impl ChatRequest {
    /// A request of these messages, with everything else at its default.
    #[must_use]
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self { messages: messages.into_iter().collect(), ..Self::default() }
    }

    /// The text of the last user message, or nothing.
    #[must_use]
    pub fn last_user_text(&self) -> Cow<'_, str> {
        let last = self.messages.iter().rev().find(|message| message.role == crate::Role::User);
        last.map_or(Cow::Borrowed(""), Message::text)
    }
}

/// One increment of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatDelta {
    /// More text.
    Text(String),
    /// More of a tool call. The first fragment of a call carries its id and name.
    ToolCall {
        /// Which call of the answer this belongs to.
        index: u32,
        /// The provider's id of the call.
        id: Option<String>,
        /// The tool's name.
        name: Option<String>,
        /// The next fragment of the arguments' JSON text; may be empty.
        arguments: String,
    },
    /// More of the model's reasoning, which is no part of the text. A signature or a ciphertext ends a stretch.
    Reasoning(Reasoning),
    /// The usage of the whole call; a later one replaces an earlier one.
    Usage(Usage),
    /// Generation ended.
    Finish(FinishReason),
}

/// Why a model stopped generating.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It reached the output limit; the answer is cut off.
    Length,
    /// It waits for the results of its tool calls.
    ToolCalls,
    /// The provider withheld the answer.
    ContentFilter,
    /// Something else, in the provider's word.
    Other(String),
}

impl FinishReason {
    /// The name in the OpenTelemetry conventions, or the provider's own word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other(word) => word,
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatResponse {
    /// The text; empty only when there are tool calls.
    pub text: String,
    /// The tool calls, in the order of their first fragment.
    pub tool_calls: Vec<ToolCall>,
    /// What the model thought before, stretch by stretch; empty with most models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasoning: Vec<Reasoning>,
    /// The tokens used, or `None` when the provider did not say: unknown is not zero.
    pub usage: Option<Usage>,
    /// Why generation ended.
    pub finish: FinishReason,
    /// The model that answered.
    pub model: ModelId,
}
