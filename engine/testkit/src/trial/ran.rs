//! A run that was tried: what its journal says, what was seen outside of it, and assertions about both.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use statewright_engine_core::{NodeIx, StepView, ThreadView};
use statewright_engine_runtime::{ActivationId, Entry, Failure, Interrupt, Outcome, Plan, State};

use super::{Fault, text};

/// One execution of a node, seen outside the journal: also those that left nothing in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The node.
    pub node: String,
    /// The activation.
    pub activation: ActivationId,
    /// Counts the executions of the activation, from 1.
    pub attempt: u32,
}

/// What there was when a fault ended a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// How many entries were stored.
    pub entries: usize,
    /// How many executions of nodes had begun, over all drives.
    pub executions: usize,
    /// The activations that were stored as ended.
    pub finished: BTreeSet<ActivationId>,
}

/// A run that was tried.
#[derive(Clone, Debug)]
pub struct Ran<S> {
    /// How it ended.
    pub outcome: Outcome,
    /// The state of the last commit.
    pub state: Arc<S>,
    /// The open questions.
    pub interrupts: Vec<Interrupt>,
    /// Ids of effects that began and were not seen to end.
    pub unknown_effects: Vec<String>,
    /// Ids of items of the outbox that are not known to be delivered.
    pub undelivered: Vec<String>,
    /// Every execution of a node, in the order in which they began.
    pub executed: Vec<Executed>,
    /// Every crash.
    pub crashes: Vec<Crash>,
    /// The journal.
    pub entries: Vec<Entry>,
    /// Faults that never struck: their place was not reached.
    pub outstanding: Vec<Fault>,
    pub(super) view: ThreadView,
    pub(super) plan: Arc<Plan>,
}

impl<S: State> Ran<S> {
    /// The nodes that finished, in merge order: by superstep, then by declaration and fan-out.
    pub fn path(&self) -> Vec<&str> {
        let mut ended: Vec<&StepView> = self.steps().filter(|step| step.failure.is_none()).collect();
        ended.sort_by_key(|step| (step.activation.superstep, step.activation.index));
        ended.into_iter().map(|step| self.plan.node_name(step.node)).collect()
    }

    /// The stored ends of attempts at a node: those that failed, and those that finished.
    pub fn attempts(&self, node: &str) -> usize {
        self.steps().filter(|step| self.plan.node_name(step.node) == node).count()
    }

    /// How often the code of a node was executed, whatever became of it.
    pub fn executions(&self, node: &str) -> usize {
        self.executed.iter().filter(|seen| seen.node == node).count()
    }

    /// The failures of a node, in the order in which they were stored.
    pub fn failures(&self, node: &str) -> Vec<&Failure> {
        let of_node = self.steps().filter(|step| self.plan.node_name(step.node) == node);
        of_node.filter_map(|step| step.failure.as_ref()).collect()
    }

    /// How often the edges between two nodes were taken; `START` and `END` are names here.
    pub fn edge(&self, from: &str, to: &str) -> u32 {
        let taken = self.view.overlay(&self.plan, None).taken;
        let name = |node: Option<NodeIx>, otherwise| self.plan.name_of(node, otherwise);
        let edges = self.plan.edges.iter().zip(taken);
        let between =
            edges.filter(|(edge, _)| name(edge.source, "START") == from && name(edge.target, "END") == to);
        between.map(|(_, taken)| taken).sum()
    }

    /// The run as stable text: what ended when and what it wrote, the edges, the outcome and the state. It holds no
    /// times and no random ids, so it can be kept beside the test and compared.
    pub fn to_text(&self) -> String {
        text::of(self)
    }

    /// Compares [`Ran::to_text`] with a file, which is named from the folder of the crate that is tested. With
    /// `STATEWRIGHT_UPDATE_GOLDEN=1` in the environment the file is written instead.
    ///
    /// # Panics
    /// With the first line that differs, or if the file cannot be read or written.
    #[track_caller]
    pub fn assert_golden(&self, file: &str) {
        text::compare(&self.to_text(), file);
    }

    /// # Panics
    /// If the run did not finish.
    #[track_caller]
    pub fn assert_finished(&self) {
        assert!(self.outcome == Outcome::Finished, "the run did not finish: {:?}", self.outcome);
    }

    /// # Panics
    /// If other nodes finished, or in another merge order.
    #[track_caller]
    pub fn assert_path(&self, nodes: &[&str]) {
        assert_eq!(self.path(), nodes, "the path of the run");
    }

    /// # Panics
    /// If another number of attempts at the node is stored.
    #[track_caller]
    pub fn assert_attempts(&self, node: &str, attempts: usize) {
        self.know(node);
        assert_eq!(self.attempts(node), attempts, "attempts at `{node}`");
    }

    /// # Panics
    /// If the edges between the nodes were taken another number of times.
    #[track_caller]
    pub fn assert_edge(&self, from: &str, to: &str, times: u32) {
        assert_eq!(self.edge(from, to), times, "how often the run went from `{from}` to `{to}`");
    }

    /// # Panics
    /// If no attempt at the node failed with this code.
    #[track_caller]
    pub fn assert_failed(&self, node: &str, code: &str) {
        self.know(node);
        let failures = self.failures(node);
        assert!(
            failures.iter().any(|failure| failure.code == code),
            "`{node}` did not fail with {code}, but so: {failures:?}"
        );
    }

    /// # Panics
    /// If an activation was executed after a crash although it was stored as ended, or is stored as finished twice.
    #[track_caller]
    pub fn assert_nothing_finished_ran_again(&self) {
        for (number, crash) in self.crashes.iter().enumerate() {
            for seen in &self.executed[crash.executions..] {
                assert!(
                    !crash.finished.contains(&seen.activation),
                    "{} of `{}` was stored as ended before crash number {}, and ran again",
                    seen.activation,
                    seen.node,
                    number + 1
                );
            }
        }
        let mut finished = BTreeSet::new();
        for step in self.steps().filter(|step| step.failure.is_none()) {
            let node = self.plan.node_name(step.node);
            assert!(finished.insert(step.activation), "{} of `{node}` finished twice", step.activation);
        }
    }

    /// What ended: questions are left out.
    fn steps(&self) -> impl Iterator<Item = &StepView> {
        self.view.steps.iter().filter(|step| step.asked.is_none())
    }

    #[track_caller]
    fn know(&self, node: &str) {
        assert!(self.plan.node_named(node).is_some(), "the graph `{}` has no node `{node}`", self.plan.name);
    }

    #[track_caller]
    pub(super) fn assert_same_end(&self, other: &Self, after: &str)
    where
        S: PartialEq + fmt::Debug,
    {
        let same = std::mem::discriminant(&self.outcome) == std::mem::discriminant(&other.outcome);
        assert!(same, "after {after} the run ends with {:?} and not with {:?}", other.outcome, self.outcome);
        assert_eq!(other.state, self.state, "after {after} the state is another one");
        assert_eq!(other.path(), self.path(), "after {after} the path is another one");
    }
}
