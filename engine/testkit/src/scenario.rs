//! Random graphs that the checks accept: grown from the shapes that people draw, then bent a little.

use std::sync::Arc;
use std::time::Duration;

use statewright_engine_core::graph::{
    BranchSpec, Decide, GateRule, JoinMode, JoinSpec, Judgement, NodeSpec, StopFn,
};
use statewright_engine_core::{NodeIx, NodePolicy, Plan, RetryPolicy, State, Topology, VariantWiring, Wire};

use crate::declared::{budgeted, undo_kind, undoing};
use crate::elsewhere::{diverted, limited, paused};
use crate::ends::End;
use crate::reference::Reference;
use crate::rng::{Rng, mix};
use crate::script::Script;
use crate::state::SimState;

pub(crate) const LABELS: [&str; 4] = ["A", "B", "C", "D"];
const BUILDER: u64 = 1;

/// The policy of a node, in plain numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimPolicy {
    /// How often it is tried.
    pub attempts: u32,
    /// The first wait.
    pub initial_ms: u64,
    /// By what it grows.
    pub factor: f64,
    /// The longest wait.
    pub cap_ms: u64,
    /// The share by which it varies.
    pub jitter: f64,
    /// Whether unclassified failures are tried again.
    pub unclassified: bool,
    /// How many activations run at once.
    pub at_once: Option<u32>,
}

impl SimPolicy {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            attempts: if rng.chance(400) { 1 } else { rng.between(2, 4) as u32 },
            initial_ms: rng.below(40) as u64,
            factor: 1.0 + rng.below(4) as f64 / 2.0,
            cap_ms: rng.between(10, 100) as u64,
            jitter: rng.below(5) as f64 / 4.0,
            unclassified: rng.chance(500),
            at_once: rng.chance(300).then(|| rng.between(1, 3) as u32),
        }
    }

    fn policy(&self) -> NodePolicy {
        let retry = RetryPolicy::new()
            .attempts(self.attempts)
            .initial(Duration::from_millis(self.initial_ms))
            .factor(self.factor)
            .cap(Duration::from_millis(self.cap_ms))
            .jitter(self.jitter);
        let retry = if self.unclassified { retry.unclassified() } else { retry };
        let policy = NodePolicy::new().retry(retry);
        self.at_once.map_or(policy, |activations| policy.at_once(activations))
    }
}

/// A graph with the behaviour of its nodes.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What was declared.
    pub topology: Topology,
    /// The same, compiled.
    pub plan: Arc<Plan>,
    /// What the nodes do.
    pub script: Script,
    /// The policy of each node.
    pub policies: Vec<SimPolicy>,
    /// How many runs follow one another on the thread.
    pub runs: usize,
}

impl Scenario {
    /// The scenario of a seed. A run of it without faults has at most `activations_max` activations.
    pub fn generate(seed: u64, activations_max: usize) -> Self {
        for attempt in 0..40 {
            let mut rng = Rng::new(mix(&[seed, attempt]));
            let may_conflict = rng.chance(60);
            let script =
                Script { seed: rng.draw(), asks: rng.chance(400), marks: may_conflict || rng.chance(500) };
            let topology = Maker::grow(&mut rng, script);
            let mut topology = bent(&mut rng, topology, script);
            diverted(seed, &mut topology);
            handled(seed, &mut topology);
            paused(seed, &mut topology);
            limited(seed, &mut topology);
            let policies = governed(seed, &mut topology);
            budgeted(seed, &mut topology);
            undoing(seed, &mut topology);
            let Ok(plan) = topology.clone().compile() else { continue };
            let mut scenario =
                Self { topology, plan: Arc::new(plan), script, policies, runs: rng.between(1, 2) };
            if let Some(reference) = scenario.reference(SimState::default(), 0, 0, activations_max) {
                scenario.script.marks &= may_conflict || !matches!(reference.end, End::Conflict { .. });
                return scenario;
            }
        }
        let script = Script { seed, asks: false, marks: false };
        let mut topology = Maker::chain(script);
        let policies = governed(seed, &mut topology);
        // A chain of one node always compiles; if it ever does not, the empty plan shows it at once.
        let plan = topology.clone().compile().unwrap_or_else(|problems| unreachable!("{problems}"));
        Self { topology, plan: Arc::new(plan), script, policies, runs: 1 }
    }

    /// The handler that undoes effects.
    pub fn undo_kind(&self) -> &str {
        self.topology.undos.first().map_or("", |undo| &undo.kind)
    }

