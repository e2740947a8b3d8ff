//! What simulated nodes do: pure functions of the node, the activation, its input and the state that it sees. How
//! often a node is run, and in which order nodes finish, changes nothing about what it returns.

use std::any::Any;
use std::sync::Arc;

use statewright_engine_core::graph::{BranchFn, GateRule, Judgement, NodeSpec};
use statewright_engine_core::journal::Ladder;
use statewright_engine_core::{
    ActivationId, Asking, Decision, EffectClass, NodeIx, Payload, Payloads, State,
};

use crate::rng::{digest, mix};
use crate::state::{Row, SimState, SimStateUpdate, Wide};

/// What travels along the edges of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Nothing.
    Nothing,
    /// One number.
    One(u64),
    /// A fan-out.
    Each(Vec<u64>),
}

impl Carried {
    /// The engine's form of a choice.
    pub fn decision(&self, variant: u16) -> Decision {
        let payloads = match self {
            Carried::Nothing => Payloads::None,
            Carried::One(number) => Payloads::One(Payload::live(Wide(*number))),
            Carried::Each(numbers) => {
                Payloads::Each(numbers.iter().map(|number| Payload::live(Wide(*number))).collect())
            }
        };
        Decision { variant, payloads }
    }
}

/// The behaviour of all nodes and branches of a simulated graph.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Everything follows from it.
    pub seed: u64,
    /// Whether nodes ask questions.
    pub asks: bool,
    /// Whether nodes write the replace-channel, so that parallel ones may conflict.
    pub marks: bool,
}

/// One execution of a node, before it has a result.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The node.
    pub node: NodeIx,
    /// The activation.
    pub activation: ActivationId,
    /// What travelled along the edge.
    pub input: Option<u64>,
    /// The state that the node sees.
    pub state: &'a SimState,
}

/// A step of a simulated node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedStep {
    /// Its name.
    pub name: String,
    /// What it does outside.
    pub class: EffectClass,
    /// Whether its result is forgotten when the attempt fails.
    pub per_attempt: bool,
    /// Its result.
    pub value: Vec<u8>,
}

impl ScriptedStep {
    /// The result of the step with this name.
    pub fn value_of(name: &str) -> Vec<u8> {
        let wide = Payload::live(Wide(digest(&name) % 20));
        wide.encode().ok().flatten().unwrap_or_default()
    }
}

impl Script {
    fn hash(&self, visit: &Visit<'_>, purpose: u64) -> u64 {
        let ActivationId { superstep, index } = visit.activation;
        let input = visit.input.map_or(0, |input| input.wrapping_add(1));
        mix(&[
            self.seed,
            purpose,
            u64::from(visit.node.0),
            superstep,
            u64::from(index),
            input,
            digest(visit.state),
        ])
    }

    /// What the activation does before it asks or ends: in half of all histories, up to three steps.
    pub fn steps(&self, visit: &Visit<'_>) -> Vec<ScriptedStep> {
        let hash = self.hash(visit, 7);
        let count = if mix(&[self.seed, 8]).is_multiple_of(2) { hash % 4 } else { 0 };
        let step = |number: u64| {
            let drawn = mix(&[hash, number]);
            let name = format!("s{number}-{}", drawn % 1000);
            let class = match (drawn >> 16) % 3 {
                0 => EffectClass::Pure,
                1 => EffectClass::Idempotent,
                _ => EffectClass::AtMostOnce,
            };
            let per_attempt = class == EffectClass::Pure && (drawn >> 24).is_multiple_of(3);
            let value = ScriptedStep::value_of(&name);
            ScriptedStep { name, class, per_attempt, value }
        };
        (0..count).map(step).collect()
    }

    /// The name of the question that this activation asks, if it asks one.
    pub fn question(&self, visit: &Visit<'_>) -> Option<String> {
        let hash = self.hash(visit, 1);
        (self.asks && hash.is_multiple_of(5)).then(|| format!("q{}", hash % 7))
    }

    /// The names of all questions that this activation asks at once.
    pub fn questions(&self, visit: &Visit<'_>) -> Vec<String> {
        let Some(first) = self.question(visit) else { return Vec::new() };
        let second = (self.hash(visit, 9).is_multiple_of(3)).then(|| format!("and {first}"));
        std::iter::once(first).chain(second).collect()
    }

    /// What this activation posts to the outbox: in a third of all histories, up to two items, each a kind and a payload.
    pub fn posts(&self, activation: ActivationId) -> Vec<(String, Vec<u8>)> {
        if !mix(&[self.seed, 11]).is_multiple_of(3) {
            return Vec::new();
        }
        let drawn = mix(&[self.seed, 12, activation.superstep, u64::from(activation.index)]);
        let item = |number: u64| ("mail".to_owned(), mix(&[drawn, number]).to_le_bytes().to_vec());
        (0..drawn % 3).map(item).collect()
    }

    /// The right answer to the question with this name.
    pub fn answer(&self, visit: &Visit<'_>) -> u64 {
        self.hash(visit, 2) % 1000
    }

    /// The question of this name as it is asked: some have a default, which is the right answer, and some of these are
    /// posed to others before it counts.
    pub fn asking(&self, visit: &Visit<'_>, name: String) -> Asking {
        let hash = mix(&[self.hash(visit, 10), digest(&name)]);
        let answer = self.answer(visit).to_le_bytes().to_vec();
        let after_ms = 1 + (hash >> 8) % 60;
        let expiry = hash.is_multiple_of(2).then(|| (after_ms, answer.clone()));
        let ladder = (expiry.is_some() && (hash >> 4).is_multiple_of(2)).then(|| {
            let next = (0..(hash >> 16) % 3)
                .map(|level| (1 + (hash >> 24) % 40, format!("level {level}")))
                .collect();
            Box::new(Ladder { next, last_ms: Some(after_ms), ..Ladder::default() })
        });
        Asking { name, question: answer, expiry, ladder }
    }

