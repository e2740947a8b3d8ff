//! Graphs that are data: they are graphs like any other, and what is wrong with them is said where it stands.
#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod documents;
mod property;
mod running;
mod twins;
mod updates;
