//! Derived updates: what is written down is what is read back, and a state is the fold of its updates.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::{StateCell, TypedCell, UpdateValue};
use statewright_engine_runtime::{State, Update, Write};
use statewright_engine_testkit::{Rng, Row, SimState, SimStateUpdate, Wide};

/// An update that writes whatever the seed says.
fn update(seed: u64) -> SimStateUpdate {
    let mut rng = Rng::new(seed);
    let mut update = SimState::update();
    for _ in 0..rng.below(4) {
        let value = rng.draw() >> rng.between(8, 60);
        update = match rng.below(17) {
            0 => update.log(value),
            1 => update.sum(value >> 8),
            2 => update.high(value),
            3 => update.low(value),
            4 => update.last(Wide(value)),
            5 => update.clear_last(),
            6 => update.mark(Wide(value)),
            7 => update.clear_mark(),
            8 => update.rows(Row { key: value % 4, value }),
            9 => update.seen(value % 16),
            10 => update.turned(value),
            11 => update.extend_fresh([value, value / 2]),
            12 => update.flash(value),
            13 => update.overwrite_log([value, value + 1]),
            14 => update.overwrite_rows(vec![Row { key: value % 4, value }]),
            15 => update.overwrite_seen([value % 16]),
            _ => update.of_run(value).cost(value >> 8),
        };
    }
    update
}

fn folded(updates: &[SimStateUpdate]) -> SimState {
    let mut state = SimState::default();
    updates.iter().for_each(|update| state.apply(update.clone()));
    state
}

#[derive(Debug, PartialEq)]
struct Stored(Vec<u8>);

fn stored(update: &SimStateUpdate) -> Stored {
    Stored(rmp_serde::to_vec_named(update).unwrap())
}

