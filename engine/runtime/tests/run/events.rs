//! The event stream: in order, complete for a reader that keeps up, honest to one that does not, and never in the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use statewright_engine_runtime::*;

/// What an event says, with names instead of numbers.
fn words(event: &RunEvent, graph: &Graph<Log>) -> String {
    let name = |node: &NodeIx| graph.plan().node_name(*node).to_owned();
    match event {
        RunEvent::Opened { resumed, .. } => format!("opened {resumed}"),
        RunEvent::NodeStarted { node, attempt, .. } => format!("+{} {attempt}", name(node)),
        RunEvent::NodeFinished { node, .. } => format!("-{}", name(node)),
        RunEvent::NodeFailed { node, attempt, failure, .. } => {
            format!("!{} {attempt} {}", name(node), failure.message)
        }
        RunEvent::Asked(question) => format!("?{}", question.name),
        RunEvent::EdgeTaken(edge) => format!("edge {}", graph.plan().describe_edge(*edge)),
        RunEvent::Committed { superstep, .. } => format!("committed {superstep}"),
        RunEvent::Item(item) => {
            format!("item {} {} {} {}", name(&item.node), item.attempt, item.kind, item.payload)
        }
        RunEvent::Stopped(outcome) => {
            format!("stopped {}", format!("{outcome:?}").split('(').next().unwrap())
        }
        RunEvent::Lagged { missed } => format!("lagged {missed}"),
        other => format!("{other:?}"),
    }
}

async fn trace(mut run: Run<Log>, graph: &Graph<Log>) -> Vec<String> {
    let mut events = run.events();
    within(run).await.unwrap();
    let mut trace = Vec::new();
    while let Some(event) = within(events.next()).await {
        trace.push(words(&event, graph));
    }
    trace
}

#[tokio::test]
async fn a_run_tells_everything_in_order() {
    let mut g = builder();
    let [a, b] = ["a", "b"].map(|name| node(&mut g, name));
    let c = g.func("c", async |ctx: Ctx<Log>| {
        ctx.emit("token", &"half a word");
        Ok(ran(&ctx))
    });
    let d = node(&mut g, "d");
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.end(d);
    let graph = g.build().unwrap();
    for stored in [false, true] {
        let runner = graph.runner();
        let runner = if stored { runner.checkpointer(MemoryCheckpointer::new()) } else { runner };
        let trace = trace(runner.start("t", Log::update()), &graph).await;
        let of = |prefix: &str| -> Vec<&str> {
            trace.iter().filter(|line| line.starts_with(prefix)).map(String::as_str).collect()
        };
        assert_eq!(trace.first().map(String::as_str), Some("opened false"));
        assert_eq!(trace.last().map(String::as_str), Some("stopped Finished"));
        assert_eq!(of("+"), ["+a 1", "+b 1", "+c 1", "+d 1"]);
        assert_eq!(of("-"), ["-a", "-b", "-c", "-d"]);
        assert_eq!(of("item"), ["item c 1 token \"half a word\""]);
        assert_eq!(of("committed").len(), 3);
        let place =
            |line: &str| trace.iter().position(|other| other == line).unwrap_or_else(|| panic!("{line}"));
        assert!(
            place("+c 1") < place("item c 1 token \"half a word\"")
                && place("item c 1 token \"half a word\"") < place("-c")
        );
        assert!(
            place("-b").max(place("-c")) < place(of("committed")[1])
                && place(of("committed")[1]) < place("+d 1")
        );
    }
}

#[tokio::test]
async fn failures_resumes_and_attempts_are_told() {
    let broken = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&broken);
    let mut g = builder();
    let flaky = g.func("flaky", move |ctx: Ctx<Log>| {
        let broken = flag.load(Ordering::SeqCst);
        async move {
            ctx.emit("try", &ctx.attempt());
            if broken { Err(NodeError::transient("not yet")) } else { Ok(ran(&ctx)) }
        }
    });
    chain(&mut g, &[flaky]);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let first = trace(runner.start("t", Log::update()), &graph).await;
    let kept = |trace: Vec<String>| -> Vec<String> {
        trace.into_iter().filter(|line| !line.starts_with("edge") && !line.starts_with("committed")).collect()
    };
    let expected = ["opened false", "+flaky 1", "item flaky 1 try 1", "!flaky 1 not yet", "stopped Failed"];
    assert_eq!(kept(first), expected);
    broken.store(false, Ordering::SeqCst);
    let second = trace(runner.resume("t"), &graph).await;
    assert_eq!(kept(second), ["opened true", "+flaky 2", "item flaky 2 try 2", "-flaky", "stopped Finished"]);
}

