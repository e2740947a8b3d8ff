//! A graph compiled into flat tables: what an execution walks at every superstep. Stored data refers to its numbers
//! only beside the [`Fingerprint`] that they belong to.

use std::sync::Arc;

use super::reach::{self, NodeSet};
use super::{
    BranchSpec, Child, Decide, FIRST_BLAMED, GateRule, JoinMode, JoinTimeout, SourceSpec, Topology, feeders,
};
use crate::budget::Budget;
use crate::ids::{EdgeIx, Fingerprint, NodeIx};
use crate::journal::NodeTable;
use crate::policy::NodePolicy;
use crate::route::{VariantWiring, Wire};
use crate::state::StateSchema;
use crate::undo::PlanUndo;

/// By what an edge is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// The start of a run.
    Start,
    /// Always, when the node has finished.
    Direct,
    /// When the node's code returns this variant.
    Route {
        /// The variant, from 0.
        variant: u16,
    },
    /// When the node's code goes there, in place of all its edges and branches.
    Goto {
        /// The variant, from 0.
        variant: u16,
    },
    /// When the node has failed for good.
    Error,
    /// When a branch after the node chooses this variant.
    Branch {
        /// The branch of the node, from 0.
        branch: u16,
        /// The variant, from 0.
        variant: u16,
    },
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanEdge {
    /// Where it starts; `None` is START.
    pub source: Option<NodeIx>,
    /// Where it leads; `None` is END.
    pub target: Option<NodeIx>,
    /// By what it is taken.
    pub via: Via,
    /// The variant's name; empty for a plain edge.
    pub label: &'static str,
    /// How often it may be taken in one run.
    pub at_most: Option<u32>,
    /// Whether it fans out.
    pub each: bool,
    /// The join that it feeds, by its place in [`Plan::joins`].
    pub join: Option<u32>,
    /// Whether it leads back to a node that was passed before. Only known in graphs with joins.
    pub back: bool,
    /// Whether it leads from a gate to a node to blame.
    pub retries: bool,
}

/// A variant of a route, with its edges.
#[derive(Clone, Debug)]
pub struct PlanVariant {
    /// The variant's name.
    pub label: &'static str,
    /// Its edges.
    pub edges: Vec<EdgeIx>,
}

/// A branch after a node.
#[derive(Clone)]
pub struct PlanBranch {
    /// Chooses the variant from the merged state.
    pub decide: Decide,
    /// The variants.
    pub variants: Vec<PlanVariant>,
}

impl PlanBranch {
    /// The rule, if the branch is a gate.
    pub fn gate(&self) -> Option<&GateRule> {
        match &self.decide {
            Decide::Gate(rule) => Some(rule),
            Decide::Route(_) => None,
        }
    }
}

impl PlanNode {
    /// Every edge out of it, whatever it is taken by.
    pub fn ways_out(&self) -> impl Iterator<Item = &EdgeIx> {
        let branched = self.branches.iter().flat_map(|branch| &branch.variants);
        let chosen = self.route.iter().chain(branched).flat_map(|variant| &variant.edges);
        self.direct.iter().chain(chosen).chain(&self.on_error)
    }

    /// Whether a fan-out of nothing can go on behind this node: not if only its code or a gate knows where.
    pub fn is_passable(&self) -> bool {
        (self.route.is_empty() || self.goto) && self.branches.iter().all(|branch| branch.gate().is_none())
    }
}

impl PlanEdge {
    /// Whether something bounds how often it is taken: its own bound, or the rounds of a gate.
    pub fn is_bounded(&self) -> bool {
        self.at_most.is_some() || self.retries
    }
}

impl std::fmt::Debug for PlanBranch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanBranch").field("variants", &self.variants).finish_non_exhaustive()
    }
}

