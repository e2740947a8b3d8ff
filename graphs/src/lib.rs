//! Ready pipelines, each one file to read and to copy: [`research()`], the agent [`react()`] and, as the baseline of
//! comparisons, [`classic()`].
//!
//! A pipeline is a state, the routes between its nodes, the nodes, and a function that wires them. What they share
//! is small: [`pipeline`] (what a program needs to know of a pipeline), [`docs`] (what is searched), [`model_call`] (a streamed model call inside
//! a node), [`host`] (the node as the agent loop sees it), [`docs_tool`] (the documents as a tool), [`graph_prompts`] (system
//! prompts from files), [`prompts`] (tagged blocks), [`question`] and [`evidence`] (rules without a model).
//!
//! Not here: models, tools and retrieval (rooms under `nodes/`), and how a graph runs (rooms under `engine/`).

pub mod classic;
pub mod docs;
pub mod docs_tool;
pub mod evidence;
mod facts;
pub mod graph_prompts;
pub mod host;
pub mod model_call;
pub mod pipeline;
pub mod prompts;
pub mod question;
pub mod react;
pub mod research;

pub use classic::{ClassicState, classic};
pub use docs::Docs;
pub use graph_prompts::GraphPrompts;
pub use pipeline::{Pipeline, Report, Services, classify_model_errors};
pub use react::{ReactState, react};
pub use research::{ResearchState, research};
