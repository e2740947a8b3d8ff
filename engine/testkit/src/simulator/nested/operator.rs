//! What an operator does while nobody drives.

use statewright_engine_core::{
    EdgeIx, Event, Execution, Failure, NodeIx, Outcome, RunId, Status, UpdateValue,
};

use super::{Process, World, run_number, typed};
use crate::ends::End;
use crate::script::ScriptedStep;

impl World {
    /// One thing that an operator does. Says whether the process lives on.
    pub(super) fn between(&mut self, process: &mut Process) -> Result<bool, String> {
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
        self.settle_effects(process)?;
        if process.execution.outbox().next().is_some() && self.rng.chance(100) {
            return self.only_deliver(process).map(|()| true);
        }
        let run = run_number(&process.execution);
        match process.execution.status() {
            Status::Empty => self.start(process, 0)?,
            Status::Open | Status::Stopped(Outcome::Drained | Outcome::PausedAt(_)) => {
                self.take_up(process)?;
            }
            Status::Stopped(Outcome::Finished) => {
                self.check_finished(&process.execution, run)?;
                self.next_run(process, run)?;
            }
            Status::Stopped(Outcome::Cancelled) => self.next_run(process, run)?,
            Status::Stopped(Outcome::Paused(questions)) => {
                for question in questions {
                    if self.rng.chance(700) {
                        self.answer(process, question)?;
                    }
                }
                self.take_up(process)?;
            }
            Status::Stopped(Outcome::Exhausted(edge)) => self.after_exhaustion(process, run, edge)?,
            Status::Stopped(Outcome::Failed(failures)) => self.after_failure(process, run, &failures)?,
            Status::Stopped(outcome) => return Err(format!("the drive ended with {outcome:?}")),
        }
        Ok(true)
    }

    fn only_deliver(&mut self, process: &mut Process) -> Result<(), String> {
        self.note(|| "deliver what is left, and run nothing".to_owned());
        let taken = process.execution.handle(self.now(), Event::Deliver);
        taken.map_err(|refused| format!("the delivery is refused: {refused}"))?;
        (process.driving, process.errand) = (true, true);
        self.watch.drive_begins();
        self.check_state(&process.execution)
    }

    fn start(&mut self, process: &mut Process, run: usize) -> Result<(), String> {
        let execution = &mut process.execution;
        let begin = self.tree.begin(typed(execution), execution.superstep(), run);
        let Some(expected) = self.tree.reference(begin) else {
            self.over = true;
            return Ok(());
        };
        self.expected.truncate(run);
        self.expected.push(expected);
        self.inside.clear();
        self.note(|| format!("start run {run}"));
        let input = UpdateValue::live(self.tree.scenario.script.input(run));
        let event = Event::Start { run: RunId::new(format!("r{run}")), input };
        execution.handle(self.now(), event).map_err(|refused| format!("the start is refused: {refused}"))?;
        process.driving = true;
        self.watch.drive_begins();
        self.check_state(&process.execution)
    }

    fn next_run(&mut self, process: &mut Process, run: usize) -> Result<(), String> {
        if run + 1 < self.tree.scenario.runs {
            return self.start(process, run + 1);
        }
        self.over = true;
        Ok(())
    }

