//! A file system of its own: one that is really full, and one that is really read-only.

use std::path::{Path, PathBuf};
use std::process::Command;

use statewright_engine_sql::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

use crate::common::{all, open, place, positions, record, take};

const MIB: usize = 1024 * 1024;

/// A small file system, unmounted with the test.
struct Mount {
    _folder: TempDir,
    point: PathBuf,
}

impl Mount {
    /// An image in a file where there are loop devices, else memory. Without the right to mount there is none; with
    /// `STATEWRIGHT_TEST_SERVICES` that is a failure.
    fn new(bytes: usize) -> Option<Self> {
        let (folder, _) = place();
        let (image, point) = (folder.path().join("image"), folder.path().join("point"));
        std::fs::create_dir(&point).unwrap();
        std::fs::write(&image, vec![0; bytes]).unwrap();
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()]);
        let looped = made && run("mount", &["-o", "loop", image.to_str().unwrap(), point.to_str().unwrap()]);
        let size = format!("size={bytes}");
        if looped || run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", point.to_str().unwrap()]) {
            return Some(Self { _folder: folder, point });
        }
        assert!(
            std::env::var_os("STATEWRIGHT_TEST_SERVICES").is_none(),
            "STATEWRIGHT_TEST_SERVICES is set, and nothing may be mounted"
        );
        None
    }

    fn path(&self) -> &Path {
        &self.point
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", self.point.to_str().unwrap_or_default()]);
    }
}

/// Whether the program is there and did it.
fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_file_system_that_is_full_refuses_entries_and_loses_nothing_acknowledged() {
    let Some(mount) = Mount::new(6 * MIB) else { return };
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 * MIB]).unwrap();
    let path = mount.path().join("store.db");
    let store = open(&path).await;
    let mut journal = take(&store, "t").await;
    let mut last = 0;
    let error = loop {
        match journal.append(record(last + 1, &[2; 50_000])).await {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 200, "the file system is never full");
    };
    assert_eq!(error.code(), "SW-S403", "{error}");
    assert!(last > 5, "{last} entries fitted in");
    assert_eq!(positions(&store, "t").await, (1..=last).collect::<Vec<_>>());

    std::fs::remove_file(&ballast).unwrap();
    for seq in last + 1..=last + 3 {
        journal.append(record(seq, &[3; 50_000])).await.unwrap();
    }
    drop(journal);
    store.close().await;
    let entries = all(&open(&path).await, "t").await;
    assert_eq!(entries.len() as u64, last + 3);
    assert!(entries.iter().all(|entry| entry.bytes.len() == 50_000));
}

#[tokio::test]
async fn a_file_system_that_is_read_only_is_told_so_and_nothing_is_changed() {
    let Some(mount) = Mount::new(6 * MIB) else { return };
    let path = mount.path().join("store.db");
    let store = open(&path).await;
    take(&store, "t").await.append(record(1, b"kept")).await.unwrap();
    store.close().await;
    drop(store);
    let point = mount.path().to_str().unwrap();
    assert!(run("mount", &["-o", "remount,ro", point]), "what was mounted can be remounted");
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "SW-S420", "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(run("mount", &["-o", "remount,rw", point]));
    assert_eq!(all(&open(&path).await, "t").await[0].bytes, b"kept");
}
