//! Graphs in which a join that counts its sources only would wait for ever, while the run ends as if nothing were wrong.
//! Each was found by the simulator and made small by hand.

use statewright_engine_core::graph::{BranchSpec, Decide, JoinSpec, NodeSpec};
use statewright_engine_core::{NodeIx, State, Topology, VariantWiring, Wire};
use statewright_engine_testkit::{End, Reference, Script, SimState};

const SCRIPT: Script = Script { seed: 1, asks: false, marks: false };
const END: Wire = Wire { node: None, builder: 0, at_most: None };

fn wire(node: u32) -> Wire {
    Wire { node: Some(NodeIx(node)), builder: 1, at_most: None }
}

fn back(node: u32) -> Wire {
    Wire { at_most: Some(1), ..wire(node) }
}

/// Plain edges as a list of targets for each node, and joins.
fn graph(edges: &[&[Wire]], joins: &[(&[u32], u32)]) -> Topology {
    let mut topology = Topology::new("starving", 1, SimState::SCHEMA);
    for (number, edges) in edges.iter().enumerate() {
        let node = topology.add_node(NodeSpec::new(format!("n{number}").into(), &[]));
        topology.nodes[node.index()].edges = edges.to_vec();
    }
    topology.start.push(wire(0));
    for (sources, target) in joins {
        topology.joins.push(JoinSpec::all(wire(*target), sources.iter().map(|source| wire(*source))));
    }
    topology
}

/// A graph is refused, or nothing is left at its joins when it has finished.
fn check(topology: &Topology, script: &Script) {
    if topology.clone().compile().is_err() {
        return;
    }
    let reference = Reference::of(topology, script, SimState::default(), 0, 0, 100);
    let Some(reference) = reference else { panic!("the run does not end") };
    let starves = reference.end == End::Finished && reference.starved > 0;
    assert!(!starves, "the graph is accepted, finishes, and leaves {} tokens at a join", reference.starved);
}

#[test]
fn a_diamond_in_a_bounded_loop_is_accepted() {
    let topology = graph(&[&[wire(1), wire(2)], &[], &[], &[back(0), END]], &[(&[1, 2], 3)]);
    assert!(topology.clone().compile().is_ok(), "{:?}", topology.compile().map(drop));
    check(&topology, &SCRIPT);
}

#[test]
fn a_loop_back_to_one_source_is_refused() {
    let edges: [&[Wire]; 4] = [&[wire(1), wire(2)], &[], &[], &[back(2), END]];
    assert!(graph(&edges, &[(&[1, 2], 3)]).compile().is_err());
}

#[test]
fn a_loop_from_behind_an_outer_join_into_an_inner_one() {
    let edges: [&[Wire]; 7] = [&[wire(1), wire(2)], &[], &[wire(3), wire(4)], &[], &[], &[], &[back(4), END]];
    check(&graph(&edges, &[(&[3, 4], 5), (&[1, 5], 6)]), &SCRIPT);
}

#[test]
fn a_loop_in_an_arm_that_sends_a_token_each_time() {
    let mut topology = graph(&[&[wire(1), wire(2)], &[], &[wire(3)], &[], &[END]], &[(&[1, 3], 4)]);
    let variant = |label, wire| VariantWiring { label, each: false, wires: vec![wire] };
    let variants = vec![variant("Again", back(2)), variant("Enough", END)];
    for seed in 0..20 {
        let script = Script { seed, ..SCRIPT };
        let decide = script.branch_function(NodeIx(2), 0, vec![false, false]);
        topology.nodes[2].branches =
            vec![BranchSpec { decide: Decide::Route(decide), variants: variants.clone() }];
        check(&topology, &script);
    }
}

#[test]
fn a_diamond_of_unequal_arms_behind_an_any_node() {
    let edges: [&[Wire]; 9] = [
        &[wire(1), wire(2)],
        &[wire(4)],
        &[wire(3)],
        &[wire(4)],
        &[wire(5), wire(6)],
        &[],
        &[wire(7)],
        &[],
        &[END],
    ];
    let mut topology = graph(&edges, &[(&[5, 7], 8)]);
    topology.nodes[4].any = true;
    check(&topology, &SCRIPT);
}
