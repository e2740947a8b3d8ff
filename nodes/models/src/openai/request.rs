//! From our request to the JSON body of Chat Completions.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};
use statewright_nodes_ports::{
    ChatRequest, Image, Message, ModelError, ModelId, Part, Role, ToolCall, ToolChoice, ToolSpec,
};

use super::ChatCompletions;
use crate::endpoint::{
    Protocol,
    protocol::{checked_temperature, with_extra},
};

/// The body of a request. `purpose`, `idempotency_key` and `cache_prefixes` are no part of it: these servers find what
/// stayed the same by themselves.
pub(super) fn body(
    model: &ModelId,
    request: &ChatRequest,
    host: Option<&str>,
) -> Result<Vec<u8>, ModelError> {
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        push_messages(message, &mut messages)?;
    }
    // OpenAI's newer models refuse `max_tokens`; other servers know only that name.
    let openai_itself = host == Some("api.openai.com");
    let limit = request.max_output_tokens;
    let body = Body {
        model: model.as_str(),
        messages,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        temperature: checked_temperature(request)?,
        max_tokens: limit.filter(|_| !openai_itself),
        max_completion_tokens: limit.filter(|_| openai_itself),
        tools: request.tools.iter().map(wire_tool).collect(),
        tool_choice: tool_choice(&request.tool_choice),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !request.tools.is_empty()),
        response_format: request.output.as_ref().map(|output| {
            let (name, schema) = (&output.name, &output.schema);
            let json_schema = json!({ "name": name, "schema": schema, "strict": is_closed(schema) });
            json!({ "type": "json_schema", "json_schema": json_schema })
        }),
        stop: &request.stop,
        seed: request.seed,
    };
    with_extra(&body, request)
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

/// A text alone is a string: many servers know nothing else.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Value>),
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireCallFunction<'a>,
}

#[derive(Serialize)]
struct WireCallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireToolFunction<'a>,
}

#[derive(Serialize)]
struct WireToolFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

/// One message of ours is one on the wire, but that each tool result needs one of its own.
fn push_messages<'a>(message: &'a Message, messages: &mut Vec<WireMessage<'a>>) -> Result<(), ModelError> {
    if let Some(part) = message.parts.iter().find(|part| !fits(message.role, part)) {
        return Err(unsupported(&format!("{} in a message of the {:?} role", kind(part), message.role)));
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => {
            messages.extend(message.tool_results().map(|result| WireMessage {
                role: "tool",
                content: Some(Content::Text(result.content.as_str().into())),
                reasoning_content: None,
                tool_calls: Vec::new(),
                tool_call_id: Some(&result.call_id),
            }));
            return Ok(());
        }
    };
    let tool_calls: Vec<_> = message.tool_calls().map(wire_call).collect();
    let content = if message.parts.iter().any(|part| matches!(part, Part::Image(_))) {
        Some(Content::Parts(message.parts.iter().filter_map(wire_part).collect()))
    } else {
        Some(message.text()).filter(|text| !text.is_empty() || tool_calls.is_empty()).map(Content::Text)
    };
    let thoughts = message.parts.iter().filter_map(|part| match part {
        Part::Reasoning(reasoning) => Some(reasoning.text.as_str()),
        _ => None,
    });
    // Servers want it back beside the calls that it led to; of an answer that is whole, some refuse it.
    let thoughts = Some(thoughts.collect::<String>());
    let reasoning_content = thoughts.filter(|text| !text.is_empty() && !tool_calls.is_empty());
    messages.push(WireMessage { role, content, reasoning_content, tool_calls, tool_call_id: None });
    Ok(())
}

/// Whether the protocol has a place for a part in messages of a role. Reasoning goes back to the servers that tell it,
/// which is where it has no seal.
fn fits(role: Role, part: &Part) -> bool {
    match part {
        Part::Text(_) => role != Role::Tool,
        Part::ToolCall(_) => role == Role::Assistant,
        Part::ToolResult(_) => role == Role::Tool,
        Part::Image(_) => role == Role::User,
        Part::Reasoning(reasoning) => {
            role == Role::Assistant && reasoning.signature.is_none() && reasoning.redacted.is_none()
        }
        _ => false,
    }
}

