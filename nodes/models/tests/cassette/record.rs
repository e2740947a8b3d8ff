//! Recording and replaying one model.

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::json;
use statewright_nodes_models::cassette::{CassetteModel, Replay};
use statewright_nodes_models::{Reply, Scripted, Scrubber};
use statewright_nodes_ports::{
    ChatDelta, ChatModel, ChatRequest, ErrorClass, FinishReason, ModelError, ModelId, Reasoning, Usage,
};

use crate::{Tape, asking, streamed};

fn call(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> ChatDelta {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    ChatDelta::ToolCall { index, id: owned(id), name: owned(name), arguments: arguments.to_owned() }
}

#[tokio::test]
async fn a_recorded_answer_is_replayed_delta_by_delta() {
    let usage = Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() };
    let deltas = [
        ChatDelta::Reasoning(Reasoning { text: "Hm.".into(), ..Reasoning::default() }),
        ChatDelta::Text("Grüß ".into()),
        ChatDelta::Text("dich".into()),
        call(0, Some("c1"), Some("look"), ""),
        call(0, None, None, "{\"at\":"),
        call(0, None, None, " 1}"),
        ChatDelta::Finish(FinishReason::Other("paused".into())),
        ChatDelta::Usage(usage),
    ];
    let tape = Tape::new();
    let request = ChatRequest {
        purpose: Some("write".into()),
        idempotency_key: Some("k".into()),
        prompt_version: Some("0123456789ab".into()),
        temperature: Some(0.7),
        ..asking("Hello")
    };
    let recording = tape.recording([Reply::deltas(deltas.iter().cloned().map(Ok))]);
    let told = streamed(&recording, request.clone()).await;
    let expected: Vec<_> = deltas.iter().cloned().map(Ok).collect();
    assert_eq!(told, expected, "recording passes on what it keeps");
    assert_eq!(streamed(&tape.replaying(), request.clone()).await, expected);

    let cassette = tape.cassette();
    let [recorded] = cassette.recordings() else { panic!("one recording: {cassette:?}") };
    assert_eq!(recorded.request, ChatRequest { idempotency_key: None, ..request.clone() });
    assert_eq!(
        (recorded.model.as_str(), recorded.recorded_ms, recorded.usage),
        ("scripted", 1_764_115_200_000, Some(usage))
    );
    assert_eq!(tape.replaying().id().as_str(), "scripted");
    let other_work = ChatRequest { idempotency_key: Some("other".into()), purpose: None, ..request };
    assert_eq!(
        streamed(&tape.replaying(), other_work).await,
        expected,
        "what a model does not see is no difference"
    );
}

#[tokio::test]
async fn a_request_that_was_not_recorded_is_refused_with_the_difference_and_nothing_is_called() {
    let tape = Tape::new();
    let recording = tape.recording(["a", "b"].map(Reply::text));
    let ask = |purpose: &'static str, question: &str| ChatRequest {
        purpose: Some(purpose.into()),
        ..asking(question)
    };
    recording.complete(ask("write", "How long is the Nile? And the Rhine?")).await.unwrap();
    recording.complete(ask("route", "How long is the Nile? And the Elbe?")).await.unwrap();
    let error = tape
        .replaying()
        .complete(ask("write", "How long is the Nile? And the Elbe, today?"))
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.class()), ("SW-P540", ErrorClass::Permanent));
    let ModelError::NeedsRecording { cassette, problem, diff } = &error else { panic!("{error:?}") };
    assert!(cassette.ends_with("tape.jsonl"), "{cassette}");
    assert_eq!(problem, "has no recording of this request (purpose: write) among its 2");
    assert_eq!(
        diff, "  How long is the Nile?\n- And the Rhine?\n+ And the Elbe, today?",
        "the nearest of its purpose"
    );
    assert!(error.to_string().contains(diff), "{error}");

    let warmer =
        ChatRequest { temperature: Some(1.0), ..ask("write", "How long is the Nile? And the Rhine?") };
    let error = tape.replaying().complete(warmer).await.unwrap_err();
    assert!(error.to_string().contains("\n+ temperature: 1\n"), "{error}");
}

#[tokio::test]
async fn a_difference_far_behind_the_beginning_of_a_long_text_is_shown_and_bounded() {
    let tape = Tape::new();
    let long = |end: &str| format!("{}{end}", "word ".repeat(2_000));
    tape.recording([Reply::text("a")]).complete(asking(&long("one"))).await.unwrap();
    let error = tape.replaying().complete(asking(&long("two"))).await.unwrap_err().to_string();
    assert!(error.contains("one\n") && error.contains("two"), "{error}");
    let other = (0..10_000).map(|n| format!("{n}.\n")).collect::<String>();
    let error = tape.replaying().complete(asking(&other)).await.unwrap_err().to_string();
    assert!(error.contains("more lines") && error.len() < 10_000, "{}", error.len());
}

