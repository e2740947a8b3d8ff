//! Counters of budgets against random orders of reserving, settling, ending, failing and crashing: at every level and in
//! every prefix of the journal, what is spent and open is within the limit.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::Arc;

use proptest::prelude::*;
use statewright_engine_core::graph::NodeSpec;
use statewright_engine_core::{
    Action, ActivationId, Amounts, Budget, Entry, Event, Execution, Failure, NodeIx, Options, Plan, Recovery,
    Spent, State, Status, Topology, TypedCell, UpdateValue, Wire, Wish,
};
use statewright_engine_testkit::{Rng, SimState};

const UNITS: [&str; 2] = ["calls", "work"];

/// Six nodes at once, with limits of all levels.
fn plan(rng: &mut Rng) -> Arc<Plan> {
    let wire = |node: u32| Wire { node: Some(NodeIx(node)), builder: 1, at_most: None };
    let mut topology = Topology::new("budgets", 1, SimState::SCHEMA);
    let mut drawn = |most: usize| {
        let limit = |budget: Budget, unit: &str| budget.limit(unit, rng.between(0, most) as u64);
        UNITS.into_iter().fold(Budget::new(), limit)
    };
    topology.run_budget = drawn(60);
    topology.thread_budget = drawn(80);
    for node in 0..6 {
        topology.add_node(NodeSpec::new(format!("n{node}").into(), &[]));
        topology.start.push(wire(node));
        let spec = &mut topology.nodes[node as usize];
        spec.edges.push(Wire { node: None, builder: 0, at_most: None });
        spec.budget = drawn(20);
    }
    Arc::new(topology.compile().unwrap())
}

fn recovered(plan: &Arc<Plan>, entries: &[Entry]) -> Execution {
    let cell = Box::new(TypedCell::<SimState>::new());
    Recovery::new(plan.clone(), cell, Options::default(), None).unwrap().finish(&[], entries).unwrap()
}

fn within_limits(execution: &Execution) {
    for row in execution.spending() {
        assert!(row.limit.is_none_or(|limit| row.spent + row.open <= limit), "{row:?}");
    }
}

/// One process after the other on one journal.
struct Life {
    execution: Execution,
    entries: Vec<Entry>,
    /// What runs, with the number of its claims and those that were granted.
    running: Vec<(ActivationId, u32, u32, Vec<u32>)>,
}

impl Life {
    fn poll(&mut self) {
        while let Some(action) = self.execution.poll_action() {
            match action {
                Action::Persist(entry) => {
                    let seq = entry.seq;
                    self.entries.push(entry);
                    self.execution.handle(0, Event::Persisted { seq }).unwrap();
                }
                Action::Run(task) => self.running.push((task.activation, task.attempt, 0, Vec::new())),
                Action::Reserved(reserved) if reserved.refused.is_none() => {
                    let of = self.running.iter_mut().find(|running| running.0 == reserved.activation);
                    of.unwrap().3.push(reserved.number);
                }
                _ => {}
            }
        }
        within_limits(&self.execution);
    }

    fn one_thing(&mut self, rng: &mut Rng) {
        let place = rng.below(self.running.len());
        let (activation, attempt, claims, granted) = &mut self.running[place];
        let (activation, attempt) = (*activation, *attempt);
        let event = match rng.below(10) {
            0..5 => {
                *claims += 1;
                let mut amounts: Amounts = [("calls".to_owned(), 1)].into();
                amounts.insert("work".to_owned(), rng.below(12) as u64);
                let wish = Wish {
                    activation,
                    attempt,
                    number: *claims,
                    amounts,
                    of_step: rng.chance(500),
                    begins: None,
                };
                Event::Reserve(Box::new(wish))
            }
            5..8 if !granted.is_empty() => {
                let number = granted.swap_remove(rng.below(granted.len()));
                // Never more than was reserved: calls in full, and no work.
                let spent = rng.chance(700).then(|| [("work".to_owned(), 0)].into());
                Event::Spent(Spent { activation, attempt, number, spent })
            }
            8 => {
                self.running.swap_remove(place);
                let failure = Failure::permanent("SW-X276", "it could not reserve");
                Event::Failed { activation, attempt, failure: Box::new(failure), draw: 0 }
            }
            9 if rng.chance(300) => {
                self.running.swap_remove(place);
                Event::Finished { activation, attempt, update: UpdateValue::Empty, decision: None }
            }
            _ => return,
        };
        self.execution.handle(0, event).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_order_of_reserving_settling_and_crashing_passes_a_limit_at_any_level(seed in any::<u64>()) {
        let rng = &mut Rng::new(seed);
        let plan = plan(rng);
        let mut life = Life { execution: recovered(&plan, &[]), entries: Vec::new(), running: Vec::new() };
        for turn in 0..150 {
            if life.running.is_empty() {
                let event = match life.execution.status() {
                    Status::Empty | Status::Stopped(statewright_engine_core::Outcome::Finished) => Event::Start {
                        run: format!("r{turn}").as_str().into(),
                        input: UpdateValue::live(SimState::update()),
                    },
                    _ => Event::Resume,
                };
                life.execution.handle(0, event).unwrap();
            } else if rng.chance(30) {
                let kept = rng.between(life.entries.len() / 2, life.entries.len());
                life.entries.truncate(kept);
                life.execution = recovered(&plan, &life.entries);
                life.running.clear();
                continue;
            } else {
                life.one_thing(rng);
            }
            life.poll();
        }
        for length in 0..=life.entries.len() {
            let entries: Vec<Entry> = life.entries[..length].to_vec();
            within_limits(&recovered(&plan, &entries));
        }
    }
}
