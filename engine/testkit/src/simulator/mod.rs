//! One seed, one history: a random graph on a machine that crashes, with a store that is slow and an operator who
//! interferes. Everything that happens is drawn from the seed; nothing here reads a clock.

mod budgets;
mod faults;
mod ledger;
mod nested;
mod outbox;
mod pauses;
mod process;
mod questions;
mod recovery;
mod steps;
mod timers;
mod undo;
mod watch;
mod world;

use std::fmt;

use statewright_engine_core::graph::Format;

pub use self::faults::Faults;
pub use self::nested::simulate_nested;
use self::world::World;

/// What a history was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The seed.
    pub seed: u64,
    /// How many things happened.
    pub steps: usize,
    /// How many journal entries there are at the end.
    pub entries: usize,
    /// How often nodes were executed.
    pub executions: usize,
    /// How many of them were inside graphs that are nodes.
    pub inner: usize,
    /// How often the process died.
    pub crashes: usize,
    /// How many drives ended by themselves.
    pub stops: usize,
    /// How often a node that failed was to be tried again.
    pub retries: usize,
    /// How many activations led to an error handler.
    pub handled: usize,
    /// How many activations failed because the process died with them too often.
    pub looped: usize,
    /// How many runs were cancelled.
    pub cancels: usize,
    /// How many snapshots there are at the end.
    pub snapshots: usize,
    /// How many entries leave out values that others hold.
    pub cut: usize,
    /// How many steps were done and kept.
    pub kept: usize,
    /// How often a kept step was given to a later execution.
    pub replayed: usize,
    /// How often an effect of unknown outcome failed its activation.
    pub unknown: usize,
    /// How many effects an operator settled.
    pub settled: usize,
    /// How often a drive paused because somebody wanted to look.
    pub paused: usize,
    /// How often a question was posed to somebody else.
    pub escalated: usize,
    /// How many reservations were granted.
    pub reserved: usize,
    /// How often a run stopped because a budget was used up.
    pub exceeded: usize,
    /// How often an effect was undone.
    pub undone: usize,
    /// How many prefixes of the journal were recovered in two ways and compared.
    pub prefixes: usize,
    /// How often an activation asked several questions at once.
    pub together: usize,
    /// How many items were posted to the outbox, in executions that counted or not.
    pub posted: usize,
    /// How often an item was delivered.
    pub delivered: usize,
    /// What went wrong.
    pub faults: Faults,
}

/// A promise that was broken, with everything that led to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// The graph, and what happened, one line for each step.
    pub trace: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}\n{}", self.seed, self.what, self.trace)
    }
}

impl std::error::Error for Violation {}

/// Plays the history of a seed and checks it.
///
/// # Errors
/// The first promise that was broken, with a trace.
pub fn simulate(seed: u64) -> Result<History, Box<Violation>> {
    judged(seed, |traced| played(seed, traced)).map(|world| world.history())
}

/// What was played, or the first promise that it broke: then it is played again, with a trace.
fn judged<W>(seed: u64, played: impl Fn(bool) -> Result<W, (String, String)>) -> Result<W, Box<Violation>> {
    played(false).map_err(|(what, _)| {
        let trace = played(true).map_or_else(|(_, trace)| trace, |_| "it does not happen again".to_owned());
        Box::new(Violation { seed, what, trace })
    })
}

/// Numbered steps below what is said of the whole.
fn with_steps(head: String, steps: Option<&Vec<String>>) -> String {
    steps.into_iter().flatten().enumerate().fold(head, |mut text, (number, step)| {
        text.push_str(&format!("\n{number:5} {step}"));
        text
    })
}

fn played(seed: u64, traced: bool) -> Result<World, (String, String)> {
    let mut world = World::new(seed, traced);
    match world.play().and_then(|()| world.audit()) {
        Ok(()) => Ok(world),
        Err(what) => {
            let head = format!("{:?}\n{}", world.options, world.scenario.plan.render(Format::Terminal, None));
            Err((what, with_steps(head, world.trace.as_ref())))
        }
    }
}
