//! Which database a store is on: how it is reached, and what its refusals mean.

use std::path::PathBuf;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use statewright_engine_runtime::StoreError;

use crate::connection::Connection;
use crate::error;
#[cfg(feature = "postgres")]
use crate::postgres::Server;

/// A database of either kind.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(File),
    #[cfg(feature = "postgres")]
    Postgres(Server),
}

/// A database in a file.
#[derive(Debug)]
pub(crate) struct File {
    /// Its canonical path.
    pub(crate) path: PathBuf,
    /// The folder of the locks of threads.
    pub(crate) locks: PathBuf,
    pub(crate) connect: SqliteConnectOptions,
}

impl Database {
    /// What a person knows it by: the canonical path, or the address without its password.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Sqlite(file) => file.path.display().to_string(),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.place().to_owned(),
        }
    }

    /// The version of the tables that this build reads and writes.
    pub(crate) fn version(&self) -> i64 {
        match self {
            Self::Sqlite(_) => crate::schema::VERSION,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => crate::postgres::VERSION,
        }
    }

    /// The query for entries whose keys lie in some of the ranges that its parameter lists as JSON.
    pub(crate) fn ranges(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => {
                "SELECT entries.id, entries.kind, entries.bytes FROM json_each($1) AS range
                CROSS JOIN entries ON entries.id BETWEEN range.value ->> 0 AND range.value ->> 1"
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => crate::postgres::RANGES,
        }
    }

    /// A connection that only reads.
    pub(crate) async fn reader(&self) -> Result<Connection, sqlx::Error> {
        match self {
            // A second line of defence: the statements of readers contain no writes anyway.
            Self::Sqlite(file) => {
                let connect = file.connect.clone().pragma("query_only", "1");
                let connection: SqliteConnection = connect.connect().await?;
                Ok(Connection::Sqlite(connection))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => Ok(Connection::Postgres(server.session(true).await?)),
        }
    }

    /// Another connection that writes, after the first was lost. A file has only the one that it was opened with.
    pub(crate) async fn writer_again(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(_) => Err(self.lost()),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => Ok(Connection::Postgres(server.session(false).await?)),
        }
    }

    /// Whether the connection itself has gone, and not only one statement failed.
    pub(crate) fn is_lost(&self, error: &sqlx::Error) -> bool {
        match self {
            Self::Sqlite(_) => matches!(error, sqlx::Error::WorkerCrashed),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => crate::postgres::is_lost(error),
        }
    }

    /// What a statement gets whose connection has gone before it.
    pub(crate) fn lost(&self) -> sqlx::Error {
        match self {
            Self::Sqlite(_) => sqlx::Error::WorkerCrashed,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// What a failed statement means for the caller.
    pub(crate) fn failed(&self, error: &sqlx::Error) -> StoreError {
        match self {
            Self::Sqlite(file) => error::from_sqlx(error, &file.path),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.failed(error),
        }
    }
}
