//! The database as a file: where it may lie, how a new one appears, and whether one that is there is ours.
//!
//! A file that is there is only ever looked at by SQLite itself. Opening and closing it by other means would drop the
//! locks that other connections of this process hold on it (<https://sqlite.org/howtocorrupt.html> §2.2).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use statewright_engine_runtime::StoreError;

use crate::error;
use crate::schema;

/// Makes sure that a usable database lies at the path, and gives its canonical path.
pub(crate) async fn prepare(path: &Path) -> Result<PathBuf, StoreError> {
    if path.to_str().is_none() {
        return Err(error::cannot_open(path, "its path is not valid UTF-8"));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|cause| error::from_io(&cause, folder, "made as the folder of the database"))?;
    if let Some(kind) = network_file_system(folder) {
        return Err(error::network(path, &kind));
    }
    match std::fs::metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => create(path, folder).await?,
        Err(cause) => return Err(error::from_io(&cause, path, "opened")),
        Ok(found) if !found.is_file() => return Err(error::not_a_file(path)),
        // The superuser could write to it all the same, but somebody protected it.
        Ok(found) if found.permissions().readonly() => return Err(error::read_only(path)),
        Ok(_) => {}
    }
    let path = std::fs::canonicalize(path).map_err(|cause| error::from_io(&cause, path, "opened"))?;
    inspect(&path).await?;
    Ok(path)
}

/// Makes a new database under another name and gives it its own once it is complete: a crash in between leaves
/// nothing at the path, and of two processes that do this at once, both use the first one's.
async fn create(path: &Path, folder: &Path) -> Result<(), StoreError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let draft = folder.join(name);
    let made = fill(&draft, path).await;
    let named = made.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
            Err(error::from_io(&cause, path, "created"))
        }
        _ => Ok(()),
    });
    if let Err(cause) = std::fs::remove_file(&draft) {
        tracing::debug!(path = %draft.display(), error = %cause, "a draft of a database stays behind");
    }
    named?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| error::from_io(&cause, folder, "synced"))
}

async fn fill(draft: &Path, path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(|cause| error::from_io(&cause, path, "created"))?;
    let absolute = std::fs::canonicalize(draft).map_err(|cause| error::from_io(&cause, path, "created"))?;
    let failed = |cause: sqlx::Error| error::from_sqlx(&cause, path);
    let mut connection = connect_options(&absolute).connect().await.map_err(failed)?;
    let mark = format!("PRAGMA application_id = {}", schema::APPLICATION_ID);
    sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut connection).await.map_err(failed)?;
    schema::migrate(&mut connection, 0).await.map_err(failed)?;
    // Closing the last connection moves the log into the file and syncs it, so the file alone is the database.
    sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// What every connection of the store has in common.
pub(crate) fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
}

/// Whether the file is a database, ours, sound at its beginning and not too new. Takes no lock, reads no log and
/// changes nothing, so that a file of somebody else is not touched.
async fn inspect(path: &Path) -> Result<(), StoreError> {
    let had_log = has_log(path);
    match look(path).await {
        Ok((schema::APPLICATION_ID, version, _)) => known_version(path, version),
        Ok((_, _, 0)) => Err(error::not_a_database(path)),
        Ok(_) => Err(error::foreign(path)),
        // While a checkpoint moves the log into the file, or when a crash ended one, only the log makes the file
        // whole: then the first real connection judges. The log goes when its last user does, maybe while we look.
        Err(cause) if error::is_corrupt(&cause) && (had_log || has_log(path)) => Ok(()),
        Err(cause) => Err(error::from_sqlx(&cause, path)),
    }
}

/// The application, the version and the number of pages, by the file alone.
async fn look(path: &Path) -> Result<(i64, i64, i64), sqlx::Error> {
    let mut connection = connect_options(path).read_only(true).immutable(true).connect().await?;
    let seen = async {
        let application = schema::application_of(&mut connection).await?;
        let version = schema::version_of(&mut connection).await?;
        let pages = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut connection).await?;
        Ok((application, version, pages))
    }
    .await;
    connection.close().await?;
    seen
}

