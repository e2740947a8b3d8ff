//! A store with the driver on top: whatever part of a journal is left, the run ends as if nothing had happened, and
//! no activation that the journal calls finished is executed again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{
    Checkpointer, Ctx, Durability, Entry, EntryKind, Graph, Limits, NodeError, Outcome, Route, RunReport,
    Runner, State, StateGraph, Status, ThreadId,
};

use crate::state::Row;

/// The state of the graph that is run.
#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Trip {
    #[reduce(append)]
    log: Vec<String>,
    #[reduce(sum)]
    steps: u64,
    #[reduce(upsert = row_key)]
    rows: Vec<Row>,
    #[reduce(append)]
    #[state(ephemeral)]
    fresh: Vec<u64>,
    answer: Option<String>,
    #[reduce(max)]
    round: u64,
}

fn row_key(row: &Row) -> u64 {
    row.key
}

#[derive(Route)]
enum Packed {
    #[each]
    Visit(Vec<u64>),
    Stay,
}

#[derive(Route)]
enum Judged {
    Again,
    Enough,
}

/// Which activation was executed how often: kept outside the journal, over all drivers.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<BTreeMap<String, usize>>>);

impl Witness {
    fn note<I>(&self, ctx: &Ctx<Trip, I>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(ctx.activation().to_string()).or_default() += 1;
    }

