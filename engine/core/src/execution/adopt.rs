//! Adoption: where a thread stands, in the numbers of the version that wrote it, becomes a place in the present graph. Nodes
//! are found by name or by a former name, edges by their ends and labels. What the thread has behind it does not matter,
//! nor what it has not reached; what it stands in must be there and mean the same.
//!
//! | where it stands | what must be so |
//! |---|---|
//! | at an activation | the node is there |
//! | at a finished activation, its siblings open | its node returns a route as before, with the variant that it took |
//! | at a failure that leads to a handler | the node has a handler |
//! | at a join where something waits | a join into the same node, of the same nodes and kind |
//! | between two rounds of a gate | a gate at the same place, with the same ways out |
//! | at a bound that is used up | the edge |
//!
//! Counts of bounded edges that are gone are forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use super::advance::Counters;
use super::gates::Gates;
use super::joins::Joins;
use super::lanes::Lanes;
use super::slot::{Progress, Slot};
use super::versions::Author;
use super::{Event, Execution, Refused};
use crate::graph::{JoinMode, Plan, PlanVariant};
use crate::ids::{EdgeIx, NodeIx};
use crate::journal::{Critique, Crossing, GateImage, JoinImage, StoredEdge};

/// How to say things of another version in the present graph.
struct Translation<'a> {
    author: &'a Author,
    present: &'a Plan,
    nodes: Vec<Option<NodeIx>>,
    /// What cannot be said.
    wrong: Vec<String>,
}

impl Execution {
    /// Lets a thread that was put together on the plan of its author go on in the present one.
    ///
    /// # Errors
    /// Everything about where it stands that the present graph has no place for, in words.
    pub(super) fn adopt(&mut self, present: Arc<Plan>, author: &Author) -> Result<(), String> {
        let mut translation = Translation::new(author, &present);
        let mut counters = Counters::for_plan(&present);
        if !self.slots.is_empty() {
            for slot in &mut self.slots {
                translation.slot(slot);
            }
            let joins = self.counters.joins.images();
            counters.joins = Joins::from_images(joins.iter().filter_map(|j| translation.join(j)).collect());
            let gates = self.counters.gates.images();
            counters.gates =
                Gates::from_images(gates.into_iter().filter_map(|g| translation.gate(g)).collect());
            let crossed = self.counters.crossed.iter().enumerate().filter(|(_, count)| **count > 0);
            let crossings: Vec<Crossing> = crossed
                .filter_map(|(edge, count)| {
                    let edge = translation.edge(EdgeIx(edge as u32))?;
                    Some(Crossing { edge, count: *count })
                })
                .collect();
            counters.apply(&[], &crossings);
            self.exhausted = self.exhausted.and_then(|edge| translation.exhausted(edge));
        }
        let differences = translation.differences();
        if !translation.wrong.is_empty() {
            return Err(translation.wrong.join("; "));
        }
        self.counters = counters;
        self.lanes = Lanes::new(&present);
        self.plan = present;
        self.migrated = Some(differences);
        self.unwritten = true;
        Ok(())
    }

    /// The first event that changes an adopted thread: the thread is written down anew before, in the numbers of the
    /// present graph, so that records of one version follow a table of that version. If the event is refused, nothing is
    /// written.
    pub(super) fn handle_adopted(&mut self, now_ms: u64, event: Event) -> Result<(), Refused> {
        let (next_seq, since, last) =
            (self.writer.next_seq, self.writer.since_snapshot, self.writer.last_snapshot);
        let references = self.writer.references.clone();
        self.unwritten = false;
        self.rewriting = true;
        let written = self.write_snapshot(now_ms);
        self.rewriting = false;
        let done = written.and_then(|()| self.handle(now_ms, event));
        if done.is_err() {
            self.writer.entries.clear();
            (self.writer.next_seq, self.writer.since_snapshot, self.writer.last_snapshot) =
                (next_seq, since, last);
            self.writer.references = references;
            self.unwritten = true;
        }
        done
    }
}

