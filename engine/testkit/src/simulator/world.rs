//! The world around an execution: the disk, the operator, and everything that is remembered outside the journal.

use std::collections::{HashMap, HashSet};

use statewright_engine_core::journal::CUT_FORMAT;
use statewright_engine_core::{
    ActivationId, EdgeIx, Entry, Event, Execution, Journaling, Limits, Observe, Options, Outcome, RunId, Seq,
    Status, TypedCell, UpdateValue,
};

use super::budgets::Purse;
use super::ledger::Ledger;
use super::outbox::Posted;
use super::process::Process;
use super::steps::Outside;
use super::undo::Undone;
use super::watch::{Content, Watch};
use super::{History, recovery};
use crate::ends::End;
use crate::reference::Reference;
use crate::rng::{Rng, mix};
use crate::scenario::Scenario;
use crate::state::SimState;

const STEPS_MAX: usize = 60_000;
const ACTIVATIONS_MAX: usize = 30;
const CRASHES_MAX: usize = 4;

/// How likely things are in this history, as weights or per mille.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) poll: usize,
    pub(super) ack: usize,
    pub(super) complete: usize,
    pub(super) late: usize,
    pub(super) drain: usize,
    pub(super) cancel: usize,
    pub(super) crash: usize,
    pub(super) noise: usize,
    pub(super) answer: usize,
    pub(super) fail: usize,
    pub(super) wrong: usize,
    pub(super) panic: usize,
    pub(super) reboot: usize,
    pub(super) timer: usize,
    pub(super) early: usize,
    pub(super) deliver: usize,
}

impl Habits {
    pub(super) fn draw(rng: &mut Rng, journaling: Journaling) -> Self {
        let stored = journaling != Journaling::Off;
        let each = journaling == Journaling::Each;
        let mut some = |likely: usize, from: usize, to: usize| {
            if rng.chance(likely) { rng.between(from, to) } else { 0 }
        };
        Self {
            poll: some(1000, 20, 400),
            ack: some(1000, 5, 200),
            complete: some(1000, 5, 200),
            late: some(400, 1, 30),
            drain: some(400, 1, 8),
            cancel: some(100, 1, 2),
            crash: if stored { some(700, 1, 25) } else { 0 },
            noise: some(200, 1, 4),
            answer: some(500, 1, 100),
            fail: some(500, 10, 400),
            wrong: some(300, 50, 500),
            panic: if each { some(80, 100, 500) } else { 0 },
            reboot: if stored { some(600, 100, 900) } else { 0 },
            timer: some(1000, 5, 200),
            early: some(300, 1, 10),
            deliver: some(1000, 5, 200),
        }
    }
}

/// Everything outside of the execution.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) scenario: Scenario,
    pub(super) rng: Rng,
    pub(super) habits: Habits,
    pub(super) options: Options,
    /// What was sent to the store, durable or not.
    pub(super) disk: Vec<Entry>,
    /// The same, read.
    pub(super) contents: Vec<Content>,
    /// Everything up to here is durable and acknowledged.
    pub(super) acked: Seq,
    pub(super) watch: Watch,
    /// What the attempts of activations used up: outside the journal.
    pub(super) ledger: Ledger,
    /// How often the process died while an activation ran, since it last reported a failure.
    pub(super) killed: HashMap<ActivationId, u32>,
    /// How long everybody waited, beside the steps.
    pub(super) waited: u64,
    /// How often each activation failed on purpose.
    pub(super) failures: HashMap<ActivationId, u32>,
    /// Activations whose end was acknowledged: outside the journal, and never forgotten.
    pub(super) done: HashSet<ActivationId>,
    /// Activations that ended, with the entry that has to be acknowledged.
    pub(super) ended: Vec<(ActivationId, Seq)>,
    pub(super) outside: Outside,
    /// Supersteps before which a drive paused because somebody wanted to look.
    pub(super) paused: HashSet<u64>,
    pub(super) posted: Posted,
    /// What was really spent.
    pub(super) purse: Purse,
    /// What was really undone.
    pub(super) undone: Undone,
    pub(super) expected: Vec<Reference>,
    pub(super) history: History,
    pub(super) trace: Option<Vec<String>>,
    process: Option<Process>,
    over: bool,
}

