//! A step costs the same in a graph of any size. Counted, not timed: what a step allocates, in number and in bytes.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use allocation_counter::AllocationInfo;
use statewright_benches::{Counter, ring};
use statewright_engine_runtime::{Graph, MemoryCheckpointer, State};

/// What one whole run of this graph allocates.
fn run(graph: &Graph<Counter>, journal: bool) -> AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    allocation_counter::measure(|| {
        runtime.block_on(async {
            let mut runner = graph.runner();
            if journal {
                runner = runner.checkpointer(MemoryCheckpointer::new());
            }
            runner.start("t", Counter::update()).await.expect("it runs").finished().expect("it finishes");
        });
    })
}

/// Allocations and bytes of a step of a ring: the difference between twice round and once round cancels what a run costs.
fn per_step(length: usize, steps: u32, journal: bool) -> (f64, f64) {
    let rounds = steps / length as u32;
    let [once, twice] = [rounds, 2 * rounds].map(|rounds| ring(length, rounds).expect("a sound ring"));
    run(&once, journal);
    let (once, twice) = (run(&once, journal), run(&twice, journal));
    let more = |twice: u64, once: u64| (twice - once) as f64 / f64::from(steps);
    (more(twice.count_total, once.count_total), more(twice.bytes_total, once.bytes_total))
}

#[test]
fn a_step_costs_the_same_in_a_graph_of_10_nodes_and_of_10_000() {
    for journal in [false, true] {
        let small = per_step(10, 10_000, journal);
        for length in [1_000, 10_000] {
            let large = per_step(length, 10_000, journal);
            let within = |large: f64, small: f64| (large - small).abs() <= 0.2 * small;
            assert!(within(large.0, small.0), "{length} nodes, journal {journal}: {large:?}, {small:?}");
            // A snapshot is put together with the names and edges of the graph, which the thread then keeps once.
            let share = if journal { 0.3 } else { 0.2 };
            let bytes = (large.1 - small.1).abs() <= share * small.1;
            assert!(bytes, "{length} nodes, journal {journal}: {large:?}, {small:?}");
        }
    }
}
