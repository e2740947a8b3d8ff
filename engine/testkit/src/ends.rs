//! How a run without faults ends, by the reference.

use statewright_engine_core::NodeIx;

/// How a run without faults ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is left to do.
    Finished,
    /// The bound of an edge was used up more often than anybody resumed.
    Exhausted,
    /// Two activations wrote the replace-channel in this superstep.
    Conflict {
        /// The superstep.
        superstep: u64,
    },
}

/// Where a bound was used up: the superstep that waits, and the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhaustion {
    /// The superstep that waits.
    pub superstep: u64,
    /// Where the edge starts; `None` is START.
    pub source: Option<NodeIx>,
    /// Where it leads; `None` is END.
    pub target: Option<NodeIx>,
}
