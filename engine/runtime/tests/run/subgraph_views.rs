//! Looking at a thread while it stands inside a graph that is a node: pauses there, history, states, diffs and forks.

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::journal::{Body, Record, decode};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Inner {
    #[reduce(append)]
    trace: Vec<String>,
}

/// `first → asks → last`, inside of nothing.
fn inner(witness: &Witness, change: impl FnOnce(&mut StateGraph<Inner>, NodeHandle<Inner>)) -> Graph<Inner> {
    let mut g = StateGraph::<Inner>::new("inner");
    let [first, asks, last] = ["first", "asks", "last"].map(|name| {
        let witness = witness.clone();
        g.func(name, move |ctx: Ctx<Inner>| {
            let witness = witness.clone();
            async move {
                if ctx.node() == "asks" {
                    ctx.ask::<String, _>("which", "which one?").await;
                }
                witness.saw(ctx.node().to_owned());
                Ok(Inner::update().trace(ctx.node().to_owned()))
            }
        })
    });
    g.start(first);
    g.edge(first, asks);
    g.edge(asks, last);
    g.end(last);
    change(&mut g, last);
    g.build().unwrap()
}

/// `before → part → after`.
fn outer(inner: &Graph<Inner>) -> Graph<Log> {
    let mut g = builder();
    let (before, after) = (node(&mut g, "before"), node(&mut g, "after"));
    let part = g.subgraph(
        "part",
        inner,
        |_: &Log, (): ()| Inner::update(),
        |inner: &Inner| Log::update().trace(inner.trace.join("+")).total(inner.trace.len() as u64),
    );
    chain(&mut g, &[before, part, after]);
    g.build().unwrap()
}

fn paused_inside(runner: &Runner<Log>, outcome: &Outcome) -> bool {
    let part = runner.graph().plan().node_named("part").unwrap();
    matches!(outcome, Outcome::PausedAt(points) if *points == [PausePoint::Within(part)])
}

#[tokio::test]
async fn a_pause_inside_a_graph_holds_it_there_once_and_over_a_crash_at_any_entry() {
    let witness = Witness::default();
    let graph = || outer(&inner(&witness, |g, last| g.pause_before(last)));
    let store = MemoryCheckpointer::new();
    let runner = graph().runner().checkpointer(store.clone());
    let asked = runner.start("t", Log::update()).await.unwrap();
    let report = runner.answer("t", &*questions(&asked)[0].id, "this").await.unwrap();
    assert!(paused_inside(&runner, &report.outcome), "{}", report.describe());
    assert_eq!(report.describe(), "paused inside `part`; resume it to go on");
    assert_eq!(witness.take(), ["first", "asks"]);
    let stands = runner.load("t").await.unwrap().status;
    assert!(matches!(stands, Status::Stopped(outcome) if paused_inside(&runner, &outcome)));
    let held = entries(&store);
    let report = runner.resume("t").await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace, ["before", "first+asks+last", "after"]);
    assert_eq!(witness.take(), ["last"], "what was behind the pause does not run again");
    // Whatever is left of the journal at the pause, whoever goes on with it pauses there, and once.
    for cut in 1..=held.len() {
        let runner = graph().runner().checkpointer(crashed_after(&held[..cut]).await);
        let mut pauses = 0;
        let mut status = runner.load("t").await.unwrap().status;
        let state = loop {
            let report = match status {
                Status::Stopped(Outcome::Paused(open)) => runner.answer("t", &*open[0].id, "this").await,
                _ => runner.resume("t").await,
            };
            let report = report.unwrap();
            pauses += usize::from(paused_inside(&runner, &report.outcome));
            if report.outcome == Outcome::Finished {
                break report.state;
            }
            status = Status::Stopped(report.outcome);
        };
        assert_eq!(state.trace, ["before", "first+asks+last", "after"], "cut after entry {cut}");
        assert!(pauses <= 1, "cut after entry {cut}: {pauses} pauses");
        let behind = witness.take().iter().filter(|seen| *seen == "last").count();
        assert_eq!(behind, 1, "cut after entry {cut}");
    }
}

