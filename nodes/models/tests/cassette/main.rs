//! Cassettes: what is recorded is what is replayed, strictly, without secrets, and as an endpoint.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod files;
mod record;
mod secrets;
mod serve;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use statewright_nodes_models::cassette::{Cassette, CassetteModel, Recorder, Replay};
use statewright_nodes_models::{Reply, Scripted, Scrubber};
use statewright_nodes_ports::{ChatDelta, ChatModel, ChatRequest, Message, ModelError};

/// A folder with one cassette in it.
pub(crate) struct Tape {
    folder: tempfile::TempDir,
}

impl Tape {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("tape.jsonl")
    }

    /// Records these replies of a scripted model.
    pub(crate) fn recording(&self, script: impl IntoIterator<Item = Reply>) -> CassetteModel {
        self.recording_of(Arc::new(Scripted::new(script)), Scrubber::default())
    }

    pub(crate) fn recording_of(&self, model: Arc<dyn ChatModel>, scrubber: Scrubber) -> CassetteModel {
        CassetteModel::record(
            model,
            Recorder::open(self.path(), scrubber, Arc::new(|| 1_764_115_200_000)).unwrap(),
        )
    }

    pub(crate) fn cassette(&self) -> Cassette {
        Cassette::open(self.path()).unwrap()
    }

    pub(crate) fn replaying(&self) -> CassetteModel {
        CassetteModel::replay(self.cassette(), Replay::default()).unwrap()
    }

    /// A cassette with three recordings, as bytes.
    pub(crate) async fn of_three() -> (Self, Vec<u8>) {
        let tape = Self::new();
        let model = tape.recording(["one", "two", "three"].map(Reply::text));
        for question in ["a", "b", "c"] {
            model.complete(asking(question)).await.unwrap();
        }
        drop(model);
        let bytes = std::fs::read(tape.path()).unwrap();
        (tape, bytes)
    }
}

pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).unwrap();
}

pub(crate) fn asking(question: &str) -> ChatRequest {
    ChatRequest::new([Message::system("Be brief."), Message::user(question)])
}

pub(crate) async fn streamed(
    model: &dyn ChatModel,
    request: ChatRequest,
) -> Vec<Result<ChatDelta, ModelError>> {
    model.stream(request).await.unwrap().collect().await
}
