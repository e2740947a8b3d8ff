//! What an operator asks of a database: what is in it, whether it is sound, a copy, its space back.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use futures_util::FutureExt;
use statewright_engine_core::{Seq, ThreadId};
use statewright_engine_runtime::StoreError;

use crate::connection::Value;
use crate::error;
use crate::removal::FORGET_ROWS;
use crate::store::SqlStore;

impl SqlStore {
    /// All threads by name, each with the position of its last entry; 0 if it has none.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn threads(&self) -> Result<Vec<(ThreadId, Seq)>, StoreError> {
        let named = self.named();
        let sql = format!(
            "SELECT thread, coalesce(
                (SELECT max(entries.id) FROM entries
                 WHERE entries.id BETWEEN (threads.id << 32) AND (threads.id << 32 | 4294967295)) & 4294967295, 0)
            FROM threads WHERE {named} ORDER BY thread"
        );
        let found: Vec<(String, i64)> = self.readers().fetch(sql, Vec::new()).await?;
        Ok(found.into_iter().map(|(thread, last)| (thread.into(), last.unsigned_abs())).collect())
    }

    /// Has SQLite check the structure of the whole file, and gives what it found, at most a hundred things. A server
    /// checks its own files, so there is nothing to say about one.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        if self.path().is_none() {
            return Ok(Vec::new());
        }
        let found: Vec<(String,)> = self.readers().fetch("PRAGMA integrity_check(100)", Vec::new()).await?;
        Ok(found.into_iter().map(|(line,)| line).filter(|line| line != "ok").collect())
    }

    /// How large the database is, in bytes.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        let sql = match self.path() {
            Some(_) => "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            None => "SELECT pg_database_size(current_database())",
        };
        let found: Vec<(i64,)> = self.readers().fetch(sql, Vec::new()).await?;
        Ok(found.first().map_or(0, |(bytes,)| bytes.unsigned_abs()))
    }

    /// Copies what is stored into a new file, which is a whole database and only readable by this user. Runs may go on
    /// meanwhile: the copy shows one moment.
    ///
    /// # Errors
    /// `SW-S440` on a server, which has tools of its own; `SW-S420` if there is a file of this name, and other
    /// [`StoreError`]s when the store cannot be read or the copy not be written.
    pub async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        if self.path().is_none() {
            let message = format!(
                "`{}` is a server's database, which is not a file to copy; use pg_dump",
                self.place()
            );
            return Err(error::unusable("SW-S440", message));
        }
        let failed = |cause: std::io::Error| error::from_io(&cause, path, "written as a backup");
        let Some(name) = path.to_str() else {
            return Err(error::cannot_open(path, "its path is not valid UTF-8"));
        };
        // Made here, because SQLite would let others read it. It copies into a file that is empty.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let values = vec![Value::Text(name.to_owned())];
        let copy = self.queue().work(false, move |connection| {
            async move { connection.change("VACUUM INTO $1", values).await }.boxed()
        });
        let copied = match copy.await {
            Ok(_) => file.sync_all().map_err(failed),
            Err(refused) => Err(refused),
        };
        if copied.is_err() {
            drop(std::fs::remove_file(path));
            return copied;
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Gives space that is not used any more back to the file system, or on a server to the tables.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written; `SW-S428` if another program is in the middle of something.
    pub async fn vacuum(&self) -> Result<(), StoreError> {
        let statements: &[&str] = match self.path() {
            Some(_) => &[FORGET_ROWS, "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"],
            None => &["VACUUM (ANALYZE) threads, entries, runs, control, results"],
        };
        for sql in statements {
            let done = self.queue().work(true, move |connection| connection.change(*sql, Vec::new()).boxed());
            done.await?;
        }
        Ok(())
    }
}
