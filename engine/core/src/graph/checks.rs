//! The checks of `build()`: each finds one family of mistakes and reports every instance of it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use petgraph::Direction;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Bfs, Reversed};

use super::plan::{Plan, PlanJoin, Via};
use super::problem::Problem;
use super::{GateRule, JoinMode, MAX_DEPTH, Topology, fan_in, joins};
use crate::channel::Reducer;
use crate::ids::NodeIx;
use crate::route::Wire;

/// Every problem of a graph, in a stable order.
pub(super) fn check(topology: &Topology, plan: &Plan) -> Vec<Problem> {
    let mut problems = topology.problems.clone();
    names(topology, &mut problems);
    handles(topology, &mut problems);
    wiring(topology, plan, &mut problems);
    writes(topology, plan, &mut problems);
    if topology.start.is_empty() {
        problems.push(Problem::NoStart);
        // Without a start every node would be unreachable: one cause, one message.
        return problems;
    }
    reachability(topology, plan, &mut problems);
    loops(plan, &mut problems);
    if !problems.iter().any(|problem| matches!(problem, Problem::ForeignHandle { .. })) {
        joins::check(plan, &mut problems);
    }
    problems.extend(fan_in::check(plan));
    problems
}

fn names(topology: &Topology, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for node in &topology.nodes {
        let name = node.name.to_string();
        if name.trim().is_empty() || name.eq_ignore_ascii_case("start") || name.eq_ignore_ascii_case("end") {
            problems.push(Problem::ReservedName { name: name.clone() });
        }
        let count = seen.entry(&node.name).or_default();
        *count += 1;
        if *count == 2 {
            problems.push(Problem::DuplicateName { name });
        }
    }
    // A stored run that stands at a name must find one node.
    for name in topology.nodes.iter().flat_map(|node| &node.formerly) {
        let count = seen.entry(name).or_default();
        *count += 1;
        if *count == 2 {
            problems.push(Problem::DuplicateName { name: name.to_string() });
        }
    }
}

fn handles(topology: &Topology, problems: &mut Vec<Problem>) {
    let foreign = |wire: &Wire| wire.node.is_some() && wire.builder != topology.builder;
    if topology.start.iter().any(foreign) {
        problems.push(Problem::ForeignHandle { node: "START".to_owned() });
    }
    for node in &topology.nodes {
        let routed = node.route.iter().flatten().flat_map(|variant| &variant.wires);
        let branched =
            node.branches.iter().flat_map(|branch| &branch.variants).flat_map(|variant| &variant.wires);
        if node.edges.iter().chain(&node.on_error).chain(routed).chain(branched).any(foreign) {
            problems.push(Problem::ForeignHandle { node: node.name.to_string() });
        }
    }
    for join in &topology.joins {
        if join.sources.iter().map(|source| &source.wire).chain([&join.target]).any(foreign) {
            let name = |node: NodeIx| topology.nodes.get(node.index()).map(|node| node.name.to_string());
            let node = join.target.node.and_then(name).unwrap_or_else(|| "a join".to_owned());
            problems.push(Problem::ForeignHandle { node });
        }
    }
}

fn wiring(topology: &Topology, plan: &Plan, problems: &mut Vec<Problem>) {
    for node in &topology.nodes {
        if !node.route_variants.is_empty() && node.route.is_none() {
            let variants = node.route_variants.iter().map(|&variant| variant.to_owned()).collect();
            problems.push(Problem::Unwired { node: node.name.to_string(), variants });
        }
    }
    for node in plan.nodes.iter().filter(|n| n.goto && n.direct.is_empty() && n.branches.is_empty()) {
        problems.push(Problem::NoEdgesBeside { node: node.name.to_string() });
    }
    for node in &topology.nodes {
        if let Some(why) = node.policy.mistake() {
            problems.push(Problem::BadPolicy { node: node.name.to_string(), why });
        }
    }
    for node in topology.nodes.iter().filter(|node| node.child.is_some()) {
        if !node.policy.fits_a_graph() {
            problems.push(Problem::GraphPolicy { node: node.name.to_string() });
        }
    }
    if plan.depth() > MAX_DEPTH {
        problems.push(Problem::TooDeep { depth: plan.depth(), most: MAX_DEPTH });
    }
    for edge in plan.edges.iter().filter(|edge| edge.at_most == Some(0)) {
        problems.push(Problem::ZeroBound {
            from: plan.name_of(edge.source, "START").to_owned(),
            to: plan.name_of(edge.target, "END").to_owned(),
        });
    }
    for node in &plan.nodes {
        for gate in node.branches.iter().filter_map(super::PlanBranch::gate) {
            gates(topology, node, gate, problems);
        }
    }
    for join in &plan.joins {
        let node = plan.node_name(join.target).to_owned();
        match join.mode {
            JoinMode::Quiet => {
                let also = |other: &PlanJoin| other.target == join.target && other.mode != JoinMode::Quiet;
                if plan.joins.iter().any(also) {
                    problems.push(Problem::DeferredJoin { node });
                }
            }
            _ if join.sources.len() < 2 => problems.push(Problem::JoinTooSmall { node }),
            JoinMode::Quorum(needed) if needed == 0 || needed as usize > join.sources.len() => {
                problems.push(Problem::ImpossibleQuorum { node, needed, sources: join.sources.len() });
            }
            _ => {}
        }
    }
}

