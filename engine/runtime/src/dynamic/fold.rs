//! Reducers over values: the same results as those of typed fields.

use serde_json::Value;
use statewright_engine_core::Reducer;

use super::schema::Rule;
use super::value::{order, sum};

/// Brings a write into the form in which it is stored: of a set the members in order, each once.
pub(super) fn normalise(reducer: Reducer, value: &mut Value) {
    if let (Reducer::Union, Value::Array(items)) = (reducer, value) {
        items.sort_by(order);
        items.dedup_by(|one, other| order(one, other).is_eq());
    }
}

/// Whether a write to a growing field adds nothing.
pub(super) fn adds_nothing(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Folds a write that fits into a field.
///
/// # Errors
/// Why there is no such value, in words.
pub(super) fn fold(rule: &Rule, present: &mut Value, write: Value) -> Result<(), String> {
    match (rule.reducer, &mut *present, write) {
        (Reducer::Append, Value::Array(items), Value::Array(mut more)) => items.append(&mut more),
        (Reducer::Append, Value::String(text), Value::String(more)) => text.push_str(&more),
        (Reducer::Union, Value::Array(items), Value::Array(more)) => unite(items, more),
        (Reducer::Upsert, Value::Array(items), Value::Array(more)) => upsert(rule, items, more),
        (Reducer::Sum, Value::Number(left), Value::Number(right)) => {
            *left = sum(left, &right).ok_or("cannot hold the sum, which is too large")?;
        }
        (Reducer::Min, present, write) => {
            if !write.is_null() && (present.is_null() || order(&write, present).is_lt()) {
                *present = write;
            }
        }
        (Reducer::Max, present, write) => {
            if !write.is_null() && (present.is_null() || order(&write, present).is_gt()) {
                *present = write;
            }
        }
        (_, present, write) => *present = write,
    }
    Ok(())
}

fn unite(items: &mut Vec<Value>, more: Vec<Value>) {
    for item in more {
        if let Err(place) = items.binary_search_by(|known| order(known, &item)) {
            items.insert(place, item);
        }
    }
}

fn upsert(rule: &Rule, items: &mut Vec<Value>, more: Vec<Value>) {
    let Some(key) = rule.key.as_deref() else { return };
    statewright_engine_core::upsert(items, more, |item| item.get(key).cloned());
}
