//! The oracle on budgets: counts outside the journal what nodes really spend, and says when a limit is passed, when
//! something spent is forgotten, and when something is counted that nobody spent.

use std::collections::BTreeMap;

use statewright_engine_core::{
    Amounts, Event, Execution, Failure, Journaling, LimitChange, Reserved, Scope, Shortage, Spending, Spent,
    StoredStep, Wish,
};

use super::process::Process;
use super::steps::Next;
use super::world::{World, run_number};
use crate::script::{Cost, ScriptedStep};

/// What was really spent, by run; the thread's is the sum.
#[derive(Default)]
pub(super) struct Purse {
    runs: BTreeMap<(usize, Scope), Amounts>,
}

impl Purse {
    fn spend(&mut self, run: usize, node: &str, cost: &Cost) {
        for scope in [Scope::Thread, Scope::Run, Scope::OneNode(node.to_owned())] {
            let run = if scope == Scope::Thread { 0 } else { run };
            let amounts = self.runs.entry((run, scope)).or_default();
            for (unit, amount) in cost.spent() {
                *amounts.entry(unit).or_default() += amount;
            }
        }
    }

    fn spent(&self, run: usize, scope: &Scope, unit: &str) -> u64 {
        let run = if *scope == Scope::Thread { 0 } else { run };
        let of = self.runs.get(&(run, scope.clone()));
        of.and_then(|amounts| amounts.get(unit)).copied().unwrap_or(0)
    }
}

/// What one execution has to do with budgets.
#[derive(Default)]
pub(super) struct Claims {
    count: u32,
    /// The claim that it waits for, and whether an effect begins with it.
    wish: Option<(u32, bool)>,
    /// What it was granted for the step that it is at.
    grant: Option<u32>,
    refused: Option<Failure>,
    /// What it holds until its end, with what that came to.
    held: Vec<(u32, Amounts)>,
}

impl Claims {
    pub(super) fn is_waiting(&self) -> bool {
        self.wish.is_some()
    }

    pub(super) fn take_refused(&mut self) -> Option<Failure> {
        self.refused.take()
    }
}

impl World {
    /// Whether a step may do its work now; else it wants what that costs.
    pub(super) fn may_spend(
        &mut self,
        process: &mut Process,
        index: usize,
        step: &ScriptedStep,
        begins: Option<StoredStep>,
    ) -> Result<bool, String> {
        let Some(cost) = step.cost.clone() else { return Ok(true) };
        let running = &mut process.running[index];
        if running.claims.grant.is_some() {
            return Ok(true);
        }
        running.claims.count += 1;
        let number = running.claims.count;
        running.claims.wish = Some((number, begins.is_some()));
        let (activation, attempt) = (running.task.activation, running.task.attempt);
        let wish = Wish { activation, attempt, number, amounts: cost.ceiling(), of_step: !cost.bare, begins };
        self.note(|| format!("{activation} wants {:?} (claim {number})", wish.amounts));
        self.report(process, Event::Reserve(Box::new(wish)))?;
        Ok(false)
    }

    /// The core decides a claim.
    pub(super) fn reserved(&mut self, process: &mut Process, reserved: Reserved) -> Result<(), String> {
        let Reserved { activation, attempt, number, refused } = reserved;
        self.note(|| format!("claim {number} of {activation} is decided: {refused:?}"));
        let Some(running) =
            process.running.iter_mut().find(|r| r.task.activation == activation && r.task.attempt == attempt)
        else {
            return Ok(());
        };
        let Some((_, begins)) = running.claims.wish.take().filter(|(wish, _)| *wish == number) else {
            return Err(format!("{activation} is told about claim {number}, for which it does not wait"));
        };
        match refused {
            Some(failure) => running.claims.refused = Some(failure),
            None => {
                running.claims.grant = Some(number);
                running.begun |= begins;
                self.history.reserved += 1;
            }
        }
        Ok(())
    }

