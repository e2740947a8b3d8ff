//! Budgets within an execution: claims come in, are decided in the order in which they came, and what becomes of them is
//! written down. The numbers are in [`super::budgets`].

use super::budgets::Claim;
use super::types::{Notice, Refused};
use super::{Execution, Gated, Progress};
use crate::budget::{
    Amounts, BudgetEvent, LimitChange, Scope, Shortage, Spending, UNIT_BYTES_MAX, UNITS_MAX,
    UNITS_OF_THREAD_MAX,
};
use crate::failure::Failure;
use crate::ids::{ActivationId, NodeIx};
use crate::journal::{Body, BudgetChange, Holder, Reservation, Settlement, StoredStep};

/// The code of a refused reservation.
const EXCEEDED: &str = "SW-X276";

/// What a running node wants to spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The activation.
    pub activation: ActivationId,
    /// The attempt that the driver was told to run.
    pub attempt: u32,
    /// Counts the reservations of one execution, from 1.
    pub number: u32,
    /// The ceiling, by unit.
    pub amounts: Amounts,
    /// Whether it belongs to a step, and is settled when that ends.
    pub of_step: bool,
    /// The effect that begins once this is granted: both are one record.
    pub begins: Option<StoredStep>,
}

/// What a reservation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The activation.
    pub activation: ActivationId,
    /// The attempt that the driver was told to run.
    pub attempt: u32,
    /// The number of the reservation.
    pub number: u32,
    /// What was spent; units that are not named in full. Nothing if that is not known: then the ceiling counts.
    pub spent: Option<Amounts>,
}

/// A reservation is granted and as durable as the thread's level promises, or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The activation.
    pub activation: ActivationId,
    /// The attempt that wanted it.
    pub attempt: u32,
    /// Its number.
    pub number: u32,
    /// Why it is refused, if it is.
    pub refused: Option<Failure>,
}

impl Execution {
    /// What was spent and reserved, and the limits, by scope and unit.
    pub fn spending(&self) -> Vec<Spending> {
        self.budgets.spending()
    }

    /// Other limits, from the start or the resume on that follows.
    pub(super) fn limit(&mut self, change: LimitChange) -> Result<(), Refused> {
        if let Scope::OneNode(path) = &change.scope {
            let outermost = path.split('/').next().unwrap_or(path);
            if self.plan.node_named(path).or_else(|| self.plan.node_named(outermost)).is_none() {
                return Err(Refused::NoSuchNode { node: path.clone() });
            }
        }
        self.budgets.want(change);
        Ok(())
    }

    /// A running activation wants to spend.
    pub(super) fn reserve(&mut self, now_ms: u64, wish: Wish) -> Result<(), Refused> {
        let Wish { activation, attempt, number, amounts, of_step, begins } = wish;
        if !self.is_running(activation, attempt) {
            return Ok(());
        }
        let node = self.plan.node_name(self.slots[activation.index as usize].node).to_owned();
        let holder = Holder { by: activation.to_string(), attempt, number };
        let reservation = Reservation { holder, node: vec![node], amounts, of_step };
        self.claim(now_ms, Claim { activation, reservation, begins })
    }

    /// The same with the paths of whoever wants it: what a subgraph wants is claimed from the counters around it.
    fn claim(&mut self, now_ms: u64, claim: Claim) -> Result<(), Refused> {
        let (activation, reservation) = (claim.activation, &claim.reservation);
        let holder = reservation.holder.clone();
        let begins = claim.begins.as_ref().map_or(Ok(()), |step| self.step_fits(activation.index, step));
        if let Err(failure) = self.countable(&reservation.amounts).and(begins) {
            self.reply(activation, &holder, Some(failure));
            return Ok(());
        }
        let amounts = reservation.amounts.clone();
        self.budgets.claim(claim);
        self.decide_claims(now_ms)?;
        if self.budgets.is_waiting(&holder) {
            self.tell_budget(activation, BudgetEvent::Waits(amounts));
        }
        Ok(())
    }

    fn countable(&self, amounts: &Amounts) -> Result<(), Failure> {
        let wrong = if amounts.is_empty() {
            "names no unit".to_owned()
        } else if amounts.len() > UNITS_MAX {
            format!("names {} units, and {UNITS_MAX} are the most", amounts.len())
        } else if let Some(unit) = amounts.keys().find(|unit| !is_unit(unit)) {
            format!("names the unit `{unit}`, and a name has 1 to {UNIT_BYTES_MAX} bytes")
        } else if !self.budgets.can_count(amounts) {
            format!("would be of more than {UNITS_OF_THREAD_MAX} units in the thread")
        } else {
            return Ok(());
        };
        Err(Failure::permanent("SW-X277", format!("the reservation {wrong}")))
    }

