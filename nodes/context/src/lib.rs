//! What a prompt is made of: counted tokens, and passages of a Markdown folder that a question is about.
//!
//! - [`tokens`] counts tokens exactly.
//! - [`corpus`] loads a folder of Markdown and cuts it into chunks by headings, [`chunk`] does the cutting.
//! - [`bm25`] ranks texts for a query, [`analyse`] turns text into index terms.
//! - [`docs_search`] puts these together and returns passages with citations that resolve to bytes.
//! - [`DocsSearch`] offers the search to models as a tool.
//! - [`pack`] chooses the passages that fit into a token budget.
//! - [`prompt`] reads prompts from files, fills their placeholders and puts system prompts together.
//!
//! Not here: models, the prompts themselves, graphs, embeddings and anything that is stored.

pub mod analyse;
pub mod bm25;
pub mod chunk;
pub mod citation;
pub mod corpus;
pub mod docs_search;
mod error;
pub mod pack;
pub mod prompt;
mod sentences;
pub mod tokens;
pub mod tool;

pub use citation::Citation;
pub use docs_search::{DocsIndex, Passage};
pub use error::ContextError;
pub use tool::DocsSearch;
