//! The shape of a graph as it was when it was written: what the numbers of edges, joins, branches and variants in records
//! mean. Together with the names of the nodes it lets a later build, whose numbers are others, find the same things.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::ids::NodeIx;

/// Edges, joins and gates, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The edges: those of START, then of each node, then those of joins and of error handlers.
    #[serde(rename = "e")]
    pub edges: Vec<StoredEdge>,
    /// The joins.
    #[serde(rename = "j", default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<StoredJoin>,
    /// The gates.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<StoredGate>,
}

/// An edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEdge {
    /// Where it starts; absent for START.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub source: Option<NodeIx>,
    /// Where it leads; absent for END.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<NodeIx>,
    /// The branch that takes it; absent for any other edge.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<u16>,
    /// The variant of the branch, or of the node's route; absent for any other edge.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<u16>,
    /// The variant's name.
    #[serde(rename = "l", default, skip_serializing_if = "str::is_empty")]
    pub label: Cow<'static, str>,
    /// Whether it is taken when the node has failed for good.
    #[serde(rename = "x", default, skip_serializing_if = "is_false")]
    pub on_error: bool,
    /// Whether it fans out.
    #[serde(rename = "e", default, skip_serializing_if = "is_false")]
    pub each: bool,
}

/// A join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredJoin {
    /// The node that waits.
    #[serde(rename = "t")]
    pub target: NodeIx,
    /// The nodes it waits for; none for a deferred node.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<NodeIx>,
    /// For how many it waits, if not for all.
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
}

/// A gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGate {
    /// The node before the gate.
    #[serde(rename = "n")]
    pub node: NodeIx,
    /// The gate's place among the branches of that node.
    #[serde(rename = "b")]
    pub branch: u16,
    /// The fields that are kept from the best round.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}
