//! Nodes that may leave their edges aside: what is refused and how it is drawn.

use crate::support::*;
use statewright_engine_runtime::*;

fn goes(g: &mut Builder, name: &str) -> NodeHandle<Plain, (), Goto<Fork>> {
    g.func(name, async |_: Ctx<Plain>| Ok(Command::goto(Plain::update(), Fork::Left)))
}

#[test]
fn a_goto_that_is_not_declared_is_refused() {
    let mut g = builder();
    let a = goes(&mut g, "a");
    g.start(a);
    g.end(a);
    assert_eq!(
        problems(g),
        [
            "SW-G106 `a` returns a route with the variants `Left` and `Right`, but none is wired; call `g.route(a, …)`"
        ]
    );
}

#[test]
fn a_goto_without_edges_beside_it_is_refused() {
    let mut g = builder();
    let a = goes(&mut g, "a");
    g.start(a);
    g.may_go_to(a, ForkEdges { left: To::END, right: To::END });
    assert_eq!(
        problems(g),
        [
            "SW-G122 `a` may go elsewhere but has no edges; give it the edge that it takes otherwise, or let it return the route itself"
        ]
    );
}

#[test]
fn a_way_back_by_goto_needs_a_bound() {
    let looped = |bound: Option<u32>| {
        let mut g = builder();
        let first = node(&mut g, "first");
        let a = goes(&mut g, "a");
        g.start(first);
        g.edge(first, a);
        g.end(a);
        let back = bound.map_or(first.to(), |times| first.to().at_most(times));
        g.may_go_to(a, ForkEdges { left: back, right: To::END });
        g
    };
    assert!(problems(looped(None))[0].starts_with("SW-G108"), "{:?}", problems(looped(None)));
    assert!(looped(Some(2)).build().is_ok());
}

#[test]
fn a_node_that_only_a_goto_leads_to_is_reachable_and_two_gotos_of_one_node_are_alternatives() {
    let mut g = builder();
    let a = goes(&mut g, "a");
    let (b, c, last) = (node(&mut g, "b"), node(&mut g, "c"), node(&mut g, "last"));
    g.start(a);
    g.edge(a, last);
    g.may_go_to(a, ForkEdges { left: b.to(), right: c.to() });
    g.edge(b, last);
    g.edge(c, last);
    g.end(last);
    assert!(g.build().is_ok(), "only one of the three ways to `last` is taken");
}

#[test]
fn a_join_over_a_node_that_may_go_past_it_has_to_say_so() {
    let joined = |optional: bool| {
        let mut g = builder();
        let (first, b, last) = (node(&mut g, "first"), node(&mut g, "b"), node(&mut g, "last"));
        let a = goes(&mut g, "a");
        g.start(first);
        g.edge(first, a.to().and(b));
        g.may_go_to(a, ForkEdges { left: To::END, right: To::END });
        if optional {
            g.join((a.optional(), b), last);
        } else {
            g.join((a, b), last);
        }
        g.end(last);
        g
    };
    assert!(problems(joined(false))[0].starts_with("SW-G111"), "{:?}", problems(joined(false)));
    assert!(joined(true).build().is_ok());
}

#[test]
fn it_is_drawn_and_part_of_the_fingerprint() {
    let graph = |goto: bool| {
        let mut g = builder();
        let b = node(&mut g, "b");
        if goto {
            let a = goes(&mut g, "a");
            g.start(a);
            g.edge(a, b);
            g.may_go_to(a, ForkEdges { left: To::END, right: b.to() });
        } else {
            let a = fork(&mut g, "a", 1);
            g.start(a);
            g.route(a, ForkEdges { left: To::END, right: b.to() });
        }
        g.end(b);
        g.build().unwrap()
    };
    let (with, without) = (graph(true), graph(false));
    assert_ne!(with.plan().fingerprint, without.plan().fingerprint);
    let drawn = with.render(Format::Terminal, None);
    assert!(drawn.contains("goto Left ──▶ END") && drawn.contains("goto Right ──▶ b"), "{drawn}");
    assert!(with.render(Format::Mermaid, None).contains("-->|\"goto Left\"| END"));
}
