//! The Anthropic adapter against a server that speaks the real wire protocol, well and badly. Nothing sleeps: pauses are
//! recorded instead.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Pauses, noted};
use futures_util::StreamExt;
use serde_json::json;
use statewright_nodes_models::{
    Anthropic, AnthropicConfig, Offline, Secret,
    wire::{Behaviour, WireOptions, WireServer, WordCounter},
};
use statewright_nodes_ports::{
    ChatDelta, ChatModel, ChatRequest, ChatResponse, ErrorClass, FinishReason, Message, ModelError, ModelId,
    OutputSchema, Part, Reasoning, Role, ToolCall, ToolResult, ToolSpec, Usage,
};

/// A key that must never be seen again.
const CANARY: &str = "sk-ant-canary-4f9c2b7e81";

struct Bench {
    server: WireServer,
    model: Anthropic,
    pauses: Pauses,
}

impl Bench {
    async fn new(script: impl IntoIterator<Item = Behaviour>) -> Self {
        Self::with(WireOptions::scripted(script), Duration::from_secs(20)).await
    }

    async fn with(options: WireOptions, timeout: Duration) -> Self {
        let server = WireServer::start(options).await.unwrap();
        let config = AnthropicConfig { timeout, ..config(&server.base_url()) };
        let (pacing, pauses) = noted();
        Self { server, model: Anthropic::with_pacing(config, pacing).unwrap(), pauses }
    }

    async fn ask(&self) -> Result<ChatResponse, ModelError> {
        self.model.complete(question()).await
    }
}

fn config(base_url: &str) -> AnthropicConfig {
    let model = ModelId::new("claude-test").unwrap();
    AnthropicConfig { api_key: Some(Secret::from(CANARY)), ..AnthropicConfig::new(base_url, model) }
}

fn question() -> ChatRequest {
    ChatRequest::new([Message::system("Be brief."), Message::user("What is 150 × 2?")])
}

fn status(status: u16, retry_after: Option<&str>) -> Behaviour {
    Behaviour::Status { status, retry_after: retry_after.map(str::to_owned) }
}

fn text(text: &str) -> Behaviour {
    Behaviour::Text(text.to_owned())
}

#[tokio::test]
async fn characters_split_between_chunks_arrive_whole_with_the_usage() {
    let answer = "150 × 2 = 300 €, said 李 — “fine” 🙂.";
    for piece_bytes in [1, 2, 3, 5, 7, 64, 100_000] {
        let options = WireOptions { piece_bytes, ..WireOptions::scripted([text(answer)]) };
        let response = Bench::with(options, Duration::from_secs(20)).await.ask().await.unwrap();
        assert_eq!(response.text, answer, "pieces of {piece_bytes} bytes");
        let usage = Usage { input_tokens: 7, output_tokens: 11, ..Usage::default() };
        assert_eq!((response.usage, response.finish), (Some(usage), FinishReason::Stop));
    }
}

#[tokio::test]
async fn thinking_and_parallel_calls_go_there_and_back() {
    let sealed = Reasoning { text: "hm 🙂".into(), signature: Some("SIG".into()), redacted: None };
    let hidden = Reasoning { redacted: Some("XYZ".into()), ..Reasoning::default() };
    let call =
        |n: u32| ToolCall { id: format!("c{n}"), name: "t".into(), arguments: format!("{{\"n\":{n}}}") };
    let fragment = |index, id: Option<String>, arguments: &str| ChatDelta::ToolCall {
        index,
        name: id.as_ref().map(|_| "t".to_owned()),
        id,
        arguments: arguments.to_owned(),
    };
    let deltas = vec![
        ChatDelta::Reasoning(sealed.clone()),
        ChatDelta::Reasoning(hidden.clone()),
        ChatDelta::Text("I look.".into()),
        fragment(0, Some("c1".into()), "{\"n\""),
        fragment(0, None, ":1}"),
        fragment(1, Some("c2".into()), "{\"n\":2}"),
        ChatDelta::Finish(FinishReason::ToolCalls),
    ];
    let bench = Bench::new([Behaviour::Deltas(deltas), text("done")]).await;
    let first = bench.ask().await.unwrap();
    assert_eq!((first.tool_calls, first.finish), (vec![call(1), call(2)], FinishReason::ToolCalls));
    assert_eq!((first.text.as_str(), &first.reasoning), ("I look.", &vec![sealed.clone(), hidden.clone()]));

    let parts = [Part::Reasoning(sealed), Part::Reasoning(hidden), Part::Text(first.text)];
    let calls = [call(1), call(2)].map(Part::ToolCall);
    let assistant = Message { role: Role::Assistant, parts: parts.into_iter().chain(calls).collect() };
    let result = |id: &str| {
        let (call_id, name) = (id.to_owned(), "t".to_owned());
        Message::tool_result(ToolResult { call_id, name, content: "4".into(), is_error: false })
    };
    let mut request = question();
    request.messages.extend([assistant, result("c1"), result("c2")]);
    assert_eq!(bench.model.complete(request).await.unwrap().text, "done");
    let body = &bench.server.requests()[1].body;
    assert_eq!(body["system"], json!([{"type": "text", "text": "Be brief."}]));
    assert_eq!(body["messages"][1]["content"][0]["signature"], "SIG");
    assert_eq!(body["messages"][1]["content"][1]["data"], "XYZ");
    let results: Vec<_> =
        body["messages"][2]["content"].as_array().unwrap().iter().map(|r| r["tool_use_id"].clone()).collect();
    assert_eq!(results, ["c1", "c2"], "results of parallel calls are one message");
}

