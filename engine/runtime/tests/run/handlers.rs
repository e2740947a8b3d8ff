//! Error handlers: a node that has failed for good leads on, in place of failing the run.

use std::time::Duration;

use crate::support::*;
use statewright_engine_core::journal::Body;
use statewright_engine_runtime::*;

/// Writes down what it was told.
fn handler(g: &mut Builder, name: &str) -> NodeHandle<Log, NodeFailure> {
    g.func(name, async |ctx: Ctx<Log, NodeFailure>| {
        let told = &ctx.input;
        let words =
            format!("{} {} {} {} x{}", told.node, told.code, told.kind.name(), told.message, told.attempts);
        Ok(ran(&ctx).trace(words))
    })
}

/// `bad → after → END`, with a handler of `bad` that leads to END.
fn handled(policy: impl Into<NodePolicy>) -> Graph<Log> {
    let mut g = builder();
    let bad = g.func("bad", async |_: Ctx<Log>| Done::Err(NodeError::transient("no luck").with_code("MY-1")));
    let after = node(&mut g, "after");
    let rescue = handler(&mut g, "rescue");
    chain(&mut g, &[bad, after]);
    g.policy(bad, policy);
    g.on_error(bad, rescue);
    g.end(rescue);
    g.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_handler_runs_and_the_other_edges_are_not_taken() {
    let graph = handled(RetryPolicy::new().attempts(3));
    let state = graph.run(Log::update()).await.unwrap();
    assert_eq!(state.trace, ["rescue", "bad MY-1 transient no luck x3"]);
}

/// The activation is gone afterwards, so its handler is told what nobody else can say.
#[tokio::test(start_paused = true)]
async fn a_handler_is_told_of_effects_whose_outcome_is_unknown() {
    let mut g = builder();
    let bad = g.func("bad", async |ctx: Ctx<Log>| {
        let charged: Result<u64, _> =
            ctx.effect("charge").run(async |_key| std::future::pending().await).await;
        Ok(ran(&ctx).total(charged.unwrap_or_default()))
    });
    let rescue = g.func("rescue", async |ctx: Ctx<Log, NodeFailure>| {
        Ok(ran(&ctx).text(ctx.input.details.last().cloned().unwrap_or_default()))
    });
    chain(&mut g, &[bad]);
    g.policy(bad, NodePolicy::new().run_timeout(Duration::from_secs(5)));
    g.on_error(bad, rescue);
    g.end(rescue);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update()).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, "the outcome of the effect `charge@1.0` is unknown");
}

#[tokio::test]
async fn killed_after_any_entry_the_handler_runs_as_if_it_had_not_been() {
    let graph = handled(NodePolicy::new());
    let store = MemoryCheckpointer::new();
    expect_finished(&graph.runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap());
    let all = entries(&store);
    let handled = |body: &Body| matches!(body, Body::Failed { handled: true, retry: None, .. });
    assert!(records(&all).iter().any(handled), "the end of the activation is recorded");
    for count in 1..all.len() {
        let runner = graph.runner().checkpointer(crashed_after(&all[..count]).await);
        let report = runner.resume("t").await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.trace, ["rescue", "bad MY-1 transient no luck x1"], "after entry {count}");
    }
}

#[tokio::test]
async fn of_a_fan_out_the_good_ones_lead_on_and_each_failed_one_runs_the_handler() {
    let mut g = builder();
    let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts((0..6).collect())));
    let work = g.func("work", async |ctx: Ctx<Log, u32>| {
        if ctx.input.is_multiple_of(3) {
            Err(NodeError::permanent(format!("part {}", ctx.input)))
        } else {
            Ok(ran(&ctx))
        }
    });
    let last = node(&mut g, "last");
    let rescue =
        g.func("rescue", async |ctx: Ctx<Log, NodeFailure>| Ok(Log::update().trace(ctx.input.message)));
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: To::END });
    g.edge(work, last);
    g.on_error(work, rescue);
    g.end(last);
    g.end(rescue);
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace, ["work", "work", "work", "work", "last", "part 0", "part 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_and_a_panic_lead_to_the_handler_too() {
    let mut g = builder();
    let slow = g.func("slow", async |_: Ctx<Log>| std::future::pending::<Done>().await);
    g.policy(slow, NodePolicy::new().run_timeout(Duration::from_secs(9)));
    let wild = g.func("wild", async |_: Ctx<Log>| -> Done { panic!("wild") });
    let rescue = handler(&mut g, "rescue");
    for bad in [slow, wild] {
        g.start(bad);
        g.end(bad);
        g.on_error(bad, rescue);
    }
    g.any(rescue);
    g.end(rescue);
    let state = g.build().unwrap().run(Log::update()).await.unwrap();
    assert_eq!(state.trace[1], "slow SW-X244 transient the node ran longer than its limit of 9 s x1");
    assert_eq!(state.trace[3], "wild SW-X241 permanent the node panicked: wild x1");
}

