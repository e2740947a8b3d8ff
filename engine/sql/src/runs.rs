//! The table of runs: what a person asks for by name, age or state. The truth about a run is in its thread's journal;
//! this is the index to it.
//!
//! Writes here survive the death of the process at once, and power loss together with the next entry at level `power`.

use futures_util::FutureExt;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use statewright_engine_core::{RunId, ThreadId};
use statewright_engine_runtime::StoreError;

use crate::connection::{Connection, Value};
use crate::error;
use crate::store::SqlStore;

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

impl SqlStore {
    /// Records a new run.
    ///
    /// # Errors
    /// `SW-S430` if the run's id is taken; [`StoreError`] when the store cannot be written.
    pub async fn record_run(&self, row: RunRow) -> Result<(), StoreError> {
        let run = row.run.clone();
        if self.queue().work(false, move |connection| insert(connection, row).boxed()).await? {
            return Ok(());
        }
        let message =
            format!("the run `{run}` is already recorded in `{}`; give the new run another id", self.place());
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
        let sql = "UPDATE runs SET status = $2, detail = $3, updated_ms = $4 WHERE run = $1";
        let values = vec![
            text(run.as_str()),
            text(status),
            Value::MaybeText(detail.map(str::to_owned)),
            Value::Int(stored_ms(updated_ms)),
        ];
        self.queue().work(false, move |connection| connection.change(sql, values).boxed()).await
    }

    /// Lists runs, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRow>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS} FROM runs");
        let mut values = Vec::new();
        let thread = filter.thread.as_ref().map(ThreadId::as_str);
        let conditions =
            [("status", filter.status.as_deref()), ("graph", filter.graph.as_deref()), ("thread", thread)];
        for (column, wanted) in conditions {
            if let Some(wanted) = wanted {
                let word = if values.is_empty() { "WHERE" } else { "AND" };
                values.push(text(wanted));
                sql.push_str(&format!(" {word} {column} = ${}", values.len()));
            }
        }
        values.push(Value::Int(i64::from(limit)));
        sql.push_str(&format!(" ORDER BY created_ms DESC, run DESC LIMIT ${}", values.len()));
        self.readers().fetch(sql, values).await
    }

    /// Finds a run by its id, or by a beginning that no other run's id shares. An empty text finds nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn find_run(&self, prefix: &str) -> Result<FoundRun, StoreError> {
        if prefix.is_empty() {
            return Ok(FoundRun::None);
        }
        // What begins with a text follows it in the order of bytes, without anything else in between.
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE run >= $1 ORDER BY run LIMIT $2");
        let rows: Vec<RunRow> =
            self.readers().fetch(sql, vec![text(prefix), Value::Int(CANDIDATES_MAX + 1)]).await?;
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
        let sql = "SELECT thread FROM runs WHERE run = $1";
        let found: Vec<(String,)> = self.readers().fetch(sql, vec![text(run.as_str())]).await?;
        Ok(found.into_iter().next().map(|(thread,)| ThreadId::from(thread)))
    }

    /// Asks whoever drives the run, in this process or another, to cancel it. Says whether there is such a run.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written.
    pub async fn request_cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        let sql = "INSERT INTO control (run, request) SELECT run, 'cancel' FROM runs WHERE run = $1
            ON CONFLICT (run) DO UPDATE SET request = 'cancel'";
        let values = vec![text(run.as_str())];
        self.queue().work(false, move |connection| connection.change(sql, values).boxed()).await
    }

    /// Whether somebody asked to cancel the run.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn cancel_requested(&self, run: &RunId) -> Result<bool, StoreError> {
        let sql = "SELECT run FROM control WHERE run = $1 AND request = 'cancel'";
        let asked: Vec<(String,)> = self.readers().fetch(sql, vec![text(run.as_str())]).await?;
        Ok(!asked.is_empty())
    }
}

const COLUMNS: &str = "run, thread, graph, label, meta, status, detail, created_ms, updated_ms";

async fn insert(connection: &mut Connection, row: RunRow) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "INSERT INTO runs ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (run) DO NOTHING"
    );
    let values = vec![
        text(row.run.as_str()),
        text(row.thread.as_str()),
        Value::Text(row.graph),
        Value::Text(row.label),
        Value::Text(row.meta.to_string()),
        Value::Text(row.status),
        Value::MaybeText(row.detail),
        Value::Int(stored_ms(row.created_ms)),
        Value::Int(stored_ms(row.updated_ms)),
    ];
    connection.change(sql, values).await
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Integers of a database have a sign; times beyond them do not occur.
fn stored_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl<'r, R: Row> FromRow<'r, R> for RunRow
where
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let text = |column: &'static str| row.try_get::<String, _>(column);
        let time = |column: &'static str| row.try_get::<i64, _>(column).map(|ms| ms.max(0).unsigned_abs());
        let meta =
            serde_json::from_str(&text("meta")?).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
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
}
