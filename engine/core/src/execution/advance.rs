//! The step from one superstep to the next: which edges are taken and what runs then. Pure: no state is folded and
//! nothing is stored here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::gates::{Gates, Judged};
use super::joins::{self, Joins};
use super::slot::{Progress, Slot};
use super::types::Limits;
use crate::cell::StateCell;
use crate::failure::{Failure, NodeFailure};
use crate::graph::{Decide, JoinMode, Plan, PlanEdge, PlanNode, PlanVariant};
use crate::ids::{EdgeIx, NodeIx};
use crate::journal::{Branched, Critique, Crossing, JoinChange, PausePoint};
use crate::payload::Payload;
use crate::route::{Decision, Payloads};

/// What was decided at the end of a superstep. The vectors are kept from step to step, so that a chain allocates none.
#[derive(Debug, Default)]
pub(super) struct Advance {
    pub(super) next: Vec<Slot>,
    pub(super) branches: Vec<Branched>,
    pub(super) joins: Vec<JoinChange>,
    /// What gates decided, before the edges are taken.
    pub(super) gates: Vec<Judged>,
    pub(super) crossings: Vec<Crossing>,
    pub(super) taken: Vec<EdgeIx>,
    pub(super) exhausted: Option<EdgeIx>,
    /// Where somebody wants to look before the next superstep.
    pub(super) held: Vec<PausePoint>,
    /// When it is decided, in milliseconds since 1970.
    pub(super) now_ms: u64,
    /// Tokens of this superstep, by join.
    came: Vec<(u32, NodeIx)>,
    /// Nodes that were fanned out to with nothing to do.
    passed: Vec<NodeIx>,
}

impl Advance {
    pub(super) fn clear(&mut self) {
        self.next.clear();
        self.branches.clear();
        self.joins.clear();
        self.gates.clear();
        self.came.clear();
        self.passed.clear();
        self.crossings.clear();
        self.taken.clear();
        self.exhausted = None;
        self.held.clear();
    }
}

/// What lasts over supersteps and is changed by an advance.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// What waits at joins.
    pub(super) joins: Joins,
    /// The rounds of gates. They are counted while gates judge, not when an advance is applied.
    pub(super) gates: Gates,
    /// How often each edge was taken in this run; only bounded edges are counted.
    pub(super) crossed: Vec<u32>,
}

impl Counters {
    pub(super) fn for_plan(plan: &Plan) -> Self {
        Self { joins: Joins::default(), gates: Gates::default(), crossed: vec![0; plan.edges.len()] }
    }

    /// Applies what an advance, present or recorded, decided.
    pub(super) fn apply(&mut self, joins: &[JoinChange], crossings: &[Crossing]) {
        self.joins.apply(joins);
        for crossing in crossings {
            if let Some(count) = self.crossed.get_mut(crossing.edge.index()) {
                *count = crossing.count;
            }
        }
    }
}

/// Takes the edges of START.
pub(super) fn begin(
    plan: &Plan,
    counters: &Counters,
    limits: &Limits,
    out: &mut Advance,
) -> Result<(), Failure> {
    let mut step = Step { plan, counters, out, critique: None };
    for edge in &plan.start {
        step.take(*edge, Payload::Unit);
    }
    step.finish(limits)
}

/// Takes the edges out of the finished activations, in merge order.
pub(super) fn advance(
    plan: &Plan,
    counters: &Counters,
    limits: &Limits,
    slots: &[Slot],
    cell: &dyn StateCell,
    out: &mut Advance,
) -> Result<(), Failure> {
    let mut step = Step { plan, counters, out, critique: None };
    let mut previous = None;
    for slot in slots {
        let node = &plan.nodes[slot.node.index()];
        if matches!(slot.progress, Progress::Abandoned) {
            continue;
        }
        if let Progress::Handled(failure) = &slot.progress {
            step.take_error_edges(node, failure, slot.attempts);
            continue;
        }
        if let Progress::Finished { decision: Some(decision), .. } = &slot.progress {
            let variant = node.route.get(usize::from(decision.variant)).ok_or_else(|| unwired(&node.name))?;
            step.take_variant(variant, &decision.payloads);
        }
        if went_elsewhere(plan, slot) {
            continue;
        }
        // Plain edges and branches lead on once for a node, however many activations of it there were.
        if previous != Some(slot.node) {
            previous = Some(slot.node);
            step.leave(slot.node, cell)?;
        }
    }
    step.pass(cell)?;
    step.finish(limits)
}

