//! Loads a folder of Markdown into chunks, within limits. Ranks nothing and stores nothing.
//!
//! Files are those whose name ends in `.md`, in all folders below, sorted by path. Names that start with a
//! point are skipped. Symbolic links are not followed (so there are no loops, and no file from outside the
//! folder); each is reported.

use crate::chunk::{self, Chunk};
use crate::error::ContextError;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::{DirEntry, WalkDir};

/// Largest file, in bytes (8 MiB).
pub const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Most Markdown files.
pub const MAX_FILES: usize = 10_000;
/// Most files and folders looked at, Markdown or not.
pub const MAX_ENTRIES: usize = 200_000;
/// Most bytes of Markdown in all files together (256 MiB).
pub const MAX_TOTAL_BYTES: u64 = 256 * 1024 * 1024;
/// Deepest folder below the given one.
pub const MAX_DEPTH: usize = 32;

/// What to do with a file that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadFiles {
    /// Leave it out and report it, so that one bad file does not hide the others.
    #[default]
    Report,
    /// Fail with its error.
    Refuse,
}

/// A loaded folder.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Corpus {
    /// The chunks, in the order of the files and of the text.
    pub chunks: Vec<Chunk>,
    /// What was read and what was not.
    pub report: LoadReport,
}

/// What was read and what was not.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LoadReport {
    /// Markdown files that were read.
    pub documents: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What was left out, each as the error that strict loading would return.
    pub skipped: Vec<ContextError>,
}

impl Corpus {
    /// Reads all Markdown below `folder`.
    ///
    /// # Errors
    ///
    /// [`ContextError::NoFolder`]; [`ContextError::NothingToSearch`] when no text was found; with
    /// [`BadFiles::Refuse`] also the error of the first file that cannot be used.
    pub fn load(folder: &Path, bad_files: BadFiles) -> Result<Self, ContextError> {
        check_folder(folder)?;
        let mut corpus = Self::default();
        let skip = |error: ContextError, report: &mut LoadReport| match bad_files {
            BadFiles::Refuse => Err(error),
            BadFiles::Report => {
                report.skipped.push(error);
                Ok(())
            }
        };
        let (files, problems) = list(folder);
        for problem in problems {
            skip(problem, &mut corpus.report)?;
        }
        for (name, path) in files {
            match read(&path, &name) {
                Ok(text) if corpus.report.bytes + text.len() as u64 > MAX_TOTAL_BYTES => {
                    skip(ContextError::too_many_bytes(), &mut corpus.report)?;
                    break;
                }
                Ok(text) => {
                    corpus.report.documents += 1;
                    corpus.report.bytes += text.len() as u64;
                    corpus.chunks.extend(chunk::chunks(&Arc::from(name), &text));
                }
                Err(error) => skip(error, &mut corpus.report)?,
            }
        }
        if corpus.chunks.is_empty() {
            return Err(nothing_to_search(folder, &corpus.report));
        }
        Ok(corpus)
    }

    /// Whether there is text below `folder`, without reading more files than it takes to know.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load) with [`BadFiles::Report`].
    pub fn check(folder: &Path) -> Result<(), ContextError> {
        check_folder(folder)?;
        let name = Arc::from("");
        let has_text = |entry: DirEntry| {
            is_markdown(entry.path())
                && entry.file_type().is_file()
                && read(entry.path(), "").is_ok_and(|text| !chunk::chunks(&name, &text).is_empty())
        };
        let walk = WalkDir::new(folder).max_depth(MAX_DEPTH).into_iter();
        let entries = walk.filter_entry(|entry| !is_hidden(entry)).take(MAX_ENTRIES);
        if entries.flatten().any(has_text) {
            return Ok(());
        }
        // Without text there is little to load, and loading knows what is wrong with each file.
        Self::load(folder, BadFiles::Report).map(drop)
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("md"))
}

fn check_folder(folder: &Path) -> Result<(), ContextError> {
    let shown = || folder.display().to_string();
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(ContextError::NoFolder { folder: shown(), problem: "is not a folder" }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ContextError::NoFolder { folder: shown(), problem: "does not exist" })
        }
        Err(error) => Err(ContextError::Unreadable { file: shown(), problem: error.to_string() }),
    }
}

fn nothing_to_search(folder: &Path, report: &LoadReport) -> ContextError {
    let first = report.skipped.first();
    ContextError::NothingToSearch {
        folder: folder.display().to_string(),
        documents: report.documents,
        skipped: report.skipped.len(),
        first: first.map(|error| format!(", the first because {error}")).unwrap_or_default(),
    }
}

/// The Markdown files below a folder with their names, sorted, and what could not be listed.
fn list(folder: &Path) -> (Vec<(String, PathBuf)>, Vec<ContextError>) {
    let is_inner_link = |entry: &DirEntry| entry.depth() > 0 && entry.path_is_symlink();
    let walk = WalkDir::new(folder).max_depth(MAX_DEPTH).sort_by_file_name();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for (seen, entry) in walk.into_iter().filter_entry(|entry| !is_hidden(entry)).enumerate() {
        if seen >= MAX_ENTRIES {
            problems.push(ContextError::too_many_entries());
            break;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let file = error.path().map(|path| name_of(folder, path).unwrap_or_else(|lossy| lossy));
                let problem = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                problems.push(ContextError::Unreadable { file: file.unwrap_or_default(), problem });
                continue;
            }
        };
        let is_markdown = is_markdown(entry.path());
        match name_of(folder, entry.path()) {
            // A link to anything that is surely not Markdown would only be noise.
            Ok(file) if is_inner_link(&entry) && (is_markdown || entry.path().is_dir()) => {
                problems.push(ContextError::SymbolicLink { file });
            }
            Ok(_) if entry.depth() == MAX_DEPTH && entry.file_type().is_dir() => {
                problems.push(ContextError::too_deep());
            }
            Ok(file) if is_markdown && entry.file_type().is_file() => {
                files.push((file, entry.into_path()));
            }
            Err(file) if is_markdown => {
                problems.push(ContextError::Unreadable { file, problem: "its name is not UTF-8".to_owned() });
            }
            _ => {}
        }
    }
    files.sort();
    if files.len() > MAX_FILES {
        files.truncate(MAX_FILES);
        problems.push(ContextError::too_many_files());
    }
    (files, problems)
}

/// The path below `folder` with `/` between its parts; a readable approximation if it is not UTF-8.
fn name_of(folder: &Path, path: &Path) -> Result<String, String> {
    let relative = path.strip_prefix(folder).unwrap_or(path);
    let parts: Option<Vec<&str>> = relative.components().map(|part| part.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/")).ok_or_else(|| relative.display().to_string())
}

/// Reads one file, at most [`MAX_FILE_BYTES`] of it.
pub(crate) fn read(path: &Path, name: &str) -> Result<String, ContextError> {
    let unreadable = |error: std::io::Error| ContextError::Unreadable {
        file: name.to_owned(),
        problem: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let mut content = Vec::new();
    // The size is taken from what is read: a file can grow in between.
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(unreadable)? as u64;
    if read > MAX_FILE_BYTES {
        return Err(ContextError::FileTooLarge { file: name.to_owned(), bytes: bytes.max(read) });
    }
    String::from_utf8(content).map_err(|error| ContextError::NotUtf8 {
        file: name.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}
