//! A canary in the environment is not in any cassette.

use std::sync::Arc;

use statewright_nodes_models::cassette::{CassetteModel, Replay};
use statewright_nodes_models::{Reply, SECRET, Scripted, Scrubber};
use statewright_nodes_ports::{
    ChatDelta, ChatModel, ChatRequest, FinishReason, Message, ToolCall, ToolResult, ToolSpec,
};

use crate::{Tape, streamed};

const CANARY: &str = "canary\"of\\the-mine-0123456789";

fn scrubber() -> Scrubber {
    Scrubber::new([("SOME_API_KEY".to_owned(), CANARY.to_owned())])
}

/// A request that holds the canary wherever there is room for one.
fn request() -> ChatRequest {
    let call = ToolCall {
        id: "c".into(),
        name: "t".into(),
        arguments: serde_json::json!({ "key": CANARY }).to_string(),
    };
    let result = ToolResult {
        call_id: "c".into(),
        name: "t".into(),
        content: format!("got {CANARY}"),
        is_error: false,
    };
    ChatRequest {
        tools: vec![ToolSpec {
            name: "t".into(),
            description: format!("uses {CANARY}"),
            parameters: serde_json::json!({ "default": CANARY, CANARY: 1 }),
        }],
        idempotency_key: Some(CANARY.into()),
        stop: vec![CANARY.into()],
        extra_body: [("key".to_owned(), CANARY.into())].into_iter().collect(),
        ..ChatRequest::new([
            Message::system(format!("The key is {CANARY}.")),
            Message::user("Authorization: Bearer abcdefghijklmnop and sk-0123456789abcdefgh"),
            Message::assistant_calls("", [call]),
            Message::tool_result(result),
        ])
    }
}

#[tokio::test]
async fn a_canary_of_the_environment_is_in_no_cassette_even_if_it_is_spread_over_deltas() {
    let tape = Tape::new();
    let deltas =
        |text: &str| -> Vec<ChatDelta> { text.chars().map(|c| ChatDelta::Text(c.to_string())).collect() };
    let call = |arguments: &str, first: bool| ChatDelta::ToolCall {
        index: 0,
        id: first.then(|| "c".to_owned()),
        name: first.then(|| "t".to_owned()),
        arguments: arguments.to_owned(),
    };
    let mut answer = deltas(&format!("The key is {CANARY}, I say."));
    let arguments = serde_json::json!({ "k": CANARY }).to_string();
    let (front, back) = arguments.split_at(arguments.len() / 2);
    answer.extend([call(front, true), ChatDelta::Text(" Yes.".into()), call(back, false)]);
    answer.push(ChatDelta::Finish(FinishReason::ToolCalls));
    let script = [Reply::deltas(answer.iter().cloned().map(Ok))];
    let recording = tape.recording_of(Arc::new(Scripted::new(script)), scrubber());
    let told = streamed(&recording, request()).await;
    assert_eq!(told, answer.into_iter().map(Ok).collect::<Vec<_>>(), "only what is kept is changed");

    let kept = std::fs::read_to_string(tape.path()).unwrap();
    for secret in ["canary", "mine-0123456789", "abcdefghijklmnop", "sk-0123456789abcdefgh"] {
        assert!(!kept.contains(secret), "{secret} in {kept}");
    }
    assert!(tape.cassette().check_secrets(&scrubber()).is_ok());
    assert_eq!(tape.cassette().recordings()[0].text(), format!("The key is {SECRET}, I say. Yes."));

    let replay = Replay { scrubber: scrubber(), ..Replay::default() };
    let replayed = CassetteModel::replay(tape.cassette(), replay).unwrap().complete(request()).await.unwrap();
    assert_eq!(replayed.text, format!("The key is {SECRET}, I say. Yes."));
    assert_eq!(replayed.tool_calls[0].arguments, format!(r#"{{"k":"{SECRET}"}}"#));
    let other = ChatRequest { seed: Some(1), ..request() };
    let replay = Replay { scrubber: scrubber(), ..Replay::default() };
    let missed = CassetteModel::replay(tape.cassette(), replay).unwrap().complete(other).await.unwrap_err();
    assert!(!missed.to_string().contains("canary"), "{missed}");
}

#[tokio::test]
async fn a_secret_that_is_in_a_cassette_all_the_same_is_found_with_its_line() {
    let tape = Tape::new();
    let recording = tape.recording([Reply::text("a"), Reply::text("b"), Reply::text("c")]);
    recording.complete(crate::asking("harmless")).await.unwrap();
    recording.complete(crate::asking(&format!("it is {CANARY}"))).await.unwrap();
    assert!(
        tape.cassette().check_secrets(&Scrubber::default()).is_ok(),
        "without the environment it is any text"
    );
    let error = tape.cassette().check_secrets(&scrubber()).unwrap_err();
    assert_eq!(error.code(), "SW-P548");
    assert!(error.to_string().contains("in line 3"), "{error}");
}
