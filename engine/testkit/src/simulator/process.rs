//! A process that drives the execution: takes its actions, runs nodes, acknowledges writes, in any order that a real
//! driver, store and scheduler could bring about, and in some that none should.

use std::sync::Arc;

use statewright_engine_core::journal::Body;
use statewright_engine_core::{
    Action, ActivationId, Asking, EffectClass, Event, Execution, Failure, FailureKind, Journaling, NodeIx,
    Notice, Outcome, Seq, State, Status, StepState, StoredStep, Task, UpdateValue,
};

use super::questions::questioned;
use super::steps::{Next, Running, input};
use super::undo::Undoing;
use super::watch::Content;
use super::world::{World, run_number};
use crate::script::Visit;
use crate::state::{SimState, panic_in_reducer};

const FAILURES_MAX: u32 = 6;

/// One life of a driver.
pub(super) struct Process {
    pub(super) execution: Execution,
    pub(super) driving: bool,
    /// Whether it has done nothing yet.
    pub(super) fresh: bool,
    pub(super) running: Vec<Running>,
    /// Executions that ended or were dropped, and may report once more.
    past: Vec<(ActivationId, u32)>,
    /// The timer that is set.
    pub(super) timer: Option<u64>,
    /// Items of the outbox that were handed out and not reported on.
    pub(super) posts: Vec<String>,
    pub(super) undoing: Undoing,
}

impl Process {
    /// Whether a resume grants new tries.
    pub(super) fn has_failed(&self) -> bool {
        let status = self.execution.status();
        matches!(status, Status::Stopped(Outcome::Failed(_) | Outcome::BudgetExceeded(_)))
    }

    pub(super) fn new(execution: Execution) -> Self {
        Self {
            execution,
            driving: false,
            fresh: true,
            running: Vec::new(),
            past: Vec::new(),
            timer: None,
            posts: Vec::new(),
            undoing: Undoing::default(),
        }
    }

    pub(super) fn drop_running(&mut self) {
        self.past
            .extend(self.running.drain(..).map(|running| (running.task.activation, running.task.attempt)));
    }
}

impl World {
    /// One thing that happens during a drive. Says whether the process lives on.
    pub(super) fn drive(&mut self, process: &mut Process) -> Result<bool, String> {
        self.cut_off(process);
        let habits = self.habits;
        let when = |there: bool, weight: usize| if there { weight } else { 0 };
        let unacked = (self.disk.len() as Seq) > self.acked;
        let open = matches!(process.execution.status(), Status::Open);
        let weights = [
            habits.poll,
            when(unacked, habits.ack),
            when(process.running.iter().any(|running| !running.is_waiting()), habits.complete),
            when(!process.past.is_empty(), habits.late),
            habits.drain,
            when(open, habits.cancel),
            when(self.may_crash(), habits.crash),
            habits.noise,
            habits.answer,
            when(process.timer.is_some_and(|at_ms| at_ms <= self.now()), habits.timer),
            habits.early,
            when(!process.posts.is_empty(), habits.deliver),
        ];
        match self.rng.weighted(&weights) {
            Some(1) => self.acknowledge(process)?,
            Some(2) => self.complete(process)?,
            Some(3) => self.late(process)?,
            Some(4) => {
                self.note(|| "drain".to_owned());
                self.history.faults.drains += 1;
                process
                    .execution
                    .handle(0, Event::Drain)
                    .map_err(|refused| format!("the drain is refused: {refused}"))?;
            }
            Some(5) => self.cancel(process)?,
            Some(6) => {
                for task in &process.running {
                    *self.killed.entry(task.task.activation).or_insert(0) += 1;
                }
                self.crash();
                return Ok(false);
            }
            Some(7) => self.noise(process)?,
            Some(8) => {
                let questions = process.execution.interrupts();
                if !questions.is_empty() {
                    let place = self.rng.below(questions.len());
                    self.answer(process, questions[place].clone())?;
                }
            }
            Some(9) => self.fire(process)?,
            Some(10) => self.fire_early(process)?,
            Some(11) => self.deliver(process)?,
            _ => self.poll(process)?,
        }
        Ok(true)
    }

