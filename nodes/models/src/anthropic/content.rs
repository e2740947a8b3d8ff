//! From our messages to those of the protocol: system apart, roles in turn, cache marks at the ends of prefixes.

use serde_json::{Value, json};
use statewright_nodes_ports::{ChatRequest, Image, Message, ModelError, Part, Reasoning, Role, ToolCall};

use super::unsupported;

/// The most cache marks of a request.
const CACHE_MARKS_MAX: usize = 4;

/// What a conversation becomes.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// The blocks of the system prompt.
    pub(super) system: Vec<Value>,
    /// Messages, the user's and the assistant's in turn.
    pub(super) messages: Vec<Value>,
    /// Whether the tools alone are marked for the cache.
    pub(super) marks_tools: bool,
}

impl Conversation {
    /// System messages go to the front, wherever they stood: the protocol knows them nowhere else. Messages of one role
    /// in a row become one, which is what results of parallel calls must be.
    pub(super) fn new(request: &ChatRequest) -> Result<Self, ModelError> {
        let mut conversation = Self::default();
        // The longest prefixes save most when there are too many.
        let spare = request.cache_prefixes.len().saturating_sub(CACHE_MARKS_MAX);
        let marks = &request.cache_prefixes[spare..];
        conversation.marks_tools = marks.contains(&0);
        for (place, message) in request.messages.iter().enumerate() {
            let mut blocks =
                message.parts.iter().map(|part| block(message.role, part)).collect::<Result<Vec<_>, _>>()?;
            blocks.retain(|block| !block.is_null());
            if blocks.is_empty() {
                continue;
            }
            conversation.push(message, blocks);
            if marks.contains(&(place + 1)) {
                conversation.mark_last(message.role);
            }
        }
        if conversation.messages.is_empty() {
            return Err(unsupported("a conversation without a message of the user"));
        }
        Ok(conversation)
    }

    fn push(&mut self, message: &Message, blocks: Vec<Value>) {
        let role = match message.role {
            Role::System => return self.system.extend(blocks),
            Role::Assistant => "assistant",
            Role::User | Role::Tool => "user",
        };
        match self.messages.last_mut().filter(|last| last["role"] == role) {
            Some(Value::Object(last)) => {
                if let Some(Value::Array(content)) = last.get_mut("content") {
                    content.extend(blocks);
                }
            }
            _ => self.messages.push(json!({ "role": role, "content": blocks })),
        }
    }

    fn mark_last(&mut self, role: Role) {
        let block = match role {
            Role::System => self.system.last_mut(),
            _ => self.messages.last_mut().and_then(|last| last["content"].as_array_mut()?.last_mut()),
        };
        if let Some(block) = block {
            mark(block);
        }
    }
}

/// Marks a block or a tool as the end of what the provider may keep. Reasoning cannot carry a mark.
pub(super) fn mark(block: &mut Value) {
    if !matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking")) {
        block["cache_control"] = json!({ "type": "ephemeral" });
    }
}

/// A part as a block; `null` for an empty text, which the protocol refuses and which says nothing.
fn block(role: Role, part: &Part) -> Result<Value, ModelError> {
    match (role, part) {
        (Role::System | Role::User | Role::Assistant, Part::Text(text)) if text.is_empty() => Ok(Value::Null),
        (Role::System | Role::User | Role::Assistant, Part::Text(text)) => {
            Ok(json!({ "type": "text", "text": text }))
        }
        (Role::User, Part::Image(image)) => Ok(json!({ "type": "image", "source": source(image) })),
        (Role::Assistant, Part::ToolCall(call)) => {
            Ok(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input(call) }))
        }
        (Role::Assistant, Part::Reasoning(reasoning)) => thinking(reasoning),
        (Role::Tool, Part::ToolResult(result)) => {
            let mut block =
                json!({ "type": "tool_result", "tool_use_id": result.call_id, "content": result.content });
            if result.is_error {
                block["is_error"] = json!(true);
            }
            Ok(block)
        }
        (role, part) => Err(unsupported(format!("{} in a message of the {role:?} role", kind(part)))),
    }
}

fn source(image: &Image) -> Value {
    match image {
        Image::Url(url) => json!({ "type": "url", "url": url }),
        Image::Data { media_type, base64 } => {
            json!({ "type": "base64", "media_type": media_type, "data": base64 })
        }
    }
}

/// The arguments of an earlier call. They must be an object; what a model wrote wrongly is shown to it inside one.
fn input(call: &ToolCall) -> Value {
    match call.arguments_json() {
        Ok(input @ Value::Object(_)) => input,
        _ => json!({ "not_an_object": call.arguments }),
    }
}

fn thinking(reasoning: &Reasoning) -> Result<Value, ModelError> {
    match (&reasoning.redacted, &reasoning.signature) {
        (Some(data), _) => Ok(json!({ "type": "redacted_thinking", "data": data })),
        (None, Some(signature)) => {
            Ok(json!({ "type": "thinking", "thinking": reasoning.text, "signature": signature }))
        }
        (None, None) => Err(unsupported("reasoning without the signature that it gave to it")),
    }
}

fn kind(part: &Part) -> &'static str {
    match part {
        Part::Text(_) => "text",
        Part::ToolCall(_) => "a tool call",
        Part::ToolResult(_) => "a tool result",
        Part::Image(_) => "a picture",
        Part::Reasoning(_) => "reasoning",
        _ => "a part of an unknown kind",
    }
}
