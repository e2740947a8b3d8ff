//! The tagged blocks that prompts are made of, and the citations that come back. No prompt of a pipeline is here.
//!
//! ```text
//! <question>…</question>
//! <calculation>150 × 223.48 = 33,522</calculation>
//! <source id="1" doc="guides/recovery.md" start="120" end="480">…</source>
//! <critique>…</critique>
//! ```
//!
//! Text of others goes into a block only with its look-alikes of these tags made harmless, so that no document can
//! end its block and speak as the question.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use statewright_nodes_context::{Citation, Passage};

const TAGS: [&str; 4] = ["question", "calculation", "source", "critique"];

/// A piece of a document as it goes into a prompt and is kept in a state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Where it stands.
    pub citation: Citation,
    /// The text of those bytes.
    pub text: String,
}

impl From<Passage> for Source {
    fn from(passage: Passage) -> Self {
        Self { citation: passage.citation, text: passage.text }
    }
}

/// `<tag>text</tag>`, with the text made harmless.
#[must_use]
pub fn block(tag: &str, text: &str) -> String {
    format!("<{tag}>{}</{tag}>\n", harmless(text))
}

/// The sources as blocks, numbered from 1, with the headings above each as its first line.
#[must_use]
pub fn sources(sources: &[Source]) -> String {
    let block = |(at, source): (usize, &Source)| {
        let Citation { doc, start, end, heading, .. } = &source.citation;
        let doc: String = doc.chars().filter(|c| !matches!(c, '"' | '<' | '>' | '\n')).collect();
        let title = if heading.is_empty() { String::new() } else { format!("# {}\n\n", harmless(heading)) };
        let id = at + 1;
        let text = harmless(&source.text);
        format!("<source id=\"{id}\" doc=\"{doc}\" start=\"{start}\" end=\"{end}\">{title}{text}</source>\n")
    };
    sources.iter().enumerate().map(block).collect()
}

/// The text with `‹` in place of `<` wherever one of our tags would begin or end.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let is_tag = || {
            let rest = text[at + 1..].trim_start_matches(['/', ' ']);
            TAGS.iter().any(|tag| rest.get(..tag.len()).is_some_and(|name| name.eq_ignore_ascii_case(tag)))
        };
        out.push(if c == '<' && is_tag() { '‹' } else { c });
    }
    out
}

/// Renumbers the citations of a text while it streams: the sources that it cites become `[1]`, `[2]`, … in the order
/// in which it cites them, so that a list of what is cited needs no gaps.
#[derive(Clone, Debug, Default)]
pub struct Cite {
    /// The numbers of the sources.
    sources: BTreeSet<usize>,
    /// What has come since a `[` that is still open.
    open: String,
    /// The cited sources, from 1, in the order of their first citation.
    pub cited: Vec<usize>,
    /// Citations of sources that do not exist, as written.
    pub dangling: Vec<String>,
}

/// The longest bracket that may be a citation, in bytes.
const BRACKET_MAX: usize = 40;

impl Cite {
    /// For a text that answers this prompt.
    #[must_use]
    pub fn of(prompt: &str) -> Self {
        Self::of_ids(1..=prompt.matches("<source id=\"").count())
    }

    /// For a text that may cite sources of these numbers.
    #[must_use]
    pub fn of_ids(ids: impl IntoIterator<Item = usize>) -> Self {
        Self { sources: ids.into_iter().collect(), ..Self::default() }
    }

    /// Takes the next piece and gives what can be shown of it.
    pub fn push(&mut self, piece: &str) -> String {
        let mut out = String::new();
        for c in piece.chars() {
            match c {
                '[' => {
                    out.push_str(&std::mem::take(&mut self.open));
                    self.open.push(c);
                }
                ']' if !self.open.is_empty() => {
                    let inside = std::mem::take(&mut self.open);
                    out.push_str(&self.bracket(&inside[1..]));
                }
                _ if self.open.is_empty() => out.push(c),
                _ => {
                    self.open.push(c);
                    if self.open.len() > BRACKET_MAX || !(c.is_ascii_digit() || matches!(c, ',' | ' ')) {
                        out.push_str(&std::mem::take(&mut self.open));
                    }
                }
            }
        }
        out
    }

    /// What is left at the end of the text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.open)
    }

    /// `3, 5` → `[1][2]`.
    fn bracket(&mut self, inside: &str) -> String {
        let numbers: Vec<&str> = inside.split([',', ' ']).filter(|part| !part.is_empty()).collect();
        if self.sources.is_empty() && numbers.len() != 1 || numbers.is_empty() {
            return format!("[{inside}]");
        }
        numbers.into_iter().map(|number| self.one(number)).collect()
    }

    fn one(&mut self, written: &str) -> String {
        let number = written.parse::<usize>().ok().filter(|number| self.sources.contains(number));
        let Some(number) = number else {
            self.dangling.push(format!("[{written}]"));
            return format!("[{written}]");
        };
        let place = self.cited.iter().position(|cited| *cited == number).unwrap_or_else(|| {
            self.cited.push(number);
            self.cited.len() - 1
        });
        format!("[{}]", place + 1)
    }
}
