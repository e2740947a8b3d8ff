//! What happened in a drive, step by step, gathered from its events: for the summary and for `--json`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use statewright_engine_core::graph::PASS;
use statewright_engine_runtime::{ActivationId, Failure, GateRound, NodeIx, Plan, RunEvent};
use statewright_nodes_ports::{Usage, item};

/// One execution of a node.
#[derive(Debug)]
pub(crate) struct Step {
    /// With the nodes around it, if it is inside a graph that is a node: `review/judge`.
    pub(crate) node: String,
    /// Likewise: `3.0/2.1`.
    pub(crate) activation: String,
    pub(crate) attempt: u32,
    pub(crate) began: Instant,
    /// `None` while it runs.
    pub(crate) took: Option<Duration>,
    pub(crate) tokens: u64,
    /// Versions of the prompts that it asked models with.
    pub(crate) prompts: Vec<String>,
    pub(crate) failure: Option<Arc<Failure>>,
    /// The name of the question that it waits for.
    pub(crate) asked: Option<String>,
    /// Whether it did not run, because an earlier result of its node was found.
    pub(crate) cached: bool,
}

/// The graph that an event is about, and where it stands.
pub(crate) struct Around {
    plan: Arc<Plan>,
    nodes: String,
    activations: String,
}

impl Around {
    /// The innermost event, and what stands around it.
    pub(crate) fn of<'e>(plan: &Arc<Plan>, event: &'e RunEvent) -> (Self, &'e RunEvent) {
        let mut around = Self { plan: plan.clone(), nodes: String::new(), activations: String::new() };
        let mut event = event;
        while let RunEvent::Within { node, activation, event: inner } = event {
            around.nodes.push_str(&format!("{}/", around.plan.node_name(*node)));
            around.activations.push_str(&format!("{activation}/"));
            let child = around.plan.nodes.get(node.index()).and_then(|node| node.child.as_ref());
            if let Some(plan) = child.map(|child| child.plan.clone()) {
                around.plan = plan;
            }
            event = inner;
        }
        (around, event)
    }

    /// The name of an activation, unique in the run.
    pub(crate) fn activation(&self, activation: ActivationId) -> String {
        format!("{}{activation}", self.activations)
    }

    fn node(&self, node: NodeIx) -> String {
        format!("{}{}", self.nodes, self.plan.node_name(node))
    }
}

/// All of them, in the order in which they began.
pub(crate) struct Trace {
    pub(crate) plan: Arc<Plan>,
    pub(crate) steps: Vec<Step>,
}

impl Trace {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self { plan, steps: Vec::new() }
    }

    /// What a gate decided, in words.
    pub(crate) fn judged(around: &Around, round: &GateRound) -> String {
        let node = around.node(round.node);
        let branch =
            around.plan.nodes.get(round.node.index()).and_then(|n| n.branches.get(usize::from(round.branch)));
        let variant = branch.and_then(|branch| branch.variants.get(usize::from(round.variant)));
        let way = variant.map_or("", |variant| variant.label);
        let what = match (round.stopped, round.restored) {
            (Some(why), Some(best)) => format!("stops ({}), and round {best} is the best", why.name()),
            (Some(why), None) => format!("stops ({})", why.name()),
            (None, _) if round.variant == PASS => "passes".to_owned(),
            (None, _) => format!("back to mend: {way}"),
        };
        format!("gate after {node}, round {}: {:.2}, {what}", round.round, round.score)
    }

    /// Takes an event in, and gives the step that it is about.
    pub(crate) fn note(&mut self, around: &Around, event: &RunEvent) -> Option<&Step> {
        match event {
            RunEvent::NodeStarted { node, activation, attempt } => {
                self.steps.push(Step {
                    node: around.node(*node),
                    activation: around.activation(*activation),
                    attempt: *attempt,
                    began: Instant::now(),
                    took: None,
                    tokens: 0,
                    prompts: Vec::new(),
                    failure: None,
                    asked: None,
                    cached: false,
                });
                self.steps.last()
            }
            RunEvent::NodeFinished { activation, cached, .. } => {
                self.close(&around.activation(*activation), |step| step.cached = *cached)
            }
            RunEvent::NodeFailed { activation, failure, .. } => {
                self.close(&around.activation(*activation), |step| step.failure = Some(failure.clone()))
            }
            RunEvent::Asked(question) => {
                let activation = around.activation(question.activation);
                self.close(&activation, |step| step.asked = Some(question.name.clone()))
            }
            RunEvent::Item(sent) if &*sent.kind == item::USAGE => {
                let usage: Usage = serde_json::from_value(sent.payload.clone()).unwrap_or_default();
                let step = self.open(&around.activation(sent.activation))?;
                step.tokens += usage.total_tokens();
                Some(step)
            }
            RunEvent::Item(sent) if &*sent.kind == item::PROMPT => {
                let version = sent.payload.as_str()?.to_owned();
                self.open(&around.activation(sent.activation))?.prompts.push(version);
                None
            }
            _ => None,
        }
    }

    fn open(&mut self, activation: &str) -> Option<&mut Step> {
        self.steps.iter_mut().rev().find(|step| step.activation == activation && step.took.is_none())
    }

    fn close(&mut self, activation: &str, change: impl FnOnce(&mut Step)) -> Option<&Step> {
        let step = self.open(activation)?;
        step.took = Some(step.began.elapsed());
        change(step);
        Some(step)
    }

    /// The steps that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.took.is_none())
    }

    pub(crate) fn json(&self) -> Value {
        let steps = self.steps.iter().map(|step| {
            json!({
                "node": step.node,
                "activation": step.activation,
                "attempt": step.attempt,
                "ms": step.took.map(|took| took.as_millis()),
                "tokens": step.tokens,
                "prompts": step.prompts,
                "failure": step.failure.as_deref(),
                "asked": step.asked,
                "cached": step.cached,
            })
        });
        steps.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statewright_engine_runtime::{EdgeIx, Interrupt};
    use statewright_graphs::Services;
    use statewright_nodes_context::tokens::Cl100k;
    use statewright_nodes_models::Offline;

    #[test]
    fn of_a_fan_out_the_step_that_asks_is_shown_as_asking() {
        let services = Services {
            model: Arc::new(Offline::new(Arc::new(Cl100k))),
            tokens: Arc::new(Cl100k),
            docs: None,
            prompts: Default::default(),
        };
        let graph = statewright_graphs::classic(&services).unwrap();
        let mut trace = Trace::new(graph.plan().clone());
        let (node, at) = (NodeIx(1), |index| ActivationId { superstep: 2, index });
        let around = Around::of(graph.plan(), &RunEvent::EdgeTaken(EdgeIx(0))).0;
        for index in 0..3 {
            trace.note(&around, &RunEvent::NodeStarted { node, activation: at(index), attempt: 1 });
        }
        let question = Interrupt {
            id: "price@2.0".to_owned(),
            name: "price".to_owned(),
            node,
            activation: at(0),
            question: Vec::new(),
            rejected: None,
            deadline_ms: None,
            to: None,
            level: 0,
        };
        let step = trace.note(&around, &RunEvent::Asked(Arc::new(question))).unwrap();
        assert_eq!((&*step.activation, step.asked.as_deref()), ("2.0", Some("price")));
        assert_eq!(trace.running().map(|step| &*step.activation).collect::<Vec<_>>(), ["2.1", "2.2"]);
    }
}
