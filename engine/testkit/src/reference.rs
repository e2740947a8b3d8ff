//! The reference: what a run without faults does, written down as simply as possible and without the engine's tables.
//! It reads what was declared, not what was compiled, and folds with code of its own.

use std::collections::{BTreeSet, HashMap};

use statewright_engine_core::graph::{Decide, JoinMode, NodeSpec};
use statewright_engine_core::{ActivationId, NodeIx, State, Topology, Wire, Write};

use crate::ends::{End, Exhaustion};
use crate::leads::forward;
use crate::script::{Carried, Script, Visit};
use crate::state::{SimState, SimStateUpdate, Wide, turned};
use crate::tree::{Begin, Inside};

/// How often an exhausted run is taken up again before it is left.
const GRANTS_MAX: usize = 2;

/// A run without faults.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The last superstep before the run.
    pub before: u64,
    /// The state that each superstep of the run sees, and at last the one that it leaves behind.
    pub states: Vec<SimState>,
    /// The activations of each superstep, in merge order.
    pub frontiers: Vec<Vec<(NodeIx, Option<u64>)>>,
    /// Where bounds were used up.
    pub exhaustions: Vec<Exhaustion>,
    /// How it ends.
    pub end: End,
    /// How many tokens wait at joins when it ends.
    pub starved: usize,
}

impl Reference {
    /// Runs a topology, or gives up when it takes more activations than this.
    pub fn of(
        topology: &Topology,
        script: &Script,
        state: SimState,
        before: u64,
        run: usize,
        activations_max: usize,
    ) -> Option<Self> {
        let begin = Begin { state, before, anew: before == 0 && run == 0, input: script.input(run) };
        Self::of_tree(topology, script, begin, &|_| None, activations_max)
    }

    /// The same where some nodes are graphs.
    pub(crate) fn of_tree(
        topology: &Topology,
        script: &Script,
        Begin { state, before, anew, input }: Begin,
        inside: &Inside<'_>,
        activations_max: usize,
    ) -> Option<Self> {
        let mut machine = Machine {
            topology,
            script,
            inside,
            too_long: false,
            state,
            joins: vec![Gathered::default(); topology.joins.len()],
            deferred: BTreeSet::new(),
            gates: HashMap::new(),
            leads: forward(topology),
            crossed: HashMap::new(),
        };
        if !anew {
            machine.state.of_run.clear();
            machine.state.cost = 0;
        }
        fold(&mut machine.state, &input);
        let mut next = Next::default();
        for (place, wire) in topology.start.iter().enumerate() {
            machine.take(&mut next, (None, 0, place), *wire, None);
        }
        let mut reference = Self {
            before,
            states: vec![machine.state.clone()],
            frontiers: Vec::new(),
            exhaustions: Vec::new(),
            end: End::Finished,
            starved: 0,
        };
        loop {
            let frontier = machine.frontier(&mut next);
            if frontier.is_empty() {
                reference.frontiers.push(frontier);
                reference.starved = machine.joins.iter().map(|join| join.tokens.len()).sum::<usize>()
                    + machine.deferred.len();
                return Some(reference);
            }
            let superstep = before + reference.states.len() as u64;
            if let Some((source, target)) = next.exhausted.take() {
                reference.exhaustions.push(Exhaustion { superstep, source, target });
                if reference.exhaustions.len() > GRANTS_MAX {
                    reference.frontiers.push(frontier);
                    reference.end = End::Exhausted;
                    return Some(reference);
                }
                machine.grant();
            }
            reference.frontiers.push(frontier.clone());
            if reference.activations() > activations_max {
                return None;
            }
            let Some(following) = machine.superstep(superstep, &frontier) else {
                if machine.too_long {
                    return None;
                }
                reference.end = End::Conflict { superstep };
                return Some(reference);
            };
            next = following;
            reference.states.push(machine.state.clone());
        }
    }

    /// The state that a superstep sees.
    pub fn state_at(&self, superstep: u64) -> Option<&SimState> {
        self.states.get(superstep.checked_sub(self.before + 1)? as usize)
    }

    /// The state that it leaves behind.
    pub(crate) fn last(&self) -> &SimState {
        self.states.last().unwrap_or_else(|| unreachable!("a run begins with a state"))
    }

    /// An activation's node and input.
    pub fn activation(&self, id: ActivationId) -> Option<(NodeIx, Option<u64>)> {
        let place = id.superstep.checked_sub(self.before + 1)? as usize;
        self.frontiers.get(place)?.get(id.index as usize).copied()
    }

