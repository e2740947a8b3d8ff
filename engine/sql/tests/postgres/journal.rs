//! What every journal promises, on a server: order, fencing by the database itself, sharing of commits, names.

use futures_util::future::join_all;
use statewright_engine_core::{Entry, Seq};
use statewright_engine_runtime::{Checkpointer, Durability};

use crate::common::{all, fenced, open, place, positions, record, sql, take};

#[tokio::test]
async fn entries_on_a_server_come_back_unchanged_at_every_level_and_after_reopening() {
    for level in [Durability::Power, Durability::Process, Durability::Exit] {
        let Some(url) = place() else { return };
        let written = [record(1, b""), record(2, &[0, 255, 0]), record(3, &vec![9; 1 << 20])];
        let store = open(&url).await;
        let mut journal = Checkpointer::open(&store, &"t".into(), level).await.unwrap();
        for entry in &written {
            journal.append(entry.clone()).await.unwrap();
        }
        drop((journal, store));
        let store = open(&url).await;
        assert_eq!(all(&store, "t").await, written);
        take(&store, "t").await.append(record(4, b"later")).await.unwrap();
        assert_eq!(positions(&store, "t").await, [1, 2, 3, 4]);
    }
}

/// Another driver began an epoch although the lock is held, as behind a pooler that mixes up sessions.
#[tokio::test]
async fn a_loser_in_a_batch_on_a_server_loses_alone() {
    let Some(url) = place() else { return };
    let store = open(&url).await;
    let mut loser = take(&store, "loser").await;
    loser.append(record(1, b"early")).await.unwrap();
    let mut journals = Vec::new();
    for other in 0..30 {
        journals.push(take(&store, &format!("t{other}")).await);
    }
    sql(&url, "UPDATE statewright.threads SET epoch = epoch + 1 WHERE thread = 'loser'").await;
    let before = store.writer_stats().commits;
    let (mut lost, mut stored) = (Vec::new(), Vec::new());
    for seq in 1..=7 {
        lost.push(loser.append(record(seq + 1, b"late")));
        stored.extend(journals.iter_mut().map(|journal| journal.append(record(seq, b"fine"))));
    }
    assert!(join_all(stored).await.into_iter().all(|ack| ack == Ok(())));
    assert!(join_all(lost).await.into_iter().all(|ack| ack == Err(fenced("loser"))));
    assert_eq!(store.writer_stats().commits, before + 1, "they were one batch");
    assert_eq!(positions(&store, "loser").await, [1]);
    for other in 0..30 {
        assert_eq!(positions(&store, &format!("t{other}")).await, (1..=7).collect::<Vec<Seq>>());
    }
}

/// A driver that was cut off is in the middle of a commit when its successor begins: what it stores is either refused,
/// or seen by the successor. Never both, and the successor's batch never fails for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_on_a_server_waits_for_the_commit_that_it_ends() {
    let Some(url) = place() else { return };
    let store = open(&url).await;
    for round in 0..40 {
        let thread = format!("t{round}");
        let mut journal = take(&store, &thread).await;
        let acks: Vec<_> = (1..=300).map(|seq| journal.append(record(seq, &[7; 500]))).collect();
        let mut rival = crate::common::raw(&url).await;
        let bump = "UPDATE statewright.threads SET epoch = epoch + 1 WHERE thread = $1 RETURNING id";
        let row: i64 = sqlx::query_scalar(bump).bind(&thread).fetch_one(&mut rival).await.unwrap();
        let seen = "SELECT count(*) FROM statewright.entries WHERE id >> 32 = $1";
        let seen: i64 = sqlx::query_scalar(seen).bind(row).fetch_one(&mut rival).await.unwrap();
        let stored = join_all(acks).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(i64::try_from(stored).unwrap(), seen, "nothing is stored behind a successor's back");
        assert_eq!(positions(&store, &thread).await.len(), stored);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_threads_of_work_on_a_server_share_commits_and_lose_nothing() {
    let Some(url) = place() else { return };
    let store = open(&url).await;
    let work = (0..100_u64).map(|thread| {
        let store = store.clone();
        tokio::spawn(async move {
            let level = if thread % 2 == 0 { Durability::Power } else { Durability::Process };
            let mut journal = Checkpointer::open(&store, &format!("t{thread}").into(), level).await.unwrap();
            for seq in 1..=20 {
                journal.append(record(seq, &thread.to_le_bytes())).await.unwrap();
            }
        })
    });
    join_all(work).await.into_iter().for_each(|task| task.unwrap());
    for thread in 0..100_u64 {
        let expected: Vec<Entry> = (1..=20).map(|seq| record(seq, &thread.to_le_bytes())).collect();
        assert_eq!(all(&store, &format!("t{thread}")).await, expected);
    }
    let stats = store.writer_stats();
    assert_eq!(stats.entries, 2_000);
    assert!(stats.commits < stats.entries / 4, "{} commits for {} entries", stats.commits, stats.entries);
}

#[tokio::test]
async fn a_dropped_journal_on_a_server_gives_its_thread_to_others() {
    let Some(url) = place() else { return };
    let (store, other) = (open(&url).await, open(&url).await);
    for round in 0..20 {
        let mut journal = take(if round % 2 == 0 { &store } else { &other }, "t").await;
        for seq in 1..=50 {
            drop(journal.append(record(round * 50 + seq, b"nobody waits for this")));
        }
    }
    let _journal = take(&store, "t").await;
    assert_eq!(positions(&store, "t").await, (1..=1000).collect::<Vec<Seq>>());
}

#[tokio::test]
async fn names_that_a_server_cannot_hold_are_refused_with_a_code() {
    let Some(url) = place() else { return };
    let store = open(&url).await;
    for name in ["", "../../etc", "ünï 🦀", "' OR 1=1 --", &"long".repeat(400)] {
        take(&store, name).await.append(record(1, name.as_bytes())).await.unwrap();
        assert_eq!(all(&store, name).await, [record(1, name.as_bytes())]);
    }
    let noise: String = (0..9_000_u32).map(|n| char::from_u32(0x4e00 + n * 7919 % 20_000).unwrap()).collect();
    for name in ["a\0b", &noise] {
        let refused = Checkpointer::open(&store, &name.into(), Durability::Power).await.err();
        assert_eq!(refused.map(|error| error.code()), Some("SW-S436"));
    }
    take(&store, "it goes on").await.append(record(1, b"x")).await.unwrap();
}

#[tokio::test]
async fn a_row_on_a_server_that_somebody_broke_is_reported() {
    let Some(url) = place() else { return };
    let store = open(&url).await;
    take(&store, "t").await.append(record(1, b"x")).await.unwrap();
    sql(&url, "UPDATE statewright.entries SET kind = 7").await;
    let error = store.entries(&"t".into(), &[(1, 9)]).await.unwrap_err();
    assert_eq!(error.code(), "SW-S427", "{error}");
}
