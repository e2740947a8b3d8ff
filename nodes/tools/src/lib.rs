//! Tools that a model may call, and what holds them together.
//!
//! - [`Toolbox`] is an ordered set of tools: it lists them for a model, finds the one that a call names, and checks the
//!   call's arguments.
//! - [`function`] makes a tool of an async function with typed arguments.
//! - [`calculator`] computes exactly.
//! - [`agent`] lets a model call tools until it has an answer.
//!
//! Not here: any knowledge of graphs, and models.

pub mod agent;
pub mod calculator;
mod function;
pub mod schema;
mod toolbox;

pub use function::{Function, IntoToolResult, Json, NoArguments, ToolCx, function};
/// What derives the schema of a tool's arguments.
pub use schemars;
pub use toolbox::{NAME_CHARS_MAX, Toolbox, ToolboxError};
