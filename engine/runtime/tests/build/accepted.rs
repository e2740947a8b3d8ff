//! Sane graphs that must not be refused, and that run each node as often as the picture says.

use crate::support::*;
use statewright_engine_runtime::*;

#[tokio::test]
async fn a_diamond_with_a_join() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.end(d);
    assert_eq!(run(g).await, "a b c d");
}

#[tokio::test]
async fn a_diamond_with_any_runs_once_for_the_superstep_in_which_both_arrive() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.edge(b, d);
    g.edge(c, d);
    g.any(d);
    g.end(d);
    assert_eq!(run(g).await, "a b c d");
}

#[tokio::test]
async fn any_over_paths_of_unequal_length_runs_for_each() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.edge(b, c);
    g.any(c);
    g.end(c);
    assert_eq!(run(g).await, "a b c c");
}

#[tokio::test]
async fn a_join_over_paths_of_unequal_length_runs_once() {
    let mut g = builder();
    let [a, b, long, c, d] = ["a", "b", "long", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(b, long);
    g.edge(a, c);
    g.join((long, c), d);
    g.end(d);
    assert_eq!(run(g).await, "a b c long d");
}

#[tokio::test]
async fn a_join_over_a_node_and_its_successor() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.join((a, b), c);
    g.end(c);
    assert_eq!(run(g).await, "a b c");
}

#[tokio::test]
async fn diamonds_in_sequence() {
    let mut g = builder();
    let names = ["a", "b", "c", "d", "e", "f", "h"];
    let [a, b, c, d, e, f, h] = names.map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.edge(d, e);
    g.edge(d, f);
    g.join([e, f], h);
    g.end(h);
    assert_eq!(run(g).await, "a b c d e f h");
}

#[tokio::test]
async fn diamonds_beside_each_other() {
    let mut g = builder();
    let names = ["a", "b", "c", "b1", "b2", "c1", "c2", "b3", "c3", "d"];
    let [a, b, c, b1, b2, c1, c2, b3, c3, d] = names.map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.edge(b, b1);
    g.edge(b, b2);
    g.edge(c, c1);
    g.edge(c, c2);
    g.join((b1, b2), b3);
    g.join((c1, c2), c3);
    g.join(vec![b3, c3], d);
    g.end(d);
    assert_eq!(run(g).await, "a b c b1 b2 c1 c2 b3 c3 d");
}

#[tokio::test]
async fn two_starts_joined() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(b);
    g.start(a);
    g.join((b, a), c);
    g.end(c);
    // In the order of declaration, not of the calls.
    assert_eq!(run(g).await, "a b c");
}

#[tokio::test]
async fn exclusive_branches_of_unequal_length_meet() {
    for (lefts, path) in [(9, "a x y z"), (0, "a z")] {
        let mut g = builder();
        let a = fork(&mut g, "a", lefts);
        let [x, y, z] = ["x", "y", "z"].map(|name| node(&mut g, name));
        g.start(a);
        g.route(a, ForkEdges { left: x.to(), right: z.to() });
        g.edge(x, y);
        g.edge(y, z);
        g.end(z);
        assert_eq!(run(g).await, path);
    }
}

#[tokio::test]
async fn both_variants_lead_to_one_node() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let b = node(&mut g, "b");
    g.start(a);
    g.route(a, ForkEdges { left: b.to(), right: b.to() });
    g.end(b);
    assert_eq!(run(g).await, "a b");
}

#[tokio::test]
async fn a_node_with_a_branch_and_a_direct_edge() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.branch(a, |_| Fork::Left, ForkEdges { left: c.to(), right: To::END });
    g.end(b);
    g.end(c);
    assert_eq!(run(g).await, "a b c");
}

