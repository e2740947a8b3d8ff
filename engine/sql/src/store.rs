//! The store itself: opening it, taking threads, reading journals.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};
use statewright_engine_runtime::{Ack, Checkpointer, Durability, Journal, StoreError};
use tokio::sync::oneshot;

use crate::batch::{Append, Held, Progress};
use crate::error;
use crate::files;
use crate::locks::ThreadLock;
use crate::readers::Readers;
use crate::schema::{LAST_SEQ, key, seq_of};
use crate::writer::Queue;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// How many connections read at once; 4 by default, and never fewer than 1.
    pub readers_max: u32,
    /// How long a statement waits for another process that writes; 5 s by default.
    pub busy_timeout: Duration,
    /// For tests of a full disk: the most pages that the database may have.
    #[doc(hidden)]
    pub pages_max: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers_max: 4, busy_timeout: Duration::from_secs(5), pages_max: None }
    }
}

/// What the writer of a store did since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterStats {
    /// Transactions that contained entries of journals.
    pub commits: u64,
    /// The entries in them.
    pub entries: u64,
}

/// A [`Checkpointer`] and a table of runs in one SQLite file. Clones share its connections.
///
/// ```
/// use statewright_engine_core::{Entry, EntryKind, ThreadId};
/// use statewright_engine_runtime::{Checkpointer, Durability};
/// use statewright_engine_sql::{SqliteOptions, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let store = SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).await?;
/// let thread = ThreadId::from("mine");
/// let mut journal = Checkpointer::open(&store, &thread, Durability::Power).await?;
/// let entry = Entry { seq: 1, kind: EntryKind::Record, bytes: b"it rained".to_vec() };
/// journal.append(entry.clone()).await?; // From here on it survives power loss.
/// assert_eq!(store.entries(&thread, &[(1, 1)]).await?, [entry]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: PathBuf,
    locks: PathBuf,
    queue: Queue,
    readers: Readers,
}

