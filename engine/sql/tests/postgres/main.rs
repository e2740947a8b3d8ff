//! The promises of the store on a server, tested from outside on a server of the tests' own.
#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;
mod conformance;
mod crashes;
mod journal;
mod opening;
#[path = "../both/results.rs"]
mod results;
#[path = "../both/runs.rs"]
mod runs;
