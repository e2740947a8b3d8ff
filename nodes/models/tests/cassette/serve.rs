//! A cassette as an endpoint, asked by the adapter and by plain HTTP.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::{Value, json};
use statewright_nodes_models::cassette::Replay;
use statewright_nodes_models::cassette::serve::Server;
use statewright_nodes_models::{OpenAi, OpenAiConfig, Reply, Scrubber, install_tls};
use statewright_nodes_ports::{
    ChatModel, ChatRequest, Message, ModelId, ToolCall, ToolResult, ToolSpec, Usage, purpose,
};

use crate::{Tape, asking, streamed};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Serves the tape until the test is over.
async fn serve(tape: &Tape, replay: Replay) -> String {
    let server = Server::bind(tape.cassette(), replay, (LOOPBACK, 0), Arc::new(|| 1_000)).await.unwrap();
    let url = server.base_url();
    tokio::spawn(server.run(std::future::pending()));
    url
}

fn client(url: &str, model: &str) -> OpenAi {
    OpenAi::new(OpenAiConfig::new(url, ModelId::new(model).unwrap())).unwrap()
}

fn http() -> reqwest::Client {
    install_tls();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

async fn post(url: &str, body: &Value) -> (u16, Value) {
    let response = http().post(format!("{url}/chat/completions")).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn conversation() -> ChatRequest {
    let call = ToolCall { id: "c1".into(), name: "look".into(), arguments: String::new() };
    let result = |id: &str| ToolResult {
        call_id: id.into(),
        name: "look".into(),
        content: "4 €".into(),
        is_error: true,
    };
    let other = ToolCall { id: "c2".into(), arguments: "{\"a\": 0.1}".into(), ..call.clone() };
    let both = Message { parts: Vec::new(), ..Message::tool_result(result("c1")) };
    let parts = ["c1", "c2"].map(|id| statewright_nodes_ports::Part::ToolResult(result(id)));
    ChatRequest {
        tools: vec![ToolSpec {
            name: "look".into(),
            description: "Looks.".into(),
            parameters: json!({ "type": "object", "properties": { "b": {}, "a": {} } }),
        }],
        temperature: Some(0.7),
        max_output_tokens: Some(50),
        purpose: Some(purpose::WRITE.into()),
        idempotency_key: Some("k".into()),
        prompt_version: Some("v".into()),
        ..ChatRequest::new([
            Message::system("Be brief."),
            Message::user("What is it?"),
            Message::assistant_calls("I look.", [call, other]),
            Message { parts: parts.into(), ..both },
            Message::user("And now?"),
        ])
    }
}

#[tokio::test]
async fn a_client_of_the_endpoint_gets_what_was_recorded() {
    let tape = Tape::new();
    let usage = Usage { input_tokens: 12, cached_input_tokens: 5, output_tokens: 3, ..Usage::default() };
    let call = ToolCall { id: "c9".into(), name: "look".into(), arguments: r#"{"at":"Zürich"}"#.into() };
    let recording = tape.recording([
        Reply::text("It is 4 €, I think.").with_usage(usage),
        Reply::tool_calls([call.clone(), ToolCall { id: "c10".into(), ..call.clone() }]),
    ]);
    let texts = streamed(&recording, conversation()).await;
    let calls = recording.complete(asking("look")).await.unwrap();

    let url = serve(&tape, Replay::default()).await;
    let served = client(&url, "scripted");
    assert_eq!(streamed(&served, conversation()).await, texts, "delta by delta, as it was recorded");
    assert_eq!(served.complete(asking("look")).await.unwrap().tool_calls, calls.tool_calls);

    let error = served.complete(asking("something else")).await.unwrap_err().to_string();
    assert!(error.contains("HTTP 404") && error.contains("SW-P540"), "{error}");
}

#[tokio::test]
async fn plain_http_gets_whole_answers_models_and_errors_in_the_shape_of_the_api() {
    let tape = Tape::new();
    let usage = Usage { input_tokens: 12, output_tokens: 3, ..Usage::default() };
    let call = ToolCall { id: "c9".into(), name: "look".into(), arguments: "{}".into() };
    let recording =
        tape.recording([Reply::text("Good morning").with_usage(usage), Reply::tool_calls([call])]);
    recording.complete(asking("Hello")).await.unwrap();
    recording.complete(asking("look")).await.unwrap();
    let url = serve(&tape, Replay::default()).await;

    let asking = |content: Value| {
        json!({ "model": "scripted", "user": "me", "n": 1, "messages": [
            { "role": "developer", "content": "Be brief." }, { "role": "user", "content": content },
        ]})
    };
    let (status, answer) = post(&url, &asking(json!("Hello"))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("scripted")));
    assert_eq!(
        answer["choices"][0]["message"],
        json!({ "role": "assistant", "content": "Good morning", "refusal": null })
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 15);
    let parts = json!([{ "type": "text", "text": "loo" }, { "type": "text", "text": "k" }]);
    let (_, answer) = post(&url, &asking(parts)).await;
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "look", "{answer}");
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);

    let (status, missed) = post(&url, &asking(json!("Hallo"))).await;
    assert_eq!((status, &missed["error"]["code"]), (404, &json!("SW-P540")), "{missed}");
    assert!(missed["error"]["message"].as_str().unwrap().contains("\n+ Hallo"), "{missed}");
    let mut warmer = asking(json!("Hello"));
    warmer["top_p"] = json!(0.5);
    assert_eq!(post(&url, &warmer).await.0, 404, "what may change an answer makes a request another one");

    let models: Value = http().get(format!("{url}/models")).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        models["data"],
        json!([{ "id": "scripted", "object": "model", "created": 1, "owned_by": "cassette" }])
    );
}

#[tokio::test]
async fn what_is_no_request_is_told_so_and_the_server_goes_on() {
    let tape = Tape::new();
    tape.recording([Reply::text("Good morning")]).complete(asking("Hello")).await.unwrap();
    let url = serve(&tape, Replay { exact: true, scrubber: Scrubber::default(), model: None }).await;
    let cases = [
        (json!([]), "not a JSON object"),
        (json!({ "messages": [] }), "`model` is missing"),
        (json!({ "model": "a b", "messages": [] }), "is not valid"),
        (json!({ "model": "m" }), "`messages` is no list"),
        (json!({ "model": "m", "messages": [{ "role": "king" }] }), "the role `king`"),
        (
            json!({ "model": "m", "messages": [{ "role": "user", "content": 3 }] }),
            "neither a text nor a list",
        ),
        (
            json!({ "model": "m", "messages": [{ "role": "user", "content": [{ "type": "smell" }] }] }),
            "`smell`",
        ),
    ];
    for (body, words) in cases {
        let (status, answer) = post(&url, &body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    let sent =
        |request: reqwest::RequestBuilder| async move { request.send().await.unwrap().status().as_u16() };
    assert_eq!(sent(http().post(format!("{url}/chat/completions")).body("{")).await, 400);
    assert_eq!(sent(http().get(format!("{url}/chat/completions"))).await, 405);
    assert_eq!(sent(http().get(format!("{url}/embeddings"))).await, 404);
    let body = json!({ "model": "scripted", "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hello" }] });
    assert_eq!(post(&url, &body).await.0, 200);
    let (status, answer) = post(&url, &body).await;
    assert_eq!(status, 404);
    assert!(answer["error"]["message"].as_str().unwrap().contains("only 1 recording"), "{answer}");
}
