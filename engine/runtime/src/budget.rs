//! Budgets: limits on the graph and on a run, and what a node reserves before it spends. Who is granted what is decided
//! by the core.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use statewright_engine_core::{Amounts, Budget, Event, LimitChange, Scope, Spent, State, StoredStep, Wish};

use crate::builder::{NodeHandle, StateGraph};
use crate::context::{Activation, Ctx};
use crate::error::NodeError;
use crate::runner::Run;

tokio::task_local! {
    /// The execution whose step is at work and holds a reservation.
    static HOLDS: Arc<Activation>;
}

impl<S: State> StateGraph<S> {
    /// What the activations of a node may spend in one run. Budgets are not part of the graph's fingerprint, and the last
    /// call for a node counts.
    pub fn node_budget<I, R>(&mut self, node: NodeHandle<S, I, R>, budget: Budget) {
        self.with(node.wire(), |spec| spec.budget = budget);
    }

    /// What one run may spend; the next run on the thread begins at zero.
    pub fn run_budget(&mut self, budget: Budget) {
        self.topology.run_budget = budget;
    }

    /// What all runs of one thread may spend together.
    pub fn thread_budget(&mut self, budget: Budget) {
        self.topology.thread_budget = budget;
    }
}

/// Limits that a start or a resume sets. They take the place of the graph's, unit by unit, are stored with the run, and
/// hold until it is over; those of the thread hold until they are set anew.
impl<S: State> Run<S> {
    /// What the run may spend.
    pub fn run_budget(self, budget: Budget) -> Self {
        self.limited(Scope::Run, budget)
    }

    /// What all runs of the thread may spend together.
    pub fn thread_budget(self, budget: Budget) -> Self {
        self.limited(Scope::Thread, budget)
    }

    /// What the activations of the node of this name may spend. A name that the graph does not know is refused with
    /// `SW-X279`.
    pub fn node_budget(self, node: impl Into<String>, budget: Budget) -> Self {
        self.limited(Scope::OneNode(node.into()), budget)
    }

    fn limited(mut self, scope: Scope, budget: Budget) -> Self {
        self.limits.push(LimitChange { scope, limits: budget.into() });
        self
    }
}

impl<S, I> Ctx<S, I> {
    /// Reserves before something is spent: units with the most that it can come to. Waits while others may give enough
    /// of their reservations back. Once this returns, the reservation is durable and counts in the node, the run and
    /// the thread, for everything that runs at the same time.
    ///
    /// ```
    /// # use statewright_engine_runtime::*;
    /// # async fn node<S>(ctx: Ctx<S>) -> Result<(), NodeError> {
    /// # async fn call() -> Result<u64, std::io::Error> { Ok(3_120) }
    /// let grant = ctx.reserve(&[("calls", 1), ("tokens", 4_000)]).await?;
    /// let tokens = call().await?;
    /// grant.settle(&[("tokens", tokens)]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `SW-X276` if it does not fit into a limit. Handed on by `?`, it stops the run as
    /// [`Outcome::BudgetExceeded`](crate::Outcome::BudgetExceeded), which can be resumed with another limit. `SW-X277` if
    /// it names no unit or too many, `SW-X278` inside a step that holds a reservation itself.
    pub fn reserve(
        &self,
        amounts: &[(&str, u64)],
    ) -> impl Future<Output = Result<Grant, NodeError>> + Send + use<S, I> {
        reserve(self.activation.clone(), to_amounts(amounts), false, None)
    }
}

pub(crate) fn to_amounts(amounts: &[(&str, u64)]) -> Amounts {
    let mut map = Amounts::new();
    for (unit, amount) in amounts {
        let sum = map.entry((*unit).to_owned()).or_default();
        *sum = sum.saturating_add(*amount);
    }
    map
}

/// A graph inside a node has counters of its own, and a limit of the graph around it must not be passed unseen.
pub(crate) fn outermost_only(what: &str) -> NodeError {
    let message =
        format!("a node of a graph inside another one cannot {what}; do it in a node of the outermost graph");
    NodeError::permanent(message).with_code("SW-X283")
}

/// Until the reservation is granted; `begins` is the effect that begins with it.
pub(crate) async fn reserve(
    activation: Arc<Activation>,
    amounts: Amounts,
    of_step: bool,
    begins: Option<StoredStep>,
) -> Result<Grant, NodeError> {
    if activation.halting.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
    if HOLDS.try_with(|holds| Arc::ptr_eq(holds, &activation)).unwrap_or(false) {
        let message =
            "a step that holds a reservation cannot reserve inside; reserve all of it with the step";
        return Err(NodeError::permanent(message).with_code("SW-X278"));
    }
    if activation.within.is_some() {
        return Err(outermost_only("reserve"));
    }
    let number = activation.claims.fetch_add(1, Ordering::Relaxed) + 1;
    // Made before it is granted, so that a node that stops waiting gives it back.
    let nothing = amounts.keys().map(|unit| (unit.clone(), 0)).collect();
    let mut grant = Grant { activation, number, nothing, granted: false, settled: false };
    let Activation { id, attempt, run, .. } = grant.activation.as_ref();
    let wish = Wish { activation: *id, attempt: *attempt, number, amounts, of_step, begins };
    let reply = run.mailbox.send(grant.activation.event(Event::Reserve(Box::new(wish))));
    match reply.await {
        Ok(None) => {
            grant.granted = true;
            Ok(grant)
        }
        Ok(Some(failure)) => {
            grant.settled = true;
            Err(NodeError::permanent(failure.message).with_code(failure.code))
        }
        // Only a task that outlives its node can see this.
        Err(_) => {
            Err(NodeError::permanent("the drive is over, and nothing is reserved").with_code("SW-X256"))
        }
    }
}

/// Does the work of a step that holds a reservation.
pub(crate) async fn holding<T>(grant: Option<&Grant>, work: impl Future<Output = T>) -> T {
    match grant {
        Some(grant) => HOLDS.scope(grant.activation.clone(), work).await,
        None => work.await,
    }
}

/// A reservation that was granted; see [`Ctx::reserve`]. One that is dropped counts in full and is marked as an estimate,
/// since nobody said what it came to.
#[must_use = "a reservation that is dropped counts in full; settle it"]
pub struct Grant {
    activation: Arc<Activation>,
    number: u32,
    /// Zero of each unit.
    nothing: Amounts,
    granted: bool,
    settled: bool,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("activation", &self.activation.id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Grant {
    /// Says what was spent, and gives the rest back at once. Units that are not named were spent in full. What is more
    /// than was reserved is counted, too. It is stored with the next record of the thread, at the latest with the end
    /// of the activation.
    pub fn settle(self, spent: &[(&str, u64)]) {
        self.settle_amounts(to_amounts(spent));
    }

    /// Gives everything back: nothing was spent.
    pub fn release(self) {
        let nothing = self.nothing.clone();
        self.settle_amounts(nothing);
    }

    pub(crate) fn settle_amounts(mut self, spent: Amounts) {
        self.settled = true;
        self.send(Some(spent));
    }

    fn send(&self, spent: Option<Amounts>) {
        let Activation { id, attempt, run, .. } = self.activation.as_ref();
        // Nobody waits for a reply.
        let spent = Spent { activation: *id, attempt: *attempt, number: self.number, spent };
        drop(run.mailbox.send(self.activation.event(Event::Spent(spent))));
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if !self.settled {
            self.send((!self.granted).then(|| self.nothing.clone()));
        }
    }
}
