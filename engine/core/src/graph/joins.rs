//! Finds joins that could wait for ever: a source that a branch, or a loop, may skip. A join is sound if every token
//! that comes to one of its sources was sent by a decision (the start, a node that always leads on, or one variant of a
//! route or branch) that certainly leads to all of them.
//!
//! "Certainly" follows tokens, not paths: of a node's unconditional edges one is enough, of a choice every variant
//! must lead there, a bounded loop is left some day, and a fan-out may be empty.
//!
//! At run time no join waits for what can no longer come (see `reach`); this check is what makes leaving a source out a
//! decision of the author.

use std::collections::BTreeSet;

use petgraph::algo::dominators::{Dominators, simple_fast};
use petgraph::graph::{DiGraph, NodeIndex};

use super::checks::with_ends;
use super::plan::{Plan, PlanJoin, PlanNode, PlanVariant};
use super::problem::Problem;
use crate::ids::{EdgeIx, NodeIx};

/// One problem for each source that may be skipped.
pub(super) fn check(plan: &Plan, problems: &mut Vec<Problem>) {
    if plan.joins.is_empty() {
        return;
    }
    let graph: DiGraph<(), ()> = with_ends(plan, |_| true);
    let dominators = simple_fast(&graph, NodeIndex::new(plan.nodes.len()));
    let order = backwards(plan);
    for join in plan.joins.iter().filter(|join| join.sources.len() > 1) {
        let required: Vec<NodeIx> = join
            .sources
            .iter()
            .zip(&join.optional)
            .filter(|(_, optional)| !**optional)
            .map(|(n, _)| *n)
            .collect();
        if required.is_empty() {
            continue;
        }
        let certain = Certain::new(plan, &order, &required, &join.sources);
        let reached = reached_alone(plan, &dominators, join, &certain);
        if reached.is_empty() {
            continue;
        }
        problems.extend(skipped(plan, &dominators, &certain, &reached).into_iter().map(|source| {
            Problem::SkippableJoinSource {
                node: plan.node_name(join.target).to_owned(),
                source_node: plan.node_name(source).to_owned(),
            }
        }));
    }
}

/// For each node the required sources of one join to which a token there certainly comes: a row of bits for each node.
struct Certain<'a> {
    plan: &'a Plan,
    /// The sources that no branch may leave out.
    required: &'a [NodeIx],
    /// All sources.
    sources: &'a [NodeIx],
    words: usize,
    bits: Vec<u64>,
}

impl<'a> Certain<'a> {
    fn new(plan: &'a Plan, order: &[usize], required: &'a [NodeIx], sources: &'a [NodeIx]) -> Self {
        let words = required.len().div_ceil(64);
        let mut certain = Self { plan, required, sources, words, bits: vec![0; words * plan.nodes.len()] };
        let mut own = vec![None; plan.nodes.len()];
        for (bit, source) in required.iter().enumerate() {
            own[source.index()] = Some(bit);
        }
        for place in order {
            let node = &plan.nodes[*place];
            let mut row = certain.after(&node.direct);
            let route = if node.goto { &[] } else { node.route.as_slice() };
            let choices = std::iter::once(route).chain(node.branches.iter().map(|b| b.variants.as_slice()));
            for variants in choices {
                for (all, word) in row.iter_mut().zip(certain.after_choice(variants)) {
                    *all |= word;
                }
            }
            // A node that fails for good takes its error edges alone, and sends a join nothing.
            if !node.on_error.is_empty() {
                let failed = certain.after(&node.on_error);
                row.iter_mut().zip(failed).for_each(|(all, word)| *all &= word);
            } else if let Some(bit) = own[*place] {
                row[bit / 64] |= 1 << (bit % 64);
            }
            if node.goto {
                certain.unless_elsewhere(&node.route, &mut row);
            }
            certain.bits[place * words..(place + 1) * words].copy_from_slice(&row);
        }
        certain
    }

