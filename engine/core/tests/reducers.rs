//! The laws of the reducers that the core itself brings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;

use proptest::prelude::*;
use statewright_engine_core::{Appendable, Unionable, upsert};

fn appended<C: Appendable>(mut left: C, right: C) -> C {
    left.append_all(right);
    left
}

/// Appending is associative, and an empty collection changes nothing.
fn append_laws<C: Appendable + Debug + PartialEq>(a: &C, b: &C, c: &C) -> Result<(), TestCaseError> {
    let left = appended(appended(a.clone(), b.clone()), c.clone());
    let right = appended(a.clone(), appended(b.clone(), c.clone()));
    prop_assert_eq!(&left, &right);
    prop_assert_eq!(&appended(a.clone(), C::default()), a);
    prop_assert_eq!(&appended(C::default(), a.clone()), a);
    prop_assert!(C::default().has_no_items());
    Ok(())
}

type Rows = Vec<(u8, u16)>;

fn upserted(mut rows: Rows, incoming: Rows) -> Rows {
    upsert(&mut rows, incoming, |row| row.0);
    rows
}

fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec((0..6u8, any::<u16>()), 0..8)
}

/// What a channel can hold: no key twice.
fn table() -> impl Strategy<Value = Rows> {
    rows().prop_map(|rows| upserted(Vec::new(), rows))
}

proptest! {
    #[test]
    fn lists_append(a: Vec<u8>, b: Vec<u8>, c: Vec<u8>) {
        append_laws(&a, &b, &c)?;
        prop_assert_eq!(appended(a.clone(), b.clone()), [a, b].concat());
    }

    #[test]
    fn queues_append(a: VecDeque<u8>, b: VecDeque<u8>, c: VecDeque<u8>) {
        append_laws(&a, &b, &c)?;
    }

    #[test]
    fn texts_append(a: String, b: String, c: String) {
        append_laws(&a, &b, &c)?;
    }

    #[test]
    fn maps_append(a: BTreeMap<u8, u8>, b: BTreeMap<u8, u8>, c: BTreeMap<u8, u8>) {
        append_laws(&a, &b, &c)?;
        let merged = appended(a, b.clone());
        prop_assert!(b.iter().all(|(key, value)| merged.get(key) == Some(value)), "the later write wins");
    }

    #[test]
    fn sets_unite_in_any_order(a: BTreeSet<u8>, b: BTreeSet<u8>, c: BTreeSet<u8>) {
        let united = |sets: [&BTreeSet<u8>; 3]| {
            let mut all = BTreeSet::new();
            sets.into_iter().for_each(|set| all.union_all(set.clone()));
            all
        };
        let wanted: BTreeSet<u8> = a.iter().chain(&b).chain(&c).copied().collect();
        for sets in [[&a, &b, &c], [&c, &a, &b], [&wanted, &a, &a]] {
            prop_assert_eq!(&united(sets), &wanted);
        }
    }

    #[test]
    fn upsert_keeps_one_row_for_a_key_and_the_order_of_first_arrival(present in table(), incoming in rows()) {
        let merged = upserted(present.clone(), incoming.clone());
        let keys: Vec<u8> = merged.iter().map(|row| row.0).collect();
        let mut seen: Vec<u8> = Vec::new();
        for (key, _) in present.iter().chain(&incoming) {
            if !seen.contains(key) {
                seen.push(*key);
            }
        }
        prop_assert_eq!(keys, seen);
        for (key, value) in &merged {
            let last = present.iter().chain(&incoming).rev().find(|row| row.0 == *key);
            prop_assert_eq!(last.map(|row| row.1), Some(*value), "the last write to {} wins", key);
        }
    }

    #[test]
    fn upsert_is_associative_and_idempotent(a in table(), b in rows(), c in rows()) {
        let together = upserted(a.clone(), [b.clone(), c.clone()].concat());
        let one_by_one = upserted(upserted(a, b.clone()), c.clone());
        prop_assert_eq!(&together, &one_by_one);
        prop_assert_eq!(&upserted(one_by_one.clone(), [b, c].concat()), &one_by_one);
    }
}
