//! The counters of budgets: who reserved what, what was spent of it, and whether more fits. All of a thread's counters
//! are in one struct, those of subgraphs too: their claims come with longer paths. Nothing here writes a record.
//!
//! At every scope and unit that has a limit, `spent + open ≤ limit` holds as long as nobody reports more than it reserved.

use std::collections::{BTreeMap, BTreeSet};

use crate::budget::{Amounts, LimitChange, Scope, Shortage, Spending, UNITS_OF_THREAD_MAX};
use crate::graph::Plan;
use crate::ids::ActivationId;
use crate::journal::{BudgetChange, BudgetImage, CounterImage, Holder, Reservation, Settlement, StoredStep};

/// A reservation that somebody wants.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// The activation of this execution that it is for; of a subgraph's activation, the one around it.
    pub(super) activation: ActivationId,
    pub(super) reservation: Reservation,
    /// The effect that begins with it.
    pub(super) begins: Option<StoredStep>,
}

/// What is counted of one unit at one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counter {
    spent: u64,
    estimated: u64,
    open: u64,
}

type ByUnit<T> = BTreeMap<String, T>;

/// All budgets of a thread.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    /// The limits of the graph.
    declared: BTreeMap<Scope, Amounts>,
    /// Limits that a start or a resume set.
    changed: BTreeMap<Scope, Amounts>,
    counters: BTreeMap<Scope, ByUnit<Counter>>,
    open: BTreeMap<Holder, Reservation>,
    /// Who waits, oldest first.
    waiting: Vec<Claim>,
    /// Settlements that are counted and that no record holds.
    unrecorded: Vec<Settlement>,
    /// Limits that the next start or resume writes down.
    wanted: Vec<LimitChange>,
    /// Why running activations were refused, by their place.
    refused: BTreeMap<u32, Shortage>,
    /// The activations of the superstep that failed by that.
    short: BTreeMap<u32, Shortage>,
}

/// What is to become of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Granted,
    Waits,
    Refused(Shortage),
}

impl Budgets {
    pub(super) fn of(plan: &Plan) -> Self {
        let limited = plan.nodes.iter().filter(|node| !node.budget.limits().is_empty());
        let nodes = limited.map(|node| (Scope::OneNode(node.name.to_string()), &node.budget));
        let scopes = [(Scope::Thread, &plan.thread_budget), (Scope::Run, &plan.run_budget)];
        let limits = scopes.into_iter().filter(|(_, budget)| !budget.limits().is_empty()).chain(nodes);
        Self {
            declared: limits.map(|(scope, budget)| (scope, budget.limits().clone())).collect(),
            ..Self::default()
        }
    }

    /// The limits of another version of the graph from now on; what was spent counts for the nodes' successors.
    pub(super) fn adopt(&mut self, plan: &Plan, successor: impl Fn(&str) -> Option<String>) {
        let renamed = |outermost: &mut String| {
            if let Some(name) = successor(outermost) {
                *outermost = name;
            }
        };
        let scope = |scope: Scope| match scope {
            Scope::OneNode(path) => {
                let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
                names.first_mut().into_iter().for_each(renamed);
                Scope::OneNode(names.join("/"))
            }
            scope => scope,
        };
        let (changed, counters) = (std::mem::take(&mut self.changed), std::mem::take(&mut self.counters));
        self.changed = changed.into_iter().map(|(of, limits)| (scope(of), limits)).collect();
        self.counters = counters.into_iter().map(|(of, units)| (scope(of), units)).collect();
        for reservation in self.open.values_mut() {
            reservation.node.first_mut().into_iter().for_each(renamed);
        }
        self.declared = Self::of(plan).declared;
    }

    /// Whether nobody holds or wants anything and nothing is to be written down.
    pub(super) fn are_idle(&self) -> bool {
        self.open.is_empty()
            && self.waiting.is_empty()
            && self.unrecorded.is_empty()
            && self.refused.is_empty()
    }

    fn limit(&self, scope: &Scope, unit: &str) -> Option<u64> {
        let of = |limits: &BTreeMap<Scope, Amounts>| limits.get(scope)?.get(unit).copied();
        of(&self.changed).or_else(|| of(&self.declared))
    }

    fn counter(&self, scope: &Scope, unit: &str) -> Counter {
        self.counters.get(scope).and_then(|units| units.get(unit)).copied().unwrap_or_default()
    }

    fn counter_mut(&mut self, scope: Scope, unit: &str) -> &mut Counter {
        self.counters.entry(scope).or_default().entry(unit.to_owned()).or_default()
    }

    /// Whether the thread can count these units beside those that it knows.
    pub(super) fn can_count(&self, amounts: &Amounts) -> bool {
        let known = self.counters.get(&Scope::Thread);
        let fresh = amounts.keys().filter(|unit| known.is_none_or(|known| !known.contains_key(*unit)));
        known.map_or(0, ByUnit::len) + fresh.count() <= UNITS_OF_THREAD_MAX
    }

    pub(super) fn claim(&mut self, claim: Claim) {
        self.waiting.push(claim);
    }

