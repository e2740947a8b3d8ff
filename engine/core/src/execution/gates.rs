//! Gates at work: judging a merged state, counting rounds, and putting the best round back in the end. What was decided
//! is recorded; recovery takes the rounds as they are, and judges nothing again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::advance::{panic_text, went_elsewhere};
use super::slot::{Progress, Slot};
use crate::cell::{CellError, StateCell};
use crate::failure::Failure;
use crate::graph::{FIRST_BLAMED, GateRule, Judgement, PASS, Plan, STOP};
use crate::ids::NodeIx;
use crate::journal::{Critique, GateImage, GateRound, GateStop};
use crate::route::Payloads;

/// The gates that are between two rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    open: BTreeMap<(NodeIx, u16), Rounds>,
}

#[derive(Clone, Debug, Default)]
struct Rounds {
    rounds: u32,
    best: u32,
    score: f64,
    /// The kept fields of the best round.
    kept: Vec<u8>,
}

/// A judgement with what travels to the node to blame.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) round: GateRound,
    pub(super) payloads: Payloads,
    pub(super) critique: Option<Arc<Critique>>,
}

impl Gates {
    /// Applies a round, just decided or as it was recorded, to the counters and to the state.
    pub(super) fn apply(
        &mut self,
        plan: &Plan,
        cell: &mut dyn StateCell,
        round: &GateRound,
    ) -> Result<(), CellError> {
        let Some(rule) = rule(plan, round.node, round.branch) else { return Ok(()) };
        let channels = cell.schema().channels;
        let keeps = |channel: usize| rule.keep.iter().any(|field| field == channels[channel].name);
        let gate = (round.node, round.branch);
        let goes_on = round.variant >= FIRST_BLAMED;
        if round.restored.is_some() {
            if let Some(rounds) = self.open.get(&gate) {
                cell.restore(&rounds.kept, &keeps)?;
            }
        } else if round.best && goes_on {
            let kept = if rule.keep.is_empty() { Vec::new() } else { cell.image(&keeps)? };
            let rounds = Rounds { rounds: round.round, best: round.round, score: round.score, kept };
            self.open.insert(gate, rounds);
        }
        match self.open.get_mut(&gate) {
            Some(rounds) if goes_on => rounds.rounds = round.round,
            Some(_) => drop(self.open.remove(&gate)),
            None => {}
        }
        Ok(())
    }

    pub(super) fn images(&self) -> Vec<GateImage> {
        let image = |((node, branch), rounds): (&(NodeIx, u16), &Rounds)| GateImage {
            node: *node,
            branch: *branch,
            rounds: rounds.rounds,
            best: rounds.best,
            score: rounds.score,
            kept: ByteBuf::from(rounds.kept.clone()),
        };
        self.open.iter().map(image).collect()
    }

    pub(super) fn from_images(images: Vec<GateImage>) -> Self {
        let rounds = |image: GateImage| {
            let GateImage { node, branch, rounds, best, score, kept } = image;
            ((node, branch), Rounds { rounds, best, score, kept: kept.into_vec() })
        };
        Self { open: images.into_iter().map(rounds).collect() }
    }
}

fn rule(plan: &Plan, node: NodeIx, branch: u16) -> Option<&GateRule> {
    plan.nodes.get(node.index())?.branches.get(usize::from(branch))?.gate()
}

/// Judges the merged state at every gate behind the finished nodes, in merge order.
pub(super) fn judge(
    plan: &Plan,
    gates: &mut Gates,
    slots: &[Slot],
    cell: &mut dyn StateCell,
    out: &mut Vec<Judged>,
) -> Result<(), Failure> {
    let mut previous = None;
    // Where every activation has failed or gone elsewhere, nothing passes the gate.
    let finished =
        |slot: &&Slot| matches!(slot.progress, Progress::Finished { .. }) && !went_elsewhere(plan, slot);
    for node in slots.iter().filter(finished).map(|slot| slot.node) {
        if previous.replace(node) == Some(node) {
            continue;
        }
        for (branch, rule) in plan.nodes[node.index()].branches.iter().enumerate() {
            let Some(rule) = rule.gate() else { continue };
            let judged = one(plan, gates, (node, branch as u16), rule, cell)?;
            let applied = gates.apply(plan, cell, &judged.round);
            applied.map_err(|error| Failure::permanent(error.code(), error.to_string()))?;
            out.push(judged);
        }
    }
    Ok(())
}

fn one(
    plan: &Plan,
    gates: &Gates,
    gate: (NodeIx, u16),
    rule: &GateRule,
    cell: &dyn StateCell,
) -> Result<Judged, Failure> {
    let name = plan.node_name(gate.0);
    let state = cell.snapshot();
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let stops = rule.stop.as_ref().is_some_and(|stop| stop(state.as_ref()));
        ((rule.judge)(state.as_ref()), stops)
    }));
    let (Judgement { score, critique, blamed }, stops) = judged.map_err(|panic| {
        let why = panic_text(panic.as_ref());
        Failure::permanent("SW-X223", format!("the gate after `{name}` panicked: {why}"))
    })?;
    if score.is_nan() {
        let message = format!("the gate after `{name}` gave no number as its score; judge every state");
        return Err(Failure::permanent("SW-X225", message));
    }
    let before = gates.open.get(&gate);
    let round = before.map_or(0, |rounds| rounds.rounds) + 1;
    let best = before.is_none_or(|rounds| score > rounds.score);
    let (best_round, best_score) = before.filter(|_| !best).map_or((round, score), |r| (r.best, r.score));
    let plateau = rule.plateau.is_some_and(|rounds| round - best_round >= rounds);
    let stopped = match &blamed {
        None => Some(GateStop::NobodyToBlame),
        Some(_) if round >= rule.attempts => Some(GateStop::Attempts),
        Some(_) if plateau => Some(GateStop::Plateau),
        Some(_) if stops => Some(GateStop::Rule),
        Some(_) => None,
    };
    let stopped = stopped.filter(|_| score < rule.pass_at);
    let (variant, payloads) = match (stopped, blamed) {
        _ if score >= rule.pass_at => (PASS, Payloads::None),
        (None, Some(blamed)) => (FIRST_BLAMED + blamed.variant, blamed.payloads),
        _ => (STOP, Payloads::None),
    };
    let restored = (stopped.is_some() && !best && !rule.keep.is_empty()).then_some(best_round);
    let text = crate::failure::shortened(critique);
    let critique =
        (variant >= FIRST_BLAMED).then(|| Arc::new(Critique { gate: gate.0, rounds: round, score, text }));
    debug_assert!(best_score >= score, "the best round is the best one");
    let (node, branch) = gate;
    let round = GateRound { node, branch, round, score, variant, stopped, best, restored };
    Ok(Judged { round, payloads, critique })
}
