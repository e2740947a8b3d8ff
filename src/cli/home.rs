//! The folder for data and the database in it.

use std::path::PathBuf;

use etcetera::BaseStrategy;
use statewright_engine_sql::{SqliteOptions, SqliteStore};

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

/// Opens the database, and makes it if it is not there.
pub(crate) async fn store(global: &Global) -> Result<SqliteStore, CliError> {
    let path = prepare(global)?.join(DATABASE);
    Ok(SqliteStore::open(path, options()).await?)
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
