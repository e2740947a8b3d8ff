//! What is at the path already: nothing, something of ours, or something that must not be touched.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{all, open, place, raw, record, sql, take};
use statewright_engine_runtime::{Checkpointer, Durability, StoreError};
use statewright_engine_sql::{SqliteOptions, SqliteStore};

async fn refused(path: &Path) -> StoreError {
    SqliteStore::open(path, SqliteOptions::default()).await.unwrap_err()
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Opening is refused with this code, the message names the path, and every file is byte for byte what it was.
async fn is_refused_and_untouched(folder: &Path, path: &Path, code: &str) {
    let before = contents(folder);
    let error = refused(path).await;
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    let after = contents(folder);
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before), "{error}");
    assert!(after == before, "something changed: {error}");
}

#[tokio::test]
async fn a_new_database_and_its_folder_are_private_and_nothing_else_is_left_behind() {
    let (folder, _) = place();
    let path = folder.path().join("a/b/store.db");
    let store = open(&path).await;
    let mut journal = take(&store, "t").await;
    journal.append(record(1, b"x")).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut names = Vec::new();
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        names.push(file.file_name().into_string().unwrap());
        assert_eq!(mode(&file.path()), if file.path().is_dir() { 0o700 } else { 0o600 }, "{names:?}");
    }
    names.sort();
    assert_eq!(names, ["store.db", "store.db-shm", "store.db-wal", "store.db.locks"]);
    for made in [folder.path().join("a"), folder.path().join("a/b")] {
        assert_eq!(mode(&made), 0o700);
    }
}

#[tokio::test]
async fn unusual_names_are_names() {
    let (folder, _) = place();
    for name in ["file:x?mode=memory", "a b?c%20#d.db", ":memory:", "ünï.db"] {
        let path = folder.path().join(name);
        let store = open(&path).await;
        take(&store, "t").await.append(record(1, name.as_bytes())).await.unwrap();
        assert!(path.is_file(), "{name}");
        drop(store);
        assert_eq!(all(&open(&path).await, "t").await, [record(1, name.as_bytes())]);
    }
}

#[tokio::test]
async fn a_symbolic_link_leads_to_the_same_threads() {
    let (folder, path) = place();
    let store = open(&path).await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let linked = open(&link).await;
    assert_eq!(linked.path(), store.path());
    let _journal = take(&store, "t").await;
    let busy = Checkpointer::open(&linked, &"t".into(), Durability::Power).await;
    assert_eq!(busy.err().map(|error| error.code()), Some("SW-S401"));
}

#[tokio::test]
async fn a_closed_store_is_one_file_with_everything_and_does_nothing_more() {
    let (folder, path) = place();
    let store = open(&path).await;
    let (clone, mut journal) = (store.clone(), take(&store, "t").await);
    let queued: Vec<_> = (1..=300).map(|seq| journal.append(record(seq, b"x"))).collect();
    assert_eq!(all(&store, "t").await.len(), 0);
    store.close().await;
    for ack in queued {
        ack.await.unwrap();
    }
    assert_eq!(journal.append(record(301, b"late")).await.unwrap_err().code(), "SW-S404");
    assert_eq!(clone.entries(&"t".into(), &[(1, 9)]).await.unwrap_err().code(), "SW-S404");
    assert_eq!(clone.request_cancel(&"r".into()).await.unwrap_err().code(), "SW-S404");
    let names: Vec<_> = contents(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [path.display().to_string()]);
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(all(&open(&copy).await, "t").await.len(), 300);
}

#[tokio::test]
async fn a_path_that_cannot_hold_a_file_is_refused() {
    let (folder, path) = place();
    is_refused_and_untouched(folder.path(), folder.path(), "SW-S421").await;
    std::fs::write(&path, "a file").unwrap();
    let below = path.join("store.db");
    let error = refused(&below).await;
    assert_eq!(error.code(), "SW-S420", "{error}");
    let empty = refused(Path::new("")).await;
    assert!(matches!(empty.code(), "SW-S420" | "SW-S421"), "{empty}");
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let (folder, path) = place();
    let texts: [&[u8]; 4] = [b"", b"hello", &[0; 8192], b"SQLite format 4\0 and more that is not a header"];
    for text in texts {
        std::fs::write(&path, text).unwrap();
        is_refused_and_untouched(folder.path(), &path, "SW-S422").await;
    }
}

