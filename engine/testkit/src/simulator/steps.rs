//! What simulated nodes do before they end: steps and effects, with crashes before, between and behind their records.
//! How often an effect took place and which steps were acknowledged is remembered outside the journal.

use std::collections::{HashMap, HashSet};

use statewright_engine_core::{
    ActivationId, EffectClass, Event, Failure, Journaling, NodeFailure, Seq, StepKept, StepState, StoredStep,
    StoredUndo, Task,
};

use super::budgets::Claims;
use super::process::Process;
use super::undo::is_over;
use super::world::{World, run_number};
use crate::script::{ScriptedStep, Visit};
use crate::state::Wide;

/// One execution of a node that is under way.
pub(super) struct Running {
    pub(super) task: Task,
    /// The step that it is at.
    place: usize,
    /// The step that it waits for.
    waits: Option<Waits>,
    /// Whether it is in the middle of an effect whose beginning is durable.
    pub(super) begun: bool,
    pub(super) claims: Claims,
}

/// A step that was reported.
struct Waits {
    name: String,
    /// The entry that has to be durable first.
    behind: Seq,
    /// Whether it only begins.
    begins: bool,
    /// Whether it can be undone once it has ended.
    undoable: bool,
}

/// What happened outside, whatever the journal says.
#[derive(Default)]
pub(super) struct Outside {
    /// How often each effect took place.
    effects: HashMap<(ActivationId, String), u32>,
    /// Steps whose result was acknowledged.
    kept: HashSet<(ActivationId, String)>,
    /// Steps that a failed attempt does not leave behind.
    per_attempt: HashSet<(ActivationId, String)>,
}

/// How an execution goes on.
pub(super) enum Next {
    /// It has more to do.
    Later,
    /// Its steps are done.
    End,
    /// It cannot go on: an effect began earlier and was not seen to end, or a budget is used up.
    Fails(Failure),
}

impl Running {
    pub(super) fn new(task: Task) -> Self {
        Self { task, place: 0, waits: None, begun: false, claims: Claims::default() }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waits.is_some() || self.claims.is_waiting()
    }
}

impl World {
    /// The next thing that an execution does about its steps.
    pub(super) fn step(&mut self, process: &mut Process, index: usize) -> Result<Next, String> {
        if let Some(failure) = process.running[index].claims.take_refused() {
            return Ok(Next::Fails(failure));
        }
        let running = &process.running[index];
        let (activation, attempt) = (running.task.activation, running.task.attempt);
        let state = running.task.state.clone().downcast().unwrap_or_default();
        let input = input(&running.task)?;
        let visit = Visit { node: running.task.node, activation, input, state: &state };
        let steps = self.scenario.script.steps(&visit);
        let Some(step) = steps.get(running.place) else { return self.settle_held(process, index) };
        if running.begun {
            if !self.may_spend(process, index, step, None)? {
                return Ok(Next::Later);
            }
            self.take_place(activation, step)?;
            self.spend(process, index, step)?;
            return self.keep(process, index, step, StepState::Finished(step.value.clone().into()));
        }
        let handled = !self.scenario.topology.nodes[visit.node.index()].on_error.is_empty();
        let earlier = running.task.steps.as_deref().unwrap_or_default();
        match earlier.iter().find(|earlier| earlier.name == step.name).map(|earlier| &earlier.state) {
            Some(StepState::Finished(value)) if **value != step.value => {
                Err(format!("the step {} of {activation} is replayed with another result", step.name))
            }
            Some(StepState::Finished(_)) => {
                self.note(|| format!("{activation} is given the step {}", step.name));
                self.history.replayed += 1;
                process.running[index].place += 1;
                Ok(Next::Later)
            }
            // A node with an error handler fails only where the reference says so.
            Some(StepState::Started) if handled || self.rng.chance(200) => {
                self.note(|| format!("{activation} looks the effect {} up (attempt {attempt})", step.name));
                if !self.took_place(activation, &step.name) {
                    if !self.may_spend(process, index, step, None)? {
                        return Ok(Next::Later);
                    }
                    self.take_place(activation, step)?;
                    self.spend(process, index, step)?;
                }
                self.keep(process, index, step, StepState::Finished(step.value.clone().into()))
            }
            Some(StepState::Started) => {
                self.history.unknown += 1;
                Ok(Next::Fails(Failure::permanent("SIM-4", "simulated")))
            }
            Some(StepState::NotDone) | None if step.class == EffectClass::AtMostOnce => {
                // Elsewhere the beginning of an effect is a snapshot of its own.
                let begins = (self.options.journaling == Journaling::Each)
                    .then(|| stored(step, StepState::Started, self.scenario.undo_kind()));
                if self.may_spend(process, index, step, begins)? {
                    self.keep(process, index, step, StepState::Started)
                } else {
                    Ok(Next::Later)
                }
            }
            Some(StepState::NotDone) | None => {
                if !self.may_spend(process, index, step, None)? {
                    return Ok(Next::Later);
                }
                self.take_place(activation, step)?;
                self.spend(process, index, step)?;
                self.keep(process, index, step, StepState::Finished(step.value.clone().into()))
            }
        }
    }

