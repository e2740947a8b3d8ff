//! One connection to a database of either kind, and what the store asks of it.
//!
//! Statements are written in the words that both understand, with parameters as `$1`. Where the two differ, the
//! difference is a method here.

use std::borrow::Cow;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection as _, FromRow, SqliteConnection};

use crate::batch::{Row, Stored};
use crate::insert;
use crate::locks::NO_SESSION;
#[cfg(feature = "postgres")]
use crate::postgres::Session;

/// The text of a statement, which is copied only if it was put together.
pub(crate) type Statement = Cow<'static, str>;

/// What is bound to a parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    MaybeText(Option<String>),
}

/// What a row can be read as, whichever database it comes from.
#[cfg(not(feature = "postgres"))]
pub(crate) trait Record: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
#[cfg(not(feature = "postgres"))]
impl<T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Record for T {}

/// What a row can be read as, whichever database it comes from.
#[cfg(feature = "postgres")]
pub(crate) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin
{
}
#[cfg(feature = "postgres")]
impl<T> Record for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin
{
}

/// A connection, with what hangs on it.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(Session),
}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::MaybeText(text) => query.bind(text),
            };
        }
        query
    }};
}

impl Connection {
    /// All rows of a query. Its text is written in this crate, so it cannot be another's.
    pub(crate) async fn fetch<T: Record>(
        &mut self,
        sql: impl Into<Statement>,
        values: Vec<Value>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let sql = AssertSqlSafe(sql.into());
        match self {
            Self::Sqlite(connection) => {
                bound!(sqlx::query_as::<sqlx::Sqlite, T>(sql), values).fetch_all(connection).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => {
                bound!(sqlx::query_as::<sqlx::Postgres, T>(sql), values).fetch_all(session.connection()).await
            }
        }
    }

    /// The first row of a query that always has one.
    pub(crate) async fn fetch_one<T: Record>(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<T, sqlx::Error> {
        self.fetch(sql, values).await?.pop().ok_or(sqlx::Error::RowNotFound)
    }

    /// Does something, and says whether it changed a row.
    pub(crate) async fn change(
        &mut self,
        sql: impl Into<Statement>,
        values: Vec<Value>,
    ) -> Result<bool, sqlx::Error> {
        let sql = AssertSqlSafe(sql.into());
        let rows = match self {
            Self::Sqlite(connection) => {
                bound!(sqlx::query::<sqlx::Sqlite>(sql), values).execute(connection).await?.rows_affected()
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => bound!(sqlx::query::<sqlx::Postgres>(sql), values)
                .execute(session.connection())
                .await?
                .rows_affected(),
        };
        Ok(rows > 0)
    }

    /// Does something that gives no rows and takes no parameters.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => sqlx::raw_sql(sql).execute(session.connection()).await.map(drop),
        }
    }

    /// Stores the rows whose thread and position are as they say, in one commit.
    pub(crate) async fn insert(&mut self, rows: Vec<Row>) -> Result<Stored, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => insert::insert(connection, rows).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.insert(rows).await,
        }
    }

    /// Sets whether commits from now on survive power loss.
    pub(crate) async fn set_synced(&mut self, synced: bool) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                // Takes effect when it is compiled, so it must not come from the cache of statements.
                let level = if synced { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
                sqlx::raw_sql(level).execute(connection).await?;
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.set_synced(synced).await,
        }
    }

    /// The session that locks of threads hang on.
    pub(crate) fn session(&self) -> u64 {
        match self {
            Self::Sqlite(_) => NO_SESSION,
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.number(),
        }
    }

    /// Whether it still leads to the database: asked before something that nobody would repeat.
    pub(crate) async fn is_alive(&mut self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.connection().ping().await.is_ok(),
        }
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.close().await,
        }
    }
}