    /// The work of a step costs what it costs.
    pub(super) fn spend(
        &mut self,
        process: &mut Process,
        index: usize,
        step: &ScriptedStep,
    ) -> Result<(), String> {
        let Some(cost) = step.cost.clone() else { return Ok(()) };
        let Some(number) = process.running[index].claims.grant.take() else {
            return Err(format!("the step {} spends without a reservation", step.name));
        };
        let task = &process.running[index].task;
        let (activation, attempt) = (task.activation, task.attempt);
        let node = self.scenario.plan.node_name(task.node).to_owned();
        let run = run_number(&process.execution);
        self.purse.spend(run, &node, &cost);
        if self.options.journaling != Journaling::AtEnd {
            self.within_limits(&process.execution)?;
        }
        let spent = cost.spent();
        if cost.bare && self.rng.chance(500) {
            process.running[index].claims.held.push((number, spent));
            return Ok(());
        }
        if cost.bare && self.rng.chance(200) {
            return Ok(());
        }
        let spent = self.rng.chance(850).then_some(spent);
        self.note(|| format!("claim {number} of {activation} comes to {spent:?}"));
        self.report(process, Event::Spent(Spent { activation, attempt, number, spent }))
    }

    /// An execution ends: it says what it held came to.
    pub(super) fn settle_held(&mut self, process: &mut Process, index: usize) -> Result<Next, String> {
        let task = &process.running[index].task;
        let (activation, attempt) = (task.activation, task.attempt);
        for (number, spent) in std::mem::take(&mut process.running[index].claims.held) {
            self.note(|| format!("claim {number} of {activation} comes to {spent:?} in the end"));
            self.report(process, Event::Spent(Spent { activation, attempt, number, spent: Some(spent) }))?;
        }
        Ok(Next::End)
    }

    /// An operator sets other limits, sometimes, before a run goes on.
    pub(super) fn raise(&mut self, execution: &mut Execution, shortages: &[Shortage]) -> Result<(), String> {
        self.history.exceeded += 1;
        for Shortage { scope, unit, wanted, .. } in shortages {
            if !self.rng.chance(700) {
                continue;
            }
            let spending = execution.spending();
            let spent = spending.iter().find(|row| row.scope == *scope && row.unit == *unit);
            let spent = spent.ok_or("a shortage of something that is not counted")?.spent;
            let most = spent + wanted + self.rng.below(30) as u64;
            self.note(|| format!("the limit of {scope} is set to {most} {unit}"));
            let change = LimitChange { scope: scope.clone(), limits: [(unit.clone(), most)].into() };
            execution
                .handle(self.now(), Event::Limit(change))
                .map_err(|refused| format!("a limit is refused: {refused}"))?;
        }
        Ok(())
    }

    /// What is counted is within every limit, as of any prefix of the journal.
    pub(super) fn check_limits(&self, execution: &Execution) -> Result<(), String> {
        let passed = |row: &Spending| row.limit.is_some_and(|limit| row.spent + row.open > limit);
        match execution.spending().iter().find(|row| passed(row)) {
            Some(row) => Err(format!("a limit is passed: {row:?}")),
            None => Ok(()),
        }
    }

    /// What was really spent is within every limit.
    fn within_limits(&self, execution: &Execution) -> Result<(), String> {
        let run = run_number(execution);
        for row in execution.spending() {
            let really = self.purse.spent(run, &row.scope, &row.unit);
            if row.limit.is_some_and(|limit| really > limit) {
                return Err(format!("{really} {} were really spent: {row:?}", row.unit));
            }
        }
        Ok(())
    }

    /// What is counted is what was really spent, but for what is open or an estimate.
    pub(super) fn check_purse(&self, execution: &Execution) -> Result<(), String> {
        let run = run_number(execution);
        for row in execution.spending() {
            let really = self.purse.spent(run, &row.scope, &row.unit);
            // At level `exit` a crash forgets what was spent since the last snapshot.
            if self.options.journaling == Journaling::AtEnd && self.history.crashes > 0 {
                continue;
            }
            if really > row.spent + row.open || really < row.spent - row.estimated {
                return Err(format!("{really} {} were really spent, and counted are {row:?}", row.unit));
            }
        }
        Ok(())
    }
}
