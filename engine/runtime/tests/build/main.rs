//! What `build()` refuses, in which words, and what it must not refuse. No node of a refused graph ever runs.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod accepted;
mod elsewhere;
mod handles;
mod loops;
mod meetings;
mod pages;
mod refused;
mod scale;
mod support;
