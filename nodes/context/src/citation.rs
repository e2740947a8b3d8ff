//! A reference to bytes of a document that can be checked later. Not the search that makes it.

use crate::corpus;
use crate::error::ContextError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Component, Path};

/// Bytes of a document, and what they were.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Citation {
    /// The document: its path in the folder, with `/`.
    pub doc: String,
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// The headings above the text, outermost first, joined by ` > `; empty before the first heading.
    pub heading: String,
    /// The first 128 bits of the SHA-256 of the cited bytes, as hexadecimal digits.
    pub hash: String,
}

impl Citation {
    /// A citation of `text`, which stands in `doc` from byte `start` on.
    #[must_use]
    pub fn new(doc: &str, start: usize, text: &str, heading: &str) -> Self {
        Self {
            doc: doc.to_owned(),
            start,
            end: start + text.len(),
            heading: heading.to_owned(),
            hash: hash(text),
        }
    }

    /// Reads the cited text from the folder that was searched, and checks that it is still the same.
    ///
    /// # Errors
    ///
    /// [`ContextError::CitationLost`] when the document is missing or would lie outside of `folder`,
    /// [`ContextError::CitationChanged`] when those bytes are others now, or the error of reading the file.
    pub fn resolve(&self, folder: &Path) -> Result<String, ContextError> {
        let lost = |problem: String| ContextError::CitationLost { doc: self.doc.clone(), problem };
        let relative = Path::new(&self.doc);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(lost("is not a path inside of the folder".to_owned()));
        }
        let root = folder.canonicalize().map_err(|error| lost(format!("has no folder ({error})")))?;
        let path = root.join(relative).canonicalize().map_err(|error| lost(format!("is gone ({error})")))?;
        if !path.starts_with(&root) {
            return Err(lost("lies outside of the folder".to_owned()));
        }
        let text = corpus::read(&path, &self.doc)?;
        match text.get(self.start..self.end) {
            Some(cited) if hash(cited) == self.hash => Ok(cited.to_owned()),
            _ => {
                Err(ContextError::CitationChanged { doc: self.doc.clone(), start: self.start, end: self.end })
            }
        }
    }
}

/// `guides/recovery.md:120-480`, the bytes end exclusive.
impl fmt::Display for Citation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.doc, self.start, self.end)
    }
}

fn hash(text: &str) -> String {
    const BYTES: usize = 16;
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()
}