#[tokio::test]
async fn a_node_with_a_route_and_a_branch() {
    let mut g = builder();
    let a = fork(&mut g, "a", 9);
    let [b, c] = ["b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.route(a, ForkEdges { left: b.to(), right: To::END });
    g.branch(a, |_| Fork::Right, ForkEdges { left: To::END, right: c.to() });
    g.end(b);
    g.end(c);
    assert_eq!(run(g).await, "a b c");
}

#[tokio::test]
async fn a_variant_that_leads_to_two_nodes_that_are_joined() {
    for (lefts, path) in [(9, "a b c d e"), (0, "a e")] {
        let mut g = builder();
        let a = fork(&mut g, "a", lefts);
        let [b, c, d, e] = ["b", "c", "d", "e"].map(|name| node(&mut g, name));
        g.start(a);
        g.route(a, ForkEdges { left: b.to().and(c), right: e.to() });
        g.join((b, c), d);
        g.edge(d, e);
        g.end(e);
        assert_eq!(run(g).await, path);
    }
}

#[tokio::test]
async fn a_join_source_behind_branches_that_meet_again() {
    for (lefts, path) in [(9, "a b c x z d"), (0, "a b c y z d")] {
        let mut g = builder();
        let a = node(&mut g, "a");
        let b = fork(&mut g, "b", lefts);
        let [c, x, y, z, d] = ["c", "x", "y", "z", "d"].map(|name| node(&mut g, name));
        g.start(a);
        g.edge(a, b);
        g.edge(a, c);
        g.route(b, ForkEdges { left: x.to(), right: y.to() });
        g.edge(x, z);
        g.edge(y, z);
        g.join((z, c), d);
        g.end(d);
        assert_eq!(run(g).await, path);
    }
}

#[tokio::test]
async fn a_bounded_loop_in_one_of_two_joined_paths() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    let work = fork(&mut g, "work", 5);
    g.start(a);
    g.edge(a, work);
    g.edge(a, c);
    g.route(work, ForkEdges { left: work.to().at_most(9), right: b.to() });
    g.join((b, c), d);
    g.end(d);
    assert_eq!(run(g).await, "a c work work work work b d");
}

#[tokio::test]
async fn a_node_may_go_on_and_end_at_once() {
    let mut g = builder();
    let [a, b] = ["a", "b"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.end(a);
    g.end(b);
    assert_eq!(run(g).await, "a b");
}

#[tokio::test]
async fn a_fan_out_to_two_nodes_at_once() {
    let mut g = builder();
    let plan = spread(&mut g, "plan");
    let [p, q] = ["p", "q"].map(|name| part(&mut g, name));
    g.start(plan);
    g.route(plan, SpreadEdges { parts: p.to().and(q), nothing: To::END });
    g.end(p);
    g.end(q);
    assert_eq!(run(g).await, "plan p p p q q q");
}

#[test]
fn declared_writes_of_alternatives_and_of_successors_do_not_meet() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let [b, c, d] = ["b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.route(a, ForkEdges { left: b.to(), right: c.to() });
    g.edge(b, d);
    g.edge(c, d);
    g.end(d);
    for handle in [b, c, d] {
        g.writes(handle, ["text", "visits", "trace"]);
    }
    g.writes(a, ["text"]);
    g.build().unwrap();
}

#[test]
fn every_accepted_graph_can_be_drawn() {
    let mut g = builder();
    let plan = spread(&mut g, "plan \"it\" <b>");
    let search = part(&mut g, "search|1");
    let merge = node(&mut g, "merge; end");
    g.start(plan);
    g.route(plan, SpreadEdges { parts: search.to(), nothing: merge.to() });
    g.edge(search, merge);
    g.branch(merge, |_| Fork::Right, ForkEdges { left: plan.to().at_most(1), right: To::END });
    let graph = g.build().unwrap();
    for format in [Format::Terminal, Format::Mermaid, Format::Dot] {
        let text = graph.render(format, None);
        assert!(text.contains("search") && text.contains("Parts") && text.contains("Left"), "{text}");
    }
}
