//! The reference's view of what can still lead where, as slow and as plain as possible.

use std::collections::BTreeSet;

use statewright_engine_core::graph::{Decide, JoinSpec};
use statewright_engine_core::{NodeIx, Topology, Wire};

/// Which node leads to which, itself included, by edges that do not lead back. Of the bounded edges those lead back that
/// close a circle with the unbounded ones and with the bounded ones before them; the ones that a walk from START finds
/// to lead to a node on its way come last.
pub(crate) fn forward(topology: &Topology) -> BTreeSet<(NodeIx, NodeIx)> {
    let mut walk = Walk { topology, seen: BTreeSet::new(), way: Vec::new(), retreating: BTreeSet::new() };
    for wire in &topology.start {
        walk.enter(None, wire.node);
    }
    let (mut edges, mut bounded) = (Vec::new(), Vec::new());
    for place in 0..topology.nodes.len() as u32 {
        for (number, (target, bound)) in onwards(topology, NodeIx(place)).into_iter().enumerate() {
            let Some(target) = target else { continue };
            let retreats = walk.retreating.contains(&(NodeIx(place), number));
            if bound {
                bounded.push((retreats, (NodeIx(place), target)));
            } else {
                edges.push((NodeIx(place), target));
            }
        }
    }
    bounded.sort_by_key(|(retreats, _)| *retreats);
    for (_, (source, target)) in bounded {
        if !closed(topology, &edges).contains(&(target, source)) {
            edges.push((source, target));
        }
    }
    closed(topology, &edges)
}

fn closed(topology: &Topology, edges: &[(NodeIx, NodeIx)]) -> BTreeSet<(NodeIx, NodeIx)> {
    let mut pairs: BTreeSet<_> = (0..topology.nodes.len() as u32).map(|n| (NodeIx(n), NodeIx(n))).collect();
    loop {
        let before = pairs.len();
        let further: Vec<_> = pairs
            .iter()
            .flat_map(|(from, by)| {
                edges.iter().filter(move |(s, _)| s == by).map(move |(_, to)| (*from, *to))
            })
            .collect();
        pairs.extend(further);
        if pairs.len() == before {
            return pairs;
        }
    }
}

/// Where a node leads, in the order of declaration, and whether something bounds the edge.
fn onwards(topology: &Topology, node: NodeIx) -> Vec<(Option<NodeIx>, bool)> {
    let spec = &topology.nodes[node.index()];
    let is_source = |join: &&JoinSpec| join.sources.iter().any(|source| source.wire.node == Some(node));
    let joined = topology.joins.iter().filter(is_source).map(|join| &join.target);
    let routed = spec.route.iter().flatten().flat_map(|variant| &variant.wires);
    let plain = |wire: &Wire| (wire.node, wire.at_most.is_some());
    let branched = spec.branches.iter().flat_map(|branch| {
        // A gate bounds the ways back to the nodes to blame, which follow on passing and giving up.
        let free = if matches!(branch.decide, Decide::Gate(_)) { 2 } else { usize::MAX };
        let variants = branch.variants.iter().enumerate();
        variants.flat_map(move |(place, variant)| {
            variant.wires.iter().map(move |wire| (wire.node, place >= free || wire.at_most.is_some()))
        })
    });
    let first = spec.edges.iter().chain(joined).chain(routed).map(plain);
    first.chain(branched).chain(spec.on_error.iter().map(plain)).collect()
}

/// A walk through the graph, first edge first.
struct Walk<'a> {
    topology: &'a Topology,
    seen: BTreeSet<NodeIx>,
    way: Vec<NodeIx>,
    /// Edges to a node on the way, by source and place.
    retreating: BTreeSet<(NodeIx, usize)>,
}

impl Walk<'_> {
    fn enter(&mut self, from: Option<(NodeIx, usize)>, to: Option<NodeIx>) {
        let Some(to) = to else { return };
        if self.way.contains(&to) {
            self.retreating.extend(from);
        } else if self.seen.insert(to) {
            self.way.push(to);
            for (number, (target, _)) in onwards(self.topology, to).into_iter().enumerate() {
                self.enter(Some((to, number)), target);
            }
            self.way.pop();
        }
    }
}