    /// Whether effects may be undone more than once.
    pub fn undoes_by_key(&self) -> bool {
        self.undo_kind() == undo_kind(true)
    }

    /// What a run without faults does, from a state and the superstep before it; `None` if it takes too long.
    pub fn reference(
        &self,
        state: SimState,
        superstep: u64,
        run: usize,
        activations_max: usize,
    ) -> Option<Reference> {
        Reference::of(&self.topology, &self.script, state, superstep, run, activations_max)
    }
}

/// Gives some nodes an error handler, as long as the checks accept the graph.
fn handled(seed: u64, topology: &mut Topology) {
    let mut rng = Rng::new(mix(&[seed, 4]));
    if !rng.chance(300) {
        return;
    }
    for place in 0..topology.nodes.len() {
        if !rng.chance(400) {
            continue;
        }
        let mut changed = topology.clone();
        let handler = match changed.nodes.iter().position(|node| node.name.starts_with('h')) {
            Some(known) if rng.chance(500) => NodeIx(known as u32),
            _ => {
                let name = format!("h{}", changed.nodes.len());
                let handler = changed.add_node(NodeSpec::new(name.into(), &[]));
                let back = rng.below(place + 1);
                let onwards = if rng.chance(300) { bounded(NodeIx(back as u32), 1) } else { END };
                changed.nodes[handler.index()].edges.extend([onwards, END]);
                changed.nodes[handler.index()].any = rng.chance(500);
                handler
            }
        };
        changed.nodes[place].on_error.push(wire(handler));
        if changed.clone().compile().is_ok() {
            *topology = changed;
        }
    }
}

/// Gives every node a policy.
fn governed(seed: u64, topology: &mut Topology) -> Vec<SimPolicy> {
    let mut rng = Rng::new(mix(&[seed, 3]));
    let policies: Vec<SimPolicy> = topology.nodes.iter().map(|_| SimPolicy::draw(&mut rng)).collect();
    for (node, policy) in topology.nodes.iter_mut().zip(&policies) {
        node.policy = policy.policy();
    }
    policies
}

pub(crate) fn wire(node: NodeIx) -> Wire {
    Wire { node: Some(node), builder: BUILDER, at_most: None }
}

pub(crate) fn bounded(node: NodeIx, times: usize) -> Wire {
    Wire { at_most: Some(times as u32), ..wire(node) }
}

pub(crate) const END: Wire = Wire { node: None, builder: 0, at_most: None };

struct Maker<'a> {
    rng: &'a mut Rng,
    topology: Topology,
    script: Script,
    /// Nodes that every path passes, for loops to lead back to.
    spine: Vec<NodeIx>,
}

