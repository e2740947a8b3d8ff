//! Tools that a model may call, and what holds them together.
//!
//! - [`Toolbox`] is an ordered set of tools: it lists them for a model, finds the one that a call names, and checks the
//!   call's arguments.
//! - [`function()`] makes a tool of an async function with typed arguments.
//! - [`Bounded`] keeps results to a size that a model can be given.
//! - [`calculator`] computes exactly, [`workspace`] works on the files of a folder, [`fetch`] reads web pages, [`search`]
//!   finds them, and [`storage_metrics`] is a sample.
//! - [`agent`] lets a model call tools until it has an answer.
//!
//! Not here: any knowledge of graphs, and models.

pub mod agent;
mod alone;
mod bounded;
pub mod calculator;
pub mod fetch;
mod function;
mod http;
pub mod schema;
pub mod search;
pub mod storage_metrics;
pub mod structured;
mod toolbox;
pub mod workspace;

pub use alone::Alone;
pub use bounded::{Bounded, OUTPUT_BYTES_MAX, bounded, bounded_bytes};
pub use function::{Function, IntoToolResult, Json, NoArguments, ToolCx, function};
/// What derives the schema of a tool's arguments.
pub use schemars;
pub use toolbox::{NAME_CHARS_MAX, Toolbox, ToolboxError};
