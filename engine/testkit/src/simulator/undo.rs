//! The oracle on undoing: what took place is undone in reverse order, what is known to be undone is not undone again, and
//! nothing that is not told was left.

use std::collections::HashMap;

use statewright_engine_core::{Event, Failure, FailureKind, NotUndone, Outcome, Status, UndoEnd, UndoTask};

use super::process::Process;
use super::world::{World, run_number};

/// What happened outside.
#[derive(Default)]
pub(super) struct Undone {
    /// Effects that were acknowledged and can be undone, in order, with the number of their run.
    registered: Vec<(usize, String)>,
    /// How often each was undone.
    times: HashMap<String, u32>,
}

/// What a process undoes.
#[derive(Default)]
pub(super) struct Undoing {
    task: Option<UndoTask>,
    /// The place of the last one, counted from the first effect of the thread.
    place: Option<usize>,
}

impl Undoing {
    pub(super) fn is_at_work(&self) -> bool {
        self.task.is_some()
    }
}

/// Whether another run can begin, or could if nobody drove.
pub(super) fn is_over(status: &Status) -> bool {
    match status {
        Status::Empty | Status::Stopped(Outcome::Finished | Outcome::Cancelled) => true,
        Status::Stopped(Outcome::Compensated { left, .. }) => left.is_empty(),
        _ => false,
    }
}

impl World {
    /// An effect that can be undone was acknowledged.
    pub(super) fn undoable(&mut self, run: usize, effect: String) {
        if !self.undone.registered.iter().any(|(_, known)| *known == effect) {
            self.undone.registered.push((run, effect));
        }
    }

    /// Whether an effect was undone.
    pub(super) fn was_undone(&self, effect: &str) -> bool {
        self.undone.times.contains_key(effect)
    }

    /// The core wants an effect undone.
    pub(super) fn undo_begins(&mut self, process: &mut Process, task: UndoTask) -> Result<(), String> {
        self.note(|| format!("{} begins (try {})", task.id, task.attempt));
        process.drop_running();
        let effect = task.id.strip_prefix("undo ").unwrap_or_default();
        let place = self.undone.registered.iter().position(|(_, known)| known == effect);
        let (Some(last), Some(place)) = (process.undoing.place, place) else {
            process.undoing.place = place.or(process.undoing.place);
            process.undoing.task = Some(task);
            return Ok(());
        };
        if place > last {
            return Err(format!("{} comes after an effect that took place before it", task.id));
        }
        process.undoing = Undoing { task: Some(task), place: Some(place) };
        Ok(())
    }

    /// What is being undone ends, perhaps.
    pub(super) fn undo_goes_on(&mut self, process: &mut Process) -> Result<bool, String> {
        if process.undoing.task.is_none() || !self.rng.chance(300) {
            return Ok(false);
        }
        let Some(UndoTask { id, attempt, .. }) = process.undoing.task.take() else { return Ok(false) };
        let effect = id.strip_prefix("undo ").unwrap_or_default().to_owned();
        let (takes_place, failure) = match self.rng.below(8) {
            0 => (true, Some(false)),
            1 => (false, Some(true)),
            _ => (true, None),
        };
        self.note(|| format!("{id} ends: done {takes_place}, failure {failure:?}"));
        if takes_place {
            let times = self.undone.times.entry(effect).or_insert(0);
            *times += 1;
            if *times > 1 && !self.scenario.undoes_by_key() {
                return Err(format!("{id} takes place {times} times"));
            }
            self.history.undone += 1;
        }
        let failure =
            failure.map(|harmless| (Failure::new("SIM-5", FailureKind::Transient, "simulated"), harmless));
        let draw = self.rng.draw() as u32;
        self.report(process, Event::UndoEnded(Box::new(UndoEnd { id, attempt, failure, draw })))?;
        Ok(true)
    }

    /// A drive ended: everything that can be undone is, or is told.
    pub(super) fn check_undone(&self, process: &Process, outcome: &Outcome) -> Result<(), String> {
        let Outcome::Compensated { left, .. } = outcome else { return Ok(()) };
        let run = run_number(&process.execution);
        let told = |effect: &str| left.iter().any(|left| left.id.strip_prefix("undo ") == Some(effect));
        let forgotten = |(of, effect): &&(usize, String)| {
            *of == run && !self.undone.times.contains_key(effect) && !told(effect)
        };
        match self.undone.registered.iter().find(forgotten) {
            Some((_, effect)) => Err(format!("{effect} is neither undone nor told to be left")),
            None => Ok(()),
        }
    }

    /// An operator tries what is left again, or gives it up.
    pub(super) fn after_undoing(
        &mut self,
        process: &mut Process,
        run: usize,
        left: &[NotUndone],
    ) -> Result<(), String> {
        if left.is_empty() {
            return self.next_run(process, run);
        }
        if self.rng.chance(100) { self.cancel(process) } else { self.take_up(process) }
    }
}