    fn poll(&mut self, process: &mut Process) -> Result<(), String> {
        if self.undo_goes_on(process)? {
            return Ok(());
        }
        self.ledger.covered(process.execution.last_seq());
        let Some(action) = process.execution.poll_action() else {
            let quiet = process.running.iter().all(Running::is_waiting)
                && process.posts.is_empty()
                && self.acked == self.disk.len() as Seq
                && !process.undoing.is_at_work();
            if quiet && process.timer.is_some() {
                self.waited += self.rng.between(1, 30) as u64;
                self.note(|| "time passes".to_owned());
                return Ok(());
            }
            return if quiet {
                Err("the drive neither runs, nor stops, nor lets a node go on".to_owned())
            } else {
                Ok(())
            };
        };
        match action {
            Action::Persist(entry) => {
                self.note(|| {
                    format!("write entry {} ({:?}, {} bytes)", entry.seq, entry.kind, entry.bytes.len())
                });
                if self.options.journaling == Journaling::Off {
                    return Err("an entry is written although nothing is to be stored".to_owned());
                }
                let whole = super::recovery::whole(vec![entry.clone()], &self.disk)?;
                let content = Content::read(&whole[0])?;
                self.watch.see(entry.seq, &content)?;
                self.mourn(process, entry.seq, &content);
                self.history.escalated += usize::from(content.escalates());
                self.contents.push(content);
                self.disk.push(entry);
            }
            Action::Run(task) => self.run(process, task)?,
            Action::Emit(Notice::Committed { seq, .. }) if seq > self.acked => {
                return Err(format!(
                    "a commit is announced before entry {seq} is durable (durable: {})",
                    self.acked
                ));
            }
            Action::Abandon(activation) => {
                return Err(format!("activation {activation} is abandoned long before its time"));
            }
            Action::Emit(_) | Action::Nested { .. } => {}
            Action::Deliver(post) => self.handed_out(process, &post)?,
            Action::SetTimer { at_ms } => {
                self.note(|| format!("set the timer to {at_ms}"));
                process.timer = Some(at_ms);
            }
            Action::StepKept(kept) => self.kept(process, *kept)?,
            Action::Reserved(reserved) => self.reserved(process, *reserved)?,
            Action::Undo(task) => self.undo_begins(process, *task)?,
            Action::Stop(outcome) => self.stop(process, &outcome)?,
        }
        Ok(())
    }

    /// Notes which activations a record says have died too often.
    fn mourn(&mut self, process: &Process, seq: Seq, content: &Content) {
        let Content::Record(body) = content else { return };
        let Body::Resumed { crashed, .. } = body.as_ref() else { return };
        let superstep = process.execution.superstep();
        for crash in crashed {
            let Some(failure) = &crash.failure else { continue };
            let activation = ActivationId { superstep, index: crash.index };
            self.history.looped += 1;
            self.killed.remove(&activation);
            self.forget_attempts(activation);
            self.ledger.failed(activation, seq, failure, self.now());
        }
    }