    pub(super) fn is_waiting(&self, holder: &Holder) -> bool {
        self.waiting.iter().any(|claim| claim.reservation.holder == *holder)
    }

    /// The oldest claim that can be decided, with why it is refused, if it is. One that is granted is open from now on.
    pub(super) fn decide(&mut self) -> Option<(Claim, Option<Shortage>)> {
        if self.waiting.is_empty() {
            return None;
        }
        let stuck = self.stuck();
        for place in 0..self.waiting.len() {
            match self.verdict(&self.waiting[place].reservation, &stuck) {
                Verdict::Waits => {}
                Verdict::Granted => {
                    let claim = self.waiting.remove(place);
                    self.open(claim.reservation.clone());
                    return Some((claim, None));
                }
                Verdict::Refused(shortage) => {
                    let claim = self.waiting.remove(place);
                    self.refused.insert(claim.activation.index, shortage.clone());
                    return Some((claim, Some(shortage)));
                }
            }
        }
        None
    }

    /// What does not come back while its holders wait: they have it in their hands.
    fn stuck(&self) -> BTreeMap<Scope, Amounts> {
        let waiting: BTreeSet<&str> =
            self.waiting.iter().map(|claim| claim.reservation.holder.by.as_str()).collect();
        let mut stuck: BTreeMap<Scope, Amounts> = BTreeMap::new();
        let held = |open: &&Reservation| !open.of_step && waiting.contains(open.holder.by.as_str());
        for open in self.open.values().filter(held) {
            for scope in scopes(open) {
                let amounts = stuck.entry(scope).or_default();
                for (unit, amount) in &open.amounts {
                    let sum = amounts.entry(unit.clone()).or_default();
                    *sum = sum.saturating_add(*amount);
                }
            }
        }
        stuck
    }

    fn verdict(&self, wanted: &Reservation, stuck: &BTreeMap<Scope, Amounts>) -> Verdict {
        let mut waits = false;
        for scope in scopes(wanted) {
            for (unit, amount) in &wanted.amounts {
                let Some(limit) = self.limit(&scope, unit) else { continue };
                let Counter { spent, open, .. } = self.counter(&scope, unit);
                let needed = spent.saturating_add(*amount);
                let kept = stuck.get(&scope).and_then(|amounts| amounts.get(unit)).copied().unwrap_or(0);
                if needed.saturating_add(kept) > limit {
                    let (unit, wanted) = (unit.clone(), *amount);
                    return Verdict::Refused(Shortage { scope, unit, limit, spent, open, wanted });
                }
                waits |= needed.saturating_add(open) > limit;
            }
        }
        if waits { Verdict::Waits } else { Verdict::Granted }
    }

    /// Counts a reservation as open.
    pub(super) fn open(&mut self, reservation: Reservation) {
        for scope in scopes(&reservation) {
            for (unit, amount) in &reservation.amounts {
                let counter = self.counter_mut(scope.clone(), unit);
                counter.open = counter.open.saturating_add(*amount);
            }
        }
        self.open.insert(reservation.holder.clone(), reservation);
    }

    /// Settles what somebody holds: units that are not named are spent in full, and all of them if nobody reported. A claim
    /// that waits is withdrawn.
    pub(super) fn settle(&mut self, holder: &Holder, spent: Option<Amounts>) -> Option<Settlement> {
        self.waiting.retain(|claim| claim.reservation.holder != *holder);
        let mut amounts = self.open.get(holder)?.amounts.clone();
        let estimated = spent.is_none();
        amounts.extend(spent.unwrap_or_default());
        let settlement = Settlement { holder: holder.clone(), spent: amounts, estimated };
        self.apply_settlement(&settlement);
        self.unrecorded.push(settlement.clone());
        Some(settlement)
    }

    fn apply_settlement(&mut self, settlement: &Settlement) {
        // One that stands in a snapshot already may come once more in the record behind it.
        let Some(reservation) = self.open.remove(&settlement.holder) else { return };
        for scope in scopes(&reservation) {
            for (unit, amount) in &reservation.amounts {
                let counter = self.counter_mut(scope.clone(), unit);
                counter.open = counter.open.saturating_sub(*amount);
            }
            for (unit, amount) in &settlement.spent {
                let counter = self.counter_mut(scope.clone(), unit);
                counter.spent = counter.spent.saturating_add(*amount);
                if settlement.estimated {
                    counter.estimated = counter.estimated.saturating_add(*amount);
                }
            }
        }
    }

