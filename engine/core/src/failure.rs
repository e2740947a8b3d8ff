//! Failures as data: what a journal keeps of something that went wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The same call may succeed later: a lost connection, a rate limit, a timeout.
    Transient,
    /// The same call fails again: bad input, a missing permission, a defect.
    Permanent,
    /// Nobody said; treated as permanent unless a policy says otherwise.
    #[default]
    Unclassified,
}

impl FailureKind {
    /// The word used in records and messages.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Transient => "transient",
            FailureKind::Permanent => "permanent",
            FailureKind::Unclassified => "unclassified",
        }
    }
}

/// What went wrong, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable code, such as `SW-X220`, that `statewright explain` knows.
    pub code: String,
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// What happened, in one sentence.
    pub message: String,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// When to come back, in milliseconds from the failure, if whoever was asked said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure without causes.
    pub fn new(code: impl Into<String>, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { code: code.into(), kind, message: message.into(), details: Vec::new(), retry_after_ms: None }
    }

    /// The failure with its words cut to what a record may hold: 64 KiB each, 32 causes.
    pub(crate) fn bounded(mut self) -> Self {
        self.message = shortened(self.message);
        self.details.truncate(32);
        self.details = self.details.into_iter().map(shortened).collect();
        self
    }

    /// A failure that the same input brings about again.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(code, FailureKind::Permanent, message)
    }
}

/// What an error handler is told: the input of the node that [`crate::graph::NodeSpec::on_error`] leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailure {
    /// The node that failed.
    pub node: String,
    /// The code of the last failure.
    pub code: String,
    /// Whether trying again could have helped.
    pub kind: FailureKind,
    /// What happened, in one sentence.
    pub message: String,
    /// The chain of causes, outermost first; then the effects that began and whose outcome is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// How often the node was tried.
    pub attempts: u32,
}

impl NodeFailure {
    pub(crate) fn new(node: &str, failure: &Failure, attempts: u32) -> Self {
        Self {
            node: node.to_owned(),
            code: failure.code.clone(),
            kind: failure.kind,
            message: failure.message.clone(),
            details: failure.details.clone(),
            attempts,
        }
    }
}

/// At most 64 KiB of a text, cut between characters, with a mark where it was cut.
pub(crate) fn shortened(mut text: String) -> String {
    const MAX_BYTES: usize = 64 * 1024;
    if text.len() > MAX_BYTES {
        let end = (0..=MAX_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.details {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}
