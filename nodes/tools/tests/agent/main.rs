//! The agent loop against models that play a part and a host that keeps steps in memory, and that can die at any of them.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod approvals;
mod bad_input;
mod hooks;
mod host;
mod limits;
mod resume;
mod subagents;
