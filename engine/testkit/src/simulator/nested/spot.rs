//! Where an inner execution stands, and what is expected of it there.

use std::sync::Arc;

use statewright_engine_core::graph::Format;
use statewright_engine_core::{ActivationId, Event, NodeIx};

use super::World;
use crate::reference::Reference;
use crate::tree::Tree;

/// The activations around an execution, outermost first, and its graph.
pub(super) struct Spot {
    hops: Vec<(ActivationId, NodeIx)>,
    /// Such as `3.0/`; empty for the outermost one.
    pub(super) path: String,
    pub(super) tree: Arc<Tree>,
}

impl Spot {
    pub(super) fn outermost(tree: Arc<Tree>) -> Self {
        Self { hops: Vec::new(), path: String::new(), tree }
    }

    pub(super) fn is_outermost(&self) -> bool {
        self.hops.is_empty()
    }

    /// Inside an activation of a node.
    pub(super) fn enter(&self, within: ActivationId, node: NodeIx) -> Result<Self, String> {
        let tree = self.tree.inside(node);
        let tree = tree.ok_or_else(|| format!("node {} at {}{within} is no graph", node.0, self.path))?;
        let mut hops = self.hops.clone();
        hops.push((within, node));
        Ok(Self { hops, path: format!("{}{within}/", self.path), tree: tree.clone() })
    }

    /// The name of an activation that is unique in the whole thread.
    pub(super) fn id(&self, activation: ActivationId) -> String {
        format!("{}{activation}", self.path)
    }

    pub(super) fn hops(&self) -> impl Iterator<Item = ActivationId> {
        self.hops.iter().map(|(hop, _)| *hop)
    }

    /// An event as the outermost execution takes it.
    pub(super) fn event(&self, event: Event) -> Event {
        let wrap = |event, (within, _): &(ActivationId, NodeIx)| Event::Nested {
            within: *within,
            event: Box::new(event),
        };
        self.hops.iter().rev().fold(event, wrap)
    }

    /// Whether something limits how many activations run at once, here or around it.
    pub(super) fn is_limited(&self, outermost: &Tree, node: NodeIx) -> bool {
        let limits = |tree: &Tree, node: NodeIx| tree.scenario.policies[node.index()].at_once.is_some();
        let mut tree = outermost;
        for (_, node) in &self.hops {
            if limits(tree, *node) {
                return true;
            }
            let Some(inner) = tree.inside(*node) else { return false };
            tree = inner;
        }
        limits(tree, node)
    }
}

impl World {
    /// What the run at a spot does without faults.
    pub(super) fn reference(&mut self, spot: &Spot, run: usize) -> Result<&Reference, String> {
        let outermost = self.tree.clone();
        let (mut tree, mut path) = (&outermost, String::new());
        for (hop, node) in &spot.hops {
            let below = format!("{path}{hop}/");
            let inner = tree.inside(*node).ok_or("a node that is no graph")?;
            if !self.inside.contains_key(&below) {
                let around = if path.is_empty() { self.expected.get(run) } else { self.inside.get(&path) };
                let around = around.ok_or_else(|| format!("nothing is expected at {path}"))?;
                let known = (around.activation(*hop), around.state_at(hop.superstep));
                let (Some((expected, input)), Some(state)) = known else {
                    return Err(format!("the reference has no activation {path}{hop}"));
                };
                if expected != *node {
                    return Err(format!("{path}{hop} is node {}, and not {}", expected.0, node.0));
                }
                let reference = inner.reference(inner.entered(state, input));
                let reference = reference.ok_or("a run inside takes too long")?;
                self.inside.insert(below.clone(), reference);
            }
            (tree, path) = (inner, below);
        }
        let found = if path.is_empty() { self.expected.get(run) } else { self.inside.get(&path) };
        found.ok_or_else(|| format!("run {run} was never started"))
    }
}

impl Tree {
    /// All graphs, as text.
    pub(super) fn describe(&self, name: &str) -> String {
        let mut text = format!("{name}:\n{}", self.scenario.plan.render(Format::Terminal, None));
        for place in 0..self.scenario.topology.nodes.len() as u32 {
            if let Some(inner) = self.inside(NodeIx(place)) {
                text.push_str(&inner.describe(&format!("{name}, inside node {place}")));
            }
        }
        text
    }
}
