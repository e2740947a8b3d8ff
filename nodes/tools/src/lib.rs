//! Tools that a model may call, and what holds them together.
//!
//! - [`Toolbox`] is an ordered set of tools: it lists them for a model, finds the one that a call names, and checks the
//!   call's arguments.
//! - [`function`] makes a tool of an async function with typed arguments.
//! - [`calculator`] computes exactly.
//!
//! Not here: the loop that lets a model call tools, and any knowledge of graphs or models.

pub mod calculator;
mod function;
pub mod schema;
pub mod structured;
mod toolbox;

pub use function::{Function, IntoToolResult, Json, NoArguments, ToolCx, function};
/// What derives the schema of a tool's arguments.
pub use schemars;
pub use toolbox::{NAME_CHARS_MAX, Toolbox, ToolboxError};
