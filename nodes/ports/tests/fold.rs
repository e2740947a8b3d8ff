//! The fold from deltas to a response: any chunking of text and tool calls comes to the same answer.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use proptest::prelude::*;
use statewright_nodes_ports::{
    ANSWER_BYTES_MAX, ChatDelta, ChatFold, ChatResponse, ErrorClass, FinishReason, ModelError, ModelId,
    Reasoning, TOOL_CALLS_MAX, ToolCall, Usage,
};

fn model() -> ModelId {
    ModelId::new("test/model").unwrap()
}

fn fold(deltas: impl IntoIterator<Item = ChatDelta>) -> Result<ChatResponse, ModelError> {
    let mut fold = ChatFold::new(model());
    for delta in deltas {
        fold.push(delta)?;
    }
    fold.finish()
}

fn call(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> ChatDelta {
    ChatDelta::ToolCall {
        index,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    }
}

fn text(text: &str) -> ChatDelta {
    ChatDelta::Text(text.to_owned())
}

#[test]
fn text_usage_and_finish_are_collected() {
    let usage = Usage { input_tokens: 5, output_tokens: 2, ..Usage::default() };
    let answer =
        fold([text("a"), text(" b"), ChatDelta::Finish(FinishReason::Stop), ChatDelta::Usage(usage)]);
    let expected = ChatResponse {
        text: "a b".to_owned(),
        tool_calls: vec![],
        reasoning: vec![],
        usage: Some(usage),
        finish: FinishReason::Stop,
        model: model(),
    };
    assert_eq!(answer, Ok(expected));
}

#[test]
fn a_stretch_of_reasoning_goes_on_until_it_is_sealed() {
    let thought = |text: &str, signature: Option<&str>| {
        let signature = signature.map(str::to_owned);
        ChatDelta::Reasoning(Reasoning { text: text.to_owned(), signature, redacted: None })
    };
    let hidden = Reasoning { redacted: Some("c1ph3r".to_owned()), ..Reasoning::default() };
    let answer = fold([
        thought("first ", None),
        thought("thought", None),
        thought("", Some("seal")),
        ChatDelta::Reasoning(hidden.clone()),
        thought("second", None),
        text("answer"),
        ChatDelta::Finish(FinishReason::Stop),
    ])
    .unwrap();
    let open = |text: &str, signature: Option<&str>| Reasoning {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
        redacted: None,
    };
    assert_eq!(answer.text, "answer");
    assert_eq!(answer.reasoning, [open("first thought", Some("seal")), hidden, open("second", None)]);
}

#[test]
fn unknown_usage_is_not_zero() {
    assert_eq!(fold([text("a"), ChatDelta::Finish(FinishReason::Stop)]).unwrap().usage, None);
}

#[test]
fn an_answer_without_text_and_calls_is_an_error() {
    for finish in [FinishReason::Stop, FinishReason::Length, FinishReason::ContentFilter] {
        let error = fold([text(" \n"), ChatDelta::Finish(finish.clone())]).unwrap_err();
        assert_eq!(error.code(), "SW-P508");
        let class = if finish == FinishReason::Stop { ErrorClass::Transient } else { ErrorClass::Permanent };
        assert_eq!(error.class(), class, "{finish:?}");
    }
}

#[test]
fn an_answer_without_a_finish_is_a_transport_error() {
    let error = fold([text("half an ans")]).unwrap_err();
    assert_eq!((error.code(), error.class()), ("SW-P506", ErrorClass::Transient));
}

#[test]
fn parallel_calls_with_one_index_and_their_own_ids_stay_apart() {
    let answer = fold([
        call(0, Some("a"), Some("calculator"), "{\"e\":"),
        call(0, None, None, "1}"),
        call(0, Some("b"), Some("docs_search"), "{}"),
        ChatDelta::Finish(FinishReason::ToolCalls),
    ])
    .unwrap();
    let shown: Vec<_> =
        answer.tool_calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.as_str())).collect();
    assert_eq!(shown, [("a", "calculator", "{\"e\":1}"), ("b", "docs_search", "{}")]);
}

#[test]
fn a_repeated_id_does_not_make_a_second_call() {
    let answer = fold([
        call(0, Some("a"), Some("t"), "{"),
        call(0, Some("a"), Some("t"), "}"),
        ChatDelta::Finish(FinishReason::ToolCalls),
    ]);
    assert_eq!(
        answer.unwrap().tool_calls,
        [ToolCall { id: "a".into(), name: "t".into(), arguments: "{}".into() }]
    );
}

#[test]
fn a_call_without_an_id_gets_one_and_a_call_without_a_name_is_refused() {
    let done = || ChatDelta::Finish(FinishReason::ToolCalls);
    assert_eq!(fold([call(0, None, Some("t"), ""), done()]).unwrap().tool_calls[0].id, "call_0");
    assert_eq!(fold([call(0, Some("a"), None, "{}"), done()]).unwrap_err().code(), "SW-P507");
    assert_eq!(fold([call(0, Some("a"), Some(""), "{}"), done()]).unwrap_err().code(), "SW-P507");
}

#[test]
fn an_answer_is_bounded() {
    let mut fold = ChatFold::new(model());
    assert_eq!(fold.push(text(&"x".repeat(ANSWER_BYTES_MAX))), Ok(()));
    assert_eq!(fold.push(call(0, None, None, "x")).unwrap_err().code(), "SW-P507");

    let mut fold = ChatFold::new(model());
    for index in 0..u32::try_from(TOOL_CALLS_MAX).unwrap() {
        assert_eq!(fold.push(call(index, None, Some("t"), "")), Ok(()));
    }
    assert_eq!(fold.push(call(u32::MAX, None, Some("t"), "")).unwrap_err().code(), "SW-P507");
}

proptest! {
    #[test]
    fn any_chunking_gives_exactly_one_call_each(
        calls in prop::collection::vec(("[a-z]{1,8}", "[a-z_]{1,8}", prop::collection::vec("[ -~é×]{0,5}", 0..6)), 1..6),
        order in any::<prop::sample::Index>(),
    ) {
        // Fragments of different calls interleave; those of one call keep their order.
        let mut queues: Vec<Vec<ChatDelta>> = calls.iter().enumerate().map(|(index, (id, name, fragments))| {
            let index = u32::try_from(index).unwrap();
            let first = call(index, Some(&format!("{id}{index}")), Some(name), "");
            std::iter::once(first).chain(fragments.iter().map(|f| call(index, None, None, f))).rev().collect()
        }).collect();
        // The first fragments come in order, as providers send them.
        let mut deltas: Vec<ChatDelta> = queues.iter_mut().filter_map(Vec::pop).collect();
        let mut turn = order.index(queues.len());
        while queues.iter().any(|queue| !queue.is_empty()) {
            turn = (turn + 1) % queues.len();
            deltas.extend(queues[turn].pop());
        }
        deltas.push(ChatDelta::Finish(FinishReason::ToolCalls));

        let answer = fold(deltas).unwrap();
        let expected: Vec<ToolCall> = calls.iter().enumerate().map(|(index, (id, name, fragments))| {
            ToolCall { id: format!("{id}{index}"), name: name.clone(), arguments: fragments.concat() }
        }).collect();
        prop_assert_eq!(answer.tool_calls, expected);
    }
}