proptest! {
    /// An overwrite forgets what was there before it, and what comes after it is folded as ever.
    #[test]
    fn an_overwrite_absorbs_what_was_before_it(before in prop::collection::vec(any::<u64>(), 0..6), after: u64) {
        let overwrite = || SimState::update().overwrite_log([7]).overwrite_rows(Vec::new()).overwrite_seen([3]);
        let mut from_many = folded(&before.iter().map(|seed| update(*seed)).collect::<Vec<_>>());
        let mut from_none = SimState::default();
        for state in [&mut from_many, &mut from_none] {
            state.apply(overwrite());
            prop_assert_eq!((&state.log, &state.rows, state.seen.len()), (&vec![7], &Vec::new(), 1));
            state.apply(overwrite());
            state.apply(update(after));
        }
        prop_assert_eq!((from_many.log, from_many.rows, from_many.seen), (from_none.log, from_none.rows, from_none.seen));
    }

    /// Overwriting and adding in one update is the same as one after the other.
    #[test]
    fn what_an_update_adds_comes_behind_what_it_overwrites(seeds in prop::collection::vec(any::<u64>(), 0..6), items: Vec<u64>) {
        let start = folded(&seeds.iter().map(|seed| update(*seed)).collect::<Vec<_>>());
        let (mut at_once, mut in_turn) = (start.clone(), start);
        at_once.apply(SimState::update().extend_log(items.clone()).overwrite_log([1, 2]));
        in_turn.apply(SimState::update().overwrite_log([1, 2]));
        in_turn.apply(SimState::update().extend_log(items));
        prop_assert_eq!(at_once.log, in_turn.log);
    }

    #[test]
    fn an_update_survives_storage(seed: u64) {
        let update = update(seed);
        let bytes = stored(&update);
        let back: SimStateUpdate = rmp_serde::from_slice(&bytes.0).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{update:?}"));
        prop_assert_eq!(stored(&back), bytes);
        let mut written = (Vec::new(), Vec::new());
        update.written(&mut |channel| written.0.push(channel));
        back.written(&mut |channel| written.1.push(channel));
        prop_assert_eq!(&written.0, &written.1);
        prop_assert_eq!(update.is_empty(), written.0.is_empty());
    }

    #[test]
    fn folding_stored_updates_gives_the_same_state(seeds in prop::collection::vec(any::<u64>(), 0..8)) {
        let updates: Vec<SimStateUpdate> = seeds.iter().map(|seed| update(*seed)).collect();
        let mut cell = TypedCell::<SimState>::new();
        for update in &updates {
            cell.apply(&mut UpdateValue::from_bytes(&stored(update).0), None).unwrap();
        }
        prop_assert_eq!(cell.state().as_ref(), &folded(&updates));
    }

    /// Each channel folds on its own: folding it alone, from the same updates, gives the same value.
    #[test]
    fn channels_are_independent(seeds in prop::collection::vec(any::<u64>(), 0..8), channel in 0usize..13) {
        let (mut all, mut one, mut rest) = (TypedCell::<SimState>::new(), TypedCell::<SimState>::new(), TypedCell::<SimState>::new());
        for seed in &seeds {
            all.apply(&mut UpdateValue::live(update(*seed)), None).unwrap();
            one.apply(&mut UpdateValue::live(update(*seed)), Some(&|c| c == channel)).unwrap();
            rest.apply(&mut UpdateValue::live(update(*seed)), Some(&|c| c != channel)).unwrap();
        }
        let keep = |c: usize| c == channel;
        prop_assert_eq!(one.image(&keep).unwrap(), all.image(&keep).unwrap());
        prop_assert_eq!(rest.image(&|c| c != channel).unwrap(), all.image(&|c| c != channel).unwrap());
    }

    #[test]
    fn an_image_restores_the_state(seeds in prop::collection::vec(any::<u64>(), 0..8)) {
        let updates: Vec<SimStateUpdate> = seeds.iter().map(|seed| update(*seed)).collect();
        let mut cell = TypedCell::<SimState>::new();
        updates.iter().for_each(|update| cell.apply(&mut UpdateValue::live(update.clone()), None).unwrap());
        let image = cell.image(&|_| true).unwrap();
        let mut back = TypedCell::<SimState>::new();
        back.restore(&image, &|_| true).unwrap();
        prop_assert_eq!(back.state(), cell.state());
    }

    /// The channels whose order of writing does not matter.
    #[test]
    fn commutative_channels_commute(left: u64, right: u64) {
        let plain = |seed| SimStateUpdate { overwrite_seen: Write::Keep, ..update(seed) };
        let (ab, ba) = (folded(&[plain(left), plain(right)]), folded(&[plain(right), plain(left)]));
        prop_assert_eq!((ab.sum, ab.high, ab.low, ab.cost), (ba.sum, ba.high, ba.low, ba.cost));
        prop_assert_eq!(ab.seen, ba.seen);
    }

    #[test]
    fn arbitrary_bytes_are_no_update_or_a_whole_one(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut cell = TypedCell::<SimState>::new();
        if cell.apply(&mut UpdateValue::from_bytes(&bytes), None).is_err() {
            prop_assert_eq!(cell.state().as_ref(), &SimState::default(), "a refused update changes nothing");
        }
    }
}

#[test]
fn written_to_nothing_is_not_the_same_as_not_written() {
    #[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: Option<String>,
        r#type: Option<u8>,
    }
    let mut state = Note { text: Some("old".to_owned()), r#type: Some(1) };
    for (update, text) in [(Note::update(), Some("old")), (Note::update().clear_text(), None)] {
        let bytes = rmp_serde::to_vec_named(&update).unwrap();
        let back: NoteUpdate = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(back.text.is_keep(), update.text.is_keep());
        state.apply(back);
        assert_eq!(state.text.as_deref(), text);
    }
    assert_eq!(
        NoteUpdate { text: Write::Set(None), ..NoteUpdate::default() }.text,
        Note::update().clear_text().text
    );
}

#[test]
fn an_update_with_an_unknown_field_is_refused() {
    #[derive(Serialize)]
    struct Other {
        log: Vec<u64>,
        logs: Vec<u64>,
    }
    let bytes = rmp_serde::to_vec_named(&Other { log: vec![1], logs: vec![2] }).unwrap();
    let mut cell = TypedCell::<SimState>::new();
    let error = cell.apply(&mut UpdateValue::from_bytes(&bytes), None).unwrap_err();
    assert!(error.to_string().contains("logs"), "the error names the field: {error}");
    assert_eq!(cell.state().as_ref(), &SimState::default());
}
