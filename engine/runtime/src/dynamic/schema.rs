//! The fields of a state that is data: their rules, checked.

use serde_json::Value;
use statewright_engine_core::{CellError, Channel, Reducer, StateSchema};

use super::document::{FieldDocument, FieldShape, GraphDocument};
use super::fold::adds_nothing;
use super::intern::{self, Full};
use super::problem::DocumentProblem;
use super::read::{NAME_BYTES_MAX, listed, meant};
use super::value::{self, DEPTH_MAX, is_too_deep, kind};

/// What stands behind the name of a growing field where an update replaces all that it holds.
pub(super) const OVERWRITE: &str = ":overwrite";

const REDUCERS: [(&str, Reducer); 8] = [
    ("replace", Reducer::Replace),
    ("last", Reducer::Last),
    ("append", Reducer::Append),
    ("union", Reducer::Union),
    ("upsert", Reducer::Upsert),
    ("sum", Reducer::Sum),
    ("min", Reducer::Min),
    ("max", Reducer::Max),
];

/// The schema of a state that is data. Lives as long as the process, as the schemas of types do.
#[derive(Debug)]
pub(super) struct DynSchema {
    pub(super) stored: StateSchema,
    pub(super) rules: Vec<Rule>,
}

/// What a field takes, and what it begins with.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) reducer: Reducer,
    pub(super) shape: FieldShape,
    /// Of an item of an upsert channel.
    pub(super) key: Option<String>,
    pub(super) default: Value,
}

/// A state of a type of its own: no fields, for whoever needs some state before there is a graph.
pub(super) static NONE: DynSchema = DynSchema { stored: NONE_STORED, rules: Vec::new() };
pub(super) const NONE_STORED: StateSchema = StateSchema { name: "DynState", version: 1, channels: &[] };

impl DynSchema {
    /// The schema of a document.
    pub(super) fn of(document: &GraphDocument) -> Result<&'static Self, Vec<DocumentProblem>> {
        let state = &document.state;
        let mut problems = Vec::new();
        let name = state.name.as_deref().unwrap_or(&document.name);
        if let Some(why) = bad_name(name) {
            problems.push(bad_field(
                "state.name",
                format!("`{}` cannot be the name of a state: {why}", shown(name)),
            ));
        }
        if state.version == Some(0) {
            problems.push(bad_field("state.version", "versions count from 1"));
        }
        let mut rules = Vec::with_capacity(state.fields.len());
        for (place, field) in state.fields.iter().enumerate() {
            let place = format!("state.fields[{place}]");
            if state
                .fields
                .iter()
                .take_while(|other| !std::ptr::eq(*other, field))
                .any(|o| o.name == field.name)
            {
                let message = format!("two fields are named `{}`; rename one of them", shown(&field.name));
                problems.push(bad_field(format!("{place}.name"), message));
            }
            rules.extend(rule(field, &place, &mut problems));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let text = serde_json::to_string(&(name, state.version.unwrap_or(1), &state.fields));
        let text = text.map_err(|error| vec![bad_field("state", error.to_string())])?;
        let made = intern::schema(text, || {
            let mut channels = Vec::with_capacity(rules.len());
            for (field, rule) in state.fields.iter().zip(&rules) {
                channels.push(Channel {
                    name: intern::name(&field.name)?,
                    reducer: rule.reducer,
                    ephemeral: field.ephemeral,
                    reset_on_run: field.reset_on_run,
                });
            }
            let channels: &'static [Channel] = Vec::leak(channels);
            let stored =
                StateSchema { name: intern::name(name)?, version: state.version.unwrap_or(1), channels };
            Ok(Self { stored, rules })
        });
        made.map_err(|full| vec![used_up("state", full)])
    }

    /// The number of a field.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.stored.channels.iter().position(|channel| channel.name == name)
    }

    /// The field that a name in an update is about, and whether it replaces all that a growing one holds.
    pub(super) fn place(&self, name: &str) -> Option<(usize, bool)> {
        if let Some(number) = self.number(name) {
            return Some((number, false));
        }
        let number = self.number(name.strip_suffix(OVERWRITE)?)?;
        self.rules[number].reducer.is_referenced().then_some((number, true))
    }

    /// Why an update cannot write this name.
    pub(super) fn unknown(&self, name: &str) -> CellError {
        let nearest = meant(name, self.stored.channels.iter().map(|channel| channel.name));
        CellError::UnknownField { state: self.stored.name, field: shown(name), nearest }
    }

    /// Whether a value can be written to a field.
    pub(super) fn check(&self, number: usize, value: &Value) -> Result<(), CellError> {
        self.rules[number].check(value).map_err(|reason| self.misfit(number, reason))
    }

    pub(super) fn misfit(&self, number: usize, reason: String) -> CellError {
        let (state, channel) = (self.stored.name, &self.stored.channels[number]);
        CellError::WrongShape {
            state,
            field: channel.name.to_owned(),
            reducer: channel.reducer.name(),
            reason,
        }
    }
}

impl Rule {
    /// Whether the field is a list at any time.
    pub(super) fn always_list(&self) -> bool {
        self.shape == FieldShape::List
    }

    /// What a growing field is without anything in it, whatever it begins with.
    pub(super) fn nothing(&self) -> Value {
        empty(self.reducer, self.shape)
    }

