//! Versions of a graph: nodes and edges that come, go, move and change their names while a thread stands somewhere.

use statewright_engine_runtime::*;

use crate::support::*;

#[derive(State, Clone, Debug, Default, PartialEq)]
struct Log {
    #[reduce(append)]
    trace: Vec<String>,
    #[reduce(sum)]
    rounds: u64,
    score: f64,
}

type Builder = StateGraph<Log>;
type Handle = NodeHandle<Log>;

fn builder() -> Builder {
    StateGraph::new("flow")
}

fn ran<I>(ctx: &Ctx<Log, I>) -> LogUpdate {
    Log::update().trace(ctx.node().to_owned())
}

fn node(g: &mut Builder, name: &str) -> Handle {
    g.func(name, async |ctx: Ctx<Log>| Ok(ran(&ctx)))
}

/// A node that waits for a person.
fn asking(g: &mut Builder, name: &str) -> Handle {
    g.func(name, async |ctx: Ctx<Log>| {
        ctx.ask::<bool, _>("go on", "go on?").await;
        Ok(ran(&ctx))
    })
}

fn chain(g: &mut Builder, nodes: &[Handle]) {
    g.start(nodes[0]);
    for pair in nodes.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    g.end(nodes[nodes.len() - 1]);
}

/// `write → check → send`, of which `check` asks.
fn first() -> Graph<Log> {
    let mut g = builder();
    let (write, check, send) = (node(&mut g, "write"), asking(&mut g, "check"), node(&mut g, "send"));
    chain(&mut g, &[write, check, send]);
    g.build().unwrap()
}

/// Runs a build until it asks, and gives the store.
async fn waiting(graph: &Graph<Log>, snapshots: u64) -> MemoryCheckpointer {
    let store = MemoryCheckpointer::new();
    let report = runner(graph, &store, snapshots).start("t", Log::update().trace("in")).await.unwrap();
    paused(&report);
    store
}

/// Answers the first open question.
async fn answer(runner: &Runner<Log>) -> Result<RunReport<Log>, RunError> {
    let open = runner.load("t").await?.interrupts;
    runner.answer("t", open[0].id.clone(), &true).await
}

/// What another build says about a thread that waits in this one, after making sure that nothing is written.
async fn refused(first: &Graph<Log>, second: &Graph<Log>) -> String {
    let store = waiting(first, u64::MAX).await;
    let before = entries(&store);
    let second = runner(second, &store, u64::MAX);
    for error in [answer(&second).await.unwrap_err(), second.resume("t").await.unwrap_err()] {
        assert_eq!(error.code(), "SW-X263", "{error}");
        assert!(error.to_string().contains("drain it once with the build that wrote it"), "{error}");
    }
    assert_eq!(entries(&store), before, "a refusal writes nothing");
    let words = second.load("t").await.unwrap_err().to_string();
    // The build that wrote it goes on; then nothing is in the way of the other one.
    answer(&runner(first, &store, u64::MAX)).await.unwrap().finished().unwrap();
    assert_eq!(second.load("t").await.unwrap().status, Status::Stopped(Outcome::Finished));
    words
}

