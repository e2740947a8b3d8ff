//! A session on the server: the locks of threads, which live and die with it, and the statement that stores a batch.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc;

use super::schema::LOCK_CLASS;
use crate::batch::{Row, Stored};
use crate::locks::NO_SESSION;
use crate::writer::Job;

/// A connection and the threads that its session holds.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PgConnection,
    /// No other session of this process has it.
    number: u64,
    /// What `synchronous_commit` is at the level of power loss.
    synced: String,
    held: HashSet<i64>,
    released: Released,
}

/// The threads that were given back, and whose locks the session still has.
type Released = Arc<Mutex<Vec<i64>>>;

/// What became of taking a thread.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    Taken(T),
    /// A driver of this session has it: the server would give it to us again.
    HeldHere,
    HeldElsewhere,
}

impl Session {
    /// A session; one that only reads commits nothing, so that its level does not matter.
    pub(crate) async fn begin(mut connection: PgConnection, reads_only: bool) -> Result<Self, sqlx::Error> {
        static COUNT: AtomicU64 = AtomicU64::new(NO_SESSION + 1);
        // What the operator chose is kept, unless it does not wait for the disk at all. A session that holds threads is
        // idle for as long as their nodes work; servers before 14 do not know that limit.
        const BEGIN: &str = "
            SELECT CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                ELSE current_setting('synchronous_commit') END,
            (SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout')";
        let (synced, _): (String, Option<String>) = sqlx::query_as(BEGIN).fetch_one(&mut connection).await?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut session =
            Self { connection, number, synced, held: HashSet::new(), released: Released::default() };
        if !reads_only {
            session.set_synced(true).await?;
        }
        Ok(session)
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Sets whether a commit waits until the server's log is on the disk.
    pub(crate) async fn set_synced(&mut self, synced: bool) -> Result<(), sqlx::Error> {
        let level = if synced { &self.synced } else { "off" };
        let query = sqlx::query("SELECT set_config('synchronous_commit', $1, false)").bind(level);
        query.execute(&mut self.connection).await.map(drop)
    }

    /// Takes the lock of a thread, which is given back when what comes out is dropped.
    pub(crate) async fn lock(
        &mut self,
        row: i64,
        jobs: mpsc::WeakSender<Job>,
    ) -> Result<Attempt<SessionLock>, sqlx::Error> {
        self.unlock_released().await?;
        if self.held.contains(&row) {
            return Ok(Attempt::HeldHere);
        }
        let query = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2::bigint::integer)");
        if !query.bind(LOCK_CLASS).bind(row).fetch_one(&mut self.connection).await? {
            return Ok(Attempt::HeldElsewhere);
        }
        self.held.insert(row);
        let released = Arc::clone(&self.released);
        Ok(Attempt::Taken(SessionLock { row, session: self.number, released, jobs }))
    }

    /// Gives the locks back whose journals were dropped.
    pub(crate) async fn unlock_released(&mut self) -> Result<(), sqlx::Error> {
        let released = std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner));
        if released.is_empty() {
            return Ok(());
        }
        for row in &released {
            self.held.remove(row);
        }
        const UNLOCK: &str = "SELECT pg_advisory_unlock($1, row::integer) FROM unnest($2::bigint[]) AS row";
        sqlx::query(UNLOCK).bind(LOCK_CLASS).bind(released).execute(&mut self.connection).await.map(drop)
    }

    /// Stores the rows whose thread and position are as they say.
    ///
    /// The rows of the threads are locked against a new epoch until the commit: a driver that begins one meanwhile
    /// waits, and then sees what this statement stored.
    pub(crate) async fn insert(&mut self, rows: Vec<Row>) -> Result<Stored, sqlx::Error> {
        const INSERT: &str = "
            INSERT INTO entries (id, epoch, kind, bytes)
            SELECT new.id, new.epoch, new.kind, new.bytes
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
                AS new (id, epoch, head, kind, bytes)
            JOIN threads ON threads.id = new.id >> 32 AND threads.epoch = new.epoch
            WHERE new.head = coalesce(
                (SELECT max(id) FROM entries
                 WHERE id BETWEEN new.id & ~4294967295::bigint AND new.id | 4294967295::bigint),
                new.id & ~4294967295::bigint)
            FOR SHARE OF threads
            ON CONFLICT DO NOTHING RETURNING id";
        let count = rows.len();
        let column = |value: fn(&Row) -> i64| rows.iter().map(value).collect::<Vec<i64>>();
        let query = sqlx::query_scalar(INSERT)
            .bind(column(|row| row.key))
            .bind(column(|row| row.epoch))
            .bind(column(|row| row.head))
            .bind(column(|row| row.kind))
            .bind(rows.into_iter().map(|row| row.bytes).collect::<Vec<_>>());
        Ok(Stored::of(query.fetch_all(&mut self.connection).await?, count))
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}

/// A thread that a session holds. Dropping it gives the thread back; so does the end of the session.
#[derive(Debug)]
pub(crate) struct SessionLock {
    row: i64,
    session: u64,
    released: Released,
    jobs: mpsc::WeakSender<Job>,
}

impl SessionLock {
    pub(crate) fn session(&self) -> u64 {
        self.session
    }
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).push(self.row);
        if let Some(jobs) = self.jobs.upgrade() {
            // If the queue is full, the next one who takes a thread finds what was released.
            let _ = jobs.try_send(Job::Wake);
        }
    }
}
