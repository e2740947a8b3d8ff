//! The builder: nodes become typed handles, handles become edges, and `build()` says everything that is wrong.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use statewright_engine_core::graph::{
    BranchSpec, Child, Decide, JoinMode, JoinSpec, NodeSpec, SourceSpec, Topology,
};
use statewright_engine_core::{
    Data, Decision, IntoCommand, NodeFailure, NodeIx, NodePolicy, Problem, Problems, Route, State, To, Wire,
};

use crate::context::Ctx;
use crate::error::{Classifier, NodeError};
use crate::gate::{self, Gate, GateEdges};
use crate::graph::Graph;
use crate::node::{ErasedNode, FunctionNode, Node, StructNode};
use crate::quorum::Quorum;
use crate::undo::Undoers;

/// Tells the handles of one builder from those of another.
pub(crate) static NEXT_BUILDER: AtomicU64 = AtomicU64::new(1);

/// A typed handle of a node: over the state `S`, with the input `I`, returning the route `R`.
#[derive(Debug)]
pub struct NodeHandle<S, I = (), R = ()> {
    node: NodeIx,
    builder: u64,
    marker: PhantomData<fn(S, I, R)>,
}

impl<S, I, R> Clone for NodeHandle<S, I, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, I, R> Copy for NodeHandle<S, I, R> {}

impl<S, I, R> NodeHandle<S, I, R> {
    /// The node as a target.
    pub fn to(self) -> To<S, I> {
        To::node(self.node, self.builder)
    }

    pub(crate) fn wire(self) -> Wire {
        Wire { node: Some(self.node), builder: self.builder, at_most: None }
    }
}

impl<S, I, R> From<NodeHandle<S, I, R>> for To<S, I> {
    fn from(handle: NodeHandle<S, I, R>) -> Self {
        handle.to()
    }
}

/// A source of a join that a branch may leave out: made by [`NodeHandle::optional`].
#[derive(Debug)]
pub struct OptionalSource<S> {
    wire: Wire,
    marker: PhantomData<fn(S)>,
}

impl<S> OptionalSource<S> {
    pub(crate) fn of(wire: Wire) -> Self {
        Self { wire, marker: PhantomData }
    }
}

impl<S, I> NodeHandle<S, I, ()> {
    /// As a source of a join that need not run: the join goes on without it once nothing that is under way can lead
    /// there any more.
    pub fn optional(self) -> OptionalSource<S> {
        OptionalSource::of(self.wire())
    }
}

/// A node that a join waits for: a handle without a route, as it is or [`optional`](NodeHandle::optional).
#[diagnostic::on_unimplemented(
    message = "a join cannot wait for `{Self}`",
    label = "expected nodes that return no route",
    note = "a node that returns a route may lead past the join; let it lead to a node without one, and join that"
)]
pub trait Source<S> {
    /// The source without its types.
    #[doc(hidden)]
    fn spec(self) -> SourceSpec;
}

impl<S, I> Source<S> for NodeHandle<S, I, ()> {
    fn spec(self) -> SourceSpec {
        SourceSpec { wire: self.wire(), optional: false }
    }
}

impl<S> Source<S> for OptionalSource<S> {
    fn spec(self) -> SourceSpec {
        SourceSpec { wire: self.wire, optional: true }
    }
}

/// Several nodes that a join waits for: a tuple, an array or a vector of them.
#[diagnostic::on_unimplemented(
    message = "a join cannot wait for `{Self}`",
    label = "expected a tuple, array or vector of nodes that return no route",
    note = "a join waits for at least two nodes; use `g.edge(…)` for one"
)]
pub trait Sources<S> {
    /// The sources without their types.
    #[doc(hidden)]
    fn specs(self) -> Vec<SourceSpec>;
}

impl<S, T: Source<S>> Sources<S> for Vec<T> {
    fn specs(self) -> Vec<SourceSpec> {
        self.into_iter().map(T::spec).collect()
    }
}

impl<S, T: Source<S>, const N: usize> Sources<S> for [T; N] {
    fn specs(self) -> Vec<SourceSpec> {
        self.into_iter().map(T::spec).collect()
    }
}

