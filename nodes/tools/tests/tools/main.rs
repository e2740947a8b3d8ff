//! Tools, from outside: as a toolbox holds them and as a loop calls them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounded;
mod common;
mod fetch;
mod pages;
mod samples;
mod schema;
mod search;
mod server;
mod toolbox;
mod workspace;
