//! Time travel: history, the state as it was, forks.

use crate::support::*;
use statewright_engine_runtime::*;

/// `one → asks → three → four`, where every node writes its name, and `text` says what was answered.
fn graph() -> Graph<Log> {
    let mut g = builder();
    let [one, three, four] = ["one", "three", "four"].map(|name| node(&mut g, name));
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", "?").await;
        Ok(ran(&ctx).text(word))
    });
    chain(&mut g, &[one, asks, three, four]);
    g.build().unwrap()
}

/// A thread `t` that has paused, gone on and finished.
async fn finished(durability: Durability) -> Runner<Log> {
    let runner = graph().runner().checkpointer(MemoryCheckpointer::new()).durability(durability);
    let paused = runner.start("t", Log::update()).await.unwrap();
    let question = questions(&paused).remove(0);
    expect_finished(&runner.answer("t", question.id, "yes").await.unwrap());
    runner
}

fn names(runner: &Runner<Log>, nodes: &[NodeIx]) -> Vec<String> {
    nodes.iter().map(|node| runner.graph().plan().node_name(*node).to_owned()).collect()
}

#[tokio::test]
async fn history_lists_every_superstep_with_what_ended_and_what_comes() {
    let runner = finished(Durability::Power).await;
    let history = runner.history("t").await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|checkpoint| {
            let (ended, next) = (names(&runner, &checkpoint.ended), names(&runner, &checkpoint.next));
            (checkpoint.superstep, ended.join(" "), next.join(" "))
        })
        .collect();
    let line = |superstep, ended: &str, next: &str| (superstep, ended.to_owned(), next.to_owned());
    assert_eq!(
        told,
        [
            line(1, "", "one"),
            line(2, "one", "asks"),
            line(3, "asks", "three"),
            line(4, "three", "four"),
            line(5, "four", "")
        ]
    );
    assert!(history.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].run == pair[1].run));
}

#[tokio::test]
async fn the_state_at_every_entry_is_the_one_that_a_crash_there_would_have_left() {
    let runner = finished(Durability::Power).await;
    let history = runner.history("t").await.unwrap();
    let traces = ["", "one", "one asks", "one asks three", "one asks three four"];
    for (checkpoint, trace) in history.iter().zip(traces) {
        let then = runner.state_at("t", checkpoint.seq).await.unwrap();
        assert_eq!(then.state.trace.join(" "), trace);
        assert_eq!(then.superstep, checkpoint.superstep);
    }
    let now = runner.load("t").await.unwrap();
    assert_eq!(now.state.trace.len(), 4, "looking back changes nothing");
}

#[tokio::test]
async fn at_durability_exit_the_ends_of_drives_can_be_looked_at_and_forked() {
    let runner = finished(Durability::Exit).await;
    let history = runner.history("t").await.unwrap();
    assert!(!history.is_empty());
    let paused = history.first().unwrap();
    assert_eq!(names(&runner, &paused.next), ["asks"]);
    let forked = runner.fork("t", paused.seq, "f", Log::update()).await.unwrap();
    assert_eq!(forked.interrupts.len(), 1);
}

#[tokio::test]
async fn a_fork_goes_on_from_the_past_with_an_edit_and_leaves_the_original_alone() {
    let runner = finished(Durability::Power).await;
    let original = runner.load("t").await.unwrap().state;
    let history = runner.history("t").await.unwrap();
    let before_three = history[2].seq;
    let forked = runner.fork("t", before_three, "f", Log::update().text("edited")).await.unwrap();
    assert_eq!((forked.state.text.as_str(), forked.status), ("edited", Status::Open));
    assert_eq!(forked.origin, Some((ThreadId::new("t"), before_three)));
    let report = runner.resume("f").await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.trace.join(" "), "one asks three four");
    assert_eq!((report.state.text.as_str(), original.text.as_str()), ("edited", "yes"));
    assert_eq!(runner.load("t").await.unwrap().state, original);
    assert_eq!(runner.load("f").await.unwrap().origin, Some((ThreadId::new("t"), before_three)));
}

/// A question that was open then is open in the fork, and can get another answer.
#[tokio::test]
async fn a_fork_asks_again_what_was_open() {
    let runner = finished(Durability::Power).await;
    let history = runner.history("t").await.unwrap();
    let asked = (history[1].seq..history[2].seq).rev();
    let mut forks = 0;
    for seq in asked {
        let forked = runner.fork("t", seq, format!("f{seq}"), Log::update()).await.unwrap();
        let Some(question) = forked.interrupts.first() else { continue };
        let report = runner.answer(format!("f{seq}"), question.id.clone(), "no").await.unwrap();
        assert_eq!(report.state.text, "no");
        forks += 1;
    }
    assert!(forks > 0, "no fork had the question open");
}

