//! Whether a JSON value fits a JSON schema, and where it does not. It judges arguments of tools: what is wrong is said in
//! words that a model can act on.
//!
//! Understood are the keywords that describe the shape of data: `type`, `enum`, `const`, `properties`, `required`,
//! `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `minLength`, `maxLength`, `minimum`,
//! `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `format` of integers, `oneOf`, `anyOf`, `allOf`, `not`, and `$ref`
//! into the same schema. Any other keyword is left to the tool, which has to look at its arguments anyway.
//!
//! An `integer` is a number without a fraction: `5.0` is refused, because typed code would refuse it.
//! `oneOf` is met as soon as one of its schemas is: what the tool cannot tell apart, it need not.
//!
//! Source: JSON Schema, draft 2020-12, "Validation".

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};

/// How many schemas may be looked at for each value within a value. Only schemas that branch over and over need more.
const CHECKS_PER_VALUE: usize = 100;
/// How many references may follow one another.
const REFERENCES_MAX: u32 = 32;
/// How many places are looked for: whoever made more mistakes is told of the first ones.
const VIOLATIONS_MAX: usize = 100;
/// How many characters of a value a message shows.
const SHOWN: usize = 60;

/// A place where a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where: `filter.tags[2]`; empty for the whole value.
    pub path: String,
    /// What the schema wants there.
    pub expected: String,
    /// What stands there, shortened.
    pub found: String,
}

/// `` `filter.tags[2]`: expected a string, found 5 ``
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "expected {}, found {}", self.expected, self.found),
            path => write!(f, "`{path}`: expected {}, found {}", self.expected, self.found),
        }
    }
}

/// The places where a value does not fit a schema, the first hundred of them; none when it fits.
///
/// ```
/// use serde_json::json;
/// use statewright_nodes_tools::schema::violations;
///
/// let schema = json!({"type": "object", "properties": {"k": {"type": "integer", "minimum": 1}}, "required": ["k"]});
/// assert!(violations(&schema, &json!({"k": 3})).is_empty());
/// assert_eq!(violations(&schema, &json!({"k": 0}))[0].to_string(), "`k`: expected a number ≥ 1, found 0");
/// assert_eq!(violations(&schema, &json!({}))[0].to_string(), "`k`: expected an integer, found nothing");
/// ```
#[must_use]
pub fn violations(schema: &Value, value: &Value) -> Vec<Violation> {
    let mut check = Check { root: schema, left: CHECKS_PER_VALUE.saturating_mul(count(value)) };
    let mut found = Vec::new();
    check.value(schema, value, &Path::Root, 0, &mut found);
    found
}

/// Whether a schema can stand for the arguments of a tool: it describes an object, and its references lead somewhere.
///
/// # Errors
/// What is wrong, and what to do.
pub fn check_arguments_schema(schema: &Value) -> Result<(), String> {
    let is_object = schema.get("type").is_some_and(|kind| kind == "object");
    if !is_object {
        return Err(format!(
            "arguments are an object, but the schema does not say `\"type\": \"object\"` ({}); wrap them in a struct",
            excerpt(schema)
        ));
    }
    let mut open = vec![schema];
    while let Some(part) = open.pop() {
        match part {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref")
                    && target(schema, reference).is_none()
                {
                    return Err(format!(
                        "`{reference}` leads nowhere; put what it means under `$defs` of the same schema"
                    ));
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    Ok(())
}

/// A value on one line, shortened.
pub(crate) fn excerpt(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > 4 * SHOWN => {
            let start: String = text.chars().take(SHOWN).collect();
            return format!("{}… ({} bytes of text)", Value::String(start), text.len());
        }
        Value::Array(items) if items.len() > SHOWN => return format!("an array of {} items", items.len()),
        Value::Object(fields) if fields.len() > SHOWN => {
            return format!("an object of {} fields", fields.len());
        }
        _ => {}
    }
    let mut start = Start::default();
    match write!(start, "{value}") {
        Ok(()) => start.0,
        Err(fmt::Error) => {
            format!("{}…", &start.0[..start.0.char_indices().nth(SHOWN).map_or(0, |(end, _)| end)])
        }
    }
}

/// Takes the start of a text, and no more than that of a value that is large.
#[derive(Default)]
struct Start(String);

impl fmt::Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.chars().nth(SHOWN).is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Where the check stands; made into a text only when something is wrong there.
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => write!(f, "{}", Name(name)),
            Self::Field(parent, name) => write!(f, "{parent}.{}", Name(name)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The name of a field, shortened: a model may invent one of any length.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c });
        write!(f, "{}", shown.collect::<String>())
    }
}

struct Check<'a> {
    root: &'a Value,
    left: usize,
}

/// How many values there are in a value, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

