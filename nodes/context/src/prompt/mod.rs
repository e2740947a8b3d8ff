//! Prompts as files: a text with named placeholders, and the version of it.
//!
//! ```text
//! ---
//! description: Answers a letter.
//! ---
//! Answer the letter of {{name}} in {{language}}. Write \{{ for two braces.
//! ```
//!
//! [`Prompt`] is one such text, [`library`] a set of them that a folder can override, [`layers`] a system prompt put
//! together from several sources. Not here: who is asked, and with which values.

mod error;
pub mod layers;
pub mod library;
mod template;

use std::fmt;

use sha2::{Digest, Sha256};

pub use error::PromptError;
pub use layers::{Layer, SystemPrompt};
pub use library::Prompts;
use template::{Piece, Template};

/// The largest prompt, in bytes.
pub const PROMPT_BYTES_MAX: usize = 256 * 1024;

/// A text with named placeholders. Cheap to keep, parsed once.
///
/// ```
/// use statewright_nodes_context::prompt::Prompt;
/// let prompt = Prompt::parse("greeting", "Greet {{name}} in {{language}}.")?;
/// assert_eq!(prompt.render(&[("language", "Latin"), ("name", "Ada")])?, "Greet Ada in Latin.");
/// let missing = prompt.render(&[("name", "Ada")]).unwrap_err();
/// assert_eq!((missing.code(), missing.to_string().contains("language")), ("SW-N342", true));
/// # Ok::<(), statewright_nodes_context::prompt::PromptError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    name: String,
    description: Option<String>,
    pieces: Vec<Piece>,
    version: PromptVersion,
}

impl Prompt {
    /// Reads a prompt. `name` is what it is called unless the text itself says so. Line breaks at its end are no part of
    /// it, and those of Windows count as those of others.
    ///
    /// # Errors
    /// [`PromptError::Syntax`] with the line, [`PromptError::TooLarge`] above [`PROMPT_BYTES_MAX`].
    pub fn parse(name: &str, text: &str) -> Result<Self, PromptError> {
        if text.len() > PROMPT_BYTES_MAX {
            let what = format!("the prompt `{name}`");
            return Err(PromptError::TooLarge { what, limit: PROMPT_BYTES_MAX });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let Template { name: own, description, body, pieces } = template::parse(name, &text)?;
        let name = own.unwrap_or_else(|| name.to_owned());
        Ok(Self { name, description, pieces, version: PromptVersion::of(&body) })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in its author's words.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The version of its text.
    #[must_use]
    pub fn version(&self) -> &PromptVersion {
        &self.version
    }

    /// The names of its placeholders, each once, in the order of the text.
    #[must_use]
    pub fn placeholders(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for piece in &self.pieces {
            if let Piece::Placeholder(name) = piece
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    /// The text with the values in their places. A value is put in as it is: placeholders within it stay what they are.
    ///
    /// # Errors
    /// [`PromptError::Missing`] and [`PromptError::Unknown`], with the names that there are.
    pub fn render(&self, values: &[(&str, &str)]) -> Result<String, PromptError> {
        let placeholders = self.placeholders();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        if let Some((name, _)) = values.iter().find(|(name, _)| !placeholders.contains(name)) {
            let (prompt, name) = (self.name.clone(), (*name).to_owned());
            return Err(PromptError::Unknown { prompt, name, placeholders: owned(placeholders) });
        }
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Placeholder(name) => match values.iter().find(|(given, _)| given == name) {
                    Some((_, value)) => text.push_str(value),
                    None => {
                        let available = owned(values.iter().map(|(name, _)| *name).collect());
                        return Err(PromptError::Missing {
                            prompt: self.name.clone(),
                            name: name.clone(),
                            available,
                        });
                    }
                },
            }
        }
        Ok(text)
    }
}

/// SHA-256 of a prompt's text. Shown as its first 12 hexadecimal digits, which is what traces and cassettes hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PromptVersion(String);

impl PromptVersion {
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// All 64 digits.
    #[must_use]
    pub fn full(&self) -> &str {
        &self.0
    }

    /// The first 12 digits.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for PromptVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}
