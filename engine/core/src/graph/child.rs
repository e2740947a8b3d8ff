//! A graph inside a node: how its state begins, and what of it comes back.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::Plan;
use crate::cell::{Snapshot, StateCell, UpdateValue};
use crate::payload::Payload;

/// How deep graphs may stand inside one another; the outermost one is at depth 1.
pub const MAX_DEPTH: u32 = 8;

/// Makes the empty state of an inner graph.
pub type CellFn = Arc<dyn Fn() -> Box<dyn StateCell> + Send + Sync>;

/// Projects the outer state and the activation's input into the input of an inner run, or says why the input cannot be
/// read.
pub type EnterFn =
    Arc<dyn Fn(&(dyn Any + Send + Sync), &Payload) -> Result<UpdateValue, String> + Send + Sync>;

/// Projects the final state of an inner run into what the node writes.
pub type LeaveFn = Arc<dyn Fn(Snapshot) -> UpdateValue + Send + Sync>;

/// A graph that a node runs, with its projections.
#[derive(Clone)]
pub struct Child {
    /// The inner graph.
    pub plan: Arc<Plan>,
    /// Makes its empty state.
    pub cell: CellFn,
    /// In.
    pub enter: EnterFn,
    /// Out.
    pub leave: LeaveFn,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("graph", &self.plan.name).finish_non_exhaustive()
    }
}

impl Plan {
    /// How deep graphs stand inside one another here, 1 for a graph without any.
    pub fn depth(&self) -> u32 {
        1 + self.children().map(|child| child.plan.depth()).max().unwrap_or(0)
    }

    /// The graphs inside nodes of this one.
    pub fn children(&self) -> impl Iterator<Item = &Child> {
        self.nodes.iter().filter_map(|node| node.child.as_ref())
    }
}