impl Maker<'_> {
    fn grow(rng: &mut Rng, script: Script) -> Topology {
        let topology = Topology::new("simulated", BUILDER, SimState::SCHEMA);
        let mut maker = Maker { rng, topology, script, spine: Vec::new() };
        let mut last = maker.begin();
        let segments = maker.rng.between(0, 3);
        for _ in 0..segments {
            maker.spine.push(last);
            last = maker.segment(last, 2);
        }
        maker.direct(last, END);
        maker.topology
    }

    fn chain(script: Script) -> Topology {
        let mut topology = Topology::new("simulated", BUILDER, SimState::SCHEMA);
        let mut maker =
            Maker { rng: &mut Rng::new(0), topology: topology.clone(), script, spine: Vec::new() };
        let only = maker.node();
        maker.direct(only, END);
        topology.nodes = maker.topology.nodes;
        topology.start.push(wire(only));
        topology
    }

    fn begin(&mut self) -> NodeIx {
        if self.rng.chance(150) {
            let arms: Vec<NodeIx> = (0..self.rng.between(2, 3)).map(|_| self.node()).collect();
            self.topology.start.extend(arms.iter().map(|arm| wire(*arm)));
            return self.joined(arms);
        }
        let first = self.node();
        self.topology.start.push(wire(first));
        first
    }

    fn node(&mut self) -> NodeIx {
        let name = format!("n{}", self.topology.nodes.len());
        self.topology.add_node(NodeSpec::new(name.into(), &[]))
    }

    fn direct(&mut self, from: NodeIx, to: Wire) {
        self.topology.nodes[from.index()].edges.push(to);
    }

    /// A branch on the state, or a route of the node: which of both makes no difference to the shape.
    fn choice(&mut self, from: NodeIx, by_route: bool, variants: Vec<(bool, Vec<Wire>)>) {
        let spec = &mut self.topology.nodes[from.index()];
        if by_route && spec.route.is_none() {
            spec.route_variants = &LABELS[..variants.len().min(LABELS.len())];
            spec.route = Some(wirings(variants));
        } else {
            add_branch(spec, from, self.script, variants);
        }
    }

    fn joined(&mut self, sources: Vec<NodeIx>) -> NodeIx {
        let target = self.node();
        let count = sources.len();
        let mut join = JoinSpec::all(wire(target), sources.into_iter().map(wire));
        if self.rng.chance(200) {
            join.mode = JoinMode::Quorum(self.rng.between(1, count) as u32);
        }
        self.topology.joins.push(join);
        target
    }

    /// Continues behind a node that has no way out yet; gives the next such node.
    fn segment(&mut self, from: NodeIx, depth: usize) -> NodeIx {
        let shape = self.rng.weighted(&[3, 4, 4, 4, 4, 3, 1, 3, 3]);
        match shape {
            Some(1) => self.diamond(from, depth),
            Some(2) => self.alternatives(from, depth),
            Some(3) => self.fan_out(from),
            Some(4) => self.looped(from),
            Some(5) => self.unequal(from),
            Some(6) => self.early_end(from),
            Some(7) => self.partial(from, depth),
            Some(8) => self.gated(from),
            _ => self.straight(from),
        }
    }

    fn straight(&mut self, from: NodeIx) -> NodeIx {
        let next = self.node();
        self.direct(from, wire(next));
        next
    }

    fn diamond(&mut self, from: NodeIx, depth: usize) -> NodeIx {
        let mut tails = Vec::new();
        for _ in 0..self.rng.between(2, 4) {
            let mut tail = self.straight(from);
            if depth > 0 && self.rng.chance(300) {
                tail = if self.rng.chance(500) { self.straight(tail) } else { self.diamond(tail, depth - 1) };
            }
            tails.push(tail);
        }
        self.joined(tails)
    }

    fn alternatives(&mut self, from: NodeIx, depth: usize) -> NodeIx {
        let mut wires = Vec::new();
        let mut tails = Vec::new();
        for _ in 0..self.rng.between(1, 3) {
            let arm = self.node();
            wires.push((false, vec![wire(arm)]));
            tails.push(if depth > 0 && self.rng.chance(350) { self.segment(arm, depth - 1) } else { arm });
        }
        let target = self.node();
        if wires.len() < 2 || self.rng.chance(300) {
            wires.push((false, vec![wire(target)]));
        }
        for tail in tails {
            self.direct(tail, wire(target));
        }
        let by_route = self.rng.chance(500);
        self.choice(from, by_route, wires);
        target
    }

    fn fan_out(&mut self, from: NodeIx) -> NodeIx {
        let worker = self.node();
        let target = self.node();
        let mut wires = vec![(true, vec![wire(worker)])];
        if self.rng.chance(600) {
            wires.push((false, vec![wire(target)]));
        }
        if self.rng.chance(400) {
            // Every worker hands its own result on.
            let second = self.node();
            self.choice(worker, true, vec![(false, vec![wire(second)])]);
            self.direct(second, wire(target));
        } else {
            self.direct(worker, wire(target));
        }
        let by_route = self.rng.chance(700);
        self.choice(from, by_route, wires);
        target
    }

    fn looped(&mut self, from: NodeIx) -> NodeIx {
        let next = self.node();
        let back = if self.rng.chance(400) || self.spine.is_empty() {
            from
        } else {
            self.spine[self.rng.below(self.spine.len())]
        };
        let times = self.rng.between(1, 3);
        let by_route = self.rng.chance(400);
        self.choice(from, by_route, vec![(false, vec![bounded(back, times)]), (false, vec![wire(next)])]);
        next
    }

    /// Paths of unequal length into one node, which runs for each.
    fn unequal(&mut self, from: NodeIx) -> NodeIx {
        let short = self.straight(from);
        let long = self.straight(from);
        let longer = self.straight(long);
        let target = self.node();
        self.direct(short, wire(target));
        self.direct(longer, wire(target));
        let each = self.rng.chance(500);
        let spec = &mut self.topology.nodes[target.index()];
        (spec.any, spec.deferred) = (each, !each);
        target
    }

    /// A join with arms that a branch can leave out.
    fn partial(&mut self, from: NodeIx, depth: usize) -> NodeIx {
        let certain = self.straight(from);
        let mut sources = vec![(certain, false)];
        for _ in 0..self.rng.between(1, 2) {
            let arm = self.node();
            let tail = if depth > 0 && self.rng.chance(400) { self.segment(arm, depth - 1) } else { arm };
            sources.push((tail, true));
            let elsewhere = if self.rng.chance(500) { END } else { wire(self.straight_end()) };
            self.choice(from, false, vec![(false, vec![wire(arm)]), (false, vec![elsewhere])]);
        }
        let target = self.joined(sources.iter().map(|(source, _)| *source).collect());
        if let Some(join) = self.topology.joins.last_mut() {
            for (source, (_, optional)) in join.sources.iter_mut().zip(&sources) {
                source.optional = *optional;
            }
        }
        target
    }

    /// A gate that sends the run back to one of several nodes.
    fn gated(&mut self, from: NodeIx) -> NodeIx {
        let worker = self.straight(from);
        let judged = if self.rng.chance(500) { self.straight(worker) } else { worker };
        let next = self.node();
        let mut blamed = vec![worker];
        if self.rng.chance(400) {
            blamed.extend(self.spine.first());
        }
        let given_up = if self.rng.chance(300) { END } else { wire(next) };
        let mut variants = vec![(false, vec![wire(next)]), (false, vec![given_up])];
        variants.extend(blamed.iter().map(|node| (false, vec![wire(*node)])));
        let keeps = self.rng.chance(700);
        let heeds = self.rng.chance(300);
        let (script, branch) = (self.script, self.topology.nodes[judged.index()].branches.len());
        let rule = GateRule {
            judge: Arc::new(|_| Judgement { score: 1.0, critique: String::new(), blamed: None }),
            pass_at: 0.8,
            attempts: self.rng.between(1, 4) as u32,
            plateau: self.rng.chance(400).then_some(self.rng.between(1, 2) as u32),
            stop: heeds.then(|| -> StopFn {
                Arc::new(move |state| {
                    state.downcast_ref::<SimState>().is_some_and(|state| script.forbids(judged, state))
                })
            }),
            keep: if keeps { vec!["last".to_owned(), "mark".to_owned()] } else { Vec::new() },
        };
        let rule = script.gate(judged, branch, blamed.len() as u16, rule);
        let spec = &mut self.topology.nodes[judged.index()];
        spec.branches.push(BranchSpec { decide: Decide::Gate(rule), variants: wirings(variants) });
        next
    }

    /// A node of its own that ends its path.
    fn straight_end(&mut self) -> NodeIx {
        let node = self.node();
        self.direct(node, END);
        node
    }

    fn early_end(&mut self, from: NodeIx) -> NodeIx {
        let next = self.node();
        let by_route = self.rng.chance(500);
        self.choice(from, by_route, vec![(false, vec![END]), (false, vec![wire(next)])]);
        next
    }
}

