//! Gates: quality-gated retry. After a node a pure function judges the merged state; what is not good enough goes back to
//! the node that is to blame, and in the end the best attempt wins, not the last.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::route::Decision;

/// What a gate thinks of a state.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// How good it is; more is better.
    pub score: f64,
    /// What is to be mended.
    pub critique: String,
    /// The variant that leads to the node to blame; nothing if trying again cannot help.
    pub blamed: Option<Decision>,
}

/// Judges the merged state, which the caller passes as the graph's state type behind [`Any`].
pub type JudgeFn = Arc<dyn Fn(&(dyn Any + Send + Sync)) -> Judgement + Send + Sync>;

/// Says whether the merged state forbids another round.
pub type StopFn = Arc<dyn Fn(&(dyn Any + Send + Sync)) -> bool + Send + Sync>;

/// The rule of a gate.
#[derive(Clone)]
pub struct GateRule {
    /// Judges.
    pub judge: JudgeFn,
    /// The score from which a state passes.
    pub pass_at: f64,
    /// The most rounds, the first included.
    pub attempts: u32,
    /// After how many rounds without a better score it stops.
    pub plateau: Option<u32>,
    /// Stops it whatever the score, for a budget that is used up.
    pub stop: Option<StopFn>,
    /// The fields that are put back to the best round's values when it stops.
    pub keep: Vec<String>,
}

impl fmt::Debug for GateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateRule")
            .field("pass_at", &self.pass_at)
            .field("attempts", &self.attempts)
            .field("plateau", &self.plateau)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// How the ways out of a gate stand in its list of variants: these two, then one for each node to blame.
pub const PASS: u16 = 0;
/// The way out of a gate that gave up.
pub const STOP: u16 = 1;
/// The number of the first variant that leads to a node to blame.
pub const FIRST_BLAMED: u16 = 2;
