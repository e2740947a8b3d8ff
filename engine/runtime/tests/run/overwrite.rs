//! Updates that replace what a growing field holds.

use crate::support::*;
use statewright_engine_runtime::*;

/// `fill`, then `shorten`, which overwrites the trace and adds to it, then `fill` again.
fn shortening() -> Graph<Log> {
    let mut g = builder();
    let fill = node(&mut g, "fill");
    let shorten = g.func("shorten", async |ctx: Ctx<Log>| {
        let kept = ctx.state.trace.len();
        Ok(ran(&ctx).overwrite_trace([format!("{kept} before")]).overwrite_notes(Vec::new()))
    });
    let more = node(&mut g, "more");
    chain(&mut g, &[fill, shorten, more]);
    g.build().unwrap()
}

fn input() -> LogUpdate {
    Log::update().trace("first").notes(Note { id: 1, text: "gone".to_owned() })
}

#[tokio::test]
async fn an_overwrite_survives_a_crash_at_any_entry() {
    let store = MemoryCheckpointer::new();
    // A snapshot after every entry, so that referenced fields are read back from records.
    let limits = Limits { snapshot_after_bytes: 0, ..Limits::default() };
    let runner = |store| shortening().runner().checkpointer(store).limits(limits);
    let state = runner(store.clone()).start("t", input()).await.unwrap().finished().unwrap();
    assert_eq!(state.trace, ["2 before", "shorten", "more"]);
    assert!(state.notes.is_empty());
    let entries = entries(&store);
    for cut in 1..entries.len() {
        let runner = runner(crashed_after(&entries[..cut]).await);
        let Ok(report) = runner.resume("t").await else {
            assert!(matches!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Finished)));
            continue;
        };
        assert_eq!(report.state, state, "after {cut} entries");
    }
    let forked = runner(store.clone());
    let last = forked.history("t").await.unwrap().last().unwrap().seq;
    forked.fork("t", last, "copy", Log::update().overwrite_trace(["edited".to_owned()])).await.unwrap();
    assert_eq!(forked.load("copy").await.unwrap().state.trace, ["edited"]);
}

#[tokio::test]
async fn an_overwrite_beside_another_write_is_refused() {
    let mut g = builder();
    let first = node(&mut g, "first");
    let add = node(&mut g, "add");
    let shorten =
        g.func("shorten", async |_: Ctx<Log>| Ok(Log::update().overwrite_trace(Vec::<String>::new())));
    g.start(first);
    g.edge(first, add.to().and(shorten));
    g.end(add);
    g.end(shorten);
    let graph = g.build().unwrap();
    let report = graph.runner().checkpointer(MemoryCheckpointer::new()).start("t", input()).await.unwrap();
    let (_, failure) = failure(&report, &graph);
    assert_eq!(
        failure.to_string(),
        "`add` and `shorten` both wrote `Log.trace` in one superstep, and one overwrote it; let one node do both, or put one after the other"
    );
    assert_eq!(failure.code, "SW-X220");
    assert_eq!(report.state.trace, ["first", "first"], "nothing of the superstep was committed");
}
