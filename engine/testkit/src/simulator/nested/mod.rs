//! The same for graphs with graphs inside their nodes: one seed, one history. What is remembered outside the journal is
//! remembered by the whole path of an activation, such as `3.0/2.1`, and the oracles hold at every depth: nothing that
//! finished inside runs again, every inner node sees the state that the reference has there, what is stored inside is
//! what the records say, and a snapshot with its tail says the same as the whole journal.

mod actions;
mod nodes;
mod operator;
mod spot;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use statewright_engine_core::journal::{Body, CUT_FORMAT, Record, decode};
use statewright_engine_core::{
    ActivationId, Entry, Execution, Failure, Journaling, Limits, Observe, Options, Seq, TypedCell,
};

use self::nodes::Running;
use self::spot::Spot;
use super::ledger::Ledger;
use super::watch::{Content, Watch};
use super::world::{Habits, run_number, typed};
use super::{Faults, History, Violation, judged, recovery, with_steps};
use crate::reference::Reference;
use crate::rng::{Rng, mix};
use crate::state::SimState;
use crate::tree::Tree;

const STEPS_MAX: usize = 60_000;
const CRASHES_MAX: usize = 4;

/// Plays the history of a seed, of a graph with graphs inside its nodes, and checks it.
///
/// # Errors
/// The first promise that was broken, with a trace.
pub fn simulate_nested(seed: u64) -> Result<History, Box<Violation>> {
    judged(seed, |traced| played(seed, traced)).map(|world| world.history())
}

fn played(seed: u64, traced: bool) -> Result<World, (String, String)> {
    let mut world = World::new(seed, traced);
    match world.play().and_then(|()| world.audit()) {
        Ok(()) => Ok(world),
        Err(what) => {
            let head = format!("{:?}\n{}", world.options, world.tree.describe("outermost"));
            Err((what, with_steps(head, world.trace.as_ref())))
        }
    }
}

/// One life of a driver.
struct Process {
    execution: Execution,
    driving: bool,
    /// Whether it only delivers.
    errand: bool,
    /// Whether it has done nothing yet.
    fresh: bool,
    running: Vec<Running>,
    /// Executions that ended or were dropped, and may report once more.
    past: Vec<(Arc<Spot>, ActivationId, u32)>,
    timer: Option<u64>,
    /// Items that were handed out and not reported on.
    posts: Vec<String>,
}

/// What happened outside, by the paths of activations.
#[derive(Default)]
struct Outside {
    /// Activations that ended, with the entry that says so.
    ended: Vec<(String, Seq)>,
    /// The same, acknowledged or not, and whether or not that survived.
    ends: HashMap<String, Seq>,
    /// Those whose end was acknowledged: never forgotten.
    done: HashSet<String>,
    /// How often each effect took place.
    effects: HashMap<(String, String), u32>,
    /// Steps whose result was acknowledged.
    kept: HashSet<(String, String)>,
    /// The entry that last said something about a step.
    stored: HashMap<(String, String), Seq>,
    /// Steps that a failed attempt does not leave behind.
    per_attempt: HashSet<(String, String)>,
    /// How often each activation failed on purpose.
    failures: HashMap<String, u32>,
    /// How often the process died while an activation ran, since it last reported a failure.
    killed: HashMap<String, u32>,
    /// Items that activations posted in the execution that counted, by id.
    posted: HashMap<String, (String, Vec<u8>)>,
    delivered: HashSet<String>,
    /// Delivered, with the entry that says so and is not acknowledged yet.
    reported: Vec<(String, Seq)>,
    /// Delivered, and that is acknowledged.
    settled: HashSet<String>,
}

/// Everything outside of the execution.
struct World {
    seed: u64,
    tree: Arc<Tree>,
    rng: Rng,
    habits: Habits,
    options: Options,
    disk: Vec<Entry>,
    contents: Vec<Content>,
    acked: Seq,
    watch: Watch,
    /// What the attempts of activations used up, for each graph by its path.
    ledgers: HashMap<String, Ledger>,
    outside: Outside,
    waited: u64,
    expected: Vec<Reference>,
    /// What runs inside activations do, by their paths.
    inside: HashMap<String, Reference>,
    history: History,
    trace: Option<Vec<String>>,
    process: Option<Process>,
    over: bool,
}