/// Whether an activation has left the edges and branches of its node aside.
pub(super) fn went_elsewhere(plan: &Plan, slot: &Slot) -> bool {
    plan.nodes[slot.node.index()].goto
        && matches!(slot.progress, Progress::Finished { decision: Some(_), .. })
}

struct Step<'a> {
    plan: &'a Plan,
    counters: &'a Counters,
    out: &'a mut Advance,
    /// Why a gate sends the run back, while its edges are taken.
    critique: Option<Arc<Critique>>,
}

impl Step<'_> {
    /// Takes the plain edges of a node and what its branches choose.
    fn leave(&mut self, ix: NodeIx, cell: &dyn StateCell) -> Result<(), Failure> {
        let plan = self.plan;
        let node = &plan.nodes[ix.index()];
        for edge in &node.direct {
            self.take(*edge, Payload::Unit);
        }
        if node.branches.is_empty() {
            return Ok(());
        }
        let state = cell.snapshot();
        for (number, branch) in node.branches.iter().enumerate() {
            let number = number as u16;
            let chosen = match &branch.decide {
                Decide::Route(decide) => catch_unwind(AssertUnwindSafe(|| decide(state.as_ref())))
                    .map_err(|panic| branch_panic(&node.name, panic.as_ref()))?,
                Decide::Gate(_) => self.judged(ix, number).ok_or_else(|| unwired(&node.name))?,
            };
            let variant =
                branch.variants.get(usize::from(chosen.variant)).ok_or_else(|| unwired(&node.name))?;
            self.out.branches.push(Branched { node: ix, branch: number, variant: chosen.variant });
            self.take_variant(variant, &chosen.payloads);
            self.critique = None;
        }
        Ok(())
    }

    /// What a gate decided; until the variant is taken, what is scheduled is told why.
    fn judged(&mut self, node: NodeIx, branch: u16) -> Option<Decision> {
        let found = |judged: &&mut Judged| judged.round.node == node && judged.round.branch == branch;
        let judged = self.out.gates.iter_mut().find(found)?;
        self.critique = judged.critique.take();
        Some(Decision { variant: judged.round.variant, payloads: std::mem::take(&mut judged.payloads) })
    }

    /// A fan-out of nothing goes on behind its target, as a loop over an empty list does. A target that returns a
    /// route cannot be passed, since nobody chose where it leads; that path ends.
    fn pass(&mut self, cell: &dyn StateCell) -> Result<(), Failure> {
        let mut place = 0;
        while let Some(node) = self.out.passed.get(place).copied() {
            let again = self.out.passed[..place].contains(&node);
            place += 1;
            let runs = self.out.next.iter().any(|slot| slot.node == node);
            if !again && !runs && self.plan.nodes[node.index()].is_passable() {
                self.leave(node, cell)?;
            }
        }
        Ok(())
    }

    /// A node that failed for good leads to its error handler and nowhere else.
    fn take_error_edges(&mut self, node: &PlanNode, failure: &Failure, attempts: u32) {
        let told = NodeFailure::new(&node.name, failure, attempts);
        for edge in &node.on_error {
            self.take(*edge, Payload::live(told.clone()));
        }
    }

    fn take_variant(&mut self, variant: &PlanVariant, payloads: &Payloads) {
        for edge in &variant.edges {
            match payloads {
                Payloads::None => self.take(*edge, Payload::Unit),
                Payloads::One(payload) => self.take(*edge, payload.clone()),
                Payloads::Each(payloads) if payloads.is_empty() => {
                    let PlanEdge { target, at_most, .. } = &self.plan.edges[edge.index()];
                    // Also a way that nobody goes leads round a loop, and only its bound ends that.
                    if let Some(most) = at_most {
                        self.cross(*edge, *most);
                    }
                    self.out.passed.extend(target);
                }
                Payloads::Each(payloads) => {
                    for payload in payloads {
                        self.take(*edge, payload.clone());
                    }
                }
            }
        }
    }

    fn take(&mut self, ix: EdgeIx, input: Payload) {
        let edge = &self.plan.edges[ix.index()];
        self.out.taken.push(ix);
        if let Some(most) = edge.at_most {
            self.cross(ix, most);
        }
        let Some(target) = edge.target else { return };
        let Some(join) = edge.join else { return self.schedule(target, input) };
        // At a deferred node it does not matter which way a token came.
        let quiet = self.plan.joins[join as usize].mode == JoinMode::Quiet;
        self.out.came.push((join, edge.source.filter(|_| !quiet).unwrap_or(target)));
    }

    /// Several plain edges into one node in one superstep are one activation of it.
    fn schedule(&mut self, target: NodeIx, input: Payload) {
        // Only plain edges look for one another: a fan-out over thousands of payloads must not.
        let same = |slot: &&mut Slot| slot.node == target && slot.input.is_unit();
        let known = if input.is_unit() { self.out.next.iter_mut().rev().find(same) } else { None };
        match known {
            Some(known) if known.critique.is_none() => known.critique.clone_from(&self.critique),
            Some(_) => {}
            None => {
                let mut slot = Slot::new(target, input);
                slot.critique.clone_from(&self.critique);
                self.out.next.push(slot);
            }
        }
    }

    fn cross(&mut self, edge: EdgeIx, most: u32) {
        let known = self.out.crossings.iter_mut().find(|crossing| crossing.edge == edge);
        let count = match known {
            Some(crossing) => {
                crossing.count += 1;
                crossing.count
            }
            None => {
                let count = self.counters.crossed.get(edge.index()).copied().unwrap_or(0) + 1;
                self.out.crossings.push(Crossing { edge, count });
                count
            }
        };
        if count > most && self.out.exhausted.is_none() {
            self.out.exhausted = Some(edge);
        }
    }

    fn finish(mut self, limits: &Limits) -> Result<(), Failure> {
        self.run_joins();
        if self.out.next.len() > limits.frontier {
            return Err(Failure::permanent(
                "SW-X221",
                format!(
                    "the next superstep would have {} activations, more than the limit of {}; fan out in portions",
                    self.out.next.len(),
                    limits.frontier
                ),
            ));
        }
        // Stable: activations of one node stay in fan-out order.
        if self.out.next.len() > 1 {
            self.out.next.sort_by_key(|slot| slot.node);
        }
        Ok(())
    }

    fn run_joins(&mut self) {
        if self.out.came.is_empty() && self.counters.joins.is_empty() {
            return;
        }
        let mut next: Vec<NodeIx> = self.out.next.iter().map(|slot| slot.node).collect();
        next.dedup();
        let Advance { came, joins, now_ms, .. } = &mut *self.out;
        for target in joins::decide(self.plan, &self.counters.joins, came, &next, *now_ms, joins) {
            self.schedule(target, Payload::Unit);
        }
    }
}

fn unwired(node: &str) -> Failure {
    Failure::permanent("SW-X222", format!("`{node}` returned a route variant that its graph does not wire"))
}

fn branch_panic(node: &str, panic: &(dyn Any + Send)) -> Failure {
    Failure::permanent("SW-X223", format!("the branch after `{node}` panicked: {}", panic_text(panic)))
}

/// The words of a panic, if it had any.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
