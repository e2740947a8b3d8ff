//! Names of things: threads, runs, nodes, activations, positions in a journal. Plain data, made by the caller.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A lineage of checkpoints: everything that was ever run under one name, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThreadId(Arc<str>);

/// One drive over a thread: a start together with the resumes that finish it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// Takes the name as it is; the engine gives no meaning to its characters.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }
    };
}

text_id!(ThreadId);
text_id!(RunId);

/// A node by its place in the order of declaration. Names tie stored data to code; this number is only valid beside
/// the node table that was in force when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeIx(pub u32);

impl NodeIx {
    /// A node of an earlier version that the present graph does not have, in what is told about a thread's past.
    pub const GONE: Self = Self(u32::MAX);

    /// The number as an index into a table of nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An edge by its place in [`crate::Plan::edges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EdgeIx(pub u32);

impl EdgeIx {
    /// The number as an index into a table of edges.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One scheduled execution of one node: unique within a thread, because supersteps only count upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivationId {
    /// The superstep it belongs to, counted over the whole thread from 1.
    pub superstep: u64,
    /// Its place among the activations of that superstep: by node, then by fan-out index.
    pub index: u32,
}

impl fmt::Display for ActivationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.superstep, self.index)
    }
}

/// A position in a thread's journal, from 1 without gaps.
pub type Seq = u64;

/// A hash of everything about a graph that stored data depends on: nodes, edges and the state's channels.
/// Bounds are left out, so that raising one does not lock stored runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Fingerprint {
    /// FNV-1a, 64 bits, over parts that are each closed by a byte that no part contains.
    /// <http://www.isthe.com/chongo/tech/comp/fnv/>
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for part in parts {
            for byte in part.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
            }
        }
        Self(hash)
    }
}