/// The middle of a superstep: what had finished is in the fork and does not run again.
#[tokio::test]
async fn a_fork_from_the_middle_of_a_superstep_keeps_what_had_finished() {
    let witness = Witness::default();
    let mut g = builder();
    let first = node(&mut g, "first");
    let seen = witness.clone();
    let work = |name: &'static str, seen: Witness| {
        move |ctx: Ctx<Log>| {
            let seen = seen.clone();
            async move {
                seen.saw(format!("{name} on {}", ctx.thread()));
                Ok(ran(&ctx))
            }
        }
    };
    let left = g.func("left", work("left", seen.clone()));
    let right = g.func("right", work("right", seen));
    let last = node(&mut g, "last");
    g.start(first);
    g.edge(first, left.to().and(right));
    g.join((left, right), last);
    g.end(last);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let report = runner.start("t", Log::update()).await.unwrap();
    let history = runner.history("t").await.unwrap();
    // The entry after the commit of `first` is the end of one of the two.
    let middle = history[1].seq + 1;
    runner.fork("t", middle, "f", Log::update()).await.unwrap();
    let forked = runner.resume("f").await.unwrap();
    assert_eq!(forked.state, report.state);
    let again = witness.take().iter().filter(|what| what.ends_with("on f")).count();
    assert_eq!(again, 1, "one of the two had finished");
}

#[tokio::test]
async fn entries_that_do_not_exist_and_threads_that_do_are_refused() {
    let runner = finished(Durability::Power).await;
    let past = runner.state_at("t", 4_000).await.unwrap_err();
    assert_eq!(past.code(), "SW-X212");
    assert!(past.to_string().contains("has no entry 4000; it has the entries 1 to"), "{past}");
    let nobody = runner.fork("nobody", 1, "f", Log::update()).await.unwrap_err();
    assert_eq!(nobody.to_string(), "the thread `nobody` has no entry 1; nothing was ever run on it");
    let taken = runner.fork("t", 1, "t", Log::update()).await.unwrap_err();
    assert_eq!((taken.code(), runner.load("t").await.unwrap().state.trace.len()), ("SW-X213", 4));
    assert_eq!(runner.history("nobody").await.unwrap(), []);
}

/// A history with everything in it: gates, joins, fan-outs, snapshots; every entry can be forked and ends the same way.
#[tokio::test]
async fn a_fork_at_any_entry_ends_as_the_original() {
    let mut g = builder();
    let plan = g.func("plan", async |ctx: Ctx<Log>| {
        Ok((
            ran(&ctx).round(1u32).notes(Note { id: ctx.state.round, text: "x".repeat(400) }),
            Spread::Parts(vec![1, 2]),
        ))
    });
    let work = g.func("work", async |ctx: Ctx<Log, u32>| Ok(ran(&ctx).total(u64::from(ctx.input))));
    let [gather, side, both] = ["gather", "side", "both"].map(|name| node(&mut g, name));
    g.start(plan);
    g.start(side);
    g.route(plan, SpreadEdges { parts: work.to(), nothing: gather.to() });
    g.edge(work, gather);
    g.join((gather, side.optional()), both);
    let gate = Gate::new(|log: &Log| Verdict {
        score: f64::from(log.round),
        critique: "again".to_owned(),
        blame: Some(Fork::Left),
    });
    g.any(plan);
    g.gate(
        both,
        gate.pass_at(3.0).attempts(5),
        GateEdges { pass: To::END, retry: ForkEdges { left: plan.to(), right: plan.to() }, stop: To::END },
    );
    let limits = Limits { snapshot_after_bytes: 300, ..Limits::default() };
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new()).limits(limits);
    let report = runner.start("t", Log::update()).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.round, 3);
    let last = runner.history("t").await.unwrap().last().unwrap().seq;
    for seq in 1..last {
        let forked = runner.fork("t", seq, format!("f{seq}"), Log::update()).await.unwrap();
        if forked.status == Status::Stopped(Outcome::Finished) {
            continue;
        }
        let end = runner.resume(format!("f{seq}")).await.unwrap();
        assert_eq!(end.state, report.state, "forked at entry {seq}");
    }
}

