//! A local server that speaks the real wire protocols of Chat Completions and of Anthropic's Messages, and misbehaves on
//! demand. For tests.
//!
//! HTTP/1.1 over loopback TCP, written by hand because a well-behaved server library cannot break a chunked answer in
//! the middle. It is no model server: answers come from a script, or from any [`ChatModel`].
//!
//! ```
//! # use statewright_nodes_models::{OpenAi, OpenAiConfig, wire::{Behaviour, WireOptions, WireServer}};
//! # use statewright_nodes_ports::{ChatModel, ChatRequest, Message, ModelId};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let script = [Behaviour::Text("Grüß dich".into())];
//! let server = WireServer::start(WireOptions::scripted(script)).await?;
//! let model = OpenAi::new(OpenAiConfig::new(server.base_url(), ModelId::new("m")?))?;
//! assert_eq!(model.complete(ChatRequest::new([Message::user("Hi")])).await?.text, "Grüß dich");
//! assert_eq!(server.requests()[0].body["messages"][0]["content"], "Hi");
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod behaviour;
mod events;
mod http;
mod messages;
mod tls;

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use statewright_nodes_ports::{ChatModel, ChatRequest, TokenCounter};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

pub use behaviour::{Behaviour, UnknownBehaviour};
use http::{Connection, Request};
use tls::Identity;

use crate::witness;

/// How a [`WireServer`] answers.
#[derive(Clone)]
pub struct WireOptions {
    /// The port on 127.0.0.1; 0 picks a free one.
    pub port: u16,
    /// What to do with the first requests, in order.
    pub script: Vec<Behaviour>,
    /// What to do when the script is over.
    pub afterwards: Behaviour,
    /// Who answers for [`Behaviour::Answer`]; without it, a fixed sentence does.
    pub model: Option<Arc<dyn ChatModel>>,
    /// The size of the pieces that an answer is sent in, in bytes. Small ones split characters and line ends.
    pub piece_bytes: usize,
    /// One JSON line is appended here for each request, before it is answered.
    pub log: Option<PathBuf>,
    /// Headers that each streamed answer has besides, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether it speaks TLS, with a certificate of its own making.
    pub tls: bool,
}

impl Default for WireOptions {
    fn default() -> Self {
        Self {
            port: 0,
            script: Vec::new(),
            afterwards: Behaviour::Answer,
            model: None,
            piece_bytes: 7,
            log: None,
            headers: Vec::new(),
            tls: false,
        }
    }
}

impl WireOptions {
    /// A script, with everything else at its default.
    #[must_use]
    pub fn scripted(script: impl IntoIterator<Item = Behaviour>) -> Self {
        Self { script: script.into_iter().collect(), ..Self::default() }
    }
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRequest {
    /// The number of the request, from 1.
    pub call: u64,
    /// The JSON body; `null` when it was none.
    pub body: Value,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The `Authorization` header, or `x-api-key`.
    pub authorization: Option<String>,
    /// The path, without a query.
    pub path: String,
}

/// The protocols that the server speaks, told apart by the path of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireProtocol {
    ChatCompletions,
    Messages,
}

impl RecordedRequest {
    fn protocol(&self) -> WireProtocol {
        WireProtocol::of(&self.path)
    }
}

impl WireProtocol {
    fn of(path: &str) -> Self {
        if path.ends_with("/messages") { Self::Messages } else { Self::ChatCompletions }
    }

    /// An error as the provider words it.
    fn error(self, kind: &str, message: &str) -> Value {
        match self {
            Self::ChatCompletions => json!({ "error": { "message": message, "type": kind } }),
            Self::Messages => messages::error(kind, message),
        }
    }

    fn request(self, body: &Value) -> ChatRequest {
        match self {
            Self::ChatCompletions => events::request(body),
            Self::Messages => messages::request(body),
        }
    }
}

/// A running server. Dropping it ends it and every connection.
pub struct WireServer {
    address: SocketAddr,
    certificate_pem: Option<String>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    afterwards: Behaviour,
    model: Option<Arc<dyn ChatModel>>,
    piece_bytes: usize,
    log: Option<PathBuf>,
    headers: Vec<(String, String)>,
}

struct State {
    script: VecDeque<Behaviour>,
    requests: Vec<RecordedRequest>,
}

