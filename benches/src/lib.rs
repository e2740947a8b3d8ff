//! Graphs that benchmarks and allocation counts share: what is measured is the engine, so every node does next to
//! nothing.

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{Ctx, Graph, NodeError, Problems, State, StateGraph};

/// A counter, and ballast that no node touches, to show that a step does not cost O(state).
#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// How many nodes have run.
    pub count: u64,
    /// Bytes along for the ride.
    pub ballast: Vec<u8>,
}

async fn step(ctx: Ctx<Counter>) -> Result<CounterUpdate, NodeError> {
    Ok(Counter::update().count(ctx.state.count + 1))
}

/// A chain of `length` nodes, each of which adds one.
///
/// # Errors
/// None for a length of at least one.
pub fn chain(length: usize) -> Result<Graph<Counter>, Problems> {
    let mut g = StateGraph::<Counter>::new("chain");
    let nodes: Vec<_> = (0..length).map(|place| g.func(format!("n{place}"), step)).collect();
    if let Some(first) = nodes.first() {
        g.start(*first);
    }
    for pair in nodes.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    if let Some(last) = nodes.last() {
        g.end(*last);
    }
    g.build()
}

/// The floor: the same work as a plain loop of boxed futures, without an engine.
pub async fn plain_loop(length: usize) -> u64 {
    let mut count = 0;
    for _ in 0..length {
        let future: std::pin::Pin<Box<dyn Future<Output = u64> + Send>> = Box::pin(async move { count + 1 });
        count = future.await;
    }
    count
}
