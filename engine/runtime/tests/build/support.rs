//! A state, two routes and three kinds of nodes: enough to draw every shape. Nodes write down that they ran.

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Plain {
    #[reduce(append)]
    pub(crate) trace: Vec<String>,
    pub(crate) text: String,
    #[reduce(sum)]
    pub(crate) visits: u32,
}

/// Two ways out without payloads.
#[derive(Route)]
pub(crate) enum Fork {
    Left,
    Right,
}

/// A way out that fans out, and one that does not.
#[derive(Route)]
pub(crate) enum Spread {
    #[each]
    Parts(Vec<u32>),
    Nothing,
}

pub(crate) type Builder = StateGraph<Plain>;
pub(crate) type Handle = NodeHandle<Plain>;

pub(crate) fn builder() -> Builder {
    StateGraph::new("test")
}

fn trace(ctx: &Ctx<Plain, impl Sized>) -> PlainUpdate {
    Plain::update().trace(ctx.node().to_owned()).visits(1u32)
}

/// A node with plain edges.
pub(crate) fn node(g: &mut Builder, name: &str) -> Handle {
    g.func(name, async |ctx: Ctx<Plain>| Ok(trace(&ctx)))
}

/// A node that chooses left the first `lefts` times that any node ran, and right afterwards.
pub(crate) fn fork(g: &mut Builder, name: &str, lefts: u32) -> NodeHandle<Plain, (), Fork> {
    g.func(name, move |ctx: Ctx<Plain>| async move {
        let route = if ctx.state.visits < lefts { Fork::Left } else { Fork::Right };
        Ok((trace(&ctx), route))
    })
}

/// A node that fans out three parts.
pub(crate) fn spread(g: &mut Builder, name: &str) -> NodeHandle<Plain, (), Spread> {
    g.func(name, async |ctx: Ctx<Plain>| {
        let route = if ctx.state.text.is_empty() { Spread::Parts(vec![1, 2, 3]) } else { Spread::Nothing };
        Ok((trace(&ctx), route))
    })
}

/// A node that takes a part.
pub(crate) fn part(g: &mut Builder, name: &str) -> NodeHandle<Plain, u32> {
    g.func(name, async |ctx: Ctx<Plain, u32>| Ok(trace(&ctx)))
}

/// What is wrong with the graph, one line for each problem, with its code.
pub(crate) fn problems(g: Builder) -> Vec<String> {
    g.build().unwrap_err().iter().map(|problem| format!("{} {problem}", problem.code())).collect()
}

/// Runs a graph that must be accepted, and gives the names of its nodes in the order in which they ran.
pub(crate) async fn run(g: Builder) -> String {
    let graph = g.build().unwrap();
    let report = graph.runner().start("t", Plain::update()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished, "{}", report.describe());
    report.state.trace.join(" ")
}
