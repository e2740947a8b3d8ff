//! Which threads a store has, and how they are deleted: alone, beside others, while they are driven, and at the moment
//! at which somebody begins to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{
    Checkpointer, Ctx, Durability, Entry, EntryKind, Journal, NodeError, Outcome, Runner, Seq, State,
    StateGraph, StoreError, ThreadId,
};
use tokio::sync::Barrier;

const EVERYTHING: [(Seq, Seq); 1] = [(1, u64::MAX >> 1)];

/// Checks the listing and the deletion of threads. `make` gives an empty store each time.
///
/// # Panics
/// With the promise that the store does not keep.
pub async fn deletes_threads(make: impl Fn() -> Arc<dyn Checkpointer>) {
    threads_are_listed_by_name_in_pages(&*make()).await;
    a_deleted_thread_is_as_if_it_had_never_been(&*make()).await;
    a_thread_that_is_driven_is_not_deleted(&*make()).await;
    a_thread_that_has_gone_on_is_not_deleted(&*make()).await;
    a_fork_outlives_its_origin(make()).await;
}

async fn threads_are_listed_by_name_in_pages(store: &dyn Checkpointer) {
    assert_eq!(list(store, None, 10).await, [], "an empty store has no threads");
    let names = ["Z", "a", "a b", "ä", "é\"'%_"];
    for (name, last) in names.into_iter().zip(1..) {
        write(store, &name.into(), 1, last).await;
    }
    drop(open(store, &"opened and left".into()).await);
    let wanted: Vec<(ThreadId, Seq)> = names.map(ThreadId::from).into_iter().zip(1..).collect();
    assert_eq!(list(store, None, 10).await, wanted, "by the bytes of their names, without empty ones");
    for page in 1..=3 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let listed = list(store, after.as_ref(), page).await;
            assert!(listed.len() <= page as usize, "a page has at most {page} threads");
            let Some((last, _)) = listed.last() else { break };
            after = Some(last.clone());
            found.extend(listed);
        }
        assert_eq!(found, wanted, "in pages of {page}");
    }
}

async fn a_deleted_thread_is_as_if_it_had_never_been(store: &dyn Checkpointer) {
    let (thread, other) = (ThreadId::new("gone"), ThreadId::new("stays"));
    for round in 0..3 {
        write(store, &other, round * 2 + 1, round * 2 + 2).await;
        write(store, &thread, 1, 5).await;
        assert!(delete(store, &thread).await, "there was a thread to delete");
        assert!(!delete(store, &thread).await, "there is none any more");
        assert_eq!(read(store, &thread).await, [], "a deleted thread has no entries");
        match store.latest_snapshot(&thread).await {
            Ok(found) => assert_eq!(found, None, "a deleted thread has no snapshot"),
            Err(error) => panic!("the latest snapshot of a deleted thread cannot be asked for: {error}"),
        }
        let kept = round * 2 + 2;
        assert_eq!(list(store, None, 9).await, [(other.clone(), kept)], "the other one is listed alone");
        assert_eq!(read(store, &other).await.len() as Seq, kept, "another thread loses nothing");
    }
    write(store, &thread, 1, 2).await;
    assert_eq!(read(store, &thread).await.len(), 2, "the name can be used again, from the first position on");
}

async fn a_thread_that_is_driven_is_not_deleted(store: &dyn Checkpointer) {
    let thread = ThreadId::new("driven");
    let mut journal = open(store, &thread).await;
    append(&mut *journal, 1, 2).await;
    match store.delete(&thread, None).await {
        Err(StoreError::Busy { thread: named }) => assert_eq!(named, thread, "the error names the thread"),
        other => panic!("deleting a thread that is driven gives {other:?} instead of StoreError::Busy"),
    }
    append(&mut *journal, 3, 3).await;
    assert_eq!(read(store, &thread).await.len(), 3, "the refusal did no harm");
    drop(journal);
    assert!(delete(store, &thread).await);
}

