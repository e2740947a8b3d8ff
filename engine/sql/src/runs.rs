//! The table of runs: what a person asks for by name, age or state. The truth about a run is in its thread's journal;
//! this is the index to it.
//!
//! Writes here survive the death of the process at once, and power loss together with the next entry at level `power`.

use futures_util::FutureExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, SqliteConnection};
use statewright_engine_core::{RunId, ThreadId};
use statewright_engine_runtime::StoreError;

use crate::error;
use crate::store::SqliteStore;

/// How many runs an ambiguous prefix lists at most.
const CANDIDATES_MAX: i64 = 10;

/// A run as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The thread that it drives.
    pub thread: ThreadId,
    /// The graph's name.
    pub graph: String,
    /// What a person knows it by.
    pub label: String,
    /// Whatever the program wants to find again, such as the options it was started with.
    pub meta: serde_json::Value,
    /// A word for how it stands. The store gives no meaning to it.
    pub status: String,
    /// When it was recorded, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it last changed, in milliseconds since 1970.
    pub updated_ms: u64,
    /// More about its status, such as why it failed.
    pub detail: Option<String>,
}

/// Which runs are listed. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those with this status.
    pub status: Option<String>,
    /// Only those of this graph.
    pub graph: Option<String>,
    /// Only those on this thread.
    pub thread: Option<ThreadId>,
}

/// What an id or the beginning of one leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundRun {
    /// This run.
    One(Box<RunRow>),
    /// No run begins like that.
    None,
    /// Several do.
    Ambiguous {
        /// The first of them, in order; at most ten.
        candidates: Vec<RunId>,
        /// Whether there are more.
        more: bool,
    },
}

impl SqliteStore {
    /// Records a new run.
    ///
    /// # Errors
    /// `SW-S430` if the run's id is taken; [`StoreError`] when the store cannot be written.
    pub async fn record_run(&self, row: RunRow) -> Result<(), StoreError> {
        let run = row.run.clone();
        if self.queue().work(false, move |connection| insert(connection, row).boxed()).await? {
            return Ok(());
        }
        let message = format!(
            "the run `{run}` is already recorded in `{}`; give the new run another id",
            self.path().display()
        );
        Err(error::unusable("SW-S430", message))
    }

    /// Changes how a run stands. Says whether there is such a run.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written.
    pub async fn update_run(
        &self,
        run: &RunId,
        status: &str,
        detail: Option<&str>,
        updated_ms: u64,
    ) -> Result<bool, StoreError> {
        let (run, status, detail) = (run.as_str().to_owned(), status.to_owned(), detail.map(str::to_owned));
        let sql = "UPDATE runs SET status = ?2, detail = ?3, updated_ms = ?4 WHERE run = ?1";
        let done = self.queue().work(false, move |connection| {
            let query = sqlx::query(sql).bind(run).bind(status).bind(detail).bind(stored_ms(updated_ms));
            changed(query, connection).boxed()
        });
        done.await
    }