    /// The sources to which tokens on all of these edges certainly come.
    fn after(&self, edges: &[EdgeIx]) -> Vec<u64> {
        let mut row = vec![0; self.words];
        let edges = edges.iter().map(|edge| &self.plan.edges[edge.index()]);
        // A fan-out of nothing passes most nodes, as if they had run.
        let passed = |edge: &&super::PlanEdge| {
            !edge.each || edge.target.is_none_or(|n| self.plan.nodes[n.index()].is_passable())
        };
        for target in edges.filter(passed).filter_map(|edge| edge.target) {
            let from = target.index() * self.words;
            for (all, word) in row.iter_mut().zip(&self.bits[from..from + self.words]) {
                *all |= word;
            }
        }
        row
    }

    /// Whether every edge of it is bounded, so that some day it is taken no more.
    fn is_bounded(&self, variant: &PlanVariant) -> bool {
        let mut edges = variant.edges.iter().map(|edge| &self.plan.edges[edge.index()]);
        !variant.edges.is_empty() && edges.all(|edge| edge.is_bounded())
    }

    /// A node that goes elsewhere takes none of its edges and sends a join nothing.
    fn unless_elsewhere(&self, variants: &[PlanVariant], row: &mut [u64]) {
        for variant in variants.iter().filter(|variant| !self.is_bounded(variant)) {
            row.iter_mut().zip(self.after(&variant.edges)).for_each(|(all, word)| *all &= word);
        }
    }

    fn after_choice(&self, variants: &[PlanVariant]) -> Vec<u64> {
        let mut lasting = variants.iter().filter(|variant| !self.is_bounded(variant));
        let Some(first) = lasting.next() else { return vec![0; self.words] };
        let mut row = self.after(&first.edges);
        for variant in lasting {
            for (all, word) in row.iter_mut().zip(self.after(&variant.edges)) {
                *all &= word;
            }
        }
        row
    }

    fn leads_to_all(&self, edges: &[EdgeIx]) -> bool {
        self.missing(&self.after(edges)).is_empty()
    }

    /// The sources that a row does not hold.
    fn missing(&self, row: &[u64]) -> Vec<NodeIx> {
        let held = |bit: usize| row[bit / 64] & (1 << (bit % 64)) != 0;
        self.required.iter().enumerate().filter(|(bit, _)| !held(*bit)).map(|(_, source)| *source).collect()
    }

    fn row(&self, place: usize) -> Vec<u64> {
        match self.plan.nodes.get(place) {
            Some(_) => self.bits[place * self.words..(place + 1) * self.words].to_vec(),
            None => self.after(&self.plan.start),
        }
    }
}

/// The edges that are taken together when a node has run: always, which stands first, and with each variant.
fn decisions(node: &PlanNode) -> impl Iterator<Item = &[EdgeIx]> {
    let branched = node.branches.iter().flat_map(|branch| &branch.variants);
    let chosen = node.route.iter().chain(branched).map(|variant| variant.edges.as_slice());
    std::iter::once(node.direct.as_slice()).chain(chosen).chain([node.on_error.as_slice()])
}

/// The sources to which a token can come that no decision sent to all of them: from the start, from behind the join,
/// or from a source. Where a source leads on to another one that is only reached through it, that is the one token
/// which the decision before both has sent.
fn reached_alone(
    plan: &Plan,
    dominators: &Dominators<NodeIndex>,
    join: &PlanJoin,
    certain: &Certain<'_>,
) -> BTreeSet<NodeIx> {
    let mut reached = BTreeSet::new();
    if !certain.leads_to_all(&plan.start) {
        reached.extend(walk(plan, certain, plan.start.clone()));
    }
    reached.extend(walk(plan, certain, lonely(plan, certain, join.target)));
    for source in &join.sources {
        let through = |other: &NodeIx| {
            let mut above = dominators.dominators(NodeIndex::new(other.index())).into_iter().flatten();
            other == source || !above.any(|node| node.index() == source.index())
        };
        reached.extend(walk(plan, certain, lonely(plan, certain, *source)).into_iter().filter(through));
    }
    reached
}