macro_rules! tuple_sources {
    ($($source:ident $name:ident),+) => {
        impl<S, $($source: Source<S>),+> Sources<S> for ($($source,)+) {
            fn specs(self) -> Vec<SourceSpec> {
                let ($($name,)+) = self;
                vec![$($name.spec()),+]
            }
        }
    };
}

tuple_sources!(A a, B b);
tuple_sources!(A a, B b, C c);
tuple_sources!(A a, B b, C c, D d);
tuple_sources!(A a, B b, C c, D d, E e);
tuple_sources!(A a, B b, C c, D d, E e, F f);

/// Where a plain edge may lead: a node without an input, several of them, or END.
#[diagnostic::on_unimplemented(
    message = "a plain edge cannot lead to `{Self}`",
    label = "this node takes an input, or belongs to another state",
    note = "a plain edge carries nothing; lead to a node with an input by a route variant that carries one, such as `Search(Query)`"
)]
pub trait PlainTarget<S> {
    /// The target.
    #[doc(hidden)]
    fn target(self) -> To<S>;
}

impl<S> PlainTarget<S> for To<S> {
    fn target(self) -> To<S> {
        self
    }
}

impl<S, R> PlainTarget<S> for NodeHandle<S, (), R> {
    fn target(self) -> To<S> {
        self.to()
    }
}

/// A node that plain edges may leave: one that returns no route.
#[diagnostic::on_unimplemented(
    message = "a plain edge cannot leave `{Self}`",
    label = "this node returns a route, or belongs to another state",
    note = "wire every variant of its route with `g.route(node, …Edges {{ … }})` instead"
)]
pub trait PlainSource<S> {
    /// The node.
    #[doc(hidden)]
    fn source(self) -> Wire;
}

impl<S, I> PlainSource<S> for NodeHandle<S, I, ()> {
    fn source(self) -> Wire {
        self.wire()
    }
}

/// Builds a graph over the state `S`.
pub struct StateGraph<S: State> {
    pub(crate) topology: Topology,
    nodes: Vec<Arc<dyn ErasedNode<S>>>,
    classifiers: Vec<Classifier>,
    pub(crate) undoers: Undoers,
}