    fn run(&mut self, process: &mut Process, task: Task) -> Result<(), String> {
        let Task { activation, attempt, node, .. } = task;
        self.note(|| format!("run {activation} (node {}, attempt {attempt})", node.0));
        self.history.executions += 1;
        if self.done.contains(&activation) {
            return Err(format!("activation {activation} runs although its end was acknowledged"));
        }
        if self.options.journaling != Journaling::Off {
            self.watch.may_run(activation, self.acked)?;
        }
        if process.running.iter().any(|other| other.task.activation == activation) {
            return Err(format!("activation {activation} runs twice at the same time"));
        }
        self.ledger.may_run(&self.scenario.policies[node.index()], activation, self.now())?;
        self.in_lane(process, node)?;
        self.may_go_past(activation, node)?;
        let killed = self.killed.get(&activation).copied().unwrap_or(0);
        let limited =
            self.scenario.policies[node.index()].at_once.is_some() || self.options.limits.at_once < 1_000;
        if killed >= self.options.limits.crashes && !limited && self.options.journaling == Journaling::Each {
            return Err(format!("activation {activation} runs again after {killed} crashes"));
        }
        self.history.retries +=
            usize::from(self.ledger.failures(&self.scenario.policies[node.index()], activation) > 0);
        let expected = self.expected.get(run_number(&process.execution));
        let input = input(&task)?;
        let wanted = expected.and_then(|expected| expected.activation(activation));
        if wanted != Some((node, input)) {
            return Err(format!(
                "activation {activation} is node {} with the input {input:?}, the reference has {wanted:?}",
                node.0
            ));
        }
        let seen = task.state.downcast_ref::<SimState>();
        let wanted = expected.and_then(|expected| expected.state_at(activation.superstep));
        if seen != wanted {
            return Err(format!(
                "activation {activation} sees another state than the reference:\n  sees     {seen:?}\n  expected {wanted:?}"
            ));
        }
        process.running.push(Running::new(task));
        Ok(())
    }

    /// Whether the limits allow one more activation of a node.
    fn in_lane(&self, process: &Process, node: NodeIx) -> Result<(), String> {
        let of_node = process.running.iter().filter(|other| other.task.node == node).count();
        let most = self.scenario.policies[node.index()].at_once.map_or(usize::MAX, |most| most as usize);
        if of_node >= most || process.running.len() >= self.options.limits.at_once {
            return Err(format!("node {} runs although {of_node} of {most} activations do", node.0));
        }
        Ok(())
    }

    fn stop(&mut self, process: &mut Process, outcome: &Outcome) -> Result<(), String> {
        self.note(|| format!("stop: {outcome:?}"));
        self.history.stops += 1;
        process.driving = false;
        process.timer = None;
        if let Outcome::PausedAt(points) = outcome {
            self.paused_at(process.execution.superstep(), points)?;
        }
        process.posts.clear();
        process.undoing = Undoing::default();
        self.check_undone(process, outcome)?;
        if self.options.journaling != Journaling::Off {
            self.watch.may_stop(self.acked)?;
        }
        self.cut_off_by(process, outcome);
        if !process.running.is_empty() {
            return Err(format!("the drive stops while {} nodes run", process.running.len()));
        }
        let fits = match (outcome, process.execution.status()) {
            // Questions may have been answered since.
            (
                Outcome::Paused(_) | Outcome::Failed(_) | Outcome::BudgetExceeded(_) | Outcome::Drained,
                Status::Open,
            ) => true,
            (Outcome::Paused(_), Status::Stopped(Outcome::Paused(_))) => true,
            (outcome, Status::Stopped(status)) => *outcome == status,
            _ => false,
        };
        if !fits {
            return Err(format!(
                "the drive ends with {outcome:?}, the thread stands at {:?}",
                process.execution.status()
            ));
        }
        if self.options.journaling == Journaling::AtEnd {
            self.done.extend(self.ended.drain(..).map(|(activation, _)| activation));
        }
        Ok(())
    }

    /// The store reports that a part of what it was sent is durable.
    fn acknowledge(&mut self, process: &mut Process) -> Result<(), String> {
        let sent = self.disk.len();
        self.acked = self.rng.between(self.acked as usize + 1, sent) as Seq;
        let acked = self.acked;
        self.note(|| format!("acknowledge up to {acked} of {sent}"));
        if self.options.journaling == Journaling::Each {
            let durable =
                self.ended.iter().filter(|(_, seq)| *seq <= acked).map(|(activation, _)| *activation);
            self.done.extend(durable);
            self.ended.retain(|(_, seq)| *seq > acked);
            self.posted.durable_up_to(acked);
        }
        let reported = process.execution.handle(self.now(), Event::Persisted { seq: acked });
        reported.map_err(|refused| format!("an acknowledgement is refused: {refused}"))
    }

