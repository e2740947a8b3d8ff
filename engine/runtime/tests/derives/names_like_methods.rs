//! Fields named like the methods that the derive writes or calls do not get in its way.
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Odd {
    apply: u32,
    is_empty: Option<bool>,
    written: String,
    #[reduce(sum)]
    retain: u64,
    #[reduce(append)]
    restore: Vec<u8>,
    begin_run: u8,
    clone: u8,
    default: u8,
    keep: u8,
    visit: u8,
    update: u8,
    other: u8,
    index: u8,
    serialize: u8,
    deserialize: u8,
    to_update: u8,
}

#[test]
fn fields_may_be_named_like_methods() {
    let mut odd = Odd::default();
    State::apply(
        &mut odd,
        <Odd as State>::update().is_empty(true).written("w").retain(2u64).clone(1u8).default(2u8),
    );
    assert_eq!((odd.is_empty, odd.retain, odd.clone, odd.default), (Some(true), 2, 1, 2));
    let back = <Odd as State>::to_update(&odd);
    let mut copy = Odd::default();
    State::restore(&mut copy, back, &|_| true);
    assert_eq!(copy, odd);
}
