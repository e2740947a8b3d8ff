//! From streamed JSON chunks to deltas. Pure.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;
use statewright_nodes_ports::{ChatDelta, FinishReason, ModelError, Reasoning, Usage, body_excerpt};

use crate::endpoint::{
    EventReader,
    protocol::{not_an_event, reported},
};

/// Reads the chunks of one answer.
#[derive(Debug, Default)]
pub struct Chunks {
    finished: bool,
    /// The model said something in place of an answer.
    refused: bool,
}

impl EventReader for Chunks {
    fn read(&mut self, data: &str, deltas: &mut VecDeque<ChatDelta>) -> Result<bool, ModelError> {
        if data.trim() == "[DONE]" {
            if !self.finished {
                // Some servers never give a reason; the end marker says that the answer is whole.
                deltas.push_back(ChatDelta::Finish(self.judged(FinishReason::Stop)));
            }
            return Ok(true);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| not_an_event(&error, data))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(reported(&error));
        }
        if chunk.choices.is_none() && chunk.usage.is_none() {
            let detail =
                format!("an event of the stream has neither choices nor usage: {}", body_excerpt(data));
            return Err(ModelError::Protocol { detail });
        }
        // We ask for one choice; a server that sends more does not get them mixed into one text.
        for choice in chunk.choices.unwrap_or_default().into_iter().filter(|choice| choice.index == 0) {
            self.push_choice(choice, deltas);
        }
        deltas.extend(chunk.usage.map(|usage| ChatDelta::Usage(usage.into())));
        Ok(false)
    }
}

impl Chunks {
    fn push_choice(&mut self, choice: Choice, deltas: &mut VecDeque<ChatDelta>) {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(delta) = choice.delta {
            // Servers that send both names send the same under them.
            let thought = some(delta.reasoning_content).or_else(|| some(delta.reasoning));
            deltas
                .extend(thought.map(|text| ChatDelta::Reasoning(Reasoning { text, ..Reasoning::default() })));
            deltas.extend(some(delta.content).map(ChatDelta::Text));
            // A refusal is what the model says instead of an answer, so it is text to the reader.
            let refusal = some(delta.refusal);
            self.refused |= refusal.is_some();
            deltas.extend(refusal.map(ChatDelta::Text));
            for call in delta.tool_calls.unwrap_or_default() {
                let (name, arguments) = call.function.map_or((None, None), |f| (f.name, f.arguments));
                let arguments = arguments.unwrap_or_default();
                deltas.push_back(ChatDelta::ToolCall { index: call.index, id: call.id, name, arguments });
            }
        }
        if let Some(reason) = choice.finish_reason {
            self.finished = true;
            deltas.push_back(ChatDelta::Finish(self.judged(finish(reason))));
        }
    }

    /// Servers say of a refusal that the model stopped.
    fn judged(&self, reason: FinishReason) -> FinishReason {
        if self.refused && reason == FinishReason::Stop { FinishReason::ContentFilter } else { reason }
    }
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
    reasoning_content: Option<String>,
    reasoning: Option<String>,
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

#[cfg(test)]
mod tests {
    use statewright_nodes_ports::ErrorClass;

    use super::*;

    fn deltas(data: &str) -> Result<Vec<ChatDelta>, ModelError> {
        let mut deltas = VecDeque::new();
        Chunks::default().read(data, &mut deltas)?;
        Ok(deltas.into())
    }

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
            (
                r#"{"choices":[{"delta":{"refusal":"No."},"finish_reason":"stop"}]}"#,
                vec![text("No."), ChatDelta::Finish(FinishReason::ContentFilter)],
            ),
            (
                r#"{"choices":[{"delta":{"reasoning_content":"hm","reasoning":"hm","content":""}}]}"#,
                vec![ChatDelta::Reasoning(Reasoning { text: "hm".into(), ..Reasoning::default() })],
            ),
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
