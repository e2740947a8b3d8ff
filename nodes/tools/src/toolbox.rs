//! An ordered set of tools: what a model is offered, which tool a call means, and whether its arguments fit. It calls
//! nothing.

use std::sync::Arc;

use serde_json::Value;
use statewright_nodes_ports::{Tool, ToolCall, ToolError, ToolSpec};

use crate::bounded::Bounded;
use crate::schema;

/// The longest name of a tool, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// The longest arguments of a call, in bytes.
const ARGUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many mistakes in arguments a model is told of at once.
const VIOLATIONS_SHOWN: usize = 5;

/// An ordered set of tools with different names. Cheap to clone.
///
/// ```
/// use statewright_nodes_ports::{SideEffect, ToolCall};
/// use statewright_nodes_tools::{NoArguments, ToolCx, Toolbox, function};
///
/// let ping = function("ping", "Answers.", SideEffect::Read, |_: NoArguments, _: ToolCx| async { "pong" });
/// let toolbox = Toolbox::new([ping.shared()])?;
/// assert_eq!(toolbox.names().collect::<Vec<_>>(), ["ping"]);
///
/// let call = ToolCall { id: "1".into(), name: "ping".into(), arguments: "{\"loud\": true}".into() };
/// let refused = toolbox.check(&call).unwrap_err();
/// assert_eq!(refused.code, "SW-N354");
/// assert!(refused.message.contains("`loud`"), "{refused}");
/// # Ok::<(), statewright_nodes_tools::ToolboxError>(())
/// ```
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
}

/// Why a toolbox cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolboxError {
    /// A name that providers do not take.
    #[error(
        "a tool cannot be called `{name}`: use 1 to {NAME_CHARS_MAX} of the characters A-Z, a-z, 0-9, `_` and `-`"
    )]
    InvalidName {
        /// The name, escaped and shortened.
        name: String,
    },
    /// Two tools with one name.
    #[error("two tools are called `{name}`: give one of them another name, or leave it out")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An allow-list names a tool that is not there.
    #[error("there is no tool `{name}` to allow{suggestion}; the tools are: {available}")]
    NotThere {
        /// The name that was given, escaped and shortened.
        name: String,
        /// ` (did you mean …?)`, or nothing.
        suggestion: String,
        /// The names that there are.
        available: String,
    },
    /// The schema of a tool's arguments cannot be used.
    #[error("the argument schema of the tool `{name}` cannot be used: {problem}")]
    Schema {
        /// The tool.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl ToolboxError {
    /// The stable code; its page is `docs/errors/<code>.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "SW-N350",
            Self::Duplicate { .. } => "SW-N351",
            Self::NotThere { .. } => "SW-N352",
            Self::Schema { .. } => "SW-N355",
        }
    }
}

impl Toolbox {
    /// A toolbox of these tools, in this order.
    ///
    /// # Errors
    /// [`ToolboxError`] for the first tool whose name is not valid or is taken, or whose schema cannot be used.
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Result<Self, ToolboxError> {
        tools.into_iter().try_fold(Self::default(), Self::with)
    }

