//! Between Chat Completions and our requests and deltas, seen from the server's side. Pure.
//!
//! Source: OpenAI API reference, "Create chat completion", and its streaming events.

use serde_json::{Map, Value, json};
use statewright_nodes_ports::{
    ChatDelta, ChatFold, ChatRequest, Image, Message, ModelError, ModelId, OutputSchema, Part, Role,
    ToolCall, ToolChoice, ToolResult, ToolSpec, Usage,
};

/// A call as it came in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) model: ModelId,
    pub(super) request: ChatRequest,
    pub(super) streams: bool,
    pub(super) wants_usage: bool,
}

/// Fields that say nothing about the answer.
const IGNORED: &[&str] = &["metadata", "n", "prompt_cache_key", "safety_identifier", "store", "user"];

impl Asked {
    /// Reads the body of a call.
    ///
    /// # Errors
    /// What is wrong with it, for whoever wrote the client.
    pub(super) fn of(body: &[u8]) -> Result<Self, String> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is not JSON ({error})"))?;
        let Value::Object(mut body) = body else { return Err("the body is not a JSON object".to_owned()) };
        body.retain(|name, value| !value.is_null() && !IGNORED.contains(&name.as_str()));
        let mut take = |name: &str| body.remove(name).unwrap_or_default();
        let model = take("model").as_str().map(ModelId::new).ok_or("`model` is missing")?;
        let model = model.map_err(|error| error.to_string())?;
        let streams = take("stream") == true;
        let wants_usage = take("stream_options")["include_usage"] == true;
        let Value::Array(messages) = take("messages") else { return Err("`messages` is no list".to_owned()) };
        let mut messages = messages.iter().map(message).collect::<Result<Vec<_>, _>>()?;
        name_results(&mut messages);
        let limit =
            [take("max_completion_tokens"), take("max_tokens")].into_iter().find_map(|limit| limit.as_u64());
        let request = ChatRequest {
            tools: list(take("tools")).iter().map(tool).collect(),
            temperature: take("temperature").as_f64().map(single),
            max_output_tokens: limit.and_then(|limit| u32::try_from(limit).ok()),
            tool_choice: tool_choice(&take("tool_choice")),
            parallel_tool_calls: take("parallel_tool_calls").as_bool(),
            output: output(&mut body),
            stop: stop(body.remove("stop")),
            seed: body.remove("seed").and_then(|seed| seed.as_u64()),
            ..ChatRequest::new(messages)
        };
        Ok(Self { model, request: ChatRequest { extra_body: body, ..request }, streams, wants_usage })
    }
}

/// A number of JSON in the precision of ours.
#[expect(clippy::cast_possible_truncation, reason = "both name the same decimal number, such as 0.7")]
fn single(number: f64) -> f32 {
    number as f32
}

fn list(value: Value) -> Vec<Value> {
    if let Value::Array(items) = value { items } else { Vec::new() }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn message(message: &Value) -> Result<Message, String> {
    let parts = parts(&message["content"])?;
    let role = match message["role"].as_str() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => {
            let content: String = parts
                .iter()
                .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
                .collect();
            let (call_id, name) = (text(&message["tool_call_id"]), String::new());
            return Ok(Message::tool_result(ToolResult { call_id, name, content, is_error: false }));
        }
        Some(other) => return Err(format!("a message has the role `{other}`, which is unknown here")),
        None => return Err("a message has no role".to_owned()),
    };
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
        Part::ToolCall(ToolCall {
            id: text(&call["id"]),
            name: text(&call["function"]["name"]),
            arguments: text(&call["function"]["arguments"]),
        })
    });
    Ok(Message { role, parts: parts.into_iter().chain(calls).collect() })
}

fn parts(content: &Value) -> Result<Vec<Part>, String> {
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Part::Text(text.clone())]),
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => Err("the content of a message is neither a text nor a list of parts".to_owned()),
    }
}

fn part(part: &Value) -> Result<Part, String> {
    match part["type"].as_str() {
        Some("text") => Ok(Part::Text(text(&part["text"]))),
        Some("image_url") => {
            let url = text(&part["image_url"]["url"]);
            let data = url.strip_prefix("data:").and_then(|data| data.split_once(";base64,"));
            Ok(Part::Image(match data {
                Some((media_type, base64)) => {
                    Image::Data { media_type: media_type.to_owned(), base64: base64.to_owned() }
                }
                None => Image::Url(url),
            }))
        }
        other => Err(format!(
            "a message has a part of the type `{}`, which is unknown here",
            other.unwrap_or("none")
        )),
    }
}

