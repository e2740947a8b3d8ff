//! A drive: takes the actions of the execution, at whatever depth, in any order that a real driver and store could bring
//! about.

use std::sync::Arc;

use statewright_engine_core::{
    Action, ActivationId, Asking, Event, Execution, Failure, Journaling, NodeIx, Notice, Outcome, Seq, State,
    Status, Task, UpdateValue,
};

use super::nodes::{Running, input};
use super::spot::Spot;
use super::{Process, World, run_number};
use crate::state::SimState;

/// A run that is drained over and over comes to no end.
const DRAINS_MAX: usize = 30;

impl World {
    /// One thing that happens during a drive. Says whether the process lives on.
    pub(super) fn drive(&mut self, process: &mut Process) -> Result<bool, String> {
        self.cut_off(process);
        let habits = self.habits;
        let when = |there: bool, weight: usize| if there { weight } else { 0 };
        let unacked = (self.disk.len() as Seq) > self.acked;
        let sound = process.execution.is_sound();
        let open = sound && matches!(process.execution.status(), Status::Open) && !process.errand;
        let weights = [
            habits.poll,
            when(unacked, habits.ack),
            when(process.running.iter().any(|running| !running.is_waiting()), habits.complete),
            when(!process.past.is_empty(), habits.late),
            when(self.history.faults.drains < DRAINS_MAX, habits.drain),
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
                let drained = process.execution.handle(0, Event::Drain);
                drained.map_err(|refused| format!("the drain is refused: {refused}"))?;
            }
            Some(5) => self.cancel(process)?,
            Some(6) => {
                for running in &process.running {
                    *self.outside.killed.entry(running.id()).or_insert(0) += 1;
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
            Some(9) => self.fire(process, false)?,
            Some(10) => self.fire(process, true)?,
            Some(11) => self.deliver(process)?,
            _ => self.poll(process)?,
        }
        Ok(true)
    }

    /// Where a failure ends the drive at once, nobody listens to what still runs; it may report all the same.
    fn cut_off(&self, process: &mut Process) {
        let failed = || matches!(process.execution.status(), Status::Stopped(Outcome::Failed(_)));
        if self.tree.scenario.plan.fail_fast && !process.running.is_empty() && failed() {
            process.drop_running();
        }
    }

    fn fire(&mut self, process: &mut Process, stray: bool) -> Result<(), String> {
        process.timer = None;
        self.history.faults.timers += usize::from(stray);
        self.note(|| format!("the timer fires{}", if stray { " for no reason" } else { "" }));
        self.report(process, Event::TimerFired)
    }

    fn poll(&mut self, process: &mut Process) -> Result<(), String> {
        if let Some(action) = process.execution.poll_action() {
            let outermost = Arc::new(Spot::outermost(self.tree.clone()));
            return self.act(process, outermost, action);
        }
        let quiet = process.running.iter().all(Running::is_waiting)
            && process.posts.is_empty()
            && self.acked == self.disk.len() as Seq;
        if quiet && process.timer.is_some() {
            self.waited += self.rng.between(1, 30) as u64;
            self.note(|| "time passes".to_owned());
        } else if quiet {
            return Err("the drive neither runs, nor stops, nor lets a node go on".to_owned());
        }
        Ok(())
    }

    fn act(&mut self, process: &mut Process, spot: Arc<Spot>, action: Action) -> Result<(), String> {
        match action {
            Action::Nested { within, node, action } => {
                let inner = Arc::new(spot.enter(within, node)?);
                self.act(process, inner, *action)
            }
            Action::Run(task) => self.run(process, spot, task),
            Action::StepKept(kept) => self.kept(process, &spot, *kept),
            Action::Deliver(post) => self.handed_out(process, &post),
            Action::Emit(Notice::Committed { seq, .. }) if spot.is_outermost() && seq > self.acked => {
                Err(format!("a commit is announced before entry {seq} is durable (durable: {})", self.acked))
            }
            Action::Emit(_) => Ok(()),
            Action::Persist(entry) if spot.is_outermost() => self.write(entry),
            Action::SetTimer { at_ms } if spot.is_outermost() => {
                self.note(|| format!("set the timer to {at_ms}"));
                process.timer = Some(at_ms);
                Ok(())
            }
            Action::Stop(outcome) if spot.is_outermost() => self.stop(process, &outcome),
            other => Err(format!("`{}` comes out: {other:?}", spot.path)),
        }
    }

    fn run(&mut self, process: &mut Process, spot: Arc<Spot>, task: Task) -> Result<(), String> {
        let Task { activation, attempt, node, .. } = task;
        let id = spot.id(activation);
        self.note(|| format!("run {id} (node {}, attempt {attempt})", node.0));
        self.history.executions += 1;
        self.history.inner += usize::from(!spot.is_outermost());
        if process.errand {
            return Err(format!("activation {id} runs in a drive that only delivers"));
        }
        if spot.tree.inside(node).is_some() {
            return Err(format!("activation {id} is a graph and is handed to the driver"));
        }
        if self.outside.done.contains(&id) {
            return Err(format!("activation {id} runs although its end was acknowledged"));
        }
        if self.each() {
            self.watch.within(spot.hops())?.may_run(activation, self.acked)?;
            let policy = &spot.tree.scenario.policies[node.index()];
            let ledger = self.ledgers.entry(spot.path.clone()).or_default();
            ledger.may_run(policy, activation, self.history.steps as u64 + self.waited)?;
            self.history.retries += usize::from(ledger.failures(policy, activation) > 0);
            self.may_have_died(&spot, &id, node)?;
        }
        if process.running.iter().any(|other| other.id() == id) {
            return Err(format!("activation {id} runs twice at the same time"));
        }
        self.in_lane(process, &spot, node)?;
        self.as_expected(process, &spot, &task)?;
        process.running.push(Running::new(spot, task));
        Ok(())
    }

    /// One that took the process down too often does not run again.
    fn may_have_died(&self, spot: &Spot, id: &str, node: NodeIx) -> Result<(), String> {
        let killed = self.outside.killed.get(id).copied().unwrap_or(0);
        let limited = self.options.limits.at_once < 1_000 || spot.is_limited(&self.tree, node);
        if killed >= self.options.limits.crashes && !limited {
            return Err(format!("activation {id} runs again after {killed} crashes"));
        }
        Ok(())
    }

    /// Whether the limits allow one more activation of a node in its graph.
    fn in_lane(&self, process: &Process, spot: &Spot, node: NodeIx) -> Result<(), String> {
        let here = || process.running.iter().filter(|other| other.spot.path == spot.path);
        let of_node = here().filter(|other| other.task.node == node).count();
        let most = spot.tree.scenario.policies[node.index()].at_once.map_or(usize::MAX, |most| most as usize);
        if of_node >= most || here().count() >= self.options.limits.at_once {
            return Err(format!("node {} of `{}` runs {of_node} times already", node.0, spot.path));
        }
        Ok(())
    }

    fn as_expected(&mut self, process: &Process, spot: &Spot, task: &Task) -> Result<(), String> {
        let (activation, node, input) = (task.activation, task.node, input(task)?);
        let id = spot.id(activation);
        let seen = task.state.downcast_ref::<SimState>();
        let expected = self.reference(spot, run_number(&process.execution))?;
        let wanted = expected.activation(activation);
        if wanted != Some((node, input)) {
            return Err(format!(
                "activation {id} is node {} with the input {input:?}, the reference has {wanted:?}",
                node.0
            ));
        }
        let wanted = expected.state_at(activation.superstep);
        if seen != wanted {
            return Err(format!(
                "activation {id} sees another state than the reference:\n  sees     {seen:?}\n  expected {wanted:?}"
            ));
        }
        Ok(())
    }

    fn stop(&mut self, process: &mut Process, outcome: &Outcome) -> Result<(), String> {
        self.note(|| format!("stop: {outcome:?}"));
        self.history.stops += 1;
        self.history.paused += usize::from(matches!(outcome, Outcome::PausedAt(_)));
        process.driving = false;
        process.timer = None;
        process.posts.clear();
        if self.options.journaling != Journaling::Off {
            self.watch.may_stop(self.acked)?;
        }
        if !process.running.is_empty() {
            return Err(format!("the drive stops while {} nodes run", process.running.len()));
        }
        let fits = match (outcome, process.execution.status()) {
            // Questions may have been answered since.
            (Outcome::Paused(_) | Outcome::Failed(_) | Outcome::Drained, Status::Open) => true,
            (Outcome::PausedAt(_), Status::Open) => true,
            (Outcome::Paused(_), Status::Stopped(Outcome::Paused(_))) => true,
            (outcome, Status::Stopped(status)) => *outcome == status,
            _ => false,
        };
        if !fits {
            let status = process.execution.status();
            return Err(format!("the drive ends with {outcome:?}, the thread stands at {status:?}"));
        }
        process.errand = false;
        Ok(())
    }

    /// The store reports that a part of what it was sent is durable.
    fn acknowledge(&mut self, process: &mut Process) -> Result<(), String> {
        let sent = self.disk.len();
        self.acked = self.rng.between(self.acked as usize + 1, sent) as Seq;
        let acked = self.acked;
        self.note(|| format!("acknowledge up to {acked} of {sent}"));
        if self.each() {
            let outside = &mut self.outside;
            let (durable, open): (Vec<_>, Vec<_>) =
                outside.ended.drain(..).partition(|(_, seq)| *seq <= acked);
            outside.ended = open;
            outside.done.extend(durable.into_iter().map(|(id, _)| id));
            let (durable, open): (Vec<_>, Vec<_>) =
                outside.reported.drain(..).partition(|(_, seq)| *seq <= acked);
            outside.reported = open;
            outside.settled.extend(durable.into_iter().map(|(id, _)| id));
        }
        let reported = process.execution.handle(self.now(), Event::Persisted { seq: acked });
        reported.map_err(|refused| format!("an acknowledgement is refused: {refused}"))
    }

    pub(super) fn report(&mut self, process: &mut Process, event: Event) -> Result<(), String> {
        let reported = process.execution.handle(self.now(), event);
        reported.map_err(|refused| format!("a report is refused: {refused}"))?;
        self.check_state(&process.execution)
    }

    /// An execution that has ended or was superseded reports again, with something else.
    fn late(&mut self, process: &mut Process) -> Result<(), String> {
        let (spot, activation, attempt) = &process.past[self.rng.below(process.past.len())];
        let (spot, activation) = (spot.clone(), *activation);
        let attempt = attempt.saturating_sub(self.rng.below(2) as u32);
        let id = spot.id(activation);
        if process.running.iter().any(|other| other.id() == id && other.task.attempt == attempt) {
            return Ok(());
        }
        self.note(|| format!("{id} reports once more (attempt {attempt})"));
        self.history.faults.late += 1;
        let event = match self.rng.below(3) {
            0 => {
                let failure = Failure::permanent("SIM-2", "too late");
                Event::Failed { activation, attempt, failure: Box::new(failure), draw: 0 }
            }
            1 => {
                let questions = vec![Asking::default()];
                Event::Asked { activation, attempt, questions }
            }
            _ => {
                let update = UpdateValue::live(SimState::update().log(u64::MAX));
                Event::Finished { activation, attempt, update, decision: None }
            }
        };
        self.unmoved(process, spot.event(event), false)
    }

    /// What changes nothing, whatever the state.
    pub(super) fn noise(&mut self, process: &mut Process) -> Result<(), String> {
        self.note(|| "something that is not possible is tried".to_owned());
        self.history.faults.impossible += 1;
        let superstep = process.execution.superstep() + 1;
        let within = ActivationId { superstep, index: 0 };
        match self.rng.below(4) {
            0 => {
                let interrupt = "nobody@0.0/1.0".to_owned();
                self.unmoved(process, Event::Answered { interrupt, value: vec![1] }, true)
            }
            1 => {
                let effect = "nobody@0.0/1.0".to_owned();
                self.unmoved(process, Event::Settled { effect, value: None }, true)
            }
            2 => self.unmoved(process, Event::Persisted { seq: self.acked / 2 }, false),
            _ => {
                let update = UpdateValue::Empty;
                let event = Event::Finished { activation: within, attempt: 1, update, decision: None };
                self.unmoved(process, Event::Nested { within, event: Box::new(event) }, false)
            }
        }
    }

    fn unmoved(&mut self, process: &mut Process, event: Event, refused: bool) -> Result<(), String> {
        let stand =
            |execution: &Execution| (format!("{execution:?}"), execution.status(), execution.last_seq());
        let before = stand(&process.execution);
        let what = format!("{event:?}");
        let answer = process.execution.handle(self.now(), event);
        if answer.is_err() != refused {
            return Err(format!("{what} should {}be refused: {answer:?}", if refused { "" } else { "not " }));
        }
        if stand(&process.execution) != before {
            return Err(format!("{what} changed the execution, which was\n{before:?}"));
        }
        self.check_state(&process.execution)
    }
}
