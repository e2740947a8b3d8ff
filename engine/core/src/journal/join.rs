//! What happens at joins.

use serde::{Deserialize, Serialize};

use crate::ids::NodeIx;

/// A change of what waits at a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinChange {
    /// The join.
    #[serde(rename = "j")]
    pub join: u32,
    /// What changed.
    #[serde(rename = "w")]
    pub event: JoinEvent,
}

/// What happened at a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinEvent {
    /// A token of this source came and waits. At a deferred node it has the number of that node.
    #[serde(rename = "k")]
    Came(NodeIx),
    /// A token of this source came after the join had run without it, and was dropped.
    #[serde(rename = "l")]
    Late(NodeIx),
    /// The join ran: the first waiting token of each of these sources is used up. The others were not waited for.
    #[serde(rename = "f")]
    Ran {
        /// The sources whose tokens were used up.
        #[serde(rename = "u")]
        used: Vec<NodeIx>,
        /// Sources whose next token belongs to this round and will be dropped.
        #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
        owing: Vec<NodeIx>,
    },
    /// What waits does so until this time, in milliseconds since 1970.
    #[serde(rename = "t")]
    Until(u64),
    /// Nothing can lead to this source any more, so that it owes nothing.
    #[serde(rename = "x")]
    Released(NodeIx),
}
