//! Recording: passes a model's answer on as it comes, and keeps it once it is whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use statewright_nodes_ports::{ChatDelta, ChatRequest, ChatStream, ModelError, ModelId, Reasoning};

use super::canonical::request_hash;
use super::error::CassetteError;
use super::file::{
    CASSETTE_BYTES_MAX, Cassette, RECORDING_BYTES_MAX, Recording, header, unreadable, unwritable,
};
use crate::secrets::Scrubber;

/// Gives the time of a recording, in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A cassette that is being recorded. One process at a time; clones write into the same file.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    file: Mutex<File>,
    scrubber: Scrubber,
    clock: Clock,
    cut_off: Option<usize>,
}

impl Recorder {
    /// Opens a cassette, or makes it, to add recordings at its end. A last line that a killed process left unfinished
    /// is cut away.
    ///
    /// # Errors
    /// [`CassetteError`] when the file is no sound cassette, cannot be written, or is being recorded by another process.
    pub fn open(path: impl Into<PathBuf>, scrubber: Scrubber, clock: Clock) -> Result<Self, CassetteError> {
        let path = path.into();
        let refused = |error: &std::io::Error| unwritable(&path, error);
        let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = opened.map_err(|error| refused(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CassetteError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(refused(&error)),
        }
        if is_begun(&path, &mut file)? {
            file.set_len(0)
                .and_then(|()| file.write_all(header().as_bytes()))
                .map_err(|error| refused(&error))?;
        }
        file.rewind().map_err(|error| refused(&error))?;
        let cassette = Cassette::read(path.clone(), file.try_clone().map_err(|error| refused(&error))?)?;
        if cassette.cut_off().is_some() {
            file.set_len(cassette.sound_bytes).map_err(|error| refused(&error))?;
        } else if !cassette.ends_line {
            file.write_all(b"\n").map_err(|error| refused(&error))?;
        }
        let cut_off = cassette.cut_off();
        Ok(Self { shared: Arc::new(Shared { path, file: Mutex::new(file), scrubber, clock, cut_off }) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The number of the line that was cut away when the cassette was opened.
    #[must_use]
    pub fn cut_off(&self) -> Option<usize> {
        self.shared.cut_off
    }

    /// Adds a recording: one line, in one write.
    fn keep(
        &self,
        model: &ModelId,
        request: &ChatRequest,
        deltas: Vec<ChatDelta>,
    ) -> Result<(), CassetteError> {
        let Shared { path, file, scrubber, clock, .. } = &*self.shared;
        let request = kept_request(scrubber, request);
        let deltas = kept_deltas(scrubber, deltas);
        let recording = Recording {
            hash: request_hash(model, &request),
            model: model.clone(),
            recorded_ms: clock(),
            usage: Recording::usage_in(&deltas),
            request,
            deltas,
        };
        let refused = |reason: String| CassetteError::Io { path: path.clone(), what: "written", reason };
        let mut line = serde_json::to_vec(&recording).map_err(|error| refused(error.to_string()))?;
        line.push(b'\n');
        if line.len() > RECORDING_BYTES_MAX {
            let what = format!("a recording would have {} bytes", line.len());
            return Err(CassetteError::TooLarge { path: path.clone(), what });
        }
        // A panic while the lock is held leaves the file as the operating system has it.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = file.seek(SeekFrom::End(0)).map_err(|error| refused(error.to_string()))?;
        if before + line.len() as u64 > CASSETTE_BYTES_MAX {
            let what = format!("it would have more than {CASSETTE_BYTES_MAX} bytes");
            return Err(CassetteError::TooLarge { path: path.clone(), what });
        }
        file.write_all(&line).map_err(|error| {
            // A disk that is full may have taken a part, which must not stand before the next line.
            drop(file.set_len(before));
            refused(error.to_string())
        })
    }

    /// The answer, passed on as it comes. It is kept before its end is told; an answer that breaks is not kept.
    pub(super) fn pass_on(&self, model: ModelId, request: ChatRequest, answer: ChatStream) -> ChatStream {
        Recorded { recorder: self.clone(), model, request, answer, deltas: Vec::new(), is_open: true }.boxed()
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// Whether the header is still to be written: the file is empty, or a process died while it wrote the first line.
fn is_begun(path: &Path, file: &mut File) -> Result<bool, CassetteError> {
    let length = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    if length >= header().len() as u64 {
        return Ok(false);
    }
    let start = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    Ok(header().as_bytes().starts_with(&start))
}

/// The request as it is kept: what a model saw, without secrets.
pub(super) fn kept_request(scrubber: &Scrubber, request: &ChatRequest) -> ChatRequest {
    let request = ChatRequest { idempotency_key: None, ..request.clone() };
    let scrubbed = serde_json::to_value(&request).map(|value| scrubber.json(value));
    match scrubbed.and_then(serde_json::from_value::<ChatRequest>) {
        Ok(scrubbed) => scrubbed,
        // What JSON cannot hold is not kept either.
        Err(_) => request,
    }
}

/// The deltas without secrets. A secret may be spread over several, so each text is looked at as a whole; one that
/// changes becomes a single delta.
fn kept_deltas(scrubber: &Scrubber, deltas: Vec<ChatDelta>) -> Vec<ChatDelta> {
    let mut kept = deltas;
    let mut seen: Vec<Lane> = Vec::new();
    for at in 0..kept.len() {
        let Some(lane) = lane(&kept[at]).filter(|lane| !seen.contains(lane)) else { continue };
        seen.push(lane);
        let whole: String = kept
            .iter_mut()
            .filter(|delta| self::lane(delta) == Some(lane))
            .filter_map(text_of)
            .map(|text| &**text)
            .collect();
        let scrubbed = scrubber.text(&whole);
        if scrubbed == whole {
            continue;
        }
        let mut scrubbed = Some(scrubbed.into_owned());
        for text in kept.iter_mut().filter(|delta| self::lane(delta) == Some(lane)).filter_map(text_of) {
            *text = scrubbed.take().unwrap_or_default();
        }
    }
    kept.retain(|delta| !matches!(delta, ChatDelta::Text(text) if text.is_empty()));
    kept
}

/// Which text of an answer a delta adds to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Text,
    Reasoning,
    Call(u32),
}

fn lane(delta: &ChatDelta) -> Option<Lane> {
    match delta {
        ChatDelta::Text(_) => Some(Lane::Text),
        ChatDelta::Reasoning(_) => Some(Lane::Reasoning),
        ChatDelta::ToolCall { index, .. } => Some(Lane::Call(*index)),
        _ => None,
    }
}

fn text_of(delta: &mut ChatDelta) -> Option<&mut String> {
    match delta {
        ChatDelta::Text(text) | ChatDelta::Reasoning(Reasoning { text, .. }) => Some(text),
        ChatDelta::ToolCall { arguments, .. } => Some(arguments),
        _ => None,
    }
}

/// An answer on its way.
struct Recorded {
    recorder: Recorder,
    model: ModelId,
    request: ChatRequest,
    answer: ChatStream,
    deltas: Vec<ChatDelta>,
    is_open: bool,
}

impl Recorded {
    fn keep(&mut self) -> Result<(), CassetteError> {
        self.is_open = false;
        let is_whole = self.deltas.iter().any(|delta| matches!(delta, ChatDelta::Finish(_)));
        if !is_whole {
            return Ok(());
        }
        self.recorder.keep(&self.model, &self.request, std::mem::take(&mut self.deltas))
    }
}

impl Stream for Recorded {
    type Item = Result<ChatDelta, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_open {
            return Poll::Ready(None);
        }
        match self.answer.poll_next_unpin(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(delta))) => {
                self.deltas.push(delta.clone());
                Poll::Ready(Some(Ok(delta)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.is_open = false;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => Poll::Ready(self.keep().err().map(|error| Err(error.into()))),
        }
    }
}

/// Who has seen the finish need not ask for more.
impl Drop for Recorded {
    fn drop(&mut self) {
        if self.is_open
            && let Err(error) = self.keep()
        {
            tracing::warn!(code = error.code(), "an answer could not be recorded");
        }
    }
}