#[tokio::test]
async fn an_answer_of_a_given_form_is_the_input_of_a_forced_tool() {
    let call = ToolCall { id: "x".into(), name: "verdict".into(), arguments: r#"{"ok":true}"#.into() };
    let bench = Bench::new([Behaviour::ToolCalls(vec![call])]).await;
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}});
    let output = Some(OutputSchema { name: "verdict".into(), schema: schema.clone() });
    let answer = bench.model.complete(ChatRequest { output, ..question() }).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), (r#"{"ok":true}"#, FinishReason::Stop));
    assert!(answer.tool_calls.is_empty());
    let body = &bench.server.requests()[0].body;
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "verdict"}));
    assert_eq!(body["tools"][0]["input_schema"], schema);
}

#[tokio::test]
async fn tokens_of_the_cache_count_as_input() {
    let usage = Usage {
        input_tokens: 1_000,
        cached_input_tokens: 800,
        cache_write_tokens: 150,
        output_tokens: 9,
        ..Usage::default()
    };
    let deltas =
        vec![ChatDelta::Text("x".into()), ChatDelta::Finish(FinishReason::Stop), ChatDelta::Usage(usage)];
    assert_eq!(Bench::new([Behaviour::Deltas(deltas)]).await.ask().await.unwrap().usage, Some(usage));
}

#[tokio::test]
async fn what_goes_over_the_wire_has_key_version_and_idempotency_but_no_purpose() {
    let bench = Bench::new([status(529, None), text("fine")]).await;
    let request = ChatRequest {
        purpose: Some("secret-purpose".into()),
        idempotency_key: Some("thread/3/write".to_owned()),
        ..question()
    };
    bench.model.complete(request).await.unwrap();
    assert_eq!((bench.server.calls(), bench.server.calls_for("thread/3/write")), (2, 2));
    let request = &bench.server.requests()[1];
    assert_eq!((request.authorization.as_deref(), request.path.as_str()), (Some(CANARY), "/v1/messages"));
    assert!(!request.body.to_string().contains("secret-purpose"));
}

#[tokio::test]
async fn passing_faults_are_tried_five_times_and_retry_after_wins() {
    for passing in [408, 425, 429, 500, 502, 503, 504, 529] {
        let bench = Bench::new(vec![status(passing, None); 5]).await;
        assert_eq!(bench.ask().await.unwrap_err().class(), ErrorClass::Transient);
        let pauses = bench.pauses.lock().unwrap().clone();
        assert_eq!(
            (bench.server.calls(), pauses),
            (5, [1, 2, 4, 8].map(Duration::from_secs).into()),
            "{passing}"
        );
    }
    let bench = Bench::new([status(429, Some("7")), text("ok")]).await;
    assert_eq!(bench.ask().await.unwrap().text, "ok");
    assert_eq!(*bench.pauses.lock().unwrap(), [Duration::from_secs(7)]);
}

#[tokio::test]
async fn errors_name_the_settings_of_this_provider() {
    for (behaviour, code, names) in [
        (status(401, None), "SW-P502", "ANTHROPIC_API_KEY"),
        (Behaviour::Html, "SW-P507", "ANTHROPIC_BASE_URL"),
        (Behaviour::Malformed, "SW-P507", "ANTHROPIC_BASE_URL"),
        (Behaviour::Cut, "SW-P506", "ANTHROPIC_BASE_URL"),
    ] {
        let error = Bench::new([behaviour.clone()]).await.ask().await.unwrap_err();
        let words = error.to_string();
        assert_eq!(error.code(), code, "{behaviour}");
        assert!(words.contains(names) && !words.contains("OPENAI"), "{behaviour}: {words}");
    }
}

