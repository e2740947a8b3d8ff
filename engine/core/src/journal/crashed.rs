//! What a drive that ended without a word took down with it, as it is stored.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// An activation that was open in a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crashed {
    /// Its index in the superstep.
    #[serde(rename = "i")]
    pub index: u32,
    /// How often it has been so, with this time.
    #[serde(rename = "n")]
    pub count: u32,
    /// The failure by which it ends, if this is too often.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Whether that leads to the error handler of its node.
    #[serde(rename = "h", default, skip_serializing_if = "is_false")]
    pub handled: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}
