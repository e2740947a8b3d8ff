//! Kill and resume at every entry of the journal = the uninterrupted run, and nothing that had finished runs again.

use crate::support::*;
use statewright_engine_core::Entry;
use statewright_engine_runtime::*;

/// Fan-out, join, branch, route, a bounded loop, questions, and a channel of every kind.
fn graph(witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let seen = witness.clone();
    let plan = g.func("plan", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            seen.saw(format!("{} plan", ctx.activation()));
            let round = ctx.state.round;
            Ok((
                ran(&ctx).scratch(format!("round {round}")).round(1u32),
                Spread::Parts(vec![round, round + 1, round + 2]),
            ))
        }
    });
    let seen = witness.clone();
    let work = g.func("work", move |ctx: Ctx<Log, u32>| {
        let seen = seen.clone();
        async move {
            seen.saw(format!("{} work {}", ctx.activation(), ctx.input));
            let note = Note { id: ctx.input, text: format!("{} of {}", ctx.input, ctx.state.scratch) };
            let update = ran(&ctx).notes(note).tags(ctx.input.to_string()).total(u64::from(ctx.input));
            Ok(update.most(ctx.input).least(ctx.input + 1).last(ctx.input.to_string()))
        }
    });
    let seen = witness.clone();
    let [left, right, both] = ["left", "right", "both"].map(|name| {
        let seen = seen.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            let seen = seen.clone();
            async move {
                seen.saw(format!("{} {name}", ctx.activation()));
                Ok(ran(&ctx))
            }
        })
    });
    let seen = witness.clone();
    let merge = g.func("merge", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            seen.saw(format!("{} merge", ctx.activation()));
            Ok(ran(&ctx).scratch("merged"))
        }
    });
    let seen = witness.clone();
    let asks = g.func("asks", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            let word: String = ctx.ask("first", "one?").await;
            let number: u32 = ctx.ask("second", "two?").await;
            seen.saw(format!("{} asks", ctx.activation()));
            Ok(ran(&ctx).text(word).answer(number.to_string()))
        }
    });
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.edge(work, merge);
    g.edge(merge, left);
    g.edge(merge, right);
    g.join((left, right), both);
    g.edge(both, asks);
    let again = |state: &Log| if state.round < 3 { Fork::Left } else { Fork::Right };
    g.branch(asks, again, ForkEdges { left: plan.to().at_most(2), right: To::END });
    g.build().unwrap()
}

/// Three rounds of plan, three parts, merge, left, right, both, asks.
const ACTIVATIONS: usize = 3 * 9;

fn runner(witness: &Witness, store: &MemoryCheckpointer, snapshots: bool) -> Runner<Log> {
    let limits = Limits { snapshot_after_bytes: if snapshots { 1 } else { u64::MAX }, ..Limits::default() };
    graph(witness).runner().checkpointer(store.clone()).limits(limits)
}

/// Answers whatever is asked until the run is over.
async fn to_the_end(runner: &Runner<Log>, first: Run<Log>) -> RunReport<Log> {
    let mut report = within(first).await.unwrap();
    while let Outcome::Paused(open) = &report.outcome {
        let id = open[0].id.clone();
        let run = match open[0].name.as_str() {
            "first" => runner.answer("t", id, &"yes"),
            _ => runner.answer("t", id, &42),
        };
        report = within(run).await.unwrap();
    }
    expect_finished(&report);
    report
}

/// Takes a thread up wherever it stands; one that is over stays as it is.
async fn take_up(runner: &Runner<Log>) -> Option<RunReport<Log>> {
    let loaded = runner.load("t").await.unwrap();
    match loaded.status {
        Status::Empty | Status::Stopped(Outcome::Finished) => {
            assert_eq!(runner.resume("t").await.unwrap_err().code(), "SW-X202");
            None
        }
        _ => Some(to_the_end(runner, runner.resume("t")).await),
    }
}

async fn whole(snapshots: bool) -> (Vec<Entry>, RunReport<Log>) {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let runner = runner(&witness, &store, snapshots);
    let report = to_the_end(&runner, runner.start("t", Log::update().text("in"))).await;
    assert_eq!(witness.take().len(), ACTIVATIONS);
    (entries(&store), report)
}

#[tokio::test]
async fn killed_after_any_entry_the_run_ends_as_if_it_had_not_been() {
    for snapshots in [false, true] {
        let (all, expected) = whole(snapshots).await;
        assert!(all.len() > ACTIVATIONS, "{}", all.len());
        for cut in 1..=all.len() {
            let (witness, store) = (Witness::default(), crashed_after(&all[..cut]).await);
            let runner = runner(&witness, &store, snapshots);
            let state = match take_up(&runner).await {
                Some(report) => report.state,
                None => runner.load("t").await.unwrap().state,
            };
            assert_eq!(state, expected.state, "cut after {cut}, snapshots: {snapshots}");
            let ran = witness.take().len();
            assert_eq!(ran, ACTIVATIONS - finished(&all[..cut]), "cut after {cut}, snapshots: {snapshots}");
            assert_eq!(finished(&entries(&store)), ACTIVATIONS, "cut after {cut}, snapshots: {snapshots}");
        }
    }
}

