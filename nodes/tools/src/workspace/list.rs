//! `list_files`.

use std::io;
use std::sync::Arc;

use cap_std::fs::Dir;
use schemars::JsonSchema;
use serde::Deserialize;
use statewright_nodes_ports::{SideEffect, ToolError};

use super::{DEPTH_MAX, ENTRIES_MAX, failed, on_thread, path};
use crate::function::{Function, ToolCx, function};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The folder, relative to the workspace. The whole workspace if left out.
    path: Option<String>,
}

pub(super) fn tool(root: Arc<Dir>) -> Function {
    let description = "Lists the files of the workspace, or of one folder of it, with their sizes.";
    function("list_files", description, SideEffect::Read, move |arguments: Arguments, _: ToolCx| {
        let root = Arc::clone(&root);
        on_thread(move || list(&root, &arguments))
    })
}

fn list(root: &Dir, arguments: &Arguments) -> Result<String, ToolError> {
    let path = path::inside(arguments.path.as_deref().unwrap_or_default())?;
    let mut found = Found::default();
    let told = |error: io::Error| failed(if path.is_empty() { "." } else { &path }, &error);
    if path.is_empty() {
        found.folder(root, "", 0).map_err(told)?;
    } else {
        let folder = root.open_dir(&path).map_err(told)?;
        found.folder(&folder, &format!("{path}/"), 0).map_err(told)?;
    }
    found.lines.sort();
    if found.lines.is_empty() && !found.has_more {
        return Ok("There are no files.".to_owned());
    }
    if found.has_more {
        found
            .lines
            .push(format!("[there is more than {ENTRIES_MAX} entries or {DEPTH_MAX} levels; list a folder]"));
    }
    Ok(found.lines.join("\n"))
}

#[derive(Default)]
struct Found {
    lines: Vec<String>,
    /// Files, and folders, which may be empty.
    seen: usize,
    has_more: bool,
}

impl Found {
    /// The entries of a folder and of those in it. Links are listed and not followed.
    fn folder(&mut self, folder: &Dir, above: &str, depth: usize) -> io::Result<()> {
        for entry in folder.entries()? {
            if self.seen >= ENTRIES_MAX {
                self.has_more = true;
                return Ok(());
            }
            self.seen += 1;
            let entry = entry?;
            // Somebody may have removed it since; a list of what is there goes on.
            let Ok(about) = entry.metadata() else { continue };
            // A name that is no text could not be asked for anyway.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{above}{name}");
            if about.is_dir() {
                if depth + 1 >= DEPTH_MAX {
                    self.has_more = true;
                } else if let Ok(inner) = entry.open_dir() {
                    self.folder(&inner, &format!("{path}/"), depth + 1)?;
                }
            } else if about.is_file() {
                self.lines.push(format!("{path} ({} bytes)", about.len()));
            } else {
                self.lines.push(format!("{path} (no regular file)"));
            }
        }
        Ok(())
    }
}
