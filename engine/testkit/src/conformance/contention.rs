//! Who has a thread when many want it, and what is left when many write at once.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{
    Checkpointer, Ctx, Durability, Entry, EntryKind, Graph, Journal, NodeError, Outcome, Seq, State,
    StateGraph, Status, StoreError, ThreadId,
};
use tokio::sync::Barrier;

const LEVELS: [Durability; 3] = [Durability::Power, Durability::Process, Durability::Exit];

/// Checks that a driver whose thread was taken over is refused for ever. `forget` makes the store forget who holds
/// the thread, as when a driver is cut off and does not know it.
///
/// # Panics
/// With what the store lets such a driver do.
pub async fn a_superseded_driver_is_refused_for_ever(
    store: Arc<dyn Checkpointer>,
    forget: impl AsyncFn(&ThreadId),
) {
    for level in LEVELS {
        let thread = ThreadId::new(format!("superseded at {}", level.name()));
        let mut first = open(&*store, &thread, level).await;
        let mut wanted = vec![entry(1, "first")];
        stored(&mut *first, &wanted[0]).await;
        forget(&thread).await;
        let mut second = open(&*store, &thread, level).await;
        for seq in 2..6 {
            for late in [seq, seq + 1, 1] {
                refused(&mut *first, entry(late, "late")).await;
            }
            wanted.push(entry(seq, "second"));
            stored(&mut *second, &entry(seq, "second")).await;
            refused(&mut *first, entry(seq + 1, "late")).await;
        }
        drop(first);
        match store.open(&thread, level).await {
            Err(StoreError::Busy { .. }) => {}
            Err(error) => panic!("opening a held thread gives `{error}` instead of StoreError::Busy"),
            Ok(_) => panic!("the end of a superseded driver gives away the thread of its successor"),
        }
        assert_eq!(read(&*store, &thread).await, wanted, "only the successor's entries are stored");
    }
}

/// Lets many drivers reach for one thread at the same moment, over one or several stores on the same data.
///
/// # Panics
/// If not exactly one gets it, or the others get anything but [`StoreError::Busy`].
pub async fn of_many_drivers_one_wins(stores: &[Arc<dyn Checkpointer>], drivers: usize) {
    let thread = ThreadId::new("wanted by many");
    let (begin, end) = (Arc::new(Barrier::new(drivers)), Arc::new(Barrier::new(drivers)));
    let racers = stores.iter().cycle().take(drivers).enumerate().map(|(number, store)| {
        let (store, thread) = (Arc::clone(store), thread.clone());
        let (begin, end) = (Arc::clone(&begin), Arc::clone(&end));
        tokio::spawn(async move {
            begin.wait().await;
            let mut taken = store.open(&thread, Durability::Power).await;
            if let Ok(journal) = &mut taken {
                for seq in 1..=3 {
                    stored(&mut **journal, &entry(seq, &format!("driver {number}"))).await;
                }
            }
            // The winner keeps the thread until everybody has tried.
            end.wait().await;
            taken.map(|_| number)
        })
    });
    let mut winners = Vec::new();
    for result in join_all(racers).await {
        match result {
            Ok(Ok(number)) => winners.push(number),
            Ok(Err(StoreError::Busy { thread: named })) => {
                assert_eq!(named, thread, "the error names the thread");
            }
            Ok(Err(error)) => {
                panic!("a driver that lost the race gets `{error}` instead of StoreError::Busy")
            }
            Err(error) => panic!("a driver failed: {error}"),
        }
    }
    let [winner] = winners[..] else { panic!("{} of {drivers} drivers got the thread", winners.len()) };
    let wanted: Vec<Entry> = (1..=3).map(|seq| entry(seq, &format!("driver {winner}"))).collect();
    assert_eq!(read(&*stores[0], &thread).await, wanted, "what is stored is the winner's");
}

/// The state of the graph that is run many times.
#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    number: u64,
    #[reduce(sum)]
    total: u64,
    #[reduce(append)]
    log: Vec<String>,
}

fn tally() -> Option<Graph<Tally>> {
    async fn add(ctx: Ctx<Tally>) -> Result<TallyUpdate, NodeError> {
        Ok(Tally::update().total(ctx.state.number).log(format!(
            "{} of {}",
            ctx.state.log.len(),
            ctx.state.number
        )))
    }
    let mut g = StateGraph::<Tally>::new("tally");
    let first = g.func("first", add);
    let (left, right) = (g.func("left", add), g.func("right", add));
    let last = g.func("last", add);
    g.start(first);
    g.edge(first, left.to().and(right));
    g.join((left, right), last);
    g.end(last);
    g.build().ok()
}

/// Runs a graph on many threads at the same time, and reads all of them back.
///
/// # Panics
/// With the run that lost an update, or got one of another.
pub async fn many_runs_at_once_lose_no_update(store: Arc<dyn Checkpointer>, runs: u64) {
    let Some(graph) = tally() else { panic!("the graph of this suite does not build") };
    let runner = graph.runner().shared_checkpointer(store).durability(Durability::Process);
    let driven = (1..=runs).map(|number| {
        let runner = runner.clone();
        tokio::spawn(
            async move { runner.start(format!("run {number}"), Tally::update().number(number)).await },
        )
    });
    for (result, number) in join_all(driven).await.into_iter().zip(1..) {
        match result {
            Ok(Ok(report)) => assert_eq!(report.outcome, Outcome::Finished, "run {number}"),
            Ok(Err(error)) => panic!("run {number} of {runs} failed: {error}"),
            Err(error) => panic!("run {number} of {runs} failed: {error}"),
        }
    }
    for number in 1..=runs {
        let stand = match runner.load(format!("run {number}")).await {
            Ok(stand) => stand,
            Err(error) => panic!("run {number} cannot be loaded: {error}"),
        };
        let log = [0, 1, 1, 3].map(|place| format!("{place} of {number}")).to_vec();
        assert_eq!(*stand.state, Tally { number, total: 4 * number, log }, "run {number} of {runs}");
        assert_eq!(stand.status, Status::Stopped(Outcome::Finished), "run {number}");
    }
}

fn entry(seq: Seq, text: &str) -> Entry {
    Entry { seq, kind: EntryKind::Record, bytes: text.as_bytes().to_vec() }
}

async fn open(store: &dyn Checkpointer, thread: &ThreadId, level: Durability) -> Box<dyn Journal> {
    match store.open(thread, level).await {
        Ok(journal) => journal,
        Err(error) => panic!("the thread `{thread}` cannot be opened: {error}"),
    }
}

async fn read(store: &dyn Checkpointer, thread: &ThreadId) -> Vec<Entry> {
    match store.entries(thread, &[(1, u64::MAX >> 1)]).await {
        Ok(entries) => entries,
        Err(error) => panic!("the entries of `{thread}` cannot be read: {error}"),
    }
}

async fn stored(journal: &mut dyn Journal, entry: &Entry) {
    if let Err(error) = journal.append(entry.clone()).await {
        panic!("entry {} of the driver that holds the thread is refused: {error}", entry.seq);
    }
}

async fn refused(journal: &mut dyn Journal, entry: Entry) {
    let seq = entry.seq;
    assert!(journal.append(entry).await.is_err(), "a superseded driver stores entry {seq}");
}
