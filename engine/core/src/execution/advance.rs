//! The step from one superstep to the next: which edges are taken and what runs then. Pure: no state is folded and
//! nothing is stored here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::slot::{Progress, Slot};
use super::types::Limits;
use crate::cell::StateCell;
use crate::failure::{Failure, NodeFailure};
use crate::graph::{Plan, PlanNode, PlanVariant};
use crate::ids::{EdgeIx, NodeIx};
use crate::journal::{Arrival, Branched, Crossing, Token};
use crate::payload::Payload;
use crate::route::Payloads;

/// What was decided at the end of a superstep. The vectors are kept from step to step, so that a chain allocates none.
#[derive(Debug, Default)]
pub(super) struct Advance {
    pub(super) next: Vec<Slot>,
    pub(super) branches: Vec<Branched>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) crossings: Vec<Crossing>,
    pub(super) taken: Vec<EdgeIx>,
    pub(super) exhausted: Option<EdgeIx>,
}

impl Advance {
    pub(super) fn clear(&mut self) {
        self.next.clear();
        self.branches.clear();
        self.arrivals.clear();
        self.crossings.clear();
        self.taken.clear();
        self.exhausted = None;
    }
}

/// What lasts over supersteps and is changed by an advance.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// What waits at each join.
    pub(super) joins: Vec<Vec<Token>>,
    /// How often each edge was taken in this run; only bounded edges are counted.
    pub(super) crossed: Vec<u32>,
}

impl Counters {
    pub(super) fn for_plan(plan: &Plan) -> Self {
        Self { joins: vec![Vec::new(); plan.joins.len()], crossed: vec![0; plan.edges.len()] }
    }

    /// Applies what an advance, present or recorded, decided.
    pub(super) fn apply(&mut self, arrivals: &[Arrival], crossings: &[Crossing]) {
        for arrival in arrivals {
            let Some(join) = self.joins.get_mut(arrival.join as usize) else { continue };
            match &arrival.token {
                Some(token) => join.push(token.clone()),
                None => join.clear(),
            }
        }
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
    let mut step = Step { plan, counters, out };
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
    let mut step = Step { plan, counters, out };
    let mut previous = None;
    for slot in slots {
        let node = &plan.nodes[slot.node.index()];
        if let Progress::Handled(failure) = &slot.progress {
            step.take_error_edges(node, failure, slot.attempts);
            continue;
        }
        if let Progress::Finished { decision: Some(decision), .. } = &slot.progress {
            let variant = node.route.get(usize::from(decision.variant)).ok_or_else(|| unwired(&node.name))?;
            step.take_variant(variant, &decision.payloads);
        }
        // Plain edges and branches lead on once for a node, however many activations of it there were.
        if previous == Some(slot.node) {
            continue;
        }
        previous = Some(slot.node);
        for edge in &node.direct {
            step.take(*edge, Payload::Unit);
        }
        if node.branches.is_empty() {
            continue;
        }
        let state = cell.snapshot();
        for (number, branch) in node.branches.iter().enumerate() {
            let chosen = catch_unwind(AssertUnwindSafe(|| (branch.decide)(state.as_ref())))
                .map_err(|panic| branch_panic(&node.name, panic.as_ref()))?;
            let variant =
                branch.variants.get(usize::from(chosen.variant)).ok_or_else(|| unwired(&node.name))?;
            step.out.branches.push(Branched {
                node: slot.node,
                branch: number as u16,
                variant: chosen.variant,
            });
            step.take_variant(variant, &chosen.payloads);
        }
    }
    step.finish(limits)
}

struct Step<'a> {
    plan: &'a Plan,
    counters: &'a Counters,
    out: &'a mut Advance,
}

impl Step<'_> {
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
        match (edge.join, edge.source) {
            (Some(join), Some(source)) => {
                let token = Token { source, dead: false, scope: Vec::new() };
                self.out.arrivals.push(Arrival { join, token: Some(token) });
            }
            // Several plain edges into one node in one superstep are one activation of it.
            _ if input.is_unit()
                && self.out.next.iter().rev().any(|s| s.node == target && s.input.is_unit()) => {}
            _ => self.out.next.push(Slot::new(target, input)),
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
        self.fire_joins();
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

    fn fire_joins(&mut self) {
        if self.out.arrivals.is_empty() {
            return;
        }
        for (number, join) in self.plan.joins.iter().enumerate() {
            let number = number as u32;
            let waiting = self.counters.joins.get(number as usize).map_or(&[][..], Vec::as_slice);
            let arrived = self.out.arrivals.iter().filter(|arrival| arrival.join == number);
            let arrived: Vec<NodeIx> =
                arrived.filter_map(|a| a.token.as_ref()).chain(waiting).map(|token| token.source).collect();
            if join.sources.iter().all(|source| arrived.contains(source)) {
                self.out.arrivals.push(Arrival { join: number, token: None });
                if !self.out.next.iter().any(|slot| slot.node == join.target && slot.input.is_unit()) {
                    self.out.next.push(Slot::new(join.target, Payload::Unit));
                }
            }
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