/// A fork has no record of its run's beginning: what it says of itself stands in its first snapshot.
#[tokio::test]
async fn a_fork_from_the_middle_of_a_superstep_lists_what_is_left_and_then_what_ended() {
    let mut g = builder();
    let first = node(&mut g, "first");
    let [left, right, last] = ["left", "right", "last"].map(|name| node(&mut g, name));
    g.start(first);
    g.edge(first, left.to().and(right));
    g.join((left, right), last);
    g.end(last);
    let store = MemoryCheckpointer::new();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    runner.start("t", Log::update()).await.unwrap();
    let middle = runner.history("t").await.unwrap()[1].seq + 1;
    let forked = runner.fork("t", middle, "f", Log::update()).await.unwrap();
    let history = runner.history("f").await.unwrap();
    assert_eq!((history.len(), history[0].superstep, history[0].next.len()), (1, 2, 1), "one had finished");
    assert_eq!(Some(&history[0].run), forked.run.as_ref());
    assert_ne!(forked.run, runner.load("t").await.unwrap().run, "it is a run of its own");

    expect_finished(&runner.resume("f").await.unwrap());
    let history = runner.history("f").await.unwrap();
    let ended = names(&runner, &history[1].ended);
    assert_eq!(ended, ["left", "right"], "both are of the superstep that ended");
    let view = ThreadView::read(runner.graph().plan(), &store.all(&"f".into())).unwrap();
    let steps: Vec<_> = view.steps.iter().map(|step| (step.activation.superstep, step.node)).collect();
    assert_eq!(steps, [(2, history[0].next[0]), (3, last_of(&history))]);
    assert!(view.steps.iter().all(|step| Some(&step.run) == forked.run.as_ref()));
    assert!(view.steps[0].scheduled_ms > 0);
}

/// The only node of the last superstep.
fn last_of(history: &[Checkpoint]) -> NodeIx {
    history.last().unwrap().ended[0]
}

#[tokio::test]
async fn a_diff_names_what_differs_and_shows_only_what_an_append_channel_gained() {
    use serde_json::json;
    let mut g = builder();
    let first = g.func("first", async |ctx: Ctx<Log>| {
        Ok(ran(&ctx).text("draft").tags("red").tags("blue").total(2u64))
    });
    let second =
        g.func("second", async |ctx: Ctx<Log>| Ok(ran(&ctx).text("better").tags("green").total(3u64)));
    chain(&mut g, &[first, second]);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    expect_finished(&runner.start("t", Log::update()).await.unwrap());
    let history = runner.history("t").await.unwrap();
    let (one, two) = (history[1].seq, history[2].seq);
    let diff = runner.diff(("t", one), ("t", two)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&diff).unwrap(),
        json!([
            { "channel": "trace", "added": ["second"] },
            { "channel": "text", "old": "draft", "new": "better" },
            { "channel": "total", "old": 2, "new": 5 },
            { "channel": "tags", "added": ["green"], "removed": [] },
        ])
    );
    assert_eq!(runner.diff(("t", one), ("t", one)).await.unwrap(), []);
    runner.fork("t", one, "f", Log::update().text("other")).await.unwrap();
    let across = runner.diff(("t", one), ("f", 1)).await.unwrap();
    assert_eq!(
        across,
        [ChannelDiff { channel: "text", change: Change::Value { old: json!("draft"), new: json!("other") } }]
    );
    assert_eq!(runner.diff(("t", 99), ("t", one)).await.unwrap_err().code(), "SW-X212");
    let state = state_as_json(&*runner.load("t").await.unwrap().state);
    assert_eq!((&state["text"], &state["trace"]), (&json!("better"), &json!(["first", "second"])));
}

#[tokio::test]
async fn a_replay_runs_what_came_after_an_entry_again_and_nothing_before_it() {
    let witness = Witness::default();
    let mut g = builder();
    let nodes = ["one", "two", "three"].map(|name| {
        let witness = witness.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            witness.saw(name);
            async move { Ok(ran(&ctx)) }
        })
    });
    chain(&mut g, &nodes);
    let runner = g.build().unwrap().runner().checkpointer(MemoryCheckpointer::new());
    let original = runner.start("t", Log::update()).await.unwrap();
    let history = runner.history("t").await.unwrap();
    witness.take();
    let again = runner.replay("t", history[1].seq, "again").await.unwrap();
    expect_finished(&again);
    assert_eq!((witness.take(), &again.state), (vec!["two".to_owned(), "three".to_owned()], &original.state));
    let nothing = runner.replay("t", history[3].seq, "late").await.unwrap_err();
    assert_eq!(nothing.code(), "SW-X202", "at the end there is nothing to run again");
}