impl<'a> Check<'a> {
    fn value(
        &mut self,
        schema: &'a Value,
        value: &Value,
        path: &Path<'_>,
        references: u32,
        found: &mut Vec<Violation>,
    ) {
        let fields = match schema {
            Value::Bool(false) => return found.push(violation(path, "nothing", value)),
            Value::Object(fields) => fields,
            _ => return,
        };
        if self.left == 0 || references > REFERENCES_MAX {
            return found.push(violation(path, "a value of a schema that is less entangled", value));
        }
        self.left -= 1;
        if found.len() >= VIOLATIONS_MAX {
            return;
        }
        if let Some(target) =
            fields.get("$ref").and_then(Value::as_str).and_then(|name| target(self.root, name))
        {
            self.value(target, value, path, references + 1, found);
        }
        let before = found.len();
        kind(fields, value, path, found);
        if found.len() > before {
            // What a value of another type lacks besides is of no use to anybody.
            return;
        }
        match value {
            Value::Object(given) => self.object(fields, given, path, found),
            Value::Array(items) => self.array(fields, items, path, found),
            Value::String(text) => length(fields, text, path, found),
            Value::Number(number) => range(fields, number, value, path, found),
            Value::Null | Value::Bool(_) => {}
        }
        self.branches(fields, value, path, references, found);
    }

    fn object(
        &mut self,
        fields: &'a Map<String, Value>,
        given: &Map<String, Value>,
        path: &Path<'_>,
        found: &mut Vec<Violation>,
    ) {
        let properties = fields.get("properties").and_then(Value::as_object);
        let property = |name: &str| properties.and_then(|properties| properties.get(name));
        let required = fields.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !given.contains_key(name) {
                let expected =
                    property(name).map_or_else(|| "a value".to_owned(), |schema| describe(self.root, schema));
                let path = Path::Field(path, name).to_string();
                found.push(Violation { path, expected, found: "nothing".to_owned() });
            }
        }
        for (name, value) in given {
            let path = Path::Field(path, name);
            if let Some(schema) = property(name) {
                self.value(schema, value, &path, 0, found);
            } else if fields.contains_key("patternProperties") {
                // Which names are meant is left to the tool.
            } else if let Some(Value::Bool(false)) = fields.get("additionalProperties") {
                let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                let known = known.collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "no fields at all" } else { &known };
                found.push(violation(&path, &format!("no such field (there are: {known})"), value));
            } else if let Some(schema) = fields.get("additionalProperties") {
                self.value(schema, value, &path, 0, found);
            }
        }
    }

    fn array(
        &mut self,
        fields: &'a Map<String, Value>,
        items: &[Value],
        path: &Path<'_>,
        found: &mut Vec<Violation>,
    ) {
        let wrong = |expected: String| Violation {
            path: path.to_string(),
            expected,
            found: format!("{} items", items.len()),
        };
        let count = items.len() as u64;
        if let Some(least) = fields.get("minItems").and_then(Value::as_u64).filter(|least| count < *least) {
            found.push(wrong(format!("at least {least} items")));
        }
        if let Some(most) = fields.get("maxItems").and_then(Value::as_u64).filter(|most| count > *most) {
            found.push(wrong(format!("at most {most} items")));
        }
        let prefix = fields.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = prefix.get(index).or_else(|| fields.get("items")) {
                self.value(schema, item, &Path::Item(path, index), 0, found);
            }
        }
    }

    fn branches(
        &mut self,
        fields: &'a Map<String, Value>,
        value: &Value,
        path: &Path<'_>,
        references: u32,
        found: &mut Vec<Violation>,
    ) {
        for schema in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.value(schema, value, path, references + 1, found);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(schemas) = fields.get(keyword).and_then(Value::as_array) {
                self.any(schemas, value, path, references, found);
            }
        }
        if let Some(schema) = fields.get("not") {
            let mut unmet = Vec::new();
            self.value(schema, value, path, references + 1, &mut unmet);
            if unmet.is_empty() {
                let expected = format!("anything but {}", describe(self.root, schema));
                found.push(violation(path, &expected, value));
            }
        }
    }

    /// One of the schemas has to fit. If none does, the one that is nearest tells what is wrong.
    fn any(
        &mut self,
        schemas: &'a [Value],
        value: &Value,
        path: &Path<'_>,
        references: u32,
        found: &mut Vec<Violation>,
    ) {
        let mut nearest: Vec<Vec<Violation>> = Vec::new();
        for schema in schemas {
            let mut unmet = Vec::new();
            self.value(schema, value, path, references + 1, &mut unmet);
            if unmet.is_empty() {
                return;
            }
            let least = nearest.first().map_or(usize::MAX, Vec::len);
            if unmet.len() < least {
                nearest.clear();
            }
            if unmet.len() <= least {
                nearest.push(unmet);
            }
        }
        let place = path.to_string();
        match nearest.as_mut_slice() {
            [only] if only.iter().any(|violation| violation.path != place) => found.append(only),
            _ => {
                let wanted: Vec<String> = schemas.iter().map(|schema| describe(self.root, schema)).collect();
                found.push(violation(path, &wanted.join(" or "), value));
            }
        }
    }
}