    /// Whether this activation fails for good if its node has an error handler, and what the handler is told then.
    pub fn fails(&self, visit: &Visit<'_>) -> Option<u64> {
        let hash = self.hash(visit, 7);
        hash.is_multiple_of(3).then_some((hash >> 8) % 50)
    }

    /// What the node writes; `answer` is what it was told, if it asked.
    pub fn update(&self, visit: &Visit<'_>, answer: Option<u64>) -> SimStateUpdate {
        let hash = mix(&[self.hash(visit, 3), answer.map_or(0, |answer| answer + 1)]);
        let value = hash >> 40;
        let writes = |bit: u32| (hash >> bit) & 1 == 1;
        let mut update = SimState::update();
        if writes(0) {
            update = update.log(value);
        }
        if writes(1) {
            update = update.sum(value % 100);
        }
        if writes(2) {
            update = update.high(value % 5000);
        }
        if writes(3) {
            update = update.low(value % 5000);
        }
        if writes(4) {
            update = if writes(5) { update.last(Wide(value % 20)) } else { update.clear_last() };
        }
        if writes(6) && writes(7) {
            update =
                update.rows(Row { key: value % 6, value }).rows(Row { key: value % 5, value: value + 1 });
        }
        if writes(8) {
            update = update.seen(value % 9);
        }
        if writes(9) {
            update = update.turned(value);
        }
        if writes(10) {
            update = update.extend_fresh([value, value + 1]);
        }
        if writes(11) {
            update = update.flash(value);
        }
        if writes(12) {
            update = update.of_run(value);
        }
        if writes(13) {
            update = update.cost(1);
        }
        if self.marks && writes(14) {
            update = update.mark(Wide(value % 30));
        }
        if self.marks && writes(15) && writes(16) && writes(17) {
            update = update.overwrite_log([value % 10]);
        }
        update
    }

    /// The route that the node returns, of so many variants; `each` says which of them fan out.
    pub fn route(&self, visit: &Visit<'_>, each: &[bool]) -> (u16, Carried) {
        choose(self.hash(visit, 4), each)
    }

    /// What the node of a visit returns beside its update: its route, or where it goes in place of its edges, if it does.
    pub fn returned(&self, visit: &Visit<'_>, node: &NodeSpec) -> Option<(u16, Carried)> {
        let each: Vec<bool> = node.route.as_ref()?.iter().map(|variant| variant.each).collect();
        let elsewhere = self.hash(visit, 9).is_multiple_of(2);
        (elsewhere || !node.goto).then(|| self.route(visit, &each))
    }

    /// What a branch chooses, of so many variants.
    pub fn branch(&self, node: NodeIx, branch: usize, state: &SimState, each: &[bool]) -> (u16, Carried) {
        choose(mix(&[self.seed, 5, u64::from(node.0), branch as u64, digest(state)]), each)
    }

    /// The same for the engine.
    pub fn branch_function(self, node: NodeIx, branch: usize, each: Vec<bool>) -> BranchFn {
        Arc::new(move |state| {
            let default = SimState::default();
            let state = state.downcast_ref::<SimState>().unwrap_or(&default);
            let (variant, carried) = self.branch(node, branch, state, &each);
            carried.decision(variant)
        })
    }

    /// What a gate thinks of a state: a score, and which of so many variants is to blame, if any.
    pub fn judge(&self, node: NodeIx, branch: usize, state: &SimState, blamed: u16) -> (f64, Option<u16>) {
        let hash = mix(&[self.seed, 7, u64::from(node.0), branch as u64, digest(state)]);
        let variant = ((hash >> 8) % u64::from(blamed.max(1))) as u16;
        ((hash % 8) as f64 / 8.0, (!(hash >> 16).is_multiple_of(9)).then_some(variant))
    }

    /// Whether a gate that heeds its state may go on.
    pub fn forbids(&self, node: NodeIx, state: &SimState) -> bool {
        mix(&[self.seed, 8, u64::from(node.0), digest(state)]).is_multiple_of(6)
    }

    /// A rule that judges so.
    pub fn gate(self, node: NodeIx, branch: usize, blamed: u16, rule: GateRule) -> GateRule {
        let judge = move |state: &(dyn Any + Send + Sync)| {
            let default = SimState::default();
            let state = state.downcast_ref::<SimState>().unwrap_or(&default);
            let (score, variant) = self.judge(node, branch, state, blamed);
            let blamed = variant.map(|variant| Carried::Nothing.decision(variant));
            Judgement { score, critique: format!("{score}"), blamed }
        };
        GateRule { judge: Arc::new(judge), ..rule }
    }

    /// The input of a run.
    pub fn input(&self, run: usize) -> SimStateUpdate {
        let hash = mix(&[self.seed, 6, run as u64]);
        let update = SimState::update().log(hash % 100).of_run(hash % 90).cost(3).fresh(hash % 80);
        if hash.is_multiple_of(3) {
            update.last(Wide(hash % 20)).rows(Row { key: 1, value: hash % 60 })
        } else {
            update
        }
    }
}

fn choose(hash: u64, each: &[bool]) -> (u16, Carried) {
    let variant = hash % each.len().max(1) as u64;
    let many = (hash >> 8) % 5;
    let carried = match (each.get(variant as usize), (hash >> 16) % 2) {
        (Some(true), _) => Carried::Each((0..many).map(|number| (hash >> 24) % 50 + number).collect()),
        (_, 0) => Carried::One((hash >> 24) % 50),
        _ => Carried::Nothing,
    };
    (variant as u16, carried)
}
