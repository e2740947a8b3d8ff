//! A process that ends itself on either side of a commit: before, the entry is not there; after, it is.

use std::os::unix::process::ExitStatusExt;

use crate::common::{all, child, open, place, record, store_path, take};

#[tokio::test]
#[ignore = "a program that the other tests start"]
async fn appender() {
    let Some(path) = store_path() else { return };
    let store = open(&path).await;
    let mut journal = take(&store, "t").await;
    for seq in 1..=5 {
        journal.append(record(seq, b"x")).await.unwrap();
    }
}

#[tokio::test]
async fn the_process_ends_before_or_after_each_commit_of_entries_and_at_no_other() {
    const SIGABRT: i32 = 6;
    for (at, entries) in [("before:1", 0), ("after:1", 1), ("before:4", 3), ("after:4", 4), ("after:5", 5)] {
        let (_folder, path) = place();
        let output = child("fail_points::appender", &path).env("STATEWRIGHT_FAIL_AT", at).output().unwrap();
        assert_eq!(output.status.signal(), Some(SIGABRT), "{at}");
        assert_eq!(all(&open(&path).await, "t").await.len(), entries, "{at}");
    }
    let (_folder, path) = place();
    let output =
        child("fail_points::appender", &path).env("STATEWRIGHT_FAIL_AT", "before:6").output().unwrap();
    assert!(output.status.success());
}
