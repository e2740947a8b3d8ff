//! What a random graph declares beside its shape: budgets, and how effects are undone.

use std::time::Duration;

use statewright_engine_core::{Budget, PlanUndo, RetryPolicy, Topology, UndoPolicy};

use crate::rng::{Rng, mix};

/// Limits what may be spent, in half of all graphs.
pub(crate) fn budgeted(seed: u64, topology: &mut Topology) {
    let mut rng = Rng::new(mix(&[seed, 9]));
    let mut drawn = |likely: usize, calls: usize, work: usize| {
        let mut budget = Budget::new();
        for (unit, most) in [("calls", calls), ("work", work)] {
            if rng.chance(likely) {
                budget = budget.limit(unit, rng.between(0, most) as u64);
            }
        }
        budget
    };
    if mix(&[seed, 10]).is_multiple_of(2) {
        return;
    }
    topology.run_budget = drawn(600, 10, 50);
    topology.thread_budget = drawn(300, 20, 100);
    for node in &mut topology.nodes {
        node.budget = drawn(150, 4, 20);
    }
}

/// Says how effects are undone, and in some graphs that a failure brings it about.
pub(crate) fn undoing(seed: u64, topology: &mut Topology) {
    let mut rng = Rng::new(mix(&[seed, 13]));
    let retry = RetryPolicy::new().attempts(rng.between(1, 3) as u32).initial(Duration::from_millis(5));
    let policy = UndoPolicy::new().retry(retry);
    let by_key = rng.chance(500);
    let policy = if by_key { policy.idempotent() } else { policy };
    topology.undos = vec![PlanUndo { kind: undo_kind(by_key).to_owned(), policy }];
    topology.compensates = rng.chance(60);
}

/// The handler that undoes effects, by whether it may be repeated.
pub(crate) fn undo_kind(by_key: bool) -> &'static str {
    if by_key { "by key" } else { "once" }
}