/// A node with its ways out.
#[derive(Clone, Debug)]
pub struct PlanNode {
    /// The name that ties stored data to it.
    pub name: Arc<str>,
    /// The names that it had in earlier versions of the graph.
    pub formerly: Vec<Arc<str>>,
    /// Unconditional edges.
    pub direct: Vec<EdgeIx>,
    /// The variants of the route that its code returns.
    pub route: Vec<PlanVariant>,
    /// Whether the route, where its code returns one, takes the place of edges and branches.
    pub goto: bool,
    /// Branches on the merged state.
    pub branches: Vec<PlanBranch>,
    /// Whether several incoming paths run it each on its own.
    pub any: bool,
    /// How often it is tried, how long it may take, how many of its activations run at once.
    pub policy: NodePolicy,
    /// Whether runs pause before it.
    pub pause_before: bool,
    /// Whether runs pause after it.
    pub pause_after: bool,
    /// What its activations may spend in a run.
    pub budget: Budget,
    /// The edges that are taken, in place of all others, when it has failed for good.
    pub on_error: Vec<EdgeIx>,
    /// The graph that it runs, if it is one.
    pub child: Option<Child>,
}

/// A node that waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanJoin {
    /// The node that waits.
    pub target: NodeIx,
    /// For what it waits.
    pub mode: JoinMode,
    /// The nodes it waits for, in the order of declaration; empty for [`JoinMode::Quiet`].
    pub sources: Vec<NodeIx>,
    /// For each source whether its path may be left out.
    pub optional: Vec<bool>,
    /// For each source the nodes that can still lead to it; for [`JoinMode::Quiet`] one set, for the target.
    pub upstream: Vec<NodeSet>,
    /// How long it waits, if not for ever.
    pub timeout: Option<JoinTimeout>,
    /// The nodes that lead nowhere but here: with their time over, nobody awaits them. Only known with a timeout.
    pub feeders: NodeSet,
}

impl PlanJoin {
    pub(super) fn of(target: NodeIx, mode: JoinMode, sources: Vec<NodeIx>) -> Self {
        let (optional, upstream, feeders) = (Vec::new(), Vec::new(), NodeSet::default());
        Self { target, mode, sources, optional, upstream, timeout: None, feeders }
    }
}

/// A checked graph, ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The graph's name.
    pub name: Arc<str>,
    /// A hash of everything that stored data depends on.
    pub fingerprint: Fingerprint,
    /// The state's description.
    pub schema: &'static StateSchema,
    /// The nodes, in the order of declaration.
    pub nodes: Vec<PlanNode>,
    /// The edges.
    pub edges: Vec<PlanEdge>,
    /// The joins.
    pub joins: Vec<PlanJoin>,
    /// The edges taken at the start of a run.
    pub start: Vec<EdgeIx>,
    /// Whether a node that fails for good ends the drive at once.
    pub fail_fast: bool,
    /// What a run may spend.
    pub run_budget: Budget,
    /// What all runs of a thread may spend.
    pub thread_budget: Budget,
    /// The undo handlers.
    pub undos: Vec<PlanUndo>,
    /// Whether a run that fails for good is undone.
    pub compensates: bool,
    /// The names behind the numbers, as they are written down.
    pub table: Arc<NodeTable>,
}

