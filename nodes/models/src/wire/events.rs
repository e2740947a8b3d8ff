//! Between our deltas and the JSON of Chat Completions, seen from the server's side.

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use statewright_nodes_ports::{
    ChatDelta, ChatModel, ChatRequest, FinishReason, Message, ModelError, Part, TokenCounter, ToolCall,
    ToolResult, ToolSpec, Usage,
};

use super::WordCounter;

/// A text word by word, with the usage of a server that counts words.
pub(super) fn text(text: &str, request: &ChatRequest) -> Vec<ChatDelta> {
    let words = text.split_inclusive(' ').map(|word| ChatDelta::Text(word.to_owned()));
    let prompt: usize = request.messages.iter().map(|message| WordCounter.count(&message.text())).sum();
    let usage = Usage {
        input_tokens: prompt as u64,
        output_tokens: WordCounter.count(text) as u64,
        ..Usage::default()
    };
    words.chain([ChatDelta::Finish(FinishReason::Stop), ChatDelta::Usage(usage)]).collect()
}

/// Tool calls whose arguments come in fragments of three characters.
pub(super) fn tool_calls(calls: &[ToolCall]) -> Vec<ChatDelta> {
    let mut deltas = Vec::new();
    for (index, call) in (0..).zip(calls) {
        let (id, name) = (Some(call.id.clone()), Some(call.name.clone()));
        deltas.push(ChatDelta::ToolCall { index, id, name, arguments: String::new() });
        let characters: Vec<char> = call.arguments.chars().collect();
        deltas.extend(characters.chunks(3).map(|fragment| {
            let arguments = fragment.iter().collect();
            ChatDelta::ToolCall { index, id: None, name: None, arguments }
        }));
    }
    deltas.push(ChatDelta::Finish(FinishReason::ToolCalls));
    deltas
}

/// What a model answers to the request.
pub(super) async fn modelled(
    model: &dyn ChatModel,
    request: ChatRequest,
) -> Result<Vec<ChatDelta>, ModelError> {
    model.stream(request).await?.try_collect().await
}

/// The answer as server-sent events, with the end marker when it is `whole`. Usage comes in the last chunk, and only if the request asked for it.
pub(super) fn bytes(deltas: &[ChatDelta], body: &Value, whole: bool) -> Vec<u8> {
    let wants_usage = body["stream_options"]["include_usage"] == true;
    let mut events = String::from(": the first line is a comment\r\n\r\n");
    let mut usage = None;
    for delta in deltas {
        let choice = match delta {
            ChatDelta::Text(text) => json!({"index": 0, "delta": {"content": text}, "finish_reason": null}),
            ChatDelta::ToolCall { index, id, name, arguments } => {
                let mut call = json!({"index": index, "function": {"arguments": arguments}});
                if let (Some(id), Some(name)) = (id, name) {
                    call["id"] = json!(id);
                    call["type"] = json!("function");
                    call["function"]["name"] = json!(name);
                }
                json!({"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null})
            }
            ChatDelta::Finish(reason) => json!({"index": 0, "delta": {}, "finish_reason": reason.as_str()}),
            ChatDelta::Reasoning(reasoning) => {
                json!({"index": 0, "delta": {"reasoning_content": reasoning.text}, "finish_reason": null})
            }
            ChatDelta::Usage(reported) => {
                usage = Some(*reported);
                continue;
            }
            _ => continue,
        };
        push_chunk(&mut events, &json!([choice]), &Value::Null, body);
    }
    if let Some(usage) = usage.filter(|_| wants_usage) {
        let usage = json!({
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens(),
            "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        });
        push_chunk(&mut events, &json!([]), &usage, body);
    }
    if whole {
        events.push_str("data: [DONE]\n\n");
    }
    events.into_bytes()
}

fn push_chunk(events: &mut String, choices: &Value, usage: &Value, body: &Value) {
    let chunk = json!({
        "id": "chatcmpl-wire",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": body["model"],
        "choices": choices,
        "usage": usage,
    });
    events.push_str(&format!("data: {chunk}\n\n"));
}

/// Our request from the body; what is missing stays empty, as servers are lenient too.
pub(super) fn request(body: &Value) -> ChatRequest {
    let mut messages: Vec<Message> = list(&body["messages"]).iter().map(message).collect();
    name_results(&mut messages);
    ChatRequest { tools: list(&body["tools"]).iter().map(tool).collect(), ..ChatRequest::new(messages) }
}

/// On the wire a result knows only the id of its call; ours also has the tool's name.
pub(super) fn name_results(messages: &mut [Message]) {
    let calls: Vec<ToolCall> = messages.iter().flat_map(Message::tool_calls).cloned().collect();
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::ToolResult(result) = part
            && let Some(call) = calls.iter().find(|call| call.id == result.call_id)
        {
            result.name.clone_from(&call.name);
        }
    }
}

fn message(message: &Value) -> Message {
    let content = string(&message["content"]);
    match message["role"].as_str() {
        Some("system" | "developer") => Message::system(content),
        Some("assistant") => {
            let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| ToolCall {
                id: string(&call["id"]),
                name: string(&call["function"]["name"]),
                arguments: string(&call["function"]["arguments"]),
            });
            Message::assistant_calls(content, calls)
        }
        Some("tool") => {
            let call_id = string(&message["tool_call_id"]);
            Message::tool_result(ToolResult { call_id, name: String::new(), content, is_error: false })
        }
        _ => Message::user(content),
    }
}

fn tool(tool: &Value) -> ToolSpec {
    let function = &tool["function"];
    ToolSpec {
        name: string(&function["name"]),
        description: string(&function["description"]),
        parameters: function["parameters"].clone(),
    }
}

pub(super) fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

pub(super) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
