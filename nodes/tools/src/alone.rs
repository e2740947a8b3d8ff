//! A host for tools that are called outside of a graph: in a test, or by a program of one's own.

use serde_json::Value;
use statewright_nodes_ports::{BoxFuture, HostError, HostStep, NodeHost, Work};

/// A node that lends nothing: steps are done at once and not kept, nobody can be asked, and what is streamed is dropped.
///
/// ```
/// use serde_json::json;
/// use statewright_nodes_ports::{Tool, ToolInput};
/// use statewright_nodes_tools::{Alone, calculator};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let arguments = json!({"expression": "25 * 4"});
/// let output = calculator::tool().call(ToolInput { arguments: &arguments, key: "call-1", host: &Alone }).await?;
/// assert_eq!(output.content, "25 × 4 = 100");
/// # Ok::<(), statewright_nodes_ports::ToolError>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Alone;

impl NodeHost for Alone {
    fn step<'a>(&'a self, _: HostStep<'a>, work: Work<'a>) -> BoxFuture<'a, Result<Value, HostError>> {
        work
    }

    fn ask<'a>(&'a self, name: &'a str, _: Value) -> BoxFuture<'a, Result<Value, HostError>> {
        let message = format!("nobody can be asked `{name}` outside of a graph; run the tool in a node");
        Box::pin(std::future::ready(Err(HostError::permanent("SW-N357", message))))
    }

    fn emit(&self, _: &'static str, _: Value) {}

    fn key(&self, name: &str) -> String {
        name.to_owned()
    }
}