#[tokio::test]
async fn killed_twice_it_ends_the_same_way() {
    let (all, expected) = whole(false).await;
    for first in (1..all.len()).step_by(5) {
        let store = crashed_after(&all[..first]).await;
        if take_up(&runner(&Witness::default(), &store, false)).await.is_none() {
            continue;
        }
        let second_life = entries(&store);
        for second in (first + 1..second_life.len()).step_by(4) {
            let (witness, store) = (Witness::default(), crashed_after(&second_life[..second]).await);
            let Some(report) = take_up(&runner(&witness, &store, false)).await else { continue };
            assert_eq!(report.state, expected.state, "cut after {first} and {second}");
            assert_eq!(witness.take().len(), ACTIVATIONS - finished(&second_life[..second]));
        }
    }
}

#[tokio::test]
async fn the_thread_can_be_loaded_after_any_entry_and_loading_changes_nothing() {
    let (all, _) = whole(true).await;
    for cut in 0..=all.len() {
        let store = crashed_after(&all[..cut]).await;
        let runner = runner(&Witness::default(), &store, true);
        let once = runner.load("t").await.unwrap();
        let twice = runner.load("t").await.unwrap();
        assert_eq!(
            (&once.state, &once.status, once.superstep),
            (&twice.state, &twice.status, twice.superstep)
        );
        assert_eq!(entries(&store).len(), cut);
    }
}

#[tokio::test]
async fn states_only_ever_grow_along_the_journal() {
    let (all, expected) = whole(false).await;
    let mut before = Log::default();
    for cut in 1..=all.len() {
        let store = crashed_after(&all[..cut]).await;
        let now = runner(&Witness::default(), &store, false).load("t").await.unwrap().state;
        assert!(now.trace.starts_with(&before.trace) && now.total >= before.total, "after {cut}");
        before = (*now).clone();
    }
    assert_eq!(before, *expected.state);
}

#[tokio::test]
async fn a_damaged_journal_is_refused_with_a_code_and_never_panics() {
    let (all, expected) = whole(false).await;
    let mut refused = 0;
    for (at, entry) in all.iter().enumerate() {
        let step = (entry.bytes.len() / 8).max(1);
        let flips = (0..entry.bytes.len()).step_by(step).map(|byte| {
            let mut bytes = entry.bytes.clone();
            bytes[byte] ^= 0x20;
            bytes
        });
        let cuts =
            [0, 1, entry.bytes.len() / 2, entry.bytes.len() - 1].map(|length| entry.bytes[..length].to_vec());
        for bytes in flips.chain(cuts) {
            let mut damaged = all.clone();
            damaged[at].bytes = bytes;
            let runner = runner(&Witness::default(), &crashed_after(&damaged).await, false);
            match runner.load("t").await {
                // Entries that a later snapshot makes superfluous are not read.
                Ok(loaded) => assert_eq!(loaded.state, expected.state, "entry {}", at + 1),
                Err(error) => {
                    refused += 1;
                    assert!(["SW-S410", "SW-S411"].contains(&error.code()), "{} {error}", error.code());
                    assert!(error.to_string().contains(&format!("entry {}", at + 1)), "{error}");
                }
            }
        }
    }
    assert!(refused > all.len(), "{refused}");
}

#[tokio::test]
async fn entries_in_a_wrong_order_are_refused_with_a_code() {
    let (all, _) = whole(false).await;
    for at in 0..all.len() - 1 {
        let mut swapped = all.clone();
        let bytes = swapped[at].bytes.clone();
        swapped[at].bytes = std::mem::replace(&mut swapped[at + 1].bytes, bytes);
        let store = crashed_after(&swapped).await;
        // Two siblings may stand in either order; everything else must be found out.
        if let Err(error) = runner(&Witness::default(), &store, false).load("t").await {
            assert!(error.code().starts_with("SW-"), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

#[tokio::test]
async fn a_run_with_snapshots_after_every_byte_stores_no_history_twice() {
    let (few, _) = whole(false).await;
    let (many, _) = whole(true).await;
    let bytes = |entries: &[Entry]| entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
    assert!(many.len() > few.len(), "there are snapshots");
    assert!(bytes(&many) < bytes(&few) * 12, "{} and {}", bytes(&many), bytes(&few));
}
