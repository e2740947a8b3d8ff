//! An async function with typed arguments as a tool. The schema comes from the type of the arguments.

use std::any::Any;
use std::fmt::Display;
use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use statewright_nodes_ports::{BoxFuture, SideEffect, Tool, ToolError, ToolInput, ToolOutput, ToolSpec};

/// What a tool is told beside its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCx {
    /// A key that is the same whenever this call is tried again, over retries and crashes: send it on as an idempotency
    /// key where the other side knows such keys.
    pub key: String,
}

/// Arguments of a tool that takes none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

/// A tool made by [`function()`].
pub struct Function {
    spec: ToolSpec,
    side_effect: SideEffect,
    is_idempotent: bool,
    call: Box<Call>,
}

type Running = BoxFuture<'static, Result<ToolOutput, ToolError>>;
type Call = dyn Fn(&Value, ToolCx) -> Running + Send + Sync;

/// Makes a tool of an async function. Its description and the doc comments of the arguments are what a model knows of it.
///
/// What comes out is a text, a [`Json`], or a `Result` of those. An error of any type that can be displayed is told to the
/// model under SW-N356; a [`ToolError`] keeps its code.
///
/// A tool that does durable steps, asks questions or streams items implements [`Tool`] and uses the
/// [`host`](ToolInput::host) of its input.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use statewright_nodes_ports::SideEffect;
/// use statewright_nodes_tools::{ToolCx, Toolbox, function};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Count {
///     /// The text whose words are counted.
///     text: String,
/// }
///
/// let count = function("count_words", "Counts the words of a text.", SideEffect::Read, |args: Count, _: ToolCx| async move {
///     args.text.split_whitespace().count().to_string()
/// });
/// let toolbox = Toolbox::new([count.shared()])?;
/// assert_eq!(toolbox.specs()[0].parameters["properties"]["text"]["description"], "The text whose words are counted.");
/// # Ok::<(), statewright_nodes_tools::ToolboxError>(())
/// ```
pub fn function<A, F, Fut>(name: &str, description: &str, side_effect: SideEffect, call: F) -> Function
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(A, ToolCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoToolResult> + Send + 'static,
{
    let tool = name.to_owned();
    let call = move |arguments: &Value, cx: ToolCx| -> Running {
        match A::deserialize(arguments) {
            Ok(arguments) => {
                let running = call(arguments, cx);
                Box::pin(async move { running.await.into_tool_result() })
            }
            // What a schema cannot say, such as the form of a date.
            Err(error) => {
                let message = format!(
                    "the arguments of `{tool}` cannot be used: {error}; call it again with arguments that do"
                );
                Box::pin(std::future::ready(Err(ToolError { code: "SW-N354", message })))
            }
        }
    };
    let spec = ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: parameters::<A>(),
    };
    Function { spec, side_effect, is_idempotent: false, call: Box::new(call) }
}

impl Function {
    /// The same tool, of which is known that a call made twice does no more than one: it only looks, or the other side
    /// knows the [`key`](ToolCx::key). A call that was not seen to end is then made again.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// The tool as a toolbox takes it.
    #[must_use]
    pub fn shared(self) -> Arc<dyn Tool> {
        Arc::new(self)
    }
}

impl Tool for Function {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn side_effect(&self) -> SideEffect {
        self.side_effect
    }

    fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    fn call<'a>(&'a self, input: ToolInput<'a>) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        (self.call)(input.arguments, ToolCx { key: input.key.to_owned() })
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

/// The JSON schema of a type, as providers take it: without the parts that only name it.
pub(crate) fn parameters<A: JsonSchema>() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<A>().to_value();
    if let Value::Object(fields) = &mut schema {
        fields.remove("$schema");
        fields.remove("title");
        // A struct without fields has none to list, and some providers want the list all the same.
        if fields.get("type").is_some_and(|kind| kind == "object") {
            fields.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
        }
    }
    schema
}

/// What a tool's function may give back.
pub trait IntoToolResult {
    /// It as the result of a call.
    ///
    /// # Errors
    /// When the call failed, for the model.
    fn into_tool_result(self) -> Result<ToolOutput, ToolError>;
}

/// A value that the model reads as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoToolResult for Json<T> {
    fn into_tool_result(self) -> Result<ToolOutput, ToolError> {
        serde_json::to_string(&self.0).map(ToolOutput::from).map_err(|error| failed(&error))
    }
}

impl IntoToolResult for ToolOutput {
    fn into_tool_result(self) -> Result<ToolOutput, ToolError> {
        Ok(self)
    }
}

impl IntoToolResult for String {
    fn into_tool_result(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::from(self))
    }
}

impl IntoToolResult for &str {
    fn into_tool_result(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::from(self.to_owned()))
    }
}

impl IntoToolResult for Value {
    fn into_tool_result(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::from(self.to_string()))
    }
}

impl<T: IntoToolResult, E: Display + Any> IntoToolResult for Result<T, E> {
    fn into_tool_result(self) -> Result<ToolOutput, ToolError> {
        match self {
            Ok(output) => output.into_tool_result(),
            Err(error) => Err((&error as &dyn Any).downcast_ref().cloned().unwrap_or_else(|| failed(&error))),
        }
    }
}

fn failed(error: &impl Display) -> ToolError {
    ToolError { code: "SW-N356", message: format!("the tool failed: {error}") }
}
