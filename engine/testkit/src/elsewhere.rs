//! Nodes of random graphs that may leave their edges aside, and places at which their runs pause.

use statewright_engine_core::graph::JoinTimeout;
use statewright_engine_core::{NodeIx, Topology};

use crate::rng::{Rng, mix};
use crate::scenario::{END, LABELS, bounded, wire, wirings};

/// Lets some nodes go elsewhere, as long as the checks accept the graph.
pub(crate) fn diverted(seed: u64, topology: &mut Topology) {
    let mut rng = Rng::new(mix(&[seed, 9]));
    if !rng.chance(300) {
        return;
    }
    let count = topology.nodes.len();
    for place in 0..count {
        if topology.nodes[place].route.is_some() || !rng.chance(500) {
            continue;
        }
        let target = |rng: &mut Rng| match rng.below(5) {
            0 => END,
            1 | 2 => bounded(NodeIx(rng.below(count) as u32), rng.between(1, 2)),
            _ => wire(NodeIx(rng.below(count) as u32)),
        };
        let variants: Vec<_> =
            (0..rng.between(1, 2)).map(|_| (rng.chance(150), vec![target(&mut rng)])).collect();
        let mut changed = topology.clone();
        let spec = &mut changed.nodes[place];
        spec.goto = true;
        spec.route_variants = &LABELS[..variants.len()];
        spec.route = Some(wirings(variants));
        if changed.clone().compile().is_ok() {
            *topology = changed;
        }
    }
}

/// Lets some graphs fail fast, and limits how long some joins wait: so long that no history comes to its end.
pub(crate) fn limited(seed: u64, topology: &mut Topology) {
    let mut rng = Rng::new(mix(&[seed, 12]));
    topology.fail_fast = rng.chance(150);
    for join in &mut topology.joins {
        let fails = rng.chance(500);
        join.timeout = rng.chance(300).then_some(JoinTimeout { within_ms: 1 << 40, fails });
    }
}

/// Lets runs pause at some nodes.
pub(crate) fn paused(seed: u64, topology: &mut Topology) {
    let mut rng = Rng::new(mix(&[seed, 11]));
    if !rng.chance(250) {
        return;
    }
    for node in &mut topology.nodes {
        (node.pause_before, node.pause_after) = (rng.chance(150), rng.chance(150));
    }
}