impl WireServer {
    /// Starts to listen, within the current tokio runtime.
    ///
    /// # Errors
    /// What the operating system says when the port can't be had.
    pub async fn start(options: WireOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let state = State { script: options.script.into(), requests: Vec::new() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            afterwards: options.afterwards,
            model: options.model,
            piece_bytes: options.piece_bytes.max(1),
            log: options.log,
            headers: options.headers,
        });
        let identity = options.tls.then(Identity::new).transpose()?;
        let certificate_pem = identity.as_ref().map(|identity| identity.certificate_pem.clone());
        let acceptor = identity.map(|identity| identity.acceptor);
        let task = tokio::spawn(serve(listener, Arc::clone(&shared), acceptor));
        Ok(Self { address, certificate_pem, shared, task })
    }

    /// The base URL for a client of either protocol, ending in `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.certificate_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/v1", self.address)
    }

    /// The certificate that it shows, as PEM, when it speaks TLS.
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// All requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.state().requests.clone()
    }

    /// How many requests arrived.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.shared.state().requests.len()
    }

    /// How many requests arrived with this `Idempotency-Key`.
    #[must_use]
    pub fn calls_for(&self, idempotency_key: &str) -> usize {
        let has_key =
            |request: &&RecordedRequest| request.idempotency_key.as_deref() == Some(idempotency_key);
        self.shared.state().requests.iter().filter(has_key).count()
    }

    /// Serves until the task is ended from outside; for programs that do nothing else.
    pub async fn run(mut self) {
        // The task ends only with this server, so there is no result to look at.
        drop((&mut self.task).await);
    }
}

impl Drop for WireServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts words. A stand-in for a tokenizer where only the protocol matters.
#[derive(Debug, Clone, Copy, Default)]
pub struct WordCounter;

impl TokenCounter for WordCounter {
    fn count(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn name(&self) -> &'static str {
        "words"
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Both collections change in one step each, so a panic elsewhere leaves them whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and says what to do with it.
    fn accept(&self, request: &Request) -> io::Result<(RecordedRequest, Behaviour)> {
        let mut state = self.state();
        let recorded = RecordedRequest {
            call: state.requests.len() as u64 + 1,
            body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
            idempotency_key: request.header("idempotency-key").map(str::to_owned),
            authorization: request
                .header("authorization")
                .or_else(|| request.header("x-api-key"))
                .map(str::to_owned),
            path: request.path_without_query().to_owned(),
        };
        let behaviour = state.script.pop_front().unwrap_or_else(|| self.afterwards.clone());
        if let Some(path) = &self.log {
            // Never the authorization: logs outlive tests.
            let entry = json!({
                "call": recorded.call,
                "idempotency_key": recorded.idempotency_key,
                "behaviour": behaviour.to_string(),
                "body": recorded.body,
            });
            witness::append(path, &entry)?;
        }
        state.requests.push(recorded.clone());
        Ok((recorded, behaviour))
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, acceptor: Option<TlsAcceptor>) {
    // Dropped with this future, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // A connection that failed before it was accepted is the client's affair.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            stream.set_nodelay(true)?;
            match acceptor {
                None => connection(&mut { stream }, &shared).await,
                Some(acceptor) => connection(&mut acceptor.accept(stream).await?, &shared).await,
            }
        });
    }
}

/// One request per connection; an error means that the client has gone, which needs no answer.
async fn connection(stream: &mut dyn Connection, shared: &Shared) -> io::Result<()> {
    let request = match http::read_request(stream).await {
        Ok(request) => request,
        Err(error) => return http::plain(stream, 400, &[], &error.to_string()).await,
    };
    let path = request.path_without_query();
    if request.method != "POST" || !(path.ends_with("/chat/completions") || path.ends_with("/v1/messages")) {
        let body = WireProtocol::of(path)
            .error("not_found", "only POST …/chat/completions and …/v1/messages are served");
        return http::json(stream, 404, &[], &body).await;
    }
    if WireProtocol::of(path) == WireProtocol::Messages && request.header("anthropic-version").is_none() {
        let body = messages::error("invalid_request_error", "anthropic-version: header is required");
        return http::json(stream, 400, &[], &body).await;
    }
    let (recorded, behaviour) = shared.accept(&request)?;
    behaviour.answer(stream, &recorded, shared).await
}
