//! Which nodes lead nowhere but to a join: when the time of the join is over, what they still do is of no use to anybody.

use super::plan::Plan;
use super::reach::NodeSet;
use crate::ids::NodeIx;

/// Notes them at each join with a timeout.
pub(super) fn compile(plan: &mut Plan) {
    for number in 0..plan.joins.len() {
        let join = &plan.joins[number];
        if join.timeout.is_none() {
            continue;
        }
        let past = past(plan, join.target);
        let mut feeders = NodeSet::for_nodes(plan.nodes.len());
        for node in (0..plan.nodes.len() as u32).map(NodeIx) {
            let leads_here = join.upstream.iter().any(|set| set.contains(node));
            if leads_here && node != join.target && !past.contains(node) {
                feeders.insert(node);
            }
        }
        plan.joins[number].feeders = feeders;
    }
}

/// The nodes from which END can be reached without the target of the join.
fn past(plan: &Plan, target: NodeIx) -> NodeSet {
    let mut past = NodeSet::for_nodes(plan.nodes.len());
    let ends = plan.edges.iter().filter(|edge| edge.target.is_none());
    let mut open: Vec<NodeIx> = ends.filter_map(|edge| edge.source).filter(|node| *node != target).collect();
    while let Some(node) = open.pop() {
        if past.insert(node) {
            let into = plan.edges.iter().filter(|edge| edge.target == Some(node));
            open.extend(into.filter_map(|edge| edge.source).filter(|node| *node != target));
        }
    }
    past
}
