//! Bad input, one test for each kind: a clear error with its code, and nothing lost that was stored.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use statewright_engine_core::journal::{CUT_FORMAT, Record, decode};
use statewright_engine_core::{Options, Recovery, TypedCell};
use statewright_engine_runtime::*;
use statewright_engine_testkit::Trial;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Log {
    #[reduce(append)]
    lines: Vec<String>,
    #[reduce(with = strict)]
    small: u64,
    value: Stubborn,
    text: String,
}

/// A reducer with an opinion.
fn strict(value: &mut u64, new: u64) {
    assert!(new < 100, "{new} is too much");
    *value += new;
}

/// A value that may refuse to be written down.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Stubborn(bool);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 { Err(serde::ser::Error::custom("I will not")) } else { serializer.serialize_bool(false) }
    }
}

#[derive(Route)]
enum Spread {
    #[each]
    Parts(Vec<u64>),
}

/// first → bad → last, with this code in the middle.
fn around<Fut>(bad: impl Fn(Ctx<Log>) -> Fut + Send + Sync + 'static) -> Graph<Log>
where
    Fut: Future<Output = Result<LogUpdate, NodeError>> + Send + 'static,
{
    let mut g = StateGraph::<Log>::new("bad");
    let first = g.func("first", async |_: Ctx<Log>| Ok(Log::update().lines("first")));
    let bad = g.func("bad", bad);
    let last = g.func("last", async |_: Ctx<Log>| Ok(Log::update().lines("last")));
    g.start(first);
    g.edge(first, bad);
    g.edge(bad, last);
    g.end(last);
    g.build().unwrap()
}

fn good() -> Graph<Log> {
    around(async |_| Ok(Log::update().lines("good").small(1u64)))
}

async fn journal() -> Vec<Entry> {
    Trial::of(&good(), Log::update().lines("in")).run().await.unwrap().entries
}

/// The code by which a journal is refused; nothing if it is taken.
async fn read(entries: Vec<Entry>) -> Option<String> {
    let store = MemoryCheckpointer::new();
    let mut journal = store.open(&"t".into(), Durability::Power).await.unwrap();
    for entry in entries {
        journal.append(entry).await.unwrap();
    }
    drop(journal);
    let loaded = good().runner().checkpointer(store).load("t").await;
    loaded.err().map(|error| error.code().to_owned())
}

/// The code of the failure by which a run ends, after which what came before is stored and nothing after it ran.
async fn failure(graph: &Graph<Log>) -> String {
    let ran = Trial::of(graph, Log::update()).run().await.unwrap();
    let Outcome::Failed(failures) = &ran.outcome else { panic!("{:?}", ran.outcome) };
    assert_eq!(ran.state.lines, ["first"], "what was stored is there, and nothing else");
    assert_eq!(ran.executions("last"), 0);
    failures[0].1.code.clone()
}

#[tokio::test]
async fn a_journal_that_is_cut_at_every_byte_is_refused_with_a_code() {
    let entries = journal().await;
    for (place, entry) in entries.iter().enumerate() {
        for length in 0..entry.bytes.len() {
            let mut cut = entries[..=place].to_vec();
            cut[place].bytes.truncate(length);
            assert_eq!(read(cut).await.as_deref(), Some("SW-S410"), "entry {} cut at {length}", entry.seq);
        }
        assert_eq!(
            read(entries[..=place].to_vec()).await,
            None,
            "a cut between two entries is a sound journal"
        );
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_journal_is_found() {
    let entries = journal().await;
    for (place, entry) in entries.iter().enumerate() {
        for bit in 0..entry.bytes.len() * 8 {
            let mut flipped = entries.clone();
            flipped[place].bytes[bit / 8] ^= 1 << (bit % 8);
            let code = read(flipped).await;
            let wanted: &[&str] = if bit < 8 { &["SW-S410", "SW-S411"] } else { &["SW-S410"] };
            assert!(code.as_deref().is_some_and(|code| wanted.contains(&code)), "bit {bit}: {code:?}");
        }
    }
}

#[tokio::test]
async fn a_record_of_a_gigabyte_is_refused_unread() {
    let bytes = vec![0; 1 << 30];
    assert_eq!(decode::<Record>(&bytes).unwrap_err().code(), "SW-S412");
    let entry = Entry { seq: 1, kind: EntryKind::Snapshot, bytes };
    let cell = Box::new(TypedCell::<Log>::new());
    let recovery = Recovery::new(good().plan().clone(), cell, Options::default(), Some(&entry));
    assert_eq!(recovery.err().map(|error| error.code()), Some("SW-S412"));
    let big = around(async |_| Ok(Log::update().text("x".repeat(9 << 20))));
    assert_eq!(failure(&big).await, "SW-S412");
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_refused_by_its_number() {
    let mut entries = journal().await;
    for entry in &mut entries {
        entry.bytes[0] = CUT_FORMAT + 1;
    }
    assert_eq!(read(entries).await.as_deref(), Some("SW-S411"));
}

fn asks() -> Graph<Log> {
    #[derive(Clone, Serialize, Deserialize)]
    struct Ask;
    impl Question for Ask {
        type Answer = u64;
        const NAME: &'static str = "ask";
    }
    around(async |ctx: Ctx<Log>| {
        let hour = Duration::from_secs(3600);
        let (number, other) =
            tokio::join!(ctx.pose(&Ask).expires(hour, &7).into_future(), ctx.ask::<u64, _>("other", "?"));
        Ok(Log::update().small(number + other))
    })
}

#[tokio::test]
async fn an_answer_of_the_wrong_type_is_told_so_and_a_second_one_is_refused() {
    let runner = asks().runner().checkpointer(MemoryCheckpointer::new());
    runner.start("t", Log::update()).await.unwrap();
    runner.answer("t", "other@2.0", &2u64).await.unwrap();
    assert_eq!(runner.answer("t", "other@2.0", &3u64).await.unwrap_err().code(), "SW-X204");
    assert_eq!(runner.answer("t", "nobody@2.0", &3u64).await.unwrap_err().code(), "SW-X203");
    let open = runner.answer("t", "ask@2.0", "seven").await.unwrap().interrupts;
    assert!(open[0].rejected.as_deref().is_some_and(|words| words.contains("u64")), "{open:?}");
    let state = runner.answer("t", "ask@2.0", &5u64).await.unwrap().finished().unwrap();
    assert_eq!(state.small, 7);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_refused_and_the_default_counts() {
    let now = Arc::new(AtomicU64::new(1_700_000_000_000));
    let clock = now.clone();
    let clock: Clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let runner = asks().runner().checkpointer(MemoryCheckpointer::new()).clock(clock);
    runner.start("t", Log::update()).await.unwrap();
    runner.answer("t", "other@2.0", &2u64).await.unwrap();
    now.fetch_add(3_600_001, Ordering::SeqCst);
    assert_eq!(runner.answer("t", "ask@2.0", &5u64).await.unwrap_err().code(), "SW-X258");
    assert_eq!(runner.resume("t").await.unwrap().finished().unwrap().small, 9);
}

#[tokio::test]
async fn a_fan_out_of_10_001_is_refused_and_one_of_10_000_runs() {
    let graph = |parts: u64| {
        let mut g = StateGraph::<Log>::new("wide");
        let plan = g.func("plan", move |_: Ctx<Log>| async move { Ok(Spread::Parts((0..parts).collect())) });
        let part = g.func("part", async |_: Ctx<Log, u64>| Ok(Log::update()));
        g.start(plan);
        g.route(plan, SpreadEdges { parts: part.to() });
        g.end(part);
        g.build().unwrap()
    };
    let ran = Trial::of(&graph(10_001), Log::update()).run().await.unwrap();
    let Outcome::Failed(failures) = &ran.outcome else { panic!("{:?}", ran.outcome) };
    assert_eq!((failures[0].1.code.as_str(), ran.executions("part")), ("SW-X221", 0));
    let ran = Trial::of(&graph(10_000), Log::update()).run().await.unwrap();
    ran.assert_finished();
    assert_eq!(ran.executions("part"), 10_000);
}

#[tokio::test]
async fn a_state_that_cannot_be_serialised_fails_its_node() {
    let graph = around(async |_| Ok(Log::update().value(Stubborn(true))));
    assert_eq!(failure(&graph).await, "SW-X230");
}

#[tokio::test]
async fn a_node_and_a_reducer_that_panic_are_failures_with_codes() {
    let graph = around(
        async |ctx: Ctx<Log>| if ctx.attempt() > 0 { panic!("on purpose") } else { Ok(Log::update()) },
    );
    assert_eq!(failure(&graph).await, "SW-X241");
    assert_eq!(failure(&around(async |_| Ok(Log::update().small(100u64)))).await, "SW-X224");
}

#[tokio::test]
async fn a_step_name_that_is_used_twice_is_a_failure() {
    let graph = around(async |ctx: Ctx<Log>| {
        ctx.step("once").run(|| async { Ok(1u64) }).await?;
        ctx.step("once").run(|| async { Ok(2u64) }).await?;
        Ok(Log::update())
    });
    assert_eq!(failure(&graph).await, "SW-X251");
}

#[tokio::test]
async fn a_fork_of_a_checkpoint_that_is_missing_is_refused_and_makes_no_thread() {
    let store = MemoryCheckpointer::new();
    let runner = good().runner().checkpointer(store.clone());
    runner.start("t", Log::update()).await.unwrap();
    for (thread, seq) in [("t", 0), ("t", 99), ("nobody", 1), ("t", u64::MAX)] {
        let error = runner.fork(thread, seq, "copy", Log::update()).await.unwrap_err();
        assert_eq!(error.code(), "SW-X212", "{error}");
    }
    assert!(store.all(&"copy".into()).is_empty());
}