/// Type, choice and constant.
fn kind(fields: &Map<String, Value>, value: &Value, path: &Path<'_>, found: &mut Vec<Violation>) {
    let fits = |wanted: &str| match wanted {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    let is_type = match fields.get("type") {
        Some(Value::String(wanted)) => fits(wanted),
        Some(Value::Array(wanted)) => wanted.iter().filter_map(Value::as_str).any(fits),
        _ => true,
    };
    let is_choice = fields.get("enum").and_then(Value::as_array).is_none_or(|choice| choice.contains(value));
    let is_constant = fields.get("const").is_none_or(|constant| constant == value);
    if !(is_type && is_choice && is_constant) {
        found.push(violation(path, &describe_fields(fields), value));
    }
}

fn length(fields: &Map<String, Value>, text: &str, path: &Path<'_>, found: &mut Vec<Violation>) {
    let (least, most) = (fields.get("minLength"), fields.get("maxLength"));
    if least.is_none() && most.is_none() {
        return;
    }
    let count = text.chars().count() as u64;
    let wrong = |expected: String| Violation {
        path: path.to_string(),
        expected,
        found: format!("{count} characters"),
    };
    if let Some(least) = least.and_then(Value::as_u64).filter(|least| count < *least) {
        found.push(wrong(format!("at least {least} characters")));
    }
    if let Some(most) = most.and_then(Value::as_u64).filter(|most| count > *most) {
        found.push(wrong(format!("at most {most} characters")));
    }
}

fn range(
    fields: &Map<String, Value>,
    number: &serde_json::Number,
    value: &Value,
    path: &Path<'_>,
    found: &mut Vec<Violation>,
) {
    type Meets = fn(std::cmp::Ordering) -> bool;
    let bounds: [(&str, &str, Meets); 4] = [
        ("minimum", "≥", |order| order.is_ge()),
        ("maximum", "≤", |order| order.is_le()),
        ("exclusiveMinimum", ">", |order| order.is_gt()),
        ("exclusiveMaximum", "<", |order| order.is_lt()),
    ];
    let before = found.len();
    for (keyword, sign, meets) in bounds {
        let Some(Value::Number(bound)) = fields.get(keyword) else { continue };
        if !compare(number, bound).is_some_and(meets) {
            found.push(violation(path, &format!("a number {sign} {bound}"), value));
        }
    }
    // Where a bound tells it already, the width of the type tells nothing more.
    let format = fields.get("format").filter(|_| found.len() == before);
    let format = format.and_then(Value::as_str).and_then(integers);
    if let (Some((least, most)), Some(given)) = (format, integer(number))
        && !(least..=most).contains(&given)
    {
        found.push(violation(path, &format!("an integer from {least} to {most}"), value));
    }
}

/// The numbers of a width, by the name that schemars gives it.
fn integers(format: &str) -> Option<(i128, i128)> {
    let (is_signed, bits) = match format.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, format.strip_prefix("int")?),
    };
    let bits: u32 = bits.parse().ok().filter(|bits| (1..=64).contains(bits))?;
    Some(if is_signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) })
}

fn integer(number: &serde_json::Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn compare(a: &serde_json::Number, b: &serde_json::Number) -> Option<std::cmp::Ordering> {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn violation(path: &Path<'_>, expected: &str, value: &Value) -> Violation {
    Violation { path: path.to_string(), expected: expected.to_owned(), found: excerpt(value) }
}

/// What a schema wants, in a few words.
fn describe(root: &Value, schema: &Value) -> String {
    let mut schema = schema;
    for _ in 0..REFERENCES_MAX {
        match schema.get("$ref").and_then(Value::as_str).and_then(|name| target(root, name)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    match schema {
        Value::Object(fields) => describe_fields(fields),
        Value::Bool(false) => "nothing".to_owned(),
        _ => "anything".to_owned(),
    }
}

fn describe_fields(fields: &Map<String, Value>) -> String {
    if let Some(constant) = fields.get("const") {
        return excerpt(constant);
    }
    if let Some(choice) = fields.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = choice.iter().take(20).map(excerpt).collect();
        return format!("one of {}", words.join(", "));
    }
    let word = |kind: &str| match kind {
        "integer" => "an integer".to_owned(),
        "array" => "an array".to_owned(),
        "object" => "an object".to_owned(),
        "null" => "null".to_owned(),
        kind => format!("a {kind}"),
    };
    match fields.get("type") {
        Some(Value::String(kind)) if kind == "object" => object(fields),
        Some(Value::String(kind)) => word(kind),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(" or ")
        }
        _ => "another value".to_owned(),
    }
}

fn object(fields: &Map<String, Value>) -> String {
    let required = fields.get("required").and_then(Value::as_array).into_iter().flatten();
    let required: Vec<String> =
        required.filter_map(Value::as_str).take(20).map(|name| format!("`{name}`")).collect();
    if required.is_empty() {
        "an object".to_owned()
    } else {
        format!("an object with {}", required.join(", "))
    }
}

/// Where a reference into the same schema leads.
fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}
