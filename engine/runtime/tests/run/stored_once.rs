//! A large value is stored once in a thread, however often and on whatever way it comes by; and each reader sees all of it.

use serde::{Deserialize, Serialize};
use statewright_engine_core::journal::CUT_FORMAT;

use crate::support::*;
use statewright_engine_runtime::*;

const BEGINS: &str = "the document begins";

/// 16 KiB with a beginning that stands nowhere else.
fn document() -> String {
    format!("{BEGINS}{}", "and goes on ".repeat(16 * 1024 / 12))
}

/// How often the document stands in these entries.
fn copies(entries: &[Entry]) -> usize {
    let count =
        |entry: &Entry| entry.bytes.windows(BEGINS.len()).filter(|part| *part == BEGINS.as_bytes()).count();
    entries.iter().map(count).sum()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Page {
    number: u32,
    document: String,
}

#[derive(Route)]
enum Pages {
    #[each]
    Pages(Vec<Page>),
}

/// A document on every way: the result of a step, an update, three payloads, two replaced fields, a question, its answer,
/// snapshots; and all of that three times.
fn graph() -> Graph<Log> {
    let mut g = builder();
    let look = g.func("look", async |ctx: Ctx<Log>| {
        let document = ctx.step("read").run(|| async { Ok(document()) }).await?;
        let page = |number| Page { number, document: document.clone() };
        let pages = (ctx.state.round..ctx.state.round + 3).map(page).collect();
        Ok((ran(&ctx).text(document.clone()).round(1u32), Pages::Pages(pages)))
    });
    let read = g.func("read", async |ctx: Ctx<Log, Page>| {
        Ok(ran(&ctx).last(ctx.input.document.clone()).total(u64::from(ctx.input.number)))
    });
    let ask = g.func("ask", async |ctx: Ctx<Log>| {
        let said: String = ctx.ask("enough?", &ctx.state.text).await;
        Ok(ran(&ctx).answer(said))
    });
    g.start(look);
    g.route(look, PagesEdges { pages: read.to() });
    g.edge(read, ask);
    let again = |log: &Log| if log.round < 3 { Fork::Left } else { Fork::Right };
    g.branch(ask, again, ForkEdges { left: look.to().at_most(2), right: To::END });
    g.build().unwrap()
}

fn runner(store: impl Checkpointer, snapshot_after_bytes: u64) -> Runner<Log> {
    let limits = Limits { snapshot_after_bytes, ..Limits::default() };
    graph().runner().checkpointer(store).limits(limits)
}

/// Takes a thread up and answers each question with the document.
async fn to_the_end(runner: &Runner<Log>) -> RunReport<Log> {
    let status = runner.load("t").await.unwrap().status;
    let run = if status == Status::Empty { runner.start("t", Log::update()) } else { runner.resume("t") };
    let mut report = within(run).await.unwrap();
    while let Outcome::Paused(open) = &report.outcome {
        report = within(runner.answer("t", open[0].id.clone(), &document())).await.unwrap();
    }
    expect_finished(&report);
    assert_eq!((report.state.text.clone(), report.state.last.clone()), (document(), document()));
    assert_eq!((report.state.answer.clone(), report.state.total), (Some(document()), 18));
    report
}

#[tokio::test]
async fn a_value_is_stored_once_on_every_way_through_a_thread() {
    for snapshot_after_bytes in [1, 256 * 1024] {
        let store = MemoryCheckpointer::new();
        let runner = runner(store.clone(), snapshot_after_bytes);
        to_the_end(&runner).await;
        // A second run on the thread, which another process takes up.
        let report = within(runner.start("t", Log::update().text(document()))).await.unwrap();
        questions(&report);
        assert_eq!(copies(&entries(&store)), 1);
        let bytes: usize = entries(&store).iter().map(|entry| entry.bytes.len()).sum();
        assert!(bytes < 16 * 1024 + 30_000, "{bytes} bytes are stored");
        // A thread of its own holds it for itself: threads need nothing of one another.
        let other = store.clone();
        within(graph().runner().checkpointer(store).start("u", Log::update())).await.unwrap();
        assert_eq!(copies(&other.all(&ThreadId::new("u"))), 1);
    }
}

#[tokio::test]
async fn at_durability_exit_snapshots_share_their_values() {
    let store = MemoryCheckpointer::new();
    let report = to_the_end(&runner(store.clone(), 1).durability(Durability::Exit)).await;
    assert!(entries(&store).len() > 5 && copies(&entries(&store)) == 1);
    let loaded = runner(store, 1).durability(Durability::Exit).load("t").await.unwrap();
    assert_eq!(loaded.state, report.state);
}

#[tokio::test]
async fn after_a_crash_at_any_entry_the_thread_knows_what_it_holds() {
    for snapshot_after_bytes in [1, 256 * 1024] {
        let store = MemoryCheckpointer::new();
        let report = to_the_end(&runner(store.clone(), snapshot_after_bytes)).await;
        let all = entries(&store);
        assert!(all.iter().filter(|entry| entry.bytes[0] == CUT_FORMAT).count() > 15);
        for left in 0..all.len() {
            let store = crashed_after(&all[..left]).await;
            let runner = runner(store.clone(), snapshot_after_bytes);
            if runner.load("t").await.unwrap().status == Status::Stopped(Outcome::Finished) {
                continue;
            }
            assert_eq!(to_the_end(&runner).await.state, report.state, "after entry {left}");
            assert_eq!(copies(&entries(&store)), 1, "after entry {left}");
        }
    }
}

#[tokio::test]
async fn a_fork_holds_the_value_itself_and_needs_nothing_of_the_first_thread() {
    let store = MemoryCheckpointer::new();
    let first = runner(store.clone(), 1);
    to_the_end(&first).await;
    let history = first.history("t").await.unwrap();
    for checkpoint in &history[1..] {
        let fork = format!("fork at {}", checkpoint.seq);
        let forked = first.fork("t", checkpoint.seq, fork.as_str(), Log::update()).await.unwrap();
        assert_eq!(first.state_at("t", checkpoint.seq).await.unwrap().state, forked.state);
        assert_eq!(forked.state.text, document());
        let fork = store.all(&ThreadId::new(fork));
        assert_eq!((fork.len(), copies(&fork)), (1, 1));
        // In a store that never saw the first thread.
        let alone = runner(crashed_after(&fork).await, 1);
        assert_eq!(alone.load("t").await.unwrap().state, forked.state);
        if !checkpoint.next.is_empty() {
            to_the_end(&alone).await;
        }
    }
}

#[tokio::test]
async fn the_entries_of_a_thread_are_read_whole() {
    let store = MemoryCheckpointer::new();
    let runner = runner(store.clone(), 1);
    to_the_end(&runner).await;
    let thread = ThreadId::new("t");
    let whole = read_entries(&store, &thread, &[(1, 9_999)]).await.unwrap();
    let view = ThreadView::read(runner.graph().plan(), &whole).unwrap();
    let wrote = |name: &str| {
        let written = |step: &&StepView| runner.graph().plan().node_name(step.node) == name;
        view.steps.iter().filter(written).filter(|step| step.update.len() > 16_000).count()
    };
    assert_eq!((wrote("look"), wrote("read"), wrote("ask")), (3, 9, 3));
    // One alone is read with those that it refers to, and what is not there is named.
    let last = whole.last().unwrap();
    assert_eq!(
        read_entries(&store, &thread, &[(last.seq, last.seq)]).await.unwrap(),
        std::slice::from_ref(last)
    );
    let (stored, cut) = (entries(&store), |entry: &&Entry| entry.bytes[0] == CUT_FORMAT);
    let bare = stored.iter().filter(cut).filter(|entry| entry.seq > 5).map(Clone::clone);
    let error = ThreadView::read(runner.graph().plan(), &bare.collect::<Vec<_>>()).unwrap_err();
    assert_eq!(error.code(), "SW-S441");
}

#[tokio::test]
async fn a_value_that_is_gone_is_named_and_nothing_is_made_up() {
    let store = MemoryCheckpointer::new();
    to_the_end(&runner(store.clone(), u64::MAX)).await;
    let mut all = entries(&store);
    let holder = all.iter().position(|entry| copies(std::slice::from_ref(entry)) == 1).unwrap();
    // An entry of the same kind that holds nothing.
    all[holder].bytes = all[0].bytes.clone();
    let error = runner(crashed_after(&all).await, u64::MAX).load("t").await.unwrap_err();
    assert_eq!(error.code(), "SW-S442", "{error}");
    assert!(error.to_string().contains(&format!("entry {} should hold", holder + 1)), "{error}");
}

#[tokio::test]
async fn values_up_to_the_limit_are_stored_as_they_are() {
    let store = MemoryCheckpointer::new();
    let mut g = builder();
    let write = |text: &'static str| {
        move |ctx: Ctx<Log>| async move { Ok(ran(&ctx).text(text.repeat(4090 / BEGINS.len()))) }
    };
    let [one, two] = ["one", "two"].map(|name| g.func(name, write(BEGINS)));
    chain(&mut g, &[one, two]);
    let graph = g.build().unwrap();
    within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    assert_eq!(copies(&entries(&store)), 2 * (4090 / BEGINS.len()));
    let limits = Limits { value_bytes: 4000, ..Limits::default() };
    let runner = graph.runner().checkpointer(store.clone()).limits(limits);
    within(runner.start("u", Log::update())).await.unwrap();
    assert_eq!(copies(&store.all(&ThreadId::new("u"))), 4090 / BEGINS.len());
}
