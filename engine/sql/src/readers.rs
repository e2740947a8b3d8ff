//! A few connections that only read. They see what is committed, and never wait for the writer.
//!
//! Not the pool of sqlx: that one waits by timers, which expire at once under a paused clock.

use std::sync::{Arc, Mutex, PoisonError};

use statewright_engine_runtime::StoreError;
use tokio::sync::Semaphore;

use crate::connection::{Connection, Record, Statement, Value};
use crate::database::Database;

/// The pool. Connections are made when they are first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    database: Arc<Database>,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    connections_max: u32,
}

impl Readers {
    pub(crate) fn new(database: Arc<Database>, connections_max: u32) -> Self {
        let connections_max = connections_max.max(1);
        Self {
            database,
            idle: Mutex::default(),
            permits: Semaphore::new(connections_max as usize),
            connections_max,
        }
    }

    /// All rows of a query, once a connection is free.
    pub(crate) async fn fetch<T: Record>(
        &self,
        sql: impl Into<Statement>,
        values: Vec<Value>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = match self.permits.acquire().await {
            Ok(_permit) => self.once_or_twice(sql.into(), values).await,
            Err(_) => Err(sqlx::Error::PoolClosed),
        };
        rows.map_err(|error| self.database.failed(&error))
    }

    /// A connection that broke while it lay idle is no reason to fail: then a fresh one is asked.
    async fn once_or_twice<T: Record>(
        &self,
        sql: Statement,
        values: Vec<Value>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let idle = self.idle().pop();
        if let Some(mut connection) = idle {
            match connection.fetch(sql.clone(), values.clone()).await {
                Err(error) if self.database.is_lost(&error) => self.idle().clear(),
                rows => return self.give_back(connection, rows),
            }
        }
        let mut connection = self.database.reader().await?;
        let rows = connection.fetch(sql, values).await;
        self.give_back(connection, rows)
    }

    /// After an error, or if the reading is given up, the connection is closed: it may be in the middle of a statement.
    fn give_back<T>(&self, connection: Connection, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if done.is_ok() {
            self.idle().push(connection);
        }
        done
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

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
