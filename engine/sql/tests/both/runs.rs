//! The table of runs, on each database: `Place` is where one lies.

use crate::common::Place;
use serde_json::json;
use statewright_engine_core::{Entry, EntryKind, RunId};
use statewright_engine_runtime::{Checkpointer, Durability};
use statewright_engine_sql::{FoundRun, RunFilter, RunRow};

fn row(run: &str, created_ms: u64) -> RunRow {
    RunRow {
        run: run.into(),
        thread: format!("thread of {run}").into(),
        graph: if created_ms.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
        label: "150 × 223.48?".to_owned(),
        meta: json!({"list": [1, 2.5, null], "text": "ü'\"\0"}),
        status: "running".to_owned(),
        created_ms,
        updated_ms: created_ms,
        detail: None,
    }
}

fn names(rows: &[RunRow]) -> Vec<&str> {
    rows.iter().map(|row| row.run.as_str()).collect()
}

#[tokio::test]
async fn a_run_is_recorded_changed_and_found_again_by_another_store() {
    let Some(place) = Place::new() else { return };
    let store = place.open().await;
    store.record_run(row("r1", 5)).await.unwrap();
    let other = place.open().await;
    assert_eq!(other.find_run("r1").await.unwrap(), FoundRun::One(Box::new(row("r1", 5))));
    assert!(other.update_run(&"r1".into(), "failed", Some("no disk"), 9).await.unwrap());
    let changed =
        RunRow { status: "failed".into(), detail: Some("no disk".into()), updated_ms: 9, ..row("r1", 5) };
    assert_eq!(store.find_run("r1").await.unwrap(), FoundRun::One(Box::new(changed)));
    assert!(!store.update_run(&"r2".into(), "failed", None, 9).await.unwrap());
    assert_eq!(store.thread_of(&"r1".into()).await.unwrap(), Some("thread of r1".into()));
    assert_eq!(store.thread_of(&"r2".into()).await.unwrap(), None);
}

#[tokio::test]
async fn an_id_is_recorded_once() {
    let Some(place) = Place::new() else { return };
    let store = place.open().await;
    store.record_run(row("r1", 5)).await.unwrap();
    let error = store.record_run(RunRow { label: "other".into(), ..row("r1", 6) }).await.unwrap_err();
    assert_eq!(error.code(), "SW-S430");
    assert!(error.to_string().contains("`r1`"), "{error}");
    assert_eq!(store.runs(&RunFilter::default(), 9).await.unwrap(), [row("r1", 5)]);
}

#[tokio::test]
async fn runs_are_listed_newest_first_filtered_and_limited() {
    let Some(place) = Place::new() else { return };
    let store = place.open().await;
    for (name, created_ms) in [("a", 3), ("b", 1), ("c", 2), ("d", 2)] {
        store.record_run(row(name, created_ms)).await.unwrap();
    }
    store.update_run(&"c".into(), "finished", None, 7).await.unwrap();
    let graph = |graph: &str| RunFilter { graph: Some(graph.into()), ..RunFilter::default() };
    let cases = [
        (RunFilter::default(), 9, vec!["a", "d", "c", "b"]),
        (RunFilter::default(), 2, vec!["a", "d"]),
        (RunFilter::default(), 0, vec![]),
        (graph("even"), 9, vec!["d", "c"]),
        (RunFilter { status: Some("running".into()), ..graph("even") }, 9, vec!["d"]),
        (RunFilter { thread: Some("thread of b".into()), ..RunFilter::default() }, 9, vec!["b"]),
        (graph("' OR 1=1 --"), 9, vec![]),
    ];
    for (filter, limit, expected) in cases {
        assert_eq!(names(&store.runs(&filter, limit).await.unwrap()), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_run_is_found_by_a_beginning_that_only_it_has() {
    let Some(place) = Place::new() else { return };
    let store = place.open().await;
    for name in ["ab", "abc1", "abd2", "b%", "b_"] {
        store.record_run(row(name, 1)).await.unwrap();
    }
    for index in 0..15 {
        store.record_run(row(&format!("many{index:02}"), 1)).await.unwrap();
    }
    let one = |name: &str| FoundRun::One(Box::new(row(name, 1)));
    let several = |names: &[&str], more| FoundRun::Ambiguous {
        candidates: names.iter().map(|name| RunId::from(*name)).collect(),
        more,
    };
    let ten: Vec<String> = (0..10).map(|index| format!("many{index:02}")).collect();
    let cases = [
        ("", FoundRun::None),
        ("x", FoundRun::None),
        ("abc12", FoundRun::None),
        ("ab", one("ab")),
        ("abc", one("abc1")),
        ("b%", one("b%")),
        ("a", several(&["ab", "abc1", "abd2"], false)),
        ("b", several(&["b%", "b_"], false)),
        ("many", several(&ten.iter().map(String::as_str).collect::<Vec<_>>(), true)),
    ];
    for (prefix, expected) in cases {
        assert_eq!(store.find_run(prefix).await.unwrap(), expected, "`{prefix}`");
    }
}

#[tokio::test]
async fn a_request_to_cancel_reaches_other_stores_and_needs_a_run() {
    let Some(place) = Place::new() else { return };
    let (store, other) = (place.open().await, place.open().await);
    let run = RunId::from("r1");
    assert!(!store.request_cancel(&run).await.unwrap());
    store.record_run(row("r1", 1)).await.unwrap();
    assert!(!store.cancel_requested(&run).await.unwrap());
    assert!(other.request_cancel(&run).await.unwrap() && other.request_cancel(&run).await.unwrap());
    assert!(store.cancel_requested(&run).await.unwrap());
    assert!(!store.cancel_requested(&"r2".into()).await.unwrap());
}

#[tokio::test]
async fn a_row_that_somebody_broke_is_reported() {
    let Some(place) = Place::new() else { return };
    let store = place.open().await;
    store.record_run(row("r1", 1)).await.unwrap();
    place.sql("UPDATE runs SET meta = '{'").await;
    let error = store.runs(&RunFilter::default(), 9).await.unwrap_err();
    assert_eq!(error.code(), "SW-S427", "{error}");
}

#[tokio::test]
async fn a_deleted_thread_takes_its_runs_along_and_no_others() {
    let Some(place) = Place::new() else { return };
    let store = place.open().await;
    for name in ["r1", "r2"] {
        store.record_run(row(name, 1)).await.unwrap();
    }
    store.request_cancel(&"r1".into()).await.unwrap();
    let thread = row("r1", 1).thread;
    let mut journal = Checkpointer::open(&store, &thread, Durability::Power).await.unwrap();
    journal.append(Entry { seq: 1, kind: EntryKind::Record, bytes: vec![1] }).await.unwrap();
    let refused = Checkpointer::delete(&store, &thread, None).await.unwrap_err();
    assert_eq!((refused.code(), store.runs(&RunFilter::default(), 9).await.unwrap().len()), ("SW-S401", 2));
    drop(journal);
    assert!(Checkpointer::delete(&store, &thread, None).await.unwrap());
    assert_eq!(names(&store.runs(&RunFilter::default(), 9).await.unwrap()), ["r2"]);
    assert!(!store.cancel_requested(&"r1".into()).await.unwrap());
    // A run that never began has a row and no journal.
    assert!(Checkpointer::delete(&store, &row("r2", 1).thread, None).await.unwrap());
    assert_eq!(store.runs(&RunFilter::default(), 9).await.unwrap(), []);
    store.vacuum().await.unwrap();
    assert_eq!(store.threads().await.unwrap(), []);
}
