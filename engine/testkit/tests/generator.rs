//! The random graphs of the simulator contain what it is meant to find faults in.

use statewright_engine_core::graph::JoinMode;
use statewright_engine_testkit::Scenario;

#[test]
fn random_graphs_have_every_kind_of_join_and_gates() {
    let (mut optional, mut quorum, mut deferred, mut back, mut gates) = (0, 0, 0, 0, 0);
    for seed in 0..1_000 {
        let plan = Scenario::generate(seed, 120).plan;
        optional += usize::from(plan.joins.iter().any(|join| join.optional.contains(&true)));
        let partial = |needed: u32, sources: usize| (needed as usize) < sources;
        quorum += usize::from(plan.joins.iter().any(
            |join| matches!(join.mode, JoinMode::Quorum(needed) if partial(needed, join.sources.len())),
        ));
        deferred += usize::from(plan.joins.iter().any(|join| join.mode == JoinMode::Quiet));
        let gated = plan.nodes.iter().flat_map(|node| &node.branches).any(|branch| branch.gate().is_some());
        gates += usize::from(gated);
        back += usize::from(!plan.joins.is_empty() && plan.edges.iter().any(|edge| edge.back));
    }
    let counts = [optional, quorum, deferred, back, gates];
    assert!(
        counts.iter().all(|count| *count > 50),
        "optional, quorum, deferred, back edges, gates: {counts:?}"
    );
}
