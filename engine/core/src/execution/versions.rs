//! Threads that another version of the graph or of its state wrote. They are put together as that version left them, on a
//! sketch of its plan and with its updates migrated one by one; only where the thread then stands has to be understood
//! by the present graph. Nothing is written here: a thread that cannot be taken up is as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::Execution;
use super::advance::Counters;
use super::lanes::Lanes;
use super::recover::{RecoverError, Recovery, read, stored_bytes};
use super::slot::Slot;
use super::types::Entry;
use crate::cell::{StateCell, UpdateValue};
use crate::channel::Reducer;
use crate::graph::Plan;
use crate::ids::{Fingerprint, NodeIx, Seq};
use crate::journal::{Body, NodeTable, Record, ReferenceList, Shape, SnapshotBody};
use crate::migration::{FieldChangeKind, Whereabouts, whereabouts};
use crate::payload::Payload;

/// The version of the graph that wrote what is being read, if it is not the present one.
#[derive(Debug)]
pub(super) struct Author {
    pub(super) table: NodeTable,
    pub(super) shape: Shape,
    /// The version of the state.
    version: u32,
    /// For each stored channel where it is now.
    channels: Vec<Option<usize>>,
    /// For each present channel how snapshots of that version hold it.
    held: Vec<Held>,
}

/// How a snapshot of another version holds a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    ByValue,
    ByReference,
    /// There was no such channel; a migration may have made it from others.
    NotYet,
}

impl Author {
    /// What an entry with this table says about its author, and a sketch of the author's plan.
    pub(super) fn new(
        present: &Plan,
        cell: &dyn StateCell,
        fingerprint: Fingerprint,
        version: u32,
        mut table: NodeTable,
    ) -> Result<(Self, Arc<Plan>), RecoverError> {
        let schema = cell.schema();
        if version > schema.version {
            let (state, stored, present) = (schema.name.to_owned(), version, schema.version);
            return Err(RecoverError::NewerState { state, stored, present });
        }
        let shape = table.shape.take().filter(|_| table.graph == *present.name);
        let shape = shape.ok_or_else(|| other_graph(present, fingerprint, &table))?;
        let channels = channels(cell, version, &table)?;
        let mut held = vec![Held::NotYet; schema.channels.len()];
        for (stored, place) in table.channels.iter().zip(&channels) {
            let Some(place) = *place else { continue };
            held[place] = if is_referenced(&stored.reducer) { Held::ByReference } else { Held::ByValue };
        }
        let kept = |name: &str| match whereabouts(schema, cell.changes(), name, version) {
            Whereabouts::Channel(place) => Some(schema.channels[place].name.to_owned()),
            Whereabouts::Dropped | Whereabouts::Lost => None,
        };
        let sketch = Plan::sketch(&table, &shape, fingerprint, schema, kept);
        let mut sketch = sketch.ok_or_else(|| other_graph(present, fingerprint, &table))?;
        // Graphs inside are the present ones: of theirs, only this version is understood.
        for node in present.nodes.iter().filter(|node| node.child.is_some()) {
            let mut names = std::iter::once(&node.name).chain(&node.formerly);
            let known = names.find_map(|name| table.nodes.iter().position(|stored| **stored == **name));
            if let Some(place) = known {
                sketch.nodes[place].child.clone_from(&node.child);
            }
        }
        Ok((Self { table, shape, version, channels, held }, Arc::new(sketch)))
    }

    /// The lists of references with the present numbers of the channels.
    pub(super) fn references(&self, lists: &[ReferenceList]) -> Vec<ReferenceList> {
        let present = |list: &ReferenceList| {
            let channel = (*self.channels.get(list.channel as usize)?)? as u32;
            Some(ReferenceList { channel, ranges: list.ranges.clone() })
        };
        lists.iter().filter_map(present).collect()
    }

    /// Whether a snapshot of that version holds the channel by value; `written` are the channels that its migrated
    /// update writes.
    pub(super) fn holds(&self, channel: usize, self_contained: bool, written: &BTreeSet<usize>) -> bool {
        match self.held.get(channel) {
            Some(Held::ByValue) => true,
            Some(Held::ByReference) => self_contained,
            Some(Held::NotYet) | None => written.contains(&channel),
        }
    }

    /// What differs about the state, in words.
    pub(super) fn changed_fields(&self, present: &Plan) -> Vec<String> {
        let mut words = Vec::new();
        let channels = present.schema.channels;
        for (stored, place) in self.table.channels.iter().zip(&self.channels) {
            match place.map(|place| channels[place].name) {
                None => words.push(format!("the field `{}` is dropped", stored.name)),
                Some(name) if name != stored.name => {
                    words.push(format!("the field `{}` is `{name}`", stored.name));
                }
                Some(_) => {}
            }
        }
        let new = channels.iter().zip(&self.held).filter(|(_, held)| **held == Held::NotYet);
        words.extend(new.map(|(channel, _)| format!("the field `{}` is new", channel.name)));
        if self.version != present.schema.version {
            words.push(format!("the state's version was {} and is {}", self.version, present.schema.version));
        }
        words
    }

