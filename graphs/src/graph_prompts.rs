//! The system prompts of the ready pipelines: files of `graphs/prompts`, built in, and overridable by a folder. What
//! goes into a prompt beside them is in [`prompts`](crate::prompts).

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use statewright_nodes_context::prompt::{PromptError, Prompts};
use statewright_nodes_ports::{ChatRequest, Message};

/// Every prompt by its name, which is the name of its file.
const FILES: &[(&str, &str)] = &[
    ("classic-extract", include_str!("../prompts/classic-extract.md")),
    ("classic-write", include_str!("../prompts/classic-write.md")),
    ("react", include_str!("../prompts/react.md")),
    ("research-extract", include_str!("../prompts/research-extract.md")),
    ("research-write", include_str!("../prompts/research-write.md")),
];

#[expect(clippy::expect_used, reason = "the files are part of the build, and a test reads them")]
static BUILT_IN: LazyLock<GraphPrompts> = LazyLock::new(|| GraphPrompts {
    prompts: Arc::new(Prompts::new(FILES.iter().copied()).expect("the built-in prompts are well formed")),
});

/// The system prompts of the ready pipelines. Cheap to clone; the default is what is built in.
#[derive(Clone)]
pub struct GraphPrompts {
    prompts: Arc<Prompts>,
}

impl GraphPrompts {
    /// The built-in prompts with the files of a folder in the place of those whose names they have.
    ///
    /// # Errors
    /// [`PromptError`] when the folder or a file of it cannot be used.
    pub fn with_folder(folder: &Path) -> Result<Self, PromptError> {
        let prompts = Prompts::new(FILES.iter().copied())?.with_folder(folder)?;
        Ok(Self { prompts: Arc::new(prompts) })
    }

    /// The prompts themselves.
    #[must_use]
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// A request with the prompt of this name as its system message, and with its version.
    pub(crate) fn request(
        &self,
        purpose: &'static str,
        name: &str,
        user: String,
    ) -> Result<ChatRequest, PromptError> {
        let prompt = self.prompts.get(name)?;
        Ok(ChatRequest {
            temperature: Some(0.0),
            purpose: Some(purpose.into()),
            prompt_version: Some(prompt.version().to_string()),
            ..ChatRequest::new([Message::system(prompt.render(&[])?), Message::user(user)])
        })
    }
}

impl Default for GraphPrompts {
    fn default() -> Self {
        BUILT_IN.clone()
    }
}

impl fmt::Debug for GraphPrompts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.prompts.names()).finish()
    }
}
