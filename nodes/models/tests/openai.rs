//! The OpenAI-compatible adapter against a server that speaks the real wire protocol, well and badly. Nothing sleeps:
//! pauses are recorded instead.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::{net::TcpListener, time::Duration};

use common::{Pauses, noted};
use futures_util::StreamExt;
use statewright_nodes_models::{
    OpenAi, OpenAiConfig, Secret,
    wire::{Behaviour, WireOptions, WireServer},
};
use statewright_nodes_ports::{
    ChatDelta, ChatModel, ChatRequest, ErrorClass, FinishReason, Message, ModelError, ModelId, ToolCall,
    Usage,
};

/// A key that must never be seen again.
const CANARY: &str = "sk-canary-4f9c2b7e81";

struct Bench {
    server: WireServer,
    model: OpenAi,
    pauses: Pauses,
}

impl Bench {
    async fn new(script: impl IntoIterator<Item = Behaviour>) -> Self {
        Self::with(WireOptions::scripted(script), Duration::from_secs(20)).await
    }

    async fn with(options: WireOptions, timeout: Duration) -> Self {
        let server = WireServer::start(options).await.unwrap();
        let config = OpenAiConfig { timeout, ..config(&server.base_url()) };
        let (model, pauses) = model(config);
        Self { server, model, pauses }
    }

    async fn ask(&self) -> Result<statewright_nodes_ports::ChatResponse, ModelError> {
        self.model.complete(question()).await
    }

    fn pauses(&self) -> Vec<Duration> {
        self.pauses.lock().unwrap().clone()
    }
}

fn config(base_url: &str) -> OpenAiConfig {
    let model = ModelId::new("test-model").unwrap();
    OpenAiConfig { api_key: Some(Secret::from(CANARY)), ..OpenAiConfig::new(base_url, model) }
}

fn model(config: OpenAiConfig) -> (OpenAi, Pauses) {
    let (pacing, pauses) = noted();
    (OpenAi::with_pacing(config, pacing).unwrap(), pauses)
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

fn seconds(pauses: &[u64]) -> Vec<Duration> {
    pauses.iter().copied().map(Duration::from_secs).collect()
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
async fn tool_calls_in_fragments_become_one_call_each() {
    let call = |n: u8| ToolCall {
        id: format!("call_{n}"),
        name: "calculator".to_owned(),
        arguments: format!("{{\"expression\":\"150 × {n}\"}}"),
    };
    let calls = vec![call(1), call(2)];
    let response = Bench::new([Behaviour::ToolCalls(calls.clone())]).await.ask().await.unwrap();
    assert_eq!((response.tool_calls, response.finish), (calls, FinishReason::ToolCalls));
}

#[tokio::test]
async fn what_goes_over_the_wire_has_key_and_idempotency_but_no_purpose() {
    let bench = Bench::new([status(500, None), text("fine")]).await;
    let request = ChatRequest {
        purpose: Some("secret-purpose".into()),
        idempotency_key: Some("thread/3/write".to_owned()),
        ..question()
    };
    bench.model.complete(request).await.unwrap();
    assert_eq!((bench.server.calls(), bench.server.calls_for("thread/3/write")), (2, 2));
    let request = &bench.server.requests()[1];
    assert_eq!(request.authorization.as_deref(), Some(format!("Bearer {CANARY}").as_str()));
    assert_eq!((&request.body["model"], &request.body["stream"]), (&"test-model".into(), &true.into()));
    assert!(!request.body.to_string().contains("secret-purpose"));
}

#[tokio::test]
async fn retry_after_wins_over_the_back_off() {
    let bench =
        Bench::new([status(429, Some("7")), status(429, None), status(503, Some("3600")), text("ok")]).await;
    assert_eq!(bench.ask().await.unwrap().text, "ok");
    assert_eq!(bench.pauses(), seconds(&[7, 2, 60]));
    assert_eq!(bench.server.calls(), 4);
}

#[tokio::test]
async fn retry_after_can_be_a_date_in_the_past() {
    let bench = Bench::new([status(429, Some("Sun, 06 Nov 1994 08:49:37 GMT")), text("ok")]).await;
    assert_eq!(bench.ask().await.unwrap().text, "ok");
    assert_eq!(bench.pauses(), seconds(&[0]));
}

#[tokio::test]
async fn passing_faults_are_tried_five_times() {
    for passing in [408, 425, 429, 500, 502, 503, 504, 529] {
        let bench = Bench::new(vec![status(passing, None); 5]).await;
        let error = bench.ask().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        assert_eq!((bench.server.calls(), bench.pauses()), (5, seconds(&[1, 2, 4, 8])), "{passing}");
    }
}

#[tokio::test]
async fn other_refusals_are_final_at_once() {
    for (refusal, code) in [
        (400, "SW-P504"),
        (401, "SW-P502"),
        (403, "SW-P502"),
        (404, "SW-P504"),
        (422, "SW-P504"),
        (302, "SW-P504"),
        (307, "SW-P504"),
        (501, "SW-P504"),
    ] {
        let bench = Bench::new([status(refusal, Some("1"))]).await;
        let error = bench.ask().await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, ErrorClass::Permanent), "{refusal}");
        assert!(error.to_string().contains(&format!("HTTP {refusal}")), "{error}");
        assert_eq!(bench.server.calls(), 1, "{refusal}");
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

        let bench = Bench::new([behaviour.clone()]).await;
        assert_eq!(bench.ask().await.unwrap_err().code(), code, "{behaviour}: never a success");
    }
}

