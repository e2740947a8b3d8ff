//! The only connection that writes, and the task that owns it. Everything that changes the database goes through its
//! queue, so writers of this process never wait for each other's locks.
//!
//! There is one connection for all levels of durability: SQLite has one write lock per file, and a second connection
//! would only poll for it; on a server the locks of threads hang on the connection's session. The level is set before a
//! commit, when it differs from that of the commit before.
//!
//! A connection to a server can break. Then every journal that was open is refused for good, because its lock is gone,
//! and the next job that is not an entry begins with a new connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use statewright_engine_runtime::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Append, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Batch};
use crate::connection::Connection;
use crate::database::Database;
use crate::error;
use crate::fail_point;

/// How many jobs may wait for the disk.
const QUEUE_JOBS_MAX: usize = 65_536;
/// How many bytes of entries may wait for the disk.
const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;

type Connected<'c> = Result<&'c mut Connection, sqlx::Error>;
/// Says whether the connection was lost meanwhile.
type Work = Box<dyn for<'c> FnOnce(Connected<'c>) -> BoxFuture<'c, bool> + Send>;

#[derive(Debug)]
pub(crate) enum Job {
    Append(Append),
    Work(Task),
    /// Something was given back that hangs on the connection.
    #[cfg(feature = "postgres")]
    Wake,
    Close(oneshot::Sender<()>),
}

pub(crate) struct Task {
    synced: bool,
    work: Work,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task(..)")
    }
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: Arc<Database>,
    queued_bytes: AtomicUsize,
    commits: AtomicU64,
    entries: AtomicU64,
}

impl Queue {
    /// Starts the task on the current runtime. It ends when the last queue is dropped.
    pub(crate) fn start(connection: Connection, database: Arc<Database>) -> Self {
        let (jobs, receiver) = mpsc::channel(QUEUE_JOBS_MAX);
        let shared = Arc::new(Shared {
            database,
            queued_bytes: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        });
        // A new connection syncs: whoever makes one says so.
        let session = connection.session();
        let writer =
            Writer { connection: Some(connection), session, synced: true, shared: Arc::clone(&shared) };
        tokio::spawn(writer.run(receiver));
        Self { jobs, shared }
    }

    /// Queues an entry, or refuses it at once when too much is waiting already.
    pub(crate) fn append(&self, append: Append) {
        let bytes = append.entry.bytes.len();
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // An entry is let in whatever its size when nothing else waits.
        let refused = if before > 0 && before + bytes > QUEUE_BYTES_MAX {
            Some((Job::Append(append), true))
        } else {
            match self.jobs.try_send(Job::Append(append)) {
                Ok(()) => None,
                Err(mpsc::error::TrySendError::Full(job)) => Some((job, true)),
                Err(mpsc::error::TrySendError::Closed(job)) => Some((job, false)),
            }
        };
        if let Some((Job::Append(append), overflow)) = refused {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let error = if overflow { self.overflow() } else { self.gone() };
            append.held.progress().refuse(append.entry.seq, &error);
            let _ = append.ack.send(Err(error));
        }
    }

    /// Does something else on the writing connection, between two commits of entries.
    pub(crate) async fn work<T, W>(&self, synced: bool, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let database = Arc::clone(&self.shared.database);
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let done = match connection {
                    Ok(connection) => work(connection).await,
                    Err(error) => Err(error),
                };
                let is_lost = done.as_ref().is_err_and(|error| database.is_lost(error));
                let _ = sender.send(done);
                is_lost
            })
        });
        self.jobs.send(Job::Work(Task { synced, work })).await.map_err(|_| self.gone())?;
        let done = receiver.await.map_err(|_| self.gone())?;
        done.map_err(|error| self.shared.database.failed(&error))
    }

    /// A way to the writer that does not keep it alive.
    #[cfg(feature = "postgres")]
    pub(crate) fn weak(&self) -> mpsc::WeakSender<Job> {
        self.jobs.downgrade()
    }

    /// Stores what is queued, closes the connection and refuses everything else from then on.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }

    /// Commits that stored entries, and the entries that they stored.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.shared.commits.load(Ordering::Relaxed), self.shared.entries.load(Ordering::Relaxed))
    }

    fn gone(&self) -> StoreError {
        self.shared.database.failed(&sqlx::Error::WorkerCrashed)
    }

    fn overflow(&self) -> StoreError {
        error::unusable(
            "SW-S431",
            format!(
                "more than {QUEUE_JOBS_MAX} entries or {} MiB wait to be written to `{}`: the disk does not keep up; run less at once, or use a faster disk, and resume",
                QUEUE_BYTES_MAX >> 20,
                self.shared.database.place()
            ),
        )
    }
}