impl<S: State> StateGraph<S> {
    /// An empty graph of this name. Stored runs find their graph by it.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let builder = NEXT_BUILDER.fetch_add(1, Ordering::Relaxed);
        let topology = Topology::new(name, builder, S::SCHEMA);
        Self { topology, nodes: Vec::new(), classifiers: Vec::new(), undoers: Undoers::new() }
    }

    /// Adds an async function or closure. Stored runs find their node by the name.
    pub fn func<F, Fut, O, I>(&mut self, name: impl Into<Arc<str>>, function: F) -> NodeHandle<S, I, O::Route>
    where
        I: Data,
        F: Fn(Ctx<S, I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
        O: IntoCommand<S>,
    {
        let node = FunctionNode { function, input: PhantomData };
        self.add(name.into(), O::Route::VARIANTS, Arc::new(node))
    }

    /// Adds a struct with dependencies. Stored runs find their node by the name.
    pub fn node<N: Node<S>>(
        &mut self,
        name: impl Into<Arc<str>>,
        node: N,
    ) -> NodeHandle<S, N::In, <N::Out as IntoCommand<S>>::Route> {
        let variants = <N::Out as IntoCommand<S>>::Route::VARIANTS;
        self.add(name.into(), variants, Arc::new(StructNode(Arc::new(node))))
    }

    /// The node runs this graph.
    pub(crate) fn holds<I>(&mut self, node: &NodeHandle<S, I, ()>, child: Child) {
        self.with(node.wire(), |spec| spec.child = Some(child));
    }

    pub(crate) fn add<I, R: Route>(
        &mut self,
        name: Arc<str>,
        variants: &'static [&'static str],
        node: Arc<dyn ErasedNode<S>>,
    ) -> NodeHandle<S, I, R> {
        let goto = R::LEAVES_EDGES_ASIDE;
        let ix = self.topology.add_node(NodeSpec { goto, ..NodeSpec::new(name, variants) });
        self.nodes.push(node);
        NodeHandle { node: ix, builder: self.topology.builder, marker: PhantomData }
    }

    /// Where a run begins. Several calls begin at several nodes at once.
    pub fn start(&mut self, first: impl PlainTarget<S>) {
        self.topology.start.extend(first.target().into_wires());
    }

    /// An unconditional edge. Only offered for nodes that return no route.
    pub fn edge(&mut self, from: impl PlainSource<S>, to: impl PlainTarget<S>) {
        let wires = to.target().into_wires();
        self.with(from.source(), |spec| spec.edges.extend(wires));
    }

    /// An unconditional edge to END.
    pub fn end(&mut self, from: impl PlainSource<S>) {
        self.edge(from, To::END);
    }

    /// Wires every variant of the route that a node returns.
    pub fn route<I, R: Route>(&mut self, from: NodeHandle<S, I, R>, edges: R::Edges<S>) {
        let wiring = R::wiring::<S>(edges);
        let mut twice = None;
        self.with(from.wire(), |spec| {
            if spec.route.replace(wiring).is_some() {
                twice = Some(Problem::WiredTwice { node: spec.name.to_string() });
            }
        });
        self.topology.problems.extend(twice);
    }

    /// A branch after a node: a pure function of the state into which the node's writes are merged. What it chose is
    /// recorded, and never chosen anew.
    pub fn branch<I, R, B: Route>(
        &mut self,
        after: NodeHandle<S, I, R>,
        decide: impl Fn(&S) -> B + Send + Sync + 'static,
        edges: B::Edges<S>,
    ) {
        let decide = Decide::Route(Arc::new(move |state: &(dyn std::any::Any + Send + Sync)| {
            let chosen = state.downcast_ref::<S>().and_then(|state| decide(state).decide());
            // A route without variants cannot be wired, and a state of another type cannot reach this graph.
            chosen.unwrap_or(Decision { variant: u16::MAX, payloads: Default::default() })
        }));
        let variants = B::wiring::<S>(edges);
        self.with(after.wire(), |spec| spec.branches.push(BranchSpec { decide, variants }));
    }

    /// A gate after a node: judges the state into which the node's writes are merged, and goes on, or back to the node
    /// to blame, or stops with the best round. The edges that lead back are bounded by its rounds and need no bound.
    pub fn gate<I, R, B: Route>(
        &mut self,
        after: NodeHandle<S, I, R>,
        gate: Gate<S, B>,
        edges: GateEdges<S, B>,
    ) {
        let spec = gate::spec(gate, edges);
        self.with(after.wire(), |node| node.branches.push(spec));
    }

    /// `target` runs once all sources have finished. A source that a branch can leave out has to be declared
    /// [`optional`](NodeHandle::optional); the join goes on without it once nothing can lead there any more. In a loop
    /// each round is joined on its own.
    pub fn join<R>(&mut self, sources: impl Sources<S>, target: NodeHandle<S, (), R>) {
        self.add_join(JoinMode::All, sources.specs(), target.wire());
    }

    /// `target` runs once `needed` of the sources have finished. The others run to their end, and what they lead to is
    /// not run a second time in this round. Where fewer can come, it runs with those.
    /// [`Quorum::within`](crate::Quorum::within) limits how long it waits.
    pub fn quorum<R>(
        &mut self,
        needed: u32,
        sources: impl Sources<S>,
        target: NodeHandle<S, (), R>,
    ) -> Quorum<'_> {
        self.add_join(JoinMode::Quorum(needed), sources.specs(), target.wire());
        Quorum::of(&mut self.topology)
    }

    fn add_join(&mut self, mode: JoinMode, sources: Vec<SourceSpec>, target: Wire) {
        self.topology.joins.push(JoinSpec { target, mode, sources, timeout: None });
    }

    /// Declares that several paths may lead to `node` and that it runs once for each superstep in which one arrives.
    pub fn any<I, R>(&mut self, node: NodeHandle<S, I, R>) {
        self.with(node.wire(), |spec| spec.any = true);
    }

    /// Declares that several paths may lead to `node` and that it runs once for all of them: when nothing that is under
    /// way can lead to it any more, except round a loop.
    pub fn deferred<R>(&mut self, node: NodeHandle<S, (), R>) {
        self.with(node.wire(), |spec| spec.deferred = true);
    }

    /// Declares which fields a node writes, so that two nodes that always run together and write one field are found
    /// at build.
    pub fn writes<I, R>(
        &mut self,
        node: NodeHandle<S, I, R>,
        fields: impl IntoIterator<Item = &'static str>,
    ) {
        let fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
        self.with(node.wire(), |spec| spec.writes.extend(fields));
    }

    /// Goes on at `handler` when `node` has failed for good, in place of failing the run. The handler runs in the next
    /// superstep and is told what happened; of the node's other edges none is taken, and what it would have written is
    /// not. Each failed activation of a fan-out runs the handler once. As a source of a join the node must be
    /// [`optional`](NodeHandle::optional): the join goes on without it.
    pub fn on_error<I, R>(&mut self, node: NodeHandle<S, I, R>, handler: impl Into<To<S, NodeFailure>>) {
        let wires = handler.into().into_wires();
        let mut twice = None;
        self.with(node.wire(), |spec| {
            if !spec.on_error.is_empty() {
                twice = Some(Problem::HandledTwice { node: spec.name.to_string() });
            }
            spec.on_error = wires;
        });
        self.topology.problems.extend(twice);
    }

    /// Says how often a node is tried, how long it may take, and how many of its activations run at once. A
    /// [`RetryPolicy`](crate::RetryPolicy) alone will do too. The last call for a node counts. Policies are not part of
    /// the graph's fingerprint: a stored run goes on under the policy of the build that takes it up.
    pub fn policy<I, R>(&mut self, node: NodeHandle<S, I, R>, policy: impl Into<NodePolicy>) {
        let policy = policy.into();
        self.with(node.wire(), |spec| spec.policy = policy);
    }

    /// Ends the drive as soon as a node has failed for good. What else runs is dropped, and runs again from its top when
    /// the run is resumed. Without this the siblings finish and are recorded, and a resume runs only what failed.
    pub fn fail_fast(&mut self) {
        self.topology.fail_fast = true;
    }

    /// Declares that `node` had this name in an earlier version of the graph, so that a stored run that stands there goes
    /// on here. A former name is no other node's; take the declaration back once no stored run needs it.
    pub fn renamed<I, R>(&mut self, former: &str, node: NodeHandle<S, I, R>) {
        self.with(node.wire(), |spec| spec.formerly.push(former.into()));
    }

    /// Lets the graph recognise errors of a library: which code they have, and whether trying again can help.
    pub fn classify(&mut self, classifier: Classifier) {
        self.classifiers.push(classifier);
    }

    /// Puts something around the code of a node.
    pub(crate) fn wrap(
        &mut self,
        wire: Wire,
        around: impl FnOnce(Arc<dyn ErasedNode<S>>) -> Arc<dyn ErasedNode<S>>,
    ) {
        let place = wire.node.map_or(0, NodeIx::index);
        // A handle of another graph is reported by this, and changes nothing.
        self.with(wire, |_| {});
        let own = wire.builder == self.topology.builder;
        if let Some(node) = self.nodes.get_mut(place).filter(|_| own) {
            *node = around(node.clone());
        }
    }

    pub(crate) fn with(&mut self, wire: Wire, change: impl FnOnce(&mut NodeSpec)) {
        let place = wire.node.map_or(0, NodeIx::index);
        match self.topology.nodes.get_mut(place).filter(|_| wire.builder == self.topology.builder) {
            Some(spec) => change(spec),
            None => {
                let node = format!("node {place} of another graph");
                self.topology.problems.push(Problem::ForeignHandle { node });
            }
        }
    }

    /// Checks the graph.
    ///
    /// # Errors
    /// All problems at once, each with its code, the names involved and the way to mend it.
    pub fn build(self) -> Result<Graph<S>, Problems> {
        let plan = self.topology.compile()?;
        Ok(Graph::new(plan, self.nodes, self.classifiers, self.undoers))
    }
}
