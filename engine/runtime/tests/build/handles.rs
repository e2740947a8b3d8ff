//! Handles of another builder: they have the same type as one's own, so only `build()` can tell. Wherever such a
//! handle is used, the graph is refused and nothing is wired to whatever node happens to have the same number.

use crate::support::*;
use statewright_engine_runtime::*;

const WORDS: &str =
    "is wired with a handle of another graph; declare the node on this builder and use its handle";

/// A handle whose number exists on every builder of these tests.
fn foreign() -> Handle {
    node(&mut builder(), "foreign")
}

/// Wires `a → b` on a sound graph, lets `spoil` use the foreign handle, and expects that to be all that is wrong.
fn check(spoil: impl FnOnce(&mut Builder, Handle, Handle)) {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = node(&mut g, "b");
    g.start(a);
    g.edge(a, b);
    g.end(b);
    spoil(&mut g, b, foreign());
    let found = problems(g);
    assert!(!found.is_empty() && found.iter().all(|problem| problem.starts_with("SW-G113 `")), "{found:#?}");
    assert!(found.iter().all(|problem| problem.ends_with(WORDS)), "{found:#?}");
}

#[test]
fn as_a_source() {
    check(|g, b, foreign| g.edge(foreign, b));
}

#[test]
fn as_a_target() {
    check(|g, b, foreign| g.edge(b, foreign));
}

#[test]
fn as_a_start() {
    check(|g, _, foreign| g.start(foreign));
}

#[test]
fn as_an_end() {
    check(|g, _, foreign| g.end(foreign));
}

#[test]
fn as_a_join_source() {
    check(|g, b, foreign| {
        let both = node(g, "both");
        g.join((b, foreign), both);
        g.end(both);
    });
}

#[test]
fn as_a_join_target() {
    check(|g, b, foreign| {
        let c = node(g, "c");
        g.start(c);
        g.join((b, c), foreign);
        g.end(c);
    });
}

#[test]
fn as_a_routing_node() {
    let foreign = fork(&mut builder(), "foreign", 0);
    check(|g, _, _| g.route(foreign, ForkEdges { left: To::END, right: To::END }));
}

#[test]
fn as_the_target_of_a_route() {
    check(|g, b, foreign| {
        let choice = fork(g, "choice", 0);
        g.edge(b, choice);
        g.route(choice, ForkEdges { left: foreign.to(), right: To::END });
    });
}

#[test]
fn as_one_of_several_targets_of_a_route() {
    check(|g, b, foreign| {
        let choice = fork(g, "choice", 0);
        let own = node(g, "own");
        g.edge(b, choice);
        g.route(choice, ForkEdges { left: own.to().and(foreign), right: To::END });
        g.end(own);
    });
}

#[test]
fn as_the_node_before_a_branch() {
    check(|g, _, foreign| g.branch(foreign, |_| Fork::Left, ForkEdges { left: To::END, right: To::END }));
}

#[test]
fn as_the_target_of_a_branch() {
    check(|g, b, foreign| {
        g.branch(b, |_| Fork::Left, ForkEdges { left: foreign.to(), right: To::END });
    });
}

#[test]
fn in_a_declaration_of_any() {
    check(|g, _, foreign| g.any(foreign));
}

#[test]
fn in_a_declaration_of_writes() {
    check(|g, _, foreign| g.writes(foreign, ["text"]));
}

#[test]
fn with_a_number_that_this_builder_does_not_have() {
    let mut other = builder();
    let far = (0..50).map(|i| node(&mut other, &format!("n{i}"))).last().unwrap();
    check(|g, b, _| {
        g.edge(b, far);
        g.edge(far, b);
        g.any(far);
    });
}

#[test]
fn names_the_place_and_not_the_node_of_the_same_number() {
    let mut g = builder();
    let a = node(&mut g, "a");
    g.start(a);
    g.end(a);
    g.edge(a, foreign());
    assert_eq!(problems(g), [format!("SW-G113 `a` {WORDS}")]);
}
