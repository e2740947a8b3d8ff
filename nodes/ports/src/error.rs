//! What can go wrong with a model call, with stable codes and a class for retry policies.
//!
//! Errors are data: they can be cloned, compared and journalled. They never contain a key.

use std::time::Duration;

use crate::{FinishReason, ModelId};

/// The most of a provider's error body that an error keeps, in bytes.
pub const BODY_BYTES_MAX: usize = 2048;

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The same call may succeed later.
    Transient,
    /// The same call fails again until somebody changes something.
    Permanent,
}

/// Why a model call failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A model id with a wrong character or length.
    #[error(
        "the model id `{given}` is not valid: {problem}; use 1 to 200 characters of letters, digits and `. _ / @ : -`"
    )]
    InvalidModelId {
        /// The id as given, escaped and shortened.
        given: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The endpoint refused the key, or wants one (401, 403).
    #[error(
        "the model endpoint {endpoint} refused access (HTTP {status}): {body}; check that {setting} is set to a key that is valid for this endpoint and model"
    )]
    Unauthorised {
        /// Where the key comes from, such as `OPENAI_API_KEY`.
        setting: &'static str,
        /// Scheme, host and path that was called.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The start of the provider's answer.
        body: String,
    },
    /// The provider asks to slow down (429).
    #[error("the model endpoint limits the rate (HTTP 429){}: {body}; wait, or lower the number of parallel calls", wait(*.retry_after))]
    RateLimited {
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
        /// The start of the provider's answer.
        body: String,
    },
    /// Any other HTTP status that is not a success.
    #[error("the model endpoint {endpoint} answered HTTP {status}: {body}; {}", advice(*.status))]
    Status {
        /// Scheme, host and path that was called.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
        /// The start of the provider's answer.
        body: String,
    },
    /// No answer, or no further part of it, within the time limit.
    #[error(
        "the model endpoint did not answer within {} s; try again, or raise the time limit of a call",
        .after.as_secs_f64()
    )]
    Timeout {
        /// The limit that passed.
        after: Duration,
    },
    /// The connection could not be made, or broke.
    #[error(
        "the connection to the model failed: {detail}; check that the base URL is right and that the server runs, then try again"
    )]
    Transport {
        /// What failed.
        detail: String,
    },
    /// An answer that does not follow the protocol.
    #[error(
        "the model endpoint sent something that is no answer of its API: {detail}; check that the base URL points to an API of this provider, and not to a web page"
    )]
    Protocol {
        /// What is wrong.
        detail: String,
    },
    /// Neither text nor a tool call.
    #[error(
        "the model {model} gave an empty answer (finish reason: {}); try again, allow more output tokens, or use another model",
        .finish.as_str()
    )]
    EmptyAnswer {
        /// The model.
        model: ModelId,
        /// Why it stopped.
        finish: FinishReason,
    },
    /// A scripted model has no reply left, or none that fits.
    #[error(
        "the scripted model has no reply left for call {call} (purpose: {purpose}); add one to the script, or make fewer calls"
    )]
    ScriptExhausted {
        /// The number of the call, from 1.
        call: u64,
        /// The purpose of the call, or `none`.
        purpose: String,
    },
    /// A setting that can't work.
    #[error("{setting} cannot be used: {problem}")]
    Configuration {
        /// The setting, by the name that the user knows.
        setting: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Something in the request that this provider's protocol has no place for.
    #[error("{provider} cannot be sent {what}; leave it out, or use a model of another provider")]
    Unsupported {
        /// The protocol, such as `Chat Completions`.
        provider: &'static str,
        /// What cannot be sent.
        what: String,
    },
    /// The limits of a key would make the call wait for longer than it may.
    #[error(
        "the call would wait {} s for the rate limit of its key, longer than {} s; lower the number of parallel calls, or raise the longest wait",
        .wait.as_secs_f64(), .wait_max.as_secs_f64()
    )]
    RateWait {
        /// How long it would have to wait.
        wait: Duration,
        /// The longest that it may.
        wait_max: Duration,
    },
    /// A model that is not on the list of allowed ones.
    #[error(
        "the model `{model}` is not allowed here; allowed are: {allowed}; use one of them, or add it to {setting}"
    )]
    NotAllowed {
        /// The model.
        model: ModelId,
        /// The list, joined.
        allowed: String,
        /// Where the list comes from.
        setting: &'static str,
    },
    /// An answer that does not have the form that was asked for, nor has it after one repair.
    #[error(
        "the model {model} did not answer in the form `{schema}`, nor after it was told what is wrong: {problem}; simplify the schema, or use another model"
    )]
    WrongForm {
        /// The model.
        model: ModelId,
        /// The schema's name.
        schema: String,
        /// What is wrong, shortened.
        problem: String,
    },
    /// The endpoint showed a certificate that is not trusted.
    #[error(
        "the certificate of the model endpoint is not trusted: {detail}; check the base URL, or give the authority that signed it with STATEWRIGHT_CA_FILE"
    )]
    UntrustedCertificate {
        /// What is wrong with it.
        detail: String,
    },
    /// A cassette that is replayed has no recording of this request.
    #[error("the cassette `{cassette}` {problem}; record it with --record, or undo what changed the request{}", beside(.diff))]
    NeedsRecording {
        /// The cassette, as it was named.
        cassette: String,
        /// What is missing.
        problem: String,
        /// How the request differs from the nearest recording, in lines; empty if there is none.
        diff: String,
    },
    /// A cassette cannot be used.
    #[error("{message}")]
    Cassette {
        /// The stable code.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// The provider reported an error inside an answer that had begun well.
    #[error("the model endpoint broke off its answer with an error: {message}; {}", match .class {
        ErrorClass::Transient => "try again later",
        ErrorClass::Permanent => "change the request as the message says",
    })]
    Reported {
        /// The provider's message, shortened.
        message: String,
        /// Whether the provider's error type tells of a passing condition.
        class: ErrorClass,
    },
}

