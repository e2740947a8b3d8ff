//! A part of the kill matrix: real processes, `kill -9`, and counts by a witness outside the journal. The whole is the
//! example `kill_matrix`.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::process::Command;

#[path = "../examples/kill_matrix/matrix.rs"]
mod matrix;

use matrix::{Counts, GRAPHS};
use statewright_engine_runtime::Durability;

#[tokio::test]
#[ignore = "a program that the other tests start"]
async fn killed() {
    if let Some(ended) = matrix::child().await {
        ended.unwrap();
    }
}

fn program() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed", "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

async fn level(level: Durability, step: usize) -> Counts {
    let mut sum = Counts::default();
    for name in GRAPHS {
        sum.add(matrix::cell(name, level, step, &program).await.unwrap());
    }
    sum
}

async fn nothing_stored_is_repeated_or_lost(durability: Durability) {
    let counts = level(durability, 3).await;
    assert!(counts.kills > 40, "{counts:?}");
    assert_eq!(
        (counts.finished_repeated, counts.effects_repeated, counts.runs_lost),
        (0, 0, 0),
        "{counts:?}"
    );
}

#[tokio::test]
async fn killed_at_and_between_writes_at_power_nothing_stored_is_repeated_or_lost() {
    nothing_stored_is_repeated_or_lost(Durability::Power).await;
}

#[tokio::test]
async fn killed_at_and_between_writes_at_process_nothing_stored_is_repeated_or_lost() {
    nothing_stored_is_repeated_or_lost(Durability::Process).await;
}

#[tokio::test]
async fn killed_at_exit_what_was_not_stored_is_done_again_and_no_effect_is_repeated() {
    let counts = level(Durability::Exit, 2).await;
    assert!(counts.kills > 20 && counts.done_again > 0 && counts.runs_lost > 0, "{counts:?}");
    assert_eq!((counts.finished_repeated, counts.effects_repeated), (0, 0), "{counts:?}");
}
