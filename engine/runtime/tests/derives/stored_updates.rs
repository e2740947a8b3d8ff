//! Updates as they are stored: what is read back is what was written, a written default stays written, unknown fields
//! are refused, and images restore a state exactly.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mixed {
    plain: String,
    maybe: Option<u8>,
    flag: Option<bool>,
    #[reduce(append)]
    list: Vec<Option<u8>>,
    #[reduce(sum)]
    total: i64,
    #[reduce(min)]
    least: Option<i64>,
    #[state(ephemeral)]
    scratch: Vec<u8>,
    #[state(reset = run)]
    round: u32,
}

fn through_storage(update: &MixedUpdate) -> MixedUpdate {
    let bytes = rmp_serde::to_vec_named(update).unwrap();
    let json = serde_json::to_string(update).unwrap();
    let from_json: MixedUpdate = serde_json::from_str(&json).unwrap();
    let back: MixedUpdate = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(rmp_serde::to_vec_named(&from_json).unwrap(), bytes, "JSON and MessagePack hold the same");
    back
}

fn written(update: &MixedUpdate) -> Vec<usize> {
    let mut indices = Vec::new();
    update.written(&mut |index| indices.push(index));
    indices
}

#[test]
fn a_cleared_field_stays_cleared_in_storage() {
    let update = Mixed::update().clear_maybe().clear_flag();
    let back = through_storage(&update);
    assert_eq!(written(&back), [1, 2]);
    let mut mixed = Mixed { maybe: Some(1), flag: Some(true), ..Mixed::default() };
    mixed.apply(back);
    assert_eq!((mixed.maybe, mixed.flag), (None, None));
}

#[test]
fn a_default_that_was_written_is_not_lost() {
    let back = through_storage(&Mixed::update().plain("").round(0u32));
    assert_eq!(written(&back), [0, 7]);
    let mut mixed = Mixed { plain: "before".into(), round: 3, ..Mixed::default() };
    mixed.apply(back);
    assert_eq!((mixed.plain.as_str(), mixed.round), ("", 0));
}

#[test]
fn unknown_fields_are_refused() {
    let error =
        serde_json::from_str::<MixedUpdate>(r#"{"plain": "a", "plian": "b"}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `plian`"), "{error}");
}

#[test]
fn an_empty_update_says_so() {
    assert!(Mixed::update().is_empty());
    assert!(!Mixed::update().clear_maybe().is_empty());
    assert!(!Mixed::update().plain("").is_empty());
    assert!(through_storage(&Mixed::update()).is_empty());
}

#[test]
fn retain_forgets_what_is_turned_down() {
    let mut update = Mixed::update().plain("a").list(Some(1)).total(2).scratch(vec![1]);
    update.retain(&|index| index == 3);
    assert_eq!(written(&update), [3]);
}

#[test]
fn several_calls_of_one_setter_fold_by_the_reducer() {
    let mut mixed = Mixed::default();
    mixed.apply(
        Mixed::update().list(Some(1)).list(None).total(2).total(3).least(5).least(9).plain("a").plain("b"),
    );
    assert_eq!((mixed.list, mixed.total, mixed.least), (vec![Some(1), None], 5, Some(5)));
    assert_eq!(mixed.plain, "b");
}

#[test]
fn channels_are_reset_when_they_should_be() {
    let full = || Mixed { plain: "kept".into(), scratch: vec![1], round: 2, ..Mixed::default() };
    let mut mixed = full();
    mixed.begin_superstep();
    assert_eq!((mixed.plain.as_str(), mixed.scratch.len(), mixed.round), ("kept", 0, 2));
    let mut mixed = full();
    mixed.begin_run();
    assert_eq!((mixed.plain.as_str(), mixed.round), ("kept", 0));
}

fn states() -> impl Strategy<Value = Mixed> {
    let maybe = prop::option::of(any::<u8>());
    let flag = prop::option::of(any::<bool>());
    let list = prop::collection::vec(prop::option::of(any::<u8>()), 0..5);
    let least = prop::option::of(any::<i64>());
    let scratch = prop::collection::vec(any::<u8>(), 0..3);
    (".{0,8}", maybe, flag, list, any::<i64>(), least, scratch, any::<u32>()).prop_map(
        |(plain, maybe, flag, list, total, least, scratch, round)| Mixed {
            plain,
            maybe,
            flag,
            list,
            total,
            least,
            scratch,
            round,
        },
    )
}

proptest! {
    #[test]
    fn an_image_restores_any_state_over_any_other(state in states(), other in states()) {
        let image = through_storage(&state.to_update());
        let mut restored = other;
        restored.restore(image, &|_| true);
        prop_assert_eq!(restored, state);
    }
}
