//! The shape of a graph: what a builder declared ([`Topology`]), what is wrong with it ([`Problems`]), and the
//! compiled tables that an execution walks ([`Plan`]). Knows no node's code and no state's type.

mod checks;
mod child;
mod fan_in;
mod feeders;
mod gate;
mod joins;
mod plan;
mod problem;
mod reach;
mod render;
mod sketch;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub use checks::nearest;
pub use child::{CellFn, Child, EnterFn, LeaveFn, MAX_DEPTH};
pub use gate::{FIRST_BLAMED, GateRule, JudgeFn, Judgement, PASS, STOP, StopFn};
pub use plan::{Plan, PlanBranch, PlanEdge, PlanJoin, PlanNode, PlanVariant, Via};
pub use problem::{Problem, Problems};
pub use reach::NodeSet;
pub use render::{Format, Overlay};

use crate::budget::Budget;
use crate::ids::NodeIx;
use crate::policy::NodePolicy;
use crate::route::{Decision, VariantWiring, Wire};
use crate::state::StateSchema;
use crate::undo::PlanUndo;

/// Evaluates a branch on the merged state, which the caller passes as the graph's state type behind [`Any`].
pub type BranchFn = Arc<dyn Fn(&(dyn Any + Send + Sync)) -> Decision + Send + Sync>;

/// How a branch chooses its variant.
#[derive(Clone)]
pub enum Decide {
    /// By a pure function of the merged state.
    Route(BranchFn),
    /// By the score of the merged state and of the rounds before: see [`PASS`], [`STOP`] and [`FIRST_BLAMED`].
    Gate(GateRule),
}

/// A branch after a node, with the wiring of its route.
#[derive(Clone)]
pub struct BranchSpec {
    /// Chooses the variant.
    pub decide: Decide,
    /// The wiring of every variant.
    pub variants: Vec<VariantWiring>,
}

impl fmt::Debug for BranchSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BranchSpec").field("variants", &self.variants).finish_non_exhaustive()
    }
}

/// A node as it was declared.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// The name that ties stored data to this node.
    pub name: Arc<str>,
    /// The names that it had in earlier versions of the graph.
    pub formerly: Vec<Arc<str>>,
    /// The names of the route's variants that the node's code returns; empty for plain edges.
    pub route_variants: &'static [&'static str],
    /// The wiring of the route, once given.
    pub route: Option<Vec<VariantWiring>>,
    /// Whether the route takes the place of edges and branches, and may be absent.
    pub goto: bool,
    /// Unconditional edges.
    pub edges: Vec<Wire>,
    /// Branches on the merged state.
    pub branches: Vec<BranchSpec>,
    /// Whether several incoming paths are meant to run the node each on its own.
    pub any: bool,
    /// Whether it waits until nothing that is under way can lead to it any more.
    pub deferred: bool,
    /// The channels that the node declares to write; empty if it declares nothing.
    pub writes: Vec<String>,
    /// How often it is tried, how long it may take, how many of its activations run at once.
    pub policy: NodePolicy,
    /// Whether runs pause before it.
    pub pause_before: bool,
    /// Whether runs pause after it.
    pub pause_after: bool,
    /// What its activations may spend in a run.
    pub budget: Budget,
    /// Where to go on when it has failed for good; empty if that fails the run.
    pub on_error: Vec<Wire>,
    /// The graph that it runs, if it is one.
    pub child: Option<Child>,
}

impl NodeSpec {
    /// A node without edges.
    pub fn new(name: Arc<str>, route_variants: &'static [&'static str]) -> Self {
        Self {
            name,
            formerly: Vec::new(),
            route_variants,
            route: None,
            goto: false,
            edges: Vec::new(),
            branches: Vec::new(),
            any: false,
            deferred: false,
            writes: Vec::new(),
            policy: NodePolicy::default(),
            pause_before: false,
            pause_after: false,
            budget: Budget::default(),
            on_error: Vec::new(),
            child: None,
        }
    }
}

/// For what a join waits. A source to which nothing that is under way can lead is never waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinMode {
    /// For all its sources.
    All,
    /// For this many of its sources; the others are expected, and what they send is dropped.
    Quorum(u32),
    /// Until nothing can lead to the node any more, however many paths did.
    Quiet,
}

/// A node that runs once its sources have finished.
#[derive(Clone, Debug)]
pub struct JoinSpec {
    /// The node that waits.
    pub target: Wire,
    /// For what it waits.
    pub mode: JoinMode,
    /// The nodes it waits for.
    pub sources: Vec<SourceSpec>,
    /// How long it waits for them, if not for ever.
    pub timeout: Option<JoinTimeout>,
}

/// How long a join waits, counted from when its first token does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinTimeout {
    /// In milliseconds.
    pub within_ms: u64,
    /// Whether the run fails when fewer came than it needs; else it goes on with those that did.
    pub fails: bool,
}

/// A node that a join waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// The node.
    pub wire: Wire,
    /// Whether a branch may leave it out.
    pub optional: bool,
}

impl JoinSpec {
    /// A join that waits for all these nodes, none of which a branch may leave out.
    pub fn all(target: Wire, sources: impl IntoIterator<Item = Wire>) -> Self {
        let sources = sources.into_iter().map(|wire| SourceSpec { wire, optional: false }).collect();
        Self { target, mode: JoinMode::All, sources, timeout: None }
    }
}

/// Everything that a builder was told.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The graph's name.
    pub name: Arc<str>,
    /// The identity of the builder, which every handle carries.
    pub builder: u64,
    /// The state's description.
    pub schema: &'static StateSchema,
    /// The nodes, in the order of declaration.
    pub nodes: Vec<NodeSpec>,
    /// Where a run begins.
    pub start: Vec<Wire>,
    /// The joins.
    pub joins: Vec<JoinSpec>,
    /// Whether a node that fails for good ends the drive at once.
    pub fail_fast: bool,
    /// What a run may spend.
    pub run_budget: Budget,
    /// What all runs of a thread may spend.
    pub thread_budget: Budget,
    /// The undo handlers.
    pub undos: Vec<PlanUndo>,
    /// Whether a run that fails for good is undone.
    pub compensates: bool,
    /// Mistakes found while it was told, such as a handle of another builder.
    pub problems: Vec<Problem>,
}

impl Topology {
    /// An empty graph.
    pub fn new(name: impl Into<Arc<str>>, builder: u64, schema: &'static StateSchema) -> Self {
        Self {
            name: name.into(),
            builder,
            schema,
            nodes: Vec::new(),
            start: Vec::new(),
            joins: Vec::new(),
            fail_fast: false,
            run_budget: Budget::default(),
            thread_budget: Budget::default(),
            undos: Vec::new(),
            compensates: false,
            problems: Vec::new(),
        }
    }

    /// Declares a node and returns its number.
    pub fn add_node(&mut self, spec: NodeSpec) -> NodeIx {
        self.nodes.push(spec);
        NodeIx(self.nodes.len() as u32 - 1)
    }

    /// Checks everything and compiles it.
    ///
    /// # Errors
    /// All problems at once, each with its code and the names involved.
    pub fn compile(self) -> Result<Plan, Problems> {
        let plan = Plan::new(&self);
        let problems = checks::check(&self, &plan);
        if problems.is_empty() { Ok(plan) } else { Err(Problems::new(self.name, problems)) }
    }
}
