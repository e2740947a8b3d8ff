//! What inner and outer nodes do: steps and effects, questions, failures, items for the outbox, ends.

use std::sync::Arc;

use statewright_engine_core::journal::StoredPost;
use statewright_engine_core::{
    ActivationId, EffectClass, Event, Failure, FailureKind, Interrupt, Journaling, Refused, StepKept,
    StepState, StoredStep, Task, UpdateValue,
};

use super::super::questions::{WRONG, questioned};
pub(super) use super::super::steps::input;
use super::spot::Spot;
use super::{Process, World};
use crate::script::{ScriptedStep, Visit};
use crate::state::{SimState, panic_in_reducer};

const FAILURES_MAX: u32 = 6;

/// One execution of a node that is under way.
pub(super) struct Running {
    pub(super) spot: Arc<Spot>,
    pub(super) task: Task,
    /// The step that it is at.
    place: usize,
    /// The step that it waits for, and whether that only begins.
    waits: Option<(String, bool)>,
    /// Whether it is in the middle of an effect whose beginning is durable.
    begun: bool,
}

impl Running {
    pub(super) fn new(spot: Arc<Spot>, task: Task) -> Self {
        Self { spot, task, place: 0, waits: None, begun: false }
    }

    pub(super) fn id(&self) -> String {
        self.spot.id(self.task.activation)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waits.is_some()
    }
}

/// How an execution goes on.
enum Next {
    Later,
    End,
    Fails(Failure),
}

impl Process {
    pub(super) fn drop_running(&mut self) {
        let gone = self.running.drain(..);
        self.past.extend(gone.map(|running| (running.spot, running.task.activation, running.task.attempt)));
    }
}

impl World {
    /// One of the running nodes goes on, or reports.
    pub(super) fn complete(&mut self, process: &mut Process) -> Result<(), String> {
        let free: Vec<usize> =
            (0..process.running.len()).filter(|place| !process.running[*place].is_waiting()).collect();
        let place = free[self.rng.below(free.len())];
        let next = self.step(process, place)?;
        if matches!(next, Next::Later) {
            return Ok(());
        }
        let Running { spot, task, .. } = process.running.swap_remove(place);
        let Task { activation, node, attempt, .. } = task;
        let id = spot.id(activation);
        process.past.push((spot.clone(), activation, attempt));
        let state: Arc<SimState> = task.state.clone().downcast().unwrap_or_default();
        let visit = Visit { node, activation, input: input(&task)?, state: &state };
        let script = spot.tree.scenario.script;
        if let Next::Fails(failure) = next {
            self.note(|| format!("{id} cannot go on: {failure}"));
            self.forget_attempt(&spot, &visit);
            return self.failed(process, &spot, &task, failure);
        }
        let answer = match questioned(spot.tree.scenario.script, &task, &visit, &mut self.history.together) {
            Ok(answer) => answer,
            Err(event) => {
                self.note(|| format!("{id}: {event:?}"));
                return self.report(process, spot.event(*event));
            }
        };
        let spec = &spot.tree.scenario.topology.nodes[node.index()];
        let handled = !spec.on_error.is_empty();
        if let Some(told) = script.fails(&visit).filter(|_| handled) {
            self.note(|| format!("{id} fails for good and leads to its handler"));
            self.history.handled += 1;
            self.history.faults.failures += 1;
            let failure = Box::new(Failure::permanent("SIM-3", told.to_string()));
            return self.report(process, spot.event(Event::Failed { activation, attempt, failure, draw: 0 }));
        }
        if self.fails_by_chance(&spot, &task, handled) {
            self.forget_attempt(&spot, &visit);
            let failure = self.chance_failure(handled);
            self.note(|| format!("{id} fails: {failure}"));
            return self.failed(process, &spot, &task, failure);
        }
        let returned = script.returned(&visit, spec);
        let decision = returned.map(|(variant, carried)| Box::new(carried.decision(variant)));
        let update = UpdateValue::live(script.update(&visit, answer));
        drop((task, state));
        self.note(|| format!("{id} finishes (attempt {attempt})"));
        self.post(process, &spot, activation, attempt)?;
        let panics = self.rng.chance(self.habits.panic);
        self.history.faults.panics += usize::from(panics);
        panic_in_reducer(panics);
        let reported =
            self.report(process, spot.event(Event::Finished { activation, attempt, update, decision }));
        panic_in_reducer(false);
        reported
    }

    /// What no handler may take has to have an attempt left, which only the records of all failures tell.
    fn fails_by_chance(&mut self, spot: &Spot, task: &Task, handled: bool) -> bool {
        let policy = &spot.tree.scenario.policies[task.node.index()];
        let ledger = self.ledgers.entry(spot.path.clone()).or_default();
        let used = ledger.failures(policy, task.activation);
        if handled && !(self.each() && used + 1 < policy.attempts) {
            return false;
        }
        let likely = self.habits.fail;
        let failures = self.outside.failures.entry(spot.id(task.activation)).or_default();
        let fails = *failures < FAILURES_MAX && self.rng.chance(likely);
        *failures += u32::from(fails);
        fails
    }

