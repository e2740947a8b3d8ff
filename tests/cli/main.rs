//! The built program, driven from outside: its commands, its exit codes, and what it makes of bad input. Every test
//! has a folder for data of its own; models are `offline` or a local server that speaks the wire protocol.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod bad_input;
mod cassettes;
mod chat;
mod commands;
mod control;
mod crash;
mod logs;
#[cfg(feature = "postgres")]
mod postgres;
mod react;
mod redaction;
mod storage;
mod support;
mod threads;
mod tools;
mod upkeep;
mod values;
mod wire;
