//! What a path of a model may look like. It touches no file.

use statewright_nodes_ports::ToolError;

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 1_024;

/// A path as it is used: relative, of plain names, with `/` between them; empty for the folder itself.
///
/// # Errors
/// SW-N361 for anything that is not plainly inside of the folder.
pub(super) fn inside(given: &str) -> Result<String, ToolError> {
    let refused = || ToolError { code: "SW-N361", message: outside(&shown(given)) };
    let is_strange = |c: char| c.is_control() || c == '\\' || (cfg!(windows) && c == ':');
    if given.len() > PATH_BYTES_MAX || given.starts_with('/') || given.contains(is_strange) {
        return Err(refused());
    }
    let names: Vec<&str> = given.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return Err(refused());
    }
    Ok(names.join("/"))
}

/// As [`inside`], for a path that has to name a file.
pub(super) fn file_inside(given: &str) -> Result<String, ToolError> {
    let path = inside(given)?;
    if path.is_empty() || given.ends_with('/') {
        let message = format!("`{}` names a folder; name a file in it", shown(given));
        return Err(ToolError { code: "SW-N362", message });
    }
    Ok(path)
}

/// The words for a path that leads out.
pub(super) fn outside(path: &str) -> String {
    format!(
        "`{path}` is not inside of the workspace; use a relative path of plain names, such as notes/plan.md, without `..`, links that lead elsewhere, `\\` or control characters"
    )
}

fn shown(path: &str) -> String {
    const SHOWN: usize = 100;
    let mut shown: String =
        path.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if path.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
