//! What values of fields are made of: their shapes, their order, and when two are the same.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// How deep values may be nested.
pub(super) const DEPTH_MAX: usize = 64;

/// Whether a value is nested deeper than it may be.
pub(super) fn is_too_deep(value: &Value) -> bool {
    fn beyond(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|item| beyond(item, left - 1)),
            Value::Object(members) => left == 0 || members.values().any(|member| beyond(member, left - 1)),
            _ => false,
        }
    }
    beyond(value, DEPTH_MAX)
}

/// What a value is, in a word.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A total order over all values: null, booleans, numbers, texts, lists, objects. Of two numbers of one size, such as 1
/// and 1.0, the integer comes first.
pub(super) fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => order_of_numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let unequal = left.iter().zip(right).map(|(left, right)| order(left, right)).find(|o| o.is_ne());
            unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        (Value::Object(left), Value::Object(right)) => {
            let pairs = sorted(left).into_iter().zip(sorted(right));
            let unequal = pairs
                .map(|((name, value), (other, theirs))| name.cmp(other).then_with(|| order(value, theirs)))
                .find(|o| o.is_ne());
            unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

/// Whether a branch takes one value for another: as JSON has them, but 1 is 1.0.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) if left.is_f64() != right.is_f64() => {
            left.as_f64() == right.as_f64()
        }
        _ => left == right,
    }
}

/// The sum, if it is a number that can be written down: of two integers an integer.
pub(super) fn sum(left: &Number, right: &Number) -> Option<Number> {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => Number::from_i128(left.checked_add(right)?),
        _ => Number::from_f64(left.as_f64()? + right.as_f64()?),
    }
}

pub(super) fn integer(number: &Number) -> Option<i128> {
    if number.is_f64() { None } else { number.as_i128() }
}

/// The members by their names, whatever order the map has.
fn sorted(members: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn order_of_numbers(left: &Number, right: &Number) -> Ordering {
    // By size as far as a float tells it, then integers before floats, then as integers: transitive over both kinds.
    let key =
        |number: &Number| (number.as_f64().unwrap_or(0.0), number.is_f64(), integer(number).unwrap_or(0));
    let ((left, is_float, exact), (right, other_is_float, other)) = (key(left), key(right));
    left.total_cmp(&right).then(is_float.cmp(&other_is_float)).then(exact.cmp(&other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-3i64..3).prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            (-3i8..3).prop_map(|number| Value::from(f64::from(number))),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab]", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn sums_stay_integers_and_never_wrap_or_become_infinite() {
        let sum = |left: Value, right: Value| {
            let number = |value: &Value| value.as_number().unwrap().clone();
            sum(&number(&left), &number(&right)).map(Value::Number)
        };
        assert_eq!(sum(json!(1), json!(-2)), Some(json!(-1)));
        assert_eq!(sum(json!(i64::MAX), json!(1)), Some(json!(1_u64 << 63)));
        assert_eq!(sum(json!(u64::MAX), json!(1)), None);
        assert_eq!(sum(json!(i64::MIN), json!(-1)), None);
        assert_eq!(sum(json!(1), json!(0.5)), Some(json!(1.5)));
        assert_eq!(sum(json!(f64::MAX), json!(f64::MAX)), None);
    }

    #[test]
    fn a_branch_takes_one_for_one_point_nought_and_nothing_else() {
        assert!(same(&json!(1), &json!(1.0)) && same(&json!(null), &json!(null)));
        assert!(
            !same(&json!(1), &json!("1")) && !same(&json!(0), &json!(false)) && !same(&json!([]), &json!({}))
        );
    }

    #[test]
    fn values_may_be_nested_so_deep_and_no_deeper() {
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(!is_too_deep(&nested(DEPTH_MAX)) && is_too_deep(&nested(DEPTH_MAX + 1)));
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in any_value(), b in any_value(), c in any_value()) {
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            prop_assert_eq!(order(&a, &b).is_eq(), a == b);
            if order(&a, &b).is_le() && order(&b, &c).is_le() {
                prop_assert!(order(&a, &c).is_le());
            }
        }
    }
}