    fn take_up(&mut self, process: &mut Process) -> Result<(), String> {
        if self.rng.chance(self.habits.cancel * 5) {
            return self.cancel(process);
        }
        self.note(|| "resume".to_owned());
        let seq = process.execution.last_seq() + 1;
        let failed = matches!(process.execution.status(), Status::Stopped(Outcome::Failed(_)));
        let resumed = process.execution.handle(self.now(), Event::Resume);
        resumed.map_err(|refused| format!("the resume is refused: {refused}"))?;
        if failed {
            self.ledgers.values_mut().for_each(|ledger| ledger.granted(seq));
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

    fn after_exhaustion(&mut self, process: &mut Process, run: usize, edge: EdgeIx) -> Result<(), String> {
        let superstep = process.execution.superstep();
        let edge = &self.tree.scenario.plan.edges[edge.index()];
        let expected = self.expected.get(run).ok_or("a run that was never started")?;
        let here = |place: usize| {
            let known = &expected.exhaustions[place];
            known.superstep == superstep && known.source == edge.source && known.target == edge.target
        };
        let Some(place) = (0..expected.exhaustions.len()).find(|place| here(*place)) else {
            return Err(format!("a bound is used up before superstep {superstep}, but not in the reference"));
        };
        self.over = expected.end == End::Exhausted && place + 1 == expected.exhaustions.len();
        if self.over { Ok(()) } else { self.take_up(process) }
    }

    fn after_failure(
        &mut self,
        process: &mut Process,
        run: usize,
        failures: &[(Option<NodeIx>, Failure)],
    ) -> Result<(), String> {
        let superstep = process.execution.superstep();
        for (node, failure) in failures {
            let known = match (node, &*failure.code) {
                (None, "SW-X220") => {
                    let expected = self.expected.get(run).map(|expected| &expected.end);
                    self.over = self.rng.chance(500);
                    expected == Some(&End::Conflict { superstep })
                }
                (_, "SW-X224") => self.history.faults.panics > 0,
                (Some(_), "SW-X286") => self.inside.values().any(|run| !run.exhaustions.is_empty()),
                (Some(_), "SIM-1" | "SIM-4" | "SW-X246") => true,
                _ => false,
            };
            if !known {
                return Err(format!("superstep {superstep} fails: {node:?}: {failure}"));
            }
        }
        if self.over { Ok(()) } else { self.take_up(process) }
    }

    /// Somebody looks up what became of effects, and says so.
    fn settle_effects(&mut self, process: &mut Process) -> Result<(), String> {
        for id in process.execution.unknown_effects() {
            if !self.rng.chance(600) {
                continue;
            }
            let (name, place) = id.split_once('@').unwrap_or_default();
            let done = self.outside.effects.contains_key(&(place.to_owned(), name.to_owned()));
            let value = done.then(|| ScriptedStep::value_of(name));
            self.note(|| format!("settle {id}: {}", if done { "it took place" } else { "it did not" }));
            let settled = process.execution.handle(self.now(), Event::Settled { effect: id, value });
            settled.map_err(|refused| format!("a settlement is refused: {refused}"))?;
            self.history.settled += 1;
        }
        Ok(())
    }

    fn check_finished(&self, execution: &Execution, run: usize) -> Result<(), String> {
        let expected = self.expected.get(run).ok_or_else(|| format!("run {run} was never started"))?;
        let last = expected.before + expected.states.len() as u64;
        if expected.end != End::Finished || execution.superstep() != last {
            return Err(format!(
                "the run finished before superstep {}; the reference ends with {:?} before superstep {last}",
                execution.superstep(),
                expected.end
            ));
        }
        if expected.starved > 0 {
            return Err("the run finished, and something still waits at a join".to_owned());
        }
        if !self.each() {
            return Ok(());
        }
        let left: Vec<&str> = execution.outbox().map(|post| post.id.as_str()).collect();
        let kept = |id: &str| self.outside.delivered.contains(id) || left.contains(&id);
        let counts = |id: &str| self.outside.done.contains(id.rsplit_once('#').map_or("", |(of, _)| of));
        match self.outside.posted.keys().find(|id| counts(id) && !kept(id) && of_run(id, expected.before)) {
            Some(id) => Err(format!("the item {id} was neither delivered nor is it in the outbox")),
            None => Ok(()),
        }
    }
}

/// Whether an item was posted after this superstep of the outermost graph.
fn of_run(id: &str, before: u64) -> bool {
    let superstep = id.split_once('.').and_then(|(superstep, _)| superstep.parse::<u64>().ok());
    superstep.is_some_and(|superstep| superstep > before)
}