impl World {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        let scenario = Scenario::generate(mix(&[seed, 1]), ACTIVATIONS_MAX);
        let mut rng = Rng::new(mix(&[seed, 2]));
        let journaling = match rng.below(20) {
            0 => Journaling::Off,
            1 | 2 => Journaling::AtEnd,
            _ => Journaling::Each,
        };
        let frontier = if journaling == Journaling::Each && rng.chance(40) {
            scenario.topology.start.len().max(2)
        } else {
            10_000
        };
        let bytes = if rng.chance(600) { rng.between(0, 3000) as u64 } else { 256 * 1024 };
        let at_once = if rng.chance(200) { rng.between(1, 3) } else { 1_000 };
        // What a handler is told must not depend on crashes.
        let handlers = scenario.topology.nodes.iter().any(|node| !node.on_error.is_empty());
        let crashes = if handlers { u32::MAX } else { rng.between(1, 3) as u32 };
        let value_bytes = [64, 64, 4096, 4096, usize::MAX][(mix(&[seed, 3]) % 5) as usize];
        let limits = Limits {
            frontier,
            at_once,
            crashes,
            snapshot_after_bytes: bytes,
            value_bytes,
            ..Limits::default()
        };
        let observe = if rng.chance(500) { Observe::Nothing } else { Observe::Updates };
        Self {
            seed,
            scenario,
            habits: Habits::draw(&mut rng, journaling),
            rng,
            options: Options { journaling, limits, observe },
            disk: Vec::new(),
            contents: Vec::new(),
            acked: 0,
            watch: Watch::new(journaling),
            ledger: Ledger::default(),
            killed: HashMap::new(),
            waited: 0,
            failures: HashMap::new(),
            done: HashSet::new(),
            ended: Vec::new(),
            outside: Outside::default(),
            paused: HashSet::new(),
            posted: Posted::default(),
            purse: Purse::default(),
            undone: Undone::default(),
            expected: Vec::new(),
            history: History { seed, ..History::default() },
            trace: traced.then(Vec::new),
            process: None,
            over: false,
        }
    }

    /// The time: every step takes a millisecond, and waiting takes longer.
    pub(super) fn now(&self) -> u64 {
        self.history.steps as u64 + self.waited
    }

    pub(super) fn note(&mut self, step: impl FnOnce() -> String) {
        self.history.steps += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(step());
        }
    }

    pub(super) fn history(&self) -> History {
        let snapshots = recovery::snapshots(&self.disk).len();
        let History { crashes, unknown, cancels, .. } = self.history;
        let faults = super::Faults { crashes, unknown, cancels, ..self.history.faults };
        let cut = self.disk.iter().filter(|entry| entry.bytes.first() == Some(&CUT_FORMAT)).count();
        History { entries: self.disk.len(), snapshots, cut, faults, ..self.history }
    }

    /// Until nothing is left to do.
    pub(super) fn play(&mut self) -> Result<(), String> {
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
        let each = self.options.journaling == Journaling::Each;
        self.watch = Watch::read(self.options.journaling, &self.contents)?;
        self.acked = self.disk.len() as Seq;
        let execution = if self.options.journaling == Journaling::Off {
            Execution::new(self.scenario.plan.clone(), Box::new(TypedCell::<SimState>::new()), self.options)
        } else {
            let snapshots = recovery::snapshots(&self.disk);
            let chosen = match self.rng.below(3) {
                0 if each => None,
                1 if each => snapshots.get(self.rng.below(snapshots.len())).copied(),
                _ => snapshots.last().copied(),
            };
            self.note(|| format!("boot from the snapshot at {chosen:?}"));
            if let Some(seq) = chosen.filter(|_| each && self.rng.chance(200)) {
                let whole = recovery::recover(&self.scenario.plan, self.options, &self.disk, None)?;
                recovery::same(whole, &self.scenario.plan, self.options, &self.disk, seq)?;
                self.history.prefixes += 1;
            }
            recovery::recover(&self.scenario.plan, self.options, &self.disk, chosen)?
        };
        self.check_state(&execution)?;
        self.check_purse(&execution)?;
        Ok(Process::new(execution))
    }

    pub(super) fn may_crash(&self) -> bool {
        self.history.crashes < CRASHES_MAX
    }

    /// The process dies. What was not acknowledged is lost, but for a part that happened to reach the disk.
    pub(super) fn crash(&mut self) {
        let kept = self.rng.between(self.acked as usize, self.disk.len());
        let sent = self.disk.len();
        let acked = self.acked;
        self.disk.truncate(kept);
        self.contents.truncate(kept);
        // At the other levels nothing that happened since the last stop is stored.
        self.ended.retain(|(_, seq)| *seq <= acked && self.options.journaling == Journaling::Each);
        match self.options.journaling {
            Journaling::Each => self.ledger.lost_after(kept as Seq),
            _ => self.ledger.lost_since_snapshot(kept as Seq),
        }
        self.history.crashes += 1;
        self.posted.crash();
        self.history.faults.lost += sent - kept;
        self.note(|| format!("crash: {sent} entries were sent, {acked} acknowledged, {kept} survive"));
    }

    /// What an operator does while nobody drives. Says whether the process lives on.
    fn between(&mut self, process: &mut Process) -> Result<bool, String> {
        if self.may_crash() && self.rng.chance(self.habits.crash * 3) {
            self.crash();
            return Ok(false);
        }
        if !process.execution.is_sound() || self.rng.chance(self.habits.reboot) && !process.fresh {
            self.note(|| "the process ends".to_owned());
            return Ok(false);
        }
        if self.rng.chance(self.habits.noise * 10) {
            self.noise(process)?;
        }
        process.fresh = false;
        if self.settle_effects(process)? {
            return Ok(true);
        }
        let run = run_number(&process.execution);
        match process.execution.status() {
            Status::Empty => self.start(process, 0)?,
            Status::Stopped(Outcome::PausedAt(_)) => {
                self.paused.insert(process.execution.superstep());
                self.take_up(process)?;
            }
            Status::Open | Status::Stopped(Outcome::Drained) => self.take_up(process)?,
            Status::Stopped(Outcome::Finished) => {
                self.check_finished(&process.execution, run)?;
                if self.expected.get(run).is_some_and(|expected| expected.starved > 0) {
                    return Err("the run finished, and something still waits at a join".to_owned());
                }
                self.next_run(process, run)?;
            }
            Status::Stopped(Outcome::Cancelled) => self.next_run(process, run)?,
            Status::Stopped(Outcome::Compensated { left, .. }) => self.after_undoing(process, run, &left)?,
            Status::Stopped(Outcome::Paused(questions)) => {
                for question in questions {
                    if self.rng.chance(700) {
                        self.answer(process, question)?;
                    }
                }
                self.take_up(process)?;
            }
            Status::Stopped(Outcome::BudgetExceeded(short)) => {
                let short: Vec<_> = short.into_iter().map(|(_, shortage)| shortage).collect();
                self.raise(&mut process.execution, &short)?;
                self.take_up(process)?;
            }
            Status::Stopped(Outcome::Exhausted(edge)) => self.after_exhaustion(process, run, edge)?,
            Status::Stopped(Outcome::Failed(failures)) => {
                let commit =
                    failures.iter().find(|(node, _)| node.is_none()).map(|(_, failure)| failure.code.clone());
                return self.after_failure(process, run, commit.as_deref());
            }
        }
        Ok(true)
    }

    fn after_exhaustion(&mut self, process: &mut Process, run: usize, edge: EdgeIx) -> Result<(), String> {
        let superstep = process.execution.superstep();
        let edge = &self.scenario.plan.edges[edge.index()];
        let expected = self.expected.get(run);
        let known = expected.and_then(|expected| {
            expected
                .exhaustions
                .iter()
                .position(|e| e.superstep == superstep && e.source == edge.source && e.target == edge.target)
        });
        let Some(place) = known else {
            return Err(format!("a bound is used up before superstep {superstep}, but not in the reference"));
        };
        let last = expected.is_some_and(|e| e.end == End::Exhausted && place + 1 == e.exhaustions.len());
        if last {
            self.over = true;
            return Ok(());
        }
        self.take_up(process)
    }

    fn after_failure(
        &mut self,
        process: &mut Process,
        run: usize,
        commit: Option<&str>,
    ) -> Result<bool, String> {
        let superstep = process.execution.superstep();
        match commit {
            Some("SW-X220") => {
                let expected = self.expected.get(run).map(|expected| &expected.end);
                if expected != Some(&End::Conflict { superstep }) {
                    return Err(format!(
                        "superstep {superstep} conflicts, the reference ends with {expected:?}"
                    ));
                }
                self.over = self.rng.chance(500);
            }
            Some("SW-X221") if self.options.limits.frontier < 10_000 => {
                self.options.limits.frontier = 10_000;
                self.note(|| "the limit of the frontier is raised".to_owned());
                return Ok(false);
            }
            None | Some("SW-X221" | "SW-X224") => {}
            Some(code) => return Err(format!("superstep {superstep} cannot be committed: {code}")),
        }
        if !self.over {
            self.take_up(process)?;
        }
        Ok(true)
    }

    pub(super) fn next_run(&mut self, process: &mut Process, run: usize) -> Result<(), String> {
        if run + 1 < self.scenario.runs {
            return self.start(process, run + 1);
        }
        self.over = true;
        Ok(())
    }

    fn start(&mut self, process: &mut Process, run: usize) -> Result<(), String> {
        let execution = &mut process.execution;
        let state = typed(execution);
        let expected = self.scenario.reference(state, execution.superstep(), run, 20 * ACTIVATIONS_MAX);
        let Some(expected) = expected else {
            self.over = true;
            return Ok(());
        };
        self.expected.truncate(run);
        self.expected.push(expected);
        self.note(|| format!("start run {run}"));
        let input = UpdateValue::live(self.scenario.script.input(run));
        let event = Event::Start { run: RunId::new(format!("r{run}")), input };
        execution.handle(self.now(), event).map_err(|refused| format!("the start is refused: {refused}"))?;
        process.driving = true;
        self.watch.drive_begins();
        self.check_state(&process.execution)
    }

    pub(super) fn take_up(&mut self, process: &mut Process) -> Result<(), String> {
        if self.rng.chance(self.habits.cancel * 5) {
            return self.cancel(process);
        }
        self.note(|| "resume".to_owned());
        let seq = process.execution.last_seq() + 1;
        let granted = process.has_failed();
        let resumed = process.execution.handle(self.now(), Event::Resume);
        resumed.map_err(|refused| format!("the resume is refused: {refused}"))?;
        if granted {
            self.ledger.granted(seq);
        }
        process.driving = true;
        self.watch.drive_begins();
        self.check_state(&process.execution)
    }

    pub(super) fn cancel(&mut self, process: &mut Process) -> Result<(), String> {
        self.note(|| "cancel".to_owned());
        let cancelled = process.execution.handle(self.now(), Event::Cancel);
        cancelled.map_err(|refused| format!("the cancel is refused: {refused}"))?;
        self.history.cancels += 1;
        process.driving = true;
        self.watch.drive_begins();
        // The driver drops what runs; one of them may still report.
        process.drop_running();
        process.posts.clear();
        Ok(())
    }

    /// The state must be the one that the reference has at this superstep.
    pub(super) fn check_state(&self, execution: &Execution) -> Result<(), String> {
        self.check_limits(execution)?;
        if !execution.is_sound() || execution.run().is_none() {
            return Ok(());
        }
        let (run, superstep) = (run_number(execution), execution.superstep());
        let expected = self.expected.get(run).and_then(|expected| expected.state_at(superstep));
        let state = execution.state();
        let state = state.downcast_ref::<SimState>();
        match expected {
            Some(expected) if Some(expected) == state => Ok(()),
            Some(expected) => Err(format!(
                "the state before superstep {superstep} differs from the reference:\n  is       {state:?}\n  expected {expected:?}"
            )),
            None => Err(format!("run {run} is in superstep {superstep}, which the reference does not reach")),
        }
    }

    fn check_finished(&self, execution: &Execution, run: usize) -> Result<(), String> {
        let Some(expected) = self.expected.get(run) else {
            return Err(format!("run {run} was never started"));
        };
        let last = expected.before + expected.states.len() as u64;
        if expected.end == End::Finished && execution.superstep() == last {
            return self.check_outbox(execution, expected);
        }
        Err(format!(
            "the run finished before superstep {}; the reference ends with {:?} before superstep {last}",
            execution.superstep(),
            expected.end
        ))
    }

    /// Checks the journal that the history leaves behind: every prefix of it, or some of a long one.
    pub(super) fn audit(&mut self) -> Result<(), String> {
        Watch::read(self.options.journaling, &self.contents)?;
        if self.options.journaling != Journaling::Each {
            return Ok(());
        }
        let all = self.disk.len() <= 6 || self.seed.is_multiple_of(250);
        let lengths: Vec<usize> = match all {
            true => (1..=self.disk.len()).collect(),
            false => vec![self.rng.between(1, self.disk.len())],
        };
        for length in lengths {
            let prefix = &self.disk[..length];
            let whole = recovery::recover(&self.scenario.plan, self.options, prefix, None)?;
            self.check_state(&whole)?;
            let snapshots = recovery::snapshots(prefix);
            if let Some(seq) = snapshots.get(self.rng.below(snapshots.len())) {
                recovery::same(whole, &self.scenario.plan, self.options, prefix, *seq)?;
                self.history.prefixes += 1;
            }
        }
        Ok(())
    }
}

pub(super) fn typed(execution: &Execution) -> SimState {
    execution.state().downcast_ref::<SimState>().cloned().unwrap_or_default()
}

/// The number in the name of the present run.
pub(super) fn run_number(execution: &Execution) -> usize {
    execution.run().and_then(|run| run.as_str().strip_prefix('r')?.parse().ok()).unwrap_or(0)
}