impl ModelError {
    /// The stable code, such as `SW-P503`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidModelId { .. } => "SW-P501",
            Self::Unauthorised { .. } => "SW-P502",
            Self::RateLimited { .. } => "SW-P503",
            Self::Status { .. } => "SW-P504",
            Self::Timeout { .. } => "SW-P505",
            Self::Transport { .. } => "SW-P506",
            Self::Protocol { .. } => "SW-P507",
            Self::EmptyAnswer { .. } => "SW-P508",
            Self::ScriptExhausted { .. } => "SW-P509",
            Self::Configuration { .. } => "SW-P510",
            Self::Reported { .. } => "SW-P511",
            Self::Unsupported { .. } => "SW-P512",
            Self::RateWait { .. } => "SW-P513",
            Self::NotAllowed { .. } => "SW-P514",
            Self::WrongForm { .. } => "SW-P515",
            Self::UntrustedCertificate { .. } => "SW-P516",
            Self::NeedsRecording { .. } => "SW-P540",
            Self::Cassette { code, .. } => code,
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        let transient = match self {
            Self::RateLimited { .. }
            | Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::RateWait { .. } => true,
            Self::Status { status, .. } => is_transient_status(*status),
            // A model that simply stopped may well answer next time; one that was cut off or filtered will not.
            Self::EmptyAnswer { finish, .. } => *finish == FinishReason::Stop,
            Self::Reported { class, .. } => return *class,
            Self::InvalidModelId { .. }
            | Self::Unauthorised { .. }
            | Self::Protocol { .. }
            | Self::ScriptExhausted { .. }
            | Self::NeedsRecording { .. }
            | Self::Cassette { .. }
            | Self::Configuration { .. }
            | Self::Unsupported { .. }
            | Self::NotAllowed { .. }
            | Self::WrongForm { .. }
            | Self::UntrustedCertificate { .. } => false,
        };
        if transient { ErrorClass::Transient } else { ErrorClass::Permanent }
    }

    /// How long the provider asked to wait before the next call.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The start of a provider's body, fit for an error: at most [`BODY_BYTES_MAX`] bytes of text, without
/// control characters (they could rewrite a terminal), on one line.
#[must_use]
pub fn body_excerpt(body: &str) -> String {
    let mut excerpt = String::new();
    for word in body.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let separator = if excerpt.is_empty() { "" } else { " " };
        let room = BODY_BYTES_MAX.saturating_sub(excerpt.len() + separator.len());
        excerpt.push_str(&separator[..separator.len().min(BODY_BYTES_MAX - excerpt.len())]);
        excerpt.push_str(&word[..word.floor_char_boundary(room)]);
        if word.len() > room {
            break;
        }
    }
    if excerpt.is_empty() { "(no body)".to_owned() } else { excerpt }
}

fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504 | 529)
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!(" and asks to wait {} s", after.as_secs_f64()))
}

fn beside(diff: &str) -> String {
    if diff.is_empty() { String::new() } else { format!(". The nearest recording is unlike it:\n{diff}") }
}

fn advice(status: u16) -> &'static str {
    match status {
        404 => "check the base URL and the model id",
        _ if is_transient_status(status) => "try again later",
        _ => "change the request as the answer says",
    }
}