struct Writer {
    /// `None` once it was lost.
    connection: Option<Connection>,
    /// The session of the connection, or of the last one.
    session: u64,
    /// The level that the connection is set to.
    synced: bool,
    shared: Arc<Shared>,
}

impl Writer {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = None;
        let mut closed = Vec::new();
        loop {
            let next = match waiting.take() {
                Some(job) => Some(job),
                None => jobs.recv().await,
            };
            match next {
                None => break,
                Some(Job::Work(task)) => self.work(task).await,
                #[cfg(feature = "postgres")]
                Some(Job::Wake) => self.unlock().await,
                // What is in the queue by now is still done; then it gives nothing more.
                Some(Job::Close(done)) => {
                    jobs.close();
                    closed.push(done);
                }
                Some(Job::Append(first)) => {
                    let batch;
                    (batch, waiting) = gather(first, &mut jobs);
                    self.store(batch).await;
                }
            }
        }
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(database = %self.shared.database.place(), %error, "the database was not closed cleanly");
        }
        for done in closed {
            let _ = done.send(());
        }
    }

    async fn work(&mut self, task: Task) {
        let connection = match self.ready().await {
            Ok(()) => {
                // A level that cannot be set makes the work itself fail as well: the connection is gone.
                let _ = self.set_level(task.synced).await;
                self.connection.as_mut().ok_or_else(|| self.shared.database.lost())
            }
            Err(error) => Err(error),
        };
        if (task.work)(connection).await {
            self.lose();
        }
    }

    /// Makes sure that there is a connection, if that is possible.
    async fn ready(&mut self) -> Result<(), sqlx::Error> {
        if let Some(connection) = &mut self.connection {
            if connection.is_alive().await {
                return Ok(());
            }
            self.lose();
        }
        let connection = self.shared.database.writer_again().await?;
        self.session = connection.session();
        self.synced = true;
        self.connection = Some(connection);
        Ok(())
    }

    fn lose(&mut self) {
        if self.connection.take().is_some() {
            tracing::error!(database = %self.shared.database.place(), "the connection was lost, and with it the threads that this process held");
        }
    }

    #[cfg(feature = "postgres")]
    async fn unlock(&mut self) {
        let Some(Connection::Postgres(session)) = &mut self.connection else { return };
        if session.unlock_released().await.is_err() {
            self.lose();
        }
    }

    async fn store(&mut self, appends: Vec<Append>) {
        let bytes: usize = appends.iter().map(|append| append.entry.bytes.len()).sum();
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let database = Arc::clone(&self.shared.database);
        let Some(mut batch) = Batch::plan(appends, self.session, || database.failed(&database.lost())) else {
            return;
        };
        let result = self.commit(&mut batch).await;
        if result.as_ref().is_err_and(|error| database.is_lost(error)) {
            self.lose();
        }
        let result = result.map_err(|error| database.failed(&error));
        if let Err(error) = &result {
            tracing::error!(database = %database.place(), entries = batch.len(), %error, "entries were not stored");
        }
        batch.finish(&result, &self.shared.entries);
    }

    async fn commit(&mut self, batch: &mut Batch) -> Result<crate::batch::Stored, sqlx::Error> {
        self.set_level(batch.synced()).await?;
        let connection = self.connection.as_mut().ok_or_else(|| self.shared.database.lost())?;
        let number = fail_point::before_commit();
        let stored = batch.commit(connection).await?;
        fail_point::after_commit(number);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        Ok(stored)
    }

    async fn set_level(&mut self, synced: bool) -> Result<(), sqlx::Error> {
        if synced != self.synced {
            let connection = self.connection.as_mut().ok_or_else(|| self.shared.database.lost())?;
            connection.set_synced(synced).await?;
            self.synced = synced;
        }
        Ok(())
    }
}

/// Takes what already waits, up to the size of a batch. Gives back the job that did not belong to it.
fn gather(first: Append, jobs: &mut mpsc::Receiver<Job>) -> (Vec<Append>, Option<Job>) {
    let mut bytes = first.entry.bytes.len();
    let mut batch = vec![first];
    while batch.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
        match jobs.try_recv() {
            Ok(Job::Append(append)) => {
                bytes += append.entry.bytes.len();
                batch.push(append);
            }
            Ok(other) => return (batch, Some(other)),
            Err(_) => break,
        }
    }
    (batch, None)
}
