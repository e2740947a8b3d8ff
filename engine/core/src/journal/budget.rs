//! Reservations and settlements as they are stored.

use serde::{Deserialize, Serialize};

use crate::budget::{Amounts, LimitChange, Scope, Shortage};

/// Who holds a reservation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The activation; in a subgraph a path of them, outermost first, with strokes between them.
    #[serde(rename = "b")]
    pub by: String,
    /// The execution of the activation, from 1.
    #[serde(rename = "a")]
    pub attempt: u32,
    /// Counts the reservations of that execution, from 1.
    #[serde(rename = "n")]
    pub number: u32,
}

/// A reservation that was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Who holds it.
    #[serde(rename = "h")]
    pub holder: Holder,
    /// The node that it counts for, after the nodes whose subgraphs it is in.
    #[serde(rename = "p")]
    pub node: Vec<String>,
    /// The ceiling.
    #[serde(rename = "u")]
    pub amounts: Amounts,
    /// Whether it belongs to a step, and comes back with that.
    #[serde(rename = "s", default, skip_serializing_if = "is_false")]
    pub of_step: bool,
}

/// A reservation that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Who held it.
    #[serde(rename = "h")]
    pub holder: Holder,
    /// What was spent.
    #[serde(rename = "u")]
    pub spent: Amounts,
    /// Whether that is the ceiling, because nobody reported.
    #[serde(rename = "e", default, skip_serializing_if = "is_false")]
    pub estimated: bool,
}

/// What a record says about budgets. The settlements come first: the reservation may use what they gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetChange {
    /// Limits that hold from now on.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitChange>,
    /// Reservations that came to their end, in order.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settlement>,
    /// The reservation that was granted.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Reservation>,
    /// Why the activation that failed by this record could not reserve.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub short: Option<Shortage>,
}

impl BudgetChange {
    /// Nothing, if it says nothing: records without budgets do not grow.
    pub(crate) fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// What was counted of one unit at one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterImage {
    /// Where.
    #[serde(rename = "s")]
    pub scope: Scope,
    /// The unit.
    #[serde(rename = "u")]
    pub unit: String,
    /// What was spent.
    #[serde(rename = "p")]
    pub spent: u64,
    /// The part of it that is an estimate.
    #[serde(rename = "e", default, skip_serializing_if = "is_zero")]
    pub estimated: u64,
}

/// The budgets of a thread in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetImage {
    /// Limits that are not the graph's.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitChange>,
    /// What was spent.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<CounterImage>,
    /// What is reserved.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Reservation>,
    /// The activations of the superstep that failed because they could not reserve.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub short: Vec<(u32, Shortage)>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
