//! The process ends itself at a chosen commit, so that a test can stand between any write and its acknowledgement.
//! Without the cargo feature `fail-points` there is nothing here.

#[cfg(feature = "fail-points")]
mod active {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// `STATEWRIGHT_FAIL_AT=before:7` or `after:7`: the commit is the 7th of this process that contains entries.
    static FAIL_AT: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let value = std::env::var("STATEWRIGHT_FAIL_AT").ok()?;
        let (side, count) = value.split_once(':')?;
        Some((side.to_owned(), count.parse().ok()?))
    });
    static COMMITS: AtomicU64 = AtomicU64::new(0);

    /// A commit is about to be made; gives its number.
    pub(crate) fn before_commit() -> u64 {
        let commit = COMMITS.fetch_add(1, Ordering::SeqCst) + 1;
        reach("before", commit);
        commit
    }

    /// The commit of that number is durable, and nobody knows yet.
    pub(crate) fn after_commit(commit: u64) {
        reach("after", commit);
    }

    fn reach(side: &str, commit: u64) {
        if FAIL_AT.as_ref().is_some_and(|(wanted, at)| wanted == side && *at == commit) {
            // With `STATEWRIGHT_FAIL_BY=kill` by `kill -9`, as nothing in the process itself could.
            if std::env::var("STATEWRIGHT_FAIL_BY").is_ok_and(|by| by == "kill") {
                let _ = std::process::Command::new("sh").args(["-c", "kill -9 $PPID"]).status();
            }
            std::process::abort();
        }
    }
}

#[cfg(not(feature = "fail-points"))]
mod active {
    pub(crate) fn before_commit() -> u64 {
        0
    }

    pub(crate) fn after_commit(_commit: u64) {}
}

pub(crate) use active::{after_commit, before_commit};
