//! One state with a channel of every kind, a witness outside the journal, and stores that end where a crash would.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use statewright_engine_core::journal::{Body, Record, decode};
use statewright_engine_core::{Entry, EntryKind};
use statewright_engine_runtime::*;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) id: u32,
    pub(crate) text: String,
}

fn key(note: &Note) -> u32 {
    note.id
}

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Log {
    #[reduce(append)]
    pub(crate) trace: Vec<String>,
    pub(crate) text: String,
    pub(crate) answer: Option<String>,
    #[reduce(sum)]
    pub(crate) total: u64,
    #[reduce(upsert = key)]
    pub(crate) notes: Vec<Note>,
    #[reduce(union)]
    pub(crate) tags: BTreeSet<String>,
    #[reduce(max)]
    pub(crate) most: u32,
    #[reduce(min)]
    pub(crate) least: Option<u32>,
    #[reduce(last)]
    pub(crate) last: String,
    #[state(ephemeral)]
    pub(crate) scratch: String,
    #[reduce(sum)]
    #[state(reset = run)]
    pub(crate) round: u32,
}

/// Two ways out.
#[derive(Route)]
pub(crate) enum Fork {
    Left,
    Right,
}

/// A fan-out, or nothing.
#[derive(Route)]
pub(crate) enum Spread {
    #[each]
    Parts(Vec<u32>),
    Nothing,
}

pub(crate) type Builder = StateGraph<Log>;
pub(crate) type Handle = NodeHandle<Log>;
pub(crate) type Done = Result<LogUpdate, NodeError>;

pub(crate) fn builder() -> Builder {
    StateGraph::new("test")
}

/// Writes down that the node ran.
pub(crate) fn ran<I>(ctx: &Ctx<Log, I>) -> LogUpdate {
    Log::update().trace(ctx.node().to_owned())
}

/// A node that only writes down that it ran.
pub(crate) fn node(g: &mut Builder, name: &str) -> Handle {
    g.func(name, async |ctx: Ctx<Log>| Ok(ran(&ctx)))
}

/// `first → second → …` of the given nodes, from the start to END.
pub(crate) fn chain(g: &mut Builder, nodes: &[Handle]) {
    g.start(nodes[0]);
    for pair in nodes.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    g.end(nodes[nodes.len() - 1]);
}

/// What really happened, kept outside the engine: it survives every crash and sees work that was redone.
#[derive(Clone, Default)]
pub(crate) struct Witness(pub(crate) Arc<Mutex<Vec<String>>>);

impl Witness {
    pub(crate) fn saw(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|seen| *seen == what).count()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Fails the test instead of letting it hang for ever. The timer wakes the work once more: work that only ends then
/// was never woken by its own cause, and would have hung too.
pub(crate) async fn within<T>(work: impl IntoFuture<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    let began = Instant::now();
    let done = tokio::time::timeout(limit, work.into_future()).await.expect("this must not hang");
    assert!(began.elapsed() < limit, "this must not hang");
    done
}

/// A store that holds the first entries of another one's thread: what a crash at that point leaves.
pub(crate) async fn crashed_after(entries: &[Entry]) -> MemoryCheckpointer {
    let store = MemoryCheckpointer::new();
    let thread = ThreadId::new("t");
    let mut journal = store.open(&thread, Durability::Power).await.unwrap();
    for entry in entries {
        journal.append(entry.clone()).await.unwrap();
    }
    store
}

/// The entries of the thread that all tests use.
pub(crate) fn entries(store: &MemoryCheckpointer) -> Vec<Entry> {
    store.all(&ThreadId::new("t"))
}

/// What the records say; snapshots left out.
pub(crate) fn records(entries: &[Entry]) -> Vec<Body> {
    let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
    records.map(|entry| decode::<Record>(&entry.bytes).unwrap().body).collect()
}

/// How many activations these entries say have finished.
pub(crate) fn finished(entries: &[Entry]) -> usize {
    records(entries).iter().filter(|body| matches!(body, Body::Finished { .. })).count()
}

/// The only failure of a run that failed, with the name of its node.
pub(crate) fn failure(report: &RunReport<Log>, graph: &Graph<Log>) -> (Option<String>, Failure) {
    let Outcome::Failed(failures) = &report.outcome else { panic!("{}", report.describe()) };
    let [(node, failure)] = failures.as_slice() else { panic!("{failures:?}") };
    (node.map(|node| graph.plan().node_name(node).to_owned()), failure.clone())
}

/// The open questions of a run that paused.
pub(crate) fn questions(report: &RunReport<Log>) -> Vec<Interrupt> {
    let Outcome::Paused(questions) = &report.outcome else { panic!("{}", report.describe()) };
    assert_eq!(&report.interrupts, questions);
    questions.clone()
}

/// Expects the run to have finished.
pub(crate) fn expect_finished(report: &RunReport<Log>) {
    assert_eq!(report.outcome, Outcome::Finished, "{}", report.describe());
}