    /// Whether the present channel is held by reference now and was not then, so that no entry is known to hold it.
    pub(super) fn lacks_references(&self, cell: &dyn StateCell) -> bool {
        let channels = cell.schema().channels.iter().zip(&self.held);
        channels.into_iter().any(|(channel, held)| channel.reducer.is_referenced() && *held == Held::ByValue)
    }
}

fn is_referenced(reducer: &str) -> bool {
    [Reducer::Append, Reducer::Union, Reducer::Upsert].iter().any(|known| known.name() == reducer)
}

/// Where each stored channel is now. What was not declared is refused: a field that is silently forgotten is lost work.
fn channels(
    cell: &dyn StateCell,
    version: u32,
    table: &NodeTable,
) -> Result<Vec<Option<usize>>, RecoverError> {
    let (schema, changes) = (cell.schema(), cell.changes());
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for stored in &table.channels {
        let name = &stored.name;
        let place = match whereabouts(schema, changes, name, version) {
            Whereabouts::Dropped => None,
            Whereabouts::Lost => {
                wrong.push(format!(
                    "the field `{name}` is gone (declare `#[state(renamed_from = \"{name}\", since = N)]` on its successor, or `#[state(dropped(\"{name}\"))]` on the struct, and raise its version)"
                ));
                None
            }
            Whereabouts::Channel(place) => {
                let (channel, reducer) = (&schema.channels[place], &stored.reducer);
                let declared = changes.iter().any(|change| {
                    let kind = FieldChangeKind::ReducerChanged { name: channel.name };
                    change.since > version && change.kind == kind
                });
                if found.contains(&Some(place)) {
                    wrong.push(format!("two stored fields lead to `{}`", channel.name));
                } else if *reducer != channel.reducer.name() && !declared {
                    let present = channel.reducer.name();
                    wrong.push(format!(
                        "the field `{}` was folded by {reducer} and is folded by {present} (declare `#[state(reducer_changed, since = N)]` on it)",
                        channel.name
                    ));
                }
                Some(place)
            }
        };
        found.push(place);
    }
    if wrong.is_empty() {
        return Ok(found);
    }
    let (state, stored, present) = (schema.name.to_owned(), version, schema.version);
    Err(RecoverError::OtherState { state, stored, present, differences: wrong.join("; ") })
}

/// Whether entries with this fingerprint are those of the plan.
pub(super) fn same_graph(
    plan: &Plan,
    stored: Fingerprint,
    table: Option<&NodeTable>,
) -> Result<(), RecoverError> {
    if stored == plan.fingerprint {
        return Ok(());
    }
    Err(match table {
        Some(table) => other_graph(plan, stored, table),
        None => RecoverError::OtherGraph {
            graph: plan.name.to_string(),
            stored,
            present: plan.fingerprint,
            differences: "a record in the middle of it has another fingerprint".to_owned(),
        },
    })
}

/// The error of a thread that has nothing to do with this graph, or does not say enough about its own.
pub(super) fn other_graph(present: &Plan, stored: Fingerprint, table: &NodeTable) -> RecoverError {
    let mut words = Vec::new();
    if table.graph != *present.name {
        words.push(format!("it is the graph `{}`, and this one is `{}`", table.graph, present.name));
    }
    let has = |name: &String| present.nodes.iter().any(|node| *node.name == **name);
    words.extend(
        table.nodes.iter().filter(|name| !has(name)).map(|name| format!("the node `{name}` is gone")),
    );
    if words.is_empty() {
        let bare = "its journal does not say what its edges were";
        let words_of =
            if table.shape.is_none() { bare } else { "its edges, its fields or their version differ" };
        words.push(words_of.to_owned());
    }
    RecoverError::OtherGraph {
        graph: table.graph.clone(),
        stored,
        present: present.fingerprint,
        differences: words.join(", "),
    }
}

/// Brings the state's values in a record of an earlier version to the present one.
pub(super) fn migrate_record(
    cell: &dyn StateCell,
    seq: Seq,
    record: &mut Record,
) -> Result<(), RecoverError> {
    match &mut record.body {
        Body::Opened(opened) => migrate(cell, seq, record.state_version, &mut opened.input),
        Body::Finished { update, .. } => migrate(cell, seq, record.state_version, update),
        _ => Ok(()),
    }
}

