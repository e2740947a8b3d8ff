//! From our request to the JSON body of Messages.

use serde::Serialize;
use serde_json::{Value, json};
use statewright_nodes_ports::{ChatRequest, ModelError, ModelId, OutputSchema, ToolChoice};

use super::{content, content::Conversation, unsupported};
use crate::endpoint::protocol::{checked_temperature, with_extra};

/// The output limit when a request has none: the protocol demands one, and every model can do this.
const OUTPUT_TOKENS_DEFAULT: u32 = 4096;

/// The body of a request. `purpose` and `idempotency_key` are no part of it.
pub(super) fn body(model: &ModelId, request: &ChatRequest) -> Result<Vec<u8>, ModelError> {
    if request.seed.is_some() {
        return Err(unsupported("a seed"));
    }
    let Conversation { system, messages, marks_tools } = Conversation::new(request)?;
    let mut tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| {
            json!({ "name": tool.name, "description": tool.description, "input_schema": tool.parameters })
        })
        .collect();
    if let Some(output) = &request.output {
        tools.push(output_tool(request, output)?);
    }
    if let Some(last) = tools.last_mut().filter(|_| marks_tools) {
        content::mark(last);
    }
    let body = Body {
        model: model.as_str(),
        max_tokens: request.max_output_tokens.unwrap_or(OUTPUT_TOKENS_DEFAULT),
        stream: true,
        tool_choice: tool_choice(request).filter(|_| !tools.is_empty()),
        system,
        messages,
        tools,
        temperature: checked_temperature(request)?,
        stop_sequences: &request.stop,
    };
    with_extra(&body, request)
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Value>,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
}

/// The tool whose input is the answer.
fn output_tool(request: &ChatRequest, output: &OutputSchema) -> Result<Value, ModelError> {
    if output.schema["type"] != "object" {
        return Err(unsupported("a schema of an answer that is no object"));
    }
    if request.tools.iter().any(|tool| tool.name == output.name) {
        return Err(unsupported(format!(
            "a schema of an answer that is named like the tool {}",
            output.name
        )));
    }
    let description = "Gives the answer. Call it once, with the whole answer.";
    Ok(json!({ "name": output.name, "description": description, "input_schema": output.schema }))
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    // A model that thinks can't be made to call a tool; it is asked to, and its text is judged instead.
    let thinks = request.extra_body.get("thinking").is_some_and(|thinking| thinking["type"] == "enabled");
    let single = request.parallel_tool_calls == Some(false);
    let mut choice = match (&request.tool_choice, &request.output) {
        (ToolChoice::None, None) => return Some(json!({ "type": "none" })),
        (ToolChoice::Named(name), _) => json!({ "type": "tool", "name": name }),
        (ToolChoice::Required, None) => json!({ "type": "any" }),
        (ToolChoice::Auto, None) if single => json!({ "type": "auto" }),
        (ToolChoice::Auto, None) => return None,
        (_, Some(_)) if thinks => json!({ "type": "auto" }),
        (ToolChoice::Auto | ToolChoice::Required, Some(_)) if !request.tools.is_empty() => {
            json!({ "type": "any" })
        }
        (_, Some(output)) => json!({ "type": "tool", "name": output.name }),
    };
    if single {
        choice["disable_parallel_tool_use"] = json!(true);
    }
    Some(choice)
}

#[cfg(test)]
mod tests {
    use statewright_nodes_ports::{Image, Message, Part, Reasoning, Role, ToolCall, ToolResult, ToolSpec};

    use super::*;

    fn sent(request: &ChatRequest) -> Value {
        serde_json::from_slice(&body(&ModelId::new("m").unwrap(), request).unwrap()).unwrap()
    }

    fn tool(name: &str) -> ToolSpec {
        ToolSpec { name: name.into(), description: "d".into(), parameters: json!({"type": "object"}) }
    }

    fn result(id: &str, is_error: bool) -> Message {
        let (call_id, name) = (id.to_owned(), "t".to_owned());
        Message::tool_result(ToolResult { call_id, name, content: "4".into(), is_error })
    }