impl Plan {
    pub(super) fn new(topology: &Topology) -> Self {
        let mut plan = Self {
            name: topology.name.clone(),
            fingerprint: Fingerprint(0),
            schema: topology.schema,
            nodes: Vec::with_capacity(topology.nodes.len()),
            edges: Vec::new(),
            joins: Vec::new(),
            start: Vec::new(),
            fail_fast: topology.fail_fast,
            run_budget: topology.run_budget.clone(),
            thread_budget: topology.thread_budget.clone(),
            undos: topology.undos.clone(),
            compensates: topology.compensates,
            table: Arc::new(NodeTable::of(topology)),
        };
        for spec in &topology.nodes {
            plan.nodes.push(PlanNode {
                name: spec.name.clone(),
                formerly: spec.formerly.clone(),
                direct: Vec::new(),
                route: Vec::new(),
                goto: spec.goto,
                branches: Vec::new(),
                any: spec.any,
                policy: spec.policy,
                pause_before: spec.pause_before,
                pause_after: spec.pause_after,
                budget: spec.budget.clone(),
                on_error: Vec::new(),
                child: spec.child.clone(),
            });
        }
        // A wire of another builder would lead to whatever node has its number here: it is reported, not followed.
        let own = |wire: &&Wire| wire.node.is_none() || wire.builder == topology.builder;
        for wire in topology.start.iter().filter(own) {
            let edge = plan.add_edge(None, wire, Via::Start, "", false);
            plan.start.push(edge);
        }
        for (place, spec) in topology.nodes.iter().enumerate() {
            let source = NodeIx(place as u32);
            for wire in spec.edges.iter().filter(own) {
                let edge = plan.add_edge(Some(source), wire, Via::Direct, "", false);
                plan.nodes[place].direct.push(edge);
            }
            let wiring = spec.route.as_deref().unwrap_or_default();
            let via = |variant| if spec.goto { Via::Goto { variant } } else { Via::Route { variant } };
            plan.nodes[place].route = plan.add_variants(source, wiring, own, via);
            for (number, BranchSpec { decide, variants }) in spec.branches.iter().enumerate() {
                let via = |variant| Via::Branch { branch: number as u16, variant };
                let variants = plan.add_variants(source, variants, own, via);
                if let Decide::Gate(_) = decide {
                    let blamed = variants.iter().skip(usize::from(FIRST_BLAMED)).flat_map(|v| &v.edges);
                    blamed.for_each(|edge| plan.edges[edge.index()].retries = true);
                }
                plan.nodes[place].branches.push(PlanBranch { decide: decide.clone(), variants });
            }
        }
        plan.add_joins(topology);
        plan.add_error_edges(topology);
        plan.add_deferred(topology);
        reach::compile(&mut plan);
        feeders::compile(&mut plan);
        plan.fingerprint = plan.compute_fingerprint();
        let shape = plan.shape();
        plan.table = Arc::new(NodeTable::of(topology).with_shape(shape));
        plan
    }

    fn add_edge(
        &mut self,
        source: Option<NodeIx>,
        wire: &Wire,
        via: Via,
        label: &'static str,
        each: bool,
    ) -> EdgeIx {
        // A foreign number may point past the end; the check reports it, and END keeps the tables sound until then.
        let target = wire.node.filter(|node| node.index() < self.nodes.len());
        self.edges.push(PlanEdge {
            source,
            target,
            via,
            label,
            at_most: wire.at_most,
            each,
            join: None,
            back: false,
            retries: false,
        });
        EdgeIx(self.edges.len() as u32 - 1)
    }

    fn add_variants(
        &mut self,
        source: NodeIx,
        wiring: &[VariantWiring],
        own: impl Fn(&&Wire) -> bool,
        via: impl Fn(u16) -> Via,
    ) -> Vec<PlanVariant> {
        let mut variants = Vec::with_capacity(wiring.len());
        for (number, variant) in wiring.iter().enumerate() {
            let edges = variant
                .wires
                .iter()
                .filter(&own)
                .map(|wire| {
                    self.add_edge(Some(source), wire, via(number as u16), variant.label, variant.each)
                })
                .collect();
            variants.push(PlanVariant { label: variant.label, edges });
        }
        variants
    }

    fn add_joins(&mut self, topology: &Topology) {
        for spec in &topology.joins {
            let own = |wire: &&Wire| wire.builder == topology.builder;
            let Some(target) = Some(&spec.target).filter(own).and_then(|wire| wire.node) else { continue };
            let number = self.joins.len() as u32;
            let known = |source: &SourceSpec| {
                source.wire.node.filter(|n| n.index() < self.nodes.len()).map(|n| (n, source.optional))
            };
            // A source that is named twice is optional only if it is so both times.
            let mut known: Vec<(NodeIx, bool)> = spec.sources.iter().filter_map(known).collect();
            known.sort_unstable();
            known.dedup_by_key(|(node, _)| *node);
            let (sources, optional): (Vec<NodeIx>, Vec<bool>) = known.into_iter().unzip();
            for source in &sources {
                let edge = self.add_edge(Some(*source), &spec.target, Via::Direct, "", false);
                self.edges[edge.index()].join = Some(number);
                self.nodes[source.index()].direct.push(edge);
            }
            let (mode, timeout) = (spec.mode, spec.timeout);
            self.joins.push(PlanJoin { timeout, optional, ..PlanJoin::of(target, mode, sources) });
        }
    }

