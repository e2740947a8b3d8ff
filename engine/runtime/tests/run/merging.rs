//! The laws of merging: what each reducer makes of the writes of a superstep, whoever wrote them and however often the
//! history is folded again.

use std::collections::BTreeSet;

use crate::support::*;
use proptest::prelude::*;
use statewright_engine_runtime::*;

fn notes() -> impl Strategy<Value = Vec<Note>> {
    prop::collection::vec((0..4u32, "[a-c]{0,2}").prop_map(|(id, text)| Note { id, text }), 0..4)
}

fn states() -> impl Strategy<Value = Log> {
    let trace = prop::collection::vec("[a-z]{0,3}", 0..4);
    let tags = prop::collection::btree_set("[a-c]", 0..4);
    let least = prop::option::of(any::<u32>());
    (trace, ".{0,4}", prop::option::of(".{0,3}"), any::<u32>(), notes(), tags, any::<u32>(), least).prop_map(
        |(trace, text, answer, total, notes, tags, most, least)| Log {
            trace,
            text: text.clone(),
            answer,
            total: u64::from(total),
            notes,
            tags,
            most,
            least,
            last: text.clone(),
            scratch: text,
            round: total % 7,
        },
    )
}

/// An update that writes every channel.
fn all(of: &Log) -> LogUpdate {
    let mut update = Log::update().text(of.text.clone()).total(of.total).most(of.most).last(of.last.clone());
    update = update.scratch(of.scratch.clone()).round(of.round);
    for line in &of.trace {
        update = update.trace(line.clone());
    }
    for note in &of.notes {
        update = update.notes(note.clone());
    }
    for tag in &of.tags {
        update = update.tags(tag.clone());
    }
    if let Some(least) = of.least {
        update = update.least(least);
    }
    match &of.answer {
        Some(answer) => update.answer(answer.clone()),
        None => update.clear_answer(),
    }
}

fn applied(base: &Log, updates: &[LogUpdate]) -> Log {
    let mut state = base.clone();
    for update in updates {
        state.apply(update.clone());
    }
    state
}

proptest! {
    #[test]
    fn an_empty_update_changes_nothing(base in states()) {
        prop_assert_eq!(applied(&base, &[Log::update()]), base);
    }

    #[test]
    fn an_image_is_the_state_and_never_doubles_it(base in states(), other in states()) {
        let mut copy = other;
        copy.restore(base.to_update(), &|_| true);
        prop_assert_eq!(&copy, &base);
        copy.restore(base.to_update(), &|_| true);
        prop_assert_eq!(&copy, &base);
    }

    #[test]
    fn lists_grow_by_what_was_written_and_by_nothing_else(base in states(), write in states()) {
        let state = applied(&base, &[all(&write)]);
        prop_assert_eq!(state.trace, [base.trace, write.trace].concat());
        prop_assert_eq!(state.total, base.total + write.total);
        prop_assert_eq!((state.text, state.answer), (write.text, write.answer));
    }

    #[test]
    fn sets_extremes_and_keys_take_the_same_write_twice_as_once(base in states(), write in states()) {
        let once = applied(&base, &[all(&write)]);
        let twice = applied(&once, &[all(&write)]);
        prop_assert_eq!(&twice.tags, &once.tags);
        prop_assert_eq!((twice.most, twice.least), (once.most, once.least));
        prop_assert_eq!(&twice.notes, &once.notes);
    }

    #[test]
    fn sets_sums_and_extremes_do_not_depend_on_the_order(base in states(), one in states(), two in states()) {
        let forth = applied(&base, &[all(&one), all(&two)]);
        let back = applied(&base, &[all(&two), all(&one)]);
        prop_assert_eq!(&forth.tags, &back.tags);
        prop_assert_eq!(forth.total, back.total);
        prop_assert_eq!((forth.most, forth.least), (back.most, back.least));
        let expected: BTreeSet<String> = base.tags.into_iter().chain(one.tags).chain(two.tags).collect();
        prop_assert_eq!(forth.tags, expected);
    }

    #[test]
    fn upsert_keeps_places_and_keeps_one_item_for_each_new_key(write in notes()) {
        let mut base = Log::default();
        base.apply(Log::update().notes(Note { id: 9, text: "first".into() }));
        let mut update = Log::update();
        for note in &write {
            update = update.notes(note.clone());
        }
        base.apply(update);
        prop_assert_eq!(base.notes[0].id, 9);
        let mut ids: Vec<u32> = base.notes.iter().map(|note| note.id).collect();
        ids.sort_unstable();
        let before = ids.len();
        ids.dedup();
        prop_assert_eq!(before, ids.len(), "no key twice");
        for note in &base.notes[1..] {
            let last = write.iter().rev().find(|written| written.id == note.id);
            prop_assert_eq!(Some(note), last);
        }
    }
}