    /// How many activations it has.
    pub fn activations(&self) -> usize {
        self.frontiers.iter().map(Vec::len).sum()
    }
}

/// Where a wire is declared: the node, the list of wires within it, the place in that list.
type Place = (Option<NodeIx>, usize, usize);

/// What a gate remembers.
#[derive(Clone, Default)]
struct Kept {
    rounds: u32,
    best: u32,
    score: f64,
    last: Option<Wide>,
    mark: Option<Wide>,
}

/// What is at a join.
#[derive(Clone, Default)]
struct Gathered {
    tokens: Vec<NodeIx>,
    /// Sources whose next token comes too late.
    owing: Vec<NodeIx>,
}

#[derive(Default)]
struct Next {
    tokens: Vec<(NodeIx, Option<u64>)>,
    /// What gates chose.
    chosen: HashMap<(NodeIx, usize), u16>,
    /// Targets of fan-outs of nothing.
    passed: Vec<NodeIx>,
    exhausted: Option<(Option<NodeIx>, Option<NodeIx>)>,
}

struct Machine<'a> {
    topology: &'a Topology,
    script: &'a Script,
    inside: &'a Inside<'a>,
    /// Whether the run of a graph inside a node took too long.
    too_long: bool,
    state: SimState,
    joins: Vec<Gathered>,
    /// Deferred nodes that something led to.
    deferred: BTreeSet<NodeIx>,
    /// For each gate that sent the run back: its rounds, and the best of them with what it keeps.
    gates: HashMap<(NodeIx, usize), Kept>,
    /// Which node leads to which, in one round.
    leads: BTreeSet<(NodeIx, NodeIx)>,
    /// For each bounded wire its bound and how often it was taken.
    crossed: HashMap<Place, (u32, u32)>,
}

