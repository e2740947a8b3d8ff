//! Every graph of up to three nodes, some of four, and every order in which parallel activations can finish. All of four
//! nodes are the example `exhaust`.

#[path = "../examples/exhaust/graphs.rs"]
mod graphs;

use graphs::{Found, explore_all, shapes};

fn sound(found: &Found) {
    assert!(
        found.unsound.is_empty(),
        "{} of {} graphs should have been refused, such as: {}",
        found.unsound.len(),
        found.accepted,
        found.unsound[0]
    );
    assert!(found.histories > 2 * found.parallel);
}

#[test]
fn every_order_of_completion_gives_the_same_state() {
    let found = explore_all(|first| (1..=3).flat_map(shapes).skip(first).step_by(2), 2, 4);
    sound(&found);
    // The alphabet must not shrink to nothing unnoticed.
    assert!(found.accepted > 2_000 && found.parallel > 500, "{found:?}");
}

#[test]
fn some_graphs_of_four_nodes_in_every_order() {
    let found = explore_all(|first| shapes(graphs::NODES_MAX).skip(first * 500).step_by(1_000), 2, 4);
    sound(&found);
    assert!(found.accepted > 200 && found.parallel > 100, "{found:?}");
}
