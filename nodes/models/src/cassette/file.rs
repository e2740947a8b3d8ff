//! The file of a cassette: a header line, then one line of JSON for each recording. Reading and checking; written by
//! `record`.
//!
//! ```text
//! {"format":"statewright-cassette","version":1}
//! {"hash":"9f…","model":"gpt-4.1-mini","recorded_ms":1764115200000,"request":{…},"deltas":[…],"usage":{…}}
//! ```
//!
//! A process that is killed while it writes leaves at most its last line unfinished. Such a line is left out and
//! told; any other damage is an error.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use statewright_nodes_ports::{ChatDelta, ChatRequest, ModelId, Usage};

use super::canonical::request_hash;
use super::error::CassetteError;
use crate::secrets::Scrubber;

/// What the header says.
pub const FORMAT: &str = "statewright-cassette";
/// The version that is written, and the latest one that is read.
pub const VERSION: u64 = 1;
/// The longest line, in bytes.
pub const RECORDING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The largest file, in bytes.
pub const CASSETTE_BYTES_MAX: u64 = 512 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u64,
}

/// The first line, with its end.
pub(super) fn header() -> String {
    format!("{{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}\n")
}

/// What a model was asked and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// [`request_hash`] of model and request.
    pub hash: String,
    /// The model that answered.
    pub model: ModelId,
    /// When, in milliseconds since 1970, by the clock of whoever recorded.
    pub recorded_ms: u64,
    /// The request without its idempotency key and without secrets.
    pub request: ChatRequest,
    /// The answer as it was streamed, without secrets.
    pub deltas: Vec<ChatDelta>,
    /// The tokens of the call, as the last delta that tells them says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Recording {
    pub(super) fn usage_in(deltas: &[ChatDelta]) -> Option<Usage> {
        deltas.iter().rev().find_map(|delta| match delta {
            ChatDelta::Usage(usage) => Some(*usage),
            _ => None,
        })
    }

    /// The answer's text.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.deltas.iter().filter_map(|delta| match delta {
            ChatDelta::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

/// A cassette that was read whole and found sound.
#[derive(Debug, Clone)]
pub struct Cassette {
    path: PathBuf,
    recordings: Vec<Recording>,
    /// The line of each recording.
    lines: Vec<usize>,
    cut_off: Option<usize>,
    /// The bytes up to the end of the last whole line, and whether that end has its line break.
    pub(super) sound_bytes: u64,
    pub(super) ends_line: bool,
}

impl Cassette {
    /// Reads a cassette and checks every line.
    ///
    /// # Errors
    /// [`CassetteError`] with the file and, where there is one, the line.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, CassetteError> {
        let path = path.into();
        let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
        Self::read(path, file)
    }

    pub(super) fn read(path: PathBuf, file: File) -> Result<Self, CassetteError> {
        let mut bytes = Vec::new();
        let read = file.take(CASSETTE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&path, &error))?;
        if bytes.len() as u64 > CASSETTE_BYTES_MAX {
            return Err(CassetteError::TooLarge {
                path,
                what: format!("it has more than {CASSETTE_BYTES_MAX} bytes"),
            });
        }
        Self::parse(path, &bytes)
    }

    fn parse(path: PathBuf, bytes: &[u8]) -> Result<Self, CassetteError> {
        let mut cassette = Self {
            path,
            recordings: Vec::new(),
            lines: Vec::new(),
            cut_off: None,
            sound_bytes: 0,
            ends_line: true,
        };
        let mut lines = (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')).peekable();
        let (_, first) = lines.next().unwrap_or((1, b""));
        cassette.check_header(first)?;
        cassette.took(first);
        while let Some((number, line)) = lines.next() {
            let is_unfinished = lines.peek().is_none() && !line.ends_with(b"\n");
            match cassette.recording(number, line) {
                Ok(Some(recording)) => {
                    cassette.recordings.push(recording);
                    cassette.lines.push(number);
                }
                Ok(None) => {}
                // What a process was writing when it died.
                Err(_) if is_unfinished => {
                    cassette.cut_off = Some(number);
                    break;
                }
                Err(error) => return Err(error),
            }
            cassette.took(line);
        }
        Ok(cassette)
    }

    fn took(&mut self, line: &[u8]) {
        self.sound_bytes += line.len() as u64;
        self.ends_line = line.ends_with(b"\n");
    }

    fn check_header(&self, line: &[u8]) -> Result<(), CassetteError> {
        let wrong = |problem: &str| CassetteError::NoCassette {
            path: self.path.clone(),
            problem: problem.to_owned(),
        };
        if line.is_empty() {
            return Err(wrong("is missing, for the file is empty"));
        }
        let header: Header = serde_json::from_slice(line).map_err(|_| wrong("is not the header of one"))?;
        if header.format != FORMAT {
            return Err(wrong("names another format"));
        }
        match header.version {
            1..=VERSION => Ok(()),
            0 => Err(wrong("names the version 0, which never was")),
            found => Err(CassetteError::Newer { path: self.path.clone(), found }),
        }
    }

    /// The recording of a line; nothing for an empty one.
    fn recording(&self, line: usize, bytes: &[u8]) -> Result<Option<Recording>, CassetteError> {
        let damaged = |problem: String| CassetteError::Damaged { path: self.path.clone(), line, problem };
        if bytes.len() > RECORDING_BYTES_MAX {
            let what = format!("line {line} has {} bytes", bytes.len());
            return Err(CassetteError::TooLarge { path: self.path.clone(), what });
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| damaged(format!("it is not UTF-8 ({error})")))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let recording: Recording =
            serde_json::from_str(text).map_err(|error| damaged(format!("it is no recording ({error})")))?;
        if recording.hash != request_hash(&recording.model, &recording.request) {
            return Err(damaged("its hash is not that of its request".to_owned()));
        }
        if recording.usage != Recording::usage_in(&recording.deltas) {
            return Err(damaged("its usage is not the one that its deltas tell".to_owned()));
        }
        if !recording.deltas.iter().any(|delta| matches!(delta, ChatDelta::Finish(_))) {
            return Err(damaged("its answer has no end".to_owned()));
        }
        Ok(Some(recording))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was recorded, oldest first.
    #[must_use]
    pub fn recordings(&self) -> &[Recording] {
        &self.recordings
    }

    /// The models that answered, by name.
    #[must_use]
    pub fn models(&self) -> BTreeSet<&ModelId> {
        self.recordings.iter().map(|recording| &recording.model).collect()
    }

    /// Looks for secrets that stand in it all the same: recorded with another environment, or put in by hand.
    ///
    /// # Errors
    /// [`CassetteError::Secret`] with the first line that has one.
    pub fn check_secrets(&self, scrubber: &Scrubber) -> Result<(), CassetteError> {
        for (recording, line) in self.recordings.iter().zip(&self.lines) {
            let Ok(value) = serde_json::to_value(recording) else { continue };
            let text = recording.text();
            if scrubber.json(value.clone()) != value || scrubber.text(&text) != text {
                return Err(CassetteError::Secret { path: self.path.clone(), line: *line });
            }
        }
        Ok(())
    }

    /// The number of the last line if it was left out, because a process died while it wrote it.
    #[must_use]
    pub fn cut_off(&self) -> Option<usize> {
        self.cut_off
    }
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> CassetteError {
    CassetteError::Io { path: path.to_owned(), what: "read", reason: error.to_string() }
}

pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> CassetteError {
    CassetteError::Io { path: path.to_owned(), what: "written", reason: error.to_string() }
}