#[tokio::test]
async fn the_database_of_another_program_is_refused_and_left_as_it_is() {
    let (folder, path) = place();
    sql(&path, "CREATE TABLE accounts (x); INSERT INTO accounts VALUES (1)").await;
    is_refused_and_untouched(folder.path(), &path, "SW-S423").await;
    sql(&path, "PRAGMA application_id = 12345; PRAGMA journal_mode = WAL").await;
    is_refused_and_untouched(folder.path(), &path, "SW-S423").await;
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_as_it_is() {
    let (folder, path) = place();
    drop(open(&path).await);
    let mut connection = raw(&path).await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    // In the log, where only a real connection sees it, and then in the file itself.
    assert_eq!(refused(&path).await.code(), "SW-S424");
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    is_refused_and_untouched(folder.path(), &path, "SW-S424").await;
}

#[tokio::test]
async fn a_truncated_or_damaged_database_is_refused_and_left_as_it_is() {
    let (folder, path) = place();
    let store = open(&path).await;
    take(&store, "t").await.append(record(1, &[3; 60_000])).await.unwrap();
    store.close().await;
    let sound = std::fs::read(&path).unwrap();
    for cut in [sound.len() / 2, 4096, 100, 17] {
        std::fs::write(&path, &sound[..cut]).unwrap();
        let error = refused(&path).await;
        assert!(matches!(error.code(), "SW-S422" | "SW-S427"), "{cut}: {error}");
        assert!(std::fs::read(&path).unwrap() == sound[..cut], "{cut}");
    }
    let mut damaged = sound.clone();
    damaged[100..180].fill(0xff);
    std::fs::write(&path, &damaged).unwrap();
    is_refused_and_untouched(folder.path(), &path, "SW-S427").await;
}

#[tokio::test]
async fn damage_that_is_met_later_is_reported_when_it_is_met() {
    let (_folder, path) = place();
    let store = open(&path).await;
    take(&store, "t").await.append(record(1, &[3; 60_000])).await.unwrap();
    sql(&path, "UPDATE entries SET kind = 7; PRAGMA wal_checkpoint(TRUNCATE)").await;
    let error = store.entries(&"t".into(), &[(1, 9)]).await.unwrap_err();
    assert_eq!(error.code(), "SW-S427", "{error}");
}

#[tokio::test]
async fn a_file_that_is_marked_read_only_is_refused() {
    let (folder, path) = place();
    open(&path).await.close().await;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    is_refused_and_untouched(folder.path(), &path, "SW-S425").await;
}

#[tokio::test]
async fn a_database_that_another_program_keeps_locked_is_reported_after_the_timeout() {
    let (_folder, path) = place();
    let options =
        SqliteOptions { busy_timeout: std::time::Duration::from_millis(20), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options.clone()).await.unwrap();
    let mut journal = take(&store, "t").await;
    let mut other = raw(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert_eq!(journal.append(record(1, b"x")).await.unwrap_err().code(), "SW-S428");
    assert_eq!(SqliteStore::open(&path, options).await.unwrap_err().code(), "SW-S428");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    journal.append(record(1, b"x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_create_the_same_database_at_once() {
    let (folder, path) = place();
    let tasks: Vec<_> = (0..8)
        .map(|index| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = open(&path).await;
                take(&store, &format!("t{index}")).await.append(record(1, b"x")).await.unwrap();
                store
            })
        })
        .collect();
    let mut stores = Vec::new();
    for task in tasks {
        stores.push(task.await.unwrap());
    }
    for index in 0..8 {
        assert_eq!(all(&stores[0], &format!("t{index}")).await.len(), 1);
    }
    assert!(contents(folder.path()).iter().all(|(name, _)| !name.contains(".new-")));
}
