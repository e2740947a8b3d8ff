//! The scripted model: order, purposes, counts, witness file.

use futures_util::{FutureExt, StreamExt};
use statewright_nodes_models::{Reply, Scripted};
use statewright_nodes_ports::{
    ChatDelta, ChatModel, ChatRequest, ChatResponse, FinishReason, Message, ModelError, ToolCall, Usage,
};

fn ask(model: &Scripted, purpose: Option<&'static str>) -> Result<ChatResponse, ModelError> {
    let request = ChatRequest {
        purpose: purpose.map(Into::into),
        idempotency_key: Some("k1".to_owned()),
        ..ChatRequest::new([Message::user("Hi")])
    };
    model
        .complete(request)
        .now_or_never()
        .unwrap_or(Err(ModelError::Transport { detail: "pending".to_owned() }))
}

#[test]
fn replies_come_in_order_and_by_purpose() {
    let usage = Usage { input_tokens: 3, ..Usage::default() };
    let call = ToolCall { id: "c".into(), name: "t".into(), arguments: "{}".into() };
    let model = Scripted::new([
        Reply::text("for write").for_purpose("write"),
        Reply::text("for anyone").with_usage(usage),
        Reply::tool_calls([call.clone()]),
    ]);
    let any = ask(&model, Some("route")).unwrap();
    assert_eq!((any.text.as_str(), any.usage), ("for anyone", Some(usage)));
    assert_eq!(ask(&model, Some("write")).unwrap().text, "for write");
    assert_eq!(ask(&model, None).unwrap().tool_calls, [call]);
    assert_eq!((model.calls(), model.calls_for("write"), model.remaining()), (3, 1, 0));
    assert_eq!(model.requests()[1].purpose.as_deref(), Some("write"));

    let exhausted = ask(&model, Some("write"));
    assert_eq!(exhausted, Err(ModelError::ScriptExhausted { call: 4, purpose: "write".to_owned() }));
    model.push(Reply::text("more"));
    assert_eq!(ask(&model, None).unwrap().text, "more");
}

#[test]
fn errors_come_before_or_in_the_stream() {
    let broken = ModelError::Transport { detail: "reset".to_owned() };
    let half = Reply::deltas([Ok(ChatDelta::Text("half".to_owned())), Err(broken.clone())]);
    let no_end = Reply::deltas([Ok(ChatDelta::Text("half".to_owned()))]);
    let empty = Reply::deltas([Ok(ChatDelta::Finish(FinishReason::Stop))]);
    let model = Scripted::new([Reply::error(broken.clone()), half.clone(), half, no_end, empty]);
    assert_eq!(ask(&model, None), Err(broken.clone()));
    let stream = model.stream(ChatRequest::default()).now_or_never().unwrap().unwrap();
    let items: Vec<_> = stream.collect::<Vec<_>>().now_or_never().unwrap();
    assert_eq!(items, [Ok(ChatDelta::Text("half".to_owned())), Err(broken.clone())]);
    assert_eq!(ask(&model, None), Err(broken));
    assert_eq!(ask(&model, None).unwrap_err().code(), "SW-P506");
    assert_eq!(ask(&model, None).unwrap_err().code(), "SW-P508");
}

#[test]
fn the_witness_sees_every_call_even_failed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("witness.jsonl");
    let model = Scripted::new([Reply::text("one")]).with_witness(&path);
    assert!(ask(&model, Some("write")).is_ok());
    assert!(ask(&model, None).is_err());
    let lines = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        lines,
        "{\"call\":1,\"idempotency_key\":\"k1\",\"purpose\":\"write\"}\n{\"call\":2,\"idempotency_key\":\"k1\",\"purpose\":\"none\"}\n"
    );

    let unwritable = Scripted::new([Reply::text("one")]).with_witness(folder.path().join("no/such/folder"));
    assert_eq!(ask(&unwritable, None).unwrap_err().code(), "SW-P510");
}
