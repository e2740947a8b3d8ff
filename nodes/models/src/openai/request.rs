//! From our request to the JSON body of Chat Completions.

use reqwest::Url;
use serde::Serialize;
use serde_json::Value;
use statewright_nodes_ports::{ChatRequest, Message, ModelError, ModelId, Role, ToolCall, ToolSpec};

/// The body of a request. `purpose` and `idempotency_key` are no part of it.
pub(super) fn body(model: &ModelId, request: &ChatRequest, url: &Url) -> Result<Vec<u8>, ModelError> {
    if request.temperature.is_some_and(|temperature| !temperature.is_finite()) {
        return Err(ModelError::Configuration {
            setting: "the temperature".to_owned(),
            problem: "it is not a finite number; use a number from 0 to 2".to_owned(),
        });
    }
    // OpenAI's newer models refuse `max_tokens`; other servers know only that name.
    let openai_itself = url.host_str() == Some("api.openai.com");
    let limit = request.max_output_tokens;
    let body = Body {
        model: model.as_str(),
        messages: request.messages.iter().flat_map(wire_messages).collect(),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        temperature: request.temperature,
        max_tokens: limit.filter(|_| !openai_itself),
        max_completion_tokens: limit.filter(|_| openai_itself),
        tools: request.tools.iter().map(wire_tool).collect(),
    };
    serde_json::to_vec(&body).map_err(|error| ModelError::Configuration {
        setting: "the request".to_owned(),
        problem: format!("it cannot be written as JSON ({error}); report this as a bug"),
    })
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
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
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
fn wire_messages(message: &Message) -> Vec<WireMessage<'_>> {
    let plain = |role| {
        let text = message.text();
        let tool_calls: Vec<_> = message.tool_calls().map(wire_call).collect();
        let content = (!text.is_empty() || tool_calls.is_empty()).then_some(text);
        vec![WireMessage { role, content, tool_calls, tool_call_id: None }]
    };
    match message.role {
        Role::System => plain("system"),
        Role::User => plain("user"),
        Role::Assistant => plain("assistant"),
        Role::Tool => message
            .tool_results()
            .map(|result| WireMessage {
                role: "tool",
                content: Some(result.content.as_str().into()),
                tool_calls: Vec::new(),
                tool_call_id: Some(&result.call_id),
            })
            .collect(),
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
    use statewright_nodes_ports::ToolResult;

    use super::*;

    fn sent(request: &ChatRequest, url: &str) -> Value {
        let bytes = body(&ModelId::new("m").unwrap(), request, &Url::parse(url).unwrap()).unwrap();
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
        assert_eq!(sent(&request, "http://localhost/v1"), expected);
    }

    #[test]
    fn the_output_limit_has_the_name_that_the_endpoint_knows() {
        let request = ChatRequest { max_output_tokens: Some(5), ..ChatRequest::new([Message::user("u")]) };
        let sent = sent(&request, "https://api.openai.com/v1/chat/completions");
        assert_eq!((&sent["max_completion_tokens"], sent.get("max_tokens")), (&json!(5), None));
    }

    #[test]
    fn a_temperature_that_json_cannot_carry_is_refused() {
        let request = ChatRequest { temperature: Some(f32::NAN), ..ChatRequest::default() };
        let error =
            body(&ModelId::new("m").unwrap(), &request, &Url::parse("http://h").unwrap()).unwrap_err();
        assert_eq!(error.code(), "SW-P510");
    }
}
