//! What every journal promises, in one process: order, positions, fencing, sharing of commits.

use crate::common::{all, break_locks, fenced, open, place, positions, record, snapshot, take};
use futures_util::future::join_all;
use proptest::prelude::*;
use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};
use statewright_engine_runtime::{Checkpointer, Durability, StoreError};
use statewright_engine_sql::SqliteStore;

const LEVELS: [Durability; 3] = [Durability::Power, Durability::Process, Durability::Exit];

#[tokio::test]
async fn entries_come_back_in_order_and_unchanged_at_every_level_and_after_reopening() {
    for level in LEVELS {
        let (_folder, path) = place();
        let written = [record(1, b""), snapshot(2), record(3, &[0, 255, 0]), record(4, &vec![9; 1 << 20])];
        let store = open(&path).await;
        let mut journal = Checkpointer::open(&store, &"t".into(), level).await.unwrap();
        for entry in &written {
            journal.append(entry.clone()).await.unwrap();
        }
        assert_eq!(all(&store, "t").await, written);
        drop((journal, store));
        let store = open(&path).await;
        assert_eq!(all(&store, "t").await, written);
        assert_eq!(store.latest_snapshot(&"t".into()).await.unwrap(), Some(snapshot(2)));
        let mut journal = take(&store, "t").await;
        journal.append(record(5, b"later")).await.unwrap();
        assert_eq!(positions(&store, "t").await, [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn a_wrong_position_is_refused_and_changes_nothing() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let mut journal = take(&store, "t").await;
    for (seq, accepted) in
        [(0, false), (2, false), (1, true), (1, false), (3, false), (2, true), (9, false), (3, true)]
    {
        let expected = if accepted { Ok(()) } else { Err(fenced("t")) };
        assert_eq!(journal.append(record(seq, b"x")).await, expected, "position {seq}");
    }
    assert_eq!(positions(&store, "t").await, [1, 2, 3]);
    let beyond = journal.append(record(1 << 32, b"x")).await.unwrap_err();
    assert_eq!(beyond.code(), "SW-S432");
}

#[tokio::test]
async fn appends_without_waiting_are_stored_in_order_in_one_commit_each_batch() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let mut journal = take(&store, "t").await;
    // On a runtime with one thread the writer sees the queue only after all appends: 600 = 256 + 256 + 88.
    let acks: Vec<_> = (1..=600).map(|seq| journal.append(record(seq, &seq.to_le_bytes()))).collect();
    assert!(join_all(acks).await.into_iter().all(|ack| ack == Ok(())));
    let stats = store.writer_stats();
    assert_eq!((stats.commits, stats.entries), (3, 600));
    let expected: Vec<Entry> = (1..=600_u64).map(|seq| record(seq, &seq.to_le_bytes())).collect();
    assert_eq!(all(&store, "t").await, expected);
}

#[tokio::test]
async fn a_batch_stops_at_a_mebibyte() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let mut journal = take(&store, "t").await;
    let large = vec![1; 400 * 1024];
    let acks: Vec<_> = (1..=6).map(|seq| journal.append(record(seq, &large))).collect();
    join_all(acks).await.into_iter().for_each(|ack| ack.unwrap());
    assert_eq!(store.writer_stats().commits, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_threads_of_work_share_commits_and_lose_nothing() {
    const THREADS: u64 = 100;
    const ENTRIES: u64 = 20;
    let (_folder, path) = place();
    let store = open(&path).await;
    let work = (0..THREADS).map(|thread| {
        let store = store.clone();
        tokio::spawn(async move {
            let level = if thread % 2 == 0 { Durability::Power } else { Durability::Process };
            let mut journal = Checkpointer::open(&store, &format!("t{thread}").into(), level).await.unwrap();
            for seq in 1..=ENTRIES {
                journal.append(record(seq, &thread.to_le_bytes())).await.unwrap();
            }
        })
    });
    join_all(work).await.into_iter().for_each(|task| task.unwrap());
    for thread in 0..THREADS {
        assert_eq!(positions(&store, &format!("t{thread}")).await, (1..=ENTRIES).collect::<Vec<Seq>>());
    }
    let stats = store.writer_stats();
    assert_eq!(stats.entries, THREADS * ENTRIES);
    assert!(stats.commits < stats.entries / 4, "{} commits for {} entries", stats.commits, stats.entries);
}

#[tokio::test]
async fn a_second_driver_is_busy_until_the_first_gives_the_thread_back() {
    let (_folder, path) = place();
    let (store, other) = (open(&path).await, open(&path).await);
    let mut journal = take(&store, "t").await;
    for store in [&store, &other] {
        let refused = Checkpointer::open(store, &"t".into(), Durability::Power).await.err();
        assert_eq!(refused, Some(StoreError::Busy { thread: "t".into() }));
    }
    assert!(Checkpointer::open(&other, &"u".into(), Durability::Power).await.is_ok());
    journal.append(record(1, b"still mine")).await.unwrap();
    drop(journal);
    take(&other, "t").await.append(record(2, b"now mine")).await.unwrap();
}

#[tokio::test]
async fn a_dropped_journal_keeps_its_thread_until_its_queued_entries_are_stored() {
    let (_folder, path) = place();
    let store = open(&path).await;
    for round in 0..20 {
        let mut journal = take(&store, "t").await;
        for seq in 1..=50 {
            drop(journal.append(record(round * 50 + seq, b"nobody waits for this")));
        }
        drop(journal);
    }
    let _journal = take(&store, "t").await;
    assert_eq!(positions(&store, "t").await, (1..=1000).collect::<Vec<Seq>>());
}

#[tokio::test]
async fn a_driver_that_was_superseded_is_refused_for_ever_by_the_database_itself() {
    let (_folder, path) = place();
    let (store, other) = (open(&path).await, open(&path).await);
    let mut first = take(&store, "t").await;
    first.append(record(1, b"first")).await.unwrap();
    break_locks(&path);
    let mut second = take(&other, "t").await;
    assert_eq!(first.append(record(2, b"late")).await, Err(fenced("t")));
    second.append(record(2, b"second")).await.unwrap();
    for seq in [2, 3, 4] {
        assert_eq!(first.append(record(seq, b"late")).await, Err(fenced("t")));
    }
    second.append(record(3, b"second")).await.unwrap();
    assert_eq!(all(&store, "t").await, [record(1, b"first"), record(2, b"second"), record(3, b"second")]);
}

#[tokio::test]
async fn a_look_at_a_thread_tells_whether_it_is_driven_and_never_supersedes_its_driver() {
    let (_folder, path) = place();
    let (store, other) = (open(&path).await, open(&path).await);
    let thread = ThreadId::from("t");
    assert!(!other.is_driven(&thread).await.unwrap(), "nobody has heard of it");
    let mut journal = take(&store, "t").await;
    for store in [&store, &other] {
        assert!(store.is_driven(&thread).await.unwrap());
        assert!(!store.is_driven(&ThreadId::from("u")).await.unwrap());
    }
    journal.append(record(1, b"watched")).await.unwrap();
    // A driver that lost its lock looks as if it were gone; a look must not be what fences it.
    break_locks(&path);
    assert!(!other.is_driven(&thread).await.unwrap());
    journal.append(record(2, b"undisturbed")).await.unwrap();
    drop(journal);
    drop(take(&other, "t").await);
    store.close().await;
    other.close().await;
    assert!(!open(&path).await.is_driven(&thread).await.unwrap());
}

#[tokio::test]
async fn a_loser_in_a_batch_loses_alone() {
    for (others, each) in [(1, 1), (1, 3), (30, 1), (30, 7)] {
        let (_folder, path) = place();
        let store = open(&path).await;
        let mut loser = take(&store, "loser").await;
        loser.append(record(1, b"early")).await.unwrap();
        let mut journals = Vec::new();
        for other in 0..others {
            journals.push(take(&store, &format!("t{other}")).await);
        }
        break_locks(&path);
        let rival = open(&path).await;
        let _winner = take(&rival, "loser").await;
        let before = store.writer_stats().commits;
        let mut lost = Vec::new();
        let mut stored = Vec::new();
        for seq in 1..=each {
            lost.push(loser.append(record(seq + 1, b"late")));
            stored.extend(journals.iter_mut().map(|journal| journal.append(record(seq, b"fine"))));
        }
        assert!(join_all(stored).await.into_iter().all(|ack| ack == Ok(())));
        assert!(join_all(lost).await.into_iter().all(|ack| ack == Err(fenced("loser"))));
        assert_eq!(store.writer_stats().commits, before + 1, "they were one batch");
        assert_eq!(positions(&store, "loser").await, [1]);
        for other in 0..others {
            assert_eq!(positions(&store, &format!("t{other}")).await, (1..=each).collect::<Vec<Seq>>());
        }
    }
}

#[tokio::test]
async fn a_thread_nobody_wrote_is_empty() {
    let (_folder, path) = place();
    let store = open(&path).await;
    assert_eq!(all(&store, "never").await, []);
    assert_eq!(store.latest_snapshot(&"never".into()).await.unwrap(), None);
    let _journal = take(&store, "only opened").await;
    assert_eq!(all(&store, "only opened").await, []);
}

#[tokio::test]
async fn names_of_threads_are_taken_as_they_are() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let names = ["", "../../etc", "a/b\0c", "ünï", "' OR 1=1 --", &"long".repeat(2000)];
    for (index, name) in names.iter().enumerate() {
        take(&store, name).await.append(record(1, &[u8::try_from(index).unwrap()])).await.unwrap();
    }
    for (index, name) in names.iter().enumerate() {
        assert_eq!(all(&store, name).await, [record(1, &[u8::try_from(index).unwrap()])]);
    }
}

fn entries_of(kinds: &[bool]) -> Vec<Entry> {
    let entry = |(at, snapshot): (usize, &bool)| Entry {
        seq: at as Seq + 1,
        kind: if *snapshot { EntryKind::Snapshot } else { EntryKind::Record },
        bytes: vec![u8::try_from(at).unwrap(); at * 37],
    };
    kinds.iter().enumerate().map(entry).collect()
}

async fn read_back(
    store: &SqliteStore,
    written: &[Entry],
    ranges: &[(Seq, Seq)],
) -> Result<(), TestCaseError> {
    let thread = ThreadId::from("t");
    let found = store.entries(&thread, ranges).await.unwrap();
    let wanted = |entry: &&Entry| ranges.iter().any(|(from, to)| (*from..=*to).contains(&entry.seq));
    prop_assert_eq!(found, written.iter().filter(wanted).cloned().collect::<Vec<_>>());
    let last = written.iter().rfind(|entry| entry.kind == EntryKind::Snapshot).cloned();
    prop_assert_eq!(store.latest_snapshot(&thread).await.unwrap(), last);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_ranges_give_exactly_the_entries_in_them(
        kinds in prop::collection::vec(prop::bool::weighted(0.2), 0..40),
        ranges in prop::collection::vec((0_u64..50, prop_oneof![0_u64..50, Just(u64::MAX)]), 0..8),
        neighbours in prop::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, path) = place();
            let store = open(&path).await;
            let written = entries_of(&kinds);
            let names = if neighbours { vec!["before", "t", "after"] } else { vec!["t"] };
            for name in names {
                let mut journal = take(&store, name).await;
                let acks: Vec<_> = written.iter().map(|entry| journal.append(entry.clone())).collect();
                join_all(acks).await.into_iter().for_each(|ack| ack.unwrap());
            }
            read_back(&store, &written, &ranges).await
        })?;
    }
}
