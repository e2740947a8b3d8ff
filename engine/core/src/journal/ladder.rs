//! Who is asked when nobody answers: the levels of a question.

use serde::{Deserialize, Serialize};

/// To whom a question is posed, and to whom next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// To whom it is posed now.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How often it was escalated.
    #[serde(rename = "l", default, skip_serializing_if = "is_zero")]
    pub level: u32,
    /// To whom it is posed next, each after so many milliseconds in which the one before gave no answer.
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<(u64, String)>,
    /// How many milliseconds the last one has.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<u64>,
    /// Whether the node fails when the last one gave no answer, as there is no default.
    #[serde(rename = "f", default, skip_serializing_if = "is_false")]
    pub fails: bool,
}

impl Ladder {
    /// How long whoever is asked now has.
    pub(crate) fn wait_ms(&self) -> Option<u64> {
        self.next.first().map(|(after_ms, _)| *after_ms).or(self.last_ms)
    }

    /// Goes one level up.
    pub(crate) fn climb(&mut self) {
        if !self.next.is_empty() {
            self.to = Some(self.next.remove(0).1);
            self.level += 1;
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !value
}
