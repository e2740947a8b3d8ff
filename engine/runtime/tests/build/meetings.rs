//! Where paths meet: alternatives may, parallel ones must say whether the node waits for all or runs for each.

use crate::support::*;
use statewright_engine_runtime::*;

#[test]
fn a_diamond_without_a_join() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.edge(b, d);
    g.edge(c, d);
    g.end(d);
    assert_eq!(
        problems(g),
        [
            "SW-G110 `d` is reached from `b` and `c` at the same time or one after the other; call `g.join((…), d)` to wait for all, or `g.any(d)` to run once for each"
        ]
    );
}

#[test]
fn plain_paths_of_unequal_length() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.edge(b, c);
    g.end(c);
    assert_eq!(
        problems(g),
        [
            "SW-G110 `c` is reached from `a` and `b` at the same time or one after the other; call `g.join((…), c)` to wait for all, or `g.any(c)` to run once for each"
        ]
    );
}

#[test]
fn two_starts_that_meet() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.start(b);
    g.edge(a, c);
    g.edge(b, c);
    g.end(c);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G110 `c` is reached from `a` and `b`"), "{found:#?}");
}

#[test]
fn a_start_that_another_start_leads_to() {
    let mut g = builder();
    let a = node(&mut g, "a");
    let b = node(&mut g, "b");
    g.start(a);
    g.start(b);
    g.edge(a, b);
    g.end(b);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G110 `b` is reached from `START` and `a`"), "{found:#?}");
}

#[test]
fn a_direct_edge_and_a_branch_to_one_node() {
    let mut g = builder();
    let [a, b] = ["a", "b"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.branch(a, |_| Fork::Left, ForkEdges { left: b.to(), right: To::END });
    g.end(b);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G110 `b` is reached from `a`"), "{found:#?}");
}

#[test]
fn two_targets_of_one_variant_that_meet() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let [b, c, d] = ["b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.route(a, ForkEdges { left: b.to().and(c), right: To::END });
    g.edge(b, d);
    g.edge(c, d);
    g.end(d);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G110 `d` is reached from `b` and `c`"), "{found:#?}");
}

#[test]
fn the_same_edge_twice() {
    let mut g = builder();
    let [a, b] = ["a", "b"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, b);
    g.end(b);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G110 `b`"), "{found:#?}");
}

#[test]
fn a_join_target_with_a_plain_edge_of_its_own() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.edge(a, d);
    g.end(d);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G110 `d`"), "{found:#?}");
}

#[test]
fn a_join_over_exclusive_branches() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let [b, c, d] = ["b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.route(a, ForkEdges { left: b.to(), right: c.to() });
    g.join((b, c), d);
    g.end(d);
    let words = |source: &str| {
        format!(
            "SW-G111 the join at `d` waits for `{source}`, which a branch can skip; declare it `{source}.optional()` to go on without it, or lead to all sources from one node"
        )
    };
    assert_eq!(problems(g), [words("b"), words("c")]);
}

#[test]
fn a_join_over_exclusive_branches_that_are_optional() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let [b, c, d] = ["b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.route(a, ForkEdges { left: b.to(), right: c.to() });
    g.join((b.optional(), c.optional()), d);
    g.end(d);
    assert!(g.build().is_ok());
}

#[test]
fn an_optional_source_does_not_excuse_a_required_one() {
    let mut g = builder();
    let a = fork(&mut g, "a", 0);
    let [b, c, d] = ["b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.route(a, ForkEdges { left: b.to(), right: c.to() });
    g.join((b, c.optional()), d);
    g.end(d);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G111 the join at `d` waits for `b`"), "{found:#?}");
}

#[test]
fn a_quorum_of_none_or_of_too_many() {
    for needed in [0, 3] {
        let mut g = builder();
        let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
        g.start(a.to().and(b));
        g.quorum(needed, (a, b), c);
        g.end(c);
        let words = format!(
            "SW-G116 the join at `c` waits for {needed} of 2 sources; ask for at least one and at most all"
        );
        assert_eq!(problems(g), [words]);
    }
}

#[test]
fn a_gate_that_cannot_work_and_one_that_keeps_a_list() {
    let mut g = builder();
    let a = node(&mut g, "a");
    g.start(a);
    let gate = Gate::new(|_| Verdict { score: 0.0, critique: String::new(), blame: Some(Fork::Left) });
    g.gate(
        a,
        gate.attempts(0).keep(["text", "trace", "txt"]),
        GateEdges { pass: To::END, retry: ForkEdges { left: a.to(), right: a.to() }, stop: To::END },
    );
    assert_eq!(
        problems(g),
        [
            "SW-G118 the gate after `a` needs a finite score to pass, at least one attempt and a plateau of at least one round",
            "SW-G119 the gate after `a` keeps `trace`, which is no field that is replaced; keep fields that hold one value",
            "SW-G119 the gate after `a` keeps `txt`, which is no field that is replaced; did you mean `text`?"
        ]
    );
}

#[test]
fn a_join_that_is_deferred_too() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a.to().and(b));
    g.join((a, b), c);
    g.deferred(c);
    g.end(c);
    assert_eq!(
        problems(g),
        [
            "SW-G117 `c` is the target of a join and deferred; keep the join to wait for certain nodes, or the deferral to wait for all that leads here"
        ]
    );
}

#[test]
fn a_join_over_one_source_that_a_branch_can_skip() {
    let mut g = builder();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.branch(a, |_| Fork::Left, ForkEdges { left: c.to(), right: To::END });
    g.join((b, c), d);
    g.end(d);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G111 the join at `d` waits for `c`"), "{found:#?}");
}

#[test]
fn a_join_over_a_source_far_behind_a_branch() {
    let mut g = builder();
    let [a, b, far, c, d] = ["a", "b", "far", "c", "d"].map(|name| node(&mut g, name));
    let choice = fork(&mut g, "choice", 0);
    g.start(a);
    g.edge(a, choice);
    g.route(choice, ForkEdges { left: b.to(), right: To::END });
    g.edge(b, far);
    g.edge(a, c);
    g.join((far, c), d);
    g.end(d);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G111 the join at `d` waits for `far`"), "{found:#?}");
}

#[test]
fn a_join_over_a_fan_out_that_may_be_empty() {
    let mut g = builder();
    let plan = spread(&mut g, "plan");
    let search = part(&mut g, "search");
    let [a, b, d] = ["a", "b", "d"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, plan);
    g.edge(a, b);
    g.route(plan, SpreadEdges { parts: search.to(), nothing: To::END });
    g.join((search, b), d);
    g.end(d);
    let found = problems(g);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("SW-G111 the join at `d` waits for `search`"), "{found:#?}");
}

#[test]
fn joins_of_fewer_than_two_sources() {
    let words = "SW-G112 the join at `d` needs at least two different sources; use `g.edge(…)` for one";
    for case in 0..3 {
        let mut g = builder();
        let [a, d] = ["a", "d"].map(|name| node(&mut g, name));
        g.start(a);
        match case {
            0 => g.join([a], d),
            1 => g.join((a, a), d),
            _ => {
                g.join(Vec::<Handle>::new(), d);
                g.edge(a, d);
            }
        }
        g.end(d);
        let found = problems(g);
        assert!(found.contains(&words.to_owned()), "case {case}: {found:#?}");
    }
}

#[test]
fn a_join_that_waits_for_itself() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.join((b, c), c);
    g.end(c);
    assert!(!problems(g).is_empty());
}

#[test]
fn two_joins_that_wait_for_each_other() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    g.start(a);
    g.join((a, c), b);
    g.join((a, b), c);
    g.end(b);
    g.end(c);
    assert!(!problems(g).is_empty());
}
