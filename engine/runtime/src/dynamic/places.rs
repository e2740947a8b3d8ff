//! Where in a document it stands what is wrong with its graph, and how to mend it there.

use statewright_engine_core::{NodeIx, Problem};

use super::document::GraphDocument;
use super::problem::DocumentProblem;

/// Where the edges of a graph stand in its document.
#[derive(Debug, Default)]
pub(super) struct Wired {
    pub(super) ways: Vec<Way>,
    /// The target of each join that was looked at, and its place.
    pub(super) joins: Vec<(Option<NodeIx>, usize)>,
}

/// An edge.
#[derive(Debug)]
pub(super) struct Way {
    /// `None` is START.
    pub(super) from: Option<NodeIx>,
    /// `None` is END.
    pub(super) to: Option<NodeIx>,
    pub(super) place: String,
}

impl Wired {
    /// A problem of the graph, with its place. Where names were not found, what cannot be reached is so because of those.
    pub(super) fn place(
        &self,
        document: &GraphDocument,
        problem: &Problem,
        is_whole: bool,
    ) -> Option<DocumentProblem> {
        let lacks_ways = matches!(
            problem,
            Problem::NoStart
                | Problem::Unreachable { .. }
                | Problem::NoPathToEnd { .. }
                | Problem::JoinTooSmall { .. }
                | Problem::NoEdgesBeside { .. }
                | Problem::ImpossibleQuorum { .. }
        );
        if lacks_ways && !is_whole {
            return None;
        }
        let place = self.where_is(document, problem);
        let message = words(problem).unwrap_or_else(|| problem.to_string());
        Some(DocumentProblem::new(place, problem.code(), message))
    }

    fn where_is(&self, document: &GraphDocument, problem: &Problem) -> String {
        let numbered = |name: &str| document.nodes.iter().position(|node| node.name == name);
        let node = |name: &str, member: &str| {
            numbered(name).map_or_else(|| "nodes".to_owned(), |place| format!("nodes[{place}]{member}"))
        };
        match problem {
            Problem::NoStart => "start".to_owned(),
            Problem::DuplicateName { name } => {
                let last = document.nodes.iter().rposition(|node| node.name == *name);
                format!("nodes[{}].name", last.unwrap_or_default())
            }
            Problem::ReservedName { name } => node(name, ".name"),
            Problem::ZeroBound { from, to } => self.bound(document, numbered(from), numbered(to)),
            Problem::UnboundedLoop { nodes } => {
                let back = nodes.last().zip(nodes.first());
                let way = back.and_then(|(last, first)| self.way(numbered(last), numbered(first)));
                way.map_or_else(|| "edges".to_owned(), |way| way.place.clone())
            }
            Problem::SkippableJoinSource { node, source_node } => {
                self.source(document, numbered(node), source_node)
            }
            Problem::JoinTooSmall { node } => self.join(numbered(node), ".sources"),
            Problem::ImpossibleQuorum { node, .. } => self.join(numbered(node), ".quorum"),
            Problem::DeferredJoin { node: name } => node(name, ".deferred"),
            Problem::ParallelWrites { second, .. } => node(second, ".writes"),
            Problem::UnknownChannel { node: name, .. } => node(name, ".writes"),
            Problem::BadPolicy { node: name, .. } => {
                let has_attempts =
                    numbered(name).is_some_and(|place| document.nodes[place].attempts == Some(0));
                node(name, if has_attempts { ".attempts" } else { "" })
            }
            Problem::NoEdgesBeside { node: name } => node(name, ".goto"),
            Problem::Unreachable { node: name }
            | Problem::NoPathToEnd { node: name }
            | Problem::AmbiguousFanIn { node: name, .. } => node(name, ""),
            _ => String::new(),
        }
    }

    fn way(&self, from: Option<usize>, to: Option<usize>) -> Option<&Way> {
        let is = |node: Option<NodeIx>, place: Option<usize>| node.map(NodeIx::index) == place;
        self.ways.iter().find(|way| is(way.from, from) && is(way.to, to))
    }

