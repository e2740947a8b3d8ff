//! Where a run goes: branches see the merged state, every wired edge can be taken, payloads arrive as they were sent.

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[tokio::test]
async fn a_branch_sees_the_state_with_the_nodes_own_writes() {
    let mut g = builder();
    let count = g.func("count", async |ctx: Ctx<Log>| Ok(ran(&ctx).total(1u64)));
    let after = node(&mut g, "after");
    g.start(count);
    let decide = |state: &Log| if state.total == 1 { Fork::Right } else { Fork::Left };
    g.branch(count, decide, ForkEdges { left: To::END, right: after.to() });
    g.end(after);
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace, ["count", "after"]);
}

#[tokio::test]
async fn a_branch_sees_the_writes_of_the_whole_superstep() {
    let mut g = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&mut g, name));
    let [x, y] = ["x", "y"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    // `b` is declared before `c`, and its branch still sees what `c` wrote.
    let decide = |state: &Log| if state.trace.len() == 3 { Fork::Right } else { Fork::Left };
    g.branch(b, decide, ForkEdges { left: x.to(), right: y.to() });
    g.end(c);
    g.end(x);
    g.end(y);
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace, ["a", "b", "c", "y"]);
}

/// A graph with an edge of every kind; the input decides which ways are taken.
fn every_kind() -> Graph<Log> {
    let mut g = builder();
    let first = g.func("first", async |ctx: Ctx<Log>| {
        let left = ctx.state.most & 1 == 0;
        Ok((ran(&ctx), if left { Fork::Left } else { Fork::Right }))
    });
    let plan = g.func("plan", async |ctx: Ctx<Log>| {
        let some = ctx.state.most & 2 == 0;
        Ok((ran(&ctx), if some { Spread::Parts(vec![7, 8]) } else { Spread::Nothing }))
    });
    let work = g.func("work", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx).total(u64::from(ctx.input))));
    let [left, right, both, last] = ["left", "right", "both", "last"].map(|name| node(&mut g, name));
    g.start(first);
    g.route(first, ForkEdges { left: plan.to(), right: last.to() });
    g.route(plan, SpreadEdges { parts: work.to(), nothing: last.to() });
    g.edge(work, last);
    let again = |state: &Log| if state.round == 0 && state.most & 4 != 0 { Fork::Left } else { Fork::Right };
    let split = g.func("split", async |ctx: Ctx<Log>| Ok(ran(&ctx).round(1u32)));
    g.branch(last, again, ForkEdges { left: split.to().at_most(1), right: To::END });
    g.edge(split, left);
    g.edge(split, right);
    g.join((left, right), both);
    g.edge(both, first);
    g.build().unwrap()
}

#[tokio::test]
async fn every_edge_of_a_graph_is_taken_by_some_run() {
    let graph = every_kind();
    let mut taken = vec![0; graph.plan().edges.len()];
    for input in 0..8u32 {
        let runner = graph.runner();
        let mut run = runner.start("t", Log::update().most(input));
        let mut events = run.events();
        expect_finished(&within(run).await.unwrap());
        while let Some(event) = events.next().await {
            if let RunEvent::EdgeTaken(edge) = event {
                taken[edge.index()] += 1;
            }
        }
    }
    let never: Vec<String> = (0..taken.len())
        .filter(|edge| taken[*edge] == 0)
        .map(|edge| graph.plan().describe_edge(EdgeIx(edge as u32)))
        .collect();
    assert!(never.is_empty(), "never taken: {never:#?}");
}

#[tokio::test]
async fn the_ways_through_it_are_those_of_the_picture() {
    let expected = [
        (0, "first plan work work last"),
        (1, "first last"),
        (2, "first plan last"),
        (5, "first last split left right both first last"),
        (6, "first plan last split left right both first plan last"),
    ];
    for (input, path) in expected {
        let state = every_kind().run(Log::update().most(input as u32)).await.unwrap();
        assert_eq!(state.trace.join(" "), path);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Tuple(u8, String),
    Struct { inner: Option<u8>, list: Vec<Shape> },
}

#[derive(Route)]
enum Send {
    One(Shape),
    #[each]
    Many(Vec<Shape>),
}

/// One of each shape.
fn shapes() -> Vec<Shape> {
    let deep = Shape::Struct { inner: Some(4), list: vec![Shape::Unit, Shape::Tuple(1, "ü".into())] };
    vec![Shape::Unit, Shape::Tuple(7, String::new()), deep]
}

#[tokio::test]
async fn payloads_arrive_as_they_were_sent_live_and_after_a_crash() {
    let build = || {
        let mut g = builder();
        let one = g.func("one", async |ctx: Ctx<Log>| Ok((ran(&ctx), Send::One(shapes().remove(2)))));
        let many = g.func("many", async |ctx: Ctx<Log, Shape>| {
            assert_eq!(ctx.input, shapes()[2]);
            Ok((Log::update().trace("many".to_owned()), Send::Many(shapes())))
        });
        let work =
            g.func("work", async |ctx: Ctx<Log, Shape>| Ok(ran(&ctx).trace(format!("{:?}", ctx.input))));
        g.start(one);
        g.route(one, SendEdges { one: many.to(), many: work.to() });
        g.route(many, SendEdges { one: work.to(), many: work.to() });
        g.end(work);
        g.build().unwrap()
    };
    let store = MemoryCheckpointer::new();
    let whole = build().runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap();
    expect_finished(&whole);
    let all = entries(&store);
    for cut in 1..all.len() {
        let runner = build().runner().checkpointer(crashed_after(&all[..cut]).await);
        match runner.resume("t").await {
            Ok(report) => assert_eq!(report.state, whole.state, "cut after {cut}"),
            Err(error) => assert_eq!(error.code(), "SW-X202", "cut after {cut}: {error}"),
        }
    }
}
