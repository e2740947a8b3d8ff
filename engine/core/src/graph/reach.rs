//! Which nodes can still lead to a source of a join. A join waits for a source only as long as something that is under
//! way can lead there, so it never starves: not by a branch that goes another way, nor by a loop that is left.
//!
//! Edges that lead back are not counted, since what they send belongs to the next round. A bounded edge leads back if it
//! closes a circle with the unbounded ones and with the bounded ones that come before it: first those that do not lead
//! to a node on the way from START on which they are found, then the others, each in the order of declaration. So the
//! edges that do not lead back have no circle, and joins never wait for one another.

use super::plan::Plan;
use crate::ids::{EdgeIx, NodeIx};

/// A set of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSet(Box<[u64]>);

impl NodeSet {
    pub(super) fn for_nodes(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    /// Whether the node is in it.
    pub fn contains(&self, node: NodeIx) -> bool {
        let place = node.index();
        self.0.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// Adds the node; false if it was there.
    pub(super) fn insert(&mut self, node: NodeIx) -> bool {
        let (word, bit) = (&mut self.0[node.index() / 64], 1 << (node.index() % 64));
        let added = *word & bit == 0;
        *word |= bit;
        added
    }
}

/// Notes at each join the nodes that lead to its sources, and marks the edges that lead back.
pub(super) fn compile(plan: &mut Plan) {
    if plan.joins.is_empty() {
        return;
    }
    let into = forward(plan);
    for number in 0..plan.joins.len() {
        let join = &plan.joins[number];
        let targets = if join.sources.is_empty() { vec![join.target] } else { join.sources.clone() };
        plan.joins[number].upstream =
            targets.into_iter().map(|target| upstream(&into, target, plan.nodes.len())).collect();
    }
}

/// For each node the nodes before it, by edges that do not lead back.
fn forward(plan: &mut Plan) -> Vec<Vec<NodeIx>> {
    let count = plan.nodes.len();
    let (mut into, mut onwards) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    let ends = |edge: &super::PlanEdge| Some((edge.source?, edge.target?));
    let mut add = |onwards: &mut Vec<Vec<NodeIx>>, (source, target): (NodeIx, NodeIx)| {
        into[target.index()].push(source);
        onwards[source.index()].push(target);
    };
    for edge in plan.edges.iter().filter(|edge| !edge.is_bounded()) {
        if let Some(ends) = ends(edge) {
            add(&mut onwards, ends);
        }
    }
    let retreating = retreating(plan);
    let mut bounded: Vec<usize> =
        (0..plan.edges.len()).filter(|place| plan.edges[*place].is_bounded()).collect();
    bounded.sort_by_key(|place| retreating[*place]);
    for place in bounded {
        let edge = &mut plan.edges[place];
        let Some((source, target)) = ends(edge) else { continue };
        edge.back = leads_to(&onwards, target, source);
        if !edge.back {
            add(&mut onwards, (source, target));
        }
    }
    into
}

fn leads_to(onwards: &[Vec<NodeIx>], from: NodeIx, to: NodeIx) -> bool {
    let mut seen = NodeSet::for_nodes(onwards.len());
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        if seen.insert(node) {
            open.extend(&onwards[node.index()]);
        }
    }
    false
}

/// The edges that lead to a node on the very way on which they were found, walking from START and always taking the
/// first edge that was declared.
fn retreating(plan: &Plan) -> Vec<bool> {
    let mut retreating = vec![false; plan.edges.len()];
    let mut seen = vec![false; plan.nodes.len()];
    let mut on_the_way = vec![false; plan.nodes.len()];
    let mut way: Vec<(Option<NodeIx>, std::vec::IntoIter<EdgeIx>)> =
        vec![(None, plan.start.clone().into_iter())];
    while let Some((node, edges)) = way.last_mut() {
        let Some(edge) = edges.next() else {
            if let Some(node) = *node {
                on_the_way[node.index()] = false;
            }
            way.pop();
            continue;
        };
        let Some(target) = plan.edges[edge.index()].target else { continue };
        if on_the_way[target.index()] {
            retreating[edge.index()] = true;
        } else if !std::mem::replace(&mut seen[target.index()], true) {
            on_the_way[target.index()] = true;
            let edges: Vec<EdgeIx> = plan.nodes[target.index()].ways_out().copied().collect();
            way.push((Some(target), edges.into_iter()));
        }
    }
    retreating
}

/// The node itself and everything that leads to it.
fn upstream(into: &[Vec<NodeIx>], node: NodeIx, count: usize) -> NodeSet {
    let mut set = NodeSet::for_nodes(count);
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if set.insert(node) {
            open.extend(&into[node.index()]);
        }
    }
    set
}
