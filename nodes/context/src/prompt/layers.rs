//! A system prompt from several sources: what the runtime says, then the agent, then the workspace's `AGENTS.md`, then
//! memory and the index of skills.
//!
//! A section is what stands below a heading of the first or second level. A section of a later layer takes the place of
//! an earlier one with the same heading, where that stands; other sections, and what stands above the first heading,
//! follow. Whoever writes `AGENTS.md` is trusted as whoever wrote the agent: its words win.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

use super::PromptVersion;
use super::error::PromptError;

/// The file of a workspace that speaks to agents.
pub const WORKSPACE_FILE: &str = "AGENTS.md";

/// Where a part of a system prompt comes from, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// What holds for every agent of the program.
    Runtime,
    /// What this agent is and does.
    Agent,
    /// What the workspace says in its `AGENTS.md`.
    Workspace,
    /// What is remembered.
    Memory,
    /// Which skills there are.
    Skills,
}

impl Layer {
    /// The most bytes of its text.
    #[must_use]
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Agent | Self::Workspace => 32 * 1024,
            Self::Runtime | Self::Memory | Self::Skills => 16 * 1024,
        }
    }

    /// What it is called in notes and errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Agent => "agent",
            Self::Workspace => "workspace",
            Self::Memory => "memory",
            Self::Skills => "skills",
        }
    }

    /// Whether a text above the limit is cut: what others wrote must not stop an agent, what its author wrote must.
    fn is_cut(self) -> bool {
        matches!(self, Self::Workspace | Self::Memory | Self::Skills)
    }
}

/// A layer that was cut to its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The layer.
    pub layer: Layer,
    /// How many bytes of it were left out.
    pub bytes: usize,
}

/// A system prompt that is being put together. Layers may be given in any order; they count in theirs.
///
/// ```
/// use statewright_nodes_context::prompt::{Layer, SystemPrompt};
/// let composed = SystemPrompt::new()
///     .layer(Layer::Agent, "You review code.\n\n# Tone\nBe polite.")?
///     .layer(Layer::Workspace, "# Tone\nBe brief.\n\n# Tests\nRun them.")?
///     .compose();
/// assert_eq!(composed.text, "You review code.\n\n# Tone\nBe brief.\n\n# Tests\nRun them.");
/// # Ok::<(), statewright_nodes_context::prompt::PromptError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SystemPrompt {
    layers: Vec<(Layer, String)>,
    cut: Vec<Cut>,
}

/// A system prompt, put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The text.
    pub text: String,
    /// The version of the text.
    pub version: PromptVersion,
    /// Layers that were cut, which their users should know.
    pub cut: Vec<Cut>,
}

impl SystemPrompt {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text; one that is above the limit of its layer is cut at the end of a line, and says so. An empty text is
    /// no layer.
    ///
    /// # Errors
    /// [`PromptError::TooLarge`] for a text of the runtime or the agent, which is never cut.
    pub fn layer(mut self, layer: Layer, text: &str) -> Result<Self, PromptError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let limit = layer.bytes_max();
        let kept = if text.len() <= limit {
            text
        } else if layer.is_cut() {
            self.shortened(layer, &text)
        } else {
            let what = format!("the {} layer of the system prompt", layer.name());
            return Err(PromptError::TooLarge { what, limit });
        };
        if !kept.trim().is_empty() {
            self.layers.push((layer, kept));
        }
        Ok(self)
    }

    /// Adds the `AGENTS.md` of a folder, if there is one. A link is followed only within the folder.
    ///
    /// # Errors
    /// [`PromptError::Unreadable`] when there is one and it cannot be read as UTF-8 text.
    pub fn workspace(self, folder: &Path) -> Result<Self, PromptError> {
        let path = folder.join(WORKSPACE_FILE);
        let unreadable = |reason: String| PromptError::Unreadable {
            path: path.clone(),
            reason,
            wanted: "a UTF-8 text file",
        };
        let failed = |error: std::io::Error| unreadable(error.to_string());
        let target = match path.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self),
            target => target.map_err(failed)?,
        };
        if !target.starts_with(folder.canonicalize().map_err(failed)?) {
            return Err(unreadable("it is a link that leads out of the folder".to_owned()));
        }
        let mut bytes = Vec::new();
        // What is behind the limit is only counted.
        let limit = 16 * Layer::Workspace.bytes_max() as u64;
        File::open(&target).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            // The end of what is read may be in the middle of a character.
            Err(error)
                if error.utf8_error().error_len().is_none() && error.as_bytes().len() as u64 == limit =>
            {
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                return Err(unreadable(format!("the byte at offset {offset} is not UTF-8")));
            }
        };
        self.layer(Layer::Workspace, &text)
    }

    /// Puts the layers together.
    #[must_use]
    pub fn compose(mut self) -> Composed {
        // Stable: what was given first of one layer stays first.
        self.layers.sort_by_key(|(layer, _)| *layer);
        let mut sections: Vec<Section> = Vec::new();
        for (_, text) in &self.layers {
            for section in sections_of(text) {
                let earlier =
                    sections.iter_mut().find(|known| known.key.is_some() && known.key == section.key);
                match earlier {
                    Some(earlier) => *earlier = section,
                    None => sections.push(section),
                }
            }
        }
        let texts: Vec<&str> = sections.iter().map(|section| section.text.as_str()).collect();
        let text = texts.join("\n\n");
        Composed { version: PromptVersion::of(&text), text, cut: self.cut }
    }

    fn shortened(&mut self, layer: Layer, text: &str) -> String {
        let start = &text[..text.floor_char_boundary(layer.bytes_max())];
        let end = start.rfind('\n').unwrap_or(start.len());
        let bytes = text.len() - end;
        self.cut.push(Cut { layer, bytes });
        format!("{}\n\n[The last {bytes} bytes of the {} layer are left out.]", &start[..end], layer.name())
    }
}

struct Section {
    /// The heading as it is compared; none above the first one.
    key: Option<String>,
    text: String,
}

/// The text, cut before each heading of the first or second level. Headings within code are none.
fn sections_of(text: &str) -> Vec<Section> {
    let mut starts: Vec<(usize, String)> = Vec::new();
    let mut is_heading = false;
    for (event, range) in Parser::new(text).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level: HeadingLevel::H1 | HeadingLevel::H2, .. })
                if begins_line(&text[..range.start]) =>
            {
                starts.push((range.start, String::new()));
                is_heading = true;
            }
            Event::End(TagEnd::Heading(_)) => is_heading = false,
            Event::Text(words) | Event::Code(words) if is_heading => {
                if let Some((_, heading)) = starts.last_mut() {
                    heading.push_str(&words);
                }
            }
            _ => {}
        }
    }
    let first = starts.first().map_or(text.len(), |(start, _)| *start);
    let above = (0, first, None);
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([text.len()]);
    let below = starts.iter().zip(ends).map(|((start, heading), end)| (*start, end, Some(key(heading))));
    let sections = std::iter::once(above).chain(below);
    let sections =
        sections.map(|(start, end, key)| Section { key, text: text[start..end].trim().to_owned() });
    sections.filter(|section| !section.text.is_empty()).collect()
}

/// Whether what comes next begins a line; a heading in a quote or a list does not.
fn begins_line(before: &str) -> bool {
    let before = before.trim_end_matches(' ');
    before.is_empty() || before.ends_with('\n')
}

fn key(heading: &str) -> String {
    heading.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