    /// One of the running nodes reports.
    fn complete(&mut self, process: &mut Process) -> Result<(), String> {
        let free: Vec<usize> =
            (0..process.running.len()).filter(|place| !process.running[*place].is_waiting()).collect();
        let place = free[self.rng.below(free.len())];
        let next = self.step(process, place)?;
        if matches!(next, Next::Later) {
            return Ok(());
        }
        let task = process.running.swap_remove(place).task;
        let Task { activation, node, attempt, .. } = task;
        process.past.push((activation, attempt));
        let state: Arc<SimState> = task.state.clone().downcast().unwrap_or_default();
        let visit = Visit { node, activation, input: input(&task)?, state: &state };
        let script = self.scenario.script;
        if let Next::Fails(failure) = next {
            self.note(|| format!("{activation} cannot go on: {failure}"));
            self.forget_attempt(&task, &visit);
            return self.failed(process, activation, attempt, failure);
        }
        let answer = match questioned(self.scenario.script, &task, &visit, &mut self.history.together) {
            Ok(answer) => answer,
            Err(event) => {
                self.note(|| format!("{event:?}"));
                return self.report(process, *event);
            }
        };
        let handled = !self.scenario.topology.nodes[node.index()].on_error.is_empty();
        if let Some(told) = script.fails(&visit).filter(|_| handled) {
            self.note(|| format!("{activation} fails for good and leads to its handler"));
            let failure = Failure::permanent("SIM-3", told.to_string());
            let reported = self
                .report(process, Event::Failed { activation, attempt, failure: Box::new(failure), draw: 0 });
            self.ended.push((activation, process.execution.last_seq()));
            self.history.handled += 1;
            self.history.faults.failures += 1;
            return reported;
        }
        let failed = self.failures.get(&activation).copied().unwrap_or(0);
        // What no handler may take has to have an attempt left.
        let policy = &self.scenario.policies[node.index()];
        let left = !handled || self.ledger.failures(policy, activation) + 1 < policy.attempts;
        if left && failed < FAILURES_MAX && self.rng.chance(self.habits.fail) {
            self.failures.insert(activation, failed + 1);
            self.forget_attempt(&task, &visit);
            return self.fail(process, activation, attempt, handled);
        }
        let returned = script.returned(&visit, &self.scenario.topology.nodes[node.index()]);
        let decision = returned.map(|(variant, carried)| Box::new(carried.decision(variant)));
        let update = UpdateValue::live(script.update(&visit, answer));
        drop((task, state));
        self.note(|| format!("{activation} finishes (attempt {attempt})"));
        self.post(process, activation, attempt)?;
        let panics = self.rng.chance(self.habits.panic);
        self.history.faults.panics += usize::from(panics);
        panic_in_reducer(panics);
        let reported = self.report(process, Event::Finished { activation, attempt, update, decision });
        panic_in_reducer(false);
        self.ended.push((activation, process.execution.last_seq()));
        reported
    }

    fn fail(
        &mut self,
        process: &mut Process,
        activation: ActivationId,
        attempt: u32,
        handled: bool,
    ) -> Result<(), String> {
        let kind = match self.rng.below(5) {
            _ if handled => FailureKind::Transient,
            0 => FailureKind::Permanent,
            1 => FailureKind::Unclassified,
            _ => FailureKind::Transient,
        };
        let mut failure = Failure::new("SIM-1", kind, "simulated");
        failure.retry_after_ms = self.rng.chance(250).then(|| self.rng.below(60) as u64);
        self.note(|| format!("{activation} fails ({}, {:?})", kind.name(), failure.retry_after_ms));
        self.failed(process, activation, attempt, failure)
    }

    fn failed(
        &mut self,
        process: &mut Process,
        activation: ActivationId,
        attempt: u32,
        failure: Failure,
    ) -> Result<(), String> {
        let (seq, at_ms) = (process.execution.last_seq() + 1, self.now());
        self.ledger.failed(activation, seq, &failure, at_ms);
        self.history.faults.failures += 1;
        self.killed.remove(&activation);
        let draw = self.rng.draw() as u32;
        self.report(process, Event::Failed { activation, attempt, failure: Box::new(failure), draw })
    }

