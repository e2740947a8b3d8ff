//! However the bytes of an answer are split on their way, one and the same message comes out; and whatever the bytes are,
//! nothing panics and nothing grows without bound.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::collections::VecDeque;

use proptest::prelude::*;
use statewright_nodes_models::{
    anthropic::Messages,
    endpoint::{EVENT_BYTES_MAX, EventReader, Protocol, SseParser},
    openai::ChatCompletions,
};
use statewright_nodes_ports::{
    ChatFold, ChatRequest, ChatResponse, FinishReason, ModelError, ModelId, Reasoning, ToolCall, Usage,
};

const CHAT_COMPLETIONS: &str = concat!(
    ": keep-alive\r\n\r\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"Überlegen 🙂 \"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"fertig\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"150 × 2 = \"}}]}\r\r",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"300 € 李\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"calculator\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"e\\\":\\\"1 × \"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"search\",\"arguments\":\"{\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1\\\"}\"}},{\"index\":1,\"function\":{\"arguments\":\"}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":117,\"completion_tokens\":25,\"prompt_tokens_details\":{\"cached_tokens\":100}}}\n\n",
    "data: [DONE]\n\n",
);

const MESSAGES: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":17,\"cache_read_input_tokens\":100,\"cache_creation_input_tokens\":0,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
    "event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Überlegen 🙂 fertig\"}}\r\n\r\n",
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"SIG==\"}}\n\n",
    "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\r\r",
    "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"150 × 2 = \"}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"300 € 李\"}}\n\n",
    "data: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"calculator\",\"input\":{}}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"e\\\":\\\"1 × \"}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1\\\"}\"}}\n\n",
    "data: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"search\",\"input\":{}}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":25}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

/// The message of these pieces.
fn message<'a, P: Protocol>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<ChatResponse, ModelError> {
    let mut parser = SseParser::default();
    let mut reader = P::reader(&ChatRequest::default());
    let mut fold = ChatFold::new(ModelId::new("m").unwrap());
    let mut deltas = VecDeque::new();
    for piece in pieces {
        parser.push(piece)?;
        while let Some(data) = parser.next_event() {
            let over = reader.read(&data, &mut deltas)?;
            deltas.drain(..).try_for_each(|delta| fold.push(delta))?;
            if over {
                return fold.finish();
            }
        }
    }
    fold.finish()
}

fn expected(signature: Option<&str>) -> ChatResponse {
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let signature = signature.map(str::to_owned);
    ChatResponse {
        text: "150 × 2 = 300 € 李".to_owned(),
        tool_calls: vec![call("a", "calculator", r#"{"e":"1 × 1"}"#), call("b", "search", "{}")],
        reasoning: vec![Reasoning { text: "Überlegen 🙂 fertig".to_owned(), signature, redacted: None }],
        usage: Some(Usage {
            input_tokens: 117,
            cached_input_tokens: 100,
            output_tokens: 25,
            ..Usage::default()
        }),
        finish: FinishReason::ToolCalls,
        model: ModelId::new("m").unwrap(),
    }
}

/// The bytes, cut at these places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    places.iter().map(|&end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

#[test]
fn single_bytes_and_the_whole_give_the_same_message() {
    let each = |text: &'static str| [text.as_bytes().chunks(1).collect::<Vec<_>>(), vec![text.as_bytes()]];
    for pieces in each(CHAT_COMPLETIONS) {
        assert_eq!(message::<ChatCompletions>(pieces), Ok(expected(None)));
    }
    for pieces in each(MESSAGES) {
        assert_eq!(message::<Messages>(pieces), Ok(expected(Some("SIG=="))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn ten_thousand_splittings_give_one_message(places in prop::collection::vec(any::<prop::sample::Index>(), 0..60)) {
        let (one, other) = (CHAT_COMPLETIONS.as_bytes(), MESSAGES.as_bytes());
        prop_assert_eq!(message::<ChatCompletions>(cut(one, &places)), Ok(expected(None)));
        prop_assert_eq!(message::<Messages>(cut(other, &places)), Ok(expected(Some("SIG=="))));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_within_bounds(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        for result in [message::<ChatCompletions>(cut(&bytes, &places)), message::<Messages>(cut(&bytes, &places))] {
            prop_assert!(result.is_err(), "noise is no message: {result:?}");
        }
    }

    #[test]
    fn damaged_answers_are_read_without_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for (text, is_messages) in [(CHAT_COMPLETIONS, false), (MESSAGES, true)] {
            let mut bytes = text.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let pieces = [bytes.as_slice()];
            let result = if is_messages { message::<Messages>(pieces) } else { message::<ChatCompletions>(pieces) };
            if let Err(error) = result {
                prop_assert!(error.to_string().len() < 8 * 1024, "{error}");
            }
        }
    }
}

#[test]
fn an_endless_event_is_refused_when_it_is_too_long() {
    let piece = vec![b'x'; 64 * 1024];
    let mut parser = SseParser::default();
    let refused = (0..1_000).position(|_| parser.push(&piece).is_err());
    assert_eq!(refused, Some(EVENT_BYTES_MAX / piece.len()));
}
