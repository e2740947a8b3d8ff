//! Cassettes: what a model said, recorded once and replayed strictly, so that a run costs nothing and ends the same.
//!
//! [`CassetteModel`] records what another model says, or answers from recordings alone; [`serve`] answers programs in
//! any language from them. Requests are told apart by [`request_hash`]. Not here: when to record, and which file.
//!
//! ```
//! # use std::sync::Arc;
//! # use statewright_nodes_models::{Reply, Scripted, Scrubber, cassette::{Cassette, CassetteModel, Recorder, Replay}};
//! # use statewright_nodes_ports::{ChatModel, ChatRequest, Message};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("hello.jsonl");
//! let hello = || ChatRequest::new([Message::user("Hello")]);
//!
//! let inner = Arc::new(Scripted::new([Reply::text("Good morning")]));
//! let recorder = Recorder::open(&path, Scrubber::of_process(), Arc::new(|| 0))?;
//! CassetteModel::record(inner, recorder).complete(hello()).await?;
//!
//! let model = CassetteModel::replay(Cassette::open(&path)?, Replay::default())?;
//! assert_eq!(model.complete(hello()).await?.text, "Good morning");
//! let missed = model.complete(ChatRequest::new([Message::user("Goodbye")])).await.unwrap_err();
//! assert_eq!(missed.code(), "SW-P540");
//! assert!(missed.to_string().contains("- Hello\n+ Goodbye"));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canonical;
mod completions;
mod diff;
mod error;
mod file;
mod record;
mod replay;
pub mod serve;

use std::sync::Arc;

use statewright_nodes_ports::{BoxFuture, ChatModel, ChatRequest, ChatStream, ModelError, ModelId};

pub use canonical::request_hash;
pub use error::CassetteError;
pub use file::{CASSETTE_BYTES_MAX, Cassette, FORMAT, RECORDING_BYTES_MAX, Recording, VERSION};
pub use record::{Clock, Recorder};
use replay::Player;

use crate::secrets::Scrubber;

/// How a cassette is replayed.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// The model that answers; needed only where the cassette holds several.
    pub model: Option<ModelId>,
    /// Refuse a request that is asked more often than it was recorded, instead of repeating the last recording.
    pub exact: bool,
    /// Takes out of requests what was taken out of the recorded ones.
    pub scrubber: Scrubber,
}

/// A model with a cassette: it records what another one says, or says what was recorded.
#[derive(Clone)]
pub struct CassetteModel {
    id: ModelId,
    mode: Mode,
}

#[derive(Clone)]
enum Mode {
    Record(Arc<dyn ChatModel>, Recorder),
    Replay(Arc<Player>),
}

impl CassetteModel {
    /// Calls `inner`, and keeps each whole answer. An answer that breaks is not kept, and neither is an error.
    #[must_use]
    pub fn record(inner: Arc<dyn ChatModel>, recorder: Recorder) -> Self {
        Self { id: inner.id().clone(), mode: Mode::Record(inner, recorder) }
    }

    /// Answers from the cassette and never calls anything. Equal requests get their recordings in order.
    ///
    /// # Errors
    /// [`CassetteError::SeveralModels`] when it holds several and none is named.
    pub fn replay(cassette: Cassette, options: Replay) -> Result<Self, CassetteError> {
        let id = match options.model {
            Some(id) => id,
            None => sole_model(&cassette)?,
        };
        let player = Player::new(cassette, options.scrubber, options.exact);
        Ok(Self { id, mode: Mode::Replay(Arc::new(player)) })
    }
}

/// The model of a cassette that holds one. An empty cassette has no answer whatever the model is called.
fn sole_model(cassette: &Cassette) -> Result<ModelId, CassetteError> {
    let models = cassette.models();
    if models.len() > 1 {
        let models = models.into_iter().map(ToString::to_string).collect();
        return Err(CassetteError::SeveralModels { path: cassette.path().to_owned(), models });
    }
    #[expect(clippy::expect_used, reason = "a constant made of allowed characters")]
    let none = || ModelId::new("cassette").expect("a valid model id");
    Ok(models.into_iter().next().cloned().unwrap_or_else(none))
}

impl std::fmt::Debug for CassetteModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mode, path) = match &self.mode {
            Mode::Record(_, recorder) => ("record", recorder.path()),
            Mode::Replay(player) => ("replay", player.cassette().path()),
        };
        f.debug_struct("CassetteModel").field("id", &self.id).field(mode, &path).finish()
    }
}

impl ChatModel for CassetteModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        Box::pin(async move {
            match &self.mode {
                Mode::Replay(player) => player.stream(&self.id, &request),
                Mode::Record(inner, recorder) => {
                    let answer = inner.stream(request.clone()).await?;
                    Ok(recorder.pass_on(self.id.clone(), request, answer))
                }
            }
        })
    }
}