/// Brings one stored update of an earlier version to the present one.
pub(super) fn migrate(
    cell: &dyn StateCell,
    seq: Seq,
    stored: u32,
    update: &mut ByteBuf,
) -> Result<(), RecoverError> {
    if stored >= cell.schema().version || update.is_empty() {
        return Ok(());
    }
    let migrated = cell.migrate(update, stored);
    *update = ByteBuf::from(migrated.map_err(|error| RecoverError::Cell { seq, error })?);
    Ok(())
}

impl Recovery {
    /// On a sketch: a record of an inner graph needs that graph.
    pub(super) fn has_inner(&self, body: &Body) -> Result<(), RecoverError> {
        let (Some(_), Body::Nested { index, .. }) = (&self.author, body) else { return Ok(()) };
        let plan = &self.execution.plan;
        let Some(slot) = self.execution.slots.get(*index as usize) else { return Ok(()) };
        if plan.nodes.get(slot.node.index()).is_none_or(|node| node.child.is_some()) {
            return Ok(());
        }
        Err(RecoverError::OtherGraph {
            graph: plan.name.to_string(),
            stored: plan.fingerprint,
            present: self.present.fingerprint,
            differences: format!("the graph inside the node `{}` is gone", plan.node_name(slot.node)),
        })
    }

    /// From here on the entries are those of this version of the graph.
    pub(super) fn follow(
        &mut self,
        fingerprint: Fingerprint,
        version: u32,
        table: &NodeTable,
    ) -> Result<(), RecoverError> {
        let execution = &mut self.execution;
        if fingerprint == execution.plan.fingerprint {
            return Ok(());
        }
        execution.plan = self.present.clone();
        self.author = None;
        if fingerprint != self.present.fingerprint {
            let cell = execution.cell.as_ref();
            let (author, sketch) = Author::new(&self.present, cell, fingerprint, version, table.clone())?;
            execution.plan = sketch;
            self.author = Some(author);
        }
        execution.counters = Counters::for_plan(&execution.plan);
        execution.lanes = Lanes::new(&execution.plan);
        Ok(())
    }

    /// A snapshot in the tail says nothing that the records around it do not say, but it may be a base; and where another
    /// version took the thread up, it says the same in the numbers of that version.
    pub(super) fn pass_snapshot(&mut self, entry: &Entry) -> Result<(), RecoverError> {
        let mut body: SnapshotBody = read(entry)?;
        let writer = &mut self.execution.writer;
        writer.last_snapshot = stored_bytes(entry);
        writer.since_snapshot = 0;
        if body.self_contained {
            writer.references.rebase(entry.seq);
        }
        if body.fingerprint != self.execution.plan.fingerprint {
            self.follow(body.fingerprint, body.state_version, &body.table)?;
            // Steps are known by name, whatever the version, and their entries may lie before the tail.
            body.slots.iter_mut().for_each(|slot| slot.steps.clear());
            let steps = |slot: Slot| slot.extra.map(|extra| extra.steps).unwrap_or_default();
            let steps: Vec<_> = self.execution.slots.drain(..).map(steps).collect();
            self.execution.load_standing(entry.seq, body, &[])?;
            for (slot, steps) in self.execution.slots.iter_mut().zip(steps) {
                slot.extra_mut().steps = steps;
            }
        }
        Ok(())
    }
}

impl Execution {
    /// The channels that the snapshot holds by value.
    pub(super) fn load_values(
        &mut self,
        seq: Seq,
        body: &SnapshotBody,
        author: Option<&Author>,
    ) -> Result<(), RecoverError> {
        let cell_error = |error| RecoverError::Cell { seq, error };
        let (channels, whole) = (self.plan.schema.channels, body.self_contained);
        let Some(author) = author else {
            let held = |channel: usize| whole || !channels[channel].reducer.is_referenced();
            return self.cell.restore(&body.values, &held).map_err(cell_error);
        };
        if body.values.is_empty() {
            return Ok(());
        }
        let mut written = BTreeSet::new();
        let values = UpdateValue::from_bytes(&body.values);
        let visited = self.cell.written(&values, &mut |channel| {
            written.insert(channel);
        });
        visited.map_err(cell_error)?;
        let held = |channel: usize| author.holds(channel, whole, &written);
        self.cell.restore(&body.values, &held).map_err(cell_error)
    }

    /// What an earlier version of the graph or of the state left, and what differs: nothing if the present one wrote it.
    pub fn migrated(&self) -> Option<&str> {
        self.migrated.as_deref()
    }

    /// The inputs of activations that have not ended yet.
    pub fn open_inputs(&self) -> impl Iterator<Item = (NodeIx, &Payload)> {
        self.slots.iter().filter(|slot| !slot.is_finished()).map(|slot| (slot.node, &slot.input))
    }
}