#[tokio::test]
async fn a_node_renamed_while_a_thread_waits_in_front_of_it() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(&first(), snapshots).await;
        let mut g = builder();
        // Everything has another number, too.
        let (send, review) = (node(&mut g, "send"), asking(&mut g, "review"));
        let (lint, write) = (node(&mut g, "lint"), node(&mut g, "write"));
        chain(&mut g, &[write, lint, review, send]);
        g.renamed("check", review);
        let second = runner(&g.build().unwrap(), &store, snapshots);
        let found = second.load("t").await.unwrap();
        assert_eq!(second.graph().plan().node_name(found.interrupts[0].node), "review");
        let report = answer(&second).await.unwrap();
        assert_eq!(report.finished().unwrap().trace, ["in", "write", "review", "send"]);

        let view = ThreadView::read(second.graph().plan(), &entries(&store)).unwrap();
        let steps: Vec<_> =
            view.steps.iter().map(|step| (&*step.name, second.graph().plan().node_name(step.node))).collect();
        let expected = [("write", "write"), ("check", "review"), ("review", "review"), ("send", "send")];
        assert_eq!(steps, expected);
        view.overlay(second.graph().plan(), None);
        let history = second.history("t").await.unwrap();
        let next: Vec<_> = history
            .iter()
            .map(|at| at.next.first().map(|node| second.graph().plan().node_name(*node)))
            .collect();
        assert_eq!(next, [Some("write"), Some("review"), Some("send"), None]);
        for end in 1..=entries(&store).len() as u64 {
            second.state_at("t", end).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_graph_that_lost_the_node_a_run_waits_at() {
    let mut g = builder();
    let (write, send) = (node(&mut g, "write"), node(&mut g, "send"));
    chain(&mut g, &[write, send]);
    let error = refused(&first(), &g.build().unwrap()).await;
    assert!(error.contains("the node `check`, at which the run stands, is gone"), "{error}");
    assert!(error.contains("g.renamed(\"check\", …)"), "{error}");
}

#[tokio::test]
async fn a_node_that_a_run_has_behind_it_may_go() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(&first(), snapshots).await;
        let mut g = builder();
        let (check, publish) = (asking(&mut g, "check"), node(&mut g, "publish"));
        chain(&mut g, &[check, publish]);
        let second = runner(&g.build().unwrap(), &store, snapshots);
        let report = answer(&second).await.unwrap();
        assert_eq!(report.finished().unwrap().trace, ["in", "write", "check", "publish"]);
        let history = second.history("t").await.unwrap();
        assert_eq!(history[0].next, [NodeIx::GONE]);
        let view = ThreadView::read(second.graph().plan(), &entries(&store)).unwrap();
        assert_eq!((&*view.steps[0].name, view.steps[0].node), ("write", NodeIx::GONE));
        view.overlay(second.graph().plan(), None);
    }
}

/// `split → (quick, slow) → both`, of which `slow` asks. `early` comes before everything, so that numbers differ.
fn joined(names: [&str; 2], early: bool) -> Graph<Log> {
    let mut g = builder();
    if early {
        let early = node(&mut g, "early");
        g.start(early);
        g.end(early);
    }
    let split = node(&mut g, "split");
    let (quick, slow) = (node(&mut g, names[0]), asking(&mut g, "slow"));
    // Two supersteps long, so that the token of `quick` waits at the join.
    let way = node(&mut g, "way");
    let both = node(&mut g, names[1]);
    g.start(split);
    g.edge(split, quick);
    g.edge(split, way);
    g.edge(way, slow);
    g.join((quick, slow), both);
    g.end(both);
    if names[1] == "all" {
        g.renamed("both", both);
    }
    g.build().unwrap()
}

#[tokio::test]
async fn tokens_at_a_join_move_with_it() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(&joined(["quick", "both"], false), snapshots).await;
        let second = runner(&joined(["quick", "all"], true), &store, snapshots);
        let report = answer(&second).await.unwrap();
        assert_eq!(report.finished().unwrap().trace, ["in", "split", "quick", "way", "slow", "all"]);
    }
}

#[tokio::test]
async fn a_join_with_waiting_tokens_that_changed_is_refused() {
    let mut g = builder();
    let split = node(&mut g, "split");
    let (quick, slow, way) = (node(&mut g, "quick"), asking(&mut g, "slow"), node(&mut g, "way"));
    let (third, both) = (node(&mut g, "third"), node(&mut g, "both"));
    g.start(split);
    for next in [quick, way, third] {
        g.edge(split, next);
    }
    g.edge(way, slow);
    g.join((quick, slow, third), both);
    g.end(both);
    let error = refused(&joined(["quick", "both"], false), &g.build().unwrap()).await;
    assert!(
        error.contains("something waits at the join before `both`, and that join has changed"),
        "{error}"
    );
}

