//! Graphs as nodes: a graph over a state of its own, with a projection of the outer state in and of its final state out.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use statewright_engine_core::graph::Child;
use statewright_engine_core::{
    ActivationId, Data, Event, NodeIx, Payload, Plan, Snapshot, State, UpdateValue,
};

use crate::builder::{NodeHandle, StateGraph};
use crate::context::Activation;
use crate::error::{Classifier, NodeError};
use crate::events::RunEvent;
use crate::graph::Graph;
use crate::node::{ErasedNode, NodeOutput};

impl<S: State> StateGraph<S> {
    /// Adds a graph as a node. It runs over a state of its own, which begins empty: `enter` makes its input from the
    /// outer state and from what travelled along the edge, and `leave` makes what the node writes from its final state,
    /// so only what it says comes back. Of a fan-out each activation has its own inner run.
    ///
    /// The inner nodes have everything that nodes have: retries, questions, steps, effects, events. Each of their ends is
    /// durable on its own, and a crash repeats none of them. If the inner run fails, pauses or uses up a bound, so does
    /// this node, and a resume goes on inside.
    ///
    /// ```
    /// # use statewright_engine_runtime::*;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(State, Clone, Default, Debug, Serialize, Deserialize)]
    /// struct Check { text: String, words: u64 }
    ///
    /// #[derive(State, Clone, Default, Debug, Serialize, Deserialize)]
    /// struct Paper { draft: String, length: u64 }
    ///
    /// let mut g = StateGraph::<Check>::new("check");
    /// let count = g.func("count", async |ctx: Ctx<Check>| {
    ///     Ok(Check::update().words(ctx.state.text.split_whitespace().count() as u64))
    /// });
    /// g.start(count);
    /// g.end(count);
    /// let check = g.build()?;
    ///
    /// let mut g = StateGraph::<Paper>::new("paper");
    /// let checked = g.subgraph(
    ///     "check",
    ///     &check,
    ///     |paper: &Paper, (): ()| Check::update().text(paper.draft.clone()),
    ///     |check: &Check| Paper::update().length(check.words),
    /// );
    /// g.start(checked);
    /// g.end(checked);
    /// # let paper = g.build()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let paper = paper.run(Paper::update().draft("three short words".to_owned())).await?;
    /// assert_eq!(paper.length, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subgraph<C: State, I: Data>(
        &mut self,
        name: impl Into<Arc<str>>,
        graph: &Graph<C>,
        enter: impl Fn(&S, I) -> C::Update + Send + Sync + 'static,
        leave: impl Fn(&C) -> S::Update + Send + Sync + 'static,
    ) -> NodeHandle<S, I, ()> {
        let handle = self.add(name.into(), &[], Arc::new(GraphNode(Arc::new(graph.clone()))));
        let child = Child {
            plan: graph.plan().clone(),
            cell: graph.cell.clone(),
            enter: Arc::new(move |state: &(dyn Any + Send + Sync), input: &Payload| {
                // The cell was made for the outer graph, so the state is an `S`.
                let state = state.downcast_ref::<S>().ok_or("the state is another graph's")?;
                Ok(UpdateValue::live(enter(state, input.read::<I>()?)))
            }),
            leave: Arc::new(move |state: Snapshot| {
                let state = state.downcast::<C>().unwrap_or_default();
                UpdateValue::live(leave(&state))
            }),
        };
        self.holds(&handle, child);
        handle
    }
}

/// A graph without its state's type.
pub(crate) trait ErasedGraph: Send + Sync {
    fn plan(&self) -> &Arc<Plan>;

    fn classifiers(&self) -> &Arc<[Classifier]>;

    /// The graph inside a node of it.
    fn inner(&self, node: NodeIx) -> Option<Arc<dyn ErasedGraph>>;

    fn call(
        &self,
        node: NodeIx,
        state: Snapshot,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput>;
}

impl<S: State> ErasedGraph for Graph<S> {
    fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn classifiers(&self) -> &Arc<[Classifier]> {
        &self.classifiers
    }

    fn inner(&self, node: NodeIx) -> Option<Arc<dyn ErasedGraph>> {
        self.nodes.get(node.index())?.graph()
    }

    fn call(
        &self,
        node: NodeIx,
        state: Snapshot,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput> {
        // The cell was made for this graph, so the state is an `S`.
        let state = state.downcast::<S>().unwrap_or_default();
        self.nodes[node.index()].call(state, input, activation)
    }
}

/// Stands in the table of nodes for a graph, which the execution runs itself.
struct GraphNode<C>(Arc<Graph<C>>);

impl<S: State, C: State> ErasedNode<S> for GraphNode<C> {
    fn call(&self, _: Arc<S>, _: &Payload, _: Arc<Activation>) -> BoxFuture<'static, NodeOutput> {
        let error = NodeError::permanent("the node is a graph and has no code of its own");
        Box::pin(std::future::ready(Err(error.with_code("SW-X285"))))
    }

    fn graph(&self) -> Option<Arc<dyn ErasedGraph>> {
        Some(self.0.clone())
    }
}

/// Where an inner activation stands: the activations around it, outermost first.
#[derive(Clone)]
pub(crate) struct Within {
    pub(crate) graph: Arc<dyn ErasedGraph>,
    hops: Vec<(ActivationId, NodeIx)>,
    /// Such as `3.0/`: ids begin with it.
    path: String,
}

impl Within {
    /// Inside an activation of a node of `graph`; nothing if that node holds no graph.
    pub(crate) fn enter(
        outer: Option<&Self>,
        inner: Option<Arc<dyn ErasedGraph>>,
        activation: ActivationId,
        node: NodeIx,
    ) -> Option<Self> {
        let (mut hops, path) = outer.map_or((Vec::new(), ""), |outer| (outer.hops.clone(), &outer.path));
        hops.push((activation, node));
        Some(Self { graph: inner?, hops, path: format!("{path}{activation}/") })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// An event as the outermost execution takes it.
    pub(crate) fn event(&self, event: Event) -> Event {
        let wrap = |event, (within, _): &(ActivationId, NodeIx)| Event::Nested {
            within: *within,
            event: Box::new(event),
        };
        self.hops.iter().rev().fold(event, wrap)
    }

    /// Something to tell, as whoever watches the outermost graph is told it.
    pub(crate) fn told(&self, event: RunEvent) -> RunEvent {
        let wrap = |event, (activation, node): &(ActivationId, NodeIx)| RunEvent::Within {
            node: *node,
            activation: *activation,
            event: Box::new(event),
        };
        self.hops.iter().rev().fold(event, wrap)
    }
}

impl fmt::Debug for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("path", &self.path).finish_non_exhaustive()
    }
}