    /// The work of a step, in the world outside.
    fn take_place(&mut self, activation: ActivationId, step: &ScriptedStep) -> Result<(), String> {
        let name = step.name.clone();
        self.note(|| format!("{activation} does the step {name}"));
        if self.outside.kept.contains(&(activation, step.name.clone())) {
            return Err(format!(
                "the step {name} of {activation} is done again although its end was acknowledged"
            ));
        }
        let count = self.outside.effects.entry((activation, name)).or_insert(0);
        *count += 1;
        if step.class == EffectClass::AtMostOnce && *count > 1 {
            return Err(format!("the effect {} of {activation} takes place {count} times", step.name));
        }
        Ok(())
    }

    fn took_place(&self, activation: ActivationId, name: &str) -> bool {
        self.outside.effects.contains_key(&(activation, name.to_owned()))
    }

    fn keep(
        &mut self,
        process: &mut Process,
        index: usize,
        step: &ScriptedStep,
        state: StepState,
    ) -> Result<Next, String> {
        let (activation, attempt) =
            (process.running[index].task.activation, process.running[index].task.attempt);
        self.note(|| format!("{activation} reports the step {} as {state:?}", step.name));
        if self.options.journaling == Journaling::AtEnd && state == StepState::Started {
            self.watch.effect_begins();
        }
        if step.per_attempt {
            self.outside.per_attempt.insert((activation, step.name.clone()));
        }
        let begins = state == StepState::Started;
        let stored = stored(step, state, self.scenario.undo_kind());
        self.report(process, Event::Stepped { activation, attempt, step: Box::new(stored) })?;
        let behind =
            if self.options.journaling == Journaling::Off { 0 } else { process.execution.last_seq() };
        let undoable = step.undoable;
        process.running[index].waits = Some(Waits { name: step.name.clone(), behind, begins, undoable });
        Ok(Next::Later)
    }

    /// The core lets a node go on.
    pub(super) fn kept(&mut self, process: &mut Process, kept: StepKept) -> Result<(), String> {
        let StepKept { activation, attempt, name, refused } = kept;
        self.note(|| format!("{activation} goes on behind the step {name}"));
        if let Some(refused) = refused {
            return Err(format!("the step {name} of {activation} is refused: {refused}"));
        }
        let of =
            |running: &&mut Running| running.task.activation == activation && running.task.attempt == attempt;
        // A run that was cancelled has dropped its nodes.
        let Some(running) = process.running.iter_mut().find(of) else { return Ok(()) };
        let Some(waits) = running.waits.take().filter(|waits| waits.name == name) else {
            return Err(format!(
                "{activation} is let go on behind the step {name}, for which it does not wait"
            ));
        };
        if waits.behind > self.acked {
            return Err(format!(
                "{activation} goes on behind the step {name} before entry {} is durable (durable: {})",
                waits.behind, self.acked
            ));
        }
        if waits.begins {
            running.begun = true;
            return Ok(());
        }
        (running.begun, running.place) = (false, running.place + 1);
        self.history.kept += 1;
        if self.options.journaling == Journaling::Each && waits.undoable {
            self.undoable(run_number(&process.execution), format!("{name}@{activation}"));
        }
        if self.options.journaling == Journaling::Each {
            self.outside.kept.insert((activation, name));
        }
        Ok(())
    }

