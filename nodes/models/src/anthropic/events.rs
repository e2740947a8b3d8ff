//! From the streamed events of Messages to deltas. Pure.

use std::{borrow::Cow, collections::VecDeque};

use serde::Deserialize;
use serde_json::Value;
use statewright_nodes_ports::{ChatDelta, FinishReason, ModelError, Reasoning, Usage, body_excerpt};

use crate::endpoint::{
    EventReader,
    protocol::{not_an_event, reported},
};

/// Reads the events of one answer.
#[derive(Debug, Default)]
pub struct Events {
    /// The tool whose input is the answer's text.
    output: Option<String>,
    /// Its block, once it has begun.
    output_block: Option<u32>,
    /// Text beside an answer of a given form: the answer itself if no such tool is called, and otherwise only talk.
    beside: String,
    /// Blocks of tool calls, by their index, in the order in which they began.
    calls: Vec<u32>,
    usage: Option<WireUsage>,
}

impl Events {
    /// A reader for an answer; `output` names the tool whose input is its text.
    pub(super) fn new(output: Option<String>) -> Self {
        Self { output, ..Self::default() }
    }

    fn begin(&mut self, index: u32, block: Block, deltas: &mut VecDeque<ChatDelta>) {
        match block {
            Block::Text { text } => self.push_text(text, deltas),
            Block::Thinking { thinking, signature } => {
                let signature = signature.filter(|signature| !signature.is_empty());
                if !thinking.is_empty() || signature.is_some() {
                    deltas.push_back(ChatDelta::Reasoning(Reasoning {
                        text: thinking,
                        signature,
                        redacted: None,
                    }));
                }
            }
            Block::RedactedThinking { data } => {
                let hidden = Reasoning { redacted: Some(data), ..Reasoning::default() };
                deltas.push_back(ChatDelta::Reasoning(hidden));
            }
            Block::ToolUse { id, name, input } => {
                // The input follows in fragments; only a server that does not stream it gives it at once.
                let whole = input.as_object().is_some_and(|input| !input.is_empty());
                let arguments = if whole { input.to_string() } else { String::new() };
                if self.output.as_ref() == Some(&name) && self.output_block.is_none() {
                    self.output_block = Some(index);
                    deltas.extend((!arguments.is_empty()).then_some(ChatDelta::Text(arguments)));
                } else {
                    let (id, name) = (Some(id), Some(name));
                    deltas.push_back(ChatDelta::ToolCall {
                        index: self.calls.len() as u32,
                        id,
                        name,
                        arguments,
                    });
                    self.calls.push(index);
                }
            }
            Block::Other => {}
        }
    }

    fn go_on(&mut self, index: u32, delta: Delta<'_>, deltas: &mut VecDeque<ChatDelta>) {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let thought = |text, signature| ChatDelta::Reasoning(Reasoning { text, signature, redacted: None });
        match &*delta.kind {
            "text_delta" => self.push_text(delta.text.unwrap_or_default(), deltas),
            "thinking_delta" => deltas.extend(some(delta.thinking).map(|text| thought(text, None))),
            "signature_delta" => {
                deltas.extend(some(delta.signature).map(|seal| thought(String::new(), Some(seal))));
            }
            "input_json_delta" => self.push_input(index, some(delta.partial_json), deltas),
            _ => {}
        }
    }

    fn push_input(&mut self, block: u32, more: Option<String>, deltas: &mut VecDeque<ChatDelta>) {
        let Some(arguments) = more else { return };
        if self.output_block == Some(block) {
            deltas.push_back(ChatDelta::Text(arguments));
        } else if let Some(place) = self.calls.iter().rposition(|call| *call == block) {
            deltas.push_back(ChatDelta::ToolCall { index: place as u32, id: None, name: None, arguments });
        }
    }

    fn push_text(&mut self, text: String, deltas: &mut VecDeque<ChatDelta>) {
        if self.output.is_some() {
            self.beside.push_str(&text);
        } else if !text.is_empty() {
            deltas.push_back(ChatDelta::Text(text));
        }
    }

