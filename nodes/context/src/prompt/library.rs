//! A set of prompts that a program brings along, and that a folder of files can override one by one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::PromptError;
use super::{PROMPT_BYTES_MAX, Prompt};

/// The most files that a folder of prompts may have.
const FILES_MAX: usize = 1_000;

/// Prompts by name.
///
/// ```
/// use statewright_nodes_context::prompt::Prompts;
/// let prompts = Prompts::new([("greet", "Greet {{name}}.")])?;
/// assert_eq!(prompts.get("greet")?.render(&[("name", "Ada")])?, "Greet Ada.");
/// assert_eq!(prompts.get("greed").unwrap_err().code(), "SW-N344");
/// # Ok::<(), statewright_nodes_context::prompt::PromptError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Prompts {
    by_name: BTreeMap<String, Prompt>,
}

impl Prompts {
    /// These texts under these names; what a text says of its own name counts for nothing.
    ///
    /// # Errors
    /// The first [`PromptError`] of a text.
    pub fn new<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<Self, PromptError> {
        let parsed = texts.into_iter().map(|(name, text)| Ok((name.to_owned(), Prompt::parse(name, text)?)));
        Ok(Self { by_name: parsed.collect::<Result<_, _>>()? })
    }

    /// With each file `NAME.md` of the folder in the place of the prompt `NAME`. Files of other kinds, and those whose
    /// names begin with a point, are left alone.
    ///
    /// # Errors
    /// [`PromptError`] when the folder or a file cannot be read, a file overrides nothing, or has other placeholders.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, PromptError> {
        let unreadable = |error: std::io::Error| PromptError::Unreadable {
            path: folder.to_owned(),
            reason: error.to_string(),
            wanted: "a folder with prompts",
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
            if paths.len() > FILES_MAX {
                return Err(unreadable(std::io::Error::other(format!("it has more than {FILES_MAX} files"))));
            }
        }
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|kind| kind == "md")) {
            let Some(name) =
                path.file_stem().and_then(|stem| stem.to_str()).filter(|name| !name.starts_with('.'))
            else {
                continue;
            };
            let prompt = self.override_of(name, path)?;
            self.by_name.insert(name.to_owned(), prompt);
        }
        Ok(self)
    }

    fn override_of(&self, name: &str, path: &Path) -> Result<Prompt, PromptError> {
        let own = self.get(name)?;
        let prompt = Prompt::parse(name, &read(path)?)?;
        let sorted = |prompt: &Prompt| {
            let mut names: Vec<String> = prompt.placeholders().into_iter().map(str::to_owned).collect();
            names.sort();
            names
        };
        let (wanted, found) = (sorted(own), sorted(&prompt));
        if wanted != found {
            let (path, prompt) = (path.to_owned(), name.to_owned());
            return Err(PromptError::OtherPlaceholders { path, prompt, wanted, found });
        }
        Ok(prompt)
    }

    /// The prompt of this name.
    ///
    /// # Errors
    /// [`PromptError::NoPrompt`], with the names that there are.
    pub fn get(&self, name: &str) -> Result<&Prompt, PromptError> {
        let known = || self.names().map(str::to_owned).collect();
        self.by_name.get(name).ok_or_else(|| PromptError::NoPrompt { given: name.to_owned(), known: known() })
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// A file as text, up to the limit of a prompt.
fn read(path: &Path) -> Result<String, PromptError> {
    let unreadable = |reason: String| PromptError::Unreadable {
        path: path.to_owned(),
        reason,
        wanted: "a UTF-8 text file",
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    // One byte more tells a file that is too large.
    file.take(PROMPT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        unreadable(format!("the byte at offset {} is not UTF-8", error.utf8_error().valid_up_to()))
    })
}
