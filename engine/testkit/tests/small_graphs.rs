//! Every graph of up to three nodes over a small alphabet of edges, and every order in which parallel activations can
//! finish: one final state, and the one that the reference has.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::Arc;

use statewright_engine_core::graph::{BranchSpec, Decide, Format, JoinSpec, NodeSpec};
use statewright_engine_core::{
    Action, Event, Execution, Journaling, NodeIx, Observe, Options, Outcome, Plan, State, Task, Topology,
    TypedCell, UpdateValue, VariantWiring, Wire,
};
use statewright_engine_testkit::{End, Reference, Script, SimState, Visit, Wide};

const SCRIPT: Script = Script { seed: 42, asks: false, marks: false };
const LABELS: [&str; 4] = ["A", "B", "C", "D"];
/// No graph of three nodes without a loop has more orders of completion.
const ORDERS_MAX: usize = 64;

/// One graph: for each node the set of its targets (END is the last bit), and whether it chooses one of them.
#[derive(Clone, Copy, Debug)]
struct Shape {
    nodes: usize,
    targets: [usize; 3],
    chooses: [bool; 3],
    starts: usize,
    /// Whether several plain edges into a node are a join of it.
    joins: bool,
    any: bool,
}

impl Shape {
    fn topology(&self) -> Topology {
        let mut topology = Topology::new("small", 1, SimState::SCHEMA);
        for place in 0..self.nodes {
            topology.add_node(NodeSpec::new(format!("n{place}").into(), &[]));
        }
        topology.start = (0..self.starts).map(|place| self.wire(None, place)).collect();
        for from in 0..self.nodes {
            let wires: Vec<Wire> = self.ways(from).map(|to| self.wire(Some(from), to)).collect();
            if self.chooses[from] {
                let variants = wires.iter().enumerate();
                let variants: Vec<_> = variants
                    .map(|(v, wire)| VariantWiring { label: LABELS[v], each: false, wires: vec![*wire] })
                    .collect();
                let decide = SCRIPT.branch_function(NodeIx(from as u32), 0, vec![false; variants.len()]);
                topology.nodes[from].branches.push(BranchSpec { decide: Decide::Route(decide), variants });
            } else {
                topology.nodes[from].edges = wires;
            }
        }
        for to in 0..self.nodes {
            topology.nodes[to].any = self.any;
            let sources: Vec<usize> = (0..self.nodes)
                .filter(|from| !self.chooses[*from] && self.ways(*from).any(|t| t == to))
                .collect();
            if self.joins && sources.len() > 1 {
                let wire =
                    |place: usize| Wire { node: Some(NodeIx(place as u32)), builder: 1, at_most: None };
                for from in &sources {
                    topology.nodes[*from].edges.retain(|edge| edge.node != Some(NodeIx(to as u32)));
                }
                topology.joins.push(JoinSpec::all(wire(to), sources.into_iter().map(wire)));
            }
        }
        topology
    }

    fn ways(&self, from: usize) -> impl Iterator<Item = usize> + use<> {
        let (targets, nodes) = (self.targets[from], self.nodes);
        (0..=nodes).filter(move |to| targets >> to & 1 == 1)
    }

    /// Edges that lead back are bounded.
    fn wire(&self, from: Option<usize>, to: usize) -> Wire {
        if to == self.nodes {
            return Wire { node: None, builder: 0, at_most: None };
        }
        let back = from.is_some_and(|from| from >= to);
        Wire { node: Some(NodeIx(to as u32)), builder: 1, at_most: back.then_some(1) }
    }

    fn has_loop(&self) -> bool {
        (0..self.nodes).any(|from| self.ways(from).any(|to| to <= from))
    }
}

fn shapes(nodes: usize) -> impl Iterator<Item = Shape> {
    let per_node = (1usize << (nodes + 1)) * 2;
    let kinds = per_node.pow(nodes as u32);
    (0..kinds).flat_map(move |kind| {
        let mut rest = kind;
        let (mut targets, mut chooses) = ([0; 3], [false; 3]);
        for place in 0..nodes {
            let node = rest % per_node;
            rest /= per_node;
            (targets[place], chooses[place]) = (node / 2, node % 2 == 1);
        }
        // A choice of one is a plain edge, and a node without a way out is always refused.
        // A plain edge to the node itself always uses up its bound.
        let odd = (0..nodes).any(|n| {
            let ways = targets[n].count_ones();
            ways == 0 || if chooses[n] { ways < 2 } else { targets[n] >> n & 1 == 1 }
        });
        let starts = if odd { 1..1 } else { 1..nodes.min(2) + 1 };
        starts.map(move |starts| Shape { nodes, targets, chooses, starts, joins: false, any: false })
    })
}

/// The graphs of a shape that are accepted: as it is, else with `any` where paths meet, and with joins there.
fn accepted(shape: Shape) -> impl Iterator<Item = (Shape, Topology, Plan)> {
    let compiled = |shape: Shape| {
        let topology = shape.topology();
        let plan = topology.clone().compile().ok()?;
        Some((shape, topology, plan))
    };
    let plain = compiled(shape).or_else(|| compiled(Shape { any: true, ..shape }));
    let joined =
        compiled(Shape { joins: true, ..shape }).filter(|(_, topology, _)| !topology.joins.is_empty());
    plain.into_iter().chain(joined)
}

#[derive(Default)]
struct Found {
    accepted: usize,
    histories: usize,
    parallel: usize,
    unsound: Vec<String>,
}