#[tokio::test]
async fn a_connection_that_closes_before_any_delta_is_tried_again() {
    let start = Behaviour::Raw(
        b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n".to_vec(),
    );
    let bench = Bench::new([Behaviour::Close, start, text("third")]).await;
    assert_eq!(bench.ask().await.unwrap().text, "third");
    assert_eq!(bench.server.calls(), 3);
}

#[tokio::test]
async fn what_is_no_chat_completion_is_a_protocol_error() {
    for behaviour in [Behaviour::Html, Behaviour::Malformed, Behaviour::Raw(b"data: caf\xff\n\n".to_vec())] {
        let bench = Bench::new([behaviour.clone()]).await;
        let error = bench.ask().await.unwrap_err();
        assert_eq!((error.code(), bench.server.calls()), ("SW-P507", 1), "{behaviour}: {error}");
    }
    let error = Bench::new([Behaviour::Html]).await.ask().await.unwrap_err().to_string();
    assert!(error.contains("text/html") && error.contains("Welcome"), "{error}");
}

#[tokio::test]
async fn an_empty_answer_is_no_answer() {
    let error = Bench::new([Behaviour::Empty]).await.ask().await.unwrap_err();
    assert_eq!(error.code(), "SW-P508");
}

#[tokio::test]
async fn ends_that_servers_get_away_with() {
    let chunk = |body: &str| format!("data: {{\"choices\":[{body}]}}\r\n\r\n");
    let hello = chunk(r#"{"delta":{"content":"hello"}}"#);
    let finish = chunk(r#"{"delta":{},"finish_reason":"length"}"#);
    for (bytes, expected) in [
        (format!("{hello}{finish}"), FinishReason::Length),
        (format!("\u{feff}{hello}: ping\r\n\r\nevent: x\r\ndata: [DONE]\r\n\r\n"), FinishReason::Stop),
        (format!("{hello}{finish}data: [DONE]\r\rdata: ignored\r\r"), FinishReason::Length),
    ] {
        let response = Bench::new([Behaviour::Raw(bytes.clone().into())]).await.ask().await.unwrap();
        assert_eq!(
            (response.text.as_str(), response.finish, response.usage),
            ("hello", expected, None),
            "{bytes}"
        );
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_a_transport_error() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (model, pauses) = model(config(&format!("http://{address}/v1")));
    let error = model.complete(question()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("SW-P506", ErrorClass::Transient));
    assert!(error.to_string().contains("OPENAI_BASE_URL"), "{error}");
    assert_eq!(pauses.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn silence_ends_with_the_time_limit() {
    let options = WireOptions { piece_bytes: 100_000, ..WireOptions::scripted([Behaviour::Stall]) };
    let bench = Bench::with(options, Duration::from_millis(200)).await;
    let error = bench.ask().await.unwrap_err();
    assert_eq!(error, ModelError::Timeout { after: Duration::from_millis(200) });
    assert_eq!((error.class(), bench.server.calls()), (ErrorClass::Transient, 1));
}

#[tokio::test]
async fn the_key_is_seen_nowhere() {
    let echo = format!("data: {{\"error\":{{\"message\":\"bad key {CANARY}\"}}}}\n\n");
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
        assert!(bench.server.requests()[0].authorization.is_some(), "the key was sent");
    }
    let broken = OpenAiConfig { api_key: Some(Secret::from("sk-canary\n")), ..config("https://h/v1") };
    let error = OpenAi::new(broken).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[test]
fn settings_come_from_the_environment() {
    let read = |vars: &[(&str, &str)]| {
        let vars: Vec<(String, String)> =
            vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        OpenAiConfig::from_env(&move |name| vars.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    };
    assert!(read(&[]).unwrap().is_none());
    assert!(read(&[("OPENAI_MODEL", "m")]).unwrap().is_none());
    assert!(read(&[("OPENAI_API_KEY", " "), ("OPENAI_BASE_URL", "")]).unwrap().is_none());

    let key_only = read(&[("OPENAI_API_KEY", "k\n")]).unwrap().unwrap();
    assert_eq!(key_only.base_url, "https://api.openai.com/v1");
    let local = read(&[("OPENAI_BASE_URL", "http://10.0.0.9:8080/v1"), ("OPENAI_MODEL", "qwen3:8b")])
        .unwrap()
        .unwrap();
    assert_eq!((local.api_key.is_none(), local.model.as_str()), (true, "qwen3:8b"));

    let refused = [
        (vec![("OPENAI_BASE_URL", "http://h"), ("OPENAI_MODEL", "a b")], "SW-P501", "a b"),
        (vec![("OPENAI_BASE_URL", "localhost:80")], "SW-P510", "OPENAI_BASE_URL"),
        (vec![("OPENAI_BASE_URL", "not a url")], "SW-P510", "OPENAI_BASE_URL"),
        (vec![("OPENAI_BASE_URL", "ftp://h/v1")], "SW-P510", "http"),
        (vec![("OPENAI_BASE_URL", "https://user:pass@h/v1")], "SW-P510", "OPENAI_API_KEY"),
        (vec![("OPENAI_BASE_URL", "http://example.org/v1"), ("OPENAI_API_KEY", "k")], "SW-P510", "https"),
        (
            vec![("OPENAI_BASE_URL", "http://127.0.0.1.example.org"), ("OPENAI_API_KEY", "k")],
            "SW-P510",
            "https",
        ),
        (vec![("OPENAI_API_KEY", "a\u{1}b")], "SW-P510", "OPENAI_API_KEY"),
    ];
    for (vars, code, names) in refused {
        let error = read(&vars).unwrap_err();
        assert_eq!(error.code(), code, "{vars:?}");
        assert!(error.to_string().contains(names), "{vars:?}: {error}");
        assert!(!error.to_string().contains("pass@"), "{error}");
    }
    for loopback in ["http://localhost:1", "http://127.0.0.5/v1", "http://[::1]:9/v1/", "https://example.org"]
    {
        let config = read(&[("OPENAI_BASE_URL", loopback), ("OPENAI_API_KEY", "k")]);
        assert!(config.unwrap().is_some(), "{loopback}");
    }
}

#[tokio::test]
async fn a_base_url_may_end_in_a_slash_and_carry_a_query() {
    let bench = Bench::new([text("one"), text("two")]).await;
    for (suffix, expected) in [("/", "one"), ("?api-version=1", "two")] {
        let (model, _) = model(config(&format!("{}{suffix}", bench.server.base_url())));
        assert_eq!(model.complete(question()).await.unwrap().text, expected);
    }
}

#[test]
fn a_client_for_https_can_be_built() {
    assert!(OpenAi::new(config("https://api.openai.com/v1")).is_ok());
}
