//! Replaying: answers from recordings alone. A request without one is refused; nothing is ever called.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use statewright_nodes_ports::{ChatDelta, ChatRequest, ChatStream, ModelError, ModelId};

use super::canonical::request_hash;
use super::diff;
use super::file::Cassette;
use super::record::kept_request;
use crate::secrets::Scrubber;

/// A cassette that is being replayed, with how far each request has got.
#[derive(Debug)]
pub(super) struct Player {
    cassette: Cassette,
    /// The recordings of each request, by their place in the cassette, and how often it was asked.
    by_hash: HashMap<String, Asked>,
    scrubber: Scrubber,
    exact: bool,
}

#[derive(Debug, Default)]
struct Asked {
    recordings: Vec<usize>,
    times: Mutex<usize>,
}

impl Player {
    pub(super) fn new(cassette: Cassette, scrubber: Scrubber, exact: bool) -> Self {
        let mut by_hash: HashMap<String, Asked> = HashMap::new();
        for (at, recording) in cassette.recordings().iter().enumerate() {
            by_hash.entry(recording.hash.clone()).or_default().recordings.push(at);
        }
        Self { cassette, by_hash, scrubber, exact }
    }

    pub(super) fn cassette(&self) -> &Cassette {
        &self.cassette
    }

    /// What was recorded for the request: the first time the first recording, then the next, and the last one for ever.
    pub(super) fn deltas(
        &self,
        model: &ModelId,
        request: &ChatRequest,
    ) -> Result<Vec<ChatDelta>, ModelError> {
        let request = kept_request(&self.scrubber, request);
        let Some(asked) = self.by_hash.get(&request_hash(model, &request)) else {
            return Err(self.missing(model, &request));
        };
        let mut times = asked.times.lock().unwrap_or_else(PoisonError::into_inner);
        let last = asked.recordings.len() - 1;
        if self.exact && *times > last {
            let problem =
                format!("has only {} for this request, and it was asked once more", count(last + 1));
            return Err(self.needs_recording(problem, String::new()));
        }
        let at = asked.recordings[(*times).min(last)];
        *times += 1;
        Ok(self.cassette.recordings()[at].deltas.clone())
    }

    pub(super) fn stream(&self, model: &ModelId, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        Ok(stream::iter(self.deltas(model, request)?).map(Ok).boxed())
    }

    fn missing(&self, model: &ModelId, request: &ChatRequest) -> ModelError {
        let recordings = self.cassette.recordings();
        let purpose =
            request.purpose.as_deref().map_or(String::new(), |purpose| format!(" (purpose: {purpose})"));
        let problem = format!("has no recording of this request{purpose} among its {}", recordings.len());
        let nearest = diff::nearest(recordings, model, request);
        self.needs_recording(
            problem,
            nearest.map_or_else(String::new, |near| diff::changes(near, model, request)),
        )
    }

    fn needs_recording(&self, problem: String, diff: String) -> ModelError {
        ModelError::NeedsRecording { cassette: self.cassette.path().display().to_string(), problem, diff }
    }
}

fn count(recordings: usize) -> String {
    if recordings == 1 { "1 recording".to_owned() } else { format!("{recordings} recordings") }
}
