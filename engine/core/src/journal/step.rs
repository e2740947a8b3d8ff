//! Steps as they are stored: sub-results of an activation, found again by name.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::undo::StoredUndo;

/// What doing a step does to the world outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EffectClass {
    /// Nothing that matters: it may be repeated.
    #[default]
    #[serde(rename = "p")]
    Pure,
    /// Something that the other side does once for each key: it may be repeated with the same key.
    #[serde(rename = "i")]
    Idempotent,
    /// Something that must not happen twice: that it began is durable before it begins, and one that began and was
    /// not seen to end is never repeated unasked.
    #[serde(rename = "a")]
    AtMostOnce,
}

impl EffectClass {
    fn is_pure(&self) -> bool {
        *self == EffectClass::Pure
    }
}

/// How far a step got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    /// It began. Whether it took place is unknown until it is seen to end.
    #[serde(rename = "s")]
    Started,
    /// It ended with this result, MessagePack.
    #[serde(rename = "f")]
    Finished(ByteBuf),
    /// It is known not to have taken place, and may begin anew.
    #[serde(rename = "n")]
    NotDone,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredStep {
    /// Its name within the activation.
    #[serde(rename = "n")]
    pub name: String,
    /// A hash of the input that the node declared, if it declared one.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub input: Option<ByteBuf>,
    /// What it does outside.
    #[serde(rename = "c", default, skip_serializing_if = "EffectClass::is_pure")]
    pub class: EffectClass,
    /// Whether the result is forgotten when the attempt fails.
    #[serde(rename = "p", default, skip_serializing_if = "is_false")]
    pub per_attempt: bool,
    /// How far it got.
    #[serde(rename = "s")]
    pub state: StepState,
    /// How the effect is undone, if it can be.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Box<StoredUndo>>,
}

fn is_false(value: &bool) -> bool {
    !value
}