    fn seen(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A fan-out, a join, a question and a bounded loop.
fn graph(witness: &Witness) -> Option<Graph<Trip>> {
    let mut g = StateGraph::<Trip>::new("conformance");
    let w = witness.clone();
    let pack = g.func("pack", move |ctx: Ctx<Trip>| {
        w.note(&ctx);
        let packed = if ctx.state.log.is_empty() { Packed::Stay } else { Packed::Visit(vec![3, 1, 2]) };
        async move { Ok::<_, NodeError>((Trip::update().steps(1), packed)) }
    });
    let w = witness.clone();
    let visit = g.func("visit", move |ctx: Ctx<Trip, u64>| {
        w.note(&ctx);
        let update = Trip::update().log(format!("visit {}", ctx.input)).fresh(ctx.input);
        async move { Ok::<_, NodeError>(update.rows(Row { key: ctx.input % 2, value: ctx.input })) }
    });
    let w = witness.clone();
    let meet = g.func("meet", move |ctx: Ctx<Trip>| {
        w.note(&ctx);
        let update = Trip::update().log(format!("fresh {:?}", ctx.state.fresh)).round(ctx.state.round + 1);
        async move { Ok::<_, NodeError>(update) }
    });
    let mut sides = Vec::new();
    for side in ["left", "right"] {
        let w = witness.clone();
        sides.push(g.func(side, move |ctx: Ctx<Trip>| {
            w.note(&ctx);
            async move { Ok::<_, NodeError>(Trip::update().log(side).steps(10)) }
        }));
    }
    let w = witness.clone();
    let ask = g.func("ask", move |ctx: Ctx<Trip>| {
        w.note(&ctx);
        async move {
            let word: String = ctx.ask("which way", "north or south?").await;
            Ok::<_, NodeError>(Trip::update().answer(word))
        }
    });
    g.start(pack);
    g.route(pack, PackedEdges { visit: visit.to(), stay: meet.to() });
    g.edge(visit, meet);
    let (left, right) = (*sides.first()?, *sides.last()?);
    g.edge(meet, left.to().and(right));
    let again = |state: &Trip| if state.round < 3 { Judged::Again } else { Judged::Enough };
    let w = witness.clone();
    let join = g.func("join", move |ctx: Ctx<Trip>| {
        w.note(&ctx);
        async move { Ok::<_, NodeError>(Trip::update().steps(100)) }
    });
    g.join((left, right), join);
    g.branch(join, again, JudgedEdges { again: meet.to().at_most(5), enough: ask.to() });
    g.end(ask);
    g.build().ok()
}

/// Runs a graph to its end, then once more from every part of the journal that a crash could leave behind. `make`
/// gives an empty store each time.
///
/// # Panics
/// With the number of entries that were left and what differs.
pub async fn resumes_after_every_entry(make: impl Fn() -> Arc<dyn Checkpointer>) {
    for snapshot_after_bytes in [0, 700, 256 * 1024] {
        let store = make();
        let whole = Trial::new(store.clone(), snapshot_after_bytes);
        let thread = ThreadId::new("whole");
        let wanted = whole.to_the_end(&thread, 0).await;
        let entries = read(store.as_ref(), &thread).await;
        assert!(entries.len() > 20, "the run wrote only {} entries", entries.len());
        let all = whole.witness.seen();
        for left in 0..entries.len() {
            let part = ThreadId::new(format!("part {left}"));
            write(store.as_ref(), &part, &entries[..left]).await;
            let finished = finished(&whole, &entries[..left]);
            let trial = Trial::new(store.clone(), snapshot_after_bytes);
            let state = trial.to_the_end(&part, left).await;
            assert_eq!(
                state,
                wanted,
                "with {left} of {} entries left the run ends differently",
                entries.len()
            );
            let seen = trial.witness.seen();
            for activation in all.keys() {
                let (before, after) = (finished.contains(activation), seen.contains_key(activation));
                assert!(
                    before != after,
                    "with {left} entries left {activation} was finished before: {before}, and executed: {after}"
                );
            }
        }
    }
}

struct Trial {
    runner: Runner<Trip>,
    witness: Witness,
}

impl Trial {
    fn new(store: Arc<dyn Checkpointer>, snapshot_after_bytes: u64) -> Self {
        let witness = Witness::default();
        let Some(graph) = graph(&witness) else { panic!("the graph of this suite does not build") };
        let limits = Limits { snapshot_after_bytes, ..Limits::default() };
        let clock = Arc::new(|| 1_700_000_000_000);
        let runner = graph
            .runner()
            .shared_checkpointer(store)
            .limits(limits)
            .durability(Durability::Power)
            .clock(clock);
        Self { runner, witness }
    }

    /// Starts or resumes, and answers whatever is asked.
    async fn to_the_end(&self, thread: &ThreadId, left: usize) -> Trip {
        let stand = match self.runner.load(thread.clone()).await {
            Ok(stand) => stand,
            Err(error) => panic!("with {left} entries left the thread cannot be loaded: {error}"),
        };
        let mut report = match (stand.status, stand.interrupts.first()) {
            (Status::Stopped(Outcome::Finished), _) => return Trip::clone(&stand.state),
            (Status::Empty, _) => self.runner.start(thread.clone(), Trip::update().log("go")).id("run").await,
            (_, Some(question)) => self.runner.answer(thread.clone(), question.id.clone(), &"north").await,
            (_, None) => self.runner.resume(thread.clone()).await,
        };
        for _ in 0..4 {
            let done: RunReport<Trip> = match report {
                Ok(done) => done,
                Err(error) => panic!("with {left} entries left the run fails: {error}"),
            };
            match (&done.outcome, done.interrupts.first()) {
                (Outcome::Finished, _) => return Trip::clone(&done.state),
                (Outcome::Paused(_), Some(question)) => {
                    report = self.runner.answer(thread.clone(), question.id.clone(), &"north").await;
                }
                _ => panic!("with {left} entries left the run ends with: {}", done.describe()),
            }
        }
        panic!("with {left} entries left the run asks again and again");
    }
}

/// The activations that these entries call finished.
fn finished(trial: &Trial, entries: &[Entry]) -> Vec<String> {
    let plan = trial.runner.graph().plan();
    match statewright_engine_runtime::ThreadView::read(plan, entries) {
        Ok(view) => {
            let done = view.steps.iter().filter(|step| step.failure.is_none() && step.asked.is_none());
            done.map(|step| step.activation.to_string()).collect()
        }
        Err(error) => panic!("what the driver wrote cannot be read: {error}"),
    }
}

async fn read(store: &dyn Checkpointer, thread: &ThreadId) -> Vec<Entry> {
    match store.entries(thread, &[(1, u64::MAX >> 1)]).await {
        Ok(entries) => entries,
        Err(error) => panic!("the journal of `{thread}` cannot be read: {error}"),
    }
}

async fn write(store: &dyn Checkpointer, thread: &ThreadId, entries: &[Entry]) {
    let mut journal = match store.open(thread, Durability::Power).await {
        Ok(journal) => journal,
        Err(error) => panic!("the new thread `{thread}` cannot be opened: {error}"),
    };
    for entry in entries {
        debug_assert!(matches!(entry.kind, EntryKind::Record | EntryKind::Snapshot));
        if let Err(error) = journal.append(entry.clone()).await {
            panic!("entry {} of `{thread}` is refused: {error}", entry.seq);
        }
    }
}
