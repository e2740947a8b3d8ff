//! Places at which somebody wants a run to pause.

use serde::{Deserialize, Serialize};

use crate::ids::NodeIx;

/// A place at which a run pauses, between two supersteps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PausePoint {
    /// Before the superstep in which this node would run.
    #[serde(rename = "b")]
    Before(NodeIx),
    /// After the superstep in which this node has finished, if anything follows.
    #[serde(rename = "a")]
    After(NodeIx),
    /// Inside the graph that is this node.
    #[serde(rename = "w")]
    Within(NodeIx),
}

impl PausePoint {
    /// The node.
    pub fn node(self) -> NodeIx {
        match self {
            PausePoint::Before(node) | PausePoint::After(node) | PausePoint::Within(node) => node,
        }
    }

    /// In words, with the node's name: "before `review`".
    pub fn describe(self, name: &str) -> String {
        match self {
            PausePoint::Before(_) => format!("before `{name}`"),
            PausePoint::After(_) => format!("after `{name}`"),
            PausePoint::Within(_) => format!("inside `{name}`"),
        }
    }
}