fn kind(part: &Part) -> &'static str {
    match part {
        Part::Text(_) => "text",
        Part::ToolCall(_) => "a tool call",
        Part::ToolResult(_) => "a tool result",
        Part::Image(_) => "a picture",
        Part::Reasoning(_) => "reasoning that another provider has sealed",
        _ => "a part of an unknown kind",
    }
}

fn unsupported(what: &str) -> ModelError {
    ModelError::Unsupported { provider: ChatCompletions::FACTS.name, what: what.to_owned() }
}

fn wire_part(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) => Some(json!({ "type": "text", "text": text })),
        Part::Image(Image::Url(url)) => Some(json!({ "type": "image_url", "image_url": { "url": url } })),
        Part::Image(Image::Data { media_type, base64 }) => {
            let url = format!("data:{media_type};base64,{base64}");
            Some(json!({ "type": "image_url", "image_url": { "url": url } }))
        }
        _ => None,
    }
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Named(name) => Some(json!({ "type": "function", "function": { "name": name } })),
    }
}

/// Whether a schema names all that its objects may have, and requires it. Only such a one may be called strict.
fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let closed = fields.get("properties").and_then(Value::as_object).is_none_or(|properties| {
                let required = fields.get("required").and_then(Value::as_array);
                let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|r| r == name));
                fields.get("additionalProperties") == Some(&Value::Bool(false))
                    && properties.keys().all(is_required)
            });
            closed && fields.values().all(is_closed)
        }
        Value::Array(items) => items.iter().all(is_closed),
        _ => true,
    }
}

fn wire_call(call: &ToolCall) -> WireCall<'_> {
    // Servers parse the arguments of earlier turns; a call without any must still be an object.
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { call.arguments.as_str() };
    WireCall { id: &call.id, kind: "function", function: WireCallFunction { name: &call.name, arguments } }
}

