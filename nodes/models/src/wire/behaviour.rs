//! What the test server does with a request: answer well, or fail in one of the ways that real servers fail.

use std::{fmt, io, str::FromStr, time::Duration};

use statewright_nodes_ports::{ChatDelta, FinishReason, ModelError, ToolCall};
use tokio::io::AsyncReadExt;

use super::{RecordedRequest, Shared, WireProtocol, events, http, http::Connection, messages};

/// What to do with one request.
///
/// As a word in a script: `ok`, `429` or `429:SECONDS`, `401`, any other status, `drop`, `cut`, `close`, `error`,
/// `empty`, `html`, `malformed`, `stall`, `type:CONTENT-TYPE`, `slow:MILLISECONDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// `ok`: the server's model answers.
    Answer,
    /// `slow:MS`: as `Answer`, with a pause after each piece.
    Slow(Duration),
    /// This text.
    Text(String),
    /// These tool calls, their arguments in fragments.
    ToolCalls(Vec<ToolCall>),
    /// These deltas, as the protocol writes them.
    Deltas(Vec<ChatDelta>),
    /// `type:NAME`: a good answer under this content type.
    ContentType(String),
    /// Exactly these bytes as a streamed answer with a proper end.
    Raw(Vec<u8>),
    /// A status with an error body, and a `Retry-After` header when there is one.
    Status {
        /// The HTTP status.
        status: u16,
        /// The header as it is sent: seconds, or an HTTP date.
        retry_after: Option<String>,
    },
    /// A 401 whose body repeats the key that was sent, as careless servers do.
    EchoKey,
    /// `drop`: half of the answer, then the connection breaks.
    DropMidStream,
    /// `cut`: half of the answer, then a proper end of the body, without a finish reason or end marker.
    Cut,
    /// `close`: the connection closes before any answer.
    Close,
    /// `error`: half of the answer, then an error object of this type.
    ErrorMidStream(String),
    /// `empty`: a finished answer without text.
    Empty,
    /// `html`: a web page with status 200.
    Html,
    /// `malformed`: an event that is no JSON.
    Malformed,
    /// `stall`: half of the answer, then nothing until the client leaves.
    Stall,
}

/// A word that names no [`Behaviour`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBehaviour(String);

impl fmt::Display for UnknownBehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no behaviour; use ok, a status such as 429 or 429:2, drop, cut, close, error, empty, html, malformed, stall, type:NAME or slow:MS",
            self.0
        )
    }
}

impl std::error::Error for UnknownBehaviour {}

impl FromStr for Behaviour {
    type Err = UnknownBehaviour;

    fn from_str(word: &str) -> Result<Self, UnknownBehaviour> {
        let unknown = || UnknownBehaviour(word.to_owned());
        let (name, argument) = word.split_once(':').map_or((word, None), |(name, rest)| (name, Some(rest)));
        if let Ok(status) = name.parse::<u16>() {
            let valid = (200..600).contains(&status);
            let behaviour = Self::Status { status, retry_after: argument.map(str::to_owned) };
            return if valid { Ok(behaviour) } else { Err(unknown()) };
        }
        match (name, argument) {
            ("ok", None) => Ok(Self::Answer),
            ("drop", None) => Ok(Self::DropMidStream),
            ("cut", None) => Ok(Self::Cut),
            ("close", None) => Ok(Self::Close),
            ("error", kind) => Ok(Self::ErrorMidStream(kind.unwrap_or("server_error").to_owned())),
            ("empty", None) => Ok(Self::Empty),
            ("html", None) => Ok(Self::Html),
            ("malformed", None) => Ok(Self::Malformed),
            ("stall", None) => Ok(Self::Stall),
            ("type", Some(name)) => Ok(Self::ContentType(name.to_owned())),
            ("slow", Some(pause)) => {
                Ok(Self::Slow(Duration::from_millis(pause.parse().map_err(|_| unknown())?)))
            }
            _ => Err(unknown()),
        }
    }
}

/// The word for a script; behaviours that have none show their kind.
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("ok"),
            Self::Slow(pause) => write!(f, "slow:{}", pause.as_millis()),
            Self::Text(_) => f.write_str("text"),
            Self::ToolCalls(_) => f.write_str("tool_calls"),
            Self::Raw(_) => f.write_str("raw"),
            Self::Deltas(_) => f.write_str("deltas"),
            Self::ContentType(name) => write!(f, "type:{name}"),
            Self::Status { status, retry_after: None } => write!(f, "{status}"),
            Self::Status { status, retry_after: Some(after) } => write!(f, "{status}:{after}"),
            Self::EchoKey => f.write_str("echo_key"),
            Self::DropMidStream => f.write_str("drop"),
            Self::Cut => f.write_str("cut"),
            Self::Close => f.write_str("close"),
            Self::ErrorMidStream(kind) => write!(f, "error:{kind}"),
            Self::Empty => f.write_str("empty"),
            Self::Html => f.write_str("html"),
            Self::Malformed => f.write_str("malformed"),
            Self::Stall => f.write_str("stall"),
        }
    }
}

