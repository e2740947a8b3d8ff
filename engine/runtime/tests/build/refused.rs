//! Every problem that `build()` knows, with the exact words that a user reads.

use crate::support::*;
use statewright_engine_runtime::*;

#[test]
fn a_graph_without_a_start() {
    assert_eq!(problems(builder()), ["SW-G101 no node is the start; call `g.start(node)`"]);
}

#[test]
fn a_graph_without_a_start_does_not_call_every_node_unreachable() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = node(&mut g, "b");
    g.edge(a, b);
    g.end(b);
    assert_eq!(problems(g), ["SW-G101 no node is the start; call `g.start(node)`"]);
}

#[test]
fn two_nodes_of_one_name() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = node(&mut g, "a");
    g.start(a);
    g.edge(a, b);
    g.end(b);
    assert_eq!(
        problems(g),
        ["SW-G102 two nodes are named `a`; stored runs find their node by name, so rename one of them"]
    );
}

#[test]
fn three_nodes_of_one_name_are_one_problem() {
    let mut g = builder();
    let first = node(&mut g, "a");
    let second = node(&mut g, "a");
    let third = node(&mut g, "a");
    g.start(first);
    g.edge(first, second);
    g.edge(second, third);
    g.end(third);
    assert_eq!(
        problems(g),
        ["SW-G102 two nodes are named `a`; stored runs find their node by name, so rename one of them"]
    );
}

#[test]
fn names_that_the_engine_uses_itself() {
    for name in ["START", "END", "start", "End", ""] {
        let mut g = builder();
        let a = node(&mut g, name);
        g.start(a);
        g.end(a);
        assert_eq!(
            problems(g),
            [format!(
                "SW-G103 `{name}` cannot be the name of a node; use another word than START and END, and at least one character"
            )]
        );
    }
}

#[test]
fn an_island() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let lonely = node(&mut g, "lonely");
    g.start(a);
    g.end(a);
    g.end(lonely);
    assert_eq!(
        problems(g),
        ["SW-G104 `lonely` cannot be reached from the start; add an edge to it or remove it"]
    );
}

#[test]
fn an_island_that_leads_into_the_graph() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = node(&mut g, "b");
    let lonely = node(&mut g, "lonely");
    g.start(a);
    g.edge(a, b);
    g.edge(lonely, b);
    g.end(b);
    assert_eq!(
        problems(g),
        ["SW-G104 `lonely` cannot be reached from the start; add an edge to it or remove it"]
    );
}

#[test]
fn a_dead_end() {
    let mut g = builder();
    let a = node(&mut g, "a");
    g.start(a);
    assert_eq!(problems(g), ["SW-G105 `a` has no path to END; add an edge onwards, or `g.end(a)`"]);
}

#[test]
fn a_dead_end_at_the_end_of_a_chain_is_named_where_the_edge_is_missing() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = node(&mut g, "b");
    let c = node(&mut g, "c");
    g.start(a);
    g.edge(a, b);
    g.edge(b, c);
    assert_eq!(problems(g), ["SW-G105 `c` has no path to END; add an edge onwards, or `g.end(c)`"]);
}

#[test]
fn a_dead_end_behind_one_variant() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let dead = node(&mut g, "dead");
    g.start(a);
    g.route(a, ForkEdges { left: dead.to(), right: To::END });
    assert_eq!(problems(g), ["SW-G105 `dead` has no path to END; add an edge onwards, or `g.end(dead)`"]);
}

#[test]
fn a_route_that_is_not_wired() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    g.start(a);
    assert_eq!(
        problems(g),
        [
            "SW-G106 `a` returns a route with the variants `Left` and `Right`, but none is wired; call `g.route(a, …)`"
        ]
    );
}

#[test]
fn a_route_that_is_wired_twice() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    g.start(a);
    g.route(a, ForkEdges { left: To::END, right: To::END });
    g.route(a, ForkEdges { left: To::END, right: To::END });
    assert_eq!(problems(g), ["SW-G107 the route of `a` is wired twice; keep one `g.route(a, …)`"]);
}

#[test]
fn a_bound_of_zero() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let b = node(&mut g, "b");
    g.start(a);
    g.route(a, ForkEdges { left: b.to().at_most(0), right: To::END });
    g.end(b);
    assert_eq!(
        problems(g),
        [
            "SW-G109 an edge from `a` to `b` has the bound 0 and could never be taken; remove it or raise the bound"
        ]
    );
}

#[test]
fn declared_writes_that_meet() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.end(d);
    g.writes(b, ["text", "trace"]);
    g.writes(c, ["text", "trace"]);
    assert_eq!(
        problems(g),
        [
            "SW-G114 `b` and `c` run in the same superstep and both declare to write `text`; give the field a reducer, or put one node after the other"
        ]
    );
}

#[test]
fn declared_writes_of_two_starts_that_meet() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.start(b);
    g.join((a, b), c);
    g.end(c);
    g.writes(a, ["text"]);
    g.writes(b, ["text"]);
    assert_eq!(problems(g).len(), 1);
}

#[test]
fn declared_writes_to_fields_that_do_not_exist() {
    let mut g = builder();
    let a = node(&mut g, "a");
    g.start(a);
    g.end(a);
    g.writes(a, ["txt", "completely_different", ""]);
    assert_eq!(
        problems(g),
        [
            "SW-G115 `a` declares to write `txt`, which the state does not have; did you mean `text`?",
            "SW-G115 `a` declares to write `completely_different`, which the state does not have; name one of its fields",
            "SW-G115 `a` declares to write ``, which the state does not have; name one of its fields",
        ]
    );
}

#[test]
fn all_problems_at_once() {
    let mut g = StateGraph::<Plain>::new("broken");
    let a = fork(&mut g, "a", 0);
    let twin = node(&mut g, "twin");
    let other = node(&mut g, "twin");
    let lonely = node(&mut g, "lonely");
    let dead = node(&mut g, "dead");
    g.start(a);
    g.route(a, ForkEdges { left: twin.to(), right: dead.to() });
    g.edge(twin, other);
    g.end(other);
    g.end(lonely);
    g.writes(twin, ["txet"]);
    let error = g.build().unwrap_err();
    assert_eq!(error.graph(), "broken");
    assert_eq!(
        error.to_string(),
        "the graph `broken` has 4 problems\n  \
         SW-G102 two nodes are named `twin`; stored runs find their node by name, so rename one of them\n  \
         SW-G115 `twin` declares to write `txet`, which the state does not have; did you mean `text`?\n  \
         SW-G104 `lonely` cannot be reached from the start; add an edge to it or remove it\n  \
         SW-G105 `dead` has no path to END; add an edge onwards, or `g.end(dead)`"
    );
}

#[test]
fn one_problem_is_counted_in_the_singular() {
    let error = builder().build().unwrap_err();
    assert_eq!(error.code(), "SW-G101");
    assert_eq!(
        error.to_string(),
        "the graph `test` has 1 problem\n  SW-G101 no node is the start; call `g.start(node)`"
    );
}
