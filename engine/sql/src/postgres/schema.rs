//! The tables on a server, their version, and how a version becomes the next.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use statewright_engine_runtime::StoreError;

use super::{Server, error};

/// The schema that all tables lie in.
pub(crate) const NAME: &str = "statewright";

/// Marks our advisory locks among those of a database: "SWrt". Beside it stands the row of a thread, or 0 for the
/// tables as a whole.
pub(crate) const LOCK_CLASS: i32 = 0x5357_7274;

/// The version that this build reads and writes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Step n takes the tables from version n to n + 1. Steps are only ever added.
///
/// Names are compared by bytes, whatever the database's language is. The key of an entry is packed as in SQLite: one
/// index of eight bytes, and the same queries.
const MIGRATIONS: &[&str] = &[
    r#"
    CREATE TABLE threads (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
        thread TEXT COLLATE "C" NOT NULL UNIQUE,
        epoch BIGINT NOT NULL
    );
    CREATE TABLE entries (
        id BIGINT PRIMARY KEY,  -- threads.id << 32 | seq
        epoch BIGINT NOT NULL,
        kind BIGINT NOT NULL,   -- 0 record, 1 snapshot
        bytes BYTEA NOT NULL
    );
    CREATE VIEW journal AS
        SELECT threads.thread, entries.id & 4294967295 AS seq, entries.epoch, entries.kind, entries.bytes
        FROM entries JOIN threads ON threads.id = entries.id >> 32;
    CREATE TABLE runs (
        run TEXT COLLATE "C" PRIMARY KEY,
        thread TEXT COLLATE "C" NOT NULL,
        graph TEXT NOT NULL,
        label TEXT NOT NULL,
        meta TEXT NOT NULL,     -- JSON
        status TEXT NOT NULL,
        detail TEXT,
        created_ms BIGINT NOT NULL,
        updated_ms BIGINT NOT NULL
    );
    CREATE INDEX runs_by_age ON runs (created_ms);
    CREATE INDEX runs_by_thread ON runs (thread);
    CREATE TABLE control (
        run TEXT COLLATE "C" PRIMARY KEY,
        request TEXT NOT NULL
    );
"#,
    "
    CREATE TABLE results (
        key BYTEA PRIMARY KEY,
        expires_ms BIGINT NOT NULL,
        size BIGINT NOT NULL,
        result BYTEA NOT NULL
    );
    CREATE INDEX results_by_time ON results (expires_ms);
",
];

/// Makes the tables, or brings them to this build's version. Gives the version that they had, 0 if there were none.
pub(crate) async fn prepare(connection: &mut PgConnection, server: &Server) -> Result<i64, StoreError> {
    let failed = |cause: sqlx::Error| server.failed(&cause);
    let encoding: String =
        sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut *connection).await.map_err(failed)?;
    if encoding != "UTF8" {
        return Err(error::encoding(server.place(), &encoding));
    }
    if known(connection, server).await? == Some(VERSION) {
        return Ok(VERSION);
    }
    // Two programs that start at once: the second waits here, and finds the tables of the first.
    let lock = |sql: &'static str| sqlx::query(sql).bind(LOCK_CLASS);
    lock("SELECT pg_advisory_lock($1, 0)").execute(&mut *connection).await.map_err(failed)?;
    let done = match known(connection, server).await {
        Ok(version) => steps(connection, version).await.map_err(failed).map(|()| version.unwrap_or(0)),
        Err(refused) => Err(refused),
    };
    lock("SELECT pg_advisory_unlock($1, 0)").execute(&mut *connection).await.map_err(failed)?;
    done
}

/// The version of the tables; `None` if there are none. A schema of this name that is not ours is refused.
async fn known(connection: &mut PgConnection, server: &Server) -> Result<Option<i64>, StoreError> {
    const LOOK: &str = "
        SELECT count(*), count(*) FILTER (WHERE relname = 'format')
        FROM pg_class WHERE relnamespace = to_regnamespace($1)";
    let failed = |cause: sqlx::Error| server.failed(&cause);
    let look = sqlx::query_as(LOOK).bind(NAME).fetch_one(&mut *connection);
    let (tables, format): (i64, i64) = look.await.map_err(failed)?;
    if tables == 0 {
        return Ok(None);
    }
    if format == 0 {
        return Err(error::foreign(server.place()));
    }
    let read = sqlx::query_as("SELECT application, version FROM format").fetch_optional(connection).await;
    match read {
        Ok(Some((application, version))) if String::as_str(&application) == NAME => {
            if version > VERSION {
                Err(error::newer(server.place(), version, VERSION))
            } else {
                Ok(Some(version))
            }
        }
        Ok(_) => Err(error::foreign(server.place())),
        Err(cause) if error::is_no_such_column(&cause) => Err(error::foreign(server.place())),
        Err(cause) => Err(failed(cause)),
    }
}

/// Each step is one transaction with its version number.
async fn steps(connection: &mut PgConnection, version: Option<i64>) -> Result<(), sqlx::Error> {
    if version.is_none() {
        let mut transaction = connection.begin().await?;
        // The operator may have made it for a role that must not make any.
        const EXISTS: &str = "SELECT to_regnamespace($1) IS NOT NULL";
        if !sqlx::query_scalar(EXISTS).bind(NAME).fetch_one(&mut *transaction).await? {
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {NAME}"))).execute(&mut *transaction).await?;
        }
        let script = format!(
            "CREATE TABLE format (application TEXT NOT NULL, version BIGINT NOT NULL);
            INSERT INTO format VALUES ('{NAME}', 0)"
        );
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    let from = version.unwrap_or(0);
    for (reached, step) in (1_i64..).zip(MIGRATIONS).skip_while(|(reached, _)| *reached <= from) {
        let mut transaction = connection.begin().await?;
        let script = format!("{step}; UPDATE format SET version = {reached}");
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
