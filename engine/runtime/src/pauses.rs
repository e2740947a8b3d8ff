//! Static pauses: declared on the graph, or asked for by whoever drives.

use statewright_engine_core::journal::PausePoint;
use statewright_engine_core::{Plan, State};

use crate::builder::{NodeHandle, StateGraph};
use crate::error::RunError;
use crate::runner::Run;

/// A pause by the name of its node.
#[derive(Clone, Debug)]
pub(crate) enum PauseName {
    Before(String),
    After(String),
}

impl<S: State> StateGraph<S> {
    /// Lets every run pause before the superstep in which `node` would run. Everything before it is stored, the outcome
    /// is [`Outcome::PausedAt`](crate::Outcome::PausedAt), and a resume goes past it, once. A pause belongs to a
    /// superstep: nodes that would run together with this one wait, too. Not part of the graph's fingerprint.
    pub fn pause_before<I, R>(&mut self, node: NodeHandle<S, I, R>) {
        self.with(node.wire(), |spec| spec.pause_before = true);
    }

    /// Lets every run pause after the superstep in which `node` has finished, if anything follows. See
    /// [`StateGraph::pause_before`].
    pub fn pause_after<I, R>(&mut self, node: NodeHandle<S, I, R>) {
        self.with(node.wire(), |spec| spec.pause_after = true);
    }
}

impl<S: State> Run<S> {
    /// Lets this drive pause before the node of this name, as [`StateGraph::pause_before`] does. A drive that begins at
    /// such a node goes past it.
    pub fn pause_before(mut self, node: impl Into<String>) -> Self {
        self.pauses.push(PauseName::Before(node.into()));
        self
    }

    /// Lets this drive pause after the node of this name, as [`StateGraph::pause_after`] does.
    pub fn pause_after(mut self, node: impl Into<String>) -> Self {
        self.pauses.push(PauseName::After(node.into()));
        self
    }
}

/// The same by numbers.
pub(crate) fn points(plan: &Plan, names: &[PauseName]) -> Result<Vec<PausePoint>, RunError> {
    let known = |node: &str| {
        plan.node_named(node).ok_or_else(|| {
            let known: Vec<&str> = plan.nodes.iter().map(|node| &*node.name).collect();
            let (graph, node) = (plan.name.to_string(), node.to_owned());
            RunError::UnknownNode { graph, node, known: known.join(", ") }
        })
    };
    let point = |name: &PauseName| match name {
        PauseName::Before(node) => known(node).map(PausePoint::Before),
        PauseName::After(node) => known(node).map(PausePoint::After),
    };
    names.iter().map(point).collect()
}