async fn a_thread_that_has_gone_on_is_not_deleted(store: &dyn Checkpointer) {
    let thread = ThreadId::new("goes on");
    write(store, &thread, 1, 4).await;
    for wrong in [0, 3, 5] {
        match store.delete(&thread, Some(wrong)).await {
            Err(StoreError::Moved { thread: named }) => assert_eq!(named, thread, "the error names it"),
            other => panic!("deleting it as of entry {wrong} of 4 gives {other:?}, not StoreError::Moved"),
        }
    }
    write(store, &thread, 5, 6).await;
    assert_eq!(read(store, &thread).await.len(), 6, "the refusal changed nothing");
    match store.delete(&thread, Some(6)).await {
        Ok(true) => assert_eq!(read(store, &thread).await, []),
        other => panic!("deleting it as of its last entry gives {other:?}"),
    }
}

/// Checks that a driver that was cut off writes nothing any more once its thread is deleted, neither into that nor into
/// one that came later. `forget` makes the store forget who holds the thread, as when a driver is cut off and does not
/// know it.
///
/// # Panics
/// With what the store lets such a driver do.
pub async fn a_deleted_thread_is_not_written_by_a_superseded_driver(
    store: Arc<dyn Checkpointer>,
    forget: impl AsyncFn(&ThreadId),
) {
    let store = &*store;
    for round in 0..3 {
        let thread = ThreadId::new(format!("superseded {round}"));
        let mut first = open(store, &thread).await;
        append(&mut *first, 1, 2).await;
        forget(&thread).await;
        assert!(delete(store, &thread).await);
        let later = ThreadId::new(format!("later {round}"));
        let mut second = open(store, &later).await;
        for late in 1..=4 {
            assert!(first.append(record(late)).await.is_err(), "a superseded driver stores entry {late}");
        }
        append(&mut *second, 1, 3).await;
        assert!(first.append(record(4)).await.is_err(), "its position is right, and its thread is not");
        drop(first);
        assert_eq!((read(store, &thread).await.len(), read(store, &later).await.len()), (0, 3));
        drop(second);
    }
}

/// Lets drivers and deletions reach for one thread at the same moment, again and again, over one or several stores on
/// the same data. Each time either the deletion is refused, or the driver begins an empty thread.
///
/// # Panics
/// If both win, or something of the winner's is lost.
pub async fn of_a_start_and_a_deletion_one_wins(stores: &[Arc<dyn Checkpointer>], rounds: usize) {
    let thread = ThreadId::new("wanted and unwanted");
    for round in 0..rounds {
        let before = read(&*stores[0], &thread).await.len();
        if before == 0 {
            write(&*stores[0], &thread, 1, 2).await;
        }
        let (begin, end) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (ours, theirs) = (Arc::clone(&stores[round % stores.len()]), (begin.clone(), end.clone()));
        let (name, store) = (thread.clone(), Arc::clone(&stores[(round + 1) % stores.len()]));
        let driver = tokio::spawn(async move {
            theirs.0.wait().await;
            let mut journal = match ours.open(&name, Durability::Power).await {
                Ok(journal) => journal,
                Err(StoreError::Busy { .. }) => {
                    theirs.1.wait().await;
                    return None;
                }
                Err(error) => panic!("a driver that comes at the moment of a deletion gets `{error}`"),
            };
            let found = read(&*ours, &name).await.len() as Seq;
            append(&mut *journal, found + 1, found + 2).await;
            // Held until the deletion has been tried.
            theirs.1.wait().await;
            Some(found)
        });
        begin.wait().await;
        let deleted = match store.delete(&thread, None).await {
            Ok(deleted) => deleted,
            Err(StoreError::Busy { .. }) => false,
            Err(error) => panic!("a deletion at the moment of a start gets `{error}`"),
        };
        end.wait().await;
        let driven = match driver.await {
            Ok(driven) => driven,
            Err(error) => panic!("a driver failed: {error}"),
        };
        let left = read(&*stores[0], &thread).await.len() as Seq;
        match driven {
            Some(found) => {
                assert_eq!(found == 0, deleted, "who drives sees the whole thread, or a deletion won");
                assert_eq!(left, found + 2, "what the driver wrote stays");
            }
            None => assert_eq!((deleted, left), (true, 0), "a driver gives way to a deletion only"),
        }
    }
}

