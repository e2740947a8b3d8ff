//! What can be wrong with a graph. Each problem has a stable code, says which names it is about, and how to mend it.

use std::fmt;
use std::sync::Arc;

/// One mistake in a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing runs first.
    #[error("no node is the start; call `g.start(node)`")]
    NoStart,
    /// Two nodes share a name.
    #[error("two nodes are named `{name}`; stored runs find their node by name, so rename one of them")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A name that the engine uses itself, or an empty one.
    #[error(
        "`{name}` cannot be the name of a node; use another word than START and END, and at least one character"
    )]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A node that no path leads to.
    #[error("`{node}` cannot be reached from the start; add an edge to it or remove it")]
    Unreachable {
        /// The node.
        node: String,
    },
    /// A node that the run can enter and never leave.
    #[error("`{node}` has no path to END; add an edge onwards, or `g.end({node})`")]
    NoPathToEnd {
        /// The node.
        node: String,
    },
    /// A node whose code returns a route that was never wired.
    #[error(
        "`{node}` returns a route with the variants {}, but none is wired; call `g.route({node}, …)`",
        list(variants)
    )]
    Unwired {
        /// The node.
        node: String,
        /// The variants.
        variants: Vec<String>,
    },
    /// A node whose route was wired more than once.
    #[error("the route of `{node}` is wired twice; keep one `g.route({node}, …)`")]
    WiredTwice {
        /// The node.
        node: String,
    },
    /// A node that may leave its edges aside has none.
    #[error(
        "`{node}` may go elsewhere but has no edges; give it the edge that it takes otherwise, or let it return the route itself"
    )]
    NoEdgesBeside {
        /// The node.
        node: String,
    },
    /// A loop that nothing ends.
    #[error(
        "the loop {} has no bound; bound the edge that leads back, as in `{}.to().at_most(5)`",
        path(nodes),
        nodes.first().map_or("node", String::as_str)
    )]
    UnboundedLoop {
        /// The nodes of the loop.
        nodes: Vec<String>,
    },
    /// A bound that forbids the edge.
    #[error(
        "an edge from `{from}` to `{to}` has the bound 0 and could never be taken; remove it or raise the bound"
    )]
    ZeroBound {
        /// Where the edge starts.
        from: String,
        /// Where it leads.
        to: String,
    },
    /// Several paths that are no alternatives lead to one node.
    #[error(
        "`{node}` is reached from {} at the same time or one after the other; call `g.join((…), {node})` to wait for all, or `g.any({node})` to run once for each",
        list(sources)
    )]
    AmbiguousFanIn {
        /// The node.
        node: String,
        /// The sources of the edges.
        sources: Vec<String>,
    },
    /// A join that would wait for something that may never run.
    #[error(
        "the join at `{node}` waits for `{source_node}`, which a branch can skip; declare it `{source_node}.optional()` to go on without it, or lead to all sources from one node"
    )]
    SkippableJoinSource {
        /// The join.
        node: String,
        /// The source that may be skipped.
        source_node: String,
    },
    /// A join of fewer than two different nodes.
    #[error("the join at `{node}` needs at least two different sources; use `g.edge(…)` for one")]
    JoinTooSmall {
        /// The join.
        node: String,
    },
    /// A quorum of none, or of more nodes than there are.
    #[error(
        "the join at `{node}` waits for {needed} of {sources} sources; ask for at least one and at most all"
    )]
    ImpossibleQuorum {
        /// The join.
        node: String,
        /// How many it waits for.
        needed: u32,
        /// How many there are.
        sources: usize,
    },
    /// A gate that can never pass or never try.
    #[error(
        "the gate after `{node}` needs a finite score to pass, at least one attempt and a plateau of at least one round"
    )]
    UselessGate {
        /// The node before the gate.
        node: String,
    },
    /// A gate keeps something that cannot be put back.
    #[error("the gate after `{node}` keeps `{channel}`, which is no field that is replaced{}",
        nearest.as_ref().map_or("; keep fields that hold one value".to_owned(), |name| format!("; did you mean `{name}`?")))]
    UnkeepableField {
        /// The node before the gate.
        node: String,
        /// The name that was given.
        channel: String,
        /// The field it is nearest to, if there is none of this name.
        nearest: Option<String>,
    },
    /// A join that is deferred too.
    #[error(
        "`{node}` is the target of a join and deferred; keep the join to wait for certain nodes, or the deferral to wait for all that leads here"
    )]
    DeferredJoin {
        /// The node.
        node: String,
    },
    /// A handle that another builder made.
    #[error(
        "`{node}` is wired with a handle of another graph; declare the node on this builder and use its handle"
    )]
    ForeignHandle {
        /// The place where the handle was used.
        node: String,
    },
    /// Two nodes that always run together declare to write one replace-channel.
    #[error(
        "`{first}` and `{second}` run in the same superstep and both declare to write `{channel}`; give the field a reducer, or put one node after the other"
    )]
    ParallelWrites {
        /// The channel.
        channel: String,
        /// The node declared first.
        first: String,
        /// The other node.
        second: String,
    },
    /// A declared write to a field that the state does not have.
    #[error("`{node}` declares to write `{channel}`, which the state does not have{}", hint(nearest))]
    UnknownChannel {
        /// The node.
        node: String,
        /// The name that was given.
        channel: String,
        /// The field it is nearest to.
        nearest: Option<String>,
    },
    /// A node with two error handlers.
    #[error("`{node}` has two error handlers; keep one `g.on_error({node}, …)`")]
    HandledTwice {
        /// The node.
        node: String,
    },
    /// A policy that no attempt could satisfy.
    #[error("the policy of `{node}` {why}")]
    BadPolicy {
        /// The node.
        node: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A policy on a graph inside a node, which can only hold for the nodes in it.
    #[error(
        "`{node}` is a graph and has a policy of attempts or times; give it to the nodes inside, which repeat less"
    )]
    GraphPolicy {
        /// The node.
        node: String,
    },
    /// Graphs inside graphs without end.
    #[error(
        "graphs stand {depth} deep inside one another, and the limit is {most}; flatten the innermost ones"
    )]
    TooDeep {
        /// How deep.
        depth: u32,
        /// How deep they may.
        most: u32,
    },
}

