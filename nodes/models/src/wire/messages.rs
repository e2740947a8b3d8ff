//! Between our deltas and the JSON of Anthropic's Messages, seen from the server's side.

use serde_json::{Value, json};
use statewright_nodes_ports::{
    ChatDelta, ChatRequest, FinishReason, Message, Part, Role, ToolCall, ToolResult, ToolSpec, Usage,
};

use super::events::{list, name_results, string};

/// The answer as server-sent events, with the end marker when it is `whole`.
pub(super) fn bytes(deltas: &[ChatDelta], body: &Value, whole: bool) -> Vec<u8> {
    let told = deltas.iter().rev().find_map(|delta| match delta {
        ChatDelta::Usage(usage) => Some(*usage),
        _ => None,
    });
    let mut writer = Writer::default();
    let start = json!({
        "id": "msg_wire", "type": "message", "role": "assistant", "model": body["model"], "content": [],
        "usage": usage(told.unwrap_or_default(), 1),
    });
    writer.event(&json!({ "type": "message_start", "message": start }));
    writer.event(&json!({ "type": "ping" }));
    for delta in deltas {
        match delta {
            ChatDelta::Text(text) => {
                writer.block("text", &json!({ "type": "text", "text": "" }));
                writer.delta(&json!({ "type": "text_delta", "text": text }));
            }
            ChatDelta::Reasoning(reasoning) => writer.reasoning(reasoning),
            ChatDelta::ToolCall { index, id, name, arguments } => {
                if let (Some(id), Some(name)) = (id, name) {
                    let call = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                    writer.block(&format!("call {index}"), &call);
                }
                writer.delta(&json!({ "type": "input_json_delta", "partial_json": arguments }));
            }
            ChatDelta::Finish(reason) => {
                writer.end_block();
                let delta = json!({ "stop_reason": stop_reason(reason), "stop_sequence": null });
                let output = told.map_or(1, |usage| usage.output_tokens);
                writer.event(
                    &json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": output } }),
                );
            }
            _ => {}
        }
    }
    if whole {
        writer.event(&json!({ "type": "message_stop" }));
    }
    writer.text.into_bytes()
}

/// An error as this provider words it.
pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}

/// The wire counts cached tokens beside the input, ours counts them in.
fn usage(usage: Usage, output: u64) -> Value {
    let beside = usage.cached_input_tokens + usage.cache_write_tokens;
    json!({
        "input_tokens": usage.input_tokens.saturating_sub(beside),
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": output,
    })
}

fn stop_reason(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
        other => other.as_str(),
    }
}

/// Writes events, and keeps account of the block that is open.
#[derive(Default)]
struct Writer {
    text: String,
    open: Option<String>,
    blocks: u32,
}

impl Writer {
    fn event(&mut self, event: &Value) {
        let kind = event["type"].as_str().unwrap_or_default();
        self.text.push_str(&format!("event: {kind}\ndata: {event}\n\n"));
    }

    /// Opens a block unless the one that is open has this name.
    fn block(&mut self, name: &str, block: &Value) {
        if self.open.as_deref() != Some(name) {
            self.end_block();
            self.event(
                &json!({ "type": "content_block_start", "index": self.blocks, "content_block": block }),
            );
            self.open = Some(name.to_owned());
        }
    }

    fn delta(&mut self, delta: &Value) {
        self.event(&json!({ "type": "content_block_delta", "index": self.blocks, "delta": delta }));
    }

    fn end_block(&mut self) {
        if self.open.take().is_some() {
            self.event(&json!({ "type": "content_block_stop", "index": self.blocks }));
            self.blocks += 1;
        }
    }

    fn reasoning(&mut self, reasoning: &statewright_nodes_ports::Reasoning) {
        if let Some(data) = &reasoning.redacted {
            self.end_block();
            self.block("redacted", &json!({ "type": "redacted_thinking", "data": data }));
            return self.end_block();
        }
        self.block("thinking", &json!({ "type": "thinking", "thinking": "", "signature": "" }));
        if !reasoning.text.is_empty() {
            self.delta(&json!({ "type": "thinking_delta", "thinking": reasoning.text }));
        }
        if let Some(signature) = &reasoning.signature {
            self.delta(&json!({ "type": "signature_delta", "signature": signature }));
            self.end_block();
        }
    }
}

/// Our request from the body; what is missing stays empty, as servers are lenient too.
pub(super) fn request(body: &Value) -> ChatRequest {
    let system = blocks(&body["system"]).iter().map(|block| string(&block["text"])).collect::<String>();
    let mut messages: Vec<Message> =
        (!system.is_empty()).then(|| Message::system(system)).into_iter().collect();
    for message in list(&body["messages"]) {
        push_messages(&message, &mut messages);
    }
    name_results(&mut messages);
    let tools = list(&body["tools"]).into_iter().map(|tool| ToolSpec {
        name: string(&tool["name"]),
        description: string(&tool["description"]),
        parameters: tool["input_schema"].clone(),
    });
    ChatRequest { tools: tools.collect(), ..ChatRequest::new(messages) }
}

/// Results stand in messages of the user; ours have a role of their own.
fn push_messages(message: &Value, messages: &mut Vec<Message>) {
    let mut parts = Vec::new();
    for block in blocks(&message["content"]) {
        match block["type"].as_str() {
            Some("text") => parts.push(Part::Text(string(&block["text"]))),
            Some("tool_use") => parts.push(Part::ToolCall(ToolCall {
                id: string(&block["id"]),
                name: string(&block["name"]),
                arguments: block["input"].to_string(),
            })),
            Some("tool_result") => messages.push(Message::tool_result(ToolResult {
                call_id: string(&block["tool_use_id"]),
                name: String::new(),
                content: string(&block["content"]),
                is_error: block["is_error"] == true,
            })),
            _ => {}
        }
    }
    if !parts.is_empty() {
        let role = if message["role"] == "assistant" { Role::Assistant } else { Role::User };
        messages.push(Message { role, parts });
    }
}

/// Content is a list of blocks, or a text in place of one.
fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({ "type": "text", "text": text })],
        content => list(content),
    }
}
