//! The same graph with other code in it: for tests, which put a script in the place of a node, and watch which nodes
//! are run. Names, edges and fingerprint stay, so a stored run goes on in either.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use statewright_engine_core::{ActivationId, IntoCommand, Payload, Route, State};

use crate::context::{Activation, Ctx};
use crate::error::NodeError;
use crate::graph::Graph;
use crate::node::{ErasedNode, NodeOutput, erase};
use crate::subgraph::ErasedGraph;

/// Why the code of a node cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The graph has no node of this name.
    #[error("the graph `{graph}` has no node `{node}`; it has {}", listed(known))]
    UnknownNode {
        /// The graph.
        graph: String,
        /// The name that was asked for.
        node: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The node is a graph, which has no code of its own.
    #[error(
        "`{node}` is a graph and has no code to replace; replace nodes inside of it before it becomes a node"
    )]
    IsGraph {
        /// The node.
        node: String,
    },
    /// The other code returns another route.
    #[error(
        "`{node}` is wired for the variants {}, and the code in its place returns {}",
        listed(wired),
        listed(returned)
    )]
    OtherRoute {
        /// The node.
        node: String,
        /// The variants that the graph leads on from; none for a node with plain edges.
        wired: Vec<String>,
        /// The variants that the other code returns.
        returned: Vec<String>,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl ReplaceError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ReplaceError::UnknownNode { .. } => "SW-X290",
            ReplaceError::OtherRoute { .. } => "SW-X291",
            ReplaceError::IsGraph { .. } => "SW-X293",
        }
    }
}

impl<S: State> Graph<S> {
    /// The same graph with other code for one node. Its input arrives as it travelled along the edge:
    /// [`Payload::read`] gives it its type.
    ///
    /// # Errors
    /// [`ReplaceError`] if there is no such node, if it is a graph, or if the other code returns another route.
    pub fn replace<F, Fut, O>(&self, node: &str, function: F) -> Result<Self, ReplaceError>
    where
        F: Fn(Ctx<S, Payload>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
        O: IntoCommand<S>,
    {
        let Some(place) = self.plan.node_named(node) else {
            let known = self.plan.nodes.iter().map(|node| node.name.to_string()).collect();
            return Err(ReplaceError::UnknownNode {
                graph: self.name().to_owned(),
                node: node.to_owned(),
                known,
            });
        };
        if self.nodes[place.index()].graph().is_some() {
            return Err(ReplaceError::IsGraph { node: node.to_owned() });
        }
        let wired: Vec<String> =
            self.plan.nodes[place.index()].route.iter().map(|variant| variant.label.to_owned()).collect();
        let returned: Vec<String> = O::Route::VARIANTS.iter().map(|variant| (*variant).to_owned()).collect();
        if wired != returned {
            return Err(ReplaceError::OtherRoute { node: node.to_owned(), wired, returned });
        }
        let mut nodes = self.nodes.to_vec();
        nodes[place.index()] = Arc::new(RawNode(function));
        Ok(Self { nodes: nodes.into(), ..self.clone() })
    }

    /// The same graph, which tells `seen` of every execution of a node before it begins: its name, the activation, and
    /// the attempt from 1. Unlike events, which a slow reader may lose, each call arrives. Of nodes inside of a node that
    /// is a graph it does not tell.
    #[must_use]
    pub fn watch(&self, seen: impl Fn(&str, ActivationId, u32) + Send + Sync + 'static) -> Self {
        let seen: Arc<Seen> = Arc::new(seen);
        let watched = |inner: &Arc<dyn ErasedNode<S>>| {
            Arc::new(WatchedNode { inner: inner.clone(), seen: seen.clone() }) as Arc<dyn ErasedNode<S>>
        };
        Self { nodes: self.nodes.iter().map(watched).collect(), ..self.clone() }
    }
}

impl<S, I> Ctx<S, I> {
    /// The same execution with another input: for code that calls the code of a node.
    pub fn with_input<J>(self, input: J) -> Ctx<S, J> {
        Ctx { state: self.state, input, activation: self.activation }
    }
}

/// Code whose input is not read yet.
struct RawNode<F>(F);

impl<S, F, Fut, O> ErasedNode<S> for RawNode<F>
where
    S: State,
    F: Fn(Ctx<S, Payload>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
    O: IntoCommand<S>,
{
    fn call(
        &self,
        state: Arc<S>,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput> {
        let future = (self.0)(Ctx { state, input: input.clone(), activation });
        Box::pin(async move { future.await.map(erase) })
    }
}

type Seen = dyn Fn(&str, ActivationId, u32) + Send + Sync;

/// A node that is told of.
struct WatchedNode<S> {
    inner: Arc<dyn ErasedNode<S>>,
    seen: Arc<Seen>,
}

impl<S: State> ErasedNode<S> for WatchedNode<S> {
    fn call(
        &self,
        state: Arc<S>,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput> {
        (self.seen)(activation.plan().node_name(activation.node), activation.id, activation.attempt);
        self.inner.call(state, input, activation)
    }

    fn graph(&self) -> Option<Arc<dyn ErasedGraph>> {
        self.inner.graph()
    }
}
