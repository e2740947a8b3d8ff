//! Kinds of the stream items that nodes emit while they work.
//!
//! The engine passes items through without reading them; producers and viewers agree on these names.

/// A piece of answer text. Payload: a string.
pub const TOKEN: &str = "token";
/// A tool call that is about to run. Payload: a [`ToolCall`](crate::ToolCall).
pub const TOOL_CALL: &str = "tool_call";
/// What a tool call returned. Payload: a [`ToolResult`](crate::ToolResult).
pub const TOOL_RESULT: &str = "tool_result";
/// The prompt that a model call is made with. Payload: its version, a string.
pub const PROMPT: &str = "prompt";
/// The tokens of one finished model call. Payload: a [`Usage`](crate::Usage).
pub const USAGE: &str = "usage";
/// The tokens that the node has sent so far are void. Payload: the number of the attempt that follows, from 2.
pub const ATTEMPT_RESET: &str = "attempt_reset";
