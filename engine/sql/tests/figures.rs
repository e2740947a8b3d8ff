//! Promises that are numbers: how many bytes a history takes, and how many commits a fan-out needs.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::path::Path;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{
    Checkpointer, Ctx, Graph, NodeError, Outcome, Route, Seq, State, StateGraph, ThreadId, To,
};
use statewright_engine_sql::{SqlStore, SqliteOptions, SqliteStore};

#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Talk {
    #[reduce(append)]
    messages: Vec<String>,
    scratch: String,
    #[reduce(sum)]
    turns: u64,
}

#[derive(Route)]
enum Next {
    Again,
    Done,
}

#[derive(Route)]
enum Spread {
    #[each]
    Parts(Vec<u64>),
}

type Done = Result<TalkUpdate, NodeError>;

/// Text that says the same for the same number, and nothing twice.
fn text(number: u64, bytes: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..bytes).map(letter).collect()
}

/// A message of 1 to 4 KiB.
fn message(number: u64) -> String {
    text(number, 1024 + (number.wrapping_mul(2_654_435_761) % 3072) as usize)
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).await.unwrap()
}

async fn entry_bytes(store: &SqliteStore) -> usize {
    let entries = store.entries(&ThreadId::new("t"), &[(1, Seq::MAX)]).await.unwrap();
    entries.iter().map(|entry| entry.bytes.len()).sum()
}

/// A hundred turns: the agent says something, a tool answers, and the scratch is written anew with what it was.
#[tokio::test]
async fn a_hundred_loops_of_an_agent_store_no_more_than_their_content_and_three_tenths() {
    let mut g = StateGraph::<Talk>::new("agent");
    let think = g.func("think", |ctx: Ctx<Talk>| async move {
        Done::Ok(Talk::update().messages(message(ctx.state.turns * 2)))
    });
    let act = g.func("act", |ctx: Ctx<Talk>| async move {
        let update = Talk::update().messages(message(ctx.state.turns * 2 + 1)).turns(1u64);
        Done::Ok(update.scratch(text(1, 16 * 1024)))
    });
    g.start(think);
    g.edge(think, act);
    let again = |talk: &Talk| if talk.turns < 100 { Next::Again } else { Next::Done };
    g.branch(act, again, NextEdges { again: think.to().at_most(100), done: To::END });
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store.db")).await;
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let report = runner.start("t", Talk::update()).await.unwrap();
    assert_eq!((report.outcome, report.state.messages.len()), (Outcome::Finished, 200));
    let content: usize =
        report.state.messages.iter().map(String::len).sum::<usize>() + report.state.scratch.len();
    let stored = entry_bytes(&store).await;
    assert!(stored * 10 <= content * 13, "{stored} bytes are stored for {content} bytes of content");
    // The state is all there for whoever comes next.
    assert_eq!(runner.load("t").await.unwrap().state, report.state);
    store.close().await;
    let file = std::fs::metadata(folder.path().join("store.db")).unwrap().len();
    println!("content {content}, entries {stored}, file {file}");
}

#[tokio::test]
async fn an_empty_chain_of_a_thousand_nodes_stores_less_than_a_megabyte() {
    let mut g = StateGraph::<Talk>::new("chain");
    let nodes: Vec<_> = (0..1000)
        .map(|n| g.func(format!("node {n}"), |_: Ctx<Talk>| async { Done::Ok(Talk::update()) }))
        .collect();
    g.start(nodes[0]);
    nodes.windows(2).for_each(|pair| {
        g.edge(pair[0], pair[1]);
    });
    g.end(nodes[999]);
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store.db")).await;
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    runner.start("t", Talk::update()).await.unwrap().finished().unwrap();
    let stored = entry_bytes(&store).await;
    store.close().await;
    let file = std::fs::metadata(folder.path().join("store.db")).unwrap().len();
    println!("entries {stored}, file {file}");
    assert!(stored <= 1_000_000 && file <= 1_000_000, "{stored} bytes of entries in a file of {file}");
}

fn fan_out(parts: u64) -> Graph<Talk> {
    let mut g = StateGraph::<Talk>::new("fan-out");
    let plan = g.func("plan", move |_: Ctx<Talk>| async move {
        Ok::<_, NodeError>((Talk::update(), Spread::Parts((0..parts).collect())))
    });
    let work = g.func("work", |ctx: Ctx<Talk, u64>| async move { Done::Ok(Talk::update().turns(ctx.input)) });
    let gather = g.func("gather", |_: Ctx<Talk>| async { Done::Ok(Talk::update()) });
    g.start(plan);
    g.route(plan, SpreadEdges { parts: work.to() });
    g.edge(work, gather);
    g.end(gather);
    g.build().unwrap()
}

async fn commits_of_a_fan_out() -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let store: SqlStore = open(&folder.path().join("store.db")).await.into();
    let report = fan_out(1000).runner().checkpointer(store.clone()).start("t", Talk::update()).await.unwrap();
    assert_eq!(report.finished().unwrap().turns, 999 * 1000 / 2);
    let stats = store.writer_stats();
    assert_eq!(stats.entries, 1 + 1 + 1000 + 1);
    stats.commits
}

#[tokio::test]
async fn a_durable_fan_out_of_a_thousand_needs_at_most_sixteen_commits() {
    let commits = commits_of_a_fan_out().await;
    println!("{commits} commits");
    assert!(commits <= 16, "{commits} commits");
}

/// How many there are depends on how fast the branches come: a commit takes what waits when it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_several_threads_a_commit_takes_many_branches() {
    let commits = commits_of_a_fan_out().await;
    println!("{commits} commits");
    assert!(commits <= 64, "{commits} commits");
}