fn wire_tool(tool: &ToolSpec) -> WireTool<'_> {
    let function =
        WireToolFunction { name: &tool.name, description: &tool.description, parameters: &tool.parameters };
    WireTool { kind: "function", function }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use statewright_nodes_ports::{OutputSchema, Reasoning, ToolResult};

    use super::*;

    fn sent(request: &ChatRequest, host: &str) -> Value {
        let bytes = body(&ModelId::new("m").unwrap(), request, Some(host)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_whole_request_on_the_wire() {
        let call = ToolCall { id: "c1".into(), name: "calculator".into(), arguments: String::new() };
        let result = ToolResult {
            call_id: "c1".into(),
            name: "calculator".into(),
            content: "4".into(),
            is_error: false,
        };
        let request = ChatRequest {
            tools: vec![ToolSpec {
                name: "calculator".into(),
                description: "d".into(),
                parameters: json!({"type": "object"}),
            }],
            temperature: Some(0.7),
            max_output_tokens: Some(9),
            purpose: Some("write".into()),
            idempotency_key: Some("k".into()),
            ..ChatRequest::new([
                Message::system("s"),
                Message::user("u"),
                Message::assistant_calls("", [call]),
                Message::tool_result(result),
            ])
        };
        let expected = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "temperature": 0.7, "max_tokens": 9,
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": null, "tool_calls":
                    [{"id": "c1", "type": "function", "function": {"name": "calculator", "arguments": "{}"}}]},
                {"role": "tool", "content": "4", "tool_call_id": "c1"},
            ],
            "tools": [{"type": "function", "function": {"name": "calculator", "description": "d", "parameters": {"type": "object"}}}],
        });
        assert_eq!(sent(&request, "localhost"), expected);
    }

    #[test]
    fn the_output_limit_has_the_name_that_the_endpoint_knows() {
        let request = ChatRequest { max_output_tokens: Some(5), ..ChatRequest::new([Message::user("u")]) };
        let sent = sent(&request, "api.openai.com");
        assert_eq!((&sent["max_completion_tokens"], sent.get("max_tokens")), (&json!(5), None));
    }

    #[test]
    fn a_temperature_that_json_cannot_carry_is_refused() {
        let request = ChatRequest { temperature: Some(f32::NAN), ..ChatRequest::default() };
        let error = body(&ModelId::new("m").unwrap(), &request, None).unwrap_err();
        assert_eq!(error.code(), "SW-P510");
    }

    #[test]
    fn settings_of_a_request_on_the_wire() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
            "additionalProperties": false});
        let output = OutputSchema { name: "o".into(), schema: schema.clone() };
        let tool =
            ToolSpec { name: "t".into(), description: "d".into(), parameters: json!({"type": "object"}) };
        let request = ChatRequest {
            tools: vec![tool],
            tool_choice: ToolChoice::Named("t".into()),
            parallel_tool_calls: Some(false),
            output: Some(output),
            stop: vec!["END".into()],
            seed: Some(7),
            temperature: Some(1.0),
            cache_prefixes: vec![1],
            extra_body: [("top_k", json!(3)), ("temperature", json!(0.5))]
                .map(|(k, v)| (k.into(), v))
                .into_iter()
                .collect(),
            ..ChatRequest::new([Message::user("u")])
        };
        let body = sent(&request, "h");
        let expected = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "u"}],
            "tools": [{"type": "function", "function": {"name": "t", "description": "d", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "t"}},
            "parallel_tool_calls": false,
            "response_format": {"type": "json_schema", "json_schema": {"name": "o", "schema": schema, "strict": true}},
            "stop": ["END"], "seed": 7, "top_k": 3, "temperature": 0.5,
        });
        assert_eq!(body, expected);
        for (choice, expected) in
            [(ToolChoice::None, json!("none")), (ToolChoice::Required, json!("required"))]
        {
            let request = ChatRequest { tool_choice: choice, ..request.clone() };
            assert_eq!(sent(&request, "h")["tool_choice"], expected);
        }
    }

    #[test]
    fn a_schema_is_strict_only_when_all_its_objects_are_closed() {
        let closed = json!({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false});
        let open =
            json!({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": false});
        let within = |inner: &Value| json!({"anyOf": [inner, {"type": "null"}]});
        assert!(is_closed(&closed) && is_closed(&within(&closed)));
        assert!(!is_closed(&open) && !is_closed(&within(&open)));
    }

    #[test]
    fn pictures_and_reasoning_on_the_wire() {
        let image = Image::Data { media_type: "image/png".into(), base64: "AA==".into() };
        let user = Message {
            role: Role::User,
            parts: vec![
                Part::Text("what?".into()),
                Part::Image(image),
                Part::Image(Image::Url("https://h/p".into())),
            ],
        };
        let thought = Reasoning { text: "hm".into(), ..Reasoning::default() };
        let call = ToolCall { id: "c".into(), name: "t".into(), arguments: "{}".into() };
        let said = |last| {
            let parts = vec![Part::Reasoning(thought.clone()), Part::Text("a cat".into()), last];
            Message { role: Role::Assistant, parts }
        };
        let (calls, ends) = (said(Part::ToolCall(call)), said(Part::Text("!".into())));
        let body = sent(&ChatRequest::new([user, calls, ends]), "h");
        let expected = json!([
            {"role": "user", "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "image_url", "image_url": {"url": "https://h/p"}},
            ]},
            {"role": "assistant", "content": "a cat", "reasoning_content": "hm", "tool_calls":
                [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}]},
            {"role": "assistant", "content": "a cat!"},
        ]);
        assert_eq!(body["messages"], expected);
    }

    #[test]
    fn what_has_no_place_is_an_error_and_not_left_out() {
        let sealed = Reasoning { signature: Some("s".into()), ..Reasoning::default() };
        let image = || Part::Image(Image::Url("https://h/p".into()));
        for (role, part) in [
            (Role::Assistant, Part::Reasoning(sealed)),
            (Role::Assistant, image()),
            (Role::System, image()),
            (Role::Tool, Part::Text("t".into())),
            (Role::User, Part::Reasoning(Reasoning::default())),
        ] {
            let request = ChatRequest::new([Message { role, parts: vec![part] }]);
            let error = body(&ModelId::new("m").unwrap(), &request, None).unwrap_err();
            assert_eq!(error.code(), "SW-P512", "{role:?}: {error}");
        }
    }
}
