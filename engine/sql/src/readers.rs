//! A few connections that only read. They see what is committed, and never wait for the writer.
//!
//! Not the pool of sqlx: that one waits by timers, which expire at once under a paused clock.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The pool. Connections are made when they are first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    options: SqliteConnectOptions,
    idle: Mutex<Vec<SqliteConnection>>,
    permits: Semaphore,
    connections_max: u32,
}

impl Readers {
    pub(crate) fn new(options: SqliteConnectOptions, connections_max: u32) -> Self {
        let connections_max = connections_max.max(1);
        Self {
            // A second line of defence: the statements of readers contain no writes anyway.
            options: options.pragma("query_only", "1"),
            idle: Mutex::default(),
            permits: Semaphore::new(connections_max as usize),
            connections_max,
        }
    }

    /// A connection, once one is free.
    pub(crate) async fn get(&self) -> Result<Reader<'_>, sqlx::Error> {
        let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(Reader { connection, readers: self, _permit: permit })
    }

    /// Waits for those who read, and closes all connections. Who asks for one later gets an error.
    pub(crate) async fn close(&self) {
        // `Err` means that somebody else has closed them.
        let Ok(_all) = self.permits.acquire_many(self.connections_max).await else { return };
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a reading connection was not closed cleanly");
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan.
pub(crate) struct Reader<'a> {
    connection: SqliteConnection,
    readers: &'a Readers,
    _permit: SemaphorePermit<'a>,
}

impl Reader<'_> {
    /// Gives the connection back. Who drops the reader instead closes it: it may be in the middle of a statement.
    pub(crate) fn give_back(self) {
        self.readers.idle().push(self.connection);
    }
}

impl Deref for Reader<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
