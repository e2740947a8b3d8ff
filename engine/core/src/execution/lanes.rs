//! Limits on what runs at the same time: of one node by its policy, of a superstep by the options. What is ready and
//! must wait begins in the order of the superstep, so the same events always begin the same activations.

use std::collections::{BTreeMap, BTreeSet};

use super::Execution;
use super::slot::{Progress, Slot};
use crate::graph::Plan;
use crate::ids::NodeIx;

/// Who runs and who waits for a place.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Whether any node of the graph has a limit.
    pub(super) limit: bool,
    /// How many activations of each node run; empty without a limit.
    running: Vec<u32>,
    /// What is ready and waits, by node; the slots of a superstep are in the order of their nodes.
    held: BTreeMap<NodeIx, BTreeSet<u32>>,
}

impl Lanes {
    pub(super) fn new(plan: &Plan) -> Self {
        let limit = plan.nodes.iter().any(|node| node.policy.at_once_max().is_some());
        Self { limit, running: vec![0; if limit { plan.nodes.len() } else { 0 }], held: BTreeMap::new() }
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    pub(super) fn hold(&mut self, node: NodeIx, place: u32) {
        self.held.entry(node).or_default().insert(place);
    }

    pub(super) fn enter(&mut self, node: NodeIx) {
        if let Some(running) = self.running.get_mut(node.index()) {
            *running += 1;
        }
    }

    pub(super) fn leave(&mut self, node: NodeIx) {
        if let Some(running) = self.running.get_mut(node.index()) {
            *running -= 1;
        }
    }

    pub(super) fn recount(&mut self, slots: &[Slot]) {
        self.running.fill(0);
        for slot in slots.iter().filter(|slot| matches!(slot.progress, Progress::Running)) {
            self.enter(slot.node);
        }
    }

    /// The first one that waits and whose node has a place left.
    fn next(&mut self, plan: &Plan) -> Option<u32> {
        let free = |node: &NodeIx| {
            let most = plan.nodes[node.index()].policy.at_once_max();
            most.is_none_or(|most| self.running.get(node.index()).is_none_or(|running| *running < most))
        };
        let node = self.held.keys().copied().find(free)?;
        let places = self.held.get_mut(&node)?;
        let place = places.pop_first();
        if places.is_empty() {
            self.held.remove(&node);
        }
        place
    }
}

impl Execution {
    /// Begins what waits, as far as the limits allow.
    pub(super) fn run_held(&mut self) {
        while !self.lanes.held.is_empty() && self.running < self.options.limits.at_once.max(1) {
            let Some(place) = self.lanes.next(&self.plan) else { return };
            self.begin(place);
        }
    }
}