impl SqliteStore {
    /// Opens the database at the path, or makes one that only this user can read. Needs a tokio runtime, on which it
    /// starts the task that writes; the task ends with [`close`](Self::close), or when the last clone and
    /// the last journal are dropped.
    ///
    /// A file that is not a usable database of this program is left exactly as it is.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] with a code from `SW-S420` to `SW-S429` that says why the path cannot be used, and
    /// [`StoreError::Full`] when there is no room for a new database.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, StoreError> {
        let database = files::prepare(path.as_ref()).await?;
        let connect = files::connect_options(&database).busy_timeout(options.busy_timeout);
        let connection = writing_connection(&database, &connect, &options).await?;
        let mut locks = database.as_os_str().to_owned();
        locks.push(".locks");
        let inner = Inner {
            queue: Queue::start(connection, &database),
            readers: Readers::new(connect, options.readers_max),
            locks: locks.into(),
            database,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The canonical path of the database.
    pub fn path(&self) -> &Path {
        &self.inner.database
    }

    /// Whether some driver, of this process or of any other, holds the thread. Unlike taking it, a look changes nothing
    /// in the database: a driver whose lock was lost goes on undisturbed. A journal that was just dropped holds its
    /// thread until its last entries are stored.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the database or the folder of locks cannot be read.
    pub async fn is_driven(&self, thread: &ThreadId) -> Result<bool, StoreError> {
        let Some(row) = self.row(thread).await? else { return Ok(false) };
        ThreadLock::is_held(&self.inner.locks, row)
            .map_err(|cause| error::from_io(&cause, &self.inner.locks, "used for the locks of threads"))
    }

    /// How many commits were made for how many entries.
    pub fn writer_stats(&self) -> WriterStats {
        let (commits, entries) = self.inner.queue.counts();
        WriterStats { commits, entries }
    }

    /// Stores what is queued and closes the file, so that it is the whole database and may be copied or moved. Other
    /// clones, and journals that are still open, are refused with `SW-S404` from then on.
    ///
    /// Nothing is lost without it: SQLite then puts the file in order when it is next opened.
    pub async fn close(self) {
        self.inner.readers.close().await;
        self.inner.queue.close().await;
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) fn failed(&self, error: &sqlx::Error) -> StoreError {
        error::from_sqlx(error, &self.inner.database)
    }

    async fn take(&self, thread: &ThreadId, durability: Durability) -> Result<SqliteJournal, StoreError> {
        let row = match self.row(thread).await? {
            Some(row) => row,
            None => self.new_row(thread).await?,
        };
        let Some(lock) = self.lock(row).await? else {
            return Err(StoreError::Busy { thread: thread.clone() });
        };
        let synced = durability != Durability::Process;
        let (epoch, stored) =
            self.queue().work(synced, move |connection| bump(connection, row).boxed()).await?;
        let held = Held {
            thread: thread.clone(),
            row,
            epoch,
            synced,
            progress: std::sync::Mutex::new(Progress::after(stored)),
            _lock: lock,
        };
        Ok(SqliteJournal {
            held: Arc::new(held),
            queue: self.queue().clone(),
            database: self.inner.database.clone(),
        })
    }

    async fn row(&self, thread: &ThreadId) -> Result<Option<i64>, StoreError> {
        let mut reader = self.readers().get().await.map_err(|error| self.failed(&error))?;
        let query = sqlx::query_scalar("SELECT id FROM threads WHERE thread = ?1").bind(thread.as_str());
        let row = query.fetch_optional(&mut *reader).await.map_err(|error| self.failed(&error))?;
        reader.give_back();
        Ok(row)
    }

    /// Not synced by itself: the new epoch that follows is, and with it everything before it in the log.
    async fn new_row(&self, thread: &ThreadId) -> Result<i64, StoreError> {
        let name = thread.as_str().to_owned();
        self.queue().work(false, move |connection| insert_thread(connection, name).boxed()).await
    }

    /// The lock of a thread. A few calls on a local file system: less than handing them to another thread would cost.
    async fn lock(&self, row: i64) -> Result<Option<ThreadLock>, StoreError> {
        let acquire = || {
            ThreadLock::acquire(&self.inner.locks, row)
                .map_err(|cause| error::from_io(&cause, &self.inner.locks, "used for the locks of threads"))
        };
        if let Some(lock) = acquire()? {
            return Ok(Some(lock));
        }
        // A journal that was just dropped keeps its thread until its last entries are stored: wait for those.
        self.queue().work(false, |_| async { Ok(()) }.boxed()).await?;
        acquire()
    }

    async fn read_ranges(&self, thread: &ThreadId, ranges: &[(Seq, Seq)]) -> Result<Vec<Entry>, StoreError> {
        let Some(row) = self.row(thread).await? else { return Ok(Vec::new()) };
        let ranges = merged(ranges);
        let mut reader = self.readers().get().await.map_err(|error| self.failed(&error))?;
        let sql = "SELECT entries.id, entries.kind, entries.bytes FROM json_each(?1) AS range
            CROSS JOIN entries ON entries.id BETWEEN range.value ->> 0 AND range.value ->> 1";
        let keys: Vec<(i64, i64)> =
            ranges.iter().map(|(from, to)| (key(row, *from), key(row, *to))).collect();
        let keys = serde_json::json!(keys).to_string();
        let found = sqlx::query_as(sql)
            .bind(keys)
            .fetch_all(&mut *reader)
            .await
            .map_err(|error| self.failed(&error))?;
        reader.give_back();
        found.into_iter().map(|row| self.entry(row)).collect()
    }

    async fn read_snapshot(&self, thread: &ThreadId) -> Result<Option<Entry>, StoreError> {
        let Some(row) = self.row(thread).await? else { return Ok(None) };
        let mut reader = self.readers().get().await.map_err(|error| self.failed(&error))?;
        let sql = "SELECT id, kind, bytes FROM entries WHERE id BETWEEN ?1 AND ?2 AND kind = 1 ORDER BY id DESC LIMIT 1";
        let query = sqlx::query_as(sql).bind(key(row, 1)).bind(key(row, LAST_SEQ));
        let found = query.fetch_optional(&mut *reader).await.map_err(|error| self.failed(&error))?;
        reader.give_back();
        found.map(|row| self.entry(row)).transpose()
    }

    fn entry(&self, (key, kind, bytes): (i64, i64, Vec<u8>)) -> Result<Entry, StoreError> {
        let kind = match kind {
            0 => EntryKind::Record,
            1 => EntryKind::Snapshot,
            other => {
                return Err(error::corrupt(&self.inner.database, &format!("an entry has the kind {other}")));
            }
        };
        Ok(Entry { seq: seq_of(key), kind, bytes })
    }
}

async fn writing_connection(
    database: &Path,
    connect: &SqliteConnectOptions,
    options: &SqliteOptions,
) -> Result<SqliteConnection, StoreError> {
    let mut connect = connect.clone();
    if let Some(pages) = options.pages_max {
        connect = connect.pragma("max_page_count", pages.to_string());
    }
    let mut connection = connect.connect().await.map_err(|error| error::from_sqlx(&error, database))?;
    match files::verify(&mut connection, database).await {
        Ok(()) => Ok(connection),
        Err(refused) => {
            // Closed before the error is out, so that no log of ours stays beside a file that is not for us.
            let _ = connection.close().await;
            Err(refused)
        }
    }
}

async fn insert_thread(connection: &mut SqliteConnection, thread: String) -> Result<i64, sqlx::Error> {
    // The update that changes nothing makes `RETURNING` speak of a row that another process inserted first.
    let sql = "INSERT INTO threads (thread, epoch) VALUES (?1, 0)
        ON CONFLICT (thread) DO UPDATE SET epoch = epoch RETURNING id";
    sqlx::query_scalar(sql).bind(thread).fetch_one(connection).await
}

/// Begins a new epoch: what drivers of earlier ones append from now on is refused. Gives it, and the last position.
async fn bump(connection: &mut SqliteConnection, row: i64) -> Result<(i64, Seq), sqlx::Error> {
    let sql = "UPDATE threads SET epoch = epoch + 1 WHERE id = ?1 RETURNING epoch";
    let epoch = sqlx::query_scalar(sql).bind(row).fetch_one(&mut *connection).await?;
    let sql = "SELECT coalesce(max(id), ?1) FROM entries WHERE id BETWEEN ?1 AND ?2";
    let last =
        sqlx::query_scalar(sql).bind(key(row, 0)).bind(key(row, LAST_SEQ)).fetch_one(connection).await?;
    Ok((epoch, seq_of(last)))
}

/// The same positions as ranges in ascending order that neither meet nor overlap.
fn merged(ranges: &[(Seq, Seq)]) -> Vec<(Seq, Seq)> {
    let mut sorted: Vec<_> = ranges.iter().map(|(from, to)| ((*from).max(1), (*to).min(LAST_SEQ))).collect();
    sorted.retain(|(from, to)| from <= to);
    sorted.sort_unstable();
    let mut merged: Vec<(Seq, Seq)> = Vec::with_capacity(sorted.len());
    for (from, to) in sorted {
        match merged.last_mut() {
            Some(last) if from <= last.1 + 1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

impl Checkpointer for SqliteStore {
    fn open<'a>(
        &'a self,
        thread: &'a ThreadId,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Box<dyn Journal>, StoreError>> {
        async move { Ok(Box::new(self.take(thread, durability).await?) as Box<dyn Journal>) }.boxed()
    }

    fn latest_snapshot<'a>(
        &'a self,
        thread: &'a ThreadId,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.read_snapshot(thread).boxed()
    }

    fn entries<'a>(
        &'a self,
        thread: &'a ThreadId,
        ranges: &'a [(Seq, Seq)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.read_ranges(thread, ranges).boxed()
    }
}

/// The right to append to one thread.
#[derive(Debug)]
struct SqliteJournal {
    held: Arc<Held>,
    queue: Queue,
    database: PathBuf,
}

impl Journal for SqliteJournal {
    fn append(&mut self, entry: Entry) -> Ack {
        if entry.seq > LAST_SEQ {
            return Ack::ready(Err(error::unusable(
                "SW-S432",
                format!(
                    "the thread `{}` in `{}` has {LAST_SEQ} entries and cannot have more; fork it and go on there",
                    self.held.thread,
                    self.database.display()
                ),
            )));
        }
        let (ack, receiver) = oneshot::channel();
        self.queue.append(Append { held: Arc::clone(&self.held), entry, ack });
        Ack::pending(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merged_ranges_hold_the_same_positions_and_do_not_touch(
            ranges in prop::collection::vec((0_u64..60, 0_u64..60), 0..12)
        ) {
            let found = merged(&ranges);
            for position in 1..60 {
                let wanted = ranges.iter().any(|(from, to)| (*from..=*to).contains(&position));
                prop_assert_eq!(found.iter().any(|(from, to)| (*from..=*to).contains(&position)), wanted);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0);
            }
        }
    }
}