/// The state of the graph that is forked.
#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tale {
    #[reduce(append)]
    lines: Vec<String>,
}

async fn a_fork_outlives_its_origin(store: Arc<dyn Checkpointer>) {
    async fn line(ctx: Ctx<Tale>) -> Result<TaleUpdate, NodeError> {
        Ok(Tale::update().lines(format!("{} {}", ctx.node(), "x".repeat(2_000))))
    }
    let mut g = StateGraph::<Tale>::new("tale");
    let nodes = ["one", "two", "three"].map(|name| g.func(name, line));
    g.start(nodes[0]);
    g.edge(nodes[0], nodes[1]);
    g.edge(nodes[1], nodes[2]);
    g.end(nodes[2]);
    let Ok(graph) = g.build() else { panic!("the graph of this suite does not build") };
    let runner = Runner::new(graph).shared_checkpointer(store.clone());
    let told = async {
        let original = runner.start("origin", Tale::update()).await?;
        let history = runner.history("origin").await?;
        runner.fork("origin", history[2].seq, "fork", Tale::update()).await?;
        assert!(delete(&*store, &"origin".into()).await);
        let fork = runner.resume("fork").await?;
        assert_eq!((fork.outcome, &fork.state), (Outcome::Finished, &original.state));
        let loaded = runner.load("fork").await?;
        assert_eq!((loaded.origin, loaded.state), (Some(("origin".into(), history[2].seq)), original.state));
        Ok::<_, statewright_engine_runtime::RunError>(())
    };
    if let Err(error) = told.await {
        panic!("a fork does not outlive its origin: {error}");
    }
}

fn record(seq: Seq) -> Entry {
    let kind = if seq == 2 { EntryKind::Snapshot } else { EntryKind::Record };
    Entry { seq, kind, bytes: format!("entry {seq}").into_bytes() }
}

async fn open(store: &dyn Checkpointer, thread: &ThreadId) -> Box<dyn Journal> {
    match store.open(thread, Durability::Power).await {
        Ok(journal) => journal,
        Err(error) => panic!("the thread `{thread}` cannot be opened: {error}"),
    }
}

async fn append(journal: &mut dyn Journal, from: Seq, to: Seq) {
    for seq in from..=to {
        if let Err(error) = journal.append(record(seq)).await {
            panic!("entry {seq} at the next position is refused: {error}");
        }
    }
}

async fn write(store: &dyn Checkpointer, thread: &ThreadId, from: Seq, to: Seq) {
    append(&mut *open(store, thread).await, from, to).await;
}

async fn read(store: &dyn Checkpointer, thread: &ThreadId) -> Vec<Entry> {
    match store.entries(thread, &EVERYTHING).await {
        Ok(entries) => entries,
        Err(error) => panic!("the entries of `{thread}` cannot be read: {error}"),
    }
}

async fn delete(store: &dyn Checkpointer, thread: &ThreadId) -> bool {
    match store.delete(thread, None).await {
        Ok(deleted) => deleted,
        Err(error) => panic!("the free thread `{thread}` cannot be deleted: {error}"),
    }
}

async fn list(store: &dyn Checkpointer, after: Option<&ThreadId>, threads_max: u32) -> Vec<(ThreadId, Seq)> {
    match store.list(after, threads_max).await {
        Ok(listed) => listed,
        Err(error) => panic!("the threads cannot be listed: {error}"),
    }
}