fn gates(topology: &Topology, node: &super::PlanNode, gate: &GateRule, problems: &mut Vec<Problem>) {
    let name = node.name.to_string();
    if gate.attempts == 0 || gate.plateau == Some(0) || !gate.pass_at.is_finite() {
        problems.push(Problem::UselessGate { node: name.clone() });
    }
    for field in &gate.keep {
        let channel = topology.schema.channels.iter().find(|channel| channel.name == field);
        if !channel.is_some_and(|channel| matches!(channel.reducer, Reducer::Replace | Reducer::Last)) {
            let nearest = nearest(field, topology.schema.channels.iter().map(|known| known.name));
            let nearest = nearest.filter(|_| channel.is_none());
            problems.push(Problem::UnkeepableField { node: name.clone(), channel: field.clone(), nearest });
        }
    }
}

fn writes(topology: &Topology, plan: &Plan, problems: &mut Vec<Problem>) {
    let channels = topology.schema.channels;
    for node in &topology.nodes {
        for channel in &node.writes {
            if !channels.iter().any(|known| known.name == channel) {
                let nearest = nearest(channel, channels.iter().map(|known| known.name));
                problems.push(Problem::UnknownChannel {
                    node: node.name.to_string(),
                    channel: channel.clone(),
                    nearest,
                });
            }
        }
    }
    let replaced: HashSet<&str> =
        channels.iter().filter(|c| c.reducer == Reducer::Replace).map(|channel| channel.name).collect();
    for group in certainly_parallel(plan) {
        let mut writers: HashMap<&str, NodeIx> = HashMap::new();
        for node in group {
            for channel in &topology.nodes[node.index()].writes {
                if !replaced.contains(channel.as_str()) {
                    continue;
                }
                if let Some(first) = writers.insert(channel, node).filter(|first| *first != node) {
                    problems.push(Problem::ParallelWrites {
                        channel: channel.clone(),
                        first: plan.node_name(first).to_owned(),
                        second: plan.node_name(node).to_owned(),
                    });
                }
            }
        }
    }
}