/// On the wire a result knows only the id of its call; ours also has the tool's name.
fn name_results(messages: &mut [Message]) {
    let calls: Vec<ToolCall> = messages.iter().flat_map(Message::tool_calls).cloned().collect();
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::ToolResult(result) = part
            && let Some(call) = calls.iter().find(|call| call.id == result.call_id)
        {
            result.name.clone_from(&call.name);
        }
    }
}

fn tool(tool: &Value) -> ToolSpec {
    let function = &tool["function"];
    ToolSpec {
        name: text(&function["name"]),
        description: text(&function["description"]),
        parameters: function["parameters"].clone(),
    }
}

fn tool_choice(choice: &Value) -> ToolChoice {
    match (choice.as_str(), choice["function"]["name"].as_str()) {
        (Some("none"), _) => ToolChoice::None,
        (Some("required"), _) => ToolChoice::Required,
        (_, Some(name)) => ToolChoice::Named(name.to_owned()),
        _ => ToolChoice::Auto,
    }
}

/// The schema of the answer; any other format stays among the fields that are passed through.
fn output(body: &mut Map<String, Value>) -> Option<OutputSchema> {
    let format = body.get("response_format")?;
    let schema = (format["type"] == "json_schema").then(|| OutputSchema {
        name: text(&format["json_schema"]["name"]),
        schema: format["json_schema"]["schema"].clone(),
    });
    if schema.is_some() || format["type"] == "text" {
        body.remove("response_format");
    }
    schema
}

fn stop(stop: Option<Value>) -> Vec<String> {
    match stop {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().map(text).collect(),
        _ => Vec::new(),
    }
}

/// The events of a streamed answer, each with its line breaks, up to the end marker.
pub(super) fn events(asked: &Asked, deltas: &[ChatDelta]) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-cassette",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": asked.model,
            "choices": choices,
            "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice =
        |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let mut events = Vec::new();
    let mut role = Some("assistant");
    let mut usage = None;
    for delta in deltas {
        let (mut sent, finish) = match delta {
            ChatDelta::Text(text) => (json!({ "content": text }), Value::Null),
            ChatDelta::ToolCall { index, id, name, arguments } => {
                let mut call = json!({ "index": index, "function": { "arguments": arguments } });
                if let Some(id) = id {
                    call["id"] = json!(id);
                    call["type"] = json!("function");
                }
                if let Some(name) = name {
                    call["function"]["name"] = json!(name);
                }
                (json!({ "tool_calls": [call] }), Value::Null)
            }
            // What servers that tell their reasoning call it; others and their clients know no such field.
            ChatDelta::Reasoning(reasoning) if !reasoning.text.is_empty() => {
                (json!({ "reasoning_content": reasoning.text }), Value::Null)
            }
            ChatDelta::Finish(reason) => (json!({}), json!(reason.as_str())),
            ChatDelta::Usage(reported) => {
                usage = Some(*reported);
                continue;
            }
            _ => continue,
        };
        if let Some(role) = role.take() {
            sent["role"] = json!(role);
        }
        events.push(chunk(choice(sent, finish), Value::Null));
    }
    if let Some(usage) = usage.filter(|_| asked.wants_usage) {
        events.push(chunk(json!([]), wire_usage(&usage)));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// The whole answer as one object.
///
/// # Errors
/// What [`ChatFold`] finds wrong with the deltas.
pub(super) fn whole(asked: &Asked, deltas: Vec<ChatDelta>) -> Result<Value, ModelError> {
    let mut fold = ChatFold::new(asked.model.clone());
    for delta in deltas {
        fold.push(delta)?;
    }
    let answer = fold.finish()?;
    let calls: Vec<Value> = answer
        .tool_calls
        .iter()
        .map(|call| json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } }))
        .collect();
    let content = if answer.text.is_empty() { Value::Null } else { json!(answer.text) };
    let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    Ok(json!({
        "id": "chatcmpl-cassette",
        "object": "chat.completion",
        "created": 0,
        "model": asked.model,
        "choices": [{ "index": 0, "message": message, "finish_reason": answer.finish.as_str(), "logprobs": null }],
        "usage": answer.usage.as_ref().map(wire_usage),
    }))
}

