//! Nodes that leave their edges aside.

use crate::support::*;
use statewright_engine_runtime::*;

/// A node that goes where the text of the state says, and along its edges otherwise.
fn goes(g: &mut Builder, name: &str) -> NodeHandle<Log, (), Goto<Fork>> {
    g.func(name, async |ctx: Ctx<Log>| {
        Ok(match ctx.state.text.as_str() {
            "left" => Command::goto(ran(&ctx), Fork::Left),
            "right" => Command::goto(ran(&ctx), Fork::Right),
            _ => Command::edges(ran(&ctx)),
        })
    })
}

/// `goes` with an edge to `on`, a branch to `chosen`, and two places beside.
fn diverging() -> Graph<Log> {
    let mut g = builder();
    let a = goes(&mut g, "a");
    let [on, chosen, left, right] = ["on", "chosen", "left", "right"].map(|name| node(&mut g, name));
    g.start(a);
    g.edge(a, on);
    g.branch(a, |_: &Log| Fork::Left, ForkEdges { left: chosen.to(), right: To::END });
    g.may_go_to(a, ForkEdges { left: left.to(), right: right.to().and(left) });
    for last in [on, chosen, left, right] {
        g.end(last);
    }
    g.build().unwrap()
}

#[tokio::test]
async fn a_goto_takes_the_place_of_edges_and_branches() {
    for (text, trace) in [("", "a on chosen"), ("left", "a left"), ("right", "a left right")] {
        let state = diverging().run(Log::update().text(text.to_owned())).await.unwrap();
        assert_eq!(state.trace.join(" "), trace, "with `{text}`");
    }
}

#[tokio::test]
async fn a_picture_of_a_run_shows_where_it_went() {
    let store = MemoryCheckpointer::new();
    let graph = diverging();
    let plan = graph.plan();
    let runner = graph.runner().checkpointer(store.clone());
    runner.start("t", Log::update().text("left".to_owned())).await.unwrap();
    let overlay = ThreadView::read(plan, &entries(&store)).unwrap().overlay(plan, None);
    let taken: Vec<String> = (0..plan.edges.len() as u32)
        .filter(|edge| overlay.taken[*edge as usize] > 0)
        .map(|edge| plan.describe_edge(EdgeIx(edge)))
        .collect();
    assert_eq!(taken, ["START → a", "a -Left→ left", "left → END"]);
}

#[tokio::test]
async fn of_a_fan_out_those_that_stay_take_the_edges_once() {
    let mut g = builder();
    let spread = g.func("spread", async |ctx: Ctx<Log>| Ok((ran(&ctx), Spread::Parts(vec![1, 2, 3, 4]))));
    let part = g.func("part", async |ctx: Ctx<Log, u32>| {
        Ok(if ctx.input.is_multiple_of(2) {
            Command::goto(ran(&ctx), Fork::Left)
        } else {
            Command::edges(ran(&ctx))
        })
    });
    let (even, odd) = (node(&mut g, "even"), node(&mut g, "odd"));
    g.start(spread);
    g.route(spread, SpreadEdges { parts: part.to(), nothing: To::END });
    g.edge(part, odd);
    g.may_go_to(part, ForkEdges { left: even.to(), right: To::END });
    g.end(even);
    g.end(odd);
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace.join(" "), "spread part part part part even odd");
}

#[tokio::test]
async fn a_bounded_way_back_is_used_up_and_granted_again_on_resume() {
    let mut g = builder();
    let first = node(&mut g, "first");
    let back = g.func("back", async |ctx: Ctx<Log>| Ok(Command::goto(ran(&ctx), Fork::Left)));
    g.start(first);
    g.edge(first, back);
    g.end(back);
    g.may_go_to(back, ForkEdges { left: first.to().at_most(1), right: To::END });
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Exhausted(_)), "{}", report.describe());
    assert_eq!(report.state.trace.join(" "), "first back first back");
    assert!(report.describe().contains("back -Left→ first"), "{}", report.describe());
    let report = runner.resume("t").await.unwrap();
    assert_eq!(report.state.trace.join(" "), "first back first back first back");
}

#[tokio::test]
async fn a_join_goes_on_without_a_source_that_went_elsewhere() {
    let mut g = builder();
    let (first, b, last) = (node(&mut g, "first"), node(&mut g, "b"), node(&mut g, "last"));
    let a = goes(&mut g, "a");
    g.start(first);
    g.edge(first, a.to().and(b));
    g.may_go_to(a, ForkEdges { left: To::END, right: To::END });
    g.join((a.optional(), b), last);
    g.end(last);
    let graph = g.build().unwrap();
    for text in ["left", ""] {
        let state = graph.run(Log::update().text(text.to_owned())).await.unwrap();
        assert_eq!(state.trace.iter().filter(|name| *name == "last").count(), 1, "{:?}", state.trace);
    }
}

#[tokio::test]
async fn a_gate_does_not_judge_what_went_past_it() {
    let mut g = builder();
    let a = goes(&mut g, "a");
    let left = node(&mut g, "left");
    let gate =
        Gate::new(|_: &Log| Verdict { score: 0.0, critique: "never".to_owned(), blame: Some(Fork::Left) });
    g.start(a);
    let retry = ForkEdges { left: a.to(), right: a.to() };
    g.gate(a, gate.attempts(2), GateEdges { pass: To::END, retry, stop: To::END });
    g.may_go_to(a, ForkEdges { left: left.to(), right: To::END });
    g.end(left);
    let graph = g.build().unwrap();
    let state = graph.run(Log::update().text("left".to_owned())).await.unwrap();
    assert_eq!(state.trace.join(" "), "a left");
    assert_eq!(graph.run(Log::update()).await.unwrap().trace.join(" "), "a a");
}

#[tokio::test]
async fn killed_after_any_entry_it_goes_where_it_went() {
    for text in ["", "left", "right"] {
        let input = || Log::update().text(text.to_owned());
        let whole = diverging().run(input()).await.unwrap();
        let store = MemoryCheckpointer::new();
        diverging().runner().checkpointer(store.clone()).start("t", input()).await.unwrap();
        let entries = entries(&store);
        for cut in 1..entries.len() {
            let runner = diverging().runner().checkpointer(crashed_after(&entries[..cut]).await);
            assert_eq!(runner.resume("t").await.unwrap().state, whole, "`{text}` after {cut} entries");
        }
    }
}
