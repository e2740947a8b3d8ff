//! The names behind the numbers of records. A table is stored as one byte string, MessagePack within MessagePack: it is
//! written at the start of every run and with every snapshot, so it is encoded once for all, and the thread keeps it once.

use std::fmt;
use std::sync::OnceLock;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shape::Shape;
use crate::channel::Channel;
use crate::graph::Topology;

/// The names behind the numbers, and the shape of the state, at the time of writing.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeTable {
    /// The graph.
    pub graph: String,
    /// Flags of engine behaviour that this history depends on; none exist yet.
    pub flags: u32,
    /// The nodes, by number.
    pub nodes: Vec<String>,
    /// The state's name.
    pub state: String,
    /// The channels, by number.
    pub channels: Vec<StoredChannel>,
    /// What the other numbers mean; absent in the earliest journals, which only the same graph can take up.
    pub shape: Option<Shape>,
    encoded: Encoded,
}

/// How a table is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "g")]
    graph: &'a str,
    #[serde(rename = "f")]
    flags: u32,
    #[serde(rename = "n")]
    nodes: &'a [String],
    #[serde(rename = "s")]
    state: &'a str,
    #[serde(rename = "c")]
    channels: &'a [StoredChannel],
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    shape: Option<&'a Shape>,
}

/// The same, read.
#[derive(Deserialize)]
struct Read {
    #[serde(rename = "g")]
    graph: String,
    #[serde(rename = "f", default)]
    flags: u32,
    #[serde(rename = "n")]
    nodes: Vec<String>,
    #[serde(rename = "s")]
    state: String,
    #[serde(rename = "c")]
    channels: Vec<StoredChannel>,
    #[serde(rename = "e", default)]
    shape: Option<Shape>,
}

impl From<Read> for NodeTable {
    fn from(Read { graph, flags, nodes, state, channels, shape }: Read) -> Self {
        Self { graph, flags, nodes, state, channels, shape, encoded: Encoded::default() }
    }
}

impl Serialize for NodeTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.encoded().map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for NodeTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Read;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the table of a graph")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Read, E> {
                rmp_serde::from_slice(bytes).map(|(table,)| table).map_err(E::custom)
            }

            // As journals hold it that were written before tables were encoded once.
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Read, A::Error> {
                Read::deserialize(MapAccessDeserializer::new(map)).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Table).map(Into::into)
    }
}

/// What a table is written as, once somebody wrote it. It says nothing that the table does not say.
#[derive(Default)]
struct Encoded(OnceLock<Box<[u8]>>);

impl Clone for Encoded {
    /// Who clones a table may want to change it.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Encoded {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
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
            encoded: Encoded::default(),
        }
    }

    /// Adds what the other numbers mean.
    pub(crate) fn with_shape(mut self, shape: Shape) -> Self {
        self.shape = Some(shape);
        self.encoded = Encoded::default();
        self
    }

    /// How many bytes it takes in an entry.
    pub(crate) fn bytes(&self) -> usize {
        self.encoded().map_or(0, <[u8]>::len)
    }

    /// How it is written: a list of the one map, so that whoever looks for large values takes it as a whole.
    fn encoded(&self) -> Result<&[u8], rmp_serde::encode::Error> {
        if let Some(encoded) = self.encoded.0.get() {
            return Ok(encoded);
        }
        let Self { graph, flags, nodes, state, channels, shape, .. } = self;
        let written = Written { graph, flags: *flags, nodes, state, channels, shape: shape.as_ref() };
        let bytes = rmp_serde::to_vec_named(&(written,))?;
        Ok(self.encoded.0.get_or_init(|| bytes.into_boxed_slice()))
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
