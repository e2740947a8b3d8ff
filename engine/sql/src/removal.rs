//! Threads as a whole: which there are, and how one is deleted.
//!
//! The row of a thread is part of the keys of its entries, so no row may be given out twice: a driver that was cut off
//! would write into a thread that is none of its business. A server never does that. SQLite gives the row after the
//! highest one, so the highest stays behind as a row without a name until a vacuum finds a higher one.

use futures_util::FutureExt;
use statewright_engine_core::{Seq, ThreadId};
use statewright_engine_runtime::StoreError;

use crate::connection::{Connection, Value};
use crate::schema::{LAST_SEQ, key};
use crate::store::{Hold, SqlStore};

/// Deleted rows of SQLite that need not stay behind any more. Names are texts; a deleted row has bytes instead.
pub(crate) const FORGET_ROWS: &str =
    "DELETE FROM threads WHERE typeof(thread) = 'blob' AND id < (SELECT max(id) FROM threads)";

impl SqlStore {
    /// What keeps rows without a name out of a query for threads.
    pub(crate) fn named(&self) -> &'static str {
        if self.path().is_some() { "typeof(thread) = 'text'" } else { "true" }
    }

    pub(crate) async fn read_list(
        &self,
        after: Option<&ThreadId>,
        threads_max: u32,
    ) -> Result<Vec<(ThreadId, Seq)>, StoreError> {
        let (order, after) = after.map_or((">=", ""), |after| (">", after.as_str()));
        let named = self.named();
        let sql = format!(
            "SELECT thread, last FROM (
                SELECT thread, (
                    SELECT max(entries.id) FROM entries
                    WHERE entries.id BETWEEN (threads.id << 32) AND (threads.id << 32 | 4294967295)
                ) & 4294967295 AS last
                FROM threads WHERE thread {order} $1 AND {named}
            ) AS found WHERE last > 0 ORDER BY thread LIMIT $2"
        );
        let values = vec![Value::Text(after.to_owned()), Value::Int(i64::from(threads_max))];
        let found: Vec<(String, i64)> = self.readers().fetch(sql, values).await?;
        Ok(found.into_iter().map(|(thread, last)| (thread.into(), last.unsigned_abs())).collect())
    }

    /// Deletes a thread with its rows in the table of runs. Survives power loss once it has returned.
    pub(crate) async fn remove(&self, thread: &ThreadId, at: Option<Seq>) -> Result<bool, StoreError> {
        let row = self.row(thread).await?;
        // Held until the end, so that no driver begins meanwhile.
        let mut taken = None;
        if let Some(row) = row {
            match self.hold(thread, row, true).await? {
                Hold::Taken(hold) if at.is_some_and(|at| at != hold.stored) => {
                    return Err(StoreError::Moved { thread: thread.clone() });
                }
                Hold::Taken(hold) => taken = Some(hold),
                Hold::Busy => return Err(StoreError::Busy { thread: thread.clone() }),
                // Somebody else has just deleted it.
                Hold::Gone => return Ok(false),
            }
        }
        let (name, is_file) = (thread.as_str().to_owned(), self.path().is_some());
        let row = taken.is_some().then_some(row).flatten();
        let work = self.queue().work(true, move |connection| {
            async move {
                connection.script("BEGIN").await?;
                let ended = match erase(connection, row, name, is_file).await {
                    Ok(found) => connection.script("COMMIT").await.map(|()| found),
                    Err(error) => Err(error),
                };
                if ended.is_err() {
                    // What could not be committed is not to be left open for the next statement.
                    drop(connection.script("ROLLBACK").await);
                }
                ended
            }
            .boxed()
        });
        let had_runs = work.await?;
        Ok(had_runs || taken.is_some_and(|taken| taken.stored > 0))
    }
}

/// Says whether runs were listed for the thread.
async fn erase(
    connection: &mut Connection,
    row: Option<i64>,
    thread: String,
    is_file: bool,
) -> Result<bool, sqlx::Error> {
    let name = || vec![Value::Text(thread.clone())];
    let sql = "DELETE FROM control WHERE run IN (SELECT run FROM runs WHERE thread = $1)";
    connection.change(sql, name()).await?;
    let had_runs = connection.change("DELETE FROM runs WHERE thread = $1", name()).await?;
    let Some(row) = row else { return Ok(had_runs) };
    let keys = vec![Value::Int(key(row, 0)), Value::Int(key(row, LAST_SEQ))];
    connection.change("DELETE FROM entries WHERE id BETWEEN $1 AND $2", keys).await?;
    let row = || vec![Value::Int(row)];
    if !is_file {
        connection.change("DELETE FROM threads WHERE id = $1", row()).await?;
        return Ok(had_runs);
    }
    let below = "DELETE FROM threads WHERE id = $1 AND id < (SELECT max(id) FROM threads)";
    if !connection.change(below, row()).await? {
        let nameless = "UPDATE threads SET thread = CAST(id AS BLOB), epoch = epoch + 1 WHERE id = $1";
        connection.change(nameless, row()).await?;
    }
    Ok(had_runs)
}
