//! Loops: each needs a bound on some edge, and a way out.

use crate::support::*;
use statewright_engine_runtime::*;

#[test]
fn a_loop_to_itself_by_a_route() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    g.start(a);
    g.route(a, ForkEdges { left: a.to(), right: To::END });
    assert_eq!(
        problems(g),
        [
            "SW-G108 the loop `a` → `a` has no bound; bound the edge that leads back, as in `a.to().at_most(5)`"
        ]
    );
}

#[test]
fn a_loop_to_itself_by_a_branch() {
    let mut g = builder();
    let a = node(&mut g, "a");
    g.start(a);
    g.branch(a, |_| Fork::Right, ForkEdges { left: a.to(), right: To::END });
    assert_eq!(
        problems(g),
        [
            "SW-G108 the loop `a` → `a` has no bound; bound the edge that leads back, as in `a.to().at_most(5)`"
        ]
    );
}

#[test]
fn a_loop_through_a_branch_over_three_nodes() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(b, c);
    g.branch(c, |_| Fork::Right, ForkEdges { left: a.to(), right: To::END });
    assert_eq!(
        problems(g),
        [
            "SW-G108 the loop `a` → `b` → `c` → `a` has no bound; bound the edge that leads back, as in `a.to().at_most(5)`"
        ]
    );
}

#[test]
fn a_loop_entered_in_its_middle_names_the_edge_that_leads_back() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    // Declared first, entered last: the edge that leads back is the one into `c`, where the run enters the loop.
    g.start(c);
    g.edge(c, a);
    g.edge(a, b);
    g.branch(b, |_| Fork::Right, ForkEdges { left: c.to(), right: To::END });
    assert_eq!(
        problems(g),
        [
            "SW-G108 the loop `c` → `a` → `b` → `c` has no bound; bound the edge that leads back, as in `c.to().at_most(5)`"
        ]
    );
}

#[test]
fn a_loop_of_plain_edges_without_a_way_out() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = node(&mut g, "b");
    g.start(a);
    g.edge(a, b);
    g.edge(b, a);
    let found = problems(g);
    assert!(
        found.iter().any(|problem| problem.starts_with("SW-G108 the loop `a` → `b` → `a`")),
        "{found:#?}"
    );
    assert!(found.iter().any(|problem| problem.starts_with("SW-G105")), "{found:#?}");
}

#[test]
fn a_bounded_loop_without_a_way_out_can_only_be_exhausted() {
    let mut g = builder();
    let a = node(&mut g, "a");
    g.start(a);
    g.edge(a, a.to().at_most(3));
    let found = problems(g);
    assert!(found.iter().any(|problem| problem.starts_with("SW-G105 `a` has no path to END")), "{found:#?}");
}

#[test]
fn one_of_two_ways_back_is_bounded() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = fork(&mut g, "b", 0);
    let c = fork(&mut g, "c", 0);
    g.start(a);
    g.edge(a, b);
    g.route(b, ForkEdges { left: a.to().at_most(2), right: c.to() });
    g.route(c, ForkEdges { left: a.to(), right: To::END });
    assert_eq!(
        problems(g),
        [
            "SW-G108 the loop `a` → `b` → `c` → `a` has no bound; bound the edge that leads back, as in `a.to().at_most(5)`"
        ]
    );
}

#[test]
fn one_of_two_parallel_edges_is_bounded() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    g.start(a);
    g.route(a, ForkEdges { left: a.to().at_most(3), right: To::END });
    g.branch(a, |_| Fork::Right, ForkEdges { left: a.to(), right: To::END });
    let found = problems(g);
    assert!(found.iter().any(|problem| problem.starts_with("SW-G108")), "{found:#?}");
}

#[test]
fn an_inner_loop_without_a_bound_inside_a_bounded_one() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let inner = fork(&mut g, "inner", 0);
    let outer = fork(&mut g, "outer", 0);
    g.start(a);
    g.edge(a, inner);
    g.route(inner, ForkEdges { left: inner.to(), right: outer.to() });
    g.route(outer, ForkEdges { left: a.to().at_most(2), right: To::END });
    assert_eq!(
        problems(g),
        [
            "SW-G108 the loop `inner` → `inner` has no bound; bound the edge that leads back, as in `inner.to().at_most(5)`"
        ]
    );
}

#[test]
fn a_loop_through_a_join_without_a_bound() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.branch(d, |_| Fork::Right, ForkEdges { left: a.to(), right: To::END });
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G108"), "{found:#?}");
}

#[test]
fn a_loop_on_an_island_is_still_an_island() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.end(a);
    g.edge(b, c);
    g.edge(c, b);
    let found = problems(g);
    for name in ["b", "c"] {
        let words =
            format!("SW-G104 `{name}` cannot be reached from the start; add an edge to it or remove it");
        assert!(found.contains(&words), "{found:#?}");
    }
}

#[tokio::test]
async fn a_loop_bounded_on_any_of_its_edges_is_accepted() {
    for bounded in 0..3 {
        let mut g = builder();
        let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
        let bound = |index: usize, to: To<Plain>| if index == bounded { to.at_most(9) } else { to };
        g.start(a);
        g.edge(a, bound(0, b.to()));
        g.edge(b, bound(1, c.to()));
        let again = |state: &Plain| if state.visits < 4 { Fork::Left } else { Fork::Right };
        g.branch(c, again, ForkEdges { left: bound(2, a.to()), right: To::END });
        assert_eq!(run(g).await, "a b c a b c");
    }
}

#[tokio::test]
async fn nested_loops() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let inner = node(&mut g, "inner");
    let outer = node(&mut g, "outer");
    g.start(a);
    g.edge(a, inner);
    let again = |state: &Plain| if state.visits.is_multiple_of(3) { Fork::Right } else { Fork::Left };
    g.branch(inner, again, ForkEdges { left: inner.to().at_most(10), right: outer.to() });
    let again = |state: &Plain| if state.visits < 5 { Fork::Left } else { Fork::Right };
    g.branch(outer, again, ForkEdges { left: a.to().at_most(2), right: To::END });
    // The inner loop's bound is for the run, not for each round of the outer one.
    assert_eq!(run(g).await, "a inner inner outer a inner outer");
}

#[tokio::test]
async fn a_bound_around_a_join() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    let again = |state: &Plain| if state.visits < 12 { Fork::Left } else { Fork::Right };
    g.branch(d, again, ForkEdges { left: a.to().at_most(2), right: To::END });
    assert_eq!(run(g).await, "a b c d a b c d a b c d");
}

#[tokio::test]
async fn a_loop_of_fan_out_merge_and_review() {
    let mut g = builder();
    let plan = spread(&mut g, "plan");
    let search = part(&mut g, "search");
    let merge = node(&mut g, "merge");
    g.start(plan);
    g.route(plan, SpreadEdges { parts: search.to(), nothing: merge.to() });
    g.edge(search, merge);
    let again = |state: &Plain| if state.visits < 10 { Fork::Left } else { Fork::Right };
    g.branch(merge, again, ForkEdges { left: plan.to().at_most(1), right: To::END });
    assert_eq!(run(g).await, "plan search search search merge plan search search search merge");
}