impl World {
    fn new(seed: u64, traced: bool) -> Self {
        let tree = Arc::new(Tree::generate(mix(&[seed, 31])));
        let mut rng = Rng::new(mix(&[seed, 32]));
        let journaling = match rng.below(20) {
            0 => Journaling::Off,
            1 | 2 => Journaling::AtEnd,
            _ => Journaling::Each,
        };
        let bytes = if rng.chance(600) { rng.between(0, 3000) as u64 } else { 256 * 1024 };
        let at_once = if rng.chance(200) { rng.between(1, 3) } else { 1_000 };
        // What a handler is told must not depend on crashes.
        let crashes = if tree.has_handlers() { u32::MAX } else { rng.between(1, 3) as u32 };
        let value_bytes = [64, 4096, usize::MAX][rng.below(3)];
        let limits =
            Limits { at_once, crashes, snapshot_after_bytes: bytes, value_bytes, ..Limits::default() };
        let observe = if rng.chance(500) { Observe::Nothing } else { Observe::Updates };
        Self {
            seed,
            tree,
            habits: Habits::draw(&mut rng, journaling),
            rng,
            options: Options { journaling, limits, observe },
            disk: Vec::new(),
            contents: Vec::new(),
            acked: 0,
            watch: Watch::new(journaling),
            ledgers: HashMap::new(),
            outside: Outside::default(),
            waited: 0,
            expected: Vec::new(),
            inside: HashMap::new(),
            history: History { seed, ..History::default() },
            trace: traced.then(Vec::new),
            process: None,
            over: false,
        }
    }

    fn each(&self) -> bool {
        self.options.journaling == Journaling::Each
    }

    /// The time: every step takes a millisecond, and waiting takes longer.
    fn now(&self) -> u64 {
        self.history.steps as u64 + self.waited
    }