impl Problem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Problem::NoStart => "SW-G101",
            Problem::DuplicateName { .. } => "SW-G102",
            Problem::ReservedName { .. } => "SW-G103",
            Problem::Unreachable { .. } => "SW-G104",
            Problem::NoPathToEnd { .. } => "SW-G105",
            Problem::Unwired { .. } => "SW-G106",
            Problem::WiredTwice { .. } => "SW-G107",
            Problem::UnboundedLoop { .. } => "SW-G108",
            Problem::ZeroBound { .. } => "SW-G109",
            Problem::AmbiguousFanIn { .. } => "SW-G110",
            Problem::SkippableJoinSource { .. } => "SW-G111",
            Problem::JoinTooSmall { .. } => "SW-G112",
            Problem::ForeignHandle { .. } => "SW-G113",
            Problem::ParallelWrites { .. } => "SW-G114",
            Problem::UnknownChannel { .. } => "SW-G115",
            Problem::ImpossibleQuorum { .. } => "SW-G116",
            Problem::DeferredJoin { .. } => "SW-G117",
            Problem::UselessGate { .. } => "SW-G118",
            Problem::UnkeepableField { .. } => "SW-G119",
            Problem::HandledTwice { .. } => "SW-G121",
            Problem::NoEdgesBeside { .. } => "SW-G122",
            Problem::BadPolicy { .. } => "SW-G120",
            Problem::GraphPolicy { .. } => "SW-G130",
            Problem::TooDeep { .. } => "SW-G131",
        }
    }
}

/// Everything that is wrong with a graph, found in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    graph: Arc<str>,
    problems: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(graph: Arc<str>, problems: Vec<Problem>) -> Self {
        Self { graph, problems }
    }

    /// The graph's name.
    pub fn graph(&self) -> &str {
        &self.graph
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// The code of the first problem.
    pub fn code(&self) -> &'static str {
        self.problems.first().map_or("SW-G101", Problem::code)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "the graph `{}` has {count} {noun}", self.graph)?;
        for problem in &self.problems {
            write!(f, "\n  {} {problem}", problem.code())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A way round a loop. A long one is told by its ends: a wall of names helps nobody.
fn path(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let quoted = |names: &[String]| -> Vec<String> { names.iter().map(|name| format!("`{name}`")).collect() };
    let mut words = if names.len() <= SHOWN {
        quoted(names)
    } else {
        let mut words = quoted(&names[..SHOWN - 2]);
        words.push(format!("… ({} more) …", names.len() - SHOWN + 1));
        words.extend(quoted(&names[names.len() - 1..]));
        words
    };
    words.extend(words.first().cloned());
    words.join(" → ")
}

fn hint(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => "; name one of its fields".to_owned(),
    }
}
