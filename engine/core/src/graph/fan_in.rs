//! Finds nodes that several paths reach although they are no alternatives: such a node would run once for each path
//! of another length, which users of other engines notice by doubled side effects.
//!
//! Two edges into a node are no alternatives if one node splits the run (two unconditional edges, or two targets of
//! one variant) and each edge lies behind another part of that split. A join, and a node declared `any`, brings the
//! parts together again: what lies behind it is one path. The activations of a fan-out come together by themselves,
//! since plain edges out of one superstep are one activation of their target; but each of them may choose another
//! variant of its route, so for them variants are no alternatives. A node that may leave its edges aside either does, or
//! takes them.

use std::collections::{BTreeMap, BTreeSet};

use super::JoinMode;
use super::plan::{Plan, PlanVariant};
use super::problem::Problem;
use crate::ids::{EdgeIx, NodeIx};

/// One way out of a split: an edge, and the choice that it belongs to.
#[derive(Clone, Copy)]
struct Part {
    edge: EdgeIx,
    /// The branch or route and its variant; two variants of one choice exclude each other.
    choice: Option<(usize, usize)>,
    /// Whether it is taken in place of the others, if the node can do either.
    aside: Option<bool>,
}

impl Part {
    fn excludes(&self, other: &Part) -> bool {
        let chosen = matches!((self.choice, other.choice), (Some((a, x)), Some((b, y))) if a == b && x != y);
        chosen || matches!((self.aside, other.aside), (Some(one), Some(other)) if one != other)
    }
}

/// One problem for each node with an ambiguous fan-in.
pub(super) fn check(plan: &Plan) -> Vec<Problem> {
    let mut incoming: BTreeMap<NodeIx, Vec<EdgeIx>> = BTreeMap::new();
    for (place, edge) in plan.edges.iter().enumerate() {
        if let (Some(target), None) = (edge.target, edge.join) {
            incoming.entry(target).or_default().push(EdgeIx(place as u32));
        }
    }
    // A join that is also reached by a plain edge counts as one more way in.
    for join in plan.joins.iter().filter(|join| join.mode != JoinMode::Quiet) {
        if let (Some(edges), Some(first)) = (incoming.get_mut(&join.target), join_edge(plan, join.target)) {
            edges.push(first);
        }
    }
    incoming.retain(|node, edges| edges.len() > 1 && !plan.nodes[node.index()].any);
    if incoming.is_empty() {
        return Vec::new();
    }
    let gathers = gathering(plan);
    let mut found: BTreeMap<NodeIx, BTreeSet<Option<NodeIx>>> = BTreeMap::new();
    for parts in splits(plan) {
        let reached = reach(plan, &parts, &gathers);
        let targets: BTreeSet<NodeIx> =
            reached.iter().flatten().filter_map(|edge| plan.edges[edge.index()].target).collect();
        for node in targets {
            let Some(edges) = incoming.get(&node) else { continue };
            let met = meeting(&parts, &reached, edges);
            let sources = met.into_iter().map(|edge| plan.edges[edge.index()].source);
            let mut sources = sources.peekable();
            if sources.peek().is_some() {
                found.entry(node).or_default().extend(sources);
            }
        }
    }
    found
        .into_iter()
        .map(|(node, sources)| Problem::AmbiguousFanIn {
            node: plan.node_name(node).to_owned(),
            sources: sources.into_iter().map(|source| plan.name_of(source, "START").to_owned()).collect(),
        })
        .collect()
}

fn join_edge(plan: &Plan, target: NodeIx) -> Option<EdgeIx> {
    let place = plan.edges.iter().position(|edge| edge.target == Some(target) && edge.join.is_some())?;
    Some(EdgeIx(place as u32))
}

/// The edges into a node that lie behind different parts of a split.
fn meeting(parts: &[Part], reached: &[BTreeSet<EdgeIx>], edges: &[EdgeIx]) -> BTreeSet<EdgeIx> {
    let mut met = BTreeSet::new();
    for (i, first) in parts.iter().enumerate() {
        for (j, second) in parts.iter().enumerate().skip(i + 1) {
            if first.excludes(second) {
                continue;
            }
            for one in edges.iter().filter(|edge| reached[i].contains(edge)) {
                for other in edges.iter().filter(|edge| reached[j].contains(edge)) {
                    if one != other {
                        met.extend([*one, *other]);
                    }
                }
            }
        }
    }
    met
}

