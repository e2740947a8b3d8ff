//! The store itself: taking threads, reading journals. How one is opened is in the file of its database.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_core::{Entry, EntryKind, Seq, ThreadId};
use statewright_engine_runtime::{Ack, Checkpointer, Durability, Journal, StoreError};
use tokio::sync::oneshot;

use crate::batch::{Append, Held, Progress};
use crate::connection::{Connection, Value};
use crate::database::{Database, File};
use crate::error;
use crate::locks::{Lock, ThreadLock};
use crate::readers::Readers;
use crate::schema::{LAST_SEQ, key, seq_of};
use crate::writer::Queue;

/// What the writer of a store did since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterStats {
    /// Transactions that contained entries of journals.
    pub commits: u64,
    /// The entries in them.
    pub entries: u64,
}

/// How the tables of a database were brought to the version of this build when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The version that was found; 0 if there were no tables.
    pub from: i64,
    /// The version of this build.
    pub to: i64,
}

/// A [`Checkpointer`] and a table of runs, whichever database they are in. Clones share its connections.
///
/// A [`SqliteStore`](crate::SqliteStore) is one and turns into one, and so does every other store of this crate.
#[derive(Clone, Debug)]
pub struct SqlStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Arc<Database>,
    queue: Queue,
    readers: Readers,
    /// The version that the tables had when they were opened.
    found: i64,
}

impl SqlStore {
    /// A store on an open connection, which syncs. Starts the task that writes.
    pub(crate) fn new(database: Database, connection: Connection, readers_max: u32, found: i64) -> Self {
        let database = Arc::new(database);
        let inner = Inner {
            queue: Queue::start(connection, Arc::clone(&database)),
            readers: Readers::new(Arc::clone(&database), readers_max),
            database,
            found,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What a person knows the database by: its canonical path, or its address without a password.
    pub fn place(&self) -> String {
        self.inner.database.place()
    }

    /// The canonical path of the database, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match &*self.inner.database {
            Database::Sqlite(file) => Some(&file.path),
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => None,
        }
    }

    /// Whether some driver, of this process or of any other, holds the thread. Unlike taking it, a look changes nothing
    /// in the database: a driver whose lock was lost goes on undisturbed. A journal that was just dropped holds its
    /// thread until its last entries are stored.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the database or the folder of locks cannot be read.
    pub async fn is_driven(&self, thread: &ThreadId) -> Result<bool, StoreError> {
        let Some(row) = self.row(thread).await? else { return Ok(false) };
        match &*self.inner.database {
            Database::Sqlite(file) => ThreadLock::is_held(&file.locks, row)
                .map_err(|cause| error::from_io(&cause, &file.locks, "used for the locks of threads")),
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => crate::postgres::is_held(self, row).await,
        }
    }

    /// How many commits were made for how many entries.
    pub fn writer_stats(&self) -> WriterStats {
        let (commits, entries) = self.inner.queue.counts();
        WriterStats { commits, entries }
    }

