//! Gates: quality-gated retry as a construct. Not for errors: what failed is tried again by a policy, and counted apart.

use std::sync::Arc;

use statewright_engine_core::graph::{BranchSpec, Decide, GateRule, Judgement, StopFn};
use statewright_engine_core::{Route, State, To, VariantWiring};

/// What a gate thinks of a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict<B> {
    /// How good it is; more is better.
    pub score: f64,
    /// What is to be mended. The node to blame finds it in [`Ctx::critique`](crate::Ctx::critique).
    pub critique: String,
    /// The node to blame, as a variant of a route; nothing if trying again cannot help.
    pub blame: Option<B>,
}

type Judge<S, B> = Arc<dyn Fn(&S) -> Verdict<B> + Send + Sync>;
type Stop<S> = Arc<dyn Fn(&S) -> bool + Send + Sync>;

/// A rule for going back: judges the merged state after a node, and says how often and until when to try again.
///
/// ```
/// use statewright_engine_runtime::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(State, Clone, Default, Serialize, Deserialize)]
/// struct Draft { text: String, #[reduce(sum)] rounds: u32 }
///
/// #[derive(Route)]
/// enum Blame { Writer }
///
/// let mut g = StateGraph::<Draft>::new("draft");
/// let write = g.func("write", async |ctx: Ctx<Draft>| {
///     let mend = ctx.critique().map_or("", |critique| critique.text.as_str());
///     Ok(Draft::update().text(format!("{} {mend}", ctx.state.text)).rounds(1u32))
/// });
/// let longer = Gate::new(|draft: &Draft| Verdict {
///     score: draft.text.len() as f64,
///     critique: "longer".to_owned(),
///     blame: Some(Blame::Writer),
/// });
/// g.start(write);
/// g.gate(
///     write,
///     longer.pass_at(10.0).attempts(5).keep(["text"]),
///     GateEdges { pass: To::END, retry: BlameEdges { writer: write.to() }, stop: To::END },
/// );
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let draft = g.build().unwrap().run(Draft::update()).await.unwrap();
/// assert_eq!((draft.text.trim(), draft.rounds), ("longer longer", 3));
/// # });
/// ```
pub struct Gate<S, B> {
    judge: Judge<S, B>,
    stop: Option<Stop<S>>,
    pass_at: f64,
    attempts: u32,
    plateau: Option<u32>,
    keep: Vec<String>,
}

impl<S, B> std::fmt::Debug for Gate<S, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("pass_at", &self.pass_at)
            .field("attempts", &self.attempts)
            .field("plateau", &self.plateau)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

impl<S, B> Gate<S, B> {
    /// A gate that judges by a pure function of the merged state. A score of 0.7 passes, and there are at most two
    /// rounds.
    pub fn new(judge: impl Fn(&S) -> Verdict<B> + Send + Sync + 'static) -> Self {
        Self {
            judge: Arc::new(judge),
            stop: None,
            pass_at: 0.7,
            attempts: 2,
            plateau: None,
            keep: Vec::new(),
        }
    }

    /// The score from which a state passes.
    #[must_use]
    pub fn pass_at(mut self, score: f64) -> Self {
        self.pass_at = score;
        self
    }

    /// The most rounds, the first included.
    #[must_use]
    pub fn attempts(mut self, rounds: u32) -> Self {
        self.attempts = rounds;
        self
    }

    /// Stops after this many rounds without a better score.
    #[must_use]
    pub fn plateau(mut self, rounds: u32) -> Self {
        self.plateau = Some(rounds);
        self
    }

    /// Stops when this holds, whatever the score: for a budget that is used up.
    #[must_use]
    pub fn stop_if(mut self, stop: impl Fn(&S) -> bool + Send + Sync + 'static) -> Self {
        self.stop = Some(Arc::new(stop));
        self
    }

    /// Fields that are put back to what they were in the round with the best score, if the gate stops in another one.
    /// Of two rounds with the same score the earlier one is the best.
    #[must_use]
    pub fn keep(mut self, fields: impl IntoIterator<Item = &'static str>) -> Self {
        self.keep.extend(fields.into_iter().map(str::to_owned));
        self
    }
}

/// Where the ways out of a gate lead.
pub struct GateEdges<S: State, B: Route> {
    /// When the score is high enough.
    pub pass: To<S>,
    /// To the node to blame.
    pub retry: B::Edges<S>,
    /// When the gate gave up.
    pub stop: To<S>,
}

impl<S: State, B: Route> std::fmt::Debug for GateEdges<S, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateEdges").finish_non_exhaustive()
    }
}

pub(crate) fn spec<S: State, B: Route>(gate: Gate<S, B>, edges: GateEdges<S, B>) -> BranchSpec {
    let Gate { judge, stop, pass_at, attempts, plateau, keep } = gate;
    let rule = GateRule {
        judge: Arc::new(move |state| {
            // A state of another type cannot reach this graph; a score that is no number fails the commit.
            let Some(state) = state.downcast_ref::<S>() else {
                return Judgement { score: f64::NAN, critique: String::new(), blamed: None };
            };
            let Verdict { score, critique, blame } = judge(state);
            Judgement { score, critique, blamed: blame.and_then(B::decide) }
        }),
        stop: stop.map(|stop| -> StopFn {
            Arc::new(move |state| state.downcast_ref::<S>().is_some_and(|state| stop(state)))
        }),
        pass_at,
        attempts,
        plateau,
        keep,
    };
    let way = |label, to: To<S>| VariantWiring { label, each: false, wires: to.into_wires() };
    let mut variants = vec![way("pass", edges.pass), way("stop", edges.stop)];
    variants.extend(B::wiring::<S>(edges.retry));
    BranchSpec { decide: Decide::Gate(rule), variants }
}
