//! `delete_file`.

use std::io;
use std::sync::Arc;

use cap_std::fs::Dir;
use schemars::JsonSchema;
use serde::Deserialize;
use statewright_nodes_ports::{SideEffect, ToolError};

use super::{failed, on_thread, path};
use crate::function::{Function, ToolCx, function};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The file, relative to the workspace.
    path: String,
}

pub(super) fn tool(root: Arc<Dir>) -> Function {
    let description = "Deletes one file of the workspace.";
    function("delete_file", description, SideEffect::Write, move |arguments: Arguments, _: ToolCx| {
        let root = Arc::clone(&root);
        on_thread(move || delete(&root, &arguments))
    })
}

fn delete(root: &Dir, arguments: &Arguments) -> Result<String, ToolError> {
    let path = path::file_inside(&arguments.path)?;
    let about = root.symlink_metadata(&path).map_err(|error| failed(&path, &error))?;
    if about.is_dir() {
        return Err(failed(&path, &io::ErrorKind::IsADirectory.into()));
    }
    // Of a link, the link itself goes.
    root.remove_file(&path).map_err(|error| failed(&path, &error))?;
    Ok(format!("{path} deleted"))
}
