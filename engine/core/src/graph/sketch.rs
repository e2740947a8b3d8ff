//! The shape of a plan as it is stored, and back: a plan of a graph that this program does not have. Such a sketch suffices
//! to put a thread together as its graph left it, since records hold decisions. Nothing can be decided or run by it.

use std::sync::Arc;

use super::{
    Decide, GateRule, JoinMode, Judgement, Plan, PlanBranch, PlanEdge, PlanJoin, PlanNode, PlanVariant, Via,
};
use crate::budget::Budget;
use crate::ids::{EdgeIx, Fingerprint, NodeIx};
use crate::journal::{NodeTable, Shape, StoredEdge, StoredGate, StoredJoin};
use crate::state::StateSchema;

impl Plan {
    /// The number of the node that has this name, or had it in an earlier version.
    pub fn successor_of(&self, name: &str) -> Option<NodeIx> {
        let had = |node: &PlanNode| node.formerly.iter().any(|former| **former == *name);
        let former = || self.nodes.iter().position(had).map(|place| NodeIx(place as u32));
        self.node_named(name).or_else(former)
    }

    /// What the numbers of this plan mean.
    pub(crate) fn shape(&self) -> Shape {
        let mut gates = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            for (branch, rule) in node.branches.iter().enumerate() {
                let Some(rule) = rule.gate() else { continue };
                gates.push(StoredGate {
                    node: NodeIx(place as u32),
                    branch: branch as u16,
                    keep: rule.keep.clone(),
                });
            }
        }
        let joins = self.joins.iter().map(|join| StoredJoin {
            target: join.target,
            sources: join.sources.clone(),
            quorum: if let JoinMode::Quorum(needed) = join.mode { Some(needed) } else { None },
        });
        Shape { edges: self.edges.iter().map(stored_edge).collect(), joins: joins.collect(), gates }
    }

    /// A plan with the numbers of a stored graph; nothing if the description is none that an engine wrote. `kept` says
    /// how a kept field is called now.
    pub(crate) fn sketch(
        table: &NodeTable,
        shape: &Shape,
        fingerprint: Fingerprint,
        schema: &'static StateSchema,
        kept: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let mut plan = Self {
            name: table.graph.as_str().into(),
            fingerprint,
            schema,
            fail_fast: false,
            nodes: table.nodes.iter().map(|name| bare_node(name)).collect(),
            edges: Vec::with_capacity(shape.edges.len()),
            joins: Vec::new(),
            start: Vec::new(),
            run_budget: Budget::default(),
            thread_budget: Budget::default(),
            undos: Vec::new(),
            compensates: false,
            table: Arc::new(table.clone()),
        };
        for (place, edge) in shape.edges.iter().enumerate() {
            plan.sketch_edge(EdgeIx(place as u32), edge)?;
        }
        for join in &shape.joins {
            let known = |node: &NodeIx| node.index() < plan.nodes.len();
            if !known(&join.target) || !join.sources.iter().all(known) {
                return None;
            }
            plan.joins.push(sketched_join(join));
        }
        for gate in &shape.gates {
            let branch = plan.nodes.get_mut(gate.node.index())?.branches.get_mut(usize::from(gate.branch))?;
            branch.decide =
                Decide::Gate(sketched_rule(gate.keep.iter().filter_map(|field| kept(field)).collect()));
        }
        Some(plan)
    }

    fn sketch_edge(&mut self, ix: EdgeIx, edge: &StoredEdge) -> Option<()> {
        let count = self.nodes.len();
        if edge.target.is_some_and(|target| target.index() >= count) {
            return None;
        }
        let via = match (edge.source, edge.branch, edge.variant) {
            (None, ..) => Via::Start,
            (Some(_), Some(branch), Some(variant)) => Via::Branch { branch, variant },
            (Some(_), None, Some(variant)) => Via::Route { variant },
            (Some(_), ..) if edge.on_error => Via::Error,
            (Some(_), ..) => Via::Direct,
        };
        let list = match edge.source {
            None => &mut self.start,
            Some(source) => {
                let node = self.nodes.get_mut(source.index())?;
                match via {
                    Via::Route { variant } | Via::Goto { variant } => edges_of(&mut node.route, variant)?,
                    Via::Branch { branch, variant } => {
                        let branch = nth_or_next(&mut node.branches, branch, sketched_branch)?;
                        edges_of(&mut branch.variants, variant)?
                    }
                    Via::Error => &mut node.on_error,
                    Via::Direct | Via::Start => &mut node.direct,
                }
            }
        };
        list.push(ix);
        let (at_most, join, back, retries) = (None, None, false, false);
        let (source, target, each) = (edge.source, edge.target, edge.each);
        self.edges.push(PlanEdge { source, target, via, label: "", at_most, each, join, back, retries });
        Some(())
    }
}

fn stored_edge(edge: &PlanEdge) -> StoredEdge {
    let (branch, variant) = match edge.via {
        Via::Branch { branch, variant } => (Some(branch), Some(variant)),
        Via::Route { variant } | Via::Goto { variant } => (None, Some(variant)),
        Via::Start | Via::Direct | Via::Error => (None, None),
    };
    let on_error = edge.via == Via::Error;
    // The label of an error edge is for people.
    let label = if on_error { "" } else { edge.label };
    let (source, target, each) = (edge.source, edge.target, edge.each);
    StoredEdge { source, target, branch, variant, label: label.into(), on_error, each }
}

fn bare_node(name: &str) -> PlanNode {
    PlanNode {
        name: name.into(),
        formerly: Vec::new(),
        direct: Vec::new(),
        route: Vec::new(),
        branches: Vec::new(),
        any: false,
        goto: false,
        pause_before: false,
        pause_after: false,
        policy: Default::default(),
        budget: Budget::default(),
        on_error: Vec::new(),
        child: None,
    }
}

fn sketched_join(join: &StoredJoin) -> PlanJoin {
    let mode = match join.quorum {
        Some(needed) => JoinMode::Quorum(needed),
        None if join.sources.is_empty() => JoinMode::Quiet,
        None => JoinMode::All,
    };
    let optional = vec![false; join.sources.len()];
    PlanJoin { optional, ..PlanJoin::of(join.target, mode, join.sources.clone()) }
}

/// Judges nothing: what a gate decided is in the records.
fn sketched_rule(keep: Vec<String>) -> GateRule {
    let judge = Arc::new(|_: &(dyn std::any::Any + Send + Sync)| Judgement {
        score: f64::NAN,
        critique: String::new(),
        blamed: None,
    });
    GateRule { judge, pass_at: f64::INFINITY, attempts: u32::MAX, plateau: None, stop: None, keep }
}

fn sketched_branch() -> PlanBranch {
    let decide = Decide::Route(Arc::new(|_| crate::route::Decision {
        variant: u16::MAX,
        payloads: crate::route::Payloads::None,
    }));
    PlanBranch { decide, variants: Vec::new() }
}

fn edges_of(variants: &mut Vec<PlanVariant>, variant: u16) -> Option<&mut Vec<EdgeIx>> {
    let variant = nth_or_next(variants, variant, || PlanVariant { label: "", edges: Vec::new() })?;
    Some(&mut variant.edges)
}

/// The item of this number, made if it is the next one. Engines number without gaps, so a gap costs no memory.
fn nth_or_next<T>(list: &mut Vec<T>, number: u16, make: impl FnOnce() -> T) -> Option<&mut T> {
    let place = usize::from(number);
    if place == list.len() {
        list.push(make());
    }
    list.get_mut(place)
}