impl Machine<'_> {
    /// Runs everything, folds, and follows the edges; `None` if two activations conflict.
    fn superstep(&mut self, superstep: u64, frontier: &[(NodeIx, Option<u64>)]) -> Option<Next> {
        let (mut updates, mut routes, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (node, input)) in frontier.iter().enumerate() {
            let activation = ActivationId { superstep, index: index as u32 };
            let visit = Visit { node: *node, activation, input: *input, state: &self.state };
            if let Some(written) = (self.inside)(&visit) {
                self.too_long = written.is_none();
                updates.push(written?);
                routes.push(None);
                failed.push(None);
                continue;
            }
            let handled = !self.spec(*node).on_error.is_empty();
            failed.push(self.script.fails(&visit).filter(|_| handled));
            if failed[index].is_some() {
                updates.push(SimState::update());
                routes.push(None);
                continue;
            }
            let answer = self.script.question(&visit).map(|_| self.script.answer(&visit));
            updates.push(self.script.update(&visit, answer));
            routes.push(self.script.returned(&visit, self.spec(*node)));
        }
        if conflict(&updates) {
            return None;
        }
        self.state.fresh.clear();
        self.state.flash = None;
        for update in &updates {
            fold(&mut self.state, update);
        }
        let elsewhere: Vec<bool> = frontier
            .iter()
            .zip(&routes)
            .map(|((n, _), route)| self.spec(*n).goto && route.is_some())
            .collect();
        let passes = |index: &usize| failed[*index].is_none() && !elsewhere[*index];
        let finished: Vec<NodeIx> =
            (0..frontier.len()).filter(passes).map(|index| frontier[index].0).collect();
        let mut next = Next { chosen: self.judge(finished), ..Next::default() };
        let mut left = None;
        for (index, (node, _)) in frontier.iter().enumerate() {
            let spec = self.spec(*node).clone();
            if let Some(told) = failed[index] {
                for (place, wire) in spec.on_error.iter().enumerate() {
                    self.take(&mut next, (Some(*node), usize::MAX, place), *wire, Some(told));
                }
                continue;
            }
            if let (Some(wiring), Some((variant, carried))) = (&spec.route, &routes[index]) {
                let wires = &wiring[usize::from(*variant)].wires;
                self.take_all(&mut next, (Some(*node), 1), usize::from(*variant), wires, carried);
            }
            if !elsewhere[index] && left.replace(*node) != Some(*node) {
                self.leave(&mut next, *node, &spec);
            }
        }
        let mut gone_past = BTreeSet::new();
        while let Some(node) = next.passed.pop() {
            let spec = self.spec(node).clone();
            let runs = next.tokens.iter().any(|(other, _)| *other == node);
            let gated = spec.branches.iter().any(|branch| matches!(branch.decide, Decide::Gate(_)));
            let chooses = spec.route.is_some() && !spec.goto;
            if !runs && !chooses && !gated && gone_past.insert(node) {
                self.leave(&mut next, node, &spec);
            }
        }
        Some(next)
    }

    /// What the gates behind these nodes choose; the best round is put back where one gives up.
    fn judge(&mut self, mut nodes: Vec<NodeIx>) -> HashMap<(NodeIx, usize), u16> {
        let mut chosen = HashMap::new();
        nodes.dedup();
        for node in nodes {
            for (number, branch) in self.spec(node).branches.clone().iter().enumerate() {
                let Decide::Gate(rule) = &branch.decide else { continue };
                let blamed = branch.variants.len() as u16 - 2;
                let (score, variant) = self.script.judge(node, number, &self.state, blamed);
                let before = self.gates.remove(&(node, number));
                let rounds = before.as_ref().map_or(1, |kept| kept.rounds + 1);
                let here = Kept { rounds, best: rounds, score, last: self.state.last, mark: self.state.mark };
                let best = match before {
                    Some(before) if before.score >= score => Kept { rounds, ..before },
                    _ => here,
                };
                let stuck = rule.plateau.is_some_and(|most| rounds - best.best >= most);
                let forbidden = rule.stop.is_some() && self.script.forbids(node, &self.state);
                let way = match variant {
                    _ if score >= rule.pass_at => 0,
                    Some(variant) if rounds < rule.attempts && !stuck && !forbidden => 2 + variant,
                    _ => 1,
                };
                if way == 1 && !rule.keep.is_empty() {
                    (self.state.last, self.state.mark) = (best.last, best.mark);
                }
                if way > 1 {
                    self.gates.insert((node, number), best);
                }
                chosen.insert((node, number), way);
            }
        }
        chosen
    }

    /// What is followed once for a node: plain edges, joins, branches.
    fn leave(&mut self, next: &mut Next, node: NodeIx, spec: &NodeSpec) {
        for (place, wire) in spec.edges.iter().enumerate() {
            self.take(next, (Some(node), 0, place), *wire, None);
        }
        for (place, join) in self.topology.joins.iter().enumerate() {
            if join.sources.iter().any(|source| source.wire.node == Some(node)) {
                let gathered = &mut self.joins[place];
                match gathered.owing.iter().position(|owing| *owing == node) {
                    Some(owing) => drop(gathered.owing.remove(owing)),
                    None => gathered.tokens.push(node),
                }
            }
        }
        for (number, branch) in spec.branches.iter().enumerate() {
            let each: Vec<bool> = branch.variants.iter().map(|variant| variant.each).collect();
            let (variant, carried) = match branch.decide {
                Decide::Route(_) => self.script.branch(node, number, &self.state, &each),
                Decide::Gate(_) => (next.chosen[&(node, number)], Carried::Nothing),
            };
            let wires = &branch.variants[usize::from(variant)].wires;
            self.take_all(next, (Some(node), 2 + number), usize::from(variant), wires, &carried);
        }
    }

    fn take_all(
        &mut self,
        next: &mut Next,
        from: (Option<NodeIx>, usize),
        variant: usize,
        wires: &[Wire],
        carried: &Carried,
    ) {
        for (number, wire) in wires.iter().enumerate() {
            let place = (from.0, from.1, variant * 100 + number);
            match carried {
                Carried::Nothing => self.take(next, place, *wire, None),
                Carried::One(payload) => self.take(next, place, *wire, Some(*payload)),
                Carried::Each(payloads) if payloads.is_empty() => {
                    self.cross(next, place, *wire);
                    next.passed.extend(wire.node);
                }
                Carried::Each(payloads) => {
                    payloads.iter().for_each(|payload| self.take(next, place, *wire, Some(*payload)));
                }
            }
        }
    }

    fn cross(&mut self, next: &mut Next, place: Place, wire: Wire) {
        if let Some(most) = wire.at_most {
            let (_, count) = self.crossed.entry(place).or_insert((most, 0));
            *count += 1;
            if *count > most && next.exhausted.is_none() {
                next.exhausted = Some((place.0, wire.node));
            }
        }
    }

    fn take(&mut self, next: &mut Next, place: Place, wire: Wire, payload: Option<u64>) {
        self.cross(next, place, wire);
        let Some(target) = wire.node else { return };
        if self.spec(target).deferred {
            self.deferred.insert(target);
            return;
        }
        if payload.is_some() || !next.tokens.contains(&(target, None)) {
            next.tokens.push((target, payload));
        }
    }

    /// The next superstep's activations in merge order.
    fn frontier(&mut self, next: &mut Next) -> Vec<(NodeIx, Option<u64>)> {
        let mut under_way: Vec<NodeIx> = next.tokens.iter().map(|(node, _)| *node).collect();
        under_way.extend(&self.deferred);
        let waits = |place: &usize| !self.joins[*place].tokens.is_empty();
        let waiting = (0..self.joins.len()).filter(waits);
        under_way.extend(waiting.filter_map(|place| self.topology.joins[place].target.node));
        let mut ready = Vec::new();
        for (place, join) in self.topology.joins.iter().enumerate() {
            let Some(target) = join.target.node else { continue };
            let sources: BTreeSet<NodeIx> =
                join.sources.iter().filter_map(|source| source.wire.node).collect();
            let gathered = &mut self.joins[place];
            let can_come = |source: &NodeIx| {
                under_way.iter().any(|node| *node != target && self.leads.contains(&(*node, *source)))
            };
            gathered.owing.retain(can_come);
            let here: BTreeSet<NodeIx> =
                sources.iter().filter(|s| gathered.tokens.contains(s)).copied().collect();
            let awaited: Vec<NodeIx> = sources.difference(&here).copied().filter(can_come).collect();
            let enough = match join.mode {
                JoinMode::Quorum(needed) => here.len() >= needed as usize,
                _ => awaited.is_empty(),
            };
            if here.is_empty() || !(enough || awaited.is_empty()) {
                continue;
            }
            for source in &here {
                let first = gathered.tokens.iter().position(|token| token == source);
                first.map(|first| gathered.tokens.remove(first));
            }
            gathered.owing.extend(awaited);
            ready.push(target);
        }
        let quiet = |node: &NodeIx| {
            !under_way.iter().any(|other| other != node && self.leads.contains(&(*other, *node)))
        };
        let quiet: Vec<NodeIx> = self.deferred.iter().filter(|node| quiet(node)).copied().collect();
        self.deferred.retain(|node| !quiet.contains(node));
        for target in ready.into_iter().chain(quiet) {
            if !next.tokens.contains(&(target, None)) {
                next.tokens.push((target, None));
            }
        }
        let mut frontier = std::mem::take(&mut next.tokens);
        frontier.sort_by_key(|(node, _)| *node);
        frontier
    }

    fn grant(&mut self) {
        for (most, count) in self.crossed.values_mut() {
            if count > most {
                *count = 1;
            }
        }
    }

    fn spec(&self, node: NodeIx) -> &NodeSpec {
        &self.topology.nodes[node.index()]
    }
}

