//! How a request differs from the recording that is nearest to it, for people.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use similar::{ChangeTag, TextDiff};
use statewright_nodes_ports::{ChatRequest, Image, Message, ModelId, Part, Role, ToolChoice};

use super::canonical::{arguments, hex};
use super::file::Recording;

/// The most lines of a difference.
const LINES_MAX: usize = 40;
/// How many lines are compared from the first difference on: what is shown lies within, and the time stays small.
const COMPARED_MAX: usize = 400;
/// The most characters of one of its lines.
const CHARS_MAX: usize = 160;
/// Lines that stay the same, shown around each change.
const CONTEXT: usize = 1;

/// The recording that the request is most like: one of the same purpose if there is one, and of several that are
/// equally like it the last.
pub(super) fn nearest<'r>(
    recordings: &'r [Recording],
    model: &ModelId,
    request: &ChatRequest,
) -> Option<&'r Recording> {
    let text = shown(model, request);
    let wanted = words(&text);
    let score = |recording: &Recording| {
        let same_purpose = recording.request.purpose == request.purpose;
        (same_purpose, likeness(&wanted, &words(&shown(&recording.model, &recording.request))))
    };
    let scored = recordings.iter().map(|recording| (score(recording), recording));
    let best = scored.max_by(|((purpose, like), _), ((other_purpose, other), _)| {
        purpose.cmp(other_purpose).then(like.total_cmp(other))
    });
    best.map(|(_, recording)| recording)
}

/// The changes from the recording to the request: `-` is recorded, `+` is asked for.
pub(super) fn changes(recording: &Recording, model: &ModelId, request: &ChatRequest) -> String {
    let (old, new) = (shown(&recording.model, &recording.request), shown(model, request));
    let same = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count();
    let seen = |text: &str| -> String {
        let lines = text.split_inclusive('\n').skip(same.saturating_sub(CONTEXT));
        lines.take(COMPARED_MAX).collect()
    };
    let (old, new) = (seen(&old), seen(&new));
    let diff = TextDiff::from_lines(&old, &new);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if at > 0 {
            lines.push("  …".to_owned());
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(format!("{sign} {}", change.value().trim_end_matches('\n')));
        }
    }
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("  … and {more} more lines"));
    }
    lines.join("\n").trim_end().to_owned()
}

/// A request line by line, with what the hash is about and nothing else.
fn shown(model: &ModelId, request: &ChatRequest) -> String {
    let mut text = format!("model: {model}\n");
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\n"));
        }
    };
    line("temperature", request.temperature.map(|t| t.to_string()));
    line("max_output_tokens", request.max_output_tokens.map(|limit| limit.to_string()));
    line(
        "tool_choice",
        match &request.tool_choice {
            ToolChoice::Auto => None,
            other => Some(format!("{other:?}")),
        },
    );
    line("parallel_tool_calls", request.parallel_tool_calls.map(|parallel| parallel.to_string()));
    line("output", request.output.as_ref().map(|output| format!("{} {}", output.name, output.schema)));
    line("stop", (!request.stop.is_empty()).then(|| format!("{:?}", request.stop)));
    line("seed", request.seed.map(|seed| seed.to_string()));
    for (name, value) in &request.extra_body {
        line(name, Some(value.to_string()));
    }
    for tool in &request.tools {
        line(&format!("tool {}", tool.name), Some(format!("{} {}", tool.description, tool.parameters)));
    }
    text += &request.messages.iter().map(message).collect::<String>();
    text.lines().map(broken).collect()
}

fn message(message: &Message) -> String {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let parts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.clone()),
        Part::ToolCall(call) => Some(format!("calls {} {} {}", call.name, call.id, arguments(call))),
        Part::ToolResult(result) => Some(format!("result of {}: {}", result.call_id, result.content)),
        Part::Image(Image::Url(url)) => Some(format!("picture {url}")),
        Part::Image(Image::Data { media_type, base64 }) => {
            Some(format!("picture {media_type} {}", &hex(&Sha256::digest(base64))[..12]))
        }
        _ => None,
    });
    format!("[{role}]\n{}\n", parts.collect::<Vec<_>>().join("\n"))
}

fn words(text: &str) -> HashMap<&str, usize> {
    let mut words = HashMap::new();
    for word in text.split_whitespace() {
        *words.entry(word).or_insert(0) += 1;
    }
    words
}

/// The share of words that two texts have in common, from 0 to 1.
fn likeness(one: &HashMap<&str, usize>, other: &HashMap<&str, usize>) -> f64 {
    let total: usize = one.values().chain(other.values()).sum();
    let common: usize = one.iter().map(|(word, count)| other.get(word).map_or(0, |o| (*count).min(*o))).sum();
    #[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^52")]
    let share = (2 * common) as f64 / total.max(1) as f64;
    share
}

/// A long line as several, so that what differs far behind its beginning is seen: at the ends of sentences and of
/// fields, and at a width. What could harm a terminal is left out.
fn broken(line: &str) -> String {
    let mut text = String::with_capacity(line.len() + 1);
    let (mut width, mut before) = (0, ' ');
    for c in line.chars().filter(|c| !c.is_control()) {
        let ends = matches!((before, c), ('.' | '?' | '!', ' ')) || before == ',' && matches!(c, '"' | '{');
        if ends || width == CHARS_MAX {
            text.push('\n');
            width = 0;
        }
        if !(ends && c == ' ') {
            text.push(c);
            width += 1;
        }
        before = c;
    }
    text.push('\n');
    text
}
