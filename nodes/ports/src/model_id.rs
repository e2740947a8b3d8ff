//! Model ids, checked where they enter.
//!
//! An id goes into requests, journals, file names and terminals, so only harmless characters get in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// The longest model id, in characters.
pub const MODEL_ID_CHARS_MAX: usize = 200;

/// The name of a model as its provider spells it: 1 to 200 characters of `A-Z a-z 0-9 . _ / @ : -`.
///
/// ```
/// use statewright_nodes_ports::ModelId;
/// assert_eq!(ModelId::new("openai/gpt-4.1-mini")?.as_str(), "openai/gpt-4.1-mini");
/// assert!(ModelId::new("gpt 4").is_err());
/// # Ok::<(), statewright_nodes_ports::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(String);

impl ModelId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`ModelError::InvalidModelId`] when the id is empty, too long or has any other character.
    pub fn new(id: impl Into<String>) -> Result<Self, ModelError> {
        let id = id.into();
        let problem = if id.is_empty() {
            Some("it is empty".to_owned())
        } else if id.chars().count() > MODEL_ID_CHARS_MAX {
            Some(format!("it is longer than {MODEL_ID_CHARS_MAX} characters"))
        } else {
            id.chars().find(|c| !is_allowed(*c)).map(|c| format!("it contains {c:?}"))
        };
        match problem {
            None => Ok(Self(id)),
            Some(problem) => {
                let given = id.chars().take(MODEL_ID_CHARS_MAX).flat_map(char::escape_debug).collect();
                Err(ModelError::InvalidModelId { given, problem })
            }
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._/@:-".contains(c)
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ModelId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelId {
    type Err = ModelError;

    fn from_str(id: &str) -> Result<Self, ModelError> {
        Self::new(id)
    }
}

impl TryFrom<String> for ModelId {
    type Error = ModelError;

    fn try_from(id: String) -> Result<Self, ModelError> {
        Self::new(id)
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.0
    }
}