    /// The message is whole: why it ended, and what it cost.
    fn end(&mut self, reason: Option<String>, usage: Option<WireUsage>, deltas: &mut VecDeque<ChatDelta>) {
        if let Some(usage) = usage {
            let told = self.usage.get_or_insert_default();
            told.update(usage);
            deltas.push_back(ChatDelta::Usage((*told).into()));
        }
        let Some(reason) = reason else { return };
        let beside = std::mem::take(&mut self.beside);
        if self.output_block.is_none() && !beside.is_empty() {
            deltas.push_back(ChatDelta::Text(beside));
        }
        deltas.push_back(ChatDelta::Finish(match reason.as_str() {
            "end_turn" | "stop_sequence" => FinishReason::Stop,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "tool_use" if self.calls.is_empty() && self.output_block.is_some() => FinishReason::Stop,
            "tool_use" => FinishReason::ToolCalls,
            "refusal" => FinishReason::ContentFilter,
            _ => FinishReason::Other(reason),
        }));
    }
}

impl EventReader for Events {
    fn read(&mut self, data: &str, deltas: &mut VecDeque<ChatDelta>) -> Result<bool, ModelError> {
        let event: Event<'_> = serde_json::from_str(data).map_err(|error| not_an_event(&error, data))?;
        match (&*event.kind, event.index, event.delta) {
            ("content_block_delta", Some(index), Some(delta)) => self.go_on(index, delta, deltas),
            ("content_block_delta", ..) => {
                let detail = format!("a delta of the stream belongs to no block: {}", body_excerpt(data));
                return Err(ModelError::Protocol { detail });
            }
            ("content_block_start", index, _) => {
                if let (Some(index), Some(block)) = (index, event.content_block) {
                    self.begin(index, block, deltas);
                }
            }
            ("message_start", ..) => self.usage = event.message.and_then(|message| message.usage),
            ("message_delta", _, delta) => {
                self.end(delta.and_then(|delta| delta.stop_reason), event.usage, deltas);
            }
            ("message_stop", ..) => return Ok(true),
            ("error", ..) => return Err(reported(&event.error.unwrap_or_default())),
            // Kinds that are not known are skipped: the protocol may add some at any time.
            _ => {}
        }
        Ok(false)
    }
}

/// The fields of all kinds of events in one, which is read in one pass.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    index: Option<u32>,
    delta: Option<Delta<'a>>,
    content_block: Option<Block>,
    message: Option<Started>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

/// The fields of all kinds of deltas, of which one has one.
#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Started {
    usage: Option<WireUsage>,
}

/// Kinds that are not known are skipped, with all their deltas.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
        signature: Option<String>,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

/// What was told last counts: the numbers of later events are those of the whole message.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct WireUsage {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl WireUsage {
    fn update(&mut self, later: Self) {
        let Self { input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens } =
            later;
        self.input_tokens = input_tokens.or(self.input_tokens);
        self.cache_read_input_tokens = cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens = cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.output_tokens = output_tokens.or(self.output_tokens);
    }
}