impl<'a> Translation<'a> {
    fn new(author: &'a Author, present: &'a Plan) -> Self {
        let table = &author.table.nodes;
        let stored: HashMap<&str, usize> =
            table.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        let mut nodes = vec![None; table.len()];
        for (place, node) in present.nodes.iter().enumerate() {
            // A version that had a node of the present name did not have it under a former one.
            let mut names = std::iter::once(&node.name).chain(&node.formerly);
            if let Some(known) = names.find_map(|name| stored.get(&**name)) {
                nodes[*known] = Some(NodeIx(place as u32));
            }
        }
        Self { author, present, nodes, wrong: Vec::new() }
    }

    fn node(&self, node: NodeIx) -> Option<NodeIx> {
        self.nodes.get(node.index()).copied().flatten()
    }

    fn name(&self, node: NodeIx) -> &'a str {
        self.author.table.nodes.get(node.index()).map_or("?", String::as_str)
    }

    fn refuse(&mut self, words: String) {
        if !self.wrong.contains(&words) {
            self.wrong.push(words);
        }
    }

    fn slot(&mut self, slot: &mut Slot) {
        let name = self.name(slot.node);
        let Some(node) = self.node(slot.node) else {
            let gone = format!(
                "the node `{name}`, at which the run stands, is gone (declare `g.renamed(\"{name}\", …)` on its successor)"
            );
            return self.refuse(gone);
        };
        let (there, was) = (&self.present.nodes[node.index()], slot.node);
        if slot.child.is_some() && there.child.is_none() {
            self.refuse(format!("the graph inside the node `{name}`, in which the run stands, is gone"));
        }
        match &mut slot.progress {
            Progress::Finished { decision: Some(decision), .. } => {
                match self.variant(was, None, decision.variant, &there.route) {
                    Some(variant) => decision.variant = variant,
                    None => self.refuse(format!(
                        "`{name}` has finished and chose `{}`, which its route does not have any more, or not in the same way",
                        self.label(was, None, decision.variant)
                    )),
                }
            }
            Progress::Finished { decision: None, .. } if !there.route.is_empty() => {
                self.refuse(format!("`{name}` has finished without a route, and returns one now"));
            }
            Progress::Handled(_) if there.on_error.is_empty() => {
                self.refuse(format!("`{name}` has failed, and its error handler is gone"));
            }
            _ => {}
        }
        if let Some(critique) = slot.critique.take() {
            match self.node(critique.gate) {
                Some(gate) => slot.critique = Some(Arc::new(Critique { gate, ..critique.as_ref().clone() })),
                None => {
                    let gate = self.name(critique.gate);
                    self.refuse(format!(
                        "the gate after `{gate}`, which sent the run back to `{name}`, is gone"
                    ));
                }
            }
        }
        slot.node = node;
    }

    /// The stored edges of a variant.
    fn stored(
        &self,
        node: NodeIx,
        branch: Option<u16>,
        variant: u16,
    ) -> impl Iterator<Item = &'a StoredEdge> {
        self.author.shape.edges.iter().filter(move |edge| {
            edge.source == Some(node) && edge.branch == branch && edge.variant == Some(variant)
        })
    }

    fn label(&self, node: NodeIx, branch: Option<u16>, variant: u16) -> &'a str {
        self.stored(node, branch, variant).next().map_or("?", |edge| &edge.label)
    }

    /// The number that a variant has now: the one with its name, if it carries one payload or many as before.
    fn variant(&self, node: NodeIx, branch: Option<u16>, variant: u16, now: &[PlanVariant]) -> Option<u16> {
        let stored = self.stored(node, branch, variant).next()?;
        let place = now.iter().position(|variant| *variant.label == *stored.label)?;
        let edge = now[place].edges.first()?;
        (self.present.edges[edge.index()].each == stored.each).then_some(place as u16)
    }

    fn join(&mut self, image: &JoinImage) -> Option<JoinImage> {
        let stored = self.author.shape.joins.get(image.join as usize)?;
        let all = |nodes: &[NodeIx]| nodes.iter().map(|node| self.node(*node)).collect::<Option<Vec<_>>>();
        let found = || {
            let target = self.node(stored.target)?;
            let mut sources = all(&stored.sources)?;
            sources.sort_unstable();
            let mode = match stored.quorum {
                Some(needed) => JoinMode::Quorum(needed),
                None if sources.is_empty() => JoinMode::Quiet,
                None => JoinMode::All,
            };
            let same = self.present.joins.iter().position(|join| {
                let mut now = join.sources.clone();
                now.sort_unstable();
                join.target == target && join.mode == mode && now == sources
            })?;
            let (tokens, owing) = (all(&image.tokens)?, all(&image.owing)?);
            Some(JoinImage { join: same as u32, tokens, owing, until_ms: image.until_ms })
        };
        let found = found();
        if found.is_none() {
            let name = self.name(stored.target);
            self.refuse(format!("something waits at the join before `{name}`, and that join has changed"));
        }
        found
    }

    fn gate(&mut self, image: GateImage) -> Option<GateImage> {
        let labels = |translation: &Self, node, branch| {
            let edges = translation.author.shape.edges.iter();
            let mut labels: Vec<String> = edges
                .filter(|edge| edge.source == Some(node) && edge.branch == Some(branch))
                .map(|edge| edge.label.to_string())
                .collect();
            labels.dedup();
            labels
        };
        let node = self.node(image.node).filter(|node| {
            let branches = &self.present.nodes[node.index()].branches;
            branches.get(usize::from(image.branch)).filter(|branch| branch.gate().is_some()).is_some_and(
                |branch| {
                    let now: Vec<String> = branch.variants.iter().map(|v| v.label.to_owned()).collect();
                    now == labels(self, image.node, image.branch)
                },
            )
        });
        let Some(node) = node else {
            let name = self.name(image.node);
            self.refuse(format!(
                "the run is between two rounds of the gate after `{name}`, and that gate has changed"
            ));
            return None;
        };
        Some(GateImage { node, ..image })
    }

    /// The same edge: between the same nodes, taken by the same thing.
    fn edge(&self, edge: EdgeIx) -> Option<EdgeIx> {
        let stored = self.author.shape.edges.get(edge.index())?;
        let end = |node: Option<NodeIx>| node.map_or(Some(None), |node| self.node(node).map(Some));
        let (source, target) = (end(stored.source)?, end(stored.target)?);
        let same = |now: &StoredEdge| {
            now.source == source
                && now.target == target
                && (now.branch, now.variant.is_some()) == (stored.branch, stored.variant.is_some())
                && now.label == stored.label
                && now.on_error == stored.on_error
        };
        let shape = self.present.table.shape.as_ref()?;
        shape.edges.iter().position(same).map(|place| EdgeIx(place as u32))
    }

    fn exhausted(&mut self, edge: EdgeIx) -> Option<EdgeIx> {
        let found = self.edge(edge);
        if found.is_none() {
            let stored = self.author.shape.edges.get(edge.index());
            let name = |node: Option<NodeIx>, end| node.map_or(end, |node| self.name(node));
            let (from, to) =
                stored.map_or(("?", "?"), |edge| (name(edge.source, "START"), name(edge.target, "END")));
            self.refuse(format!("the bound of the edge {from} → {to} is used up, and that edge is gone"));
        }
        found
    }

    /// What differs between the versions, for whoever asks what a build would do to a thread.
    fn differences(&self) -> String {
        let mut words = Vec::new();
        for (stored, node) in self.author.table.nodes.iter().zip(&self.nodes) {
            match node.map(|node| self.present.node_name(node)) {
                None => words.push(format!("the node `{stored}` is gone")),
                Some(name) if name != stored => words.push(format!("the node `{stored}` is `{name}`")),
                Some(_) => {}
            }
        }
        let new = self
            .present
            .nodes
            .iter()
            .enumerate()
            .filter(|(place, _)| !self.nodes.contains(&Some(NodeIx(*place as u32))));
        words.extend(new.map(|(_, node)| format!("the node `{}` is new", node.name)));
        words.extend(self.author.changed_fields(self.present));
        if words.is_empty() { "its edges or the state's version differ".to_owned() } else { words.join(", ") }
    }
}