fn wire_usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens(),
        "prompt_tokens_details": { "cached_tokens": usage.cached_input_tokens },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
    })
}

#[cfg(test)]
mod tests {
    use statewright_nodes_ports::Reasoning;

    use super::*;

    #[test]
    fn every_field_that_changes_an_answer_is_read() {
        let body = json!({
            "model": "m", "stream": true, "stream_options": { "include_usage": true },
            "temperature": 0.7, "max_completion_tokens": 9, "max_tokens": null, "seed": 3, "stop": "x",
            "tool_choice": { "type": "function", "function": { "name": "look" } }, "parallel_tool_calls": false,
            "response_format": { "type": "json_schema", "json_schema": { "name": "o", "schema": { "a": 1 }, "strict": true } },
            "tools": [{ "type": "function", "function": { "name": "look", "description": "d", "parameters": {} } }],
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "What is it?" },
                    { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
                    { "type": "image_url", "image_url": { "url": "https://host/a.png" } },
                ] },
                { "role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls":
                    [{ "id": "c", "type": "function", "function": { "name": "look", "arguments": "{}" } }] },
                { "role": "tool", "tool_call_id": "c", "content": "4" },
            ],
            "top_p": 0.5, "user": "me", "n": 1, "logprobs": null,
        });
        let asked = Asked::of(body.to_string().as_bytes()).unwrap();
        let call = ToolCall { id: "c".into(), name: "look".into(), arguments: "{}".into() };
        let result =
            ToolResult { call_id: "c".into(), name: "look".into(), content: "4".into(), is_error: false };
        let data = Image::Data { media_type: "image/png".into(), base64: "AAAA".into() };
        let mut question = Message::user("What is it?");
        question.parts.extend([Part::Image(data), Part::Image(Image::Url("https://host/a.png".into()))]);
        let request = ChatRequest {
            tools: vec![ToolSpec { name: "look".into(), description: "d".into(), parameters: json!({}) }],
            temperature: Some(0.7),
            max_output_tokens: Some(9),
            tool_choice: ToolChoice::Named("look".into()),
            parallel_tool_calls: Some(false),
            output: Some(OutputSchema { name: "o".into(), schema: json!({ "a": 1 }) }),
            stop: vec!["x".into()],
            seed: Some(3),
            extra_body: [("top_p".to_owned(), json!(0.5))].into_iter().collect(),
            ..ChatRequest::new([question, Message::assistant_calls("", [call]), Message::tool_result(result)])
        };
        let model = ModelId::new("m").unwrap();
        assert_eq!(asked, Asked { model, request, streams: true, wants_usage: true });
    }

    #[test]
    fn a_stream_has_its_role_once_its_reasoning_apart_and_usage_only_if_asked() {
        let body = json!({ "model": "m", "messages": [] }).to_string();
        let asked = Asked::of(body.as_bytes()).unwrap();
        let deltas = [
            ChatDelta::Reasoning(Reasoning { text: "Hm.".into(), ..Reasoning::default() }),
            ChatDelta::Text("Yes".into()),
            ChatDelta::Finish(statewright_nodes_ports::FinishReason::Stop),
            ChatDelta::Usage(Usage::default()),
        ];
        let read = |events: Vec<String>| -> Vec<Value> {
            assert_eq!(events.last().map(String::as_str), Some("data: [DONE]\n\n"));
            let data = events[..events.len() - 1].iter().map(|event| &event["data: ".len()..]);
            data.map(|data| serde_json::from_str(data).unwrap()).collect()
        };
        let chunks = read(events(&asked, &deltas));
        let sent: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
        assert_eq!(
            sent,
            [
                &json!({ "role": "assistant", "reasoning_content": "Hm." }),
                &json!({ "content": "Yes" }),
                &json!({}),
            ]
        );
        let counted = read(events(&Asked { wants_usage: true, ..asked }, &deltas));
        assert_eq!(counted[3]["usage"]["total_tokens"], 0);
    }
}
