//! The folder for data, and the database: in that folder, in another file, or on a server.

use std::path::PathBuf;

use etcetera::BaseStrategy;
use statewright_engine_sql::{SqlStore, SqliteOptions, SqliteStore};

use super::args::Global;
use crate::error::CliError;

/// The database's name in the folder.
const DATABASE: &str = "statewright.db";

/// The folder: the option, the environment, or what the platform provides.
pub(crate) fn folder(global: &Global) -> Result<PathBuf, CliError> {
    let given = global.home.clone().or_else(|| std::env::var_os("STATEWRIGHT_HOME").map(PathBuf::from));
    if let Some(folder) = given.filter(|folder| !folder.as_os_str().is_empty()) {
        return Ok(folder);
    }
    let strategy = etcetera::base_strategy::choose_native_strategy();
    let reason = "this user has no home folder".to_owned();
    Ok(strategy.map_err(|_| CliError::Home { path: None, reason })?.data_dir().join("statewright"))
}

/// Makes the folder if it is not there; nobody else may look into it.
pub(crate) fn prepare(global: &Global) -> Result<PathBuf, CliError> {
    let folder = folder(global)?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(&folder) {
        Ok(()) => Ok(folder),
        Err(error) => Err(CliError::Home { path: Some(folder), reason: error.to_string() }),
    }
}

/// Where the database is.
#[derive(Debug, PartialEq, Eq)]
enum Location {
    File(PathBuf),
    Server(String),
}

/// What `--database` names: the address of a server, or the path of a file.
fn location(given: &str) -> Result<Location, CliError> {
    let scheme = given.split_once("://").map(|(scheme, _)| scheme);
    let path = given.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match (scheme, path) {
        (Some("postgres" | "postgresql"), _) => Ok(Location::Server(given.to_owned())),
        (_, Some(path)) if !path.is_empty() => Ok(Location::File(path.into())),
        (None, None) => Ok(Location::File(given.into())),
        // The rest of an address may hold a password.
        (scheme, _) => Err(CliError::Usage(format!(
            "`{}:` does not name a database that this program can use; give postgres://user@host/database, or the path of a SQLite file",
            scheme.unwrap_or("sqlite")
        ))),
    }
}

/// Opens the database, and makes what is not there.
pub(crate) async fn store(global: &Global) -> Result<SqlStore, CliError> {
    let given = global.database.clone().or_else(|| std::env::var("STATEWRIGHT_DATABASE").ok());
    let location = match given.filter(|given| !given.is_empty()) {
        Some(given) => location(&given)?,
        None => Location::File(prepare(global)?.join(DATABASE)),
    };
    match location {
        Location::File(path) => Ok(SqliteStore::open(path, options()).await?.into()),
        Location::Server(url) => on_server(&url).await,
    }
}

#[cfg(feature = "postgres")]
async fn on_server(url: &str) -> Result<SqlStore, CliError> {
    use statewright_engine_sql::{PostgresOptions, PostgresStore};

    Ok(PostgresStore::open(url, PostgresOptions::default()).await?.into())
}

#[cfg(not(feature = "postgres"))]
async fn on_server(_url: &str) -> Result<SqlStore, CliError> {
    let words = "this program was built without PostgreSQL; build it with `--features postgres`, or give the path of a SQLite file";
    Err(CliError::Usage(words.to_owned()))
}

#[cfg(not(feature = "fail-points"))]
fn options() -> SqliteOptions {
    SqliteOptions::default()
}

/// A full disk, for tests: the database gets no more than this many pages.
#[cfg(feature = "fail-points")]
fn options() -> SqliteOptions {
    let pages = std::env::var("STATEWRIGHT_PAGES_MAX").ok().and_then(|pages| pages.parse().ok());
    SqliteOptions { pages_max: pages, ..SqliteOptions::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_path_or_an_address() {
        let file = |path: &str| Some(Location::File(path.into()));
        let server = |url: &str| Some(Location::Server(url.to_owned()));
        for (given, expected) in [
            ("runs.db", file("runs.db")),
            ("/var/lib/runs.db", file("/var/lib/runs.db")),
            ("sqlite:runs.db", file("runs.db")),
            ("sqlite://runs.db", file("runs.db")),
            ("sqlite:///var/lib/runs.db", file("/var/lib/runs.db")),
            ("postgres://me@host/runs", server("postgres://me@host/runs")),
            ("postgresql:///runs", server("postgresql:///runs")),
            ("sqlite:", None),
            ("sqlite://", None),
            ("mysql://me:secret@host/runs", None),
        ] {
            let found = location(given);
            assert!(!format!("{found:?}").contains("secret"));
            assert_eq!(found.ok(), expected, "{given}");
        }
    }
}
