//! The check of arguments against serde as an independent judge, against arbitrary values, and against schemas that are
//! made to take long.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use statewright_nodes_ports::{SideEffect, ToolCall};
use statewright_nodes_tools::schema::violations;
use statewright_nodes_tools::{Function, NoArguments, ToolCx, Toolbox, function};

/// One of everything that a derive writes into a schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Everything {
    text: String,
    letter: char,
    flag: bool,
    small: i8,
    wide: u64,
    ratio: f64,
    maybe: Option<u32>,
    list: Vec<Shape>,
    pair: (u8, String),
    table: BTreeMap<String, i16>,
    mode: Mode,
    next: Option<Box<Everything>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// At once.
    Fast,
    InNoHurry,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
enum Shape {
    Point,
    Circle { radius: f64 },
    Named(String),
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema_for!(Everything).to_value());

static TOOLBOX: LazyLock<Toolbox> = LazyLock::new(|| {
    let strict = |_: NoArguments, _: ToolCx| async { "" };
    let rich = |_: Everything, _: ToolCx| async { "" };
    let effect = SideEffect::Read;
    let tools = [function("strict", "", effect, strict), function("rich", "", effect, rich)];
    Toolbox::new(tools.map(Function::shared)).unwrap()
});

fn shapes() -> impl Strategy<Value = Shape> + Clone {
    prop_oneof![
        Just(Shape::Point),
        (-1e9..1e9f64).prop_map(|radius| Shape::Circle { radius }),
        ".{0,4}".prop_map(Shape::Named),
    ]
}

fn everything() -> impl Strategy<Value = Everything> {
    let numbers = (any::<i8>(), any::<u64>(), -1e9..1e9f64, any::<Option<u32>>());
    let texts = (".{0,6}", any::<char>(), any::<bool>(), any::<bool>());
    let pair = (any::<u8>(), ".{0,3}");
    let table = prop::collection::btree_map("[a-c]{1,2}", any::<i16>(), 0..3);
    let one = (texts, numbers, prop::collection::vec(shapes(), 0..3), pair, table).prop_map(
        |((text, letter, flag, is_fast), (small, wide, ratio, maybe), list, pair, table)| Everything {
            text,
            letter,
            flag,
            small,
            wide,
            ratio,
            maybe,
            list,
            pair,
            table,
            mode: if is_fast { Mode::Fast } else { Mode::InNoHurry },
            next: None,
        },
    );
    (one.clone(), proptest::option::of(one))
        .prop_map(|(outer, next)| Everything { next: next.map(Box::new), ..outer })
}

/// Any JSON of a few levels.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,3}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// All places of a value, as JSON pointers.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                places(inner, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                places(inner, &format!("{here}/{index}"), found);
            }
        }
        _ => {}
    }
}

proptest! {
    /// What a type writes fits its schema.
    #[test]
    fn what_a_type_serialises_fits_its_schema(given in everything()) {
        let schema = &*SCHEMA;
        let value = serde_json::to_value(&given).unwrap();
        prop_assert_eq!(violations(schema, &value), []);
    }

    /// What the check lets through, the type takes: one place of a good value is replaced by anything, or removed.
    #[test]
    fn what_passes_the_check_is_taken_by_the_type(
        given in everything(), place in any::<prop::sample::Index>(), other in proptest::option::of(values()),
    ) {
        let schema = &*SCHEMA;
        let mut value = serde_json::to_value(&given).unwrap();
        let mut found = Vec::new();
        places(&value, "", &mut found);
        let place = &found[place.index(found.len())];
        match other {
            Some(other) => *value.pointer_mut(place).unwrap() = other,
            None => {
                if let Some((parent, name)) = place.rsplit_once('/')
                    && let Some(Value::Object(fields)) = value.pointer_mut(parent)
                {
                    fields.remove(name);
                }
            }
        }
        let wrong = violations(schema, &value);
        let taken = Everything::deserialize(&value);
        if wrong.is_empty() {
            prop_assert!(taken.is_ok(), "{value}: {}", taken.unwrap_err());
        }
        for violation in wrong {
            prop_assert!(violation.to_string().len() < 2_000, "{violation}");
        }
    }

    /// No text that a model writes makes the check panic, and every refusal fits into a message.
    #[test]
    fn any_text_as_arguments_is_checked_or_refused_in_few_words(
        text in prop_oneof![".{0,60}", "[\\[\\]{}\",:0-9a-e.\\\\-]{0,60}", values().prop_map(|value| value.to_string())],
    ) {
        for name in ["strict", "rich"] {
            let call = ToolCall {
                id: String::new(), name: name.to_owned(), arguments: text.clone(),
            };
            match TOOLBOX.check(&call) {
                Ok(arguments) => prop_assert!(arguments.is_object()),
                Err(error) => {
                    prop_assert!(["SW-N353", "SW-N354"].contains(&error.code));
                    prop_assert!(error.message.len() < 4_000, "{error}");
                }
            }
        }
    }

    /// Any JSON as a schema, and any JSON as a value.
    #[test]
    fn an_absurd_schema_is_no_reason_to_panic(schema in values(), value in values()) {
        drop(violations(&schema, &value));
    }
}

