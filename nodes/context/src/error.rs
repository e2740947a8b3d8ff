//! What can go wrong with a docs folder or a citation, and what to do.

use crate::corpus::{MAX_DEPTH, MAX_ENTRIES, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES};

/// Why documents could not be read or a citation does not resolve.
///
/// Paths are shown as the caller gave them, or relative to the folder with `/`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The folder is missing, or it is a file.
    #[error("the documents folder `{folder}` {problem}: give the path of a folder with Markdown (.md) files")]
    NoFolder {
        /// The folder as given.
        folder: String,
        /// "does not exist" or "is not a folder".
        problem: &'static str,
    },
    /// A file is not UTF-8.
    #[error(
        "`{file}` is not UTF-8: the byte at offset {offset} is no part of a character; \
         save the file as UTF-8 or move it out of the folder"
    )]
    NotUtf8 {
        /// The file.
        file: String,
        /// The first byte that is not UTF-8, counted from 0.
        offset: usize,
    },
    /// A file is larger than [`MAX_FILE_BYTES`].
    #[error("`{file}` has {bytes} bytes, more than {MAX_FILE_BYTES}: split it, or move it out of the folder")]
    FileTooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
    },
    /// The folder holds more than [`MAX_FILES`] documents, [`MAX_ENTRIES`] entries, [`MAX_TOTAL_BYTES`] or
    /// [`MAX_DEPTH`] levels.
    #[error("the documents folder holds more than {limit}; the rest is left out: give a smaller folder")]
    FolderTooLarge {
        /// The limit that was reached, with its unit.
        limit: String,
    },
    /// A file or folder could not be read, or has a name that is not UTF-8.
    #[error("`{file}` cannot be read ({problem}): check its name, its permissions and that it still exists")]
    Unreadable {
        /// The file or folder.
        file: String,
        /// What the operating system said.
        problem: String,
    },
    /// A symbolic link inside the folder.
    #[error(
        "`{file}` is a symbolic link, and links are not followed: \
         copy what it points to into the folder, or open that folder itself"
    )]
    SymbolicLink {
        /// The link.
        file: String,
    },
    /// There is nothing to search.
    #[error(
        "the documents folder `{folder}` has no text to search ({documents} Markdown files, {skipped} skipped{first}): \
         put .md files with text into it, or give another folder"
    )]
    NothingToSearch {
        /// The folder as given.
        folder: String,
        /// Markdown files that were read.
        documents: usize,
        /// Entries that were skipped.
        skipped: usize,
        /// Why the first of them was, or nothing.
        first: String,
    },
    /// The cited bytes are not what they were when they were cited.
    #[error(
        "`{doc}` has changed since bytes {start}–{end} were cited: search again to cite the present text"
    )]
    CitationChanged {
        /// The document.
        doc: String,
        /// The first cited byte.
        start: usize,
        /// The byte after the last cited one.
        end: usize,
    },
    /// The citation names a document that is missing or outside of the folder.
    #[error(
        "the cited document `{doc}` {problem}: \
         give the folder that was searched, or search again"
    )]
    CitationLost {
        /// The document.
        doc: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ContextError {
    /// The stable code; its page is `docs/errors/<code>.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFolder { .. } => "SW-N310",
            Self::NotUtf8 { .. } => "SW-N311",
            Self::FileTooLarge { .. } => "SW-N312",
            Self::FolderTooLarge { .. } => "SW-N313",
            Self::Unreadable { .. } => "SW-N314",
            Self::SymbolicLink { .. } => "SW-N315",
            Self::NothingToSearch { .. } => "SW-N316",
            Self::CitationChanged { .. } => "SW-N317",
            Self::CitationLost { .. } => "SW-N318",
        }
    }

    pub(crate) fn too_many_files() -> Self {
        Self::FolderTooLarge { limit: format!("{MAX_FILES} Markdown files") }
    }

    pub(crate) fn too_many_entries() -> Self {
        Self::FolderTooLarge { limit: format!("{MAX_ENTRIES} files and folders") }
    }

    pub(crate) fn too_deep() -> Self {
        Self::FolderTooLarge { limit: format!("{MAX_DEPTH} levels of folders") }
    }

    pub(crate) fn too_many_bytes() -> Self {
        Self::FolderTooLarge { limit: format!("{MAX_TOTAL_BYTES} bytes of Markdown") }
    }
}
