//! The tables in SQLite, their version, and how a version becomes the next; and the keys of entries.

use sqlx::{AssertSqlSafe, SqliteConnection};
use statewright_engine_core::Seq;

/// Marks the file as ours: "SWrt" in the header of the database.
pub(crate) const APPLICATION_ID: i64 = 0x5357_7274;

/// The version that this build reads and writes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Step n takes a database from version n to n + 1. Steps are only ever added.
///
/// An entry's key packs the thread's row and the position into one integer: a table keyed by its row id holds the
/// bytes in the leaves of a single tree, so one append dirties one page and needs no second index.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE threads (
        id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
        thread TEXT NOT NULL UNIQUE,
        epoch INTEGER NOT NULL
    );
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, -- threads.id << 32 | seq
        epoch INTEGER NOT NULL,
        kind INTEGER NOT NULL,  -- 0 record, 1 snapshot
        bytes BLOB NOT NULL
    );
    CREATE VIEW journal AS
        SELECT threads.thread, entries.id & 4294967295 AS seq, entries.epoch, entries.kind, entries.bytes
        FROM entries JOIN threads ON threads.id = entries.id >> 32;
    CREATE TABLE runs (
        run TEXT PRIMARY KEY,
        thread TEXT NOT NULL,
        graph TEXT NOT NULL,
        label TEXT NOT NULL,
        meta TEXT NOT NULL,     -- JSON
        status TEXT NOT NULL,
        detail TEXT,
        created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL
    );
    CREATE INDEX runs_by_age ON runs (created_ms);
    CREATE INDEX runs_by_thread ON runs (thread);
    CREATE TABLE control (
        run TEXT PRIMARY KEY,
        request TEXT NOT NULL
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE results (
        key BLOB NOT NULL UNIQUE,
        expires_ms INTEGER NOT NULL,
        size INTEGER NOT NULL,
        result BLOB NOT NULL
    );
    CREATE INDEX results_by_time ON results (expires_ms, key, size);
",
];

/// The last position that a thread can have.
pub(crate) const LAST_SEQ: Seq = 0xffff_ffff;

/// The key of the entry at a position; position 0 is the key just before a thread's first entry.
pub(crate) fn key(row: i64, seq: Seq) -> i64 {
    // Positions never reach 2^32, rows never reach 2^31: the first is checked on append, the second by the table.
    (row << 32) | i64::try_from(seq.min(LAST_SEQ)).unwrap_or(i64::MAX)
}

/// The position in a key.
pub(crate) fn seq_of(key: i64) -> Seq {
    key.unsigned_abs() & LAST_SEQ
}

/// Brings a database from `from` to [`VERSION`]. Each step is one transaction with its version number.
pub(crate) async fn migrate(connection: &mut SqliteConnection, from: i64) -> Result<(), sqlx::Error> {
    steps(connection, from, MIGRATIONS).await
}

async fn steps(connection: &mut SqliteConnection, from: i64, migrations: &[&str]) -> Result<(), sqlx::Error> {
    for (version, step) in (0_i64..).zip(migrations).skip_while(|(version, _)| *version < from) {
        let reached = version + 1;
        // Another process may have been faster: the version is read again once nobody else can write.
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        let done = match version_of(connection).await {
            Ok(present) if present > version => Ok(()),
            Ok(_) => {
                let script = format!("{step}; PRAGMA user_version = {reached}");
                sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *connection).await.map(drop)
            }
            Err(error) => Err(error),
        };
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        sqlx::raw_sql(end).execute(&mut *connection).await?;
        done?;
    }
    Ok(())
}

/// The version that is stored in the database.
pub(crate) async fn version_of(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await
}

/// Whose database it is.
pub(crate) async fn application_of(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA application_id").fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection;

    #[test]
    fn keys_keep_threads_apart_and_in_order() {
        for row in [1, 2, 7, i64::from(i32::MAX)] {
            for seq in [1, 2, 77, LAST_SEQ] {
                assert_eq!(seq_of(key(row, seq)), seq);
                assert_eq!(key(row, seq) >> 32, row);
                assert!(key(row, 0) < key(row, seq) && key(row, seq) <= key(row, u64::MAX));
            }
            assert!(row == i64::from(i32::MAX) || key(row, LAST_SEQ) < key(row + 1, 0));
        }
    }

    #[tokio::test]
    async fn an_older_database_is_brought_forward_step_by_step_and_keeps_its_rows() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let old = ["CREATE TABLE a (x)"];
        steps(&mut connection, 0, &old).await.unwrap();
        sqlx::raw_sql("INSERT INTO a VALUES (5)").execute(&mut connection).await.unwrap();
        let new = ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y DEFAULT 6", "CREATE TABLE b (z)"];
        steps(&mut connection, 1, &new).await.unwrap();
        let row: (i64, i64) = sqlx::query_as("SELECT x, y FROM a").fetch_one(&mut connection).await.unwrap();
        assert_eq!((row, version_of(&mut connection).await.unwrap()), ((5, 6), 3));
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_the_version_and_the_tables_as_they_were() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let bad = ["CREATE TABLE a (x)", "CREATE TABLE b (y); CREATE TABLE a (x)"];
        steps(&mut connection, 0, &bad).await.unwrap_err();
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&mut connection).await.unwrap();
        assert_eq!((tables, version_of(&mut connection).await.unwrap()), (vec!["a".to_owned()], 1));
    }
}