/// Looks again with a connection that reads the log as well, and only then prepares the database for use. Gives the version
/// that it had.
pub(crate) async fn verify(connection: &mut SqliteConnection, path: &Path) -> Result<i64, StoreError> {
    let failed = |cause: sqlx::Error| error::from_sqlx(&cause, path);
    if schema::application_of(connection).await.map_err(failed)? != schema::APPLICATION_ID {
        return Err(error::foreign(path));
    }
    let version = schema::version_of(connection).await.map_err(failed)?;
    known_version(path, version)?;
    schema::migrate(connection, version).await.map_err(failed)?;
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await.map_err(failed)?;
    if mode != "wal" {
        return Err(error::cannot_open(path, "its file system does not allow a write-ahead log"));
    }
    // The log is cut back to 64 MiB when it starts anew, so that a burst does not occupy the disk for ever. And SQLite
    // opens a file that it may not write to all the same, and only says so at the first write.
    const PREPARE: &str = "PRAGMA journal_size_limit = 67108864; BEGIN IMMEDIATE; ROLLBACK";
    sqlx::raw_sql(PREPARE).execute(connection).await.map_err(failed)?;
    Ok(version)
}

fn known_version(path: &Path, version: i64) -> Result<(), StoreError> {
    if version > schema::VERSION { Err(error::newer(path, version, schema::VERSION)) } else { Ok(()) }
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

/// The name of the network file system that the folder lies on, if it does. SQLite's log needs memory shared by all
/// who use the file, which no network file system gives (<https://sqlite.org/wal.html>).
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    // Numbers of file systems, as in linux/magic.h.
    let magic = rustix::fs::statfs(folder).ok()?.f_type as u64 & 0xffff_ffff;
    let name = match magic {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => "SMB",
        0x0102_1997 => "9p",
        // Behind FUSE there are local file systems too; the table of mounts knows which one it is.
        0x6573_5546 => {
            let device = std::fs::metadata(folder).ok()?.dev();
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
            return remote_fuse(&mounts, rustix::fs::major(device), rustix::fs::minor(device));
        }
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_folder: &Path) -> Option<String> {
    None
}

/// The type of the mounted FUSE file system with this device number, if it is one over a network. A line of
/// `mountinfo` is `36 35 0:32 / /mnt opts - fuse.sshfs source opts`.
#[cfg(target_os = "linux")]
fn remote_fuse(mounts: &str, major: u32, minor: u32) -> Option<String> {
    const REMOTE: &[&str] =
        &["sshfs", "rclone", "s3fs", "gcsfuse", "glusterfs", "davfs", "cephfs", "curlftpfs"];
    let device = format!("{major}:{minor}");
    let line = mounts.lines().rfind(|line| line.split(' ').nth(2) == Some(&device))?;
    let kind = line.split_once(" - ")?.1.split(' ').next()?;
    REMOTE
        .iter()
        .any(|remote| kind == *remote || kind.strip_prefix("fuse.") == Some(remote))
        .then(|| kind.to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_fuse_mount_is_refused_only_when_it_leads_over_a_network() {
        let mounts = "22 1 253:0 / / rw - ext4 /dev/vda rw\n\
                      36 22 0:32 / /home/me/far rw,nosuid - fuse.sshfs host: rw\n\
                      37 22 0:33 / /home/me/disk rw - fuseblk /dev/sdb1 rw\n\
                      38 22 0:34 / /bucket rw - fuse.rclone a:b rw\n";
        let cases =
            [((0, 32), Some("fuse.sshfs")), ((0, 33), None), ((0, 34), Some("fuse.rclone")), ((0, 3), None)];
        for ((major, minor), expected) in cases {
            assert_eq!(remote_fuse(mounts, major, minor).as_deref(), expected);
        }
    }

    #[test]
    fn local_folders_are_no_network() {
        assert_eq!(network_file_system(Path::new("/proc")), None);
        assert_eq!(network_file_system(tempfile::tempdir().unwrap().path()), None);
    }
}
