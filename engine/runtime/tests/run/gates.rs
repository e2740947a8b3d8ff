//! Gates: who is to blame, how often, until when, and that the best round wins.

use crate::support::*;
use statewright_engine_runtime::*;

#[derive(Route)]
enum Blame {
    Search,
    Write,
}

/// `search → write`, with a gate that sees the scores one after the other. `blame` says whom a score blames.
fn graph(
    scores: &'static [f64],
    blame: fn(f64) -> Option<Blame>,
    rule: fn(Gate<Log, Blame>) -> Gate<Log, Blame>,
) -> Graph<Log> {
    let mut g = builder();
    let search = node(&mut g, "search");
    let write = g.func("write", async |ctx: Ctx<Log>| {
        let why = ctx.critique().map_or("first".to_owned(), |critique| {
            format!("{} after round {} with {}", critique.text, critique.rounds, critique.score)
        });
        let round = ctx.state.round + 1;
        Ok(ran(&ctx).round(1u32).text(format!("draft {round}")).last(why))
    });
    let accepted = node(&mut g, "accepted");
    let stopped = node(&mut g, "stopped");
    let gate = Gate::new(move |log: &Log| {
        let score = scores[log.round as usize - 1];
        Verdict { score, critique: format!("mend {score}"), blame: blame(score) }
    });
    g.start(search);
    g.edge(search, write);
    g.any(write);
    g.gate(
        write,
        rule(gate.pass_at(0.7).keep(["text"])),
        GateEdges {
            pass: accepted.to(),
            retry: BlameEdges { search: search.to(), write: write.to() },
            stop: stopped.to(),
        },
    );
    g.end(accepted);
    g.end(stopped);
    g.build().unwrap()
}

fn blame_writer(_: f64) -> Option<Blame> {
    Some(Blame::Write)
}

/// The trace and the text, from an undisturbed run and from one killed after every entry.
async fn outcome(graph: &Graph<Log>) -> (Vec<String>, String) {
    let store = MemoryCheckpointer::new();
    let report = graph.runner().checkpointer(store.clone()).start("t", Log::update()).await.unwrap();
    expect_finished(&report);
    let all = entries(&store);
    for length in 1..all.len() {
        let resumed = graph.runner().checkpointer(crashed_after(&all[..length]).await).resume("t").await;
        if let Ok(resumed) = resumed {
            assert_eq!(resumed.state, report.state, "killed after entry {length}");
        }
    }
    (report.state.trace.clone(), report.state.text.clone())
}

#[tokio::test]
async fn what_is_good_enough_passes_at_once() {
    let (trace, text) = outcome(&graph(&[0.7], blame_writer, |gate| gate)).await;
    assert_eq!((trace.join(" ").as_str(), text.as_str()), ("search write accepted", "draft 1"));
}

#[tokio::test]
async fn the_node_to_blame_runs_again_and_is_told_why() {
    let graph = graph(&[0.2, 0.9], blame_writer, |gate| gate.attempts(3));
    let report = graph.runner().start("t", Log::update()).await.unwrap();
    assert_eq!(report.state.trace.join(" "), "search write write accepted");
    assert_eq!(report.state.last, "mend 0.2 after round 1 with 0.2");
}

#[tokio::test]
async fn blame_leads_to_the_node_that_it_names() {
    let by_score = |score| Some(if score < 0.5 { Blame::Search } else { Blame::Write });
    let (trace, _) = outcome(&graph(&[0.2, 0.6, 0.8], by_score, |gate| gate.attempts(3))).await;
    assert_eq!(trace.join(" "), "search write search write write accepted");
}

#[tokio::test]
async fn the_best_round_wins_and_not_the_last() {
    let (trace, text) = outcome(&graph(&[0.3, 0.6, 0.5], blame_writer, |gate| gate.attempts(3))).await;
    assert_eq!((trace.join(" ").as_str(), text.as_str()), ("search write write write stopped", "draft 2"));
}

#[tokio::test]
async fn of_equal_rounds_the_first_is_the_best() {
    let (_, text) = outcome(&graph(&[0.5, 0.5], blame_writer, |gate| gate)).await;
    assert_eq!(text, "draft 1");
}

#[tokio::test]
async fn a_plateau_ends_it() {
    let scores = &[0.3, 0.4, 0.4, 0.35, 0.9];
    let (trace, text) = outcome(&graph(scores, blame_writer, |gate| gate.attempts(9).plateau(2))).await;
    assert_eq!((trace.len(), text.as_str()), (6, "draft 2"), "{trace:?}");
}

#[tokio::test]
async fn a_rule_of_the_graph_ends_it() {
    let rule = |gate: Gate<Log, Blame>| gate.attempts(9).stop_if(|log: &Log| log.round == 2);
    let (trace, _) = outcome(&graph(&[0.1, 0.2, 0.3], blame_writer, rule)).await;
    assert_eq!(trace.join(" "), "search write write stopped");
}

#[tokio::test]
async fn nobody_to_blame_ends_it() {
    let (trace, _) = outcome(&graph(&[0.1], |_| None, |gate| gate.attempts(9))).await;
    assert_eq!(trace.join(" "), "search write stopped");
}

#[tokio::test]
async fn every_round_is_told_with_its_score() {
    let graph = graph(&[0.3, 0.2], blame_writer, |gate| gate);
    let mut run = graph.runner().start("t", Log::update());
    let mut events = run.events();
    let (report, rounds) = tokio::join!(run, async {
        let mut rounds = Vec::new();
        while let Some(event) = events.next().await {
            if let RunEvent::Judged(round) = event {
                rounds.push((round.round, round.score, round.stopped, round.restored));
            }
        }
        rounds
    });
    expect_finished(&report.unwrap());
    assert_eq!(rounds, [(1, 0.3, None, None), (2, 0.2, Some(GateStop::Attempts), Some(1))]);
}

#[tokio::test]
async fn a_gate_in_a_loop_begins_anew_each_time() {
    let mut g = builder();
    let write = g.func("write", async |ctx: Ctx<Log>| Ok(ran(&ctx).round(1u32)));
    let again = node(&mut g, "again");
    let gate = Gate::new(|log: &Log| Verdict {
        score: if log.round.is_multiple_of(2) { 1.0 } else { 0.0 },
        critique: String::new(),
        blame: Some(Fork::Left),
    });
    g.start(write);
    g.any(write);
    g.gate(
        write,
        gate,
        GateEdges {
            pass: again.to(),
            retry: ForkEdges { left: write.to(), right: write.to() },
            stop: To::END,
        },
    );
    g.branch(
        again,
        |log: &Log| if log.round < 6 { Fork::Left } else { Fork::Right },
        ForkEdges { left: write.to().at_most(5), right: To::END },
    );
    let (trace, _) = outcome(&g.build().unwrap()).await;
    assert_eq!(trace.join(" "), ["write write again"; 3].join(" "));
}

#[tokio::test]
async fn a_score_that_is_no_number_fails_the_commit_and_loses_nothing() {
    let graph = graph(&[f64::NAN], blame_writer, |gate| gate);
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update()).await.unwrap();
    assert_eq!(failure(&report, &graph).1.code, "SW-X225");
    assert_eq!(report.state.trace, ["search"]);
}
