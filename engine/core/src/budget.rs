//! Budgets: how much of what may be spent, where. Units are opaque: the engine counts them and knows none.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Units with amounts: what is reserved, and what was spent.
pub type Amounts = BTreeMap<String, u64>;

/// Units that one reservation may name.
pub const UNITS_MAX: usize = 16;

/// Units that one thread may know.
pub const UNITS_OF_THREAD_MAX: usize = 64;

/// The longest name of a unit, in bytes.
pub const UNIT_BYTES_MAX: usize = 64;

/// Limits by unit. A unit that is not named has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget(Amounts);

impl Budget {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most so much of this unit.
    #[must_use]
    pub fn limit(mut self, unit: impl Into<String>, most: u64) -> Self {
        self.0.insert(unit.into(), most);
        self
    }

    /// The limits.
    pub fn limits(&self) -> &Amounts {
        &self.0
    }
}

impl From<Budget> for Amounts {
    fn from(budget: Budget) -> Self {
        budget.0
    }
}

/// Where something is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Over all runs of the thread.
    #[serde(rename = "t")]
    Thread,
    /// In the present run.
    #[serde(rename = "r")]
    Run,
    /// By this node, in the present run; a node of a subgraph has the names of the nodes around it before its own, with
    /// strokes between them.
    #[serde(rename = "n")]
    OneNode(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Thread => f.write_str("the thread"),
            Scope::Run => f.write_str("the run"),
            Scope::OneNode(node) => write!(f, "the node `{node}`"),
        }
    }
}

/// Other limits than those of the graph, for one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitChange {
    /// Where they hold.
    #[serde(rename = "s")]
    pub scope: Scope,
    /// The limits; units that are not named keep theirs.
    #[serde(rename = "l")]
    pub limits: Amounts,
}

/// Why a reservation was refused: the limit that it does not fit into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Whose limit.
    #[serde(rename = "s")]
    pub scope: Scope,
    /// The unit.
    #[serde(rename = "u")]
    pub unit: String,
    /// The limit.
    #[serde(rename = "l")]
    pub limit: u64,
    /// What was spent of it.
    #[serde(rename = "p")]
    pub spent: u64,
    /// What others had reserved of it.
    #[serde(rename = "o", default)]
    pub open: u64,
    /// What was to be reserved.
    #[serde(rename = "w")]
    pub wanted: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, unit, limit, spent, open, wanted } = self;
        write!(f, "the budget of {scope} is used up: of {limit} {unit}, {spent} are spent")?;
        if *open > 0 {
            write!(f, " and {open} are reserved")?;
        }
        write!(f, ", and {wanted} more were wanted")
    }
}

/// What was counted of one unit at one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// Where.
    pub scope: Scope,
    /// The unit.
    pub unit: String,
    /// The limit, if there is one.
    pub limit: Option<u64>,
    /// What was spent.
    pub spent: u64,
    /// The part of it that nobody reported, so that the ceiling of its reservation counts.
    pub estimated: u64,
    /// What is reserved and not settled.
    pub open: u64,
}

/// Something that happened to a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetEvent {
    /// It was granted, and that is durable.
    Reserved(Amounts),
    /// It waits for others to give something back.
    Waits(Amounts),
    /// It was refused.
    Refused(Shortage),
    /// It was settled.
    Settled {
        /// What was spent.
        spent: Amounts,
        /// Whether that is the ceiling, because nobody reported.
        estimated: bool,
    },
}
