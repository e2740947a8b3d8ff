//! How effects are undone, as it is stored.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::failure::Failure;
use crate::policy::Tries;

/// How an effect is undone, as the node says that does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUndo {
    /// The handler.
    #[serde(rename = "k")]
    pub kind: String,
    /// What it is told, MessagePack.
    #[serde(rename = "p")]
    pub payload: ByteBuf,
}

/// How far an undo got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UndoState {
    /// The effect took place, and can be undone.
    #[serde(rename = "r")]
    Registered,
    /// It is being undone, for the so-maniest time.
    #[serde(rename = "b")]
    Begun(u32),
    /// It failed, and is tried again at this time, in milliseconds since 1970.
    #[serde(rename = "w")]
    BackingOff(u64),
    /// It is undone.
    #[serde(rename = "d")]
    Undone,
    /// It could not be undone.
    #[serde(rename = "e")]
    Failed(Failure),
    /// It began to be undone and was not seen to end.
    #[serde(rename = "u")]
    Unknown,
}

/// An undo that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoChange {
    /// Its id.
    #[serde(rename = "i")]
    pub id: String,
    /// How far it is now.
    #[serde(rename = "s")]
    pub state: UndoState,
    /// What it has used of its policy.
    #[serde(rename = "t", default, skip_serializing_if = "is_unused")]
    pub tries: Tries,
}

/// An undo in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoImage {
    /// Where it stands.
    #[serde(rename = "c")]
    pub change: UndoChange,
    /// How often it was tried.
    #[serde(rename = "a", default)]
    pub attempts: u32,
    /// How it is undone.
    /// How it is undone.
    #[serde(rename = "u")]
    pub undo: StoredUndo,
    /// The result of the effect, MessagePack; nothing if nobody saw it end.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ByteBuf>,
}

/// Why a run is being undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compensating {
    /// The failures that brought it about, with the names of their nodes; none if it was cancelled.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<(Option<String>, Failure)>,
    /// Effects that began and were not seen to end.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<UndoImage>,
}

/// What a record says about undoing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undoing {
    /// Nothing of the run goes on but its undoing.
    #[serde(rename = "b")]
    Begins(Compensating),
    /// The undoing of an effect changed.
    #[serde(rename = "c")]
    Changed(UndoChange),
}

/// What can be undone and was, in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoImages {
    /// The effects, in the order in which they took place.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<UndoImage>,
    /// Why the run is being undone, if it is.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub compensating: Option<Compensating>,
}

fn is_unused(tries: &Tries) -> bool {
    *tries == Tries::default()
}
