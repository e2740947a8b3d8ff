//! How a server's answers become the store's errors: a stable code, the address without its password, what to do.
//! The letters and digits are those of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use statewright_engine_runtime::StoreError;

use crate::error::unusable;

fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// Whether the session has ended, and its locks with it.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match server_error(error) {
        Some(server) => matches!(server.severity(), PgSeverity::Fatal | PgSeverity::Panic),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}

pub(crate) fn is_no_such_column(error: &sqlx::Error) -> bool {
    server_error(error).is_some_and(|server| server.code() == "42703")
}

/// What a failed statement means for the caller.
pub(crate) fn from_sqlx(error: &sqlx::Error, place: &str) -> StoreError {
    if matches!(error, sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed) {
        return unusable(
            "SW-S404",
            format!(
                "the store of `{place}` is closed or has stopped; open it again, or start the program again, and resume"
            ),
        );
    }
    if is_lost(error) {
        return unusable(
            "SW-S434",
            format!(
                "the connection to the database `{place}` was lost ({}); see that the server runs and resume: everything acknowledged is stored",
                words(error)
            ),
        );
    }
    let Some(server) = server_error(error) else {
        return match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => corrupt(place, &error.to_string()),
            _ => unexpected(error, place),
        };
    };
    match server.code() {
        "53100" => StoreError::Full { message: format!("`{place}` cannot grow") },
        // A standby, or a role without the right to write.
        "25006" | "42501" => unusable(
            "SW-S425",
            format!(
                "`{place}` cannot be written to ({}); connect to the primary server, and give the role the right to make and change the tables of the schema `statewright`",
                server.message()
            ),
        ),
        "55P03" | "57014" => unusable(
            "SW-S428",
            format!(
                "the database `{place}` was locked by another program for too long; end that program, or wait for it, and try again"
            ),
        ),
        // A zero byte, a character that the server cannot hold, or a name that its index cannot.
        "22021" | "22P05" | "54000" => unusable(
            "SW-S436",
            format!(
                "the database `{place}` cannot hold a name or a text ({}); leave zero bytes out, and keep names below 2,000 bytes",
                server.message()
            ),
        ),
        "XX001" | "XX002" => corrupt(place, server.message()),
        _ => unexpected(error, place),
    }
}

/// What it means that no connection could be made.
pub(crate) fn unreachable(error: &sqlx::Error, place: &str) -> StoreError {
    unusable(
        "SW-S435",
        format!(
            "the database `{place}` cannot be reached: {}; see that the server runs, that it lets this user in, and that the address is right",
            words(error)
        ),
    )
}

pub(crate) fn address(error: &sqlx::Error) -> StoreError {
    unusable(
        "SW-S437",
        format!(
            "the address of the database cannot be read ({}); write it as postgres://user:password@host:5432/database",
            words(error)
        ),
    )
}

pub(crate) fn encoding(place: &str, encoding: &str) -> StoreError {
    unusable(
        "SW-S435",
        format!(
            "the database `{place}` has the encoding {encoding}, which cannot hold every text; make one with the encoding UTF8"
        ),
    )
}

pub(crate) fn foreign(place: &str) -> StoreError {
    unusable(
        "SW-S423",
        format!(
            "the schema `statewright` in the database `{place}` belongs to another program; it was left as it is: name another database"
        ),
    )
}

pub(crate) fn newer(place: &str, found: i64, known: i64) -> StoreError {
    unusable(
        "SW-S424",
        format!(
            "the database `{place}` has format {found}, and this build knows up to {known}; use the newer build that wrote it, or name another database"
        ),
    )
}

fn corrupt(place: &str, reason: &str) -> StoreError {
    unusable(
        "SW-S427",
        format!(
            "the database `{place}` is damaged ({reason}); it was left as it is: restore a backup of the server"
        ),
    )
}

fn unexpected(error: &sqlx::Error, place: &str) -> StoreError {
    unusable(
        "SW-S433",
        format!(
            "the database `{place}` refused a statement of this program ({error}); this is a defect: report it with this line"
        ),
    )
}

/// The cause without the library's own words around it.
fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(cause) => cause.to_string(),
        sqlx::Error::Configuration(cause) | sqlx::Error::Tls(cause) => cause.to_string(),
        other => server_error(other).map_or_else(|| other.to_string(), |server| server.message().to_owned()),
    }
}
