//! That a sync lies between a write and its acknowledgement at `power`, and none at `process`: counted in the system
//! calls of a process, because killing a process says nothing about losing power.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{child, open, place, record, store_path};
use statewright_engine_runtime::Checkpointer;

const ENTRIES: usize = 20;

#[tokio::test]
#[ignore = "a program that the other tests start"]
async fn appender() {
    let Some(path) = store_path() else { return };
    let store = open(&path).await;
    let mut journals = Vec::new();
    for level in std::env::var("STORE_LEVEL").unwrap().split(',') {
        journals.push(Checkpointer::open(&store, &level.into(), level.parse().unwrap()).await.unwrap());
    }
    for seq in 1..=ENTRIES as u64 {
        mark(&format!("append {seq}"));
        let acks: Vec<_> =
            journals.iter_mut().map(|journal| journal.append(record(seq, b"some bytes"))).collect();
        for ack in acks {
            ack.await.unwrap();
        }
        mark(&format!("acknowledged {seq}"));
    }
}

/// One system call that the trace shows: a look at a file that does not exist.
fn mark(text: &str) {
    let _ = std::fs::metadata(format!("/mark {text} end"));
}

/// The system calls of the program, one per line, in the order in which they returned. `None` where nothing can be
/// traced, unless `STATEWRIGHT_TEST_SERVICES` makes that a failure.
fn trace(path: &Path, level: &str, output: &Path) -> Option<Vec<String>> {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        assert!(
            std::env::var_os("STATEWRIGHT_TEST_SERVICES").is_none(),
            "STATEWRIGHT_TEST_SERVICES is set, and strace is missing or may not trace"
        );
        return None;
    }
    let program = child("syncs::appender", path);
    let status = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-qq",
            "-s",
            "200",
            "-e",
            "trace=pwrite64,fdatasync,fsync,statx,stat,newfstatat",
            "-o",
        ])
        .arg(output)
        .arg(program.get_program())
        .args(program.get_args())
        .env("STORE_PATH", path)
        .env("STORE_LEVEL", level)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    Some(std::fs::read_to_string(output).unwrap().lines().map(str::to_owned).collect())
}

/// For each entry, what happened to the log between the append and its acknowledgement: `w` a write, `s` a sync.
fn per_entry(trace: &[String]) -> Vec<String> {
    let mut found = vec![String::new(); ENTRIES];
    let mut inside = None;
    for line in trace {
        let marked = |word: &str| {
            let (_, rest) = line.split_once(&format!("/mark {word} "))?;
            rest.split(' ').next()?.parse::<usize>().ok()
        };
        let returned = line.contains(" = ") || line.contains("resumed>");
        if let Some(entry) = marked("append") {
            inside = Some(entry);
        } else if marked("acknowledged").is_some() {
            inside = None;
        } else if let Some(entry) = inside
            && returned
        {
            let sign = if line.contains("pwrite64") && line.contains("-wal") {
                "w"
            } else if line.contains("sync") {
                "s"
            } else {
                continue;
            };
            found[entry - 1].push_str(sign);
        }
    }
    found
}

#[test]
fn at_power_each_entry_is_synced_once_after_its_last_write_and_before_its_acknowledgement() {
    // Together with entries of another level too: they share the commit, and the stricter level counts.
    for levels in ["power", "power,process", "process,power"] {
        let (folder, path) = place();
        let Some(trace) = trace(&path, levels, &folder.path().join("trace")) else { return };
        for (index, calls) in per_entry(&trace).iter().enumerate() {
            assert!(calls.starts_with('w') && calls.ends_with('s'), "{levels}, entry {}: {calls}", index + 1);
            assert_eq!(calls.matches('s').count(), 1, "{levels}, entry {}: {calls}", index + 1);
        }
    }
}

#[test]
fn at_process_each_entry_is_written_before_its_acknowledgement_and_nothing_is_synced() {
    let (folder, path) = place();
    let Some(trace) = trace(&path, "process", &folder.path().join("trace")) else { return };
    for (index, calls) in per_entry(&trace).iter().enumerate() {
        assert!(calls.starts_with('w') && !calls.contains('s'), "entry {}: {calls}", index + 1);
    }
}
