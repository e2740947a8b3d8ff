//! Ids, messages, usage and errors: what goes in comes out, and bad input is refused.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use statewright_nodes_ports::{
    BODY_BYTES_MAX, BoxFuture, ChatDelta, ChatModel, ChatRequest, ChatStream, ErrorClass, FinishReason,
    Message, ModelError, ModelId, Part, ToolCall, ToolResult, Usage, body_excerpt,
};

#[test]
fn model_ids_fail_closed() {
    for good in ["m", "gpt-4.1-mini", "openai/gpt_4@2024:latest", &"x".repeat(200)] {
        assert_eq!(ModelId::new(good).unwrap().as_str(), good);
    }
    for bad in ["", " m", "m\n", "gpt 4", "modèle", "a\u{0}b", "a\\b", "m?x=1", &"x".repeat(201)] {
        let error = ModelId::new(bad).unwrap_err();
        assert_eq!((error.code(), error.class()), ("SW-P501", ErrorClass::Permanent), "{bad:?}");
        assert!(!error.to_string().contains(char::is_control), "{bad:?}: {error}");
        assert!(serde_json::from_value::<ModelId>(bad.into()).is_err(), "{bad:?}");
    }
}

#[test]
fn messages_join_text_and_keep_calls_and_results() {
    let call = ToolCall { id: "1".into(), name: "calculator".into(), arguments: "{\"e\":\"2+2\"}".into() };
    let message = Message::assistant_calls("", [call.clone()]);
    assert_eq!((message.text().as_ref(), message.parts.len()), ("", 1));
    assert_eq!(message.tool_calls().collect::<Vec<_>>(), [&call]);
    assert_eq!(call.arguments_json().unwrap()["e"], "2+2");
    assert_eq!(
        ToolCall { arguments: " ".into(), ..call.clone() }.arguments_json().unwrap(),
        serde_json::json!({})
    );
    assert!(ToolCall { arguments: "{".into(), ..call }.arguments_json().is_err());

    let many = Message { parts: ["a", "b", "c"].map(|t| Part::Text(t.into())).to_vec(), ..Message::user("") };
    assert_eq!(many.text(), "abc");

    let result = ToolResult { call_id: "1".into(), name: "t".into(), content: "4".into(), is_error: false };
    let request =
        ChatRequest::new([Message::user("first"), Message::user("second"), Message::tool_result(result)]);
    assert_eq!(request.last_user_text(), "second");
    let json = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<ChatRequest>(&json).unwrap(), request);
}

#[test]
fn body_excerpts_are_bounded_single_lines() {
    assert_eq!(body_excerpt("  \n"), "(no body)");
    assert_eq!(body_excerpt("<b>no\u{1b}[31m\r\nway</b>"), "<b>no [31m way</b>");
    assert_eq!(body_excerpt(&"é".repeat(3000)).len(), BODY_BYTES_MAX);
}

#[test]
fn errors_have_codes_classes_and_waits() {
    let status = |status| ModelError::Status {
        endpoint: "http://h/v1".into(),
        status,
        retry_after: Some(Duration::from_secs(2)),
        body: "b".into(),
    };
    for transient in [408, 425, 500, 502, 503, 504, 529] {
        assert_eq!(status(transient).class(), ErrorClass::Transient, "{transient}");
    }
    for permanent in [400, 404, 409, 413, 422, 501] {
        assert_eq!(status(permanent).class(), ErrorClass::Permanent, "{permanent}");
    }
    assert_eq!(status(503).retry_after(), Some(Duration::from_secs(2)));
    let limited =
        ModelError::RateLimited { retry_after: Some(Duration::from_millis(1500)), body: "slow".into() };
    assert_eq!(
        limited.to_string(),
        "the model endpoint limits the rate (HTTP 429) and asks to wait 1.5 s: slow; wait, or lower the number of parallel calls"
    );
}

/// A model that plays one list of deltas.
struct Fixed(ModelId, Vec<Result<ChatDelta, ModelError>>);

impl ChatModel for Fixed {
    fn id(&self) -> &ModelId {
        &self.0
    }

    fn stream(&self, _request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        let deltas = self.1.clone();
        Box::pin(async move { Ok(stream::iter(deltas).boxed()) })
    }
}

#[test]
fn complete_folds_the_stream_and_stops_at_its_first_error() {
    let model = |deltas| -> Box<dyn ChatModel> { Box::new(Fixed(ModelId::new("fixed").unwrap(), deltas)) };
    let complete = |deltas| model(deltas).complete(ChatRequest::default()).now_or_never().unwrap();
    let text = |text: &str| Ok(ChatDelta::Text(text.into()));
    let finish = || Ok(ChatDelta::Finish(FinishReason::Stop));

    assert_eq!(complete(vec![text("a"), text("b"), finish()]).unwrap().text, "ab");
    let broken = ModelError::Transport { detail: "reset".into() };
    assert_eq!(complete(vec![text("a"), Err(broken.clone()), finish()]), Err(broken));
    assert_eq!(complete(vec![finish()]).unwrap_err().code(), "SW-P508");
}

proptest! {
    #[test]
    fn accepted_ids_are_exactly_the_safe_ones(id in "\\PC{0,12}|[A-Za-z0-9._/@:-]{1,210}") {
        let safe = (1..=200).contains(&id.chars().count())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "._/@:-".contains(c));
        prop_assert_eq!(ModelId::new(id).is_ok(), safe);
    }

    #[test]
    fn excerpts_never_exceed_the_limit(piece in prop::collection::vec(any::<char>(), 0..40), times in 0_usize..200) {
        let excerpt = body_excerpt(&String::from_iter(piece).repeat(times));
        prop_assert!(excerpt.len() <= BODY_BYTES_MAX);
        prop_assert!(!excerpt.contains(char::is_control));
    }

    #[test]
    fn usage_sums_do_not_depend_on_grouping(a in any::<[u64; 5]>(), b in any::<[u64; 5]>(), c in any::<[u64; 5]>()) {
        let usage = |counts: [u64; 5]| {
            let [input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens] = counts;
            Usage { input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens }
        };
        let (a, b, c) = (usage(a), usage(b), usage(c));
        prop_assert_eq!((a + b) + c, [a, b, c].into_iter().sum());
        prop_assert_eq!(a + b, b + a);
    }
}
