//! What can be wrong with a prompt, with its file and place.

use std::path::PathBuf;

/// Why a prompt cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// A file or folder cannot be read.
    #[error("`{}` cannot be read: {reason}; give the path of {wanted}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What was looked for.
        wanted: &'static str,
    },
    /// The text of a prompt does not follow the syntax.
    #[error("the prompt `{prompt}` has a mistake in line {line}: {problem}")]
    Syntax {
        /// The prompt.
        prompt: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A placeholder has no value.
    #[error(
        "the prompt `{prompt}` needs a value for `{{{{{name}}}}}`; the values that were given are {}",
        listed(available)
    )]
    Missing {
        /// The prompt.
        prompt: String,
        /// The placeholder.
        name: String,
        /// The names of the values that were given.
        available: Vec<String>,
    },
    /// A value has no placeholder.
    #[error("the prompt `{prompt}` has no `{{{{{name}}}}}`; its placeholders are {}", listed(placeholders))]
    Unknown {
        /// The prompt.
        prompt: String,
        /// The name of the value.
        name: String,
        /// The placeholders that there are.
        placeholders: Vec<String>,
    },
    /// A name that no prompt has.
    #[error("no prompt is called `{given}`; the prompts are {}", listed(known))]
    NoPrompt {
        /// The name as given, or the name of a file that overrides nothing.
        given: String,
        /// The prompts that there are.
        known: Vec<String>,
    },
    /// A file in the place of a prompt has other placeholders than it.
    #[error("`{}` takes the place of the prompt `{prompt}` and must have its placeholders {}, but has {}", path.display(), listed(wanted), listed(found))]
    OtherPlaceholders {
        /// The file.
        path: PathBuf,
        /// The prompt.
        prompt: String,
        /// The placeholders of the prompt.
        wanted: Vec<String>,
        /// The placeholders of the file.
        found: Vec<String>,
    },
    /// A text above its limit.
    #[error("{what} has more than {limit} bytes; make it shorter")]
    TooLarge {
        /// Which text.
        what: String,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl PromptError {
    /// The stable code; its page is `docs/errors/<code>.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "SW-N340",
            Self::Syntax { .. } => "SW-N341",
            Self::Missing { .. } => "SW-N342",
            Self::Unknown { .. } => "SW-N343",
            Self::NoPrompt { .. } => "SW-N344",
            Self::OtherPlaceholders { .. } => "SW-N345",
            Self::TooLarge { .. } => "SW-N346",
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
