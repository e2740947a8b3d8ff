//! Random graphs with graphs inside their nodes: generated, and what a run of them without faults does.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use statewright_engine_core::graph::Child;
use statewright_engine_core::{
    Budget, NodeIx, NodePolicy, Payload, Snapshot, State, StateCell, TypedCell, UpdateValue,
};

use crate::ends::End;
use crate::reference::Reference;
use crate::rng::{Rng, digest, mix};
use crate::scenario::{Scenario, SimPolicy};
use crate::script::{Script, Visit};
use crate::state::{Row, SimState, SimStateUpdate, Wide};

/// How deep they stand inside one another; the outermost one is at depth 1.
const DEPTH_MAX: usize = 3;
const ACTIVATIONS_OF_ONE: usize = 10;
/// In all graphs of a run together.
const ACTIVATIONS_MAX: usize = 60;

/// How a run begins.
pub(crate) struct Begin {
    pub(crate) state: SimState,
    /// The last superstep before the run.
    pub(crate) before: u64,
    /// Whether nothing was ever run on the state.
    pub(crate) anew: bool,
    pub(crate) input: SimStateUpdate,
}

/// What an activation writes whose node is a graph: nothing if it is none, and nothing inside if its run takes too long.
pub(crate) type Inside<'a> = dyn Fn(&Visit<'_>) -> Option<Option<SimStateUpdate>> + 'a;

/// A graph, and the graphs inside its nodes.
pub(crate) struct Tree {
    pub(crate) scenario: Scenario,
    inner: BTreeMap<NodeIx, Arc<Tree>>,
}

impl Tree {
    /// The tree of a seed; its first run without faults is not too long.
    pub(crate) fn generate(seed: u64) -> Self {
        for attempt in 0..40 {
            let mut tree = Self::of_depth(mix(&[seed, attempt]), 1);
            tree.scenario.fail_fast(mix(&[seed, 23]).is_multiple_of(6));
            let begin = tree.begin(SimState::default(), 0, 0);
            if !tree.inner.is_empty() && tree.reference(begin).is_some() {
                return tree;
            }
        }
        Self { scenario: Scenario::generate(seed, ACTIVATIONS_OF_ONE).bare(), inner: BTreeMap::new() }
    }

    fn of_depth(seed: u64, depth: usize) -> Self {
        let mut rng = Rng::new(mix(&[seed, 20]));
        let mut scenario = Scenario::generate(mix(&[seed, 21]), ACTIVATIONS_OF_ONE).bare();
        // What conflicts inside can never go on.
        scenario.script.marks &= depth == 1;
        let mut inner = BTreeMap::new();
        let likely = if depth == 1 { 500 } else { 300 };
        for place in 0..scenario.topology.nodes.len() {
            let node = NodeIx(place as u32);
            if depth == DEPTH_MAX || !rng.chance(likely) || !scenario.may_hold(node) {
                continue;
            }
            let tree = Arc::new(Self::of_depth(mix(&[seed, 22, place as u64]), depth + 1));
            if scenario.hold(node, tree.child()) {
                inner.insert(node, tree);
            }
        }
        Self { scenario, inner }
    }

    /// The graph inside a node.
    pub(crate) fn inside(&self, node: NodeIx) -> Option<&Arc<Tree>> {
        self.inner.get(&node)
    }

    /// How a run of the outermost graph begins.
    pub(crate) fn begin(&self, state: SimState, before: u64, run: usize) -> Begin {
        Begin { state, before, anew: before == 0 && run == 0, input: self.scenario.script.input(run) }
    }

    /// How a run inside an activation begins.
    pub(crate) fn entered(&self, outer: &SimState, input: Option<u64>) -> Begin {
        let input = self.scenario.script.enters(outer, input);
        Begin { state: SimState::default(), before: 0, anew: true, input }
    }

    /// What a run does without faults; `None` if it takes too long, or ends inside in a way that cannot go on.
    pub(crate) fn reference(&self, begin: Begin) -> Option<Reference> {
        self.within_limit(begin, &Cell::new(ACTIVATIONS_MAX))
    }

