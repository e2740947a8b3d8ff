//! No room: nothing is acknowledged that is not stored, and work goes on once there is room again.

use crate::common::{place, positions, record, sql, take};
use futures_util::future::join_all;
use statewright_engine_runtime::StoreError;
use statewright_engine_sql::{SqliteOptions, SqliteStore};

#[tokio::test]
async fn a_full_disk_refuses_entries_and_lets_them_in_once_there_is_room() {
    let (_folder, path) = place();
    let options = SqliteOptions { pages_max: Some(120), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let mut ballast = take(&store, "ballast").await;
    ballast.append(record(1, &[1; 200_000])).await.unwrap();
    let mut journal = take(&store, "t").await;
    let mut last = 0;
    let error = loop {
        match journal.append(record(last + 1, &[2; 20_000])).await {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }) && error.code() == "SW-S403", "{error}");
    assert!(last > 0);

    // Whatever is queued behind it, or comes later, is refused for the same reason, in one batch or alone.
    let acks: Vec<_> = (1..=3).map(|ahead| journal.append(record(last + ahead, &[2; 20_000]))).collect();
    assert!(join_all(acks).await.into_iter().all(|ack| ack == Err(error.clone())));
    assert_eq!(journal.append(record(last + 2, b"small")).await, Err(error.clone()));
    assert_eq!(positions(&store, "t").await, (1..=last).collect::<Vec<_>>());

    sql(&path, "DELETE FROM entries WHERE length(bytes) = 200000").await;
    let acks: Vec<_> = (1..=3).map(|ahead| journal.append(record(last + ahead, &[2; 20_000]))).collect();
    join_all(acks).await.into_iter().for_each(|ack| ack.unwrap());
    assert_eq!(positions(&store, "t").await, (1..=last + 3).collect::<Vec<_>>());
}
