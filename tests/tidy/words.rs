//! Words that a text must not contain: those of another room, paths of one machine, work put off.

use super::project::{Finding, Project, Text};

/// What the engine must not know by name.
const OF_MODELS: &[&str] = &["prompt", "llm", "chat", "openai", "anthropic", "embedding", "gpt"];

/// What the core must not do, as it would stand in its sources.
const OF_THE_WORLD: &[(&str, &str)] = &[
    ("std::time", "it reads no clock; take the time as a field of an event"),
    ("SystemTime", "it reads no clock; take the time as a field of an event"),
    ("Instant::now", "it reads no clock; take the time as a field of an event"),
    ("thread::", "it has no threads; let the driver run things at the same time"),
    ("async ", "it does not wait; return an action and take an event"),
    (".await", "it does not wait; return an action and take an event"),
    ("std::fs", "it touches no file; return an entry to persist"),
    ("std::net", "it touches no network; return an action"),
];

/// Names of models and messages in the engine, comments included.
pub(crate) fn engine(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    let engine = |text: &&Text| text.path.starts_with("engine/") && text.path.contains("/src/");
    for text in project.texts.iter().filter(engine) {
        for (line, content) in text.lines() {
            let lower = content.to_lowercase();
            // Most lines do not even hold the letters: the words are only taken apart where they do.
            if let Some(word) =
                OF_MODELS.iter().find(|word| lower.contains(**word) && has_word(content, word))
            {
                let words = format!(
                    "the engine names `{word}`; say what it is to the engine (a node, an item, a unit), or move it to `nodes` or `graphs`"
                );
                findings.push(Finding::new(&text.path, line, words));
            }
        }
    }
    findings
}

/// Clocks, threads, files, sockets, waiting and chance in the core, comments included.
pub(crate) fn core(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in project.texts.iter().filter(|text| text.path.starts_with("engine/core/src/")) {
        for (line, content) in text.lines() {
            for (word, why) in OF_THE_WORLD.iter().filter(|(word, _)| content.contains(word)) {
                findings.push(Finding::new(
                    &text.path,
                    line,
                    format!("the core says `{}`, but {why}", word.trim()),
                ));
            }
            if has_word(content, "rand") {
                let words =
                    "the core says `rand`, but it draws nothing; take the number as a field of an event";
                findings.push(Finding::new(&text.path, line, words));
            }
        }
    }
    findings
}

/// Absolute paths that exist on one machine only. The user `me` of examples is nobody's.
pub(crate) fn machine_paths(project: &Project) -> Vec<Finding> {
    // Put together here, so that this text does not hold them.
    let roots = ["work", "root", "home/", "Users/"].map(|name| format!("/{name}"));
    let mut findings = Vec::new();
    for text in &project.texts {
        for (line, content) in text.lines() {
            for root in roots.iter().filter(|root| has_path(content, root)) {
                let words = format!(
                    "a path of one machine (`{root}…`); use a relative path, or the home of `me` in an example"
                );
                findings.push(Finding::new(&text.path, line, words));
            }
        }
    }
    findings
}

/// Marks of work that was put off.
pub(crate) fn postponed(project: &Project) -> Vec<Finding> {
    let marks =
        ["TO", "FIX"].map(|start| if start == "TO" { format!("{start}DO") } else { format!("{start}ME") });
    let mut findings = Vec::new();
    for text in &project.texts {
        for (line, content) in text.lines() {
            let tokens = content.split(|c: char| !c.is_alphanumeric() && c != '_');
            for token in tokens.filter(|token| marks.iter().any(|mark| mark == token)) {
                findings.push(Finding::new(
                    &text.path,
                    line,
                    format!("a {token}; do it, or open an issue and delete the mark"),
                ));
            }
        }
    }
    findings
}

/// Whether the line has the word, in any spelling: `ChatModel`, `chat_model`, `CHATS`.
fn has_word(line: &str, word: &str) -> bool {
    let is = |part: &str| {
        let part = part.to_lowercase();
        part == word || part.strip_suffix('s') == Some(word)
    };
    line.split(|c: char| !c.is_alphanumeric()).any(|whole| is(whole) || humps(whole).into_iter().any(is))
}

/// The parts of a name in camel case.
fn humps(name: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut before_is_lower = false;
    for (place, c) in name.char_indices() {
        if c.is_uppercase() && before_is_lower {
            starts.push(place);
        }
        before_is_lower = c.is_lowercase() || c.is_numeric();
    }
    starts.push(name.len());
    starts.windows(2).map(|ends| &name[ends[0]..ends[1]]).collect()
}

/// Whether a path that starts at the root of the file system begins with `root`.
fn has_path(line: &str, root: &str) -> bool {
    let examples = format!("{root}me");
    line.match_indices(root).any(|(place, found)| {
        let before = line[..place].chars().next_back();
        let after = line[place + found.len()..].chars().next();
        let begins = before.is_none_or(|c| !c.is_alphanumeric() && !"_.-/}$*~])".contains(c));
        let ends = root.ends_with('/') || after.is_none_or(|c| !c.is_alphanumeric() && !"_-".contains(c));
        let made_up = line[place..]
            .strip_prefix(&examples)
            .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        begins && ends && !made_up
    })
}
