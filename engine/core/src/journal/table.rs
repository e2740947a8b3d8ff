//! The names behind the numbers of records.

use serde::{Deserialize, Serialize};

use super::shape::Shape;
use crate::channel::Channel;
use crate::graph::Topology;

/// The names behind the numbers, and the shape of the state, at the time of writing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeTable {
    /// The graph.
    #[serde(rename = "g")]
    pub graph: String,
    /// Flags of engine behaviour that this history depends on; none exist yet.
    #[serde(rename = "f", default)]
    pub flags: u32,
    /// The nodes, by number.
    #[serde(rename = "n")]
    pub nodes: Vec<String>,
    /// The state's name.
    #[serde(rename = "s")]
    pub state: String,
    /// The channels, by number.
    #[serde(rename = "c")]
    pub channels: Vec<StoredChannel>,
    /// What the other numbers mean; absent in the earliest journals, which only the same graph can take up.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
}

impl NodeTable {
    /// The table of a graph whose edges are not known yet.
    pub(crate) fn of(topology: &Topology) -> Self {
        let stored = |channel: &Channel| StoredChannel {
            name: channel.name.to_owned(),
            reducer: channel.reducer.name().to_owned(),
        };
        let schema = topology.schema;
        Self {
            graph: topology.name.to_string(),
            flags: 0,
            nodes: topology.nodes.iter().map(|node| node.name.to_string()).collect(),
            state: schema.name.to_owned(),
            channels: schema.channels.iter().map(stored).collect(),
            shape: None,
        }
    }
}

/// A channel as it was when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChannel {
    /// The field.
    #[serde(rename = "n")]
    pub name: String,
    /// The reducer's name.
    #[serde(rename = "r")]
    pub reducer: String,
}