#[tokio::test]
async fn an_empty_cassette_and_another_model_are_misses() {
    let tape = Tape::new();
    drop(tape.recording([]));
    let error = tape.replaying().complete(asking("a")).await.unwrap_err();
    assert!(error.to_string().contains("among its 0; record it"), "{error}");
    tape.recording([Reply::text("a")]).complete(asking("a")).await.unwrap();
    let model = Some(ModelId::new("other").unwrap());
    let other = CassetteModel::replay(tape.cassette(), Replay { model, ..Replay::default() }).unwrap();
    let error = other.complete(asking("a")).await.unwrap_err();
    assert!(error.to_string().contains("- model: scripted\n+ model: other"), "{error}");
}

#[tokio::test]
async fn equal_requests_get_their_recordings_in_order_and_then_the_last_again() {
    let tape = Tape::new();
    let recording = tape.recording(["one", "other", "two"].map(Reply::text));
    for question in ["a", "b", "a"] {
        recording.complete(asking(question)).await.unwrap();
    }
    let replaying = tape.replaying();
    let mut texts = Vec::new();
    for question in ["a", "a", "b", "a", "b"] {
        texts.push(replaying.complete(asking(question)).await.unwrap().text);
    }
    assert_eq!(texts, ["one", "two", "other", "two", "other"]);

    let exact = CassetteModel::replay(tape.cassette(), Replay { exact: true, ..Replay::default() }).unwrap();
    for _ in 0..2 {
        exact.complete(asking("a")).await.unwrap();
    }
    let error = exact.complete(asking("a")).await.unwrap_err();
    assert_eq!(error.code(), "SW-P540");
    assert!(error.to_string().contains("has only 2 recordings for this request"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_is_not_recorded_and_one_that_is_left_after_its_end_is() {
    let tape = Tape::new();
    let text = |text: &str| Ok(ChatDelta::Text(text.to_owned()));
    let finish = || Ok(ChatDelta::Finish(FinishReason::Stop));
    let broken = ModelError::Transport { detail: "reset".into() };
    let recording = tape.recording([
        Reply::error(broken.clone()),
        Reply::deltas([text("half"), Err(broken.clone())]),
        Reply::deltas([text("no end")]),
        Reply::deltas([text("left early"), finish()]),
        Reply::deltas([text("whole"), finish(), Ok(ChatDelta::Usage(Usage::default()))]),
    ]);
    assert_eq!(recording.stream(asking("a")).await.err(), Some(broken.clone()));
    assert_eq!(streamed(&recording, asking("a")).await.pop(), Some(Err(broken)));
    assert_eq!(streamed(&recording, asking("a")).await, [text("no end")]);
    for deltas in [1, 2] {
        let mut stream = recording.stream(asking("a")).await.unwrap();
        for _ in 0..deltas {
            stream.next().await.unwrap().unwrap();
        }
    }
    let cassette = tape.cassette();
    let texts: Vec<String> = cassette.recordings().iter().map(|recording| recording.text()).collect();
    assert_eq!(texts, ["whole"]);
}

#[tokio::test]
async fn several_models_in_one_cassette_need_a_name() {
    let tape = Tape::new();
    tape.recording([Reply::text("a")]).complete(asking("a")).await.unwrap();
    let offline =
        statewright_nodes_models::Offline::new(Arc::new(statewright_nodes_models::wire::WordCounter));
    tape.recording_of(Arc::new(offline), Scrubber::default()).complete(asking("a")).await.unwrap();
    let error = CassetteModel::replay(tape.cassette(), Replay::default()).unwrap_err();
    assert_eq!(error.code(), "SW-P547");
    assert!(error.to_string().contains("offline, scripted"), "{error}");
    let model = Some(ModelId::new("scripted").unwrap());
    let model = CassetteModel::replay(tape.cassette(), Replay { model, ..Replay::default() }).unwrap();
    assert_eq!(model.complete(asking("a")).await.unwrap().text, "a");
}

/// A request whose fields JSON could change on the way.
#[tokio::test]
async fn what_is_read_back_is_the_same_request() {
    let tape = Tape::new();
    let recording =
        tape.recording_of(Arc::new(Scripted::new((0..3).map(|_| Reply::text("x")))), Scrubber::default());
    let requests = [0.1_f32, f32::MIN_POSITIVE, f32::NAN].map(|temperature| ChatRequest {
        temperature: Some(temperature),
        seed: Some(u64::MAX),
        extra_body: [("z".to_owned(), json!(0.1)), ("a".to_owned(), json!({"y": 1, "b": [null]}))]
            .into_iter()
            .collect(),
        ..asking("\u{0} \u{2028} \"quoted\" 🦀")
    });
    for request in &requests {
        recording.complete(request.clone()).await.unwrap();
    }
    let replaying = tape.replaying();
    for request in requests {
        replaying.complete(request).await.unwrap();
    }
}
