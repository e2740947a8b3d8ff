//! One thread, one driver: a lock of the operating system on a file per thread, or of the session on a server. It is
//! gone the moment its process is.
//!
//! The lock only keeps drivers from working for nothing; what makes a second one harmless is the epoch in the database.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How often a lock file may be swapped under our hands before the thread counts as busy.
const ATTEMPTS_MAX: u32 = 100;

/// A lock of either kind. Dropping it gives the thread back.
#[derive(Debug)]
pub(crate) enum Lock {
    File {
        _lock: ThreadLock,
    },
    #[cfg(feature = "postgres")]
    Session(crate::postgres::SessionLock),
}

impl Lock {
    /// The session that holds it: [`NO_SESSION`] for a file.
    pub(crate) fn session(&self) -> u64 {
        match self {
            Lock::File { .. } => NO_SESSION,
            #[cfg(feature = "postgres")]
            Lock::Session(lock) => lock.session(),
        }
    }
}

/// What stands for the session where locks do not hang on one.
pub(crate) const NO_SESSION: u64 = 0;

/// A lock on a file that is held.
#[derive(Debug)]
pub(crate) struct ThreadLock {
    path: PathBuf,
    /// Closing it releases the lock.
    file: File,
}

impl ThreadLock {
    /// Takes the lock of a thread, or says `None` if another driver, of this process or of any other, has it.
    pub(crate) fn acquire(folder: &Path, row: i64) -> io::Result<Option<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(format!("{row}.lock"));
        for _ in 0..ATTEMPTS_MAX {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The holder before us may have removed the file between our opening and our locking it. Then the lock is
            // on a file without a name, which excludes nobody.
            if names(&path, &file)? {
                return Ok(Some(Self { path, file }));
            }
        }
        Ok(None)
    }

    /// Whether a driver has the lock of a thread. Makes no file and removes none; only where a killed driver left its
    /// file behind is that locked for a moment, and then so that others who look are not in each other's way.
    pub(crate) fn is_held(folder: &Path, row: i64) -> io::Result<bool> {
        let file = match File::open(folder.join(format!("{row}.lock"))) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn names(path: &Path, file: &File) -> io::Result<bool> {
    let locked = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for ThreadLock {
    fn drop(&mut self) {
        // While it is held the name is ours to remove, unless somebody took it away: then it may be our successor's. A
        // file that stays behind is only litter.
        if !names(&self.path, &self.file).unwrap_or(false) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a lock file stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_lock_excludes_others_until_it_is_dropped_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let held = ThreadLock::acquire(folder.path(), 1).unwrap().unwrap();
        assert!(ThreadLock::acquire(folder.path(), 1).unwrap().is_none());
        assert!(ThreadLock::acquire(folder.path(), 2).unwrap().is_some());
        drop(held);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(ThreadLock::acquire(folder.path(), 1).unwrap().is_some());
    }

    #[test]
    fn a_look_sees_a_driver_and_leaves_everything_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.lock");
        assert!(!ThreadLock::is_held(&folder.path().join("nowhere"), 1).unwrap());
        assert!(!ThreadLock::is_held(folder.path(), 1).unwrap() && !path.exists());
        let held = ThreadLock::acquire(folder.path(), 1).unwrap().unwrap();
        assert!(ThreadLock::is_held(folder.path(), 1).unwrap());
        assert!(!ThreadLock::is_held(folder.path(), 2).unwrap());
        drop(held);
        assert!(!ThreadLock::is_held(folder.path(), 1).unwrap() && !path.exists());
        let litter = File::create(&path).unwrap();
        litter.lock_shared().unwrap();
        assert!(!ThreadLock::is_held(folder.path(), 1).unwrap(), "somebody else who looks is no driver");
        drop(litter);
        assert!(path.exists());
        assert!(ThreadLock::acquire(folder.path(), 1).unwrap().is_some(), "a look is over when it is over");
    }

    #[test]
    fn a_lock_on_a_file_that_lost_its_name_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.lock");
        let first = File::create(&path).unwrap();
        assert!(names(&path, &first).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!names(&path, &first).unwrap());
        let second = File::create(&path).unwrap();
        assert!(!names(&path, &first).unwrap() && names(&path, &second).unwrap());
    }

    #[test]
    fn of_many_contenders_never_two_hold_it_although_the_file_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..3000 {
                        if let Some(lock) = ThreadLock::acquire(folder.path(), 1).unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                            taken.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
    }
}