/// The edges out of a node on which a token comes to some sources but not certainly to all. One that enters a join
/// waits there for its siblings: what it leads to is the join's own matter.
fn lonely(plan: &Plan, certain: &Certain<'_>, node: NodeIx) -> Vec<EdgeIx> {
    let taken = decisions(&plan.nodes[node.index()]).filter(|edges| !certain.leads_to_all(edges));
    taken.flatten().filter(|edge| plan.edges[edge.index()].join.is_none()).copied().collect()
}

/// The sources that a token on one of these edges can come to before a decision sends tokens to all of them.
fn walk(plan: &Plan, certain: &Certain<'_>, mut open: Vec<EdgeIx>) -> BTreeSet<NodeIx> {
    let mut reached = BTreeSet::new();
    if open.is_empty() {
        return reached;
    }
    let mut seen = vec![false; plan.nodes.len()];
    while let Some(edge) = open.pop() {
        let Some(target) = plan.edges[edge.index()].target else { continue };
        if !std::mem::replace(&mut seen[target.index()], true) {
            if certain.sources.contains(&target) {
                reached.insert(target);
            }
            open.extend(lonely(plan, certain, target));
        }
    }
    reached
}

/// Which sources to name: those that the nearest common split does not certainly lead to, or, if it does, those that
/// the lonely token passes by.
fn skipped(
    plan: &Plan,
    dominators: &Dominators<NodeIndex>,
    certain: &Certain<'_>,
    reached: &BTreeSet<NodeIx>,
) -> Vec<NodeIx> {
    let Some(split) = common(dominators, certain.sources) else { return Vec::new() };
    let missing = certain.missing(&certain.row(split.min(plan.nodes.len())));
    if !missing.is_empty() {
        return missing;
    }
    let passed: Vec<NodeIx> =
        certain.required.iter().filter(|source| !reached.contains(source)).copied().collect();
    if passed.is_empty() { reached.iter().copied().collect() } else { passed }
}

/// The nearest node that every path to any of the sources passes; START is the number after the last node. Nothing if
/// a source cannot be reached, which is reported as such.
fn common(dominators: &Dominators<NodeIndex>, sources: &[NodeIx]) -> Option<usize> {
    let above = |source: &NodeIx| -> Option<Vec<usize>> {
        Some(dominators.dominators(NodeIndex::new(source.index()))?.map(NodeIndex::index).collect())
    };
    let (first, rest) = sources.split_first()?;
    let rest: Vec<Vec<usize>> = rest.iter().map(above).collect::<Option<_>>()?;
    above(first)?.into_iter().find(|node| rest.iter().all(|others| others.contains(node)))
}

/// The nodes in an order in which every unbounded edge leads to an earlier one; nodes on unbounded loops, which are
/// reported as such, come last.
fn backwards(plan: &Plan) -> Vec<usize> {
    let unbounded = |edge: &&super::PlanEdge| !edge.is_bounded() && edge.target.is_some();
    let mut left = vec![0usize; plan.nodes.len()];
    let mut into: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
    for edge in plan.edges.iter().filter(unbounded) {
        if let (Some(source), Some(target)) = (edge.source, edge.target) {
            left[source.index()] += 1;
            into[target.index()].push(source.index());
        }
    }
    let mut order: Vec<usize> = (0..left.len()).filter(|node| left[*node] == 0).collect();
    let mut done = 0;
    while let Some(node) = order.get(done).copied() {
        done += 1;
        for source in &into[node] {
            left[*source] -= 1;
            if left[*source] == 0 {
                order.push(*source);
            }
        }
    }
    let looped = (0..left.len()).filter(|node| left[*node] > 0);
    order.extend(looped);
    order
}
