//! Threads of one version of a program in the hands of another: what goes on, what is refused, and that nothing is lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod graphs;
mod overwritten;
mod property;
mod states;
mod subgraphs;
mod support;
