//! A checked graph with the code of its nodes: immutable, cheap to clone, safe to share.

use std::fmt;
use std::sync::Arc;

use statewright_engine_core::graph::{CellFn, Format, Overlay};
use statewright_engine_core::{Plan, State, StateCell, TypedCell};

use crate::error::{Classifier, RunError};
use crate::node::ErasedNode;
use crate::runner::Runner;
use crate::undo::Undoers;

/// A graph that `build()` has checked.
pub struct Graph<S> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) nodes: Arc<[Arc<dyn ErasedNode<S>>]>,
    pub(crate) classifiers: Arc<[Classifier]>,
    pub(crate) undoers: Arc<Undoers>,
    /// Makes the empty state of a thread.
    pub(crate) cell: CellFn,
}

impl<S> Clone for Graph<S> {
    fn clone(&self) -> Self {
        Self {
            plan: self.plan.clone(),
            nodes: self.nodes.clone(),
            classifiers: self.classifiers.clone(),
            undoers: self.undoers.clone(),
            cell: self.cell.clone(),
        }
    }
}

impl<S> fmt::Debug for Graph<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl<S: State> Graph<S> {
    pub(crate) fn new(
        plan: Plan,
        nodes: Vec<Arc<dyn ErasedNode<S>>>,
        classifiers: Vec<Classifier>,
        undoers: Undoers,
    ) -> Self {
        let cell = Arc::new(|| Box::new(TypedCell::<S>::new()) as Box<dyn StateCell>);
        Self::with_cell(plan, nodes, classifiers, undoers, cell)
    }

    /// With a cell that holds an `S` of another schema than that of the type.
    pub(crate) fn with_cell(
        plan: Plan,
        nodes: Vec<Arc<dyn ErasedNode<S>>>,
        classifiers: Vec<Classifier>,
        undoers: Undoers,
        cell: CellFn,
    ) -> Self {
        let (nodes, classifiers) = (nodes.into(), classifiers.into());
        Self { plan: Arc::new(plan), nodes, classifiers, undoers: Arc::new(undoers), cell }
    }

    /// The compiled shape: names, edges, fingerprint.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Draws the graph.
    pub fn render(&self, format: Format, overlay: Option<&Overlay>) -> String {
        self.plan.render(format, overlay)
    }

    /// A runner without a checkpointer.
    pub fn runner(&self) -> Runner<S> {
        Runner::new(self.clone())
    }

    /// Runs the graph once, stores nothing, and gives the final state.
    ///
    /// # Errors
    /// [`RunError::Unfinished`] if it ended in any other way than by finishing; use a [`Runner`] to see how.
    pub async fn run(&self, input: S::Update) -> Result<Arc<S>, RunError> {
        self.runner().start("main", input).await?.finished()
    }
}
