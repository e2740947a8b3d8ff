//! Migrating every update on its own and folding them gives what folding them and migrating the state gives.

use proptest::prelude::*;
use statewright_engine_core::{StateCell, TypedCell, UpdateValue};
use statewright_engine_runtime::*;

mod old {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    pub(crate) struct Ledger {
        pub(crate) title: Option<String>,
        #[reduce(append)]
        pub(crate) lines: Vec<u16>,
        #[reduce(sum)]
        pub(crate) total: i32,
        #[reduce(max)]
        pub(crate) most: u16,
        #[reduce(union)]
        pub(crate) tags: std::collections::BTreeSet<u8>,
        #[state(reset = run)]
        pub(crate) scrap: String,
        #[reduce(append)]
        pub(crate) junk: Vec<String>,
    }
}

mod new {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    #[state(version = 4, dropped("scrap", "junk"))]
    pub(crate) struct Ledger {
        #[reduce(sum)]
        #[state(renamed_from = "total", since = 2)]
        #[state(renamed_from = "sum", since = 4)]
        pub(crate) balance: i32,
        #[reduce(append)]
        #[state(renamed_from = "lines", since = 3)]
        pub(crate) entries: Vec<u16>,
        #[state(default = 9, since = 2)]
        pub(crate) scale: u8,
        #[reduce(union)]
        pub(crate) tags: std::collections::BTreeSet<u8>,
        #[reduce(max)]
        pub(crate) most: u16,
        // A name that another field had.
        #[state(renamed_from = "title", since = 2)]
        pub(crate) total: Option<String>,
    }
}

#[derive(Clone, Debug)]
enum Write {
    Title(Option<String>),
    Line(u16),
    Total(i32),
    Most(u16),
    Tag(u8),
    Scrap(String),
    Junk(String),
}

fn writes() -> impl Strategy<Value = Vec<Vec<Write>>> {
    let write = prop_oneof![
        prop::option::of(".{0,4}").prop_map(Write::Title),
        any::<u16>().prop_map(Write::Line),
        (-1000..1000).prop_map(Write::Total),
        any::<u16>().prop_map(Write::Most),
        any::<u8>().prop_map(Write::Tag),
        ".{0,4}".prop_map(Write::Scrap),
        ".{0,4}".prop_map(Write::Junk),
    ];
    prop::collection::vec(prop::collection::vec(write, 0..5), 0..12)
}

fn update(writes: Vec<Write>) -> old::LedgerUpdate {
    writes.into_iter().fold(old::Ledger::update(), |update, write| match write {
        Write::Title(title) => update.maybe_title(title),
        Write::Line(line) => update.lines(line),
        Write::Total(total) => update.total(total),
        Write::Most(most) => update.most(most),
        Write::Tag(tag) => update.tags(tag),
        Write::Scrap(scrap) => update.scrap(scrap),
        Write::Junk(junk) => update.junk(junk),
    })
}

fn migrated(old: &old::Ledger) -> new::Ledger {
    new::Ledger {
        balance: old.total,
        entries: old.lines.clone(),
        scale: 9,
        tags: old.tags.clone(),
        most: old.most,
        total: old.title.clone(),
    }
}

proptest! {
    #[test]
    fn updates_migrated_one_by_one_are_the_migrated_state(writes in writes()) {
        let mut before = TypedCell::<old::Ledger>::new();
        let mut after = TypedCell::<new::Ledger>::new();
        after.begin_older(1);
        for writes in writes {
            let mut update = UpdateValue::live(update(writes));
            let stored = before.encode(&update).unwrap();
            before.apply(&mut update, None).unwrap();
            let migrated = after.migrate(&stored, 1).unwrap();
            after.apply(&mut UpdateValue::from_bytes(&migrated), None).unwrap();
        }
        let expected = migrated(before.state());
        prop_assert_eq!(after.state().as_ref(), &expected);

        // The image in a snapshot is an update like any other.
        let image = before.image(&|_| true).unwrap();
        let mut restored = TypedCell::<new::Ledger>::new();
        restored.begin_older(1);
        let image = after.migrate(&image, 1).unwrap();
        restored.restore(&image, &|channel| new::Ledger::SCHEMA.channels[channel].name != "scale").unwrap();
        prop_assert_eq!(restored.state().as_ref(), &expected);
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused_and_break_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        from in 0_u32..6,
    ) {
        let mut cell = TypedCell::<new::Ledger>::new();
        if let Ok(migrated) = cell.migrate(&bytes, from) {
            drop(cell.apply(&mut UpdateValue::from_bytes(&migrated), None));
        }
    }
}