    /// The member that bounds an edge, which stands beside the one that says where it leads.
    fn bound(&self, document: &GraphDocument, from: Option<usize>, to: Option<usize>) -> String {
        let is = |node: Option<NodeIx>, place: Option<usize>| node.map(NodeIx::index) == place;
        let places = self.ways.iter().filter(|way| is(way.from, from) && is(way.to, to));
        let bounds = places.filter_map(|way| {
            let (owner, member) = way.place.rsplit_once('.')?;
            let is_bounded = match member.split('[').next()? {
                "to" => bound_of(document, owner) == Some(0),
                "otherwise" => branch_of(document, owner).is_some_and(|branch| branch.at_most == Some(0)),
                _ => false,
            };
            is_bounded.then(|| format!("{owner}.at_most"))
        });
        bounds.into_iter().next().unwrap_or_else(|| "edges".to_owned())
    }

    fn join(&self, target: Option<usize>, member: &str) -> String {
        let join = self.joins.iter().find(|(node, _)| node.map(NodeIx::index) == target);
        join.map_or_else(|| "joins".to_owned(), |(_, place)| format!("joins[{place}]{member}"))
    }

    fn source(&self, document: &GraphDocument, target: Option<usize>, source: &str) -> String {
        for (_, place) in self.joins.iter().filter(|(node, _)| node.map(NodeIx::index) == target) {
            let sources = document.joins[*place].sources.iter();
            if let Some(number) = sources.map(|known| known.node().0).position(|known| known == source) {
                return format!("joins[{place}].sources[{number}]");
            }
        }
        self.join(target, ".sources")
    }
}

/// The number in `name[number]`.
fn number_in(part: &str, name: &str) -> Option<usize> {
    part.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn branch_of<'a>(document: &'a GraphDocument, owner: &str) -> Option<&'a super::document::BranchDocument> {
    document.branches.get(number_in(owner, "branches")?)
}

/// The bound of the edge, route, case or map at a place.
fn bound_of(document: &GraphDocument, owner: &str) -> Option<u32> {
    if let Some((outer, inner)) = owner.split_once('.') {
        let case =
            number_in(inner, "cases").and_then(|case| branch_of(document, outer)?.cases.get(case)?.at_most);
        let node = number_in(outer, "nodes").and_then(|node| document.nodes.get(node));
        return case.or_else(|| node?.routes.get(number_in(inner, "routes")?)?.at_most);
    }
    let edge = number_in(owner, "edges").and_then(|edge| document.edges.get(edge)?.at_most);
    edge.or_else(|| document.maps.get(number_in(owner, "maps")?)?.at_most)
}

/// How to mend it in a document, where a program mends it by a call.
fn words(problem: &Problem) -> Option<String> {
    let names = |names: &[String]| super::read::listed(&names.iter().map(String::as_str).collect::<Vec<_>>());
    Some(match problem {
        Problem::NoStart => "no node is the start; name one".to_owned(),
        Problem::NoPathToEnd { node } => {
            format!("`{node}` has no path to END; add an edge onwards, or one to END")
        }
        Problem::UnboundedLoop { nodes } => {
            format!(
                "the loop through {} has no bound; give the edge that leads back an `at_most`",
                names(nodes)
            )
        }
        Problem::AmbiguousFanIn { node, sources } => format!(
            "`{node}` is reached from {} at the same time or one after the other; join them to wait for all, or set `any` to run once for each",
            names(sources)
        ),
        Problem::SkippableJoinSource { node, source_node } => format!(
            "the join at `{node}` waits for `{source_node}`, which a branch can skip; write it as an object with `optional`, or lead to all sources from one node"
        ),
        Problem::JoinTooSmall { node } => {
            format!("the join at `{node}` needs at least two different sources; use an edge for one")
        }
        _ => return None,
    })
}