#[test]
fn every_order_of_completion_gives_the_same_state() {
    let threads = 2;
    let found = std::thread::scope(|scope| {
        let shapes = |first| (1..=3).flat_map(shapes).skip(first).step_by(threads);
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || explore(shapes(first)))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<Found>>()
    });
    let total = |count: fn(&Found) -> usize| found.iter().map(count).sum::<usize>();
    let (accepted, parallel) = (total(|f| f.accepted), total(|f| f.parallel));
    let unsound: Vec<&String> = found.iter().flat_map(|found| &found.unsound).collect();
    assert!(
        unsound.is_empty(),
        "{} of {accepted} graphs should have been refused, such as: {}",
        unsound.len(),
        unsound[0]
    );
    // The alphabet must not shrink to nothing unnoticed.
    assert!(
        accepted > 2_000 && parallel > 500,
        "{accepted} graphs, {parallel} of them with parallel activations"
    );
    assert!(total(|f| f.histories) > 2 * parallel);
}

fn explore(shapes: impl Iterator<Item = Shape>) -> Found {
    let mut found = Found::default();
    for (shape, topology, plan) in shapes.flat_map(accepted) {
        found.accepted += 1;
        let Some(reference) = Reference::of(&topology, &SCRIPT, SimState::default(), 0, 0, 40) else {
            continue;
        };
        found.unsound.extend(misjudged(&shape, &plan, &reference));
        if reference.frontiers.iter().all(|frontier| frontier.len() < 2) {
            continue;
        }
        found.parallel += 1;
        let plan = Arc::new(plan);
        let mut order = Order::default();
        // Where loops multiply the orders, some of them have to do.
        let orders_max = if shape.has_loop() { 4 } else { ORDERS_MAX };
        for _ in 0..orders_max {
            if !order.next() {
                break;
            }
            run(&shape, &plan, &reference, &mut order);
            found.histories += 1;
        }
        assert!(
            shape.has_loop() || !order.next(),
            "{shape:?} has more than {ORDERS_MAX} orders of completion"
        );
    }
    found
}

/// What the checks of a build should have refused.
fn misjudged(shape: &Shape, plan: &Plan, reference: &Reference) -> Option<String> {
    let what = if reference.end == End::Finished && reference.starved > 0 {
        "a join waits for ever".to_owned()
    } else {
        let visits = |node: &usize| {
            reference.frontiers.iter().flatten().filter(|(visited, _)| visited.index() == *node).count()
        };
        // Without loops and without `any` nothing runs twice.
        let twice =
            (0..shape.nodes).filter(|_| !shape.has_loop() && !shape.any).find(|node| visits(node) > 1)?;
        format!("n{twice} runs twice")
    };
    Some(format!("{what} in\n{}", plan.render(Format::Terminal, None)))
}

fn run(shape: &Shape, plan: &Arc<Plan>, reference: &Reference, order: &mut Order) {
    let options = Options { journaling: Journaling::Off, observe: Observe::Nothing, ..Options::default() };
    let mut execution = Execution::new(plan.clone(), Box::new(TypedCell::<SimState>::new()), options);
    let input = UpdateValue::live(SCRIPT.input(0));
    execution.handle(0, Event::Start { run: "r0".into(), input }).unwrap();
    let mut running: Vec<Task> = Vec::new();
    let mut visited = Vec::new();
    loop {
        while let Some(action) = execution.poll_action() {
            match action {
                Action::Run(task) => {
                    visited.push(task.node);
                    running.push(task);
                }
                Action::Stop(Outcome::Finished) => {
                    let wanted: Vec<NodeIx> =
                        reference.frontiers.iter().flatten().map(|(node, _)| *node).collect();
                    assert_eq!(visited, wanted, "{shape:?} visits other nodes than the reference");
                    let state = execution.state().downcast::<SimState>().unwrap();
                    assert_eq!(Some(&*state), reference.states.last(), "{shape:?} in the order {order:?}");
                    return;
                }
                Action::Stop(Outcome::Exhausted(_)) => {
                    let superstep = execution.superstep();
                    let last = reference.exhaustions.last().map(|exhaustion| exhaustion.superstep);
                    assert!(reference.exhaustions.iter().any(|e| e.superstep == superstep), "{shape:?}");
                    if reference.end == End::Exhausted && last == Some(superstep) {
                        return;
                    }
                    execution.handle(0, Event::Resume).unwrap();
                }
                other => panic!("{shape:?}: {other:?}"),
            }
        }
        let task = running.remove(order.choose(running.len()));
        let state = task.state.downcast::<SimState>().unwrap();
        let input = (!task.input.is_unit()).then(|| task.input.read::<Wide>().unwrap().0);
        let visit = Visit { node: task.node, activation: task.activation, input, state: &state };
        let update = UpdateValue::live(SCRIPT.update(&visit, None));
        let Task { activation, attempt, .. } = task;
        execution.handle(0, Event::Finished { activation, attempt, update, decision: None }).unwrap();
    }
}

/// Walks over all sequences of choices, one after the other.
#[derive(Debug, Default)]
struct Order {
    choices: Vec<(usize, usize)>,
    place: usize,
    begun: bool,
}

impl Order {
    /// The next sequence; false when there is none left.
    fn next(&mut self) -> bool {
        self.place = 0;
        if !std::mem::replace(&mut self.begun, true) {
            return true;
        }
        while let Some((choice, of)) = self.choices.pop() {
            if choice + 1 < of {
                self.choices.push((choice + 1, of));
                return true;
            }
        }
        false
    }

    fn choose(&mut self, of: usize) -> usize {
        if self.place == self.choices.len() {
            self.choices.push((0, of));
        }
        self.place += 1;
        self.choices[self.place - 1].0
    }
}
