//! A store that several builds share, and what a test wants to know about it.

use statewright_engine_runtime::*;

/// The entries of the thread that all tests use.
pub(crate) fn entries(store: &MemoryCheckpointer) -> Vec<Entry> {
    store.all(&ThreadId::new("t"))
}

/// A store that holds these entries: what a crash behind them leaves.
pub(crate) async fn holding(entries: &[Entry]) -> MemoryCheckpointer {
    let store = MemoryCheckpointer::new();
    let mut journal = store.open(&ThreadId::new("t"), Durability::Power).await.unwrap();
    for entry in entries {
        journal.append(entry.clone()).await.unwrap();
    }
    store
}

/// A runner of a build, on a store, that writes snapshots after so many bytes.
pub(crate) fn runner<S: State>(
    graph: &Graph<S>,
    store: &MemoryCheckpointer,
    snapshot_after_bytes: u64,
) -> Runner<S> {
    let limits = Limits { snapshot_after_bytes, ..Limits::default() };
    graph.runner().checkpointer(store.clone()).limits(limits)
}

/// Snapshots only where a drive ends, and one behind every superstep.
pub(crate) const RARELY_AND_OFTEN: [u64; 2] = [u64::MAX, 1];

pub(crate) fn paused<S>(report: &RunReport<S>) -> &[Interrupt] {
    let Outcome::Paused(open) = &report.outcome else { panic!("{}", report.describe()) };
    open
}