pub(crate) fn wirings(variants: Vec<(bool, Vec<Wire>)>) -> Vec<VariantWiring> {
    let numbered = variants.into_iter().enumerate();
    numbered.map(|(number, (each, wires))| VariantWiring { label: LABELS[number % 4], each, wires }).collect()
}

fn add_branch(spec: &mut NodeSpec, node: NodeIx, script: Script, variants: Vec<(bool, Vec<Wire>)>) {
    let each = variants.iter().map(|(each, _)| *each).collect();
    let decide = script.branch_function(node, spec.branches.len(), each);
    spec.branches.push(BranchSpec { decide: Decide::Route(decide), variants: wirings(variants) });
}

/// Adds edges that nobody planned, as long as the checks accept the graph.
fn bent(rng: &mut Rng, mut topology: Topology, script: Script) -> Topology {
    if !rng.chance(400) {
        return topology;
    }
    for _ in 0..rng.between(1, 3) {
        let mut changed = topology.clone();
        let count = changed.nodes.len();
        let (from, to, other) = (rng.below(count), rng.below(count), rng.below(count));
        let [to, other] = [to, other].map(|place| NodeIx(place as u32));
        let target = if rng.chance(500) { bounded(to, rng.between(1, 2)) } else { wire(to) };
        let spec = &mut changed.nodes[from];
        match rng.below(4) {
            0 => spec.edges.push(target),
            1 => {
                add_branch(
                    spec,
                    NodeIx(from as u32),
                    script,
                    vec![(false, vec![target]), (false, vec![END])],
                );
            }
            2 => add_branch(
                spec,
                NodeIx(from as u32),
                script,
                vec![(rng.chance(300), vec![target, wire(other)])],
            ),
            _ => changed.nodes[to.index()].any ^= true,
        }
        if changed.clone().compile().is_ok() {
            topology = changed;
        }
    }
    topology
}
