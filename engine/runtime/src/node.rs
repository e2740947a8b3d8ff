//! Nodes: any async function or closure over a [`Ctx`], or a struct with dependencies that implements [`Node`].

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use statewright_engine_core::{Data, Decision, IntoCommand, Payload, Route, State, UpdateValue};

use crate::context::{Activation, Ctx};
use crate::error::NodeError;
use crate::subgraph::ErasedGraph;

/// A node as a struct: its dependencies are fields, its input and output associated types. `async fn run` is fine in
/// the implementation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a node over `{S}`",
    label = "expected a struct that implements `Node<{S}>`",
    note = "async functions and closures go to `g.func(name, function)`; a struct implements `Node<{S}>`"
)]
pub trait Node<S: State>: Send + Sync + 'static {
    /// What travels along the edges into it; `()` for plain edges.
    type In: Data;

    /// What it returns: the state's update, a route, or a pair of both.
    type Out: IntoCommand<S>;

    /// Does the work of one activation.
    fn run(&self, ctx: Ctx<S, Self::In>) -> impl Future<Output = Result<Self::Out, NodeError>> + Send;
}

pub(crate) type NodeOutput = Result<(UpdateValue, Option<Box<Decision>>), NodeError>;

/// A node without its types.
pub(crate) trait ErasedNode<S>: Send + Sync {
    fn call(
        &self,
        state: Arc<S>,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput>;

    /// Whether it can read this input.
    fn accepts(&self, input: &Payload) -> Result<(), String> {
        let _ = input;
        Ok(())
    }

    /// The graph that it is, if it is one.
    fn graph(&self) -> Option<Arc<dyn ErasedGraph>> {
        None
    }
}

pub(crate) fn erase<S: State, O: IntoCommand<S>>(output: O) -> (UpdateValue, Option<Box<Decision>>) {
    let command = output.into_command();
    (UpdateValue::live(command.update), command.route.decide().map(Box::new))
}

pub(crate) fn unreadable(node: &str, reason: &str) -> NodeError {
    NodeError::permanent(format!(
        "the input of `{node}` cannot be read: {reason}; the payload's type must be the one it was sent with"
    ))
    .with_code("SW-X233")
}

#[inline]
fn read_input<I: Data>(input: &Payload, activation: &Activation) -> Result<I, NodeError> {
    let node = || activation.plan().node_name(activation.node);
    input.read::<I>().map_err(|reason| unreadable(node(), &reason))
}

/// An async function or closure.
pub(crate) struct FunctionNode<F, I> {
    pub(crate) function: F,
    pub(crate) input: PhantomData<fn(I)>,
}

impl<S, F, Fut, O, I> ErasedNode<S> for FunctionNode<F, I>
where
    S: State,
    I: Data,
    F: Fn(Ctx<S, I>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
    O: IntoCommand<S>,
{
    fn call(
        &self,
        state: Arc<S>,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput> {
        let input = match read_input::<I>(input, &activation) {
            Ok(input) => input,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let future = (self.function)(Ctx { state, input, activation });
        Box::pin(async move { future.await.map(erase) })
    }

    fn accepts(&self, input: &Payload) -> Result<(), String> {
        input.read::<I>().map(drop)
    }
}

/// A struct.
pub(crate) struct StructNode<N>(pub(crate) Arc<N>);

impl<S: State, N: Node<S>> ErasedNode<S> for StructNode<N> {
    fn call(
        &self,
        state: Arc<S>,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput> {
        let input = match read_input::<N::In>(input, &activation) {
            Ok(input) => input,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let node = self.0.clone();
        Box::pin(async move { node.run(Ctx { state, input, activation }).await.map(erase) })
    }

    fn accepts(&self, input: &Payload) -> Result<(), String> {
        input.read::<N::In>().map(drop)
    }
}
