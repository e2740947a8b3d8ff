//! A reader's view of a thread: what ran when, from the entries alone, without the state's type. For histories,
//! pictures and tools; an execution never uses it.

use std::sync::Arc;

use super::past::Past;
use super::types::{Entry, EntryKind};
use crate::failure::Failure;
use crate::graph::{Overlay, Plan, Via};
use crate::ids::{ActivationId, EdgeIx, NodeIx, RunId, Seq};
use crate::journal::{self, Body, Branched, Commit, FrameError, Record, SnapshotBody};

/// One thing that happened to an activation.
#[derive(Clone, Debug, PartialEq)]
pub struct StepView {
    /// The entry that says so.
    pub seq: Seq,
    /// The run.
    pub run: RunId,
    /// The activation.
    pub activation: ActivationId,
    /// The node; [`NodeIx::GONE`] if the graph has it no more.
    pub node: NodeIx,
    /// The name that it had then.
    pub name: Arc<str>,
    /// When it was scheduled, in milliseconds since 1970.
    pub scheduled_ms: u64,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// What it wrote, as stored; empty if nothing.
    pub update: Vec<u8>,
    /// What went wrong, if the attempt failed.
    pub failure: Option<Failure>,
    /// When it is tried again, in milliseconds since 1970, if the attempt failed and was not the last.
    pub retry_at_ms: Option<u64>,
    /// Whether it failed for good and an error handler went on.
    pub handled: bool,
    /// The question, if it asked one.
    pub asked: Option<String>,
    /// Whether it did not run: an earlier result of its node was found by its key.
    pub cached: bool,
    /// Whether it went elsewhere, and left the edges and branches of its node aside.
    pub goto: bool,
    /// The variants that were taken after it: of its route and of its branches.
    pub variants: Vec<String>,
}

/// Everything that the entries of a thread say, in order.
#[derive(Clone, Debug, Default)]
pub struct ThreadView {
    /// What happened.
    pub steps: Vec<StepView>,
    /// The input of each run, as a stored update.
    pub inputs: Vec<(RunId, Vec<u8>)>,
}

impl ThreadView {
    /// Reads entries in order; threads without records (level `exit`) give an empty view. A fork begins with a snapshot,
    /// so what it says is about the fork's own steps.
    ///
    /// # Errors
    /// [`FrameError`] of the first entry that cannot be read.
    pub fn read(plan: &Plan, entries: &[Entry]) -> Result<Self, FrameError> {
        let mut view = Self::default();
        let mut run = RunId::new("");
        let mut superstep = Superstep::default();
        let mut past = Past::new(plan);
        for entry in entries {
            if entry.kind == EntryKind::Snapshot {
                let image: SnapshotBody = journal::decode(&entry.bytes)?;
                if !past.is_known(image.fingerprint) {
                    // Another version took the thread up, and wrote down where it stood in its own numbers.
                    past.follow(image.fingerprint, &image.table);
                    superstep.nodes = image.slots.iter().map(|slot| slot.node).collect();
                }
                superstep.look(image, &mut run);
                continue;
            }
            let Record { at_ms, body, fingerprint, .. } = journal::decode(&entry.bytes)?;
            match body {
                Body::Opened(opened) => {
                    past.follow(fingerprint, &opened.table);
                    run = opened.run;
                    view.inputs.push((run.clone(), opened.input.into_vec()));
                    superstep.enter(&opened.commit, at_ms);
                }
                Body::Finished { index, attempt, update, route, commit, cached, .. } => {
                    let mut step = superstep.step(&past, entry.seq, &run, at_ms, index, attempt);
                    step.update = update.into_vec();
                    step.cached = cached;
                    let written = superstep.written(index);
                    if let Some(label) = route.and_then(|route| past.label(written, None, route.variant)) {
                        step.variants.push(label);
                        step.goto = plan.nodes.get(step.node.index()).is_some_and(|node| node.goto);
                    }
                    view.steps.push(step);
                    if let Some(commit) = commit {
                        view.note_branches(&past, superstep.number, &commit.branches);
                        superstep.enter(&commit, at_ms);
                    }
                }
                Body::Failed { index, attempt, failure, retry, handled, .. } => {
                    let step = superstep.step(&past, entry.seq, &run, at_ms, index, attempt);
                    let retry_at_ms = retry.map(|retry| retry.at_ms);
                    view.steps.push(StepView { failure: Some(failure), retry_at_ms, handled, ..step });
                }
                Body::Resumed { crashed, .. } => {
                    for crash in crashed.into_iter().filter(|crash| crash.failure.is_some()) {
                        let step = superstep.step(&past, entry.seq, &run, at_ms, crash.index, crash.count);
                        view.steps.push(StepView { failure: crash.failure, ..step });
                    }
                }
                Body::Asked { index, attempt, interrupt } => {
                    let step = superstep.step(&past, entry.seq, &run, at_ms, index, attempt);
                    view.steps.push(StepView { asked: Some(interrupt.name), ..step });
                }
                Body::Committed { commit: Some(commit), .. } => {
                    view.note_branches(&past, superstep.number, &commit.branches);
                    superstep.enter(&commit, at_ms);
                }
                _ => {}
            }
        }
        Ok(view)
    }

