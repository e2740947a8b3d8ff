//! Large and dense graphs: the checks look at nodes and edges, never at every path, of which there are exponentially
//! many. A check that does never comes back from these, so no clock is needed to see it.

use crate::support::*;
use statewright_engine_runtime::*;

#[test]
fn a_chain_of_ten_thousand_nodes_builds_and_renders() {
    let mut g = builder();
    let handles: Vec<Handle> = (0..10_000).map(|i| node(&mut g, &format!("n{i}"))).collect();
    g.start(handles[0]);
    for pair in handles.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    g.end(handles[9_999]);
    let graph = g.build().unwrap();
    for format in [Format::Terminal, Format::Mermaid, Format::Dot] {
        let text = graph.render(format, None);
        assert!(text.contains("n0") && text.contains("n9999"));
        assert!(text.len() < 10_000 * 200, "{} bytes", text.len());
    }
}

#[test]
fn ten_thousand_parallel_nodes_joined() {
    let mut g = builder();
    let first = node(&mut g, "first");
    let last = node(&mut g, "last");
    g.start(first);
    let handles: Vec<Handle> = (0..10_000).map(|i| node(&mut g, &format!("n{i}"))).collect();
    for handle in &handles {
        g.edge(first, *handle);
    }
    g.join(handles, last);
    g.end(last);
    g.build().unwrap();
}

#[test]
fn a_thousand_diamonds_in_sequence() {
    let mut g = builder();
    let mut end = node(&mut g, "first");
    g.start(end);
    for i in 0..1_000 {
        let left = node(&mut g, &format!("left{i}"));
        let right = node(&mut g, &format!("right{i}"));
        let meet = node(&mut g, &format!("meet{i}"));
        g.edge(end, left);
        g.edge(end, right);
        g.join((left, right), meet);
        end = meet;
    }
    g.end(end);
    g.build().unwrap();
}

#[test]
fn a_thousand_exclusive_choices_in_sequence() {
    let mut g = builder();
    let first = fork(&mut g, "choice0", 0);
    g.start(first);
    let mut end = first;
    for i in 1..=1_000 {
        let left = node(&mut g, &format!("left{i}"));
        let next = fork(&mut g, &format!("choice{i}"), 0);
        g.route(end, ForkEdges { left: left.to(), right: next.to() });
        g.edge(left, next);
        end = next;
    }
    g.route(end, ForkEdges { left: To::END, right: To::END });
    g.build().unwrap();
}

#[test]
fn a_hundred_nested_loops() {
    let mut g = builder();
    let ups: Vec<Handle> = (0..100).map(|i| node(&mut g, &format!("up{i}"))).collect();
    let downs: Vec<_> = (0..100).map(|i| fork(&mut g, &format!("down{i}"), 0)).collect();
    g.start(ups[0]);
    for pair in ups.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    g.edge(ups[99], downs[99]);
    for i in (0..100).rev() {
        let onwards = if i == 0 { To::END } else { downs[i - 1].to() };
        g.route(downs[i], ForkEdges { left: ups[i].to().at_most(2), right: onwards });
    }
    g.build().unwrap();
}

/// Thirty nodes, each with a branch to each other one: more simple cycles than anything could list.
fn complete(bound: Option<u32>) -> Builder {
    let mut g = builder();
    let handles: Vec<Handle> = (0..30).map(|i| node(&mut g, &format!("n{i}"))).collect();
    g.start(handles[0]);
    for from in &handles {
        let mut others = handles.iter().filter(|to| to.to().into_wires() != from.to().into_wires());
        let first = others.next().unwrap().to();
        let all = others.fold(first, |to, next| to.and(next.to()));
        let all = if let Some(times) = bound { all.at_most(times) } else { all };
        g.branch(*from, |_| Fork::Right, ForkEdges { left: all, right: To::END });
    }
    for handle in handles {
        g.any(handle);
    }
    g
}

#[test]
fn a_complete_graph_with_bounds() {
    complete(Some(2)).build().unwrap();
}

#[test]
fn a_complete_graph_without_bounds_is_refused_in_few_words() {
    let found = problems(complete(None));
    assert!(!found.is_empty() && found.len() < 1_000, "{} problems", found.len());
    assert!(found.iter().all(|problem| problem.starts_with("SW-G108")), "{found:#?}");
}

#[test]
fn a_loop_of_ten_thousand_nodes_is_told_without_ten_thousand_names() {
    let mut g = builder();
    let handles: Vec<Handle> = (0..10_000).map(|i| node(&mut g, &format!("n{i}"))).collect();
    g.start(handles[0]);
    for pair in handles.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    g.branch(handles[9_999], |_| Fork::Right, ForkEdges { left: handles[0].to(), right: To::END });
    let found = problems(g);
    assert_eq!(found.len(), 1);
    assert!(found[0].len() < 2_000, "the message has {} bytes", found[0].len());
}