    fn chance_failure(&mut self, handled: bool) -> Failure {
        let kind = match self.rng.below(5) {
            _ if handled => FailureKind::Transient,
            0 => FailureKind::Permanent,
            1 => FailureKind::Unclassified,
            _ => FailureKind::Transient,
        };
        let mut failure = Failure::new("SIM-1", kind, "simulated");
        failure.retry_after_ms = self.rng.chance(250).then(|| self.rng.below(60) as u64);
        failure
    }

    fn failed(
        &mut self,
        process: &mut Process,
        spot: &Spot,
        task: &Task,
        failure: Failure,
    ) -> Result<(), String> {
        self.history.faults.failures += 1;
        self.outside.killed.remove(&spot.id(task.activation));
        let (activation, attempt, draw) = (task.activation, task.attempt, self.rng.draw() as u32);
        let failure = Box::new(failure);
        self.report(process, spot.event(Event::Failed { activation, attempt, failure, draw }))
    }

    /// The next thing that an execution does about its steps.
    fn step(&mut self, process: &mut Process, place: usize) -> Result<Next, String> {
        let running = &process.running[place];
        let (spot, id) = (running.spot.clone(), running.id());
        let state = running.task.state.clone().downcast().unwrap_or_default();
        let Task { activation, node, .. } = running.task;
        let visit = Visit { node, activation, input: input(&running.task)?, state: &state };
        let steps = spot.tree.scenario.script.steps(&visit);
        let Some(step) = steps.get(running.place) else { return Ok(Next::End) };
        if running.begun {
            self.take_place(&id, step)?;
            return self.keep(process, place, step, true);
        }
        let handled = !spot.tree.scenario.topology.nodes[node.index()].on_error.is_empty();
        let earlier = running.task.steps.as_deref().unwrap_or_default();
        match earlier.iter().find(|earlier| earlier.name == step.name).map(|earlier| &earlier.state) {
            Some(StepState::Finished(value)) if **value != step.value => {
                Err(format!("the step {} of {id} is replayed with another result", step.name))
            }
            Some(StepState::Finished(_)) => {
                self.note(|| format!("{id} is given the step {}", step.name));
                self.history.replayed += 1;
                process.running[place].place += 1;
                Ok(Next::Later)
            }
            // A node with an error handler fails only where the reference says so.
            Some(StepState::Started) if handled || self.rng.chance(200) => {
                self.note(|| format!("{id} looks the effect {} up", step.name));
                if !self.outside.effects.contains_key(&(id.clone(), step.name.clone())) {
                    self.take_place(&id, step)?;
                }
                self.keep(process, place, step, true)
            }
            Some(StepState::Started) => {
                self.history.unknown += 1;
                Ok(Next::Fails(Failure::permanent("SIM-4", "simulated")))
            }
            Some(StepState::NotDone) | None if step.class == EffectClass::AtMostOnce => {
                self.keep(process, place, step, false)
            }
            Some(StepState::NotDone) | None => {
                self.take_place(&id, step)?;
                self.keep(process, place, step, true)
            }
        }
    }

    /// The work of a step, in the world outside.
    fn take_place(&mut self, id: &str, step: &ScriptedStep) -> Result<(), String> {
        let name = step.name.clone();
        self.note(|| format!("{id} does the step {name}"));
        let key = (id.to_owned(), step.name.clone());
        if self.outside.kept.contains(&key) {
            return Err(format!("the step {name} of {id} is done again although its end was acknowledged"));
        }
        let count = self.outside.effects.entry(key).or_insert(0);
        *count += 1;
        if step.class == EffectClass::AtMostOnce && *count > 1 {
            return Err(format!("the effect {name} of {id} takes place {count} times"));
        }
        Ok(())
    }

    /// A step ended, or begins.
    fn keep(
        &mut self,
        process: &mut Process,
        place: usize,
        step: &ScriptedStep,
        ended: bool,
    ) -> Result<Next, String> {
        let running = &mut process.running[place];
        let (spot, id) = (running.spot.clone(), running.id());
        let (activation, attempt) = (running.task.activation, running.task.attempt);
        running.waits = Some((step.name.clone(), !ended));
        self.note(|| {
            format!("{id} reports the step {} ({})", step.name, if ended { "end" } else { "begin" })
        });
        if !ended && self.options.journaling == Journaling::AtEnd {
            self.watch.effect_begins();
        }
        if step.per_attempt {
            self.outside.per_attempt.insert((id, step.name.clone()));
        }
        let state = if ended { StepState::Finished(step.value.clone().into()) } else { StepState::Started };
        let ScriptedStep { name, class, per_attempt, .. } = step.clone();
        let step = StoredStep { name, input: None, class, per_attempt, state, undo: None };
        self.report(process, spot.event(Event::Stepped { activation, attempt, step: Box::new(step) }))?;
        Ok(Next::Later)
    }

