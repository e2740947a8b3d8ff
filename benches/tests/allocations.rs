//! Allocations a step, counted exactly: a number that may only go down.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use statewright_benches::{Counter, chain, ring};
use statewright_engine_runtime::{MemoryCheckpointer, State};

/// Allocations of the steps alone: the difference between a long and a short chain cancels what a run costs.
fn per_step(journal: bool) -> f64 {
    let count = |length: usize| {
        let graph = chain(length).expect("a sound chain");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let counted = allocation_counter::measure(|| {
            runtime.block_on(async {
                let mut runner = graph.runner();
                if journal {
                    runner = runner.checkpointer(MemoryCheckpointer::new());
                }
                runner.start("t", Counter::update()).await.expect("it runs");
            });
        });
        counted.count_total
    };
    count(100);
    (count(2_000) - count(1_000)) as f64 / 1_000.0
}

#[test]
fn a_step_without_a_journal_allocates_twice() {
    let found = per_step(false);
    assert!(found <= 2.02, "a step allocates {found} times; the future and the update are two");
}

#[test]
fn a_step_with_a_journal_allocates_three_times() {
    let found = per_step(true);
    assert!(found <= 3.02, "a step allocates {found} times; the record is the third");
}

#[test]
fn a_ring_takes_the_same_steps_at_every_size() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (length, rounds) in [(1, 60), (2, 30), (60, 1)] {
        let graph = ring(length, rounds).expect("a sound ring");
        let report = runtime.block_on(graph.run(Counter::update())).expect("it finishes");
        assert_eq!(report.count, 60, "{length} nodes × {rounds}");
    }
}