    /// A failed attempt forgets the steps that asked for it.
    pub(super) fn forget_attempt(&mut self, task: &Task, visit: &Visit<'_>) {
        for step in self.scenario.script.steps(visit).iter().filter(|step| step.per_attempt) {
            self.outside.kept.remove(&(task.activation, step.name.clone()));
        }
    }

    /// The same for an attempt that the process took down with it.
    pub(super) fn forget_attempts(&mut self, activation: ActivationId) {
        let Outside { kept, per_attempt, .. } = &mut self.outside;
        kept.retain(|step| step.0 != activation || !per_attempt.contains(step));
    }

    /// Somebody looks up what became of effects, and says so. Whether that ended the run: the drive that said so has to end,
    /// too.
    pub(super) fn settle_effects(&mut self, process: &mut Process) -> Result<bool, String> {
        let execution = &mut process.execution;
        let was_over = is_over(&execution.status());
        for id in execution.unknown_effects() {
            if !self.rng.chance(600) {
                continue;
            }
            let (name, place) = id.split_once('@').unwrap_or_default();
            // What is undone was done in an earlier superstep.
            let (superstep, index) = place.rsplit_once('.').unwrap_or_default();
            let superstep = superstep.parse().map_err(|_| format!("the id `{id}` names no activation"))?;
            let activation = ActivationId { superstep, index: index.parse().unwrap_or_default() };
            let done = match id.strip_prefix("undo ") {
                // It is as good as undone if it never took place.
                Some(effect) => {
                    let name = name.strip_prefix("undo ").unwrap_or_default();
                    self.was_undone(effect) || !self.took_place(activation, name)
                }
                None => self.took_place(activation, name),
            };
            let value = done.then(|| ScriptedStep::value_of(name));
            self.note(|| format!("settle {id}: {}", if done { "it took place" } else { "it did not" }));
            let event = Event::Settled { effect: id, value };
            execution
                .handle(self.now(), event)
                .map_err(|refused| format!("a settlement is refused: {refused}"))?;
            self.ledger.covered(execution.last_seq());
            self.history.settled += 1;
        }
        let ends = !was_over && is_over(&execution.status());
        if ends {
            process.driving = true;
            self.watch.drive_begins();
        }
        Ok(ends)
    }
}

fn stored(step: &ScriptedStep, state: StepState, kind: &str) -> StoredStep {
    let ScriptedStep { name, class, per_attempt, undoable, .. } = step.clone();
    let undo = StoredUndo { kind: kind.to_owned(), payload: name.clone().into_bytes().into() };
    let undo = undoable.then(|| Box::new(undo));
    StoredStep { name, input: None, class, per_attempt, state, undo }
}

pub(super) fn input(task: &Task) -> Result<Option<u64>, String> {
    if task.input.is_unit() {
        return Ok(None);
    }
    if let Ok(failure) = task.input.read::<NodeFailure>() {
        return failure.message.parse().map(Some).map_err(|_| "a handler is told something else".to_owned());
    }
    task.input
        .read::<Wide>()
        .map(|Wide(number)| Some(number))
        .map_err(|error| format!("the input of {} cannot be read: {error}", task.activation))
}
