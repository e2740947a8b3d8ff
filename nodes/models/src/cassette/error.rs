//! What can be wrong with a cassette, with the file and the line.

use std::path::PathBuf;

use statewright_nodes_ports::ModelError;

use super::file::{CASSETTE_BYTES_MAX, FORMAT, RECORDING_BYTES_MAX, VERSION};

/// Why a cassette cannot be read, or not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CassetteError {
    /// The operating system refused.
    #[error("the cassette `{}` cannot be {what}: {reason}; give the path of a file that can be", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// What the operating system said.
        reason: String,
    },
    /// The file is something else.
    #[error("`{}` is no cassette: line 1 {problem}; a cassette begins with {{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}", path.display())]
    NoCassette {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first line.
        problem: String,
    },
    /// A later program wrote it.
    #[error("the cassette `{}` has the format {found}, and this program reads up to {VERSION}; use a newer program, or record it anew", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in its first line.
        found: u64,
    },
    /// A line is damaged.
    #[error("the cassette `{}` is damaged in line {line}: {problem}; restore the file, or delete the line and record it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody else records into it.
    #[error("the cassette `{}` is being recorded by another process; wait for its end, or record into another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A file or a recording above the limit.
    #[error("the cassette `{}` is too large: {what}; the limits are {RECORDING_BYTES_MAX} bytes for a recording and {CASSETTE_BYTES_MAX} for a file, so split it", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What exceeds which limit.
        what: String,
    },
    /// Recordings of several models, and nobody said which one is to answer.
    #[error("the cassette `{}` holds {} models ({}); say which one is to answer with --model", path.display(), models.len(), models.join(", "))]
    SeveralModels {
        /// The file.
        path: PathBuf,
        /// Their ids.
        models: Vec<String>,
    },
    /// A secret stands in it.
    #[error("the cassette `{}` holds what looks like a secret in line {line}; delete the line and record it anew, and change the secret if others have the file", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl CassetteError {
    /// The stable code; its page is `docs/errors/<code>.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "SW-P541",
            Self::NoCassette { .. } => "SW-P542",
            Self::Newer { .. } => "SW-P543",
            Self::Damaged { .. } => "SW-P544",
            Self::InUse { .. } => "SW-P545",
            Self::TooLarge { .. } => "SW-P546",
            Self::SeveralModels { .. } => "SW-P547",
            Self::Secret { .. } => "SW-P548",
        }
    }
}

impl From<CassetteError> for ModelError {
    fn from(error: CassetteError) -> Self {
        Self::Cassette { code: error.code(), message: error.to_string() }
    }
}