/// Whether two of these write what only one of them may write.
fn conflict(updates: &[SimStateUpdate]) -> bool {
    let logged = updates.iter().filter(|update| !update.log.is_empty() || !update.overwrite_log.is_keep());
    let overwritten = updates.iter().any(|update| !update.overwrite_log.is_keep());
    updates.iter().filter(|update| !update.mark.is_keep()).count() > 1 || overwritten && logged.count() > 1
}

/// Folds one update in.
pub(crate) fn fold(state: &mut SimState, update: &SimStateUpdate) {
    if let Write::Set(log) = &update.overwrite_log {
        state.log.clone_from(log);
    }
    state.log.extend(&update.log);
    state.fresh.extend(&update.fresh);
    state.of_run.extend(&update.of_run);
    state.seen.extend(&update.seen);
    for row in &update.rows {
        match state.rows.iter_mut().find(|present| present.key == row.key) {
            Some(present) => present.value = row.value,
            None => state.rows.push(row.clone()),
        }
    }
    if let Write::Set(number) = update.sum {
        state.sum += number;
    }
    if let Write::Set(number) = update.cost {
        state.cost += number;
    }
    if let Write::Set(number) = update.high {
        state.high = state.high.max(number);
    }
    if let Write::Set(Some(number)) = update.low {
        state.low = Some(state.low.map_or(number, |present| present.min(number)));
    }
    if let Write::Set(value) = update.last {
        state.last = value;
    }
    if let Write::Set(value) = update.mark {
        state.mark = value;
    }
    if let Write::Set(value) = update.flash {
        state.flash = value;
    }
    if let Write::Set(value) = update.turned {
        state.turned = turned(state.turned, value);
    }
}