/// Groups of nodes that one decision always schedules into the same superstep.
fn certainly_parallel(plan: &Plan) -> Vec<BTreeSet<NodeIx>> {
    let targets = |edges: &[crate::ids::EdgeIx]| -> BTreeSet<NodeIx> {
        let edges = edges.iter().map(|edge| &plan.edges[edge.index()]);
        edges.filter(|edge| edge.join.is_none()).filter_map(|edge| edge.target).collect()
    };
    let mut groups = vec![targets(&plan.start)];
    for node in &plan.nodes {
        let always = targets(&node.direct);
        let none = BTreeSet::new();
        let beside = if node.goto { &none } else { &always };
        groups.extend(node.route.iter().map(|variant| &targets(&variant.edges) | beside));
        let branched = node.branches.iter().flat_map(|branch| &branch.variants);
        groups.extend(branched.map(|variant| &targets(&variant.edges) | &always));
        groups.push(always);
    }
    groups.retain(|group| group.len() > 1);
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The graph with START and END as nodes of their own, for petgraph: nodes first, then START, then END.
pub(super) fn with_ends(plan: &Plan, keep: impl Fn(&super::PlanEdge) -> bool) -> DiGraph<(), ()> {
    let mut graph = DiGraph::with_capacity(plan.nodes.len() + 2, plan.edges.len());
    let nodes: Vec<_> = (0..plan.nodes.len() + 2).map(|_| graph.add_node(())).collect();
    let (start, end) = (nodes[plan.nodes.len()], nodes[plan.nodes.len() + 1]);
    for edge in plan.edges.iter().filter(|edge| keep(edge)) {
        let from = edge.source.map_or(start, |node| nodes[node.index()]);
        let to = edge.target.map_or(end, |node| nodes[node.index()]);
        graph.add_edge(from, to, ());
    }
    graph
}

fn reachability(topology: &Topology, plan: &Plan, problems: &mut Vec<Problem>) {
    let graph = with_ends(plan, |_| true);
    let count = plan.nodes.len();
    let mut from_start = vec![false; count + 2];
    let mut walk = Bfs::new(&graph, NodeIndex::new(count));
    while let Some(node) = walk.next(&graph) {
        from_start[node.index()] = true;
    }
    // A node that only leads on when it fails is a dead end.
    let graph = with_ends(plan, |edge| edge.via != Via::Error);
    let mut to_end = vec![false; count + 2];
    let backwards = Reversed(&graph);
    let mut walk = Bfs::new(backwards, NodeIndex::new(count + 1));
    while let Some(node) = walk.next(backwards) {
        to_end[node.index()] = true;
    }
    // What is not wired, or wired with a foreign handle, is reported as that; what follows from it is not.
    let foreign = |problem: &Problem| matches!(problem, Problem::ForeignHandle { .. });
    let unwired = topology.nodes.iter().any(|node| !node.route_variants.is_empty() && node.route.is_none());
    if unwired || problems.iter().any(foreign) {
        return;
    }
    let ends = dead_ends(&graph, &to_end);
    for (place, node) in plan.nodes.iter().enumerate() {
        if !from_start[place] {
            problems.push(Problem::Unreachable { node: node.name.to_string() });
        } else if ends.contains(&place) {
            problems.push(Problem::NoPathToEnd { node: node.name.to_string() });
        }
    }
}

/// Of the nodes without a path to END those where the edge is missing: the last of a chain, the first of a cycle.
fn dead_ends(graph: &DiGraph<(), ()>, to_end: &[bool]) -> BTreeSet<usize> {
    let mut ends = BTreeSet::new();
    if to_end.iter().all(|reaches| *reaches) {
        return ends;
    }
    for component in kosaraju_scc(graph) {
        let stuck = component.iter().all(|node| !to_end[node.index()]);
        let members: HashSet<NodeIndex> = component.iter().copied().collect();
        let leaves = |node: &NodeIndex| graph.neighbors(*node).any(|next| !members.contains(&next));
        if stuck && !component.iter().any(leaves) {
            ends.extend(component.iter().map(|node| node.index()).min());
        }
    }
    ends
}

fn loops(plan: &Plan, problems: &mut Vec<Problem>) {
    let graph = with_ends(plan, |edge| !edge.is_bounded());
    for component in kosaraju_scc(&graph) {
        let alone = |node: &NodeIndex| !graph.neighbors(*node).any(|next| next == *node);
        if component.len() == 1 && component.iter().all(alone) {
            continue;
        }
        let members: HashSet<NodeIndex> = component.into_iter().collect();
        let nodes = cycle(&graph, &members).into_iter().map(|node| plan.nodes[node.index()].name.to_string());
        problems.push(Problem::UnboundedLoop { nodes: nodes.collect() });
    }
}

/// A shortest way round, from the first node by which the loop is entered.
fn cycle(graph: &DiGraph<(), ()>, members: &HashSet<NodeIndex>) -> Vec<NodeIndex> {
    let entered = |node: &&NodeIndex| {
        graph.neighbors_directed(**node, Direction::Incoming).any(|before| !members.contains(&before))
    };
    let Some(entry) = members.iter().filter(entered).min().or(members.iter().min()).copied() else {
        return Vec::new();
    };
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut open = VecDeque::from([entry]);
    while let Some(node) = open.pop_front() {
        if graph.neighbors(node).any(|next| next == entry) {
            let mut way = vec![node];
            while let Some(before) =
                way.last().filter(|last| **last != entry).and_then(|last| came_from.get(last))
            {
                way.push(*before);
            }
            way.reverse();
            return way;
        }
        for next in graph.neighbors(node).filter(|next| members.contains(next) && *next != entry) {
            if let Entry::Vacant(place) = came_from.entry(next) {
                place.insert(node);
                open.push_back(next);
            }
        }
    }
    vec![entry]
}

/// The candidate with the smallest edit distance, if it is near enough to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}
