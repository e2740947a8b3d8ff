//! The syntax of a prompt: an optional front matter, then text with `{{name}}`. Pure.

use super::error::PromptError;

/// The longest name of a placeholder, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A piece of a prompt's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Placeholder(String),
}

/// A prompt, taken apart.
pub(super) struct Template {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    /// The text behind the front matter, without line breaks at its end.
    pub(super) body: String,
    pub(super) pieces: Vec<Piece>,
}

/// Takes a text apart whose line breaks are `\n`. `prompt` is for errors.
pub(super) fn parse(prompt: &str, text: &str) -> Result<Template, PromptError> {
    let wrong =
        |line: usize, problem: String| PromptError::Syntax { prompt: prompt.to_owned(), line, problem };
    let (front, first_line, body) = split(text)
        .ok_or_else(|| wrong(1, "the front matter has no end; write a line `---` behind it".to_owned()))?;
    let body = body.trim_end_matches('\n').to_owned();
    let mut template =
        Template { name: None, description: None, pieces: pieces(&body, first_line, &wrong)?, body };
    for (line, field) in (2..).zip(front.lines()).filter(|(_, field)| !field.trim().is_empty()) {
        let (name, value) = field
            .split_once(':')
            .ok_or_else(|| wrong(line, format!("`{field}` is no field; write it like `description: …`")))?;
        let value = value.trim().trim_matches('"').to_owned();
        match name.trim() {
            "name" if is_prompt_name(&value) => template.name = Some(value),
            "name" => {
                return Err(wrong(line, format!("`{value}` is no name; use letters, digits, `-` and `_`")));
            }
            "description" => template.description = Some(value),
            other => {
                let problem =
                    format!("`{other}` is no field of a prompt; the fields are name and description");
                return Err(wrong(line, problem));
            }
        }
    }
    Ok(template)
}

/// Front matter, the line on which the body begins, and the body; nothing if the front matter never ends.
fn split(text: &str) -> Option<(&str, usize, &str)> {
    let Some(rest) = text.strip_prefix("---\n") else { return Some(("", 1, text)) };
    if let Some(body) = rest.strip_prefix("---\n") {
        return Some(("", 3, body));
    }
    let (front, body) = rest.split_once("\n---\n").or_else(|| Some((rest.strip_suffix("\n---")?, "")))?;
    Some((front, front.lines().count() + 3, body))
}

/// The text between placeholders and the placeholders; `\{{` is `{{`.
fn pieces(
    body: &str,
    first_line: usize,
    wrong: &dyn Fn(usize, String) -> PromptError,
) -> Result<Vec<Piece>, PromptError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = body;
    while let Some(at) = rest.find("{{") {
        if let Some(before) = rest[..at].strip_suffix('\\') {
            text.push_str(before);
            text.push_str("{{");
            rest = &rest[at + 2..];
            continue;
        }
        text.push_str(&rest[..at]);
        let line = first_line + body[..body.len() - rest.len() + at].matches('\n').count();
        let inside = &rest[at + 2..];
        let name = inside.find("}}").map(|end| inside[..end].trim()).filter(|name| is_name(name));
        let Some(name) = name else {
            let problem = "`{{` begins no placeholder; write {{name}} with letters, digits and `_`, or \\{{ for two braces";
            return Err(wrong(line, problem.to_owned()));
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Placeholder(name.to_owned()));
        rest = inside.split_once("}}").map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a prompt can be called so, and be a file of that name.
pub(super) fn is_prompt_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}
