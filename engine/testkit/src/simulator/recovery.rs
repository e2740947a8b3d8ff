//! The oracle on recovery: a thread that is put together from any snapshot and the entries behind it is the thread
//! that its whole journal gives.

use std::sync::Arc;

use statewright_engine_core::{
    Action, Entry, EntryKind, Event, Execution, Options, Plan, Recovery, RunId, Seq, TypedCell, UpdateValue,
    fill_values, missing_values,
};

use crate::state::SimState;

/// Recovers from the snapshot at this position, or from the whole journal, reading nothing but what is asked for.
pub(super) fn recover(
    plan: &Arc<Plan>,
    options: Options,
    entries: &[Entry],
    snapshot: Option<Seq>,
) -> Result<Execution, String> {
    let at = |seq: Seq| entries.get(usize::try_from(seq).ok()?.checked_sub(1)?);
    let from = |error: &dyn std::fmt::Display| match snapshot {
        Some(seq) => format!("recovery from the snapshot at entry {seq} of {} fails: {error}", entries.len()),
        None => format!("recovery from {} entries fails: {error}", entries.len()),
    };
    let cell = Box::new(TypedCell::<SimState>::new());
    let base = snapshot.and_then(at).map(|entry| whole(vec![entry.clone()], entries)).transpose()?;
    let base = base.as_deref().and_then(<[Entry]>::first);
    let recovery = Recovery::new(plan.clone(), cell, options, base).map_err(|error| from(&error))?;
    let needed = recovery.needs();
    let referenced: Vec<Entry> =
        needed.iter().flat_map(|(first, last)| *first..=*last).filter_map(at).cloned().collect();
    let tail = entries.get(recovery.tail_from() as usize - 1..).unwrap_or_default();
    let (referenced, tail) = (whole(referenced, entries)?, whole(tail.to_vec(), entries)?);
    recovery.finish(&referenced, &tail).map_err(|error| from(&error))
}

/// Entries with the values that they leave out, which are read from those that are asked for and from no others.
pub(super) fn whole(mut part: Vec<Entry>, entries: &[Entry]) -> Result<Vec<Entry>, String> {
    let wanted = missing_values(&part).map_err(|error| error.to_string())?;
    let found = |(seq, _): &(Seq, Seq)| entries.get(usize::try_from(*seq).ok()?.checked_sub(1)?).cloned();
    let others: Vec<Entry> = wanted.iter().filter_map(found).collect();
    fill_values(&mut part, &others).map_err(|error| error.to_string())?;
    Ok(part)
}

/// The positions of the snapshots among these entries.
pub(super) fn snapshots(entries: &[Entry]) -> Vec<Seq> {
    entries.iter().filter(|entry| entry.kind == EntryKind::Snapshot).map(|entry| entry.seq).collect()
}

/// Checks that a snapshot says the same as the whole journal: about the state, the activations, and everything that a
/// driver who takes the thread up would write down next.
pub(super) fn same(
    whole: Execution,
    plan: &Arc<Plan>,
    options: Options,
    entries: &[Entry],
    snapshot: Seq,
) -> Result<(), String> {
    let short = recover(plan, options, entries, Some(snapshot))?;
    let (left, right) = (stand(plan, &whole)?, stand(plan, &short)?);
    if left != right {
        return Err(format!(
            "with {} entries the whole journal and the snapshot at entry {snapshot} differ:\n  whole    {left}\n  snapshot {right}",
            entries.len()
        ));
    }
    let (left, right) = (next(whole)?, next(short)?);
    if left == right {
        return Ok(());
    }
    let place = left.iter().zip(&right).position(|(a, b)| a != b).unwrap_or(left.len().min(right.len()));
    Err(format!(
        "with {} entries a driver writes something else after the snapshot at entry {snapshot} than after the whole journal:\n  whole    {}\n  snapshot {}",
        entries.len(),
        describe(left.get(place)),
        describe(right.get(place))
    ))
}

/// Everything that can be seen of an execution from outside.
fn stand(plan: &Plan, execution: &Execution) -> Result<String, String> {
    let image = execution.cell().image(&|_| true).map_err(|error| error.to_string())?;
    let run = execution.run();
    let text = format!("{:?} {run:?} {} {execution:?} {image:?}", execution.status(), execution.superstep());
    // Snapshots hold what is inside activations by value, so that no entry is known to hold it any more.
    Ok(if plan.children().next().is_some() { without_positions(&text) } else { text })
}

fn without_positions(text: &str) -> String {
    ["seq: ", "held: ("].into_iter().fold(text.to_owned(), |text, before| {
        let mut parts = text.split(before);
        let first = parts.next().unwrap_or_default().to_owned();
        let position = |digit: char| digit.is_ascii_digit() || digit == ',' || digit == ' ';
        parts.fold(first, |text, part| text + before + part.trim_start_matches(position))
    })
}

/// What is written when the thread is taken up and drained at once: it ends in a snapshot, which holds everything.
fn next(mut execution: Execution) -> Result<Vec<Entry>, String> {
    let event = match execution.status() {
        status if super::undo::is_over(&status) => {
            Event::Start { run: RunId::new("probe"), input: UpdateValue::Empty }
        }
        _ => Event::Resume,
    };
    execution.handle(1, event).map_err(|error| error.to_string())?;
    execution.handle(1, Event::Drain).map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    while let Some(action) = execution.poll_action() {
        if let Action::Persist(entry) = action {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn describe(entry: Option<&Entry>) -> String {
    use statewright_engine_core::journal::{Record, SnapshotBody, decode};
    let Some(entry) = entry else { return "nothing".to_owned() };
    match entry.kind {
        EntryKind::Record => format!("{:?}", decode::<Record>(&entry.bytes)),
        EntryKind::Snapshot => format!("{:?}", decode::<SnapshotBody>(&entry.bytes)),
    }
}
