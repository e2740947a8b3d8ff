//! Two processes and one file: who holds a thread, and what is there after `kill -9`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::common::{all, break_locks, child, fenced, open, place, record, store_path, take};
use statewright_engine_core::Seq;
use statewright_engine_runtime::{Checkpointer, Durability};

fn body(seq: Seq) -> Vec<u8> {
    vec![seq.to_le_bytes()[0]; 100 + usize::try_from(seq % 900).unwrap()]
}

/// The program of the child: appends and says which entry is acknowledged, until it is killed.
#[tokio::test]
#[ignore = "a program that the other tests start"]
async fn appender() {
    let Some(path) = store_path() else { return };
    let level = std::env::var("STORE_LEVEL").unwrap().parse().unwrap();
    let store = open(&path).await;
    let first = all(&store, "t").await.len() as Seq + 1;
    let mut journal = Checkpointer::open(&store, &"t".into(), level).await.unwrap();
    println!("\nholding");
    // More than any test waits for, and an end for one that waits in vain.
    for seq in first..first + 30_000 {
        match journal.append(record(seq, &body(seq))).await {
            Ok(()) => println!("stored {seq}"),
            Err(error) => {
                println!("refused {}", error.code());
                return;
            }
        }
    }
}

struct Appender {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Appender {
    fn start(path: &std::path::Path, level: Durability) -> Self {
        let mut process = child("processes::appender", path)
            .env("STORE_LEVEL", level.name())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn wait_for(&mut self, wanted: &str) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(wanted)).unwrap()
    }

    /// Kills it and gives the last entry that it knew to be stored.
    fn kill(mut self) -> Seq {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let acknowledged =
            self.lines.map(Result::unwrap).filter_map(|line| line.strip_prefix("stored ")?.parse().ok());
        acknowledged.last().unwrap_or(0)
    }
}

#[tokio::test]
async fn a_thread_that_another_process_holds_is_busy_and_free_once_that_is_killed() {
    let (_folder, path) = place();
    let mut appender = Appender::start(&path, Durability::Process);
    appender.wait_for("holding");
    let store = open(&path).await;
    let refused = Checkpointer::open(&store, &"t".into(), Durability::Power).await.err();
    assert_eq!(refused.map(|error| error.code()), Some("SW-S401"));
    take(&store, "another").await.append(record(1, b"x")).await.unwrap();
    appender.kill();
    take(&store, "t").await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_time() {
    for level in [Durability::Process, Durability::Power] {
        let (_folder, path) = place();
        for round in 1..=8_u64 {
            let mut appender = Appender::start(&path, level);
            // Kill it a different while after it began to store: somewhere within entry number n.
            let begun = appender.wait_for("stored ");
            let target = begun["stored ".len()..].parse::<Seq>().unwrap() + round * round * 3;
            appender.wait_for(&format!("stored {target}"));
            let acknowledged = appender.kill().max(target);
            let store = open(&path).await;
            let entries = all(&store, "t").await;
            assert!(entries.len() as Seq >= acknowledged, "{} of {acknowledged} are there", entries.len());
            for (entry, seq) in entries.iter().zip(1..) {
                assert_eq!((entry.seq, &entry.bytes), (seq, &body(seq)));
            }
            take(&store, "t").await;
        }
    }
}

#[tokio::test]
async fn a_process_that_lost_its_lock_is_fenced_by_the_epoch() {
    let (_folder, path) = place();
    let mut appender = Appender::start(&path, Durability::Process);
    appender.wait_for("stored ");
    break_locks(&path);
    let store = open(&path).await;
    let mut journal = take(&store, "t").await;
    assert_eq!(appender.wait_for("refused"), "refused SW-S402");
    assert!(appender.process.wait().unwrap().success());
    let next = all(&store, "t").await.len() as Seq + 1;
    assert_eq!(journal.append(record(next + 1, b"gap")).await, Err(fenced("t")));
    journal.append(record(next, b"mine")).await.unwrap();
}
