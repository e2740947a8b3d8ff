//! Ports: what the rest of the workspace means by a chat model, a message, a tool call and token usage.
//!
//! Traits and plain data only. This crate knows no graph, no HTTP and no async runtime; adapters live in
//! `statewright-nodes-models`, tools in `statewright-nodes-tools`.

pub mod attributes;
mod chat;
mod error;
mod fold;
pub mod item;
mod message;
mod model_id;
pub mod purpose;
mod tokens;
mod usage;

pub use chat::{ChatDelta, ChatModel, ChatRequest, ChatResponse, ChatStream, FinishReason};
pub use error::{BODY_BYTES_MAX, ErrorClass, ModelError, body_excerpt};
pub use fold::{ANSWER_BYTES_MAX, ChatFold, TOOL_CALLS_MAX};
pub use message::{Message, Part, Role, ToolCall, ToolResult, ToolSpec};
pub use model_id::{MODEL_ID_CHARS_MAX, ModelId};
pub use tokens::TokenCounter;
pub use usage::Usage;

/// A boxed future that can move between threads; what object-safe async methods return.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