#[derive(Route)]
enum Way {
    Left,
    Right,
}

/// The same, in another order.
#[derive(Route)]
#[expect(dead_code, reason = "what it chose was recorded by the other one")]
enum Turned {
    Right,
    Middle,
    Left,
}

/// Without the one that was taken.
#[derive(Route)]
#[expect(dead_code, reason = "what it chose was recorded by the other one")]
enum Fewer {
    Left,
    Middle,
}

/// `split → (choose, slow)`: `choose` has returned its route while `slow` asks.
fn routed<R: Route>(
    choice: impl Fn() -> R + Clone + Send + Sync + 'static,
    wire: impl FnOnce(To<Log>, To<Log>) -> R::Edges<Log>,
) -> Graph<Log>
where
    (LogUpdate, R): statewright_engine_runtime::IntoCommand<Log, Route = R>,
{
    let mut g = builder();
    let split = node(&mut g, "split");
    let choose = g.func("choose", move |ctx: Ctx<Log>| {
        let route = choice();
        async move { Ok((ran(&ctx), route)) }
    });
    let slow = asking(&mut g, "slow");
    let (left, right) = (node(&mut g, "left"), node(&mut g, "right"));
    g.start(split);
    g.edge(split, choose);
    g.edge(split, slow);
    g.route(choose, wire(left.to(), right.to()));
    g.end(slow);
    g.end(left);
    g.end(right);
    g.build().unwrap()
}

#[tokio::test]
async fn route_variants_may_be_reordered_while_one_is_taken() {
    for snapshots in RARELY_AND_OFTEN {
        let first = routed(|| Way::Right, |left, right| WayEdges { left, right });
        let store = waiting(&first, snapshots).await;
        let turned = |left: To<Log>, right: To<Log>| TurnedEdges { right, middle: left.clone(), left };
        let second = runner(&routed(|| Turned::Middle, turned), &store, snapshots);
        let report = answer(&second).await.unwrap();
        assert_eq!(report.finished().unwrap().trace, ["in", "split", "choose", "slow", "right"]);
        assert_eq!(second.load("t").await.unwrap().state.trace.len(), 5);

        // Killed behind any entry, it comes to the same end, and the end is written by one record each.
        let all = entries(&store);
        for end in 1..all.len() {
            let crashed = holding(&all[..end]).await;
            let again = Runner::new(second.graph().clone()).checkpointer(crashed.clone());
            let found = again.load("t").await.unwrap();
            let report = match found.interrupts.first() {
                Some(open) => again.answer("t", open.id.clone(), &true).await,
                None => again.resume("t").await,
            };
            let report = report.unwrap();
            let report = match &report.outcome {
                Outcome::Paused(open) => again.answer("t", open[0].id.clone(), &true).await.unwrap(),
                _ => report,
            };
            let trace = report.finished().unwrap().trace.clone();
            assert_eq!(trace[..2], ["in", "split"], "behind entry {end}");
            assert_eq!(trace.len(), 5, "behind entry {end}: {trace:?}");
        }
    }
}

#[tokio::test]
async fn a_variant_that_was_taken_and_is_gone_is_refused() {
    let first = routed(|| Way::Right, |left, right| WayEdges { left, right });
    let second = routed(|| Fewer::Middle, |left, right| FewerEdges { left, middle: right });
    let error = refused(&first, &second).await;
    assert!(error.contains("`choose` has finished and chose `Right`"), "{error}");
}

/// A loop of `work` with a bound, `before` moves the numbers of its edges.
fn looped(before: bool, most: u32) -> Graph<Log> {
    let mut g = builder();
    let early = before.then(|| node(&mut g, "early"));
    let work = g.func("work", async |ctx: Ctx<Log>| Ok(ran(&ctx).rounds(1u64)));
    match early {
        Some(early) => {
            g.start(early);
            g.edge(early, work);
        }
        None => g.start(work),
    }
    let again = |state: &Log| if state.rounds < 100 { Way::Left } else { Way::Right };
    g.branch(work, again, WayEdges { left: work.to().at_most(most), right: To::END });
    g.any(work);
    g.build().unwrap()
}