    fn note_branches(&mut self, past: &Past<'_>, superstep: u64, branches: &[Branched]) {
        for branched in branches {
            let Some(label) = past.label(branched.node, Some(branched.branch), branched.variant) else {
                continue;
            };
            let (_, name) = past.node(branched.node);
            let same = |step: &&mut StepView| {
                step.activation.superstep == superstep && step.name == name && !step.goto
            };
            if let Some(step) = self.steps.iter_mut().rev().find(same) {
                step.variants.push(label);
            }
        }
    }

    /// The steps of one run, or of all, as a picture over the graph.
    pub fn overlay(&self, plan: &Plan, run: Option<&RunId>) -> Overlay {
        let mut overlay = Overlay {
            visits: vec![0; plan.nodes.len()],
            taken: vec![0; plan.edges.len()],
            remarks: Vec::new(),
        };
        let mut seen = std::collections::HashSet::new();
        // A damaged record may name a node that the graph does not have.
        let known = |step: &&StepView| step.node.index() < plan.nodes.len();
        let wanted = |step: &&StepView| known(step) && run.is_none_or(|run| *run == step.run);
        let finished = |step: &&StepView| step.failure.is_none() && step.asked.is_none();
        let is_there = |step: &&StepView| step.node.index() < plan.nodes.len();
        let shown = || self.steps.iter().filter(wanted).filter(is_there);
        for (place, step) in shown().filter(finished).enumerate() {
            overlay.visits[step.node.index()] += 1;
            if place == 0 {
                take(&mut overlay, &plan.start);
            }
            let node = &plan.nodes[step.node.index()];
            if !step.goto && seen.insert((step.activation.superstep, step.node)) {
                take(&mut overlay, &node.direct);
            }
            let route = if node.goto && !step.goto { &[] } else { node.route.as_slice() };
            let branches = if step.goto { &[] } else { node.branches.as_slice() };
            let branched = branches.iter().flat_map(|branch| &branch.variants);
            for variant in
                route.iter().chain(branched).filter(|v| step.variants.iter().any(|label| label == v.label))
            {
                take(&mut overlay, &variant.edges);
            }
        }
        for step in shown().filter(|step| step.handled) {
            take(&mut overlay, &plan.nodes[step.node.index()].on_error);
        }
        debug_assert!(plan.edges.iter().all(|edge| edge.via != Via::Start || edge.source.is_none()));
        overlay
    }
}

fn take(overlay: &mut Overlay, edges: &[EdgeIx]) {
    for edge in edges {
        overlay.taken[edge.index()] += 1;
    }
}

#[derive(Default)]
struct Superstep {
    number: u64,
    began_ms: u64,
    nodes: Vec<NodeIx>,
}

impl Superstep {
    fn enter(&mut self, commit: &Commit, at_ms: u64) {
        self.number = commit.superstep;
        self.began_ms = at_ms;
        self.nodes.clear();
        self.nodes.extend(commit.next.iter().map(|planned| planned.node));
    }

    /// The node of an activation in the numbers of the entry.
    fn written(&self, index: u32) -> NodeIx {
        self.nodes.get(index as usize).copied().unwrap_or(NodeIx(0))
    }

    /// Where the thread stood, if no record has said so: at the beginning of a fork, and after drives at level `exit`.
    fn look(&mut self, body: SnapshotBody, run: &mut RunId) {
        if (&*run, self.number) != (&body.run, body.superstep) {
            *run = body.run;
            self.number = body.superstep;
            self.began_ms = body.at_ms;
            self.nodes = body.slots.iter().map(|slot| slot.node).collect();
        }
    }

    fn step(&self, past: &Past<'_>, seq: Seq, run: &RunId, at_ms: u64, index: u32, attempt: u32) -> StepView {
        let (node, name) = past.node(self.written(index));
        StepView {
            seq,
            run: run.clone(),
            activation: ActivationId { superstep: self.number, index },
            node,
            name,
            scheduled_ms: self.began_ms,
            at_ms,
            attempt,
            update: Vec::new(),
            failure: None,
            retry_at_ms: None,
            handled: false,
            asked: None,
            cached: false,
            goto: false,
            variants: Vec::new(),
        }
    }
}