/// The splits of the graph: lists of parts of which at least two can be taken together.
fn splits(plan: &Plan) -> Vec<Vec<Part>> {
    let fanned = fanned_out(plan);
    let mut all = vec![parts_of(&plan.start, &[], &[], false, false)];
    for (place, node) in plan.nodes.iter().enumerate() {
        let branches: Vec<&[PlanVariant]> =
            node.branches.iter().map(|branch| branch.variants.as_slice()).collect();
        let mut parts = parts_of(&node.direct, &node.route, &branches, fanned[place], node.goto);
        if fanned[place] {
            // Of several activations some may fail; a single one that fails takes no other edge.
            parts.extend(node.on_error.iter().map(|edge| Part { edge: *edge, choice: None, aside: None }));
        }
        all.push(parts);
    }
    all.retain(|parts| parts.iter().enumerate().any(|(i, a)| parts[..i].iter().any(|b| !a.excludes(b))));
    all
}

/// The nodes that may have several activations in one superstep: those behind a fan-out, as far as payloads travel.
fn fanned_out(plan: &Plan) -> Vec<bool> {
    let mut fanned = vec![false; plan.nodes.len()];
    let mut open: Vec<NodeIx> =
        plan.edges.iter().filter(|edge| edge.each).filter_map(|edge| edge.target).collect();
    while let Some(node) = open.pop() {
        if std::mem::replace(&mut fanned[node.index()], true) {
            continue;
        }
        let routed = plan.nodes[node.index()].route.iter().flat_map(|variant| &variant.edges);
        let failed = &plan.nodes[node.index()].on_error;
        open.extend(routed.chain(failed).filter_map(|edge| plan.edges[edge.index()].target));
    }
    fanned
}

fn parts_of(
    direct: &[EdgeIx],
    route: &[PlanVariant],
    branches: &[&[PlanVariant]],
    fanned: bool,
    goto: bool,
) -> Vec<Part> {
    // Of several activations one may go elsewhere and another one not.
    let aside = |elsewhere| (goto && !fanned).then_some(elsewhere);
    let mut parts: Vec<Part> =
        direct.iter().map(|edge| Part { edge: *edge, choice: None, aside: aside(false) }).collect();
    for (choice, variants) in std::iter::once(route).chain(branches.iter().copied()).enumerate() {
        for (number, variant) in variants.iter().enumerate() {
            // The route stands first; a branch is evaluated once for all activations of its node.
            let aside = aside(choice == 0);
            let choice = (choice > 0 || !fanned).then_some((choice, number));
            parts.extend(variant.edges.iter().map(|edge| Part { edge: *edge, choice, aside }));
        }
    }
    parts
}

/// The nodes at which the parts of a split can come together.
fn gathering(plan: &Plan) -> Vec<bool> {
    let mut gathers: Vec<bool> = plan.nodes.iter().map(|node| node.any).collect();
    for join in &plan.joins {
        gathers[join.target.index()] = true;
    }
    gathers
}

/// For each part, the edges that a token can take before the parts come together again.
///
/// All gathering nodes stop the walk at first; those that only one part enters gather nothing and are opened.
fn reach(plan: &Plan, parts: &[Part], gathers: &[bool]) -> Vec<BTreeSet<EdgeIx>> {
    let mut open: BTreeSet<NodeIx> = BTreeSet::new();
    let mut closed_for_good: BTreeSet<NodeIx> = BTreeSet::new();
    loop {
        let stops = |node: NodeIx| gathers[node.index()] && !open.contains(&node);
        let reached: Vec<BTreeSet<EdgeIx>> = parts.iter().map(|part| walk(plan, part.edge, stops)).collect();
        let mut entered: BTreeMap<NodeIx, Vec<usize>> = BTreeMap::new();
        for (part, edges) in reached.iter().enumerate() {
            let targets = edges.iter().filter_map(|edge| plan.edges[edge.index()].target);
            for node in targets.filter(|node| gathers[node.index()]).collect::<BTreeSet<_>>() {
                entered.entry(node).or_default().push(part);
            }
        }
        let mut changed = false;
        for (node, by) in entered {
            let together =
                by.iter().enumerate().any(|(i, a)| by[..i].iter().any(|b| !parts[*a].excludes(&parts[*b])));
            if together {
                changed |= open.remove(&node);
                closed_for_good.insert(node);
            } else if !closed_for_good.contains(&node) {
                changed |= open.insert(node);
            }
        }
        if !changed {
            return reached;
        }
    }
}

fn walk(plan: &Plan, from: EdgeIx, stops: impl Fn(NodeIx) -> bool) -> BTreeSet<EdgeIx> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(edge) = open.pop() {
        if !reached.insert(edge) {
            continue;
        }
        let Some(node) = plan.edges[edge.index()].target.filter(|node| !stops(*node)) else { continue };
        open.extend(plan.nodes[node.index()].ways_out());
    }
    reached
}
