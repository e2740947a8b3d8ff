//! A cassette as an OpenAI-compatible endpoint on this machine, so that a program in any language runs on what was
//! recorded. It answers `POST /v1/chat/completions`, streamed and whole, and `GET /v1/models`; it never calls a model.
//!
//! A request without a recording is answered with 404 and the code `SW-P540`, so that no client tries it again.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use statewright_nodes_ports::ModelError;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::completions::{Asked, events, whole};
use super::file::Cassette;
use super::replay::Player;
use super::{Clock, Replay};

/// The largest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most connections at once; further ones wait.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a client may take for the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long to wait after a connection could not be taken up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Body = BoxBody<Bytes, Infallible>;

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    player: Player,
    clock: Clock,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("cassette", &self.player.cassette().path()).finish_non_exhaustive()
    }
}

impl Server {
    /// Begins to listen. Port 0 picks a free one.
    ///
    /// # Errors
    /// What the operating system says when the address cannot be had.
    pub async fn bind(
        cassette: Cassette,
        options: Replay,
        address: (IpAddr, u16),
        clock: Clock,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let player = Player::new(cassette, options.scrubber, options.exact);
        Ok(Self { listener, address, shared: Arc::new(Shared { player, clock }) })
    }

    /// The base URL for clients, ending in `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Answers until `end` resolves. Connections that are open then are closed.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        tokio::pin!(end);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (self.listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = &mut end => return,
                accepted = accepted => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // The client is gone already, or there are too many open files: neither ends the server.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            let shared = self.shared.clone();
            connections.spawn(async move {
                let answer = service_fn(|request| {
                    let shared = shared.clone();
                    async move { Ok::<_, Infallible>(shared.answer(request).await) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
                // A client that leaves is no error of ours.
                drop(http.serve_connection(TokioIo::new(stream), answer).await);
                drop(place);
            });
        }
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/v1/models") => object(StatusCode::OK, &self.models()),
            (&Method::POST, "/v1/chat/completions") => self.completions(request).await,
            (_, "/v1/models" | "/v1/chat/completions") => {
                let words = format!("{} is not answered at {path}", request.method());
                refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", None, &words)
            }
            _ => {
                let words = format!(
                    "there is nothing at {path}; a cassette answers /v1/chat/completions and /v1/models"
                );
                refusal(StatusCode::NOT_FOUND, "invalid_request_error", None, &words)
            }
        }
    }

    fn models(&self) -> Value {
        let created = (self.clock)() / 1_000;
        let model = |id| json!({ "id": id, "object": "model", "created": created, "owned_by": "cassette" });
        let models: Vec<Value> = self.player.cassette().models().into_iter().map(model).collect();
        json!({ "object": "list", "data": models })
    }

    async fn completions(&self, request: Request<Incoming>) -> Response<Body> {
        let wrong = |words: &str| refusal(StatusCode::BAD_REQUEST, "invalid_request_error", None, words);
        let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return wrong(&format!("the body is not whole, or longer than {BODY_BYTES_MAX} bytes")),
        };
        let asked = match Asked::of(&body) {
            Ok(asked) => asked,
            Err(words) => return wrong(&words),
        };
        let deltas = match self.player.deltas(&asked.model, &asked.request) {
            Ok(deltas) => deltas,
            Err(error) => return missed(&error),
        };
        if asked.streams {
            let frames = events(&asked, &deltas).into_iter().map(|event| Ok(Frame::data(Bytes::from(event))));
            let body = StreamBody::new(futures_util::stream::iter(frames));
            return with_body(StatusCode::OK, "text/event-stream; charset=utf-8", BodyExt::boxed(body));
        }
        match whole(&asked, deltas) {
            Ok(answer) => object(StatusCode::OK, &answer),
            Err(error) => {
                let words = error.to_string();
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some(error.code()), &words)
            }
        }
    }
}

/// No recording: 404, so that no client tries again what cannot succeed.
fn missed(error: &ModelError) -> Response<Body> {
    refusal(StatusCode::NOT_FOUND, "needs_recording", Some(error.code()), &error.to_string())
}

/// An error in the shape of the API.
fn refusal(status: StatusCode, kind: &str, code: Option<&str>, words: &str) -> Response<Body> {
    object(status, &json!({ "error": { "message": words, "type": kind, "param": null, "code": code } }))
}

fn object(status: StatusCode, object: &Value) -> Response<Body> {
    with_body(status, "application/json", Full::from(object.to_string()).boxed())
}

fn with_body(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