    /// The core lets a node go on.
    pub(super) fn kept(&mut self, process: &mut Process, spot: &Spot, kept: StepKept) -> Result<(), String> {
        let StepKept { activation, attempt, name, refused } = kept;
        let id = spot.id(activation);
        self.note(|| format!("{id} goes on behind the step {name}"));
        if let Some(refused) = refused {
            return Err(format!("the step {name} of {id} is refused: {refused}"));
        }
        let of = |running: &&mut Running| running.id() == id && running.task.attempt == attempt;
        // A run that was cancelled has dropped its nodes.
        let Some(running) = process.running.iter_mut().find(of) else { return Ok(()) };
        let Some((_, begins)) = running.waits.take().filter(|(waits, _)| *waits == name) else {
            return Err(format!("{id} is let go on behind the step {name}, for which it does not wait"));
        };
        if begins {
            running.begun = true;
            return Ok(());
        }
        (running.begun, running.place) = (false, running.place + 1);
        self.history.kept += 1;
        if self.each() {
            let key = (id, name);
            let stored = self.outside.stored.get(&key).copied();
            let (id, name) = &key;
            if stored.is_none_or(|seq| seq > self.acked) {
                return Err(format!("{id} goes on behind the step {name}, which is not durable"));
            }
            self.outside.kept.insert(key);
        }
        Ok(())
    }

    fn forget_attempt(&mut self, spot: &Spot, visit: &Visit<'_>) {
        let id = spot.id(visit.activation);
        for step in spot.tree.scenario.script.steps(visit).iter().filter(|step| step.per_attempt) {
            self.outside.kept.remove(&(id.clone(), step.name.clone()));
        }
    }

    /// Somebody answers a question, sometimes with nonsense, sometimes after its deadline.
    pub(super) fn answer(&mut self, process: &mut Process, question: Interrupt) -> Result<(), String> {
        let wrong = self.rng.chance(self.habits.wrong);
        let Interrupt { id, question: right, deadline_ms, .. } = question;
        self.note(|| format!("answer {id}{}", if wrong { " wrongly" } else { "" }));
        let value = if wrong { WRONG.to_vec() } else { right };
        if let Err(refused) = process.execution.handle(self.now(), Event::Answered { interrupt: id, value }) {
            self.history.faults.expired += 1;
            let over = deadline_ms.is_some_and(|deadline_ms| deadline_ms <= self.now());
            return match refused {
                Refused::Expired { .. } if over => Ok(()),
                // A reducer panicked inside: the thread is to be loaded anew.
                Refused::Unsound if !process.execution.is_sound() => Ok(()),
                _ => Err(format!("an answer is refused: {refused}")),
            };
        }
        self.history.faults.wrong += usize::from(wrong);
        Ok(())
    }

    /// What an activation posts before its end is reported.
    fn post(
        &mut self,
        process: &mut Process,
        spot: &Spot,
        activation: ActivationId,
        attempt: u32,
    ) -> Result<(), String> {
        let items = spot.tree.scenario.script.posts(activation);
        if items.is_empty() {
            return Ok(());
        }
        self.history.posted += items.len();
        let id = spot.id(activation);
        for (place, item) in items.iter().enumerate() {
            self.outside.posted.insert(format!("{id}#{place}"), item.clone());
        }
        self.report(process, spot.event(Event::Posted { activation, attempt, items }))
    }

    /// The driver is given an item.
    pub(super) fn handed_out(&mut self, process: &mut Process, post: &StoredPost) -> Result<(), String> {
        let id = &post.id;
        self.note(|| format!("the item {id} is handed out"));
        if self.outside.settled.contains(id) {
            return Err(format!("the item {id} is handed out although its delivery was acknowledged"));
        }
        let of = id.rsplit_once('#').map_or("", |(of, _)| of);
        if self.each() && self.outside.ends.get(of).is_none_or(|seq| *seq > self.acked) {
            return Err(format!("the item {id} is handed out before the end of {of} is durable"));
        }
        match self.outside.posted.get(id) {
            Some((kind, payload)) if *kind == post.kind && *payload == *post.payload => {}
            other => return Err(format!("the item {id} is another one than was posted: {other:?}")),
        }
        process.posts.push(id.clone());
        Ok(())
    }

    /// The driver reports on one of its items: delivered, or not this time.
    pub(super) fn deliver(&mut self, process: &mut Process) -> Result<(), String> {
        let id = process.posts.swap_remove(self.rng.below(process.posts.len()));
        let delivered = !self.rng.chance(250);
        self.note(|| format!("the item {id} is {}delivered", if delivered { "" } else { "not " }));
        if delivered {
            self.history.delivered += 1;
            self.outside.delivered.insert(id.clone());
        } else {
            self.history.faults.undelivered += 1;
        }
        self.report(process, Event::Delivered { id, delivered })
    }
}