#[tokio::test]
async fn a_broken_stream_is_an_error_after_its_deltas_and_not_tried_again() {
    for (behaviour, code) in [
        (Behaviour::DropMidStream, "SW-P506"),
        (Behaviour::Cut, "SW-P506"),
        (Behaviour::ErrorMidStream("overloaded_error".to_owned()), "SW-P511"),
    ] {
        let bench = Bench::new([behaviour.clone()]).await;
        let items: Vec<_> = bench.model.stream(question()).await.unwrap().collect().await;
        let (last, before) = items.split_last().unwrap();
        assert!(
            !before.is_empty() && before.iter().all(|item| matches!(item, Ok(ChatDelta::Text(_)))),
            "{items:?}"
        );
        let error = last.as_ref().unwrap_err();
        assert_eq!((error.code(), error.class()), (code, ErrorClass::Transient), "{behaviour}");
        assert_eq!(bench.server.calls(), 1, "{behaviour}");
    }
}

#[tokio::test]
async fn an_answer_that_drips_is_awaited() {
    let bench = Bench::new([Behaviour::Slow(Duration::from_millis(1))]).await;
    assert_eq!(bench.ask().await.unwrap().text, "A scripted answer: 150 × 2 = 300 €.");
}

#[tokio::test]
async fn silence_ends_with_the_time_limit() {
    let options = WireOptions { piece_bytes: 100_000, ..WireOptions::scripted([Behaviour::Stall]) };
    let bench = Bench::with(options, Duration::from_millis(200)).await;
    assert_eq!(bench.ask().await.unwrap_err(), ModelError::Timeout { after: Duration::from_millis(200) });
}

#[tokio::test]
async fn the_key_is_seen_nowhere() {
    let echo = format!("data: {{\"type\":\"error\",\"error\":{{\"message\":\"bad key {CANARY}\"}}}}\n\n");
    let noise = format!("data: {CANARY}\n\n");
    for behaviour in [
        Behaviour::EchoKey,
        Behaviour::Raw(echo.into()),
        Behaviour::Raw(noise.into()),
        Behaviour::Html,
        Behaviour::DropMidStream,
        status(400, None),
    ] {
        let bench = Bench::new([behaviour.clone()]).await;
        let error = bench.ask().await.unwrap_err();
        let seen = format!("{error} {error:?} {:?} {:#?}", bench.model, bench.model.config());
        assert!(!seen.contains("canary"), "{behaviour}: {seen}");
        assert_eq!(bench.server.requests()[0].authorization.as_deref(), Some(CANARY), "the key was sent");
    }
}

#[tokio::test]
async fn a_model_of_ours_answers_through_both_protocols_alike() {
    let options = || WireOptions {
        model: Some(Arc::new(Offline::new(Arc::new(WordCounter)))),
        ..WireOptions::default()
    };
    let request = || ChatRequest {
        tools: vec![ToolSpec {
            name: "calculator".into(),
            description: "d".into(),
            parameters: json!({"type": "object"}),
        }],
        ..ChatRequest::new([Message::user("<question>2 × 3</question><calculation>2 * 3 = 6</calculation>")])
    };
    let server = WireServer::start(options()).await.unwrap();
    let id = || ModelId::new("m").unwrap();
    let openai = statewright_nodes_models::OpenAiConfig::new(server.base_url(), id());
    let openai = statewright_nodes_models::OpenAi::new(openai).unwrap();
    let anthropic = Anthropic::new(AnthropicConfig::new(server.base_url(), id())).unwrap();
    let (one, other) =
        (openai.complete(request()).await.unwrap(), anthropic.complete(request()).await.unwrap());
    assert_eq!((one.text, one.tool_calls, one.finish), (other.text, other.tool_calls, other.finish));
}

#[test]
fn settings_come_from_the_environment() {
    let read = |vars: &[(&str, &str)]| {
        let vars: Vec<(String, String)> =
            vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        AnthropicConfig::from_env(&move |name| vars.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    };
    assert!(read(&[("OPENAI_API_KEY", "k")]).unwrap().is_none());
    let config =
        read(&[("ANTHROPIC_API_KEY", "k"), ("ANTHROPIC_MODEL", "claude-opus-4-5")]).unwrap().unwrap();
    assert_eq!(
        (config.base_url.as_str(), config.model.as_str()),
        ("https://api.anthropic.com", "claude-opus-4-5")
    );
    for (name, value, code) in
        [("ANTHROPIC_BASE_URL", "http://example.org", "SW-P510"), ("ANTHROPIC_MODEL", "a b", "SW-P501")]
    {
        let error = read(&[("ANTHROPIC_API_KEY", "k"), (name, value)]).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(!error.to_string().contains("OPENAI"), "{error}");
    }
}