    /// Decides what can be decided.
    pub(super) fn decide_claims(&mut self, now_ms: u64) -> Result<(), Refused> {
        while let Some((claim, shortage)) = self.budgets.decide() {
            match shortage {
                None => self.grant(now_ms, claim)?,
                Some(shortage) => {
                    let failure = Failure::permanent(EXCEEDED, shortage.to_string());
                    self.tell_budget(claim.activation, BudgetEvent::Refused(shortage));
                    self.reply(claim.activation, &claim.reservation.holder, Some(failure));
                }
            }
        }
        Ok(())
    }

    fn grant(&mut self, now_ms: u64, claim: Claim) -> Result<(), Refused> {
        let Claim { activation, reservation, begins } = claim;
        let (holder, amounts) = (reservation.holder.clone(), reservation.amounts.clone());
        let change = BudgetChange { opened: Some(reservation), ..self.budgets.take_change() };
        match begins {
            // An effect and what it may cost begin with one record.
            Some(step) => self.keep_step(now_ms, activation.index, holder.attempt, step, change)?,
            None => self.write(now_ms, || Body::Budget(Box::new(change)))?,
        }
        self.tell_budget(activation, BudgetEvent::Reserved(amounts));
        self.reply(activation, &holder, None);
        Ok(())
    }

    /// A running activation says what a reservation came to; nothing if it does not know.
    pub(super) fn spent(&mut self, now_ms: u64, spent: Spent) -> Result<(), Refused> {
        let Spent { activation, attempt, number, spent } = spent;
        if !self.is_running(activation, attempt) {
            return Ok(());
        }
        let spent = spent.map(|mut spent| {
            spent.retain(|unit, _| is_unit(unit));
            if self.budgets.can_count(&spent) { spent } else { Amounts::new() }
        });
        let holder = Holder { by: activation.to_string(), attempt, number };
        let settlement = self.budgets.settle(&holder, spent);
        self.tell_settled(activation, settlement);
        self.decide_claims(now_ms)
    }

    /// An execution is over, well or not: what it still holds counts at its ceiling. The record of its end says so.
    #[inline]
    pub(super) fn end_reservations(&mut self, activation: ActivationId) {
        if self.budgets.are_idle() {
            return;
        }
        let ended = self.budgets.end(activation);
        self.budgets.take_refused(activation.index);
        self.tell_settled(activation, ended);
    }

    /// The same for those that a failure elsewhere cuts short.
    pub(super) fn end_reservations_of(&mut self, indexes: Option<&[u32]>) {
        for index in indexes.into_iter().flatten() {
            self.end_reservations(ActivationId { superstep: self.superstep, index: *index });
        }
    }

    /// The same for one that failed; the shortage, if it failed because it could not reserve.
    pub(super) fn end_short(&mut self, activation: ActivationId, failure: &Failure) -> Option<Shortage> {
        let refused = self.budgets.take_refused(activation.index);
        self.end_reservations(activation);
        refused.filter(|_| failure.code == EXCEEDED)
    }

    /// Writes down settlements for which the record that follows has no room.
    pub(super) fn write_settlements(&mut self, now_ms: u64) -> Result<(), Refused> {
        match self.budgets.take_settled() {
            Some(change) => self.write(now_ms, || Body::Budget(change)),
            None => Ok(()),
        }
    }

    /// The nodes that could not reserve, if that is why the drive cannot go on.
    pub(super) fn shortages(&self) -> Option<Vec<(NodeIx, Shortage)>> {
        if !self.nested_failures().is_empty() {
            return None;
        }
        let failed = self.slots.iter().zip(0..);
        let failed = failed.filter(|(slot, _)| matches!(slot.progress, Progress::Failed(_)));
        let short: Option<Vec<_>> =
            failed.map(|(slot, index)| Some((slot.node, self.budgets.short(index)?.clone()))).collect();
        short.filter(|short| !short.is_empty())
    }

    fn reply(&mut self, activation: ActivationId, holder: &Holder, refused: Option<Failure>) {
        let (attempt, number) = (holder.attempt, holder.number);
        self.gate(Gated::Reserved(Box::new(Reserved { activation, attempt, number, refused })));
    }

    fn tell_settled(&mut self, activation: ActivationId, settled: impl IntoIterator<Item = Settlement>) {
        for Settlement { spent, estimated, .. } in settled {
            self.tell_budget(activation, BudgetEvent::Settled { spent, estimated });
        }
    }

    fn tell_budget(&mut self, activation: ActivationId, event: BudgetEvent) {
        let Some(slot) = self.slots.get(activation.index as usize) else { return };
        let node = slot.node;
        self.emit(|_| Notice::Budget { activation, node, event });
    }
}

fn is_unit(name: &str) -> bool {
    !name.is_empty() && name.len() <= UNIT_BYTES_MAX
}