/// The wire counts cached tokens beside the input, ours counts them in.
impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Self {
        let (read, written) =
            (usage.cache_read_input_tokens.unwrap_or(0), usage.cache_creation_input_tokens.unwrap_or(0));
        Self {
            input_tokens: usage.input_tokens.unwrap_or(0).saturating_add(read).saturating_add(written),
            cached_input_tokens: read,
            cache_write_tokens: written,
            output_tokens: usage.output_tokens.unwrap_or(0),
            reasoning_tokens: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use statewright_nodes_ports::{ChatFold, ChatResponse, ErrorClass, ModelId};

    use super::*;

    const START: &str = r#"{"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":100,"cache_creation_input_tokens":7,"output_tokens":1}}}"#;

    fn read(output: Option<&str>, events: &[&str]) -> Result<ChatResponse, ModelError> {
        let mut reader = Events::new(output.map(str::to_owned));
        let mut fold = ChatFold::new(ModelId::new("m").unwrap());
        let mut deltas = VecDeque::new();
        for (place, event) in events.iter().enumerate() {
            let over = reader.read(event, &mut deltas)?;
            assert_eq!(over, place + 1 == events.len() && event.contains("message_stop"), "{event}");
        }
        deltas.into_iter().try_for_each(|delta| fold.push(delta))?;
        fold.finish()
    }

    fn ended(reason: &str) -> String {
        format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":25}}}}"#
        )
    }

    #[test]
    fn a_whole_answer_with_thinking_text_and_two_calls() {
        let response = read(None, &[
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":" see."}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"SIG"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"XYZ"}}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"I look."}}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"a","name":"t","input":{}}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}"#,
            r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"b","name":"u","input":{"y":2}}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
            r#"{"type":"content_block_start","index":5,"content_block":{"type":"server_tool_use","id":"c"}}"#,
            r#"{"type":"content_block_delta","index":5,"delta":{"type":"citations_delta"}}"#,
            r#"{"type":"something_later"}"#,
            &ended("tool_use"),
            r#"{"type":"message_stop"}"#,
        ]).unwrap();
        let stretch = |text: &str, signature: Option<&str>, redacted: Option<&str>| Reasoning {
            text: text.into(),
            signature: signature.map(str::to_owned),
            redacted: redacted.map(str::to_owned),
        };
        assert_eq!(
            response.reasoning,
            [stretch("Let me see.", Some("SIG"), None), stretch("", None, Some("XYZ"))]
        );
        assert_eq!((response.text.as_str(), response.finish), ("I look.", FinishReason::ToolCalls));
        let calls: Vec<_> = response.tool_calls.iter().map(|c| (&*c.id, &*c.name, &*c.arguments)).collect();
        assert_eq!(calls, [("a", "t", "{\"x\":1}"), ("b", "u", "{\"y\":2}")]);
        let usage = Usage {
            input_tokens: 117,
            cached_input_tokens: 100,
            cache_write_tokens: 7,
            output_tokens: 25,
            reasoning_tokens: 0,
        };
        assert_eq!(response.usage, Some(usage));
    }

    #[test]
    fn why_it_stopped() {
        let text = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;
        for (word, reason) in [
            ("end_turn", FinishReason::Stop),
            ("stop_sequence", FinishReason::Stop),
            ("max_tokens", FinishReason::Length),
            ("tool_use", FinishReason::ToolCalls),
            ("refusal", FinishReason::ContentFilter),
            ("pause_turn", FinishReason::Other("pause_turn".into())),
        ] {
            assert_eq!(read(None, &[START, text, &ended(word)]).unwrap().finish, reason);
        }
    }

    #[test]
    fn the_input_of_the_output_tool_is_the_text() {
        let talk =
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Here it is:"}}"#;
        let tool = r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"o","input":{}}}"#;
        let json = r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#;
        let answer = read(Some("o"), &[START, talk, tool, json, &ended("tool_use")]).unwrap();
        assert_eq!((answer.text.as_str(), answer.finish), ("{\"a\":1}", FinishReason::Stop));
        assert!(answer.tool_calls.is_empty());
        let without = read(Some("o"), &[START, talk, &ended("end_turn")]).unwrap();
        assert_eq!(without.text, "Here it is:", "a model that calls no tool is judged by its text");
    }

    #[test]
    fn errors_and_what_is_no_event() {
        for (event, code, class) in [
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                "SW-P511",
                ErrorClass::Transient,
            ),
            (
                r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#,
                "SW-P511",
                ErrorClass::Transient,
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"m"}}"#,
                "SW-P511",
                ErrorClass::Permanent,
            ),
            ("{", "SW-P507", ErrorClass::Permanent),
            ("[]", "SW-P507", ErrorClass::Permanent),
            ("{}", "SW-P507", ErrorClass::Permanent),
            (r#"{"choices":[]}"#, "SW-P507", ErrorClass::Permanent),
            (r#"{"type":"content_block_delta","index":0,"delta":7}"#, "SW-P507", ErrorClass::Permanent),
        ] {
            let error = read(None, &[event]).unwrap_err();
            assert_eq!((error.code(), error.class()), (code, class), "{event}");
        }
    }
}