    #[test]
    fn a_whole_request_on_the_wire() {
        let call = |id: &str, arguments: &str| ToolCall {
            id: id.into(),
            name: "t".into(),
            arguments: arguments.into(),
        };
        let sealed = Reasoning { text: "hm".into(), signature: Some("sig".into()), redacted: None };
        let hidden = Reasoning { redacted: Some("xyz".into()), ..Reasoning::default() };
        let parts = [Part::Reasoning(sealed), Part::Reasoning(hidden), Part::Text("I look.".into())];
        let calls = [call("1", r#"{"x":1}"#), call("2", ""), call("3", "{oops")].map(Part::ToolCall);
        let assistant = Message { role: Role::Assistant, parts: parts.into_iter().chain(calls).collect() };
        let image = Image::Data { media_type: "image/png".into(), base64: "AA==".into() };
        let user = Message {
            role: Role::User,
            parts: vec![
                Part::Text("u".into()),
                Part::Image(image),
                Part::Image(Image::Url("https://h/p".into())),
            ],
        };
        let messages = [
            Message::system("s"),
            user,
            assistant,
            result("1", false),
            result("2", false),
            result("3", true),
            Message::user("and?"),
        ];
        let request = ChatRequest {
            tools: vec![tool("t")],
            temperature: Some(0.5),
            purpose: Some("write".into()),
            idempotency_key: Some("k".into()),
            stop: vec!["END".into()],
            cache_prefixes: vec![0, 1, 6, 7],
            extra_body: [("top_k".to_owned(), json!(3))].into_iter().collect(),
            ..ChatRequest::new(messages)
        };
        let kept = json!({"type": "ephemeral"});
        let expected = json!({
            "model": "m", "max_tokens": 4096, "stream": true, "temperature": 0.5, "stop_sequences": ["END"], "top_k": 3,
            "system": [{"type": "text", "text": "s", "cache_control": kept}],
            "tools": [{"name": "t", "description": "d", "input_schema": {"type": "object"}, "cache_control": kept}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "u"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                    {"type": "image", "source": {"type": "url", "url": "https://h/p"}},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "xyz"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "1", "name": "t", "input": {"x": 1}},
                    {"type": "tool_use", "id": "2", "name": "t", "input": {}},
                    {"type": "tool_use", "id": "3", "name": "t", "input": {"not_an_object": "{oops"}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": "4"},
                    {"type": "tool_result", "tool_use_id": "2", "content": "4"},
                    {"type": "tool_result", "tool_use_id": "3", "content": "4", "is_error": true, "cache_control": kept},
                    {"type": "text", "text": "and?", "cache_control": kept},
                ]},
            ],
        });
        assert_eq!(sent(&request), expected);
    }

    #[test]
    fn at_most_four_prefixes_are_marked_and_those_are_the_longest() {
        let messages = (0..6).map(|n| if n % 2 == 0 { Message::user("u") } else { Message::assistant("a") });
        let request = ChatRequest { cache_prefixes: (1..=6).collect(), ..ChatRequest::new(messages) };
        let body = sent(&request);
        let marked: Vec<bool> = body["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["content"][0].get("cache_control").is_some())
            .collect();
        assert_eq!(marked, [false, false, true, true, true, true]);
    }

    #[test]
    fn the_choice_of_tools_and_of_the_form() {
        let output = OutputSchema { name: "o".into(), schema: json!({"type": "object"}) };
        let choose = |tools: &[&str], tool_choice, output: bool, parallel| {
            let output = output.then(|| OutputSchema { name: "o".into(), schema: json!({"type": "object"}) });
            let tools = tools.iter().map(|name| tool(name)).collect();
            let request = ChatRequest {
                tools,
                tool_choice,
                output,
                parallel_tool_calls: parallel,
                ..ChatRequest::new([Message::user("u")])
            };
            sent(&request).get("tool_choice").cloned()
        };
        let named = |name: &str| ToolChoice::Named(name.to_owned());
        assert_eq!(choose(&[], ToolChoice::None, false, None), None);
        assert_eq!(choose(&["t"], ToolChoice::Auto, false, None), None);
        assert_eq!(choose(&["t"], ToolChoice::None, false, None), Some(json!({"type": "none"})));
        assert_eq!(choose(&["t"], ToolChoice::Required, false, None), Some(json!({"type": "any"})));
        assert_eq!(choose(&["t"], named("t"), false, None), Some(json!({"type": "tool", "name": "t"})));
        let single = json!({"type": "auto", "disable_parallel_tool_use": true});
        assert_eq!(choose(&["t"], ToolChoice::Auto, false, Some(false)), Some(single));
        assert_eq!(choose(&[], ToolChoice::Auto, true, None), Some(json!({"type": "tool", "name": "o"})));
        assert_eq!(choose(&["t"], ToolChoice::Auto, true, None), Some(json!({"type": "any"})));
        assert_eq!(choose(&["t"], ToolChoice::None, true, None), Some(json!({"type": "tool", "name": "o"})));

        let thinking = [("thinking".to_owned(), json!({"type": "enabled", "budget_tokens": 1024}))];
        let request = ChatRequest {
            output: Some(output),
            extra_body: thinking.into_iter().collect(),
            ..ChatRequest::new([Message::user("u")])
        };
        let body = sent(&request);
        assert_eq!(
            (&body["tool_choice"], &body["tools"][0]["name"]),
            (&json!({"type": "auto"}), &json!("o"))
        );
    }

    #[test]
    fn what_has_no_place_is_an_error_and_not_left_out() {
        let of = |role, part| ChatRequest::new([Message { role, parts: vec![part] }]);
        let output = |name: &str, schema| OutputSchema { name: name.to_owned(), schema };
        let user = || ChatRequest::new([Message::user("u")]);
        let image = || Part::Image(Image::Url("https://h/p".into()));
        for request in [
            of(Role::Assistant, Part::Reasoning(Reasoning { text: "hm".into(), ..Reasoning::default() })),
            of(Role::System, image()),
            of(Role::Assistant, image()),
            of(Role::Tool, Part::Text("t".into())),
            of(Role::System, Part::Text("only a system prompt".into())),
            ChatRequest { seed: Some(1), ..user() },
            ChatRequest { output: Some(output("o", json!({"type": "array"}))), ..user() },
            ChatRequest {
                output: Some(output("t", json!({"type": "object"}))),
                tools: vec![tool("t")],
                ..user()
            },
        ] {
            let error = body(&ModelId::new("m").unwrap(), &request).unwrap_err();
            assert_eq!(error.code(), "SW-P512", "{request:?}: {error}");
        }
    }
}
