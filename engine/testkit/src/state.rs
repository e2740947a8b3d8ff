//! The state of simulated runs: one channel for every way in which a write can be folded.

use std::cell::Cell;
use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use statewright_engine_runtime::State;

thread_local! {
    static PANIC_IN_REDUCER: Cell<bool> = const { Cell::new(false) };
}

/// Lets the next fold of [`SimState::turned`] on this thread panic, once; or takes that back.
pub(crate) fn panic_in_reducer(armed: bool) {
    PANIC_IN_REDUCER.set(armed);
}

/// A state with every kind of channel.
#[derive(State, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SimState {
    /// Grows for ever.
    #[reduce(append)]
    pub log: Vec<u64>,
    /// Adds up.
    #[reduce(sum)]
    pub sum: u64,
    /// The largest.
    #[reduce(max)]
    pub high: u64,
    /// The smallest.
    #[reduce(min)]
    pub low: Option<u64>,
    /// The last writer in merge order wins.
    #[reduce(last)]
    pub last: Option<Wide>,
    /// Two writers in one superstep are an error.
    pub mark: Option<Wide>,
    /// By key.
    #[reduce(upsert = Row::key)]
    pub rows: Vec<Row>,
    /// A set.
    #[reduce(union)]
    pub seen: BTreeSet<u64>,
    /// Depends on the order of every single write.
    #[reduce(with = turn)]
    pub turned: u64,
    /// Grows within a superstep.
    #[reduce(append)]
    #[state(ephemeral)]
    pub fresh: Vec<u64>,
    /// Lasts for a superstep.
    #[reduce(last)]
    #[state(ephemeral)]
    pub flash: Option<u64>,
    /// Grows within a run.
    #[reduce(append)]
    #[state(reset = run)]
    pub of_run: Vec<u64>,
    /// Adds up within a run.
    #[reduce(sum)]
    #[state(reset = run)]
    pub cost: u64,
}

/// An item with a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The key.
    pub key: u64,
    /// The value.
    pub value: u64,
}

impl Row {
    fn key(&self) -> u64 {
        self.key
    }
}

/// A number that takes much room where it is stored, so that journals have something to store once: some of them more than
/// 4 KiB, some about a hundred bytes, and some no more than their digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wide(pub u64);

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let width = match self.0 % 9 {
            0 => 5_000,
            1 | 4 | 7 => 100,
            _ => 0,
        };
        serializer.serialize_str(&format!("{:0>width$}", self.0))
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        digits.parse().map(Wide).map_err(serde::de::Error::custom)
    }
}

/// Folds a write so that no two orders of writing give the same value.
fn turn(present: &mut u64, written: u64) {
    if PANIC_IN_REDUCER.replace(false) {
        // Without the panic hook: a simulated panic is not worth a message on the terminal.
        std::panic::resume_unwind(Box::new("simulated"));
    }
    *present = turned(*present, written);
}

/// What [`SimState::turned`] is after a write.
pub(crate) fn turned(present: u64, written: u64) -> u64 {
    present.rotate_left(7).wrapping_mul(0x0000_0100_01b3) ^ written
}