    fn within_limit(&self, begin: Begin, left: &Cell<usize>) -> Option<Reference> {
        let inside = |visit: &Visit<'_>| {
            let tree = self.inside(visit.node)?;
            let begin = tree.entered(visit.state, visit.input);
            let run = tree.within_limit(begin, left).filter(|run| run.end == End::Finished);
            Some(run.map(|run| tree.scenario.script.leaves(run.last())))
        };
        let Scenario { topology, script, .. } = &self.scenario;
        let reference = Reference::of_tree(topology, script, begin, &inside, left.get())?;
        left.set(left.get().checked_sub(reference.activations())?);
        Some(reference)
    }

    fn child(&self) -> Child {
        let script = self.scenario.script;
        Child {
            plan: self.scenario.plan.clone(),
            cell: Arc::new(|| Box::new(TypedCell::<SimState>::new()) as Box<dyn StateCell>),
            enter: Arc::new(move |outer: &(dyn Any + Send + Sync), input: &Payload| {
                let outer = outer.downcast_ref::<SimState>().ok_or("the state is another graph's")?;
                let input = if input.is_unit() { None } else { Some(input.read::<Wide>()?.0) };
                Ok(UpdateValue::live(script.enters(outer, input)))
            }),
            leave: Arc::new(move |state: Snapshot| {
                UpdateValue::live(script.leaves(&state.downcast::<SimState>().unwrap_or_default()))
            }),
        }
    }

    /// Whether any node has an error handler, here or inside.
    pub(crate) fn has_handlers(&self) -> bool {
        let handled = self.scenario.topology.nodes.iter().any(|node| !node.on_error.is_empty());
        handled || self.inner.values().any(|inner| inner.has_handlers())
    }
}

impl Scenario {
    /// Without what belongs to the outermost graph alone.
    fn bare(mut self) -> Self {
        let mut topology = self.topology.clone();
        (topology.run_budget, topology.thread_budget) = (Budget::new(), Budget::new());
        topology.undos.clear();
        (topology.compensates, topology.fail_fast) = (false, false);
        topology.nodes.iter_mut().for_each(|node| node.budget = Budget::new());
        self.compiles(topology);
        self
    }

    /// Whether a node may be a graph: what it is told is a number or nothing, and it chooses no way.
    fn may_hold(&self, node: NodeIx) -> bool {
        let spec = &self.topology.nodes[node.index()];
        let handles = self.topology.nodes.iter().flat_map(|other| &other.on_error);
        let handles = handles.filter_map(|wire| wire.node).any(|handler| handler == node);
        spec.route.is_none() && !spec.goto && spec.on_error.is_empty() && !handles
    }

    /// Lets a node that fails for good end the drive at once.
    fn fail_fast(&mut self, fails: bool) {
        let topology = statewright_engine_core::Topology { fail_fast: fails, ..self.topology.clone() };
        self.compiles(topology);
    }

    /// Puts a graph into a node, if the checks accept that.
    fn hold(&mut self, node: NodeIx, child: Child) -> bool {
        let policy = SimPolicy { attempts: 1, ..self.policies[node.index()] };
        let mut topology = self.topology.clone();
        let spec = &mut topology.nodes[node.index()];
        spec.child = Some(child);
        spec.policy = policy.at_once.map_or_else(NodePolicy::new, |most| NodePolicy::new().at_once(most));
        let fits = self.compiles(topology);
        if fits {
            self.policies[node.index()] = policy;
        }
        fits
    }

    fn compiles(&mut self, topology: statewright_engine_core::Topology) -> bool {
        let Ok(plan) = topology.clone().compile() else { return false };
        (self.topology, self.plan) = (topology, Arc::new(plan));
        true
    }
}

impl Script {
    /// The input of a run inside an activation.
    fn enters(&self, outer: &SimState, input: Option<u64>) -> SimStateUpdate {
        let input = input.map_or(0, |input| input.wrapping_add(1));
        let hash = mix(&[self.seed, 14, digest(outer), input]);
        let update = SimState::update().log(hash % 100).of_run(hash % 90).high(hash % 500);
        if hash.is_multiple_of(3) { update.last(Wide(hash % 20)) } else { update }
    }

    /// What comes back of it: something of everything.
    fn leaves(&self, inner: &SimState) -> SimStateUpdate {
        let hash = mix(&[self.seed, 15, digest(inner)]);
        let update = SimState::update().log(hash >> 40).sum(inner.sum % 100).turned(hash);
        let update = update.rows(Row { key: hash % 6, value: hash >> 50 }).seen(hash % 9);
        if hash.is_multiple_of(2) { update.last(Wide(hash % 20)) } else { update }
    }
}