    /// A deferred node is a join of whatever leads to it.
    fn add_deferred(&mut self, topology: &Topology) {
        for (place, _) in topology.nodes.iter().enumerate().filter(|(_, spec)| spec.deferred) {
            let target = NodeIx(place as u32);
            let number = self.joins.len() as u32;
            for edge in
                self.edges.iter_mut().filter(|edge| edge.target == Some(target) && edge.join.is_none())
            {
                edge.join = Some(number);
            }
            self.joins.push(PlanJoin::of(target, JoinMode::Quiet, Vec::new()));
        }
    }

    /// Last, so that a graph without them has the numbers, and the fingerprint, that it would have anyway.
    fn add_error_edges(&mut self, topology: &Topology) {
        for (place, spec) in topology.nodes.iter().enumerate() {
            for wire in spec.on_error.iter().filter(|w| w.node.is_none() || w.builder == topology.builder) {
                let edge = self.add_edge(Some(NodeIx(place as u32)), wire, Via::Error, "on error", false);
                self.nodes[place].on_error.push(edge);
            }
        }
    }

    /// The name of a node, or START and END for the ends of an edge.
    pub fn name_of(&self, node: Option<NodeIx>, otherwise: &'static str) -> &str {
        node.and_then(|node| self.nodes.get(node.index())).map_or(otherwise, |node| &node.name)
    }

    /// The name of a node.
    pub fn node_name(&self, node: NodeIx) -> &str {
        self.name_of(Some(node), "?")
    }

    /// The number of the node with this name.
    pub fn node_named(&self, name: &str) -> Option<NodeIx> {
        self.nodes.iter().position(|node| &*node.name == name).map(|place| NodeIx(place as u32))
    }

    /// An edge in words: `review -Again→ write`.
    pub fn describe_edge(&self, edge: EdgeIx) -> String {
        let Some(edge) = self.edges.get(edge.index()) else { return "an unknown edge".to_owned() };
        let (from, to) = (self.name_of(edge.source, "START"), self.name_of(edge.target, "END"));
        if edge.label.is_empty() {
            format!("{from} → {to}")
        } else {
            format!("{from} -{}→ {to}", edge.label)
        }
    }

    /// Bounds, policies and pauses are left out: changing one must not lock stored runs out.
    fn compute_fingerprint(&self) -> Fingerprint {
        let mut parts: Vec<String> = vec![self.name.to_string(), self.schema.name.to_owned()];
        parts.push(self.schema.version.to_string());
        for channel in self.schema.channels {
            parts.push(format!(
                "channel {} {} {} {}",
                channel.name,
                channel.reducer.name(),
                channel.ephemeral,
                channel.reset_on_run
            ));
        }
        parts.extend(self.nodes.iter().map(|node| format!("node {} {}", node.name, node.any)));
        for edge in &self.edges {
            let (from, to) = (self.name_of(edge.source, "START"), self.name_of(edge.target, "END"));
            parts.push(format!(
                "edge {from} {:?} {} {} {to} {:?}",
                edge.via, edge.label, edge.each, edge.join
            ));
        }
        for node in &self.nodes {
            let gates = node.branches.iter().filter_map(PlanBranch::gate);
            parts.extend(gates.map(|gate| format!("gate {} {:?}", node.name, gate.keep)));
        }
        for join in &self.joins {
            parts.push(format!("join {} {:?} {:?}", self.node_name(join.target), join.mode, join.optional));
        }
        for node in &self.nodes {
            let inner = node.child.as_ref().map(|child| child.plan.fingerprint);
            parts.extend(inner.map(|inner| format!("graph {} {inner}", node.name)));
        }
        Fingerprint::of(parts.iter().map(String::as_str))
    }
}
