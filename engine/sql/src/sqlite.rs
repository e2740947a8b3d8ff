//! The store in a SQLite file: how it is opened.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use statewright_engine_runtime::StoreError;

use crate::connection::Connection;
use crate::database::{Database, File};
use crate::error;
use crate::files;
use crate::named::is_sql_store;
use crate::store::SqlStore;

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

/// A [`Checkpointer`](statewright_engine_runtime::Checkpointer) and a table of runs in one SQLite file. Clones share its
/// connections.
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
    store: SqlStore,
}

impl SqliteStore {
    /// Opens the database at the path, or makes one that only this user can read. Needs a tokio runtime, on which it
    /// starts the task that writes; the task ends with [`close`](SqlStore::close), or when the last clone and
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
        let (connection, found) = writing_connection(&database, &connect, &options).await?;
        let mut locks = database.as_os_str().to_owned();
        locks.push(".locks");
        let file = File { path: database, locks: locks.into(), connect };
        let connection = Connection::Sqlite(connection);
        Ok(Self { store: SqlStore::new(Database::Sqlite(file), connection, options.readers_max, found) })
    }

    /// The canonical path of the database.
    pub fn path(&self) -> &Path {
        self.store.path().unwrap_or_else(|| Path::new(""))
    }
}

async fn writing_connection(
    database: &Path,
    connect: &SqliteConnectOptions,
    options: &SqliteOptions,
) -> Result<(SqliteConnection, i64), StoreError> {
    let mut connect = connect.clone();
    if let Some(pages) = options.pages_max {
        connect = connect.pragma("max_page_count", pages.to_string());
    }
    let mut connection = connect.connect().await.map_err(|error| error::from_sqlx(&error, database))?;
    match files::verify(&mut connection, database).await {
        Ok(found) => Ok((connection, found)),
        Err(refused) => {
            // Closed before the error is out, so that no log of ours stays beside a file that is not for us.
            let _ = connection.close().await;
            Err(refused)
        }
    }
}

is_sql_store!(SqliteStore);