#[tokio::test]
async fn a_handler_may_lead_back_within_a_bound_and_fail_the_run_itself() {
    let mut g = builder();
    let bad = g.func("bad", async |_: Ctx<Log>| Done::Err(NodeError::permanent("no")));
    let rescue = g.func("rescue", async |ctx: Ctx<Log, NodeFailure>| {
        if ctx.state.round == 2 { Err(NodeError::permanent("given up")) } else { Ok(ran(&ctx).round(1u32)) }
    });
    chain(&mut g, &[bad]);
    g.on_error(bad, rescue);
    g.edge(rescue, bad.to().at_most(5));
    let graph = g.build().unwrap();
    let report =
        graph.runner().checkpointer(MemoryCheckpointer::new()).start("t", Log::update()).await.unwrap();
    let (node, told) = failure(&report, &graph);
    assert_eq!((node.as_deref(), told.message.as_str()), (Some("rescue"), "given up"));
    assert_eq!(report.state.trace, ["rescue", "rescue"]);
}

#[test]
fn a_loop_through_a_handler_needs_a_bound() {
    let mut g = builder();
    let bad = node(&mut g, "bad");
    let rescue = handler(&mut g, "rescue");
    chain(&mut g, &[bad]);
    g.on_error(bad, rescue);
    g.edge(rescue, bad);
    assert_eq!(g.build().unwrap_err().code(), "SW-G108");
}

#[test]
fn a_source_of_a_join_cannot_have_a_handler() {
    let mut g = builder();
    let nodes = ["first", "left", "right", "both"].map(|name| node(&mut g, name));
    let [first, left, right, both] = nodes;
    let rescue = handler(&mut g, "rescue");
    g.start(first);
    g.edge(first, left);
    g.edge(first, right);
    g.join((left, right), both);
    g.end(both);
    g.on_error(left, rescue);
    g.end(rescue);
    assert_eq!(g.build().unwrap_err().code(), "SW-G111");
}

#[test]
fn mistakes_with_handlers_are_found_at_build() {
    let mut g = builder();
    let bad = node(&mut g, "bad");
    let (first, second) = (handler(&mut g, "first"), handler(&mut g, "second"));
    chain(&mut g, &[bad]);
    g.on_error(bad, first);
    g.on_error(bad, second);
    g.end(first);
    g.end(second);
    let codes: Vec<&str> = g.build().unwrap_err().iter().map(Problem::code).collect();
    assert_eq!(codes, ["SW-G121", "SW-G104"], "the first one is replaced, so nothing leads to it");

    let mut g = builder();
    let bad = node(&mut g, "bad");
    let rescue = handler(&mut g, "rescue");
    g.start(bad);
    g.on_error(bad, rescue);
    g.end(rescue);
    assert_eq!(
        g.build().unwrap_err().code(),
        "SW-G105",
        "a node that only leads on by failing is a dead end"
    );

    let mut other = builder();
    let foreign = handler(&mut other, "foreign");
    let mut g = builder();
    let bad = node(&mut g, "bad");
    chain(&mut g, &[bad]);
    g.on_error(bad, foreign);
    assert_eq!(g.build().unwrap_err().code(), "SW-G113");
}

#[test]
fn the_way_to_a_handler_is_drawn_dashed() {
    let graph = handled(NodePolicy::new());
    assert!(graph.render(Format::Mermaid, None).contains("n0 -.->|\"on error\"| n2"));
    assert!(graph.render(Format::Dot, None).contains("n0 -> n2 [label=\"on error\", style=dashed];"));
    assert!(graph.render(Format::Terminal, None).contains("on error ╌╌▶ rescue"));
}
