//! What makes two requests the same: everything that a model sees, in one spelling, and the hash of it.
//!
//! Left out is what never reaches a model or says nothing about the answer: the purpose, the idempotency key, the
//! version of the prompt (its text is in the messages), marks for a provider's cache, earlier reasoning, and whether a
//! tool's result tells of a failure. So a request that comes in over HTTP hashes as the one that was recorded.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use statewright_nodes_ports::{
    ChatRequest, Image, Message, ModelId, Part, Role, ToolCall, ToolChoice, ToolSpec,
};

/// SHA-256 over the canonical JSON of a request to a model, as 64 hexadecimal digits.
#[must_use]
pub fn request_hash(model: &ModelId, request: &ChatRequest) -> String {
    hex(&Sha256::digest(sorted(&canonical(model, request))))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn canonical(model: &ModelId, request: &ChatRequest) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("model", json!(model.as_str()));
    put("messages", request.messages.iter().flat_map(messages).collect());
    if !request.tools.is_empty() {
        put("tools", request.tools.iter().map(tool).collect());
    }
    if let Some(temperature) = request.temperature {
        put("temperature", json!(temperature.to_string()));
    }
    if let Some(limit) = request.max_output_tokens {
        put("max_output_tokens", json!(limit));
    }
    match &request.tool_choice {
        ToolChoice::Auto => {}
        ToolChoice::None => put("tool_choice", json!("none")),
        ToolChoice::Required => put("tool_choice", json!("required")),
        ToolChoice::Named(name) => put("tool_choice", json!({ "name": name })),
    }
    // Without tools it says nothing, and adapters leave it out.
    if let Some(parallel) = request.parallel_tool_calls.filter(|_| !request.tools.is_empty()) {
        put("parallel_tool_calls", json!(parallel));
    }
    if let Some(output) = &request.output {
        put("output", json!({ "name": output.name, "schema": output.schema }));
    }
    if !request.stop.is_empty() {
        put("stop", json!(request.stop));
    }
    if let Some(seed) = request.seed {
        put("seed", json!(seed));
    }
    if !request.extra_body.is_empty() {
        put("extra_body", Value::Object(request.extra_body.clone()));
    }
    Value::Object(fields)
}

/// One message, but that each result of a tool is one of its own.
fn messages(message: &Message) -> Vec<Value> {
    let results: Vec<Value> = message
        .tool_results()
        .map(|result| json!({ "role": "tool", "call": result.call_id, "content": [result.content] }))
        .collect();
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => return results,
    };
    let calls: Vec<Value> = message.tool_calls().map(call).collect();
    let mut one = json!({ "role": role, "content": content(&message.parts) });
    if !calls.is_empty() {
        one["calls"] = calls.into();
    }
    vec![one]
}

/// Texts that follow one another are one text, as they are to a model.
fn content(parts: &[Part]) -> Value {
    let mut content: Vec<Value> = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => match content.last_mut() {
                Some(Value::String(before)) => before.push_str(text),
                _ => content.push(json!(text)),
            },
            Part::Image(Image::Url(url)) => content.push(json!({ "url": url })),
            Part::Image(Image::Data { media_type, base64 }) => {
                content.push(json!({ "media_type": media_type, "base64": base64 }));
            }
            _ => {}
        }
    }
    content.into()
}

fn call(call: &ToolCall) -> Value {
    json!({ "id": call.id, "name": call.name, "arguments": arguments(call) })
}

/// No arguments at all are an empty object, as adapters send them.
pub(super) fn arguments(call: &ToolCall) -> &str {
    if call.arguments.trim().is_empty() { "{}" } else { &call.arguments }
}

fn tool(tool: &ToolSpec) -> Value {
    json!({ "name": tool.name, "description": tool.description, "parameters": tool.parameters })
}

/// JSON without white space and with sorted fields, whatever order the build keeps them in.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(name, value)| format!("{}:{}", json!(name), sorted(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use statewright_nodes_ports::{Reasoning, ToolResult};

    use super::*;

    fn hash(request: &ChatRequest) -> String {
        request_hash(&ModelId::new("m").unwrap(), request)
    }

    #[test]
    fn a_recorded_hash_stays_what_it_is() {
        let request =
            ChatRequest { temperature: Some(0.7), ..ChatRequest::new([Message::user("Grüß dich")]) };
        let model = ModelId::new("m").unwrap();
        assert_eq!(
            sorted(&canonical(&model, &request)),
            r#"{"messages":[{"content":["Grüß dich"],"role":"user"}],"model":"m","temperature":"0.7"}"#
        );
        assert_eq!(hash(&request), "e3da0eda969ec13e1d56d6376bddd4ab2731ed3627ea6680451c4ee5c64dfead");
    }

    #[test]
    fn what_the_model_does_not_see_makes_no_difference() {
        let plain = ChatRequest::new([Message::user("ab")]);
        let mut other = ChatRequest {
            purpose: Some("write".into()),
            idempotency_key: Some("k".into()),
            prompt_version: Some("v".into()),
            cache_prefixes: vec![1],
            ..plain.clone()
        };
        other.messages[0].parts = vec![
            Part::Text("a".into()),
            Part::Reasoning(Reasoning::default()),
            Part::Text(String::new()),
            Part::Text("b".into()),
        ];
        assert_eq!(hash(&plain), hash(&other));
        let result = |id: &str, is_error| ToolResult {
            call_id: id.into(),
            name: "t".into(),
            content: "1".into(),
            is_error,
        };
        let one = Message::tool_result(result("a", true));
        let two = Message::tool_result(result("b", false));
        let both = Message { role: Role::Tool, parts: [one.parts.clone(), two.parts.clone()].concat() };
        assert_eq!(hash(&ChatRequest::new([one, two])), hash(&ChatRequest::new([both])));
    }

    #[test]
    fn what_the_model_sees_makes_a_difference() {
        let plain = || ChatRequest::new([Message::user("ab")]);
        let tool = ToolSpec { name: "t".into(), description: String::new(), parameters: json!({}) };
        let others = [
            ChatRequest::new([Message::user("abc")]),
            ChatRequest::new([Message::system("ab")]),
            ChatRequest::new([Message::user("a"), Message::user("b")]),
            ChatRequest { temperature: Some(0.0), ..plain() },
            ChatRequest { max_output_tokens: Some(1), ..plain() },
            ChatRequest { tools: vec![tool.clone()], ..plain() },
            ChatRequest { tool_choice: ToolChoice::Required, ..plain() },
            ChatRequest { tools: vec![tool], parallel_tool_calls: Some(false), ..plain() },
            ChatRequest { stop: vec!["x".into()], ..plain() },
            ChatRequest { seed: Some(1), ..plain() },
            ChatRequest { extra_body: [("top_p".to_owned(), json!(0.5))].into_iter().collect(), ..plain() },
            ChatRequest {
                output: Some(statewright_nodes_ports::OutputSchema { name: "o".into(), schema: json!({}) }),
                ..plain()
            },
        ];
        let mut hashes: Vec<String> = others.iter().map(hash).chain([hash(&plain())]).collect();
        hashes.push(request_hash(&ModelId::new("n").unwrap(), &plain()));
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), others.len() + 2);
    }
}