#[test]
fn integers_keep_to_the_width_of_their_type() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    struct Widths {
        a: i8,
        b: u32,
        c: i64,
        d: u64,
    }
    let schema = schema_for!(Widths).to_value();
    let fits = |a: i64, b: u64, c: i64, d: u64| violations(&schema, &json!({"a": a, "b": b, "c": c, "d": d}));
    assert_eq!(fits(-128, u64::from(u32::MAX), i64::MIN, u64::MAX), []);
    assert_eq!(fits(128, 0, 0, 0).len(), 1);
    let wrong = fits(0, 5_000_000_000, 0, 0);
    assert_eq!(wrong[0].to_string(), "`b`: expected an integer from 0 to 4294967295, found 5000000000");
    assert_eq!(violations(&schema, &json!({"a": 0, "b": 0, "c": u64::MAX, "d": 0})).len(), 1);
}

#[test]
fn limits_of_texts_and_lists_are_counted_in_characters_and_items() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 3},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
            "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        },
    });
    let wrong = |value: Value| {
        violations(&schema, &value).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(wrong(json!({"name": "äöü", "tags": ["x"], "share": 0.5})), "");
    assert_eq!(wrong(json!({"name": "äöüß"})), "`name`: expected at most 3 characters, found 4 characters");
    assert_eq!(wrong(json!({"tags": []})), "`tags`: expected at least 1 items, found 0 items");
    assert_eq!(
        wrong(json!({"tags": ["a", 5, "c"]})),
        "`tags`: expected at most 2 items, found 3 items; `tags[1]`: expected a string, found 5"
    );
    assert_eq!(wrong(json!({"share": 1})), "`share`: expected a number < 1, found 1");
}

#[test]
fn schemas_can_be_joined_excluded_and_chosen_from() {
    let schema = json!({
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "allOf": [{"not": {"const": "no"}}, {"maxLength": 5}],
    });
    assert_eq!(violations(&schema, &json!("yes")), []);
    assert_eq!(violations(&schema, &Value::Null), []);
    assert_eq!(violations(&schema, &json!(5))[0].to_string(), "expected a string or null, found 5");
    assert_eq!(violations(&schema, &json!("no"))[0].expected, "anything but \"no\"");
    assert_eq!(violations(&schema, &json!("longer"))[0].expected, "at most 5 characters");
}

#[test]
fn a_schema_that_refers_to_itself_or_branches_without_end_is_cut_off() {
    let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}});
    assert_eq!(violations(&circle, &json!({})).len(), 1);

    let twice = json!([{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]);
    let tree = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": twice, "type": "object"}}});
    assert!(!violations(&tree, &json!({})).is_empty());

    // As deep as JSON may be nested, with two branches that both go on.
    let node = json!({"anyOf": [
        {"type": "object", "properties": {"n": {"$ref": "#/$defs/node"}}},
        {"type": "object", "properties": {"n": {"$ref": "#/$defs/node"}, "m": {}}},
    ]});
    let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": node}});
    let deep = (0..100).fold(json!(5), |inner, _| json!({"n": inner}));
    assert!(!violations(&schema, &deep).is_empty());
}

#[test]
fn a_long_list_of_mistakes_is_not_listed_whole() {
    let schema = json!({"type": "array", "items": {"type": "string"}});
    let wrong = violations(&schema, &Value::from(vec![5; 100_000]));
    assert_eq!(wrong.len(), 100);
    assert_eq!(wrong[99].path, "[99]");
}
