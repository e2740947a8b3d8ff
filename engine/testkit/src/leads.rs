//! The reference's view of what can still lead where, as slow and as plain as possible.

use std::collections::BTreeSet;

use statewright_engine_core::graph::Decide;
use statewright_engine_core::{NodeIx, Topology};

/// Which node leads to which, itself included, by edges that do not lead back. A bounded edge leads back if the
/// unbounded ones and the bounded ones declared before it close a cycle with it.
pub(crate) fn forward(topology: &Topology) -> BTreeSet<(NodeIx, NodeIx)> {
    let mut edges: Vec<(NodeIx, NodeIx)> = Vec::new();
    let mut bounded = Vec::new();
    for (place, spec) in topology.nodes.iter().enumerate() {
        let routed = spec.route.iter().flatten().flat_map(|variant| &variant.wires);
        let branched = spec.branches.iter().flat_map(|branch| {
            // A gate bounds the ways back to the nodes to blame, which follow on passing and giving up.
            let free = if matches!(branch.decide, Decide::Gate(_)) { 2 } else { usize::MAX };
            let variants = branch.variants.iter().enumerate();
            variants.flat_map(move |(place, variant)| variant.wires.iter().map(move |w| (w, place >= free)))
        });
        let free = spec.edges.iter().chain(&spec.on_error).chain(routed).map(|wire| (wire, false));
        for (wire, gated) in free.chain(branched) {
            let Some(target) = wire.node else { continue };
            let list = if gated || wire.at_most.is_some() { &mut bounded } else { &mut edges };
            list.push((NodeIx(place as u32), target));
        }
    }
    for join in &topology.joins {
        let sources = join.sources.iter().filter_map(|source| source.wire.node);
        edges.extend(sources.zip(std::iter::repeat(join.target.node)).filter_map(|(s, t)| Some((s, t?))));
    }
    let closed = |edges: &[(NodeIx, NodeIx)]| {
        let mut pairs: BTreeSet<_> =
            (0..topology.nodes.len() as u32).map(|n| (NodeIx(n), NodeIx(n))).collect();
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
    };
    for (source, target) in bounded {
        if !closed(&edges).contains(&(target, source)) {
            edges.push((source, target));
        }
    }
    closed(&edges)
}
