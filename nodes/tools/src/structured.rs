//! Answers of a given form: a model is asked for a value of a JSON schema, the answer is checked, and what does not fit is
//! told to the model once.
//!
//! Each of the two calls can be made on its own, so that a loop can keep each of them as a step: [`AnswerForm`] makes the
//! requests and reads the answers, [`ask`] and [`ask_value`] do both calls in a row.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use statewright_nodes_ports::{
    ChatModel, ChatRequest, Message, ModelError, OutputSchema, Usage, body_excerpt,
};

use crate::schema::violations;

/// The field that a value stands in when it is no object: providers want one.
const WRAPPED: &str = "answer";

/// The form of an answer, by a JSON schema.
///
/// ```
/// use serde_json::json;
/// use statewright_nodes_tools::structured::AnswerForm;
///
/// let form = AnswerForm::new("score", json!({"type": "integer", "maximum": 10}));
/// assert_eq!(form.read("```json\n{\"answer\": 7}\n```"), Ok(json!(7)));
/// assert_eq!(form.read("{\"answer\": 11}").unwrap_err(), "`answer`: expected a number ≤ 10, found 11");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerForm {
    output: OutputSchema,
    is_wrapped: bool,
}

/// A value that a model answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Structured<T> {
    /// The value; it fits the schema.
    pub value: T,
    /// The tokens of all calls, or `None` when the provider did not say.
    pub usage: Option<Usage>,
    /// Whether the first answer did not fit.
    pub was_repaired: bool,
}

impl AnswerForm {
    /// A form by its schema. The name is told to providers: letters, digits, `_` and `-`.
    #[must_use]
    pub fn new(name: impl Into<String>, mut schema: Value) -> Self {
        let is_wrapped = schema["type"] != "object";
        if is_wrapped {
            // References lead to the root, so what they lead to moves there.
            let mut root = json!({
                "type": "object", "properties": {}, "required": [WRAPPED], "additionalProperties": false,
            });
            for shared in ["$schema", "$defs", "definitions"] {
                if let Some(moved) = schema.as_object_mut().and_then(|fields| fields.remove(shared)) {
                    root[shared] = moved;
                }
            }
            root["properties"][WRAPPED] = schema;
            schema = root;
        }
        Self { output: OutputSchema { name: name.into(), schema }, is_wrapped }
    }

    /// The form of a type; its doc comments are what a model knows of it.
    #[must_use]
    pub fn of<T: JsonSchema>(name: impl Into<String>) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
        Self::new(name, settings.into_generator().into_root_schema_for::<T>().to_value())
    }

    /// What an adapter is told.
    #[must_use]
    pub fn output(&self) -> &OutputSchema {
        &self.output
    }

    /// The request, for an answer of this form.
    #[must_use]
    pub fn request(&self, request: ChatRequest) -> ChatRequest {
        ChatRequest { output: Some(self.output.clone()), ..request }
    }

    /// The value that an answer's text is.
    ///
    /// # Errors
    /// What does not fit, for the model.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let value: Value =
            serde_json::from_str(without_fence(text)).map_err(|error| format!("it is not JSON: {error}"))?;
        let wrong = violations(&self.output.schema, &value);
        if !wrong.is_empty() {
            return Err(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
        Ok(match value {
            Value::Object(mut fields) if self.is_wrapped => fields.remove(WRAPPED).unwrap_or_default(),
            value => value,
        })
    }

    /// The request that tells the model what is wrong with its answer. It is another piece of work, so its key differs.
    #[must_use]
    pub fn repair(&self, request: ChatRequest, answer: &str, problem: &str) -> ChatRequest {
        let mut request = self.request(request);
        let problem = body_excerpt(problem);
        request.messages.push(Message::assistant(answer));
        request.messages.push(Message::user(format!(
            "That answer does not have the form that was asked for: {problem}. Give the whole answer again, as JSON of that form and nothing else."
        )));
        request.idempotency_key = request.idempotency_key.map(|key| format!("{key}/repair"));
        request
    }
}

/// Asks for a value of a type: an enum with `#[derive(Route)]` makes the model pick a way out of a node.
///
/// # Errors
/// What the calls fail with, and [`ModelError::WrongForm`] when the second answer does not fit either.
pub async fn ask<T: DeserializeOwned + JsonSchema>(
    model: &dyn ChatModel,
    request: ChatRequest,
    name: &str,
) -> Result<Structured<T>, ModelError> {
    // What a schema cannot say, such as the form of a date, is said by the type.
    judged(model, request, &AnswerForm::of::<T>(name), &|value| {
        T::deserialize(value).map_err(|error| error.to_string())
    })
    .await
}

/// Asks for a value of a form.
///
/// # Errors
/// As [`ask`].
pub async fn ask_value(
    model: &dyn ChatModel,
    request: ChatRequest,
    form: &AnswerForm,
) -> Result<Structured<Value>, ModelError> {
    judged(model, request, form, &Ok).await
}

async fn judged<T>(
    model: &dyn ChatModel,
    request: ChatRequest,
    form: &AnswerForm,
    judge: &(dyn Fn(Value) -> Result<T, String> + Sync),
) -> Result<Structured<T>, ModelError> {
    let read = |text: &str| form.read(text).and_then(judge);
    let first = model.complete(form.request(request.clone())).await?;
    let problem = match read(&first.text) {
        Ok(value) => return Ok(Structured { value, usage: first.usage, was_repaired: false }),
        Err(problem) => problem,
    };
    let second = model.complete(form.repair(request, &first.text, &problem)).await?;
    let usage = first.usage.zip(second.usage).map(|(one, other)| one + other);
    match read(&second.text) {
        Ok(value) => Ok(Structured { value, usage, was_repaired: true }),
        Err(problem) => Err(ModelError::WrongForm {
            model: second.model,
            schema: form.output.name.clone(),
            problem: body_excerpt(&problem),
        }),
    }
}

/// The text in a code fence, where a model put its whole answer into one.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inner.and_then(|inner| inner.split_once('\n')).map_or(text, |(_, body)| body)
}
