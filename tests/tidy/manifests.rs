//! What the manifests must say: the lints of the workspace, the Rust version, licences that are allowed.

use super::project::{Finding, Metadata, Project, manifest};

/// Every member inherits the lints, and the workspace forbids unsafe code.
pub(crate) fn lints(project: &Project, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = section(project, "Cargo.toml", "[workspace.lints.rust]");
    if !root.iter().any(|(_, line)| line.replace(' ', "") == "unsafe_code=\"forbid\"") {
        let words = "unsafe code is not forbidden; add `unsafe_code = \"forbid\"` to [workspace.lints.rust]";
        findings.push(Finding::new("Cargo.toml", root.first().map_or(0, |(line, _)| *line), words));
    }
    for (room, _) in metadata.rooms() {
        let file = manifest(room);
        if !section(project, &file, "[lints]")
            .iter()
            .any(|(_, line)| line.replace(' ', "") == "workspace=true")
        {
            let words = "the lints of the workspace are not inherited; add `[lints]` with `workspace = true`";
            findings.push(Finding::new(&file, 0, words));
        }
    }
    findings
}

/// Every dependency may be used under a licence that `deny.toml` allows.
pub(crate) fn licences(project: &Project, metadata: &Metadata) -> Vec<Finding> {
    let list = section(project, "deny.toml", "[licenses]");
    let list = list.iter().map(|(_, line)| *line).skip_while(|line| !line.starts_with("allow = ["));
    let list = list.take_while(|line| *line != "]").filter_map(|line| line.split('"').nth(1));
    let allowed: Vec<&str> = list.collect();
    let refused = |expression: &str| !is_allowed(expression, &allowed);
    let mut findings = Vec::new();
    for package in metadata.foreign() {
        let (name, version) = (&package.name, &package.version);
        let words = match (&package.license, &package.license_file) {
            (Some(licence), _) if refused(licence) => {
                format!(
                    "{name} {version} is under `{licence}`; choose another crate, or allow it here with a reason"
                )
            }
            (None, file) => {
                let file = file.as_deref().unwrap_or("no file either");
                format!("{name} {version} names no licence ({file}); read its text, or choose another crate")
            }
            _ => continue,
        };
        findings.push(Finding::new("deny.toml", 0, words));
    }
    findings
}

/// The declared Rust version is the highest that any dependency declares: lower is untrue, higher shuts users out.
pub(crate) fn rust_version(project: &Project, metadata: &Metadata) -> Vec<Finding> {
    let parse = |version: &str| -> Vec<u32> {
        let mut parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        parts.resize(3, 0);
        parts
    };
    let needed = metadata.foreign().filter_map(|package| {
        package.rust_version.as_deref().map(|version| (parse(version), &package.name, version))
    });
    let Some((needed, name, version)) = needed.max() else { return Vec::new() };
    let lines = section(project, "Cargo.toml", "[workspace.package]");
    let declared = lines.iter().find(|(_, line)| line.starts_with("rust-version"));
    let (line, declared) =
        declared.map_or((0, ""), |(line, text)| (*line, text.split('"').nth(1).unwrap_or("")));
    if parse(declared) == needed {
        return Vec::new();
    }
    let words = format!("rust-version is \"{declared}\", and `{name}` needs {version}; write \"{version}\"");
    vec![Finding::new("Cargo.toml", line, words)]
}

/// The lines of one section of a TOML file, with their numbers, comments and empty lines apart.
fn section<'a>(project: &'a Project, file: &str, header: &str) -> Vec<(usize, &'a str)> {
    let Some(text) = project.get(file) else { return Vec::new() };
    let inside = text.lines().skip_while(|(_, line)| line.trim() != header).skip(1);
    let inside = inside.take_while(|(_, line)| !(line.starts_with('[') && line.trim_end().ends_with(']')));
    inside
        .map(|(number, line)| (number, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// Whether a licence expression can be met: `OR` (and the old `/`) needs one side, `AND` both.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut place = 0;
    any_of(&tokens, &mut place, allowed) && place == tokens.len()
}

fn any_of(tokens: &[&str], place: &mut usize, allowed: &[&str]) -> bool {
    let mut met = all_of(tokens, place, allowed);
    while tokens.get(*place) == Some(&"OR") {
        *place += 1;
        met |= all_of(tokens, place, allowed);
    }
    met
}

fn all_of(tokens: &[&str], place: &mut usize, allowed: &[&str]) -> bool {
    let mut met = one(tokens, place, allowed);
    while tokens.get(*place) == Some(&"AND") {
        *place += 1;
        met &= one(tokens, place, allowed);
    }
    met
}

fn one(tokens: &[&str], place: &mut usize, allowed: &[&str]) -> bool {
    let Some(token) = tokens.get(*place) else { return false };
    *place += 1;
    if *token == "(" {
        let met = any_of(tokens, place, allowed);
        let closed = tokens.get(*place) == Some(&")");
        *place += 1;
        return met && closed;
    }
    if tokens.get(*place) == Some(&"WITH") {
        let whole = format!("{token} WITH {}", tokens.get(*place + 1).unwrap_or(&""));
        *place += 2;
        return allowed.contains(&whole.as_str());
    }
    allowed.contains(token)
}