    fn note(&mut self, step: impl FnOnce() -> String) {
        self.history.steps += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(step());
        }
    }

    fn history(&self) -> History {
        let snapshots = recovery::snapshots(&self.disk).len();
        let History { crashes, unknown, cancels, .. } = self.history;
        let faults = Faults { crashes, unknown, cancels, ..self.history.faults };
        let cut = self.disk.iter().filter(|entry| entry.bytes.first() == Some(&CUT_FORMAT)).count();
        History { entries: self.disk.len(), snapshots, cut, faults, ..self.history }
    }

    /// Until nothing is left to do.
    fn play(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if self.over {
                return Ok(());
            }
            // The process is taken out while it acts, so that a crash is simply not putting it back.
            let Some(mut process) = self.process.take() else {
                self.process = Some(self.boot()?);
                continue;
            };
            let lives = if process.driving { self.drive(&mut process)? } else { self.between(&mut process)? };
            if lives {
                self.process = Some(process);
            }
        }
        Err(format!("the history did not come to an end within {STEPS_MAX} steps"))
    }

    /// A new process takes the thread up from the disk.
    fn boot(&mut self) -> Result<Process, String> {
        self.watch = Watch::read(self.options.journaling, &self.contents)?;
        self.acked = self.disk.len() as Seq;
        let plan = self.tree.scenario.plan.clone();
        let execution = if self.options.journaling == Journaling::Off {
            Execution::new(plan, Box::new(TypedCell::<SimState>::new()), self.options)
        } else {
            let snapshots = recovery::snapshots(&self.disk);
            let chosen = match self.rng.below(3) {
                0 if self.each() => None,
                1 if self.each() => snapshots.get(self.rng.below(snapshots.len())).copied(),
                _ => snapshots.last().copied(),
            };
            self.note(|| format!("boot from the snapshot at {chosen:?}"));
            if let Some(seq) = chosen.filter(|_| self.each() && self.rng.chance(300)) {
                let whole = recovery::recover(&plan, self.options, &self.disk, None)?;
                recovery::same(whole, &plan, self.options, &self.disk, seq)?;
                self.history.prefixes += 1;
            }
            recovery::recover(&plan, self.options, &self.disk, chosen)?
        };
        self.check_state(&execution)?;
        Ok(Process {
            execution,
            driving: false,
            errand: false,
            fresh: true,
            running: Vec::new(),
            past: Vec::new(),
            timer: None,
            posts: Vec::new(),
        })
    }

    fn may_crash(&self) -> bool {
        self.history.crashes < CRASHES_MAX
    }

    /// The process dies. What was not acknowledged is lost, but for a part that happened to reach the disk.
    fn crash(&mut self) {
        let kept = self.rng.between(self.acked as usize, self.disk.len());
        let (sent, acked) = (self.disk.len(), self.acked);
        self.disk.truncate(kept);
        self.contents.truncate(kept);
        self.outside.ended.retain(|(_, seq)| *seq <= acked);
        self.outside.reported.clear();
        self.ledgers.values_mut().for_each(|ledger| ledger.lost_after(kept as Seq));
        self.history.crashes += 1;
        self.history.faults.lost += sent - kept;
        self.note(|| format!("crash: {sent} entries were sent, {acked} acknowledged, {kept} survive"));
    }

    /// An entry goes to the store.
    fn write(&mut self, entry: Entry) -> Result<(), String> {
        self.note(|| format!("write entry {} ({:?}, {} bytes)", entry.seq, entry.kind, entry.bytes.len()));
        if self.options.journaling == Journaling::Off {
            return Err("an entry is written although nothing is to be stored".to_owned());
        }
        let whole = recovery::whole(vec![entry.clone()], &self.disk)?;
        let content = Content::read(&whole[0])?;
        if let Content::Record(_) = &content {
            self.look_inside(&whole[0])?;
        }
        self.watch.see(entry.seq, &content)?;
        self.contents.push(content);
        self.disk.push(entry);
        Ok(())
    }

    /// Takes down outside what a record says about the activation that it is about.
    fn look_inside(&mut self, entry: &Entry) -> Result<(), String> {
        let read = |bytes: &[u8]| decode::<Record>(bytes).map_err(|error| error.to_string());
        let mut record = read(&entry.bytes)?;
        let (mut path, mut hops) = (String::new(), Vec::new());
        while let Body::Nested { index, entry } = &record.body {
            let superstep = self.watch.within(hops.iter().copied())?.superstep();
            let hop = ActivationId { superstep, index: *index };
            path.push_str(&format!("{hop}/"));
            hops.push(hop);
            record = read(entry)?;
        }
        // The first record of a graph opens it, and there is nothing before that.
        let superstep = self.watch.within(hops.iter().copied()).map_or(0, Watch::superstep);
        let activation = |index| ActivationId { superstep, index };
        match &record.body {
            Body::Finished { index, .. } | Body::Failed { index, handled: true, .. } => {
                let id = format!("{path}{}", activation(*index));
                self.outside.ends.insert(id.clone(), entry.seq);
                self.outside.ended.push((id, entry.seq));
            }
            Body::Failed { index, failure, .. } => {
                let ledger = self.ledgers.entry(path).or_default();
                ledger.failed(activation(*index), entry.seq, failure, record.at_ms);
            }
            Body::Step { index, step, .. } => {
                let key = (format!("{path}{}", activation(*index)), step.name.clone());
                self.outside.stored.insert(key, entry.seq);
            }
            Body::Delivered { id } => self.outside.reported.push((id.clone(), entry.seq)),
            Body::Resumed { crashed, .. } => {
                for crash in crashed {
                    let Some(failure) = &crash.failure else { continue };
                    self.mourn(&path, activation(crash.index), entry.seq, failure, record.at_ms);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An activation has died too often.
    fn mourn(&mut self, path: &str, activation: ActivationId, seq: Seq, failure: &Failure, at_ms: u64) {
        let id = format!("{path}{activation}");
        self.history.looped += 1;
        self.outside.killed.remove(&id);
        let Outside { kept, per_attempt, .. } = &mut self.outside;
        kept.retain(|step| step.0 != id || !per_attempt.contains(step));
        self.ledgers.entry(path.to_owned()).or_default().failed(activation, seq, failure, at_ms);
    }

    /// The state must be the one that the reference has at this superstep.
    fn check_state(&self, execution: &Execution) -> Result<(), String> {
        if !execution.is_sound() || execution.run().is_none() {
            return Ok(());
        }
        let (run, superstep) = (run_number(execution), execution.superstep());
        let expected = self.expected.get(run).and_then(|expected| expected.state_at(superstep));
        let state = typed(execution);
        match expected {
            Some(expected) if *expected == state => Ok(()),
            Some(expected) => Err(format!(
                "the state before superstep {superstep} differs from the reference:\n  is       {state:?}\n  expected {expected:?}"
            )),
            None => Err(format!("run {run} is in superstep {superstep}, which the reference does not reach")),
        }
    }

    /// Checks the journal that the history leaves behind: every prefix of it, or some of a long one.
    fn audit(&mut self) -> Result<(), String> {
        Watch::read(self.options.journaling, &self.contents)?;
        if !self.each() {
            return Ok(());
        }
        let plan = self.tree.scenario.plan.clone();
        let all = self.disk.len() <= 12 || self.seed.is_multiple_of(50);
        let lengths: Vec<usize> = match all {
            true => (1..=self.disk.len()).collect(),
            false => (0..3).map(|_| self.rng.between(1, self.disk.len())).collect(),
        };
        for length in lengths {
            let prefix = &self.disk[..length];
            let whole = recovery::recover(&plan, self.options, prefix, None)?;
            self.check_state(&whole)?;
            let snapshots = recovery::snapshots(prefix);
            if let Some(seq) = snapshots.get(self.rng.below(snapshots.len())) {
                recovery::same(whole, &plan, self.options, prefix, *seq)?;
                self.history.prefixes += 1;
            }
        }
        Ok(())
    }
}
