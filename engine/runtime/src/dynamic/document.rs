//! What a document says: a graph as data, for JSON, TOML or any other format that becomes a `serde_json::Value`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A graph as data. [`GraphDocument::read`] makes one of a value, [`GraphDocument::build`] makes a graph of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphDocument {
    /// The graph's name, by which stored runs find it.
    pub name: String,
    /// The state.
    pub state: StateDocument,
    /// The nodes, in the order in which their writes are merged.
    pub nodes: Vec<NodeDocument>,
    /// Where a run begins.
    pub start: OneOrMany,
    /// Edges that are always taken.
    pub edges: Vec<EdgeDocument>,
    /// Branches by the value of a field.
    pub branches: Vec<BranchDocument>,
    /// Fan-outs over a field.
    pub maps: Vec<MapDocument>,
    /// Nodes that wait for others.
    pub joins: Vec<JoinDocument>,
}

/// The state of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateDocument {
    /// Its name; the graph's if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version; 1 if there is none. Raise it when fields change: what was stored by the same fields still fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The fields.
    #[serde(default)]
    pub fields: Vec<FieldDocument>,
}

/// A field of a state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDocument {
    /// Its name.
    pub name: String,
    /// How writes are folded in: `replace` (the default), `last`, `append`, `union`, `upsert`, `sum`, `min` or `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reducer: Option<String>,
    /// What it holds. By default anything for `replace` and `last`, a list for `append`, `union` and `upsert`, a number for
    /// `sum`, `min` and `max`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub shape: Option<FieldShape>,
    /// For `upsert` the member of each item by which it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it holds in the beginning. By default the empty value of its type: `""`, `[]`, `{}`, 0, false, and null where
    /// it may hold anything, and for `min` and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether it is reset before the writes of each superstep are folded in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// Whether it is reset when another run starts on the thread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_on_run: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldShape {
    /// Anything.
    Any,
    /// True or false.
    Boolean,
    /// A number without a fraction.
    Integer,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDocument {
    /// Its name, by which stored runs find it.
    pub name: String,
    /// The name of its code in the registry; its own name if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The routes that its code may return. With them a node has no other ways out, unless `goto` is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteDocument>,
    /// Whether its code may return no route, and then takes its edges; a route takes their place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goto: bool,
    /// Whether several paths may lead to it, and it runs once for each superstep in which one arrives.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any: bool,
    /// Whether it waits until nothing that is under way can lead to it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
    /// The node that goes on when it has failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<String>,
    /// The fields that it writes, if that is declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
    /// How often it is tried; once if there is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How long an attempt may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How many of its activations run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
}

/// A route that the code of a node may return.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteDocument {
    /// Its name, which the code says.
    pub name: String,
    /// Where it leads.
    pub to: OneOrMany,
    /// How often it may be taken in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// Whether it fans out: one activation of the target for each item that it carries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each: bool,
}

/// An edge that is always taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeDocument {
    /// The node that it leaves.
    pub from: String,
    /// Where it leads.
    pub to: OneOrMany,
    /// How often it may be taken in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
}

/// A branch after a node, by the value of a field once the node's writes are merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchDocument {
    /// The node.
    pub after: String,
    /// The field.
    pub field: String,
    /// What to do for which value; the first that fits counts.
    #[serde(default)]
    pub cases: Vec<CaseDocument>,
    /// Where to go for all other values.
    pub otherwise: OneOrMany,
    /// How often that may be taken in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
}

/// A case of a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseDocument {
    /// The value; 1 and 1.0 are the same.
    pub equals: Value,
    /// Where it leads.
    pub to: OneOrMany,
    /// How often it may be taken in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// What the case is called in pictures and records; the value if there is no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A fan-out after a node: one activation of the target for each item of a list, which is its input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapDocument {
    /// The node.
    pub after: String,
    /// The field with the list, as it is once the node's writes are merged.
    pub over: String,
    /// The node that runs for each item.
    pub to: String,
    /// How often it may be taken in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// What the fan-out is called in pictures and records; the field if there is no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A node that runs once others have finished.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinDocument {
    /// The nodes that it waits for.
    pub sources: Vec<SourceDocument>,
    /// The node.
    pub target: String,
    /// How many of the sources will do; all if there is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
}

/// A source of a join: a name, or a name and whether a branch may leave it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SourceDocument {
    /// A node that always runs.
    Node(String),
    /// A node with more about it.
    With {
        /// The node.
        node: String,
        /// Whether a branch may leave it out.
        #[serde(default)]
        optional: bool,
    },
}

impl SourceDocument {
    pub(super) fn node(&self) -> (&str, bool) {
        match self {
            Self::Node(node) => (node, false),
            Self::With { node, optional } => (node, *optional),
        }
    }
}

/// The name of a node, or several; `END` is the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<&str> for OneOrMany {
    fn from(name: &str) -> Self {
        Self::One(name.to_owned())
    }
}

impl OneOrMany {
    /// The names, each with where it stands behind the name of the member.
    pub(super) fn names(&self) -> impl Iterator<Item = (String, &str)> {
        let (is_list, names) = match self {
            Self::One(name) => (false, std::slice::from_ref(name)),
            Self::Many(names) => (true, names.as_slice()),
        };
        names.iter().enumerate().map(move |(place, name)| {
            (if is_list { format!("[{place}]") } else { String::new() }, name.as_str())
        })
    }
}
