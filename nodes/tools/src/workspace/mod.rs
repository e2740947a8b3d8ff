//! Files of one folder as tools: `read_file`, `write_file`, `list_files` and `delete_file`. They cannot leave the folder.
//!
//! A path is a relative path of plain names with `/`. The folder is held open, and each path is resolved beneath it by
//! the operating system, or name by name where it cannot do that: neither a symbolic link that points out of the folder
//! nor one that somebody puts into the way at the last moment is followed out of it.
//!
//! Not here: what a program that a tool starts may touch.

mod delete;
mod list;
mod path;
mod read;
mod write;

use std::io;
use std::path::Path;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use statewright_nodes_ports::{Tool, ToolError};

use crate::function::Function;

/// The largest file that is read or written, in bytes.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The most entries of one list.
pub const ENTRIES_MAX: usize = 1_000;
/// How deep a list looks into folders.
pub const DEPTH_MAX: usize = 32;

/// A folder whose files tools may work with. Cheap to clone.
///
/// ```
/// use statewright_nodes_tools::{Toolbox, workspace::Workspace};
///
/// let folder = tempfile::tempdir()?;
/// let workspace = Workspace::open(folder.path())?;
/// let toolbox = Toolbox::new(workspace.tools())?;
/// assert_eq!(toolbox.names().collect::<Vec<_>>(), ["read_file", "list_files", "write_file", "delete_file"]);
/// let looks_only = toolbox.allow(&["read_file", "list_files"])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Workspace {
    root: Arc<Dir>,
}

/// Why a folder cannot be a workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the workspace `{folder}` cannot be opened: {problem}; give the path of a folder that exists")]
pub struct WorkspaceError {
    /// The folder as given.
    pub folder: String,
    /// What the operating system said.
    pub problem: String,
}

impl WorkspaceError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "SW-N360"
    }
}

impl Workspace {
    /// The folder at this path. It is held open: what later stands at the path in its place is not looked at.
    ///
    /// # Errors
    /// [`WorkspaceError`] when there is no such folder, or it may not be opened.
    pub fn open(folder: &Path) -> Result<Self, WorkspaceError> {
        match Dir::open_ambient_dir(folder, ambient_authority()) {
            Ok(root) => Ok(Self { root: Arc::new(root) }),
            Err(error) => {
                Err(WorkspaceError { folder: folder.display().to_string(), problem: error.to_string() })
            }
        }
    }

    /// All four tools, those that only look first.
    #[must_use]
    pub fn tools(&self) -> [Arc<dyn Tool>; 4] {
        [self.read_file(), self.list_files(), self.write_file(), self.delete_file()].map(Function::shared)
    }

    /// `read_file`: a text file, or some of its lines. At most [`OUTPUT_BYTES_MAX`](crate::OUTPUT_BYTES_MAX) at once.
    #[must_use]
    pub fn read_file(&self) -> Function {
        read::tool(Arc::clone(&self.root))
    }

    /// `write_file`: creates or replaces a whole file, and the folders above it. A reader sees the old file or the new
    /// one, never a part, and so does whoever looks after a crash.
    #[must_use]
    pub fn write_file(&self) -> Function {
        write::tool(Arc::clone(&self.root))
    }

    /// `list_files`: the files below a folder, with their sizes.
    #[must_use]
    pub fn list_files(&self) -> Function {
        list::tool(Arc::clone(&self.root))
    }

    /// `delete_file`: one file. Folders stay.
    #[must_use]
    pub fn delete_file(&self) -> Function {
        delete::tool(Arc::clone(&self.root))
    }
}

/// Work on files, on a thread of its own: once begun it is done to its end, also if nobody waits any more.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|stopped| Err(failed("the workspace", &io::Error::other(stopped))))
}

/// What the operating system says, as an error for the model.
fn failed(path: &str, error: &io::Error) -> ToolError {
    let (code, message) = match error.kind() {
        io::ErrorKind::NotFound => {
            ("SW-N362", format!("there is no `{path}`; list_files shows what there is"))
        }
        io::ErrorKind::NotADirectory => {
            ("SW-N362", format!("`{path}` goes through a file; list_files shows what there is"))
        }
        io::ErrorKind::IsADirectory => {
            ("SW-N362", format!("`{path}` is a folder, not a file; list_files shows what is in it"))
        }
        // So the resolver says it when a link, or whoever moves one about, leads out of the folder.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => ("SW-N361", path::outside(path)),
        _ => ("SW-N364", format!("`{path}` could not be used: {error}; try again, or use another file")),
    };
    ToolError { code, message }
}

fn not_a_file(path: &str) -> ToolError {
    ToolError { code: "SW-N362", message: format!("`{path}` is no regular file; list_files shows which are") }
}

fn too_large(path: &str, bytes: u64) -> ToolError {
    ToolError {
        code: "SW-N363",
        message: format!("`{path}` has {bytes} bytes, more than {FILE_BYTES_MAX}; use a smaller file"),
    }
}
