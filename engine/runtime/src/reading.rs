//! Reading a thread: entries with the values put back that the store holds in others. Recovery and histories see only
//! these.

use statewright_engine_core::{Entry, Seq, ThreadId, fill_values, missing_values};

use crate::checkpointer::Checkpointer;
use crate::error::RunError;

/// The latest snapshot of the thread.
pub(crate) async fn latest_snapshot(
    store: &dyn Checkpointer,
    thread: &ThreadId,
) -> Result<Option<Entry>, RunError> {
    let Some(snapshot) = store.latest_snapshot(thread).await? else { return Ok(None) };
    let mut snapshot = [snapshot];
    fill(store, thread, &mut snapshot, &[]).await?;
    let [snapshot] = snapshot;
    Ok(Some(snapshot))
}

/// The entries of a thread at the positions in these closed ranges, as they were written: a store keeps a large value
/// only in the first entry that holds it, and [`Checkpointer::entries`] gives them as they are stored.
///
/// # Errors
/// [`RunError::Store`] when the store cannot be read, [`RunError::Recover`] when a value is not where it should be.
pub async fn read_entries(
    store: &dyn Checkpointer,
    thread: &ThreadId,
    ranges: &[(Seq, Seq)],
) -> Result<Vec<Entry>, RunError> {
    entries(store, thread, ranges, &[]).await
}

/// The same. What they leave out is looked for in `others` first.
pub(crate) async fn entries(
    store: &dyn Checkpointer,
    thread: &ThreadId,
    ranges: &[(Seq, Seq)],
    others: &[Entry],
) -> Result<Vec<Entry>, RunError> {
    let mut entries = store.entries(thread, ranges).await?;
    fill(store, thread, &mut entries, others).await?;
    Ok(entries)
}

async fn fill(
    store: &dyn Checkpointer,
    thread: &ThreadId,
    entries: &mut [Entry],
    others: &[Entry],
) -> Result<(), RunError> {
    let mut missing = missing_values(entries)?;
    let found = |(seq, _): &(Seq, Seq)| others.binary_search_by_key(seq, |entry| entry.seq).is_ok();
    if missing.iter().all(found) {
        return Ok(fill_values(entries, others)?);
    }
    missing.retain(|range| !found(range));
    let mut sources = store.entries(thread, &missing).await?;
    sources.extend_from_slice(others);
    sources.sort_unstable_by_key(|entry| entry.seq);
    Ok(fill_values(entries, &sources)?)
}