/// A thread `t` that waited inside and then finished, and its entries.
async fn finished() -> (Runner<Log>, Vec<Entry>, Witness) {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let runner = outer(&inner(&witness, |_, _| {})).runner().checkpointer(store.clone());
    let asked = runner.start("t", Log::update()).await.unwrap();
    expect_finished(&runner.answer("t", &*questions(&asked)[0].id, "this").await.unwrap());
    witness.take();
    (runner, entries(&store), witness)
}

/// The positions of wrapped records that finish an inner node.
fn inner_ends(entries: &[Entry]) -> Vec<u64> {
    let ends = |entry: &&Entry| {
        let Body::Nested { entry, .. } = decode::<Record>(&entry.bytes).unwrap().body else { return false };
        matches!(decode::<Record>(&entry).unwrap().body, Body::Finished { .. })
    };
    let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
    records.filter(ends).map(|entry| entry.seq).collect()
}

#[tokio::test]
async fn history_and_diffs_are_those_of_the_outer_graph_wherever_inside_it_stood() {
    let (runner, entries, _) = finished().await;
    let history = runner.history("t").await.unwrap();
    let plan = runner.graph().plan().clone();
    let next: Vec<_> =
        history.iter().map(|at| at.next.first().map(|node| plan.node_name(*node).to_owned())).collect();
    assert_eq!(next, [Some("before".to_owned()), Some("part".to_owned()), Some("after".to_owned()), None]);
    let inside = inner_ends(&entries);
    assert_eq!(inside.len(), 3);
    let (entered, left) = (history[1].seq, history[2].seq);
    assert!(inside.iter().all(|seq| (entered..left).contains(seq)));
    for seq in &inside {
        let then = runner.state_at("t", *seq).await.unwrap();
        assert_eq!((then.superstep, then.state.trace.as_slice()), (2, ["before".to_owned()].as_slice()));
        assert_eq!(runner.diff(("t", entered), ("t", *seq)).await.unwrap(), []);
    }
    let asked = inside[0] + 2;
    let open = runner.state_at("t", asked).await.unwrap().interrupts;
    assert_eq!(open.iter().map(|asked| &*asked.id).collect::<Vec<_>>(), ["which@2.0/2.0"]);
    let diff = runner.diff(("t", entered), ("t", left)).await.unwrap();
    let changed: Vec<_> = diff.iter().map(|channel| channel.channel).collect();
    assert_eq!(changed, ["trace", "total"], "what the projection says, and nothing else");
}

#[tokio::test]
async fn a_fork_at_any_entry_inside_ends_as_the_original_and_repeats_nothing_that_had_finished() {
    let (runner, entries, witness) = finished().await;
    let whole = runner.load("t").await.unwrap().state;
    let (first, last) = (inner_ends(&entries)[0], *inner_ends(&entries).last().unwrap());
    for seq in first..last {
        let fork = format!("fork{seq}");
        let mut status = runner.fork("t", seq, fork.clone(), Log::update()).await.unwrap().status;
        let state = loop {
            let report = match status {
                Status::Stopped(Outcome::Paused(open)) => {
                    runner.answer(fork.clone(), &*open[0].id, "this").await
                }
                _ => runner.resume(fork.clone()).await,
            };
            let report = report.unwrap();
            if report.outcome == Outcome::Finished {
                break report.state;
            }
            status = Status::Stopped(report.outcome);
        };
        assert_eq!(state.trace, whole.trace, "forked at {seq}");
        let had = inner_ends(&entries[..seq as usize]).len();
        assert_eq!(witness.take().len(), 3 - had, "forked at {seq}");
    }
}

#[tokio::test]
async fn a_fork_from_inside_counts_no_crash_that_did_not_happen() {
    let (runner, entries, _) = finished().await;
    let limits = Limits { crashes: 1, ..Limits::default() };
    let runner = runner.limits(limits);
    // The last inner node was open there, and in the original it ran.
    let before_last = inner_ends(&entries)[1];
    runner.fork("t", before_last, "fork", Log::update()).await.unwrap();
    expect_finished(&runner.resume("fork").await.unwrap());
}
