//! A witness file: one JSON line per call, appended before the call is answered.
//!
//! Work that was redone but not recorded leaves no trace in a journal; it does leave one here.

use std::{fs::OpenOptions, io, io::Write, path::Path};

use serde_json::Value;

/// Appends `entry` as one line, in a single write, so that lines of several processes do not mix.
pub(crate) fn append(path: &Path, entry: &Value) -> io::Result<()> {
    let mut line = entry.to_string();
    line.push('\n');
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}