    /// Lists runs, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRow>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM runs ");
        let thread = filter.thread.as_ref().map(|thread| thread.as_str().to_owned());
        let conditions =
            [("status", filter.status.clone()), ("graph", filter.graph.clone()), ("thread", thread)];
        let mut word = "WHERE ";
        for (column, value) in conditions {
            if let Some(value) = value {
                query.push(word).push(column).push(" = ").push_bind(value);
                word = " AND ";
            }
        }
        query.push(" ORDER BY created_ms DESC, run DESC LIMIT ").push_bind(limit);
        let mut reader = self.readers().get().await.map_err(|error| self.failed(&error))?;
        let rows = query.build().fetch_all(&mut *reader).await.map_err(|error| self.failed(&error))?;
        reader.give_back();
        rows.iter().map(read_row).collect::<Result<_, _>>().map_err(|error| self.failed(&error))
    }

    /// Finds a run by its id, or by a beginning that no other run's id shares. An empty text finds nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn find_run(&self, prefix: &str) -> Result<FoundRun, StoreError> {
        if prefix.is_empty() {
            return Ok(FoundRun::None);
        }
        let mut reader = self.readers().get().await.map_err(|error| self.failed(&error))?;
        // What begins with a text follows it in the order of bytes, without anything else in between.
        const SQL: &str =
            "SELECT run, thread, graph, label, meta, status, detail, created_ms, updated_ms FROM runs
            WHERE run >= ?1 ORDER BY run LIMIT ?2";
        let query = sqlx::query(SQL).bind(prefix).bind(CANDIDATES_MAX + 1);
        let rows = query.fetch_all(&mut *reader).await.map_err(|error| self.failed(&error))?;
        reader.give_back();
        let rows: Vec<RunRow> =
            rows.iter().map(read_row).collect::<Result<_, _>>().map_err(|error| self.failed(&error))?;
        let mut found: Vec<RunRow> =
            rows.into_iter().take_while(|row| row.run.as_str().starts_with(prefix)).collect();
        let exact = found.first().is_some_and(|row| row.run.as_str() == prefix);
        if exact || found.len() == 1 {
            return Ok(FoundRun::One(Box::new(found.swap_remove(0))));
        }
        if found.is_empty() {
            return Ok(FoundRun::None);
        }
        let more = found.len() > CANDIDATES_MAX.unsigned_abs() as usize;
        found.truncate(CANDIDATES_MAX.unsigned_abs() as usize);
        Ok(FoundRun::Ambiguous { candidates: found.into_iter().map(|row| row.run).collect(), more })
    }

    /// The thread that a run drives, if there is such a run.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn thread_of(&self, run: &RunId) -> Result<Option<ThreadId>, StoreError> {
        let mut reader = self.readers().get().await.map_err(|error| self.failed(&error))?;
        let query = sqlx::query_scalar("SELECT thread FROM runs WHERE run = ?1").bind(run.as_str());
        let thread: Option<String> =
            query.fetch_optional(&mut *reader).await.map_err(|error| self.failed(&error))?;
        reader.give_back();
        Ok(thread.map(ThreadId::from))
    }

    /// Asks whoever drives the run, in this process or another, to cancel it. Says whether there is such a run.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written.
    pub async fn request_cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        let run = run.as_str().to_owned();
        let sql = "INSERT INTO control (run, request) SELECT run, 'cancel' FROM runs WHERE run = ?1
            ON CONFLICT (run) DO UPDATE SET request = 'cancel'";
        self.queue()
            .work(false, move |connection| changed(sqlx::query(sql).bind(run), connection).boxed())
            .await
    }

    /// Whether somebody asked to cancel the run.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn cancel_requested(&self, run: &RunId) -> Result<bool, StoreError> {
        let mut reader = self.readers().get().await.map_err(|error| self.failed(&error))?;
        let sql = "SELECT EXISTS (SELECT 1 FROM control WHERE run = ?1 AND request = 'cancel')";
        let query = sqlx::query_scalar(sql).bind(run.as_str());
        let asked = query.fetch_one(&mut *reader).await.map_err(|error| self.failed(&error))?;
        reader.give_back();
        Ok(asked)
    }
}

async fn insert(connection: &mut SqliteConnection, row: RunRow) -> Result<bool, sqlx::Error> {
    let sql = "INSERT INTO runs (run, thread, graph, label, meta, status, detail, created_ms, updated_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (run) DO NOTHING";
    let query = sqlx::query(sql)
        .bind(row.run.as_str().to_owned())
        .bind(row.thread.as_str().to_owned())
        .bind(row.graph)
        .bind(row.label)
        .bind(row.meta.to_string())
        .bind(row.status)
        .bind(row.detail)
        .bind(stored_ms(row.created_ms))
        .bind(stored_ms(row.updated_ms));
    changed(query, connection).await
}

async fn changed(
    query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    connection: &mut SqliteConnection,
) -> Result<bool, sqlx::Error> {
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

/// SQLite's integers have a sign; times beyond them do not occur.
fn stored_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn read_row(row: &SqliteRow) -> Result<RunRow, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let time = |column: &str| row.try_get::<i64, _>(column).map(|ms| ms.max(0).unsigned_abs());
    let meta = serde_json::from_str(&text("meta")?).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(RunRow {
        run: text("run")?.into(),
        thread: text("thread")?.into(),
        graph: text("graph")?,
        label: text("label")?,
        meta,
        status: text("status")?,
        detail: row.try_get("detail")?,
        created_ms: time("created_ms")?,
        updated_ms: time("updated_ms")?,
    })
}
