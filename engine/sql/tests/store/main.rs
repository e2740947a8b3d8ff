//! The promises of the store, tested from outside: one binary, which is also the other process where one is needed.
#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;
#[cfg(feature = "fail-points")]
mod fail_points;
mod files;
mod full;
mod journal;
mod mounts;
mod processes;
#[path = "../both/results.rs"]
mod results;
#[path = "../both/runs.rs"]
mod runs;
#[cfg(target_os = "linux")]
mod syncs;