#[tokio::test]
async fn counts_of_bounded_edges_move_with_them() {
    for snapshots in RARELY_AND_OFTEN {
        let store = MemoryCheckpointer::new();
        let report = runner(&looped(false, 2), &store, snapshots).start("t", Log::update()).await.unwrap();
        assert!(matches!(report.outcome, Outcome::Exhausted(_)), "{}", report.describe());
        assert_eq!(report.state.rounds, 3);
        let second = runner(&looped(true, 2), &store, snapshots);
        let Status::Stopped(Outcome::Exhausted(edge)) = second.load("t").await.unwrap().status else {
            panic!()
        };
        assert_eq!(second.graph().plan().describe_edge(edge), "work -Left→ work");
        let report = second.resume("t").await.unwrap();
        assert_eq!(report.state.rounds, 5, "a resume grants the bound anew: {}", report.describe());

        let mut g = builder();
        let work = node(&mut g, "work");
        chain(&mut g, &[work]);
        let error = runner(&g.build().unwrap(), &store, snapshots).resume("t").await.unwrap_err();
        assert_eq!(error.code(), "SW-X263", "{error}");
        assert!(error.to_string().contains("the bound of the edge work → work is used up"), "{error}");
    }
}

/// `write`, judged by its score, with a question in front of the second round.
fn gated(early: bool) -> Graph<Log> {
    let mut g = builder();
    if early {
        let early = node(&mut g, "early");
        g.start(early);
        g.end(early);
    }
    let write = g.func("write", async |ctx: Ctx<Log>| {
        if ctx.critique().is_some() {
            ctx.ask::<bool, _>("go on", "go on?").await;
        }
        let score = if ctx.critique().is_some() { 0.2 } else { 0.4 };
        Ok(ran(&ctx).rounds(1u64).score(score))
    });
    g.start(write);
    let judge =
        |state: &Log| Verdict { score: state.score, critique: "more".to_owned(), blame: Some(Way::Left) };
    let gate = Gate::new(judge).pass_at(0.9).attempts(2).keep(["score"]);
    let retry = WayEdges { left: write.to(), right: write.to() };
    g.gate(write, gate, GateEdges { pass: To::END, stop: To::END, retry });
    g.build().unwrap()
}

