//! The search of documents as a tool for models. It gives back passages as tagged sources; which of them to cite is up to
//! the model.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use statewright_nodes_ports::{BoxFuture, SideEffect, Tool, ToolError, ToolInput, ToolOutput, ToolSpec};

use crate::docs_search::{DocsIndex, MAX_PASSAGES, Passage};
use crate::error::ContextError;

/// Passages of a search that does not say how many it wants.
pub const PASSAGES_DEFAULT: u64 = 5;
/// Most passages that a model may ask for.
pub const PASSAGES_MAX: u64 = 20;
const _: () = assert!(PASSAGES_MAX as usize <= MAX_PASSAGES, "the index gives as many");

type Index = BoxFuture<'static, Result<Arc<DocsIndex>, ContextError>>;

/// `docs_search`: passages of the documents that are about a query, best first.
///
/// ```
/// use std::sync::Arc;
/// use statewright_nodes_context::{DocsIndex, DocsSearch, chunk, corpus::Corpus};
/// use statewright_nodes_ports::Tool;
///
/// let mut corpus = Corpus::default();
/// corpus.chunks.extend(chunk::chunks(&Arc::from("tower.md"), "# Tower\n\nIt was finished in 1889.\n"));
/// let tool = DocsSearch::new(Arc::new(DocsIndex::new(corpus)));
/// assert_eq!(tool.spec().name, "docs_search");
/// ```
pub struct DocsSearch {
    spec: ToolSpec,
    index: Box<dyn Fn() -> Index + Send + Sync>,
}

impl DocsSearch {
    /// A search of an index that is there.
    #[must_use]
    pub fn new(index: Arc<DocsIndex>) -> Self {
        Self::lazy(move || Box::pin(std::future::ready(Ok(Arc::clone(&index)))))
    }

    /// A search of an index that is made for the first call, such as `move || docs.index()` makes it.
    pub fn lazy(index: impl Fn() -> Index + Send + Sync + 'static) -> Self {
        let parameters = json!({
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 2_000,
                    "description": "What to look for, as a question or as keywords."
                },
                "count": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "maximum": PASSAGES_MAX,
                    "description": format!("How many passages at most; {PASSAGES_DEFAULT} if left out.")
                }
            },
            "required": ["query"],
            "additionalProperties": false
        });
        let description = "Searches the documents of this project and returns passages, best first, each with its \
            file and place. Use it for anything that the documents may say.";
        let spec =
            ToolSpec { name: "docs_search".to_owned(), description: description.to_owned(), parameters };
        Self { spec, index: Box::new(index) }
    }
}

impl Tool for DocsSearch {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn side_effect(&self) -> SideEffect {
        SideEffect::Read
    }

    fn call<'a>(&'a self, input: ToolInput<'a>) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        let query = input.arguments.get("query").and_then(Value::as_str).unwrap_or_default();
        let count = input.arguments.get("count").and_then(Value::as_u64).unwrap_or(PASSAGES_DEFAULT);
        let count = usize::try_from(count.min(PASSAGES_MAX)).unwrap_or(MAX_PASSAGES);
        Box::pin(async move {
            let told = |error: ContextError| ToolError { code: error.code(), message: error.to_string() };
            let passages = (self.index)().await.map_err(told)?.search(query, count);
            Ok(ToolOutput::from(render(&passages)))
        })
    }
}

impl fmt::Debug for DocsSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocsSearch").finish_non_exhaustive()
    }
}

fn render(passages: &[Passage]) -> String {
    if passages.is_empty() {
        return "Nothing in the documents is about this. Try other words, or answer without them.".to_owned();
    }
    let source = |(at, passage): (usize, &Passage)| {
        let citation = &passage.citation;
        let doc: String =
            citation.doc.chars().filter(|c| !matches!(c, '"' | '<' | '>') && !c.is_control()).collect();
        let heading = harmless(&citation.heading);
        let title = if heading.is_empty() { String::new() } else { format!("# {heading}\n\n") };
        let text = harmless(&passage.text);
        let (id, start, end) = (at + 1, citation.start, citation.end);
        format!("<source id=\"{id}\" doc=\"{doc}\" start=\"{start}\" end=\"{end}\">{title}{text}</source>\n")
    };
    passages.iter().enumerate().map(source).collect()
}

/// A document that shows such tags does not end its source, and begins none.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let rest = || text[at + 1..].trim_start_matches(['/', ' ']);
        let is_tag = c == '<' && rest().get(..6).is_some_and(|name| name.eq_ignore_ascii_case("source"));
        out.push(if is_tag { '‹' } else { c });
    }
    out
}
