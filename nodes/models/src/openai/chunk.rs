//! From one streamed JSON chunk to deltas. Pure.

use serde::Deserialize;
use serde_json::Value;
use statewright_nodes_ports::{ChatDelta, ErrorClass, FinishReason, ModelError, Usage, body_excerpt};

/// The deltas of one event's data, in order.
pub(super) fn deltas(data: &str) -> Result<Vec<ChatDelta>, ModelError> {
    let chunk: Chunk = serde_json::from_str(data).map_err(|error| ModelError::Protocol {
        detail: format!("an event of the stream is not a JSON chunk ({error}): {}", body_excerpt(data)),
    })?;
    if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
        return Err(reported(&error));
    }
    if chunk.choices.is_none() && chunk.usage.is_none() {
        let detail = format!("an event of the stream has neither choices nor usage: {}", body_excerpt(data));
        return Err(ModelError::Protocol { detail });
    }
    let mut deltas = Vec::new();
    // We ask for one choice; a server that sends more does not get them mixed into one text.
    for choice in chunk.choices.unwrap_or_default().into_iter().filter(|choice| choice.index == 0) {
        choice.into_deltas(&mut deltas);
    }
    deltas.extend(chunk.usage.map(|usage| ChatDelta::Usage(usage.into())));
    Ok(deltas)
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallFragment>>,
}

#[derive(Deserialize)]
struct CallFragment {
    #[serde(default)]
    index: u32,
    id: Option<String>,
    function: Option<FunctionFragment>,
}

#[derive(Deserialize)]
struct FunctionFragment {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Choice {
    fn into_deltas(self, deltas: &mut Vec<ChatDelta>) {
        if let Some(delta) = self.delta {
            // A refusal is what the model says instead of an answer, so it is text to the reader.
            let texts = [delta.content, delta.refusal].into_iter().flatten().filter(|text| !text.is_empty());
            deltas.extend(texts.map(ChatDelta::Text));
            for call in delta.tool_calls.unwrap_or_default() {
                let (name, arguments) = call.function.map_or((None, None), |f| (f.name, f.arguments));
                let arguments = arguments.unwrap_or_default();
                deltas.push(ChatDelta::ToolCall { index: call.index, id: call.id, name, arguments });
            }
        }
        deltas.extend(self.finish_reason.map(|reason| ChatDelta::Finish(finish(reason))));
    }
}

impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            cached_input_tokens: usage.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0),
            cache_write_tokens: 0,
            output_tokens: usage.completion_tokens,
            reasoning_tokens: usage.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0),
        }
    }
}

fn finish(reason: String) -> FinishReason {
    match reason.as_str() {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other(reason),
    }
}

/// An error object in place of a chunk. Servers agree on neither type nor code, so both are looked at.
fn reported(error: &Value) -> ModelError {
    let field = |name: &str| match error.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let words = [field("type"), field("code"), field("status")].join(" ").to_lowercase();
    let passing = ["rate_limit", "overloaded", "server_error", "internal_error", "unavailable", "timeout"];
    let statuses = ["408", "425", "429", "500", "502", "503", "504", "529"];
    let transient = passing.iter().any(|word| words.contains(word))
        || words.split_whitespace().any(|word| statuses.contains(&word));
    let message = match error {
        Value::String(text) => text.clone(),
        _ if !field("message").is_empty() => field("message"),
        _ => error.to_string(),
    };
    let class = if transient { ErrorClass::Transient } else { ErrorClass::Permanent };
    ModelError::Reported { message: body_excerpt(&message), class }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_become_deltas() {
        let text = |t: &str| ChatDelta::Text(t.into());
        let cases = [
            (r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#, vec![]),
            (
                r#"{"choices":[{"delta":{"content":"é ×"},"finish_reason":null}],"usage":null}"#,
                vec![text("é ×")],
            ),
            (r#"{"choices":[{"index":1,"delta":{"content":"other"}}]}"#, vec![]),
            (
                r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
                vec![ChatDelta::Finish(FinishReason::Length)],
            ),
            (r#"{"choices":[{"delta":{"refusal":"No."}}]}"#, vec![text("No.")]),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":2,"id":"c","function":{"name":"t","arguments":"{"}}]}}]}"#,
                vec![ChatDelta::ToolCall {
                    index: 2,
                    id: Some("c".into()),
                    name: Some("t".into()),
                    arguments: "{".into(),
                }],
            ),
            (
                r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
                vec![ChatDelta::Usage(Usage {
                    input_tokens: 10,
                    cached_input_tokens: 4,
                    cache_write_tokens: 0,
                    output_tokens: 3,
                    reasoning_tokens: 1,
                })],
            ),
        ];
        for (data, expected) in cases {
            assert_eq!(deltas(data), Ok(expected), "{data}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_a_protocol_error() {
        for data in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            "\"text\"",
            r#"{"choices":3}"#,
            r#"{"choices":[{"delta":{"content":7}}]}"#,
        ] {
            assert_eq!(deltas(data).unwrap_err().code(), "SW-P507", "{data}");
        }
    }

    #[test]
    fn error_objects_are_classified() {
        let cases = [
            (r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#, ErrorClass::Transient),
            (r#"{"error":{"message":"m","code":503}}"#, ErrorClass::Transient),
            (r#"{"error":{"message":"m","code":"server_error"},"choices":[]}"#, ErrorClass::Transient),
            (
                r#"{"error":{"message":"m","type":"invalid_request_error","code":null}}"#,
                ErrorClass::Permanent,
            ),
            (r#"{"error":"plain words"}"#, ErrorClass::Permanent),
        ];
        for (data, class) in cases {
            let error = deltas(data).unwrap_err();
            assert_eq!((error.code(), error.class()), ("SW-P511", class), "{data}");
        }
    }
}