#[tokio::test]
async fn questions_are_told() {
    let mut g = builder();
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let word: String = ctx.ask("word", "?").await;
        Ok(ran(&ctx).text(word))
    });
    chain(&mut g, &[asks]);
    let graph = g.build().unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let told = trace(runner.start("t", Log::update()), &graph).await;
    assert!(told.ends_with(&["?word".to_owned(), "stopped Paused".to_owned()]), "{told:?}");
}

/// A node that emits this many numbers without ever waiting.
fn chatter(count: usize) -> Graph<Log> {
    let mut g = builder();
    let chats = g.func("chats", move |ctx: Ctx<Log>| async move {
        for index in 0..count {
            ctx.emit("number", &index);
        }
        Ok(ran(&ctx))
    });
    chain(&mut g, &[chats]);
    g.build().unwrap()
}

#[tokio::test]
async fn a_reader_that_lags_is_told_how_many_events_it_lost_and_keeps_the_newest() {
    let count = EVENT_BUFFER * 3;
    let graph = chatter(count);
    let all = trace(graph.runner().start("t", Log::update()), &chatter(10)).await.len() - 10;
    let told = trace(graph.runner().start("t", Log::update()), &graph).await;
    let missed: usize = told[0].strip_prefix("lagged ").expect("the gap is told first").parse().unwrap();
    assert_eq!(told.last().map(String::as_str), Some("stopped Finished"));
    let read = told.iter().filter(|line| !line.starts_with("lagged")).count();
    assert!(read <= EVENT_BUFFER && read > EVENT_BUFFER / 2, "{read}");
    assert_eq!(told.iter().filter(|line| line.starts_with("lagged")).count(), 1);
    let newest = format!("item chats 1 number {}", count - 1);
    assert!(told.contains(&newest) && missed + read >= count, "{missed} + {read}, {all}");
    let numbers: Vec<usize> =
        told.iter().filter_map(|line| line.strip_prefix("item chats 1 number ")?.parse().ok()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no gap after the marker");
}

#[tokio::test]
async fn a_reader_that_keeps_up_loses_nothing() {
    let count = EVENT_BUFFER * 2;
    let mut g = builder();
    let chats = g.func("chats", move |ctx: Ctx<Log>| async move {
        for index in 0..count {
            ctx.emit("number", &index);
            if index % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(ran(&ctx))
    });
    chain(&mut g, &[chats]);
    let runner = g.build().unwrap().runner();
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    let reads = async {
        let mut items = 0;
        while let Some(event) = events.next().await {
            assert!(!matches!(event, RunEvent::Lagged { .. }));
            items += usize::from(matches!(event, RunEvent::Item(_)));
        }
        items
    };
    let (report, items) = within(async { tokio::join!(run.into_future(), reads) }).await;
    expect_finished(&report.unwrap());
    assert_eq!(items, count);
}

#[tokio::test]
async fn several_readers_read_the_same_and_a_dropped_one_harms_nobody() {
    let graph = chatter(20);
    let runner = graph.runner();
    let mut run = runner.start("t", Log::update());
    let (mut one, mut two) = (run.events(), run.events());
    drop(run.events());
    within(run).await.unwrap();
    loop {
        let (left, right) = (within(one.next()).await, within(two.next()).await);
        assert_eq!(
            left.as_ref().map(|event| words(event, &graph)),
            right.as_ref().map(|event| words(event, &graph))
        );
        if left.is_none() {
            break;
        }
    }
}

#[tokio::test]
async fn nobody_has_to_watch() {
    expect_finished(&within(chatter(EVENT_BUFFER * 2).runner().start("t", Log::update())).await.unwrap());
}

#[tokio::test]
async fn a_refused_run_ends_its_event_stream() {
    let runner = chatter(1).runner().checkpointer(MemoryCheckpointer::new());
    let mut run = runner.resume("t");
    let mut events = run.events();
    assert_eq!(within(run).await.unwrap_err().code(), "SW-X202");
    while let Some(event) = within(events.next()).await {
        assert!(!matches!(event, RunEvent::NodeStarted { .. }));
    }
}

#[tokio::test]
async fn events_say_only_what_is_durable() {
    let store = MemoryCheckpointer::new();
    let mut g = builder();
    let nodes = ["a", "b", "c"].map(|name| node(&mut g, name));
    chain(&mut g, &nodes);
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    let reads = async {
        let mut told = 0;
        while let Some(event) = events.next().await {
            told += usize::from(matches!(event, RunEvent::NodeFinished { .. }));
            assert!(finished(&entries(&store)) >= told);
        }
        told
    };
    let (report, told) = within(async { tokio::join!(run.into_future(), reads) }).await;
    expect_finished(&report.unwrap());
    assert_eq!(told, 3);
}