#[tokio::test]
async fn ephemeral_fields_last_for_one_superstep_and_others_stay() {
    let mut g = builder();
    let writes = g.func("writes", async |ctx: Ctx<Log>| {
        assert_eq!(ctx.state.scratch, "from outside", "the input is there in the first superstep");
        Ok(ran(&ctx).scratch("seen once").text("stays"))
    });
    let sees = g.func("sees", async |ctx: Ctx<Log>| {
        assert_eq!((ctx.state.scratch.as_str(), ctx.state.text.as_str()), ("seen once", "stays"));
        Ok(ran(&ctx))
    });
    let after = g.func("after", async |ctx: Ctx<Log>| {
        assert_eq!((ctx.state.scratch.as_str(), ctx.state.text.as_str()), ("", "stays"));
        Ok(ran(&ctx))
    });
    chain(&mut g, &[writes, sees, after]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update().scratch("from outside")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.scratch, "");
}

#[tokio::test]
async fn fields_of_a_run_begin_anew_and_others_go_on() {
    let mut g = builder();
    let counts = g.func("counts", async |ctx: Ctx<Log>| {
        assert_eq!(ctx.state.round, 5, "reset before the input is folded");
        Ok(ran(&ctx).round(1u32).total(1u64))
    });
    chain(&mut g, &[counts]);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    for run in 1..=3 {
        let report = runner.start("t", Log::update().round(5u32)).await.unwrap();
        assert_eq!(
            (report.state.round, report.state.total, report.state.trace.len()),
            (6, run, run as usize)
        );
        assert_eq!(runner.load("t").await.unwrap().state, report.state);
    }
}

#[tokio::test]
async fn parallel_writers_of_every_merging_channel_are_all_heard() {
    let mut g = builder();
    let first = node(&mut g, "first");
    let sides = [1u32, 2, 3].map(|number| {
        g.func(format!("side {number}"), move |ctx: Ctx<Log>| async move {
            let note = Note { id: number % 2, text: number.to_string() };
            let update = ran(&ctx).notes(note).tags(number.to_string()).total(u64::from(number));
            Ok(update.most(number).least(number).last(number.to_string()))
        })
    });
    let last = node(&mut g, "last");
    g.start(first);
    for side in sides {
        g.edge(first, side);
    }
    g.join(sides, last);
    g.end(last);
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace, ["first", "side 1", "side 2", "side 3", "last"]);
    assert_eq!((state.total, state.most, state.least, state.last.as_str()), (6, 3, Some(1), "3"));
    let notes: Vec<(u32, &str)> = state.notes.iter().map(|note| (note.id, note.text.as_str())).collect();
    assert_eq!(notes, [(1, "3"), (0, "2")]);
    assert_eq!(state.tags.len(), 3);
}

#[tokio::test]
async fn a_sum_that_overflows_is_a_failure_and_never_wraps() {
    let mut g = builder();
    let adds = g.func("adds", async |ctx: Ctx<Log>| Ok(ran(&ctx).total(1u64)));
    chain(&mut g, &[adds]);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update().total(u64::MAX)).await.unwrap();
    let (_, failure) = failure(&report, &graph);
    assert_eq!((failure.code.as_str(), report.state.total), ("SW-X224", u64::MAX), "{failure}");
}
