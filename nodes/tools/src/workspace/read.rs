//! `read_file`.

use std::io::{self, Read};
use std::sync::Arc;

use cap_std::fs::{Dir, File, OpenOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use statewright_nodes_ports::{SideEffect, ToolError};

use super::{FILE_BYTES_MAX, failed, not_a_file, on_thread, path, too_large};
use crate::OUTPUT_BYTES_MAX;
use crate::bounded::bounded_bytes;
use crate::function::{Function, ToolCx, function};

/// Room for what is said below the lines.
const NOTE_BYTES: usize = 256;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The file, relative to the workspace, such as `notes/plan.md`.
    path: String,
    /// The first line to read, from 1. From the beginning if left out.
    #[schemars(range(min = 1))]
    first_line: Option<u64>,
    /// How many lines to read. To the end if left out.
    #[schemars(range(min = 1))]
    lines: Option<u64>,
}

pub(super) fn tool(root: Arc<Dir>) -> Function {
    let description = "Reads a text file of the workspace, whole or a range of lines. A long file is cut, and the \
        result says at which line to go on.";
    function("read_file", description, SideEffect::Read, move |arguments: Arguments, _: ToolCx| {
        let root = Arc::clone(&root);
        on_thread(move || read(&root, &arguments))
    })
}

fn read(root: &Dir, arguments: &Arguments) -> Result<String, ToolError> {
    let path = path::file_inside(&arguments.path)?;
    let file = open(root, &path).map_err(|error| failed(&path, &error))?;
    let about = file.metadata().map_err(|error| failed(&path, &error))?;
    if about.is_dir() {
        return Err(failed(&path, &io::ErrorKind::IsADirectory.into()));
    }
    if !about.is_file() {
        return Err(not_a_file(&path));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(too_large(&path, about.len()));
    }
    let mut bytes = Vec::new();
    // It may have grown since.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(&path, bytes.len() as u64));
    }
    Ok(range(bytes, arguments.first_line.unwrap_or(1), arguments.lines.unwrap_or(u64::MAX)))
}

/// Opening a pipe or a device does not wait for its other end, so that one cannot hold the thread.
fn open(root: &Dir, path: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    root.open_with(path, &options)
}

/// The wanted lines, as many as fit, and where to go on.
fn range(mut bytes: Vec<u8>, first: u64, count: u64) -> String {
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let skipped = usize::try_from(first.saturating_sub(1)).unwrap_or(usize::MAX);
    let start = if skipped == 0 { Some(0) } else { ends.nth(skipped - 1) };
    let Some(start) = start.filter(|start| *start < bytes.len() || skipped == 0) else {
        let last = bytes.iter().filter(|byte| **byte == b'\n').count()
            + usize::from(bytes.last().is_some_and(|byte| *byte != b'\n'));
        return format!("[there is no line {first}: the file has {last} lines]");
    };
    let (mut end, mut taken, mut has_more) = (start, 0_u64, false);
    for next in ends.chain([bytes.len()]).filter(|next| *next > start) {
        if next == end {
            continue;
        }
        if taken >= count || (taken > 0 && next - start > OUTPUT_BYTES_MAX - NOTE_BYTES) {
            has_more = true;
            break;
        }
        (end, taken) = (next, taken + 1);
    }
    bytes.truncate(end);
    bytes.drain(..start);
    // One line that is too long by itself is cut; so are lines that grow by what is not UTF-8 in them.
    let mut text = bounded_bytes(bytes, OUTPUT_BYTES_MAX - NOTE_BYTES);
    if has_more {
        text.push_str(&format!("\n[there is more: go on with first_line {}]", first + taken));
    }
    text
}
