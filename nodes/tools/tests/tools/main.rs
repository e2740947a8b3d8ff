//! Tools, from outside: as a toolbox holds them and as a loop calls them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod schema;
mod toolbox;
