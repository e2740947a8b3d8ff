//! Graphs that benchmarks and allocation counts share: what is measured is the engine, so every node does next to
//! nothing.

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{Ctx, Graph, NodeError, Problems, Route, State, StateGraph, To};

/// A counter, and ballast that no node touches, to show that a step does not cost O(state).
#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// How many nodes have run.
    pub count: u64,
    /// Bytes along for the ride.
    pub ballast: Vec<u8>,
    /// How many branches of a fan-out have run.
    #[reduce(sum)]
    pub branches: u64,
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

/// Where a ring goes after its last node.
#[derive(Route)]
enum Lap {
    /// Back to the first node.
    Again,
    /// Out.
    Done,
}

/// A chain of `length` nodes, each of which adds one, that is gone round `rounds` times: graphs of any size can be
/// compared at the same number of steps, so that the cost of starting a run weighs the same in each.
///
/// # Errors
/// None for a length and a number of rounds of at least one.
pub fn ring(length: usize, rounds: u32) -> Result<Graph<Counter>, Problems> {
    let steps = length as u64 * u64::from(rounds);
    let mut g = StateGraph::<Counter>::new("ring");
    let nodes: Vec<_> = (0..length).map(|place| g.func(format!("n{place}"), step)).collect();
    for pair in nodes.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    if let (Some(first), Some(last)) = (nodes.first(), nodes.last()) {
        g.start(*first);
        let lap = move |state: &Counter| if state.count < steps { Lap::Again } else { Lap::Done };
        let again = first.to().at_most(rounds.saturating_sub(1).max(1));
        g.branch(*last, lap, LapEdges { again, done: To::END });
    }
    g.build()
}

/// A fan-out over a list.
#[derive(Route)]
enum Spread {
    /// One activation for each number.
    #[each]
    Numbers(Vec<u64>),
}

/// One node fans out over `width` numbers, each branch adds one, and a last node gathers them.
///
/// # Errors
/// None.
pub fn fan_out(width: u64) -> Result<Graph<Counter>, Problems> {
    let mut g = StateGraph::<Counter>::new("fan_out");
    let plan =
        g.func("plan", move |_: Ctx<Counter>| async move { Ok(Spread::Numbers((0..width).collect())) });
    let branch = g.func("branch", async |_: Ctx<Counter, u64>| Ok(Counter::update().branches(1u64)));
    let gather = g.func("gather", step);
    g.start(plan);
    g.route(plan, SpreadEdges { numbers: branch.to() });
    g.edge(branch, gather);
    g.end(gather);
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