impl Behaviour {
    pub(super) async fn answer(
        &self,
        stream: &mut dyn Connection,
        request: &RecordedRequest,
        shared: &Shared,
    ) -> io::Result<()> {
        match self {
            Self::Status { status, retry_after } => {
                let retry_after = retry_after.as_deref().map(|after| ("retry-after", after));
                // A redirection leads back here, so a client that follows it shows as another request.
                let location = (300..400).contains(status).then_some(("location", request.path.as_str()));
                let headers: Vec<(&str, &str)> = retry_after.into_iter().chain(location).collect();
                let body = request.protocol().error("scripted", &format!("scripted status {status}"));
                return http::json(stream, *status, &headers, &body).await;
            }
            Self::EchoKey => {
                let key = request.authorization.as_deref().unwrap_or("none");
                let body =
                    request.protocol().error("authentication_error", &format!("invalid credentials: {key}"));
                return http::json(stream, 401, &[], &body).await;
            }
            Self::Html => {
                let page = "<!doctype html><title>Welcome</title><p>This is no API.";
                return http::plain(stream, 200, &[("content-type", "text/html")], page).await;
            }
            Self::Close => return Ok(()),
            _ => {}
        }
        let events = match self.events(request, shared).await {
            Ok(events) => events,
            Err(error) => {
                let body = request.protocol().error("server_error", &error.to_string());
                return http::json(stream, 500, &[], &body).await;
            }
        };
        self.send(stream, &events, request.protocol(), shared).await
    }

    /// The bytes of the whole answer, before they are cut to pieces.
    async fn events(&self, request: &RecordedRequest, shared: &Shared) -> Result<Vec<u8>, ModelError> {
        let mut deltas = match self {
            Self::Raw(bytes) => return Ok(bytes.clone()),
            Self::Malformed => return Ok(b"data: {\"choices\": [}\n\n".to_vec()),
            Self::Empty => vec![ChatDelta::Finish(FinishReason::Stop)],
            Self::Deltas(deltas) => deltas.clone(),
            Self::Text(text) => events::text(text, &request.protocol().request(&request.body)),
            Self::ToolCalls(calls) => events::tool_calls(calls),
            _ => match &shared.model {
                Some(model) => {
                    events::modelled(model.as_ref(), request.protocol().request(&request.body)).await?
                }
                None => {
                    let request = request.protocol().request(&request.body);
                    events::text("A scripted answer: 150 × 2 = 300 €.", &request)
                }
            },
        };
        if self.breaks_off() {
            deltas.retain(|delta| !matches!(delta, ChatDelta::Finish(_) | ChatDelta::Usage(_)));
            deltas.truncate(deltas.len().div_ceil(2));
        }
        let whole = !self.breaks_off();
        Ok(match request.protocol() {
            WireProtocol::ChatCompletions => events::bytes(&deltas, &request.body, whole),
            WireProtocol::Messages => messages::bytes(&deltas, &request.body, whole),
        })
    }

    fn breaks_off(&self) -> bool {
        matches!(self, Self::DropMidStream | Self::Cut | Self::ErrorMidStream(_) | Self::Stall)
    }

    async fn send(
        &self,
        stream: &mut dyn Connection,
        events: &[u8],
        protocol: WireProtocol,
        shared: &Shared,
    ) -> io::Result<()> {
        let content_type = match self {
            Self::ContentType(name) => name,
            _ => "text/event-stream; charset=utf-8",
        };
        let headers: Vec<(&str, &str)> =
            shared.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        http::start_events(stream, content_type, &headers).await?;
        for piece in events.chunks(shared.piece_bytes) {
            http::piece(stream, piece).await?;
            if let Self::Slow(pause) = self {
                tokio::time::sleep(*pause).await;
            }
        }
        match self {
            Self::DropMidStream => Ok(()),
            Self::Stall => stream.read_u8().await.map(drop),
            Self::ErrorMidStream(kind) => {
                let error = protocol.error(kind, "scripted failure");
                http::piece(stream, format!("data: {error}\n\n").as_bytes()).await?;
                http::end_events(stream).await
            }
            _ => http::end_events(stream).await,
        }
    }
}
