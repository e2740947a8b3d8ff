//! Graphs over a small alphabet of edges, and every order in which parallel activations can finish: one final state, and
//! the one that the reference has. Which node is declared first is part of what a graph means, so a graph is not taken for
//! another one with its nodes renamed; left out are only those that every build refuses.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::cell::Cell;
use std::sync::Arc;

use statewright_engine_core::graph::{BranchSpec, Decide, Format, JoinSpec, NodeSpec};
use statewright_engine_core::{
    Action, Event, Execution, Journaling, NodeIx, Observe, Options, Outcome, Plan, State, Task, Topology,
    TypedCell, UpdateValue, VariantWiring, Wire,
};
use statewright_engine_testkit::{End, Reference, Script, SimState, Visit, Wide};

const SCRIPT: Script = Script { seed: 42, asks: false, marks: false };
const LABELS: [&str; 5] = ["A", "B", "C", "D", "E"];
/// The most nodes of a graph.
pub(crate) const NODES_MAX: usize = 4;
/// No graph of four nodes without a loop has more orders of completion.
const ORDERS_MAX: usize = 5_000;

/// One graph: for each node the set of its targets (END is the last bit), and whether it chooses one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    nodes: usize,
    targets: [usize; 4],
    chooses: [bool; 4],
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

pub(crate) fn shapes(nodes: usize) -> impl Iterator<Item = Shape> {
    let ways: Vec<Vec<(usize, bool)>> = (0..nodes).map(|node| ways_out(node, nodes)).collect();
    let kinds: usize = ways.iter().map(Vec::len).product();
    (0..kinds).flat_map(move |kind| {
        let mut rest = kind;
        let (mut targets, mut chooses) = ([0; 4], [false; 4]);
        for (place, ways) in ways.iter().enumerate() {
            (targets[place], chooses[place]) = ways[rest % ways.len()];
            rest /= ways.len();
        }
        let starts = (1..nodes.min(2) + 1).filter(move |starts| !is_refused(&targets[..nodes], *starts));
        starts.map(move |starts| Shape { nodes, targets, chooses, starts, joins: false, any: false })
    })
}

/// What a node may lead to, and whether it chooses. A choice of one is a plain edge, a node without a way out is always
/// refused, and a plain edge to the node itself always uses up its bound.
fn ways_out(node: usize, nodes: usize) -> Vec<(usize, bool)> {
    let sets = 1..1usize << (nodes + 1);
    let ways = sets.flat_map(|targets| [(targets, false), (targets, true)]);
    ways.filter(
        |(targets, chooses)| if *chooses { targets.count_ones() > 1 } else { targets >> node & 1 == 0 },
    )
    .collect()
}

/// Whether a node is out of reach, or END is from one: every build refuses that, so nothing is lost by not trying.
fn is_refused(targets: &[usize], starts: usize) -> bool {
    let (nodes, end) = (targets.len(), 1usize << targets.len());
    let mut reached = (1 << starts) - 1;
    let mut ending = end;
    for _ in 0..nodes {
        for (node, ways) in targets.iter().enumerate() {
            reached |= if reached >> node & 1 == 1 { ways & (end - 1) } else { 0 };
            ending |= if ways & ending > 0 { 1 << node } else { 0 };
        }
    }
    reached != end - 1 || ending != (end << 1) - 1
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

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) shapes: usize,
    pub(crate) accepted: usize,
    /// Whole runs, each in another order.
    pub(crate) histories: usize,
    /// Graphs in which activations run at the same time.
    pub(crate) parallel: usize,
    /// Of those, graphs with more orders than were tried: only graphs with loops have so many.
    pub(crate) sampled: usize,
    /// The most orders of a graph without a loop.
    pub(crate) orders_most: usize,
    /// Graphs that should have been refused.
    pub(crate) unsound: Vec<String>,
}

impl Found {
    pub(crate) fn add(&mut self, other: Found) {
        self.shapes += other.shapes;
        self.accepted += other.accepted;
        self.histories += other.histories;
        self.parallel += other.parallel;
        self.sampled += other.sampled;
        self.orders_most = self.orders_most.max(other.orders_most);
        self.unsound.extend(other.unsound);
    }
}

/// Explores shapes on several threads. Where loops multiply the orders, `loop_orders` of them have to do.
///
/// # Panics
/// With the graph and the order that end differently.
pub(crate) fn explore_all<I>(shapes: impl Fn(usize) -> I + Sync, threads: usize, loop_orders: usize) -> Found
where
    I: Iterator<Item = Shape>,
{
    let mut sum = Found::default();
    std::thread::scope(|scope| {
        let shapes = &shapes;
        let worker = |first| scope.spawn(move || explore(shapes(first), loop_orders));
        let workers: Vec<_> = (0..threads).map(worker).collect();
        workers.into_iter().for_each(|worker| sum.add(worker.join().unwrap()));
    });
    sum
}

fn explore(shapes: impl Iterator<Item = Shape>, loop_orders: usize) -> Found {
    let mut found = Found::default();
    let seen = Cell::new(0);
    for (shape, topology, plan) in shapes.inspect(|_| seen.set(seen.get() + 1)).flat_map(accepted) {
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
        let orders_max = if shape.has_loop() { loop_orders } else { ORDERS_MAX };
        let mut orders = 0;
        while orders < orders_max && order.next() {
            run(&shape, &plan, &reference, &mut order);
            orders += 1;
        }
        found.histories += orders;
        if shape.has_loop() {
            found.sampled += usize::from(orders == orders_max && order.next());
        } else {
            found.orders_most = found.orders_most.max(orders);
            assert!(orders < ORDERS_MAX, "{shape:?} has more than {ORDERS_MAX} orders of completion");
        }
    }
    found.shapes = seen.get();
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
