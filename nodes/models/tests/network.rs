//! The way to an endpoint: certificates, proxies, lists of allowed models, rate limits, and chains of models.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Pauses, noted};
use statewright_nodes_models::{
    AllowedModels, Anthropic, AnthropicConfig, FallbackModel, Network, OpenAi, OpenAiConfig, RateLimiter,
    RateLimits, Reply, Scripted, Secret,
    wire::{Behaviour, WireOptions, WireServer},
};
use statewright_nodes_ports::{ChatDelta, ChatModel, ChatRequest, ErrorClass, Message, ModelError, ModelId};

fn id() -> ModelId {
    ModelId::new("test-model").unwrap()
}

fn question() -> ChatRequest {
    ChatRequest::new([Message::user("What is 150 × 2?")])
}

async fn server(script: impl IntoIterator<Item = Behaviour>) -> WireServer {
    WireServer::start(WireOptions::scripted(script)).await.unwrap()
}

fn status(status: u16) -> Behaviour {
    Behaviour::Status { status, retry_after: None }
}

/// A model that does not sleep, and the pauses that it would have made.
fn model(config: OpenAiConfig) -> (OpenAi, Pauses) {
    let (pacing, pauses) = noted();
    (OpenAi::with_pacing(config, pacing).unwrap(), pauses)
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let options = WireOptions { tls: true, ..WireOptions::default() };
    let server = WireServer::start(options).await.unwrap();
    let (openai, pauses) = model(OpenAiConfig::new(server.base_url(), id()));
    let anthropic = Anthropic::new(AnthropicConfig::new(server.base_url(), id())).unwrap();
    for (error, setting) in [
        (openai.complete(question()).await.unwrap_err(), "OPENAI_BASE_URL"),
        (anthropic.complete(question()).await.unwrap_err(), "ANTHROPIC_BASE_URL"),
    ] {
        assert_eq!((error.code(), error.class()), ("SW-P516", ErrorClass::Permanent), "{error}");
        let words = error.to_string();
        assert!(words.contains(setting) && words.contains("STATEWRIGHT_CA_FILE"), "{words}");
    }
    assert_eq!((server.calls(), pauses.lock().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_beside_those_of_the_system() {
    let options = WireOptions { tls: true, ..WireOptions::scripted([Behaviour::Text("sealed".into())]) };
    let server = WireServer::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, server.certificate_pem().unwrap()).unwrap();
    let network = Network { ca_file: Some(file), ..Network::default() };
    let (model, _) = model(OpenAiConfig { network, ..OpenAiConfig::new(server.base_url(), id()) });
    assert_eq!(model.complete(question()).await.unwrap().text, "sealed");
}

#[test]
fn a_file_of_authorities_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for file in [empty, folder.path().join("missing.pem")] {
        let network = Network { ca_file: Some(file), ..Network::default() };
        let error =
            OpenAi::new(OpenAiConfig { network, ..OpenAiConfig::new("https://h/v1", id()) }).unwrap_err();
        assert_eq!(error.code(), "SW-P510");
        assert!(error.to_string().contains("STATEWRIGHT_CA_FILE"), "{error}");
    }
}

#[tokio::test]
async fn calls_go_through_a_proxy_whose_password_is_not_shown() {
    // A proxy is asked for whole URLs, and the server does not mind.
    let proxy = server([Behaviour::Text("by proxy".into())]).await;
    let address = proxy.base_url().replace("http://", "http://user:canary@").replace("/v1", "");
    let network = Network { proxy: Some(Secret::from(address)), ..Network::default() };
    let config = OpenAiConfig { network, ..OpenAiConfig::new("http://models.invalid/v1", id()) };
    let (model, _) = model(config);
    assert_eq!(model.complete(question()).await.unwrap().text, "by proxy");
    assert!(!format!("{model:?}").contains("canary"));

    let network = Network { proxy: Some(Secret::from("canary://")), ..Network::default() };
    let error = OpenAi::new(OpenAiConfig { network, ..OpenAiConfig::new("https://h/v1", id()) }).unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("canary")), ("SW-P510", false), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_answers_html_is_named_as_such() {
    let server = server([Behaviour::Html, Behaviour::ContentType("application/json".into())]).await;
    let (model, _) = model(OpenAiConfig::new(server.base_url(), id()));
    for kind in ["text/html", "application/json"] {
        let error = model.complete(question()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("SW-P507", ErrorClass::Permanent));
        assert!(error.to_string().contains(kind), "{error}");
    }
    assert_eq!(server.calls(), 2);
}

#[test]
fn a_model_that_is_not_allowed_cannot_be_made() {
    let config = |allowed: &str| OpenAiConfig {
        allowed: AllowedModels::list(allowed),
        ..OpenAiConfig::new("https://h/v1", id())
    };
    for allowed in ["test-model", "other, test-*", "*"] {
        assert!(OpenAi::new(config(allowed)).is_ok(), "{allowed}");
    }
    for refused in ["", "test-mode", "test-models", "other"] {
        assert_eq!(OpenAi::new(config(refused)).unwrap_err().code(), "SW-P514", "{refused:?}");
    }
    let all = AllowedModels::from_env(&|_| Some("  ".to_owned()));
    assert_eq!(all, AllowedModels::default());
}

#[tokio::test]
async fn calls_of_one_key_wait_for_their_turn_but_not_for_too_long() {
    let server = server([]).await;
    let limits = RateLimits { requests_per_minute: Some(2), ..RateLimits::default() };
    let limiter = RateLimiter::new(limits);
    let config = OpenAiConfig { limiter, ..OpenAiConfig::new(server.base_url(), id()) };
    let (one, pauses) = model(config.clone());
    let (other, others) = model(config);
    one.complete(question()).await.unwrap();
    other.complete(question()).await.unwrap();
    one.complete(question()).await.unwrap();
    let waited = pauses.lock().unwrap()[0];
    assert!(waited > Duration::from_secs(25) && waited <= Duration::from_secs(30), "{waited:?}");
    other.complete(question()).await.unwrap();
    assert_eq!(one.complete(question()).await.unwrap_err().code(), "SW-P513");
    assert_eq!((server.calls(), others.lock().unwrap().len()), (4, 1));
}

#[tokio::test]
async fn the_providers_headers_feed_the_limiter() {
    let headers = [("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "0")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let server = WireServer::start(WireOptions { headers, ..WireOptions::default() }).await.unwrap();
    let (model, pauses) = model(OpenAiConfig::new(server.base_url(), id()));
    model.complete(question()).await.unwrap();
    assert!(pauses.lock().unwrap().is_empty(), "nothing was known before the first answer");
    model.complete(question()).await.unwrap();
    assert!(pauses.lock().unwrap()[0] <= Duration::from_secs(1));
}

#[tokio::test]
async fn the_next_model_of_a_chain_is_asked_only_when_one_is_not_there() {
    let second = || Arc::new(Scripted::new([Reply::text("second")]));
    for absent in [status(529), status(404), Behaviour::Close] {
        let server = server(vec![absent.clone(); 5]).await;
        let (first, _) = model(OpenAiConfig::new(server.base_url(), id()));
        let second = second();
        let chain = FallbackModel::new(Arc::new(first), [Arc::clone(&second) as Arc<dyn ChatModel>]);
        let answer = chain.complete(question()).await.unwrap();
        assert_eq!((answer.text.as_str(), &answer.model), ("second", second.id()), "{absent}");
        assert_eq!(chain.id(), &id());
    }
    for present in [status(400), status(401), Behaviour::Html, Behaviour::Cut, Behaviour::Empty] {
        let server = server([present.clone()]).await;
        let (first, _) = model(OpenAiConfig::new(server.base_url(), id()));
        let second = second();
        let chain = FallbackModel::new(Arc::new(first), [Arc::clone(&second) as Arc<dyn ChatModel>]);
        assert!(chain.complete(question()).await.is_err(), "{present}");
        assert_eq!(second.calls(), 0, "{present}");
    }
}

#[tokio::test]
async fn a_chain_does_not_go_on_once_something_was_handed_out_and_ends_with_the_last_error() {
    let broken = |code: &str| ModelError::Transport { detail: code.to_owned() };
    let half = Reply::deltas([Ok(ChatDelta::Text("half".into())), Err(broken("middle"))]);
    let at_once = Reply::deltas([Err(broken("first item"))]);
    let next = || Arc::new(Scripted::new([Reply::error(broken("last"))]));

    let second = next();
    let chain =
        FallbackModel::new(Arc::new(Scripted::new([half])), [Arc::clone(&second) as Arc<dyn ChatModel>]);
    assert_eq!(chain.complete(question()).await.unwrap_err(), broken("middle"));
    assert_eq!(second.calls(), 0);

    let second = next();
    let chain =
        FallbackModel::new(Arc::new(Scripted::new([at_once])), [Arc::clone(&second) as Arc<dyn ChatModel>]);
    assert_eq!(chain.complete(question()).await.unwrap_err(), broken("last"));
    assert_eq!(second.calls(), 1);
}