    /// An execution is over: what it holds is settled at its ceiling, and what it wants is forgotten.
    pub(super) fn end(&mut self, activation: ActivationId) -> Vec<Settlement> {
        self.waiting.retain(|claim| claim.activation != activation);
        let by = activation.to_string();
        let is_its = |holder: &&Holder| {
            let rest = holder.by.strip_prefix(&by);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let held: Vec<Holder> = self.open.keys().filter(is_its).cloned().collect();
        held.iter().filter_map(|holder| self.settle(holder, None)).collect()
    }

    /// The same for all executions: a drive is over, or ended without a word.
    pub(super) fn end_all(&mut self) -> Vec<Settlement> {
        self.waiting.clear();
        self.refused.clear();
        let held: Vec<Holder> = self.open.keys().cloned().collect();
        held.iter().filter_map(|holder| self.settle(holder, None)).collect()
    }

    /// Why this running activation was refused, once.
    pub(super) fn take_refused(&mut self, index: u32) -> Option<Shortage> {
        self.refused.remove(&index)
    }

    /// What the next record has to say.
    pub(super) fn take_change(&mut self) -> BudgetChange {
        BudgetChange { settled: std::mem::take(&mut self.unrecorded), ..BudgetChange::default() }
    }

    /// The same for a record that says nothing else about budgets; none, as in every graph without them, if there is
    /// nothing to say.
    pub(super) fn take_settled(&mut self) -> Option<Box<BudgetChange>> {
        (!self.unrecorded.is_empty()).then(|| Box::new(self.take_change()))
    }

    /// Other limits, from the next start or resume on.
    pub(super) fn want(&mut self, change: LimitChange) {
        self.wanted.push(change);
    }

    /// Takes the limits that were wanted, for its record.
    pub(super) fn take_wanted(&mut self) -> Vec<LimitChange> {
        let wanted = std::mem::take(&mut self.wanted);
        self.change_limits(&wanted);
        wanted
    }

    pub(super) fn change_limits(&mut self, changes: &[LimitChange]) {
        for change in changes {
            self.changed.entry(change.scope.clone()).or_default().extend(change.limits.clone());
        }
    }

    /// A run begins: only what belongs to the thread lasts.
    pub(super) fn begin_run(&mut self) {
        self.counters.retain(|scope, _| *scope == Scope::Thread);
        self.changed.retain(|scope, _| *scope == Scope::Thread);
        self.short.clear();
    }

    /// An activation failed because it could not reserve.
    pub(super) fn fall_short(&mut self, index: u32, shortage: Shortage) {
        self.short.insert(index, shortage);
    }

    pub(super) fn short(&self, index: u32) -> Option<&Shortage> {
        self.short.get(&index)
    }

    /// Whoever resumes lets them try again, and a new superstep has other activations.
    pub(super) fn forget_short(&mut self) {
        self.short.clear();
        self.refused.clear();
    }

    /// Applies what a record says. Nothing is decided.
    pub(super) fn apply(&mut self, change: BudgetChange) {
        self.change_limits(&change.limits);
        for settlement in &change.settled {
            self.apply_settlement(settlement);
        }
        if let Some(reservation) = change.opened {
            self.open(reservation);
        }
    }

    /// Everything that was counted, by scope and unit; limits of which nothing was used yet stand there too.
    pub(super) fn spending(&self) -> Vec<Spending> {
        let limited = self.declared.iter().chain(&self.changed);
        let limited = limited.flat_map(|(scope, units)| units.keys().map(move |unit| (scope, unit)));
        let counted =
            self.counters.iter().flat_map(|(scope, units)| units.keys().map(move |unit| (scope, unit)));
        let all: BTreeSet<(&Scope, &String)> = limited.chain(counted).collect();
        let row = |(scope, unit): (&Scope, &String)| {
            let Counter { spent, estimated, open } = self.counter(scope, unit);
            let limit = self.limit(scope, unit);
            Spending { scope: scope.clone(), unit: unit.clone(), limit, spent, estimated, open }
        };
        all.into_iter().map(row).collect()
    }

    pub(super) fn image(&self) -> Option<Box<BudgetImage>> {
        let changed = self.changed.iter();
        let counters = self.counters.iter().flat_map(|(scope, units)| {
            let image = move |(unit, counter): (&String, &Counter)| CounterImage {
                scope: scope.clone(),
                unit: unit.clone(),
                spent: counter.spent,
                estimated: counter.estimated,
            };
            units.iter().map(image)
        });
        let image = BudgetImage {
            limits: changed
                .map(|(scope, limits)| LimitChange { scope: scope.clone(), limits: limits.clone() })
                .collect(),
            counters: counters.collect(),
            open: self.open.values().cloned().collect(),
            short: self.short.iter().map(|(index, shortage)| (*index, shortage.clone())).collect(),
        };
        (image != BudgetImage::default()).then(|| Box::new(image))
    }

    pub(super) fn load(&mut self, image: BudgetImage) {
        self.change_limits(&image.limits);
        for CounterImage { scope, unit, spent, estimated } in image.counters {
            *self.counter_mut(scope, &unit) = Counter { spent, estimated, open: 0 };
        }
        image.open.into_iter().for_each(|reservation| self.open(reservation));
        self.short = image.short.into_iter().collect();
    }
}

/// Where a reservation counts.
fn scopes(reservation: &Reservation) -> Vec<Scope> {
    let path = &reservation.node;
    let nodes = (1..=path.len()).map(|depth| Scope::OneNode(path[..depth].join("/")));
    [Scope::Thread, Scope::Run].into_iter().chain(nodes).collect()
}
