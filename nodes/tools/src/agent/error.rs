//! What a loop can fail with. A limit that is reached, and a tool that fails, are none of it.

use std::time::Duration;

use statewright_nodes_ports::{ErrorClass, HostError, ModelError};

/// Why a loop could not go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The host could not keep a step or pose a question, a budget of it is used up, or a model call failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The model gave an empty answer twice.
    #[error(transparent)]
    Empty(ModelError),
    /// What has to stay does not fit into the model's window.
    #[error(
        "the system prompt, the tools and the question take more than the {tokens} tokens that the window of the model leaves them; shorten them, offer fewer tools, or use a model with a larger window"
    )]
    Window {
        /// What they may take.
        tokens: usize,
    },
}

impl AgentError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Host(error) => &error.code,
            Self::Empty(error) => error.code(),
            Self::Window { .. } => "SW-N390",
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Host(error) => error.class,
            Self::Empty(error) => error.class(),
            Self::Window { .. } => ErrorClass::Permanent,
        }
    }

    /// How long to wait before the next try, if whoever was asked said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Host(error) => error.retry_after,
            _ => None,
        }
    }
}