#[tokio::test]
async fn a_gate_between_two_rounds_keeps_its_rounds_and_its_best() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(&gated(false), snapshots).await;
        let report = answer(&runner(&gated(true), &store, snapshots)).await.unwrap();
        let state = report.finished().unwrap();
        assert_eq!(
            (state.rounds, state.score),
            (2, 0.4),
            "the second round was the last, the first the best"
        );
    }
    let mut g = builder();
    let write = node(&mut g, "write");
    chain(&mut g, &[write]);
    let error = refused(&gated(false), &g.build().unwrap()).await;
    assert!(
        error.contains("between two rounds of the gate after `write`, and that gate has changed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_former_name_belongs_to_one_node() {
    let mut g = builder();
    let (one, two) = (node(&mut g, "one"), node(&mut g, "two"));
    chain(&mut g, &[one, two]);
    g.renamed("one", two);
    let problems = g.build().unwrap_err();
    assert_eq!(problems.code(), "SW-G102", "{problems}");
}

#[tokio::test]
async fn an_old_build_takes_a_thread_back_where_it_knows_the_way() {
    let store = waiting(&first(), u64::MAX).await;
    let mut g = builder();
    let (lint, write) = (node(&mut g, "lint"), node(&mut g, "write"));
    let (check, send) = (asking(&mut g, "check"), node(&mut g, "send"));
    chain(&mut g, &[write, lint, check, send]);
    let second = runner(&g.build().unwrap(), &store, u64::MAX);
    let report = second.resume("t").await.unwrap();
    paused(&report);
    let written = entries(&store);
    assert_eq!(written.last().unwrap().kind, EntryKind::Snapshot);
    let report = answer(&runner(&first(), &store, u64::MAX)).await.unwrap();
    assert_eq!(report.finished().unwrap().trace, ["in", "write", "check", "send"]);
}

#[derive(Route)]
enum Numbers {
    #[each]
    Part(Vec<u32>),
}

#[derive(Route)]
enum Words {
    #[each]
    Part(Vec<String>),
}

/// A fan-out of which each part asks.
macro_rules! fan_out {
    ($route:ident, $edges:ident, $item:ty, $parts:expr) => {{
        let mut g = builder();
        let split = g.func("split", async |ctx: Ctx<Log>| Ok((ran(&ctx), $route::Part($parts))));
        let part = g.func("part", async |ctx: Ctx<Log, $item>| {
            ctx.ask::<bool, _>("go on", "go on?").await;
            Ok(Log::update().trace(ctx.input.to_string()))
        });
        g.start(split);
        g.route(split, $edges { part: part.to() });
        g.end(part);
        g.build().unwrap()
    }};
}

#[tokio::test]
async fn a_check_says_what_a_resume_would_and_reads_the_inputs_of_open_nodes() {
    let numbers = fan_out!(Numbers, NumbersEdges, u32, vec![7, 8]);
    let store = waiting(&numbers, u64::MAX).await;
    let before = entries(&store);
    let found = runner(&numbers, &store, u64::MAX).check("t").await.unwrap();
    assert_eq!((found.compatibility, found.in_flight), (Compatibility::Safe, true));

    let words = fan_out!(Words, WordsEdges, String, vec!["a".to_owned()]);
    let found = runner(&words, &store, u64::MAX).check("t").await.unwrap();
    let Compatibility::Blocked { code, reason } = found.compatibility else { panic!("{found:?}") };
    assert_eq!(code, "SW-X233");
    assert!(
        reason.contains("the input of `part` cannot be read") && reason.contains("drain it once"),
        "{reason}"
    );

    let found = runner(&first(), &store, u64::MAX).check("t").await.unwrap();
    assert!(
        matches!(&found.compatibility, Compatibility::Blocked { code, .. } if code == "SW-X263"),
        "{found:?}"
    );
    assert_eq!(entries(&store), before, "a check writes nothing");

    let store = waiting(&first(), u64::MAX).await;
    let mut g = builder();
    let check = asking(&mut g, "check");
    chain(&mut g, &[check]);
    let second = runner(&g.build().unwrap(), &store, u64::MAX);
    let found = second.check("t").await.unwrap();
    let differences = "the node `write` is gone, the node `send` is gone".to_owned();
    assert_eq!(found.compatibility, Compatibility::Migratable { differences });
    answer(&second).await.unwrap();
    let found = second.check("t").await.unwrap();
    assert_eq!((found.compatibility, found.in_flight), (Compatibility::Safe, false));
    let nobody = second.check("nobody").await.unwrap();
    assert_eq!((nobody.run, nobody.in_flight), (None, false));
}

#[tokio::test]
async fn a_failure_on_its_way_to_a_handler_needs_one() {
    let graph = |handled: bool| {
        let mut g = builder();
        let split = node(&mut g, "split");
        let fails = g
            .func("fails", async |_: Ctx<Log>| Err::<LogUpdate, _>(NodeError::permanent("the line is dead")));
        let slow = asking(&mut g, "slow");
        g.start(split);
        g.edge(split, fails);
        g.edge(split, slow);
        g.end(fails);
        g.end(slow);
        if handled {
            let mends = g.func("mends", async |ctx: Ctx<Log, NodeFailure>| Ok(ran(&ctx)));
            g.on_error(fails, mends);
            g.end(mends);
        }
        g.build().unwrap()
    };
    let error = refused(&graph(true), &graph(false)).await;
    assert!(error.contains("`fails` has failed, and its error handler is gone"), "{error}");
}
