//! Files under 500 lines and functions under 70, tests apart: what coordinates must not become the place where
//! everything meets.

use super::project::{Finding, Project, Text};

/// Lines that a file of sources may have, inline tests apart.
const FILE_LINES_MAX: usize = 500;
/// Lines that a function may have, from its name to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Files (`path`) and functions (`path#name`) that may be longer, each with its reason.
pub(crate) const ALLOWED: &[(&str, &str)] = &[];

/// Files and functions that are too long, and exceptions that are none any more.
pub(crate) fn sizes(project: &Project, allowed: &[(&str, &str)]) -> Vec<Finding> {
    let mut long: Vec<(String, Finding)> = Vec::new();
    for text in project.texts.iter().filter(|text| text.is_source()) {
        let lines = text.lines_without_tests();
        if lines > FILE_LINES_MAX {
            let words =
                format!("{lines} lines, more than {FILE_LINES_MAX}; move one concern into a file of its own");
            long.push((text.path.clone(), Finding::new(&text.path, 0, words)));
        }
        for Function { name, line, lines } in
            functions(text).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX)
        {
            let words =
                format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}; give its parts names");
            long.push((format!("{}#{name}", text.path), Finding::new(&text.path, line, words)));
        }
    }
    let stale = allowed.iter().filter(|(key, _)| !long.iter().any(|(found, _)| found == key));
    let stale: Vec<Finding> = stale
        .map(|(key, _)| {
            Finding::new(
                "tests/tidy/sizes.rs",
                0,
                format!("`{key}` is not too long any more; delete its exception"),
            )
        })
        .collect();
    long.retain(|(key, _)| !allowed.iter().any(|(known, _)| known == key));
    long.into_iter().map(|(_, finding)| finding).chain(stale).collect()
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// The functions of a formatted file: one ends at the first brace that stands as far left as its first line.
fn functions(text: &Text) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.text.lines().take(text.lines_without_tests()).collect();
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let ends = |later: &&str| {
            let here = later.len() - later.trim_start().len() == indent && !later.trim().is_empty();
            here && (later.trim_start().starts_with('}') || later.ends_with(';'))
        };
        let length = lines[place + 1..].iter().position(ends).map_or(0, |more| more + 2);
        found.push(Function { name, line: place + 1, lines: length });
    }
    found
}

/// The name, if a function begins on the line.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.trim_start().split_once("fn ")?;
    let mut words = before.split_whitespace();
    let is_modifier =
        |word: &str| word.starts_with("pub") || ["const", "async", "unsafe", "extern"].contains(&word);
    if !words.all(is_modifier) {
        return None;
    }
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&after[..end]).filter(|name| !name.is_empty())
}