    pub(super) fn report(&mut self, process: &mut Process, event: Event) -> Result<(), String> {
        let reported = process.execution.handle(self.now(), event);
        reported.map_err(|refused| format!("a report is refused: {refused}"))?;
        self.ledger.covered(process.execution.last_seq());
        self.check_purse(&process.execution)?;
        self.check_state(&process.execution)
    }

    /// An execution that has ended or was superseded reports again, with something else.
    fn late(&mut self, process: &mut Process) -> Result<(), String> {
        let (activation, attempt) = process.past[self.rng.below(process.past.len())];
        let attempt = attempt.saturating_sub(self.rng.below(2) as u32);
        let current = |other: &Running| other.task.activation == activation && other.task.attempt == attempt;
        if process.running.iter().any(current) {
            return Ok(());
        }
        self.note(|| format!("{activation} reports once more (attempt {attempt})"));
        self.history.faults.late += 1;
        let event = match self.rng.below(4) {
            3 => {
                let state = StepState::Finished(vec![1].into());
                let (name, class) = ("late".to_owned(), EffectClass::Pure);
                let step = StoredStep { name, input: None, class, per_attempt: false, state, undo: None };
                Event::Stepped { activation, attempt, step: Box::new(step) }
            }
            0 => {
                let failure = Failure::permanent("SIM-2", "too late");
                Event::Failed { activation, attempt, failure: Box::new(failure), draw: 0 }
            }
            1 => Event::Asked { activation, attempt, questions: vec![Asking::default()] },
            _ => {
                let update = UpdateValue::live(SimState::update().log(u64::MAX));
                Event::Finished { activation, attempt, update, decision: None }
            }
        };
        self.unmoved(process, event, false)
    }

    /// Events that change nothing, whatever the state.
    pub(super) fn noise(&mut self, process: &mut Process) -> Result<(), String> {
        let status = process.execution.status();
        let over = super::undo::is_over(&status);
        self.note(|| "an operator tries something that is not possible".to_owned());
        self.history.faults.impossible += 1;
        let event = match self.rng.below(4) {
            0 if over => Event::Resume,
            1 if over && !process.driving => Event::Cancel,
            1 if over => Event::Resume,
            0 | 1 => {
                Event::Start { run: "r9".into(), input: UpdateValue::live(SimState::update().log(7u64)) }
            }
            2 if self.rng.chance(300) => Event::Settled { effect: "nobody@0.0".to_owned(), value: None },
            2 => Event::Answered { interrupt: "nobody@0.0".to_owned(), value: vec![1] },
            _ => {
                self.unmoved(process, Event::Persisted { seq: self.acked / 2 }, false)?;
                let activation = ActivationId { superstep: process.execution.superstep() + 1, index: 0 };
                let event =
                    Event::Finished { activation, attempt: 1, update: UpdateValue::Empty, decision: None };
                return self.unmoved(process, event, false);
            }
        };
        self.unmoved(process, event, true)
    }

    pub(super) fn unmoved(
        &mut self,
        process: &mut Process,
        event: Event,
        refused: bool,
    ) -> Result<(), String> {
        let stand =
            |execution: &Execution| (format!("{execution:?}"), execution.status(), execution.last_seq());
        let before = stand(&process.execution);
        let what = format!("{event:?}");
        let answer = process.execution.handle(self.now(), event);
        if answer.is_err() != refused {
            return Err(format!("{what} should {}be refused: {answer:?}", if refused { "" } else { "not " }));
        }
        if stand(&process.execution) != before {
            return Err(format!(
                "{what} changed the execution:\n  before {before:?}\n  after  {:?}",
                stand(&process.execution)
            ));
        }
        self.check_state(&process.execution)
    }
}
