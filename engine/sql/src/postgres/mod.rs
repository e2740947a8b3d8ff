//! The store on a PostgreSQL server: how it is opened, and how a thread is taken.
//!
//! The tables lie in the schema `statewright` of the database that the address names, so one database is one store.

mod error;
mod schema;
mod session;

use std::str::FromStr;

use futures_util::FutureExt;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use statewright_engine_runtime::StoreError;
use tokio::sync::mpsc;

use crate::connection::{Connection, Value};
use crate::database::Database;
use crate::locks::Lock;
use crate::named::is_sql_store;
use crate::store::{SqlStore, Taken, bump};
use crate::writer::Job;
pub(crate) use error::is_lost;
use schema::LOCK_CLASS;
pub(crate) use schema::VERSION;
use session::Attempt;
pub(crate) use session::{Session, SessionLock};

/// The query for entries whose keys lie in some of the ranges that its parameter lists as JSON.
pub(crate) const RANGES: &str = "
    SELECT found.id, found.kind, found.bytes FROM json_array_elements($1::json) AS range
    CROSS JOIN LATERAL (
        SELECT id, kind, bytes FROM entries
        WHERE id BETWEEN (range ->> 0)::bigint AND (range ->> 1)::bigint
    ) AS found ORDER BY found.id";

/// How often a thread that another session holds is tried, 20 ms apart: the session of a process that has just died
/// is gone a moment after it.
const TAKE_ATTEMPTS_MAX: u32 = 6;

/// How a store on a server is opened.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// How many connections read at once, beside the one that writes; 4 by default, and never fewer than 1.
    pub readers_max: u32,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { readers_max: 4 }
    }
}

/// A [`Checkpointer`](statewright_engine_runtime::Checkpointer) and a table of runs on a PostgreSQL server. Clones share
/// its connections.
///
/// Connections are not encrypted: the server is on this machine, in a network that is trusted, or behind a tunnel.
///
/// ```no_run
/// use statewright_engine_core::{Entry, EntryKind, ThreadId};
/// use statewright_engine_runtime::{Checkpointer, Durability};
/// use statewright_engine_sql::{PostgresOptions, PostgresStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::open("postgres://me@localhost/runs", PostgresOptions::default()).await?;
/// let thread = ThreadId::from("mine");
/// let mut journal = Checkpointer::open(&store, &thread, Durability::Power).await?;
/// journal.append(Entry { seq: 1, kind: EntryKind::Record, bytes: b"it rained".to_vec() }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresStore {
    store: SqlStore,
}

impl PostgresStore {
    /// Connects to the database that the address names, such as `postgres://user:password@host:5432/database`, and
    /// makes the tables if they are not there. What the address leaves out is taken from the variables that `psql`
    /// knows, `PGHOST` and the like, and from `~/.pgpass`. Needs a tokio runtime, on which it starts the task that
    /// writes.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] with `SW-S437` if the address cannot be read, `SW-S435` if there is no way to the
    /// database, and other codes from `SW-S423` that say why it cannot be used.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let server = Server::at(url)?;
        let mut session = server.session(false).await.map_err(|error| server.unreachable(&error))?;
        let found = schema::prepare(session.connection(), &server).await?;
        let connection = Connection::Postgres(session);
        Ok(Self { store: SqlStore::new(Database::Postgres(server), connection, options.readers_max, found) })
    }
}

/// Where the database is.
#[derive(Debug)]
pub(crate) struct Server {
    place: String,
    connect: PgConnectOptions,
}

impl Server {
    fn at(url: &str) -> Result<Self, StoreError> {
        let connect = PgConnectOptions::from_str(url).map_err(|error| error::address(&error))?;
        let host = match connect.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        let user = connect.get_username();
        let place = format!("postgres://{user}@{host}/{}", connect.get_database().unwrap_or(user));
        // A time limit that somebody set for queries of people must not end a commit.
        let connect = connect
            .application_name("statewright")
            .options([("search_path", schema::NAME), ("statement_timeout", "0")])
            .disable_statement_logging();
        Ok(Self { place, connect })
    }

    /// The address without its password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// A new session; one that writes syncs.
    pub(crate) async fn session(&self, reads_only: bool) -> Result<Session, sqlx::Error> {
        let word = if reads_only { "on" } else { "off" };
        let connect = self.connect.clone().options([("default_transaction_read_only", word)]);
        Session::begin(connect.connect().await?).await
    }

    pub(crate) fn failed(&self, error: &sqlx::Error) -> StoreError {
        error::from_sqlx(error, &self.place)
    }

    fn unreachable(&self, error: &sqlx::Error) -> StoreError {
        error::unreachable(error, &self.place)
    }
}

/// Takes a thread for this process: its lock, and a new epoch. `None` if another driver has it.
///
/// The epoch is synced whatever the level of the thread is: if it were lost when the server dies, an earlier driver
/// could go on.
pub(crate) async fn take(store: &SqlStore, row: i64) -> Result<Option<Taken>, StoreError> {
    for attempt in 1..=TAKE_ATTEMPTS_MAX {
        let jobs = store.queue().weak();
        let work = store.queue().work(true, move |connection| lock_and_bump(connection, row, jobs).boxed());
        match work.await? {
            Attempt::Taken(taken) => return Ok(Some(taken)),
            Attempt::HeldHere => return Ok(None),
            Attempt::HeldElsewhere if attempt < TAKE_ATTEMPTS_MAX => {
                // The server waits: a timer here would not, under a paused clock.
                store.readers().fetch::<(String,)>("SELECT pg_sleep(0.02)::text", Vec::new()).await?;
            }
            Attempt::HeldElsewhere => {}
        }
    }
    Ok(None)
}

/// Whether some session holds the lock of a thread.
pub(crate) async fn is_held(store: &SqlStore, row: i64) -> Result<bool, StoreError> {
    const HELD: &str = "
        SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 2
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid::bigint = $1 AND objid::bigint = $2 & 4294967295";
    let key = vec![Value::Int(i64::from(LOCK_CLASS)), Value::Int(row)];
    let found: Vec<(i64,)> = store.readers().fetch(HELD, key).await?;
    Ok(found.first().is_some_and(|(held,)| *held > 0))
}

async fn lock_and_bump(
    connection: &mut Connection,
    row: i64,
    jobs: mpsc::WeakSender<Job>,
) -> Result<Attempt<Taken>, sqlx::Error> {
    let Connection::Postgres(session) = &mut *connection else { return Ok(Attempt::HeldElsewhere) };
    let lock = match session.lock(row, jobs).await? {
        Attempt::Taken(lock) => lock,
        Attempt::HeldHere => return Ok(Attempt::HeldHere),
        Attempt::HeldElsewhere => return Ok(Attempt::HeldElsewhere),
    };
    let (epoch, stored) = bump(connection, row).await?;
    Ok(Attempt::Taken(Taken { lock: Lock::Session(lock), epoch, stored }))
}

is_sql_store!(PostgresStore);
