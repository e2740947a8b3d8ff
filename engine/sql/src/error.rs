//! How SQLite's answers become the store's errors: a stable code, the file, what to do.

use std::io;
use std::path::Path;

use statewright_engine_runtime::StoreError;

const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
pub(crate) const SQLITE_NOTADB: i32 = 26;
/// The index of the write-ahead log could not be made as large as it has to be: there is no room for it.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

/// The extended result code, if SQLite itself refused.
pub(crate) fn result_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether the database's content is at fault.
pub(crate) fn is_corrupt(error: &sqlx::Error) -> bool {
    result_code(error).is_some_and(|code| code & 0xff == SQLITE_CORRUPT)
}

/// What a failed statement means for the caller.
pub(crate) fn from_sqlx(error: &sqlx::Error, database: &Path) -> StoreError {
    if let sqlx::Error::Io(error) = error {
        return from_io(error, database, "used");
    }
    let Some(code) = result_code(error) else {
        return match error {
            sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => unusable(
                "SW-S404",
                format!(
                    "the store of `{}` is closed or has stopped; open it again, or start the program again, and resume",
                    database.display()
                ),
            ),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                corrupt(database, &error.to_string())
            }
            _ => unexpected(error, database),
        };
    };
    match (code, code & 0xff) {
        (SQLITE_IOERR_SHMSIZE, _) | (_, SQLITE_FULL) => {
            StoreError::Full { message: format!("`{}` cannot grow", database.display()) }
        }
        (_, SQLITE_BUSY | SQLITE_LOCKED) => unusable(
            "SW-S428",
            format!(
                "the database `{}` was locked by another program for too long; end that program, or wait for it, and try again",
                database.display()
            ),
        ),
        (_, SQLITE_READONLY) => read_only(database),
        (_, SQLITE_IOERR) => unusable(
            "SW-S429",
            format!(
                "the disk failed while `{}` was used ({error}); look at the system's log for the disk, and resume once it is sound",
                database.display()
            ),
        ),
        (_, SQLITE_CORRUPT) => corrupt(database, &error.to_string()),
        (_, SQLITE_NOTADB) => not_a_database(database),
        (_, SQLITE_CANTOPEN) => cannot_open(database, &error.to_string()),
        _ => unexpected(error, database),
    }
}

/// What a failed file operation means for the caller; `doing` completes "cannot be …".
pub(crate) fn from_io(error: &io::Error, path: &Path, doing: &str) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full { message: format!("`{}` cannot be {doing}", path.display()) }
        }
        io::ErrorKind::ReadOnlyFilesystem => read_only(path),
        _ => unusable(
            "SW-S420",
            format!(
                "`{}` cannot be {doing}: {error}; check the path and its permissions, or choose another",
                path.display()
            ),
        ),
    }
}

pub(crate) fn unusable(code: &'static str, message: String) -> StoreError {
    StoreError::Unusable { code, message }
}

pub(crate) fn cannot_open(path: &Path, reason: &str) -> StoreError {
    unusable(
        "SW-S420",
        format!(
            "the database `{}` cannot be opened: {reason}; check the path and the permissions of the file and its folder, or choose another",
            path.display()
        ),
    )
}

pub(crate) fn not_a_file(path: &Path) -> StoreError {
    unusable(
        "SW-S421",
        format!(
            "`{}` is not a file; give the path of a database file, for example one inside that folder",
            path.display()
        ),
    )
}

pub(crate) fn not_a_database(path: &Path) -> StoreError {
    unusable(
        "SW-S422",
        format!(
            "`{}` is not a SQLite database, or its beginning is damaged; it was left as it is: choose another path, move the file away, or restore it from a backup",
            path.display()
        ),
    )
}

pub(crate) fn foreign(path: &Path) -> StoreError {
    unusable(
        "SW-S423",
        format!(
            "the database `{}` belongs to another program; it was left as it is: choose another path",
            path.display()
        ),
    )
}

pub(crate) fn newer(path: &Path, found: i64, known: i64) -> StoreError {
    unusable(
        "SW-S424",
        format!(
            "the database `{}` has format {found}, and this build knows up to {known}; use the newer build that wrote it, or choose another path",
            path.display()
        ),
    )
}

pub(crate) fn read_only(path: &Path) -> StoreError {
    unusable(
        "SW-S425",
        format!(
            "`{}` cannot be written to; make the file and its folder writable, or choose another path",
            path.display()
        ),
    )
}

pub(crate) fn network(path: &Path, kind: &str) -> StoreError {
    unusable(
        "SW-S426",
        format!(
            "`{}` lies on a network file system ({kind}), where SQLite's locks and its write-ahead log are not reliable; choose a path on a local disk",
            path.display()
        ),
    )
}

pub(crate) fn corrupt(path: &Path, reason: &str) -> StoreError {
    unusable(
        "SW-S427",
        format!(
            "the database `{}` is damaged ({reason}); it was left as it is: copy it away, then restore a backup or try `sqlite3 … .recover`",
            path.display()
        ),
    )
}

fn unexpected(error: &sqlx::Error, database: &Path) -> StoreError {
    unusable(
        "SW-S433",
        format!(
            "the database `{}` refused a statement of this program ({error}); this is a defect: report it with this line",
            database.display()
        ),
    )
}
