//! The calculator as a tool for models.

use schemars::JsonSchema;
use serde::Deserialize;
use statewright_nodes_ports::{SideEffect, ToolError};

use super::evaluate;
use crate::function::{Function, ToolCx, function};

/// What the calculator is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// One line of arithmetic with + - * / // % ** and parentheses, such as `150 * 223.48`. No names, units or functions.
    #[schemars(length(min = 1, max = 1_000))]
    expression: String,
}

/// `calculator`: one line of arithmetic, computed exactly.
///
/// ```
/// use statewright_nodes_tools::{Toolbox, calculator};
/// assert!(Toolbox::new([calculator::tool().shared()])?.get("calculator").is_some());
/// # Ok::<(), statewright_nodes_tools::ToolboxError>(())
/// ```
#[must_use]
pub fn tool() -> Function {
    let description =
        "Computes one line of arithmetic exactly. Use it for every calculation, however simple it looks.";
    function("calculator", description, SideEffect::Read, |arguments: Arguments, _: ToolCx| async move {
        match evaluate(&arguments.expression) {
            Ok(calculation) => Ok(calculation.to_string()),
            Err(error) => Err(ToolError { code: error.code(), message: error.to_string() }),
        }
    })
}
