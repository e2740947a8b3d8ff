//! The documents as a tool: a model searches them and cites what it found. How they are read and ranked is in
//! `nodes/context`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use statewright_nodes_context::{Citation, ContextError, pack};
use statewright_nodes_ports::{Message, SideEffect, TokenCounter, Tool, ToolError};
use statewright_nodes_tools::{ToolCx, function, schemars};

use crate::docs::Docs;
use crate::prompts::harmless;

/// The name of the tool.
pub const DOCS_SEARCH: &str = "docs_search";
/// How many passages a search gives.
const PASSAGES: usize = 6;

#[derive(Deserialize, JsonSchema)]
struct Search {
    /// What is looked for, in a few words or as a question.
    query: String,
}

/// The tool. Each passage comes as a source with a number of its own, the same one whenever it is found again.
#[must_use]
pub fn docs_search(docs: Docs, tokens: Arc<dyn TokenCounter>) -> Arc<dyn Tool> {
    let search = move |args: Search, _: ToolCx| {
        let (docs, tokens) = (docs.clone(), tokens.clone());
        async move {
            let told = |error: ContextError| ToolError { code: error.code(), message: error.to_string() };
            let passages = docs.index().await.map_err(told)?.search(&args.query, PASSAGES);
            let packed = pack::pack(&passages, tokens.as_ref(), pack::RETRIEVED_TOKENS);
            let sources: String =
                packed.passages.iter().map(|passage| source(&passage.citation, &passage.text)).collect();
            Ok::<_, ToolError>(if sources.is_empty() { NOTHING.to_owned() } else { sources })
        }
    };
    let about = "Searches the documents and gives passages as numbered sources. Cite what you use by its number, such as [7].";
    function(DOCS_SEARCH, about, SideEffect::Read, search).shared()
}

const NOTHING: &str = "Nothing was found.";

fn source(citation: &Citation, text: &str) -> String {
    let Citation { doc, start, end, heading, hash, .. } = citation;
    let plain =
        |text: &str| -> String { text.chars().filter(|c| !matches!(c, '"' | '<' | '>' | '\n')).collect() };
    let id = number(hash);
    let (doc, heading, text) = (plain(doc), plain(heading), harmless(text));
    format!(
        "<source id=\"{id}\" doc=\"{doc}\" start=\"{start}\" end=\"{end}\" heading=\"{heading}\" hash=\"{hash}\">{text}</source>\n"
    )
}

/// The number of a passage: made of its content, so that two searches never give one number to two passages, as far as a
/// million numbers go.
fn number(hash: &str) -> usize {
    hash.get(..5).and_then(|digits| usize::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// The sources in what a search gave, by their number.
#[must_use]
pub fn sources_in(content: &str) -> BTreeMap<usize, Citation> {
    let mut found = BTreeMap::new();
    for block in content.split("<source ").skip(1) {
        let Some((attributes, _)) = block.split_once('>') else { continue };
        let value = |name: &str| {
            let (_, rest) = attributes.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let count = |name: &str| value(name)?.parse::<usize>().ok();
        let fields = json!({
            "doc": value("doc"), "start": count("start"), "end": count("end"), "heading": value("heading"),
            "hash": value("hash"),
        });
        if let (Some(id), Ok(citation)) = (count("id"), serde_json::from_value(fields)) {
            found.entry(id).or_insert(citation);
        }
    }
    found
}

/// The sources that the searches of a conversation gave.
#[must_use]
pub fn sources_of(messages: &[Message]) -> BTreeMap<usize, Citation> {
    let results = messages.iter().flat_map(Message::tool_results).filter(|result| result.name == DOCS_SEARCH);
    results.flat_map(|result| sources_in(&result.content)).collect()
}
