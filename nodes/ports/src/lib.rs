//! Ports: what the rest of the workspace means by a chat model, a message, a tool call and token usage.
//!
//! Traits and plain data only. This crate knows no graph, no HTTP and no async runtime; adapters live in
//! `statewright-nodes-models`, tools in `statewright-nodes-tools`.

pub mod attributes;
mod chat;
mod error;
mod fold;
mod host;
pub mod item;
mod message;
mod model_id;
pub mod purpose;
mod tokens;
mod tool;
mod usage;

pub use chat::{
    ChatDelta, ChatModel, ChatRequest, ChatResponse, ChatStream, FinishReason, OutputSchema, ToolChoice,
};
pub use error::{BODY_BYTES_MAX, ErrorClass, ModelError, body_excerpt};
pub use fold::{ANSWER_BYTES_MAX, ChatFold, TOOL_CALLS_MAX};
pub use host::{HostError, HostStep, NodeHost, Work};
pub use message::{Image, Message, Part, Reasoning, Role, ToolCall, ToolResult, ToolSpec};
pub use model_id::{MODEL_ID_CHARS_MAX, ModelId};
pub use tokens::TokenCounter;
pub use tool::{SideEffect, Tool, ToolError, ToolInput, ToolOutput};
pub use usage::Usage;

/// A boxed future that can move between threads; what object-safe async methods return.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