    /// This toolbox and one more tool, at its end.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Result<Self, ToolboxError> {
        let ToolSpec { name, parameters, .. } = tool.spec();
        if !is_name(name) {
            return Err(ToolboxError::InvalidName { name: shown(name) });
        }
        if self.get(name).is_some() {
            return Err(ToolboxError::Duplicate { name: name.clone() });
        }
        schema::check_arguments_schema(parameters)
            .map_err(|problem| ToolboxError::Schema { name: name.clone(), problem })?;
        self.tools.push(tool);
        Ok(self)
    }

    /// A toolbox of the named tools only, in the order of this one.
    ///
    /// # Errors
    /// [`ToolboxError::NotThere`] for the first name that no tool has.
    pub fn allow(&self, names: &[&str]) -> Result<Self, ToolboxError> {
        if let Some(name) = names.iter().find(|name| self.get(name).is_none()) {
            return Err(ToolboxError::NotThere {
                name: shown(name),
                suggestion: self.suggestion(name),
                available: self.listed(),
            });
        }
        let allowed = self.tools.iter().filter(|tool| names.contains(&tool.spec().name.as_str()));
        Ok(Self { tools: allowed.cloned().collect() })
    }

    /// The same tools, whose results have at most so many bytes, such as
    /// [`OUTPUT_BYTES_MAX`](crate::OUTPUT_BYTES_MAX).
    #[must_use]
    pub fn bounded(&self, bytes_max: usize) -> Self {
        let bound =
            |tool: &Arc<dyn Tool>| -> Arc<dyn Tool> { Arc::new(Bounded::new(Arc::clone(tool), bytes_max)) };
        Self { tools: self.tools.iter().map(bound).collect() }
    }

    /// The tools as they are offered to a model.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|tool| tool.spec().clone()).collect()
    }

    /// The tools' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().map(|tool| tool.spec().name.as_str())
    }

    /// The tools, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Tool>> {
        self.tools.iter()
    }

    /// How many tools there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|tool| tool.spec().name == name)
    }

    /// The tool that a model asks for by this name.
    ///
    /// # Errors
    /// SW-N352 when there is none, in words for the model: what it may have meant, and what there is.
    pub fn find(&self, name: &str) -> Result<&Arc<dyn Tool>, ToolError> {
        self.get(name).ok_or_else(|| ToolError {
            code: "SW-N352",
            message: format!(
                "there is no tool `{}`{}; the tools are: {}",
                shown(name),
                self.suggestion(name),
                self.listed()
            ),
        })
    }

    /// The arguments of a call: parsed, an object, and in keeping with the tool's schema. No text at all and `null`
    /// stand for an empty object.
    ///
    /// # Errors
    /// SW-N352 for an unknown tool, SW-N353 when the arguments are not a JSON object, SW-N354 when they miss the schema;
    /// each tells the model where, what was expected and what was found.
    pub fn check(&self, call: &ToolCall) -> Result<Value, ToolError> {
        let spec = self.find(&call.name)?.spec();
        let arguments = parse(call)?;
        let violations = schema::violations(&spec.parameters, &arguments);
        if violations.is_empty() {
            return Ok(arguments);
        }
        let mut words: Vec<String> =
            violations.iter().take(VIOLATIONS_SHOWN).map(ToString::to_string).collect();
        if violations.len() > VIOLATIONS_SHOWN {
            words.push(format!("and {} more", violations.len() - VIOLATIONS_SHOWN));
        }
        Err(ToolError {
            code: "SW-N354",
            message: format!(
                "the arguments of `{}` do not fit its schema: {}; call it again with arguments that do",
                spec.name,
                words.join("; ")
            ),
        })
    }

    fn suggestion(&self, name: &str) -> String {
        const ALIKE: f64 = 0.6;
        // Beyond this a name is no misspelling, and comparing takes time in the square of its length.
        if name.len() > 2 * NAME_CHARS_MAX {
            return String::new();
        }
        let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
        let likest = self.names().map(|known| (likeness(known), known));
        let likest = likest.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(likeness, _)| *likeness > ALIKE);
        likest.map_or_else(String::new, |(_, known)| format!(" (did you mean `{known}`?)"))
    }

    fn listed(&self) -> String {
        if self.is_empty() { "none".to_owned() } else { self.names().collect::<Vec<_>>().join(", ") }
    }
}

impl std::fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn parse(call: &ToolCall) -> Result<Value, ToolError> {
    let refused = |problem: String| ToolError {
        code: "SW-N353",
        message: format!(
            "the arguments of `{}` are not a JSON object: {problem}; write one JSON object, such as {{}}",
            shown(&call.name)
        ),
    };
    if call.arguments.len() > ARGUMENT_BYTES_MAX {
        return Err(refused(format!(
            "they have {} bytes, more than {ARGUMENT_BYTES_MAX}",
            call.arguments.len()
        )));
    }
    match call.arguments_json() {
        Ok(Value::Null) => Ok(Value::Object(serde_json::Map::new())),
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        Ok(other) => Err(refused(format!("found {}", schema::excerpt(&other)))),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// A name from outside, fit for a message: one line, at most 80 characters.
fn shown(name: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String =
        name.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
