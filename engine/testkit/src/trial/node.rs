//! One node alone: its code is called with a state and an input, under a policy, and its output comes back typed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use statewright_engine_runtime::{
    Command, Ctx, Data, Failure, IntoCommand, Node, NodeError, NodePolicy, Outcome, RunError, State,
    StateGraph,
};

use super::{PausedClock, Trial};

type Slot<S, R> = Arc<Mutex<Option<Command<<S as State>::Update, R>>>>;

/// One node that is about to be tried alone.
///
/// ```
/// use statewright_engine_runtime::*;
/// use statewright_engine_testkit::NodeTrial;
///
/// #[derive(State, Clone, Debug, Default)]
/// struct Order { rate: u64, paid: u64 }
///
/// async fn pay(ctx: Ctx<Order, u64>) -> Result<OrderUpdate, NodeError> {
///     Ok(Order::update().paid(ctx.state.rate * ctx.input))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tried = NodeTrial::of(pay, Order { rate: 3, paid: 0 }, 5).run().await?;
/// assert_eq!(tried.state.paid, 15);
/// # Ok(()) }
/// ```
#[must_use = "a trial does nothing until it is run"]
pub struct NodeTrial<S: State, R> {
    trial: Trial<S>,
    state: S,
    returned: Slot<S, R>,
}

impl<S: State, R> fmt::Debug for NodeTrial<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTrial").finish_non_exhaustive()
    }
}

/// What became of a node that was tried alone.
#[derive(Debug)]
pub struct Tried<S: State, R> {
    /// What it returned, if it did.
    pub returned: Option<Command<S::Update, R>>,
    /// The state with that folded in; as it was given otherwise.
    pub state: S,
    /// What went wrong, attempt by attempt.
    pub failures: Vec<Failure>,
    /// How often its code was executed: also for answers that came in.
    pub executions: usize,
    /// Finished; paused at a question without an answer; or failed.
    pub outcome: Outcome,
}

impl<S: State, R: Send + 'static> NodeTrial<S, R> {
    /// A function or closure with the state that it sees and its input; `()` for a node that takes none.
    pub fn of<F, Fut, O, I>(code: F, state: S, input: I) -> Self
    where
        I: Data,
        F: Fn(Ctx<S, I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
        O: IntoCommand<S, Route = R>,
    {
        Self::under(NodePolicy::new(), code, state, input)
    }

    /// The same under a policy: retries, limits of time.
    ///
    /// # Panics
    /// If a graph of one node can no longer be built.
    pub fn under<F, Fut, O, I>(policy: impl Into<NodePolicy>, code: F, state: S, input: I) -> Self
    where
        I: Data,
        F: Fn(Ctx<S, I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
        O: IntoCommand<S, Route = R>,
    {
        let returned: Slot<S, R> = Arc::default();
        let (slot, seen) = (returned.clone(), Arc::new(state.clone()));
        let mut g = StateGraph::<S>::new("alone");
        let node = g.func("node", move |mut ctx: Ctx<S>| {
            ctx.state = seen.clone();
            let (slot, called) = (slot.clone(), code(ctx.with_input(input.clone())));
            async move {
                let command = called.await?.into_command();
                let update = command.update.clone();
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(command);
                Ok::<(S::Update, ()), NodeError>((update, ()))
            }
        });
        g.policy(node, policy);
        g.start(node);
        g.end(node);
        let graph = match g.build() {
            Ok(graph) => graph,
            Err(problems) => panic!("a graph of one node cannot be built: {problems}"),
        };
        Self { trial: Trial::of(&graph, S::update()), state, returned }
    }

    /// Answers every question of this name so.
    pub fn answer<A: Data>(mut self, name: impl Into<String>, answer: A) -> Self {
        self.trial = self.trial.answer(name, answer);
        self
    }

    /// Runs by this clock.
    pub fn clock(mut self, clock: PausedClock) -> Self {
        self.trial = self.trial.clock(clock);
        self
    }

    /// Runs the node.
    ///
    /// # Errors
    /// [`RunError`] if it could not be run. That it failed is no such error.
    pub async fn run(self) -> Result<Tried<S, R>, RunError> {
        let ran = self.trial.run().await?;
        let failures = ran.failures("node").into_iter().cloned().collect();
        let finished = ran.outcome == Outcome::Finished;
        let returned = self.returned.lock().unwrap_or_else(PoisonError::into_inner).take();
        let returned = returned.filter(|_| finished);
        let mut state = self.state;
        if let Some(command) = &returned {
            state.apply(command.update.clone());
        }
        let executions = ran.executions("node");
        Ok(Tried { returned, state, failures, executions, outcome: ran.outcome })
    }
}

impl<S: State, R: Send + 'static> NodeTrial<S, R> {
    /// A node as a struct.
    pub fn of_node<N>(node: N, state: S, input: N::In) -> Self
    where
        N: Node<S>,
        N::Out: IntoCommand<S, Route = R>,
    {
        let node = Arc::new(node);
        let code = move |ctx: Ctx<S, N::In>| {
            let node = node.clone();
            async move { node.run(ctx).await }
        };
        Self::of(code, state, input)
    }
}