    /// Stores what is queued and closes the connections. A file is then the whole database and may be copied or moved.
    /// Other clones, and journals that are still open, are refused with `SW-S404` from then on.
    ///
    /// Nothing is lost without it: SQLite then puts the file in order when it is next opened.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.queue.close().await;
    }

    /// What opening the database did to its tables.
    pub fn migration(&self) -> Migration {
        Migration { from: self.inner.found, to: self.inner.database.version() }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    async fn take(&self, thread: &ThreadId, durability: Durability) -> Result<SqlJournal, StoreError> {
        let row = match self.row(thread).await? {
            Some(row) => row,
            None => self.new_row(thread).await?,
        };
        let synced = durability != Durability::Process;
        let taken = match &*self.inner.database {
            Database::Sqlite(file) => self.take_by_file(file, row, synced).await?,
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => crate::postgres::take(self, row).await?,
        };
        let Some(Taken { lock, epoch, stored }) = taken else {
            return Err(StoreError::Busy { thread: thread.clone() });
        };
        let held = Held {
            thread: thread.clone(),
            row,
            epoch,
            synced,
            progress: std::sync::Mutex::new(Progress::after(stored)),
            lock,
        };
        Ok(SqlJournal {
            held: Arc::new(held),
            queue: self.queue().clone(),
            database: Arc::clone(&self.inner.database),
        })
    }

    async fn row(&self, thread: &ThreadId) -> Result<Option<i64>, StoreError> {
        let name = vec![Value::Text(thread.as_str().to_owned())];
        let found: Vec<(i64,)> =
            self.readers().fetch("SELECT id FROM threads WHERE thread = $1", name).await?;
        Ok(found.first().map(|(row,)| *row))
    }

    /// Not synced by itself: the new epoch that follows is, and with it everything before it in the log.
    async fn new_row(&self, thread: &ThreadId) -> Result<i64, StoreError> {
        let name = thread.as_str().to_owned();
        self.queue().work(false, move |connection| insert_thread(connection, name).boxed()).await
    }

    async fn take_by_file(&self, file: &File, row: i64, synced: bool) -> Result<Option<Taken>, StoreError> {
        let Some(lock) = self.lock_file(file, row).await? else { return Ok(None) };
        let (epoch, stored) =
            self.queue().work(synced, move |connection| bump(connection, row).boxed()).await?;
        Ok(Some(Taken { lock: Lock::File { _lock: lock }, epoch, stored }))
    }

    /// The lock of a thread. A few calls on a local file system: less than handing them to another thread would cost.
    async fn lock_file(&self, file: &File, row: i64) -> Result<Option<ThreadLock>, StoreError> {
        let acquire = || {
            ThreadLock::acquire(&file.locks, row)
                .map_err(|cause| error::from_io(&cause, &file.locks, "used for the locks of threads"))
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
        let keys: Vec<(i64, i64)> =
            ranges.iter().map(|(from, to)| (key(row, *from), key(row, *to))).collect();
        let keys = vec![Value::Text(serde_json::json!(keys).to_string())];
        let found = self.readers().fetch(self.inner.database.ranges(), keys).await?;
        found.into_iter().map(|row| self.entry(row)).collect()
    }

    async fn read_snapshot(&self, thread: &ThreadId) -> Result<Option<Entry>, StoreError> {
        let Some(row) = self.row(thread).await? else { return Ok(None) };
        let sql = "SELECT id, kind, bytes FROM entries WHERE id BETWEEN $1 AND $2 AND kind = 1 ORDER BY id DESC LIMIT 1";
        let keys = vec![Value::Int(key(row, 1)), Value::Int(key(row, LAST_SEQ))];
        let found = self.readers().fetch(sql, keys).await?;
        found.into_iter().next().map(|row| self.entry(row)).transpose()
    }

    fn entry(&self, (key, kind, bytes): (i64, i64, Vec<u8>)) -> Result<Entry, StoreError> {
        let kind = match kind {
            0 => EntryKind::Record,
            1 => EntryKind::Snapshot,
            other => {
                let cause = format!("an entry has the kind {other}");
                return Err(self.inner.database.failed(&sqlx::Error::Decode(cause.into())));
            }
        };
        Ok(Entry { seq: seq_of(key), kind, bytes })
    }
}

/// What a new driver of a thread has: its lock, its epoch, and the last position that is stored.
pub(crate) struct Taken {
    pub(crate) lock: Lock,
    pub(crate) epoch: i64,
    pub(crate) stored: Seq,
}

async fn insert_thread(connection: &mut Connection, thread: String) -> Result<i64, sqlx::Error> {
    // The update that changes nothing makes `RETURNING` speak of a row that another process inserted first.
    let sql = "INSERT INTO threads (thread, epoch) VALUES ($1, 0)
        ON CONFLICT (thread) DO UPDATE SET epoch = threads.epoch RETURNING id";
    let (row,) = connection.fetch_one(sql, vec![Value::Text(thread)]).await?;
    Ok(row)
}

/// Begins a new epoch: what drivers of earlier ones append from now on is refused. Gives it, and the last position.
///
/// Two statements: on a server the second has to see what an earlier driver stored while the first waited for it.
pub(crate) async fn bump(connection: &mut Connection, row: i64) -> Result<(i64, Seq), sqlx::Error> {
    let sql = "UPDATE threads SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch";
    let (epoch,) = connection.fetch_one(sql, vec![Value::Int(row)]).await?;
    let sql = "SELECT coalesce(max(id), $1) FROM entries WHERE id BETWEEN $1 AND $2";
    let keys = vec![Value::Int(key(row, 0)), Value::Int(key(row, LAST_SEQ))];
    let (last,) = connection.fetch_one(sql, keys).await?;
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

impl Checkpointer for SqlStore {
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
struct SqlJournal {
    held: Arc<Held>,
    queue: Queue,
    database: Arc<Database>,
}

impl Journal for SqlJournal {
    fn append(&mut self, entry: Entry) -> Ack {
        if entry.seq > LAST_SEQ {
            return Ack::ready(Err(error::unusable(
                "SW-S432",
                format!(
                    "the thread `{}` in `{}` has {LAST_SEQ} entries and cannot have more; fork it and go on there",
                    self.held.thread,
                    self.database.place()
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
