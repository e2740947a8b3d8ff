//! What tests of tools share: calling one, and a tool of any schema.

use std::sync::Arc;

use serde_json::Value;
use statewright_nodes_ports::{BoxFuture, SideEffect, Tool, ToolError, ToolInput, ToolOutput, ToolSpec};
use statewright_nodes_tools::Alone;

/// Calls a tool within a runtime.
pub(crate) async fn call_async(tool: &dyn Tool, arguments: &Value) -> Result<ToolOutput, ToolError> {
    tool.call(ToolInput { arguments, key: "key-1", host: &Alone }).await
}

/// Calls a tool on a runtime of one thread.
pub(crate) fn call_tool(tool: &dyn Tool, arguments: &Value) -> Result<ToolOutput, ToolError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(call_async(tool, arguments))
}

/// A tool with this schema that echoes its arguments.
pub(crate) fn with_schema(name: &str, parameters: Value) -> Arc<dyn Tool> {
    let description = "Echoes.".to_owned();
    Arc::new(Echo(ToolSpec { name: name.to_owned(), description, parameters }))
}

struct Echo(ToolSpec);

impl Tool for Echo {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn side_effect(&self) -> SideEffect {
        SideEffect::Read
    }

    fn call<'a>(&'a self, input: ToolInput<'a>) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(async move { Ok(ToolOutput::from(input.arguments.to_string())) })
    }
}
