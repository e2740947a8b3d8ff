//! Folding: the updates of a superstep go into the state in merge order, and references to them are kept for the
//! channels that snapshots do not copy.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::advance::panic_text;
use super::slot::{Progress, Slot};
use crate::cell::{CellError, StateCell, UpdateValue};
use crate::channel::Reducer;
use crate::failure::Failure;
use crate::graph::Plan;
use crate::ids::{NodeIx, Seq};
use crate::journal::ReferenceList;

/// For each referenced channel the entries that wrote it, in the order of folding.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    lists: Vec<ReferenceList>,
    /// Something was folded that no entry holds, so the next snapshot must hold values.
    pub(super) incomplete: bool,
}

impl References {
    pub(super) fn new(cell: &dyn StateCell) -> Self {
        let channels = cell.schema().channels.iter().enumerate();
        let lists = channels
            .filter(|(_, channel)| channel.reducer.is_referenced())
            .map(|(number, _)| ReferenceList { channel: number as u32, ranges: Vec::new() })
            .collect();
        Self { lists, incomplete: false }
    }

    /// The next snapshot must hold values, since no entry of the journal does.
    pub(super) fn incomplete(cell: &dyn StateCell) -> Self {
        Self { incomplete: true, ..Self::new(cell) }
    }

    pub(super) fn lists(&self) -> &[ReferenceList] {
        &self.lists
    }

    pub(super) fn set(&mut self, lists: &[ReferenceList]) {
        for list in &mut self.lists {
            let stored = lists.iter().find(|stored| stored.channel == list.channel);
            list.ranges = stored.map(|stored| stored.ranges.clone()).unwrap_or_default();
        }
    }

    /// Makes one self-contained snapshot the base of every channel.
    pub(super) fn rebase(&mut self, snapshot: Seq) {
        for list in &mut self.lists {
            list.ranges = vec![(snapshot, snapshot)];
        }
        self.incomplete = false;
    }

    /// Forgets what a reset channel referred to.
    pub(super) fn reset(
        &mut self,
        cell: &dyn StateCell,
        is_reset: impl Fn(&crate::channel::Channel) -> bool,
    ) {
        for list in &mut self.lists {
            if is_reset(&cell.schema().channels[list.channel as usize]) {
                list.ranges.clear();
            }
        }
    }

    /// Notes which referenced channels an update writes.
    pub(super) fn note(
        &mut self,
        cell: &dyn StateCell,
        update: &UpdateValue,
        seq: Seq,
    ) -> Result<(), CellError> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let Self { lists, incomplete } = self;
        cell.written(update, &mut |channel| {
            let Some(list) = lists.iter_mut().find(|list| list.channel as usize == channel) else { return };
            if seq == 0 {
                *incomplete = true;
                return;
            }
            match list.ranges.last_mut() {
                Some((_, last)) if *last + 1 == seq => *last = seq,
                Some((_, last)) if *last == seq => {}
                _ => list.ranges.push((seq, seq)),
            }
        })
    }
}

/// Two writes to a replace-channel in one superstep are a mistake, and so is a second write to a channel that one of
/// them overwrites: the order of folding would decide what is lost.
pub(super) fn check_conflicts(plan: &Plan, cell: &dyn StateCell, slots: &[Slot]) -> Result<(), Failure> {
    if slots.len() < 2 {
        return Ok(());
    }
    let channels = cell.schema().channels;
    let mut writers: BTreeMap<usize, (NodeIx, bool)> = BTreeMap::new();
    let mut overwritten: Vec<usize> = Vec::new();
    let mut conflict = None;
    for slot in slots {
        let Progress::Finished { update, .. } = &slot.progress else { continue };
        overwritten.clear();
        let noted = cell.overwritten(update, &mut |channel| overwritten.push(channel)).and_then(|()| {
            cell.written(update, &mut |channel| {
                let replaces =
                    channels[channel].reducer == Reducer::Replace || overwritten.contains(&channel);
                if let Some((first, replaced)) = writers.insert(channel, (slot.node, replaces))
                    && (replaces || replaced)
                {
                    conflict.get_or_insert((channel, first, slot.node));
                }
            })
        });
        noted.map_err(|error| Failure::permanent(error.code(), error.to_string()))?;
    }
    let Some((channel, first, second)) = conflict else { return Ok(()) };
    let grows = channels[channel].reducer != Reducer::Replace;
    let (state, channel) = (cell.schema().name, channels[channel].name);
    let (first, second) = (plan.node_name(first), plan.node_name(second));
    let who = if first == second {
        format!("two activations of `{first}`")
    } else {
        format!("`{first}` and `{second}`")
    };
    if grows {
        let message = format!(
            "{who} both wrote `{state}.{channel}` in one superstep, and one overwrote it; let one node do both, or put one after the other"
        );
        return Err(Failure::permanent("SW-X220", message));
    }
    Err(Failure::permanent(
        "SW-X220",
        format!(
            "{who} both wrote `{state}.{channel}` in one superstep; give the field a reducer, such as #[reduce(append)] or #[reduce(last)]"
        ),
    ))
}

/// Folds the updates of finished slots, in the order of the slots. After an error the cell is not to be used again.
pub(super) fn fold(
    plan: &Plan,
    cell: &mut dyn StateCell,
    references: Option<&mut References>,
    slots: &mut [Slot],
) -> Result<(), Failure> {
    cell.begin_superstep();
    let mut references = references;
    if let Some(references) = references.as_deref_mut() {
        references.reset(cell, |channel| channel.ephemeral);
    }
    for slot in slots {
        let node = slot.node;
        let Progress::Finished { update, seq, .. } = &mut slot.progress else { continue };
        let folded = catch_unwind(AssertUnwindSafe(|| {
            if let Some(references) = references.as_deref_mut() {
                references.note(cell, update, *seq)?;
            }
            cell.apply(update, None)
        }));
        match folded {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Failure::permanent(error.code(), error.to_string())),
            Err(panic) => {
                let (node, why) = (plan.node_name(node), panic_text(panic.as_ref()));
                let message = format!("a reducer panicked on the update of `{node}`: {why}");
                return Err(Failure::permanent("SW-X224", message));
            }
        }
    }
    Ok(())
}