    /// Whether a value can be written, or why not.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        if is_too_deep(value) {
            return Err(format!("takes values that are nested at most {DEPTH_MAX} deep"));
        }
        let nothing = matches!(self.reducer, Reducer::Min | Reducer::Max) && value.is_null();
        if !nothing && !fits(self.shape, value) {
            return Err(format!("takes {}, and this is {}", words(self.shape), kind(value)));
        }
        let (Some(key), Value::Array(items)) = (&self.key, value) else { return Ok(()) };
        let without = items.iter().position(|item| item.get(key).is_none());
        without.map_or(Ok(()), |place| {
            Err(format!("takes objects with the key `{key}`, and item {place} is none"))
        })
    }
}

fn fits(shape: FieldShape, value: &Value) -> bool {
    match shape {
        FieldShape::Any => true,
        FieldShape::Boolean => value.is_boolean(),
        FieldShape::Integer => value.as_number().is_some_and(|number| value::integer(number).is_some()),
        FieldShape::Number => value.is_number(),
        FieldShape::Text => value.is_string(),
        FieldShape::List => value.is_array(),
        FieldShape::Object => value.is_object(),
    }
}

fn words(shape: FieldShape) -> &'static str {
    match shape {
        FieldShape::Any => "anything",
        FieldShape::Boolean => "true or false",
        FieldShape::Integer => "an integer",
        FieldShape::Number => "a number",
        FieldShape::Text => "a text",
        FieldShape::List => "a list",
        FieldShape::Object => "an object",
    }
}

/// The rule of a field, unless something is wrong with it.
fn rule(field: &FieldDocument, place: &str, problems: &mut Vec<DocumentProblem>) -> Option<Rule> {
    use FieldShape::{Any, Integer, List, Number, Text};
    let before = problems.len();
    let mut wrong =
        |member: &str, message: String| problems.push(bad_field(format!("{place}{member}"), message));
    if let Some(why) = bad_name(&field.name) {
        wrong(".name", format!("`{}` cannot be the name of a field: {why}", shown(&field.name)));
    }
    let word = field.reducer.as_deref().unwrap_or("replace");
    let Some((_, reducer)) = REDUCERS.iter().copied().find(|(known, _)| *known == word) else {
        let known = listed(&REDUCERS.map(|(name, _)| name));
        wrong(".reducer", format!("there is no reducer `{}`; it is one of {known}", shown(word)));
        return None;
    };
    let allowed: &[FieldShape] = match reducer {
        Reducer::Append => &[List, Text],
        Reducer::Union | Reducer::Upsert => &[List],
        Reducer::Sum => &[Number, Integer],
        Reducer::Min | Reducer::Max => &[Number, Integer, Text],
        _ => &[],
    };
    let shape = field.shape.unwrap_or(allowed.first().copied().unwrap_or(Any));
    if !allowed.is_empty() && !allowed.contains(&shape) {
        let allowed: Vec<&str> = allowed.iter().map(|shape| words(*shape)).collect();
        wrong(".type", format!("`{word}` folds {}, not {}", allowed.join(" or "), words(shape)));
    }
    match (&field.key, reducer) {
        (None, Reducer::Upsert) => {
            wrong(".key", "`upsert` needs the member of each item by which it is known: a `key`".to_owned());
        }
        (Some(_), Reducer::Upsert) | (None, _) => {}
        (Some(_), _) => wrong(".key", format!("only `upsert` has a key, and this is `{word}`")),
    }
    let mut rule = Rule { reducer, shape, key: field.key.clone(), default: empty(reducer, shape) };
    if let Some(default) = &field.default {
        if let Err(reason) = rule.check(default) {
            wrong(".default", format!("the field {reason}"));
        } else if reducer.is_referenced() && !adds_nothing(default) {
            wrong(".default", format!("`{word}` begins empty; give a run its first items as input"));
        }
        rule.default = default.clone();
    }
    (problems.len() == before).then_some(rule)
}

fn empty(reducer: Reducer, shape: FieldShape) -> Value {
    match shape {
        _ if matches!(reducer, Reducer::Min | Reducer::Max) => Value::Null,
        FieldShape::Any => Value::Null,
        FieldShape::Boolean => Value::Bool(false),
        FieldShape::Integer | FieldShape::Number => Value::from(0),
        FieldShape::Text => Value::from(""),
        FieldShape::List => Value::Array(Vec::new()),
        FieldShape::Object => Value::Object(serde_json::Map::new()),
    }
}

/// Why something cannot be a name.
pub(super) fn bad_name(name: &str) -> Option<String> {
    match name {
        "" => Some("it has no character".to_owned()),
        _ if name.len() > NAME_BYTES_MAX => Some(format!("it has more than {NAME_BYTES_MAX} bytes")),
        _ if name.contains(':') || name.chars().any(char::is_control) => {
            Some("it has a colon or a control character".to_owned())
        }
        _ => None,
    }
}

/// A name as it is shown: a long one by its beginning.
pub(super) fn shown(name: &str) -> String {
    const SHOWN: usize = 80;
    if name.chars().nth(SHOWN).is_none() {
        return name.to_owned();
    }
    name.chars().take(SHOWN).chain(['…']).collect()
}

fn bad_field(place: impl Into<String>, message: impl Into<String>) -> DocumentProblem {
    DocumentProblem::new(place, "SW-G135", message)
}

pub(super) fn used_up(place: impl Into<String>, _: Full) -> DocumentProblem {
    let message = format!(
        "this process has loaded so many different documents that their names take {} MiB; start it again",
        Full::BYTES_MAX >> 20
    );
    DocumentProblem::new(place, "SW-G139", message)
}
