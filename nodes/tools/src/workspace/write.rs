//! `write_file`.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::{Dir, OpenOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use statewright_nodes_ports::{SideEffect, ToolError};

use super::{FILE_BYTES_MAX, failed, on_thread, path, too_large};
use crate::function::{Function, ToolCx, function};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The file, relative to the workspace, such as `notes/plan.md`. Folders above it are made.
    path: String,
    /// What the whole file is to say. What it said before is gone.
    content: String,
}

pub(super) fn tool(root: Arc<Dir>) -> Function {
    let description = "Creates a file of the workspace, or replaces it whole.";
    function("write_file", description, SideEffect::Write, move |arguments: Arguments, _: ToolCx| {
        let root = Arc::clone(&root);
        on_thread(move || write(&root, &arguments))
    })
}

fn write(root: &Dir, Arguments { path, content }: &Arguments) -> Result<String, ToolError> {
    let path = path::file_inside(path)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(&path, content.len() as u64));
    }
    replace(root, &path, content.as_bytes()).map_err(|error| failed(&path, &error))?;
    Ok(format!("{} bytes written to {path}", content.len()))
}

/// Writes beside the file and puts it in its place in one step. A link of that name is replaced, not followed.
fn replace(root: &Dir, path: &str, content: &[u8]) -> io::Result<()> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let opened;
    let folder = if folder.is_empty() {
        root
    } else {
        root.create_dir_all(folder)?;
        opened = root.open_dir(folder)?;
        &opened
    };
    if folder.symlink_metadata(name).is_ok_and(|about| about.is_dir()) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let beside = beside();
    let written = write_beside(folder, &beside, content).and_then(|()| folder.rename(&beside, folder, name));
    if written.is_err() {
        // Whether or not it is there: the first error is the one to tell.
        drop(folder.remove_file(&beside));
    }
    written
}

fn write_beside(folder: &Dir, name: &str, content: &[u8]) -> io::Result<()> {
    let mut file = folder.open_with(name, OpenOptions::new().write(true).create_new(true))?;
    file.write_all(content)?;
    file.sync_all()
}

/// A name that no other write of any process uses now.
fn beside() -> String {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    format!(".write-{}-{}-{write}.tmp", std::process::id(), since.as_nanos())
}
