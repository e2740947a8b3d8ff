//! What a paused thread costs while nobody drives it. Alone in its process, since all of the process is measured.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use statewright_engine_runtime::{
    Ctx, Durability, NodeError, Outcome, Runner, State, StateGraph, ThreadState,
};
use statewright_engine_sql::{SqliteOptions, SqliteStore};

#[derive(State, Clone, Debug, Default, PartialEq, Eq)]
struct Talk {
    #[reduce(append)]
    messages: Vec<String>,
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

async fn pause(runner: &Runner<Talk>, threads: std::ops::Range<u32>) {
    for number in threads {
        let run = runner.start(format!("thread {number}"), Talk::update().messages("something to read"));
        let report = run.await.unwrap();
        assert!(matches!(report.outcome, Outcome::Paused(_)));
    }
}

#[tokio::test]
async fn ten_thousand_paused_threads_add_no_more_than_five_megabytes() {
    let mut g = StateGraph::<Talk>::new("asking");
    let ask = g.func("ask", |ctx: Ctx<Talk>| async move {
        let said: String = ctx.ask("what next?", "nothing is under way").await;
        Ok::<_, NodeError>(Talk::update().messages(said))
    });
    g.start(ask);
    g.end(ask);
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).await.unwrap();
    let runner = g.build().unwrap().runner().checkpointer(store).durability(Durability::Process);
    // Caches that have a bound fill up first.
    pause(&runner, 0..2_000).await;
    let before = resident();
    pause(&runner, 2_000..12_000).await;
    let added = resident().saturating_sub(before);
    println!("{added} bytes more than {before}");
    assert!(added <= 5_000_000, "10,000 paused threads take {added} bytes");
    let ThreadState { interrupts, .. } = runner.load("thread 7000").await.unwrap();
    let report = runner.answer("thread 7000", interrupts[0].id.clone(), &"on we go").await.unwrap();
    assert_eq!(report.state.messages, ["something to read", "on we go"]);
}
