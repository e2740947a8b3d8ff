//! What a run does, from outside: only public doors are used, and what really happened is counted by the nodes
//! themselves, not read from the journal that the engine writes about itself.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed helper fails its test")]

mod bounds;
mod budgets;
mod caches;
mod control;
mod effects;
mod elsewhere;
mod escalations;
mod events;
mod fail_fast;
mod failures;
mod gates;
mod handlers;
mod history;
mod joins;
mod journal;
mod merging;
mod mistakes;
mod outbox;
mod overwrite;
mod panics;
mod parallel;
mod pauses;
mod poses;
mod questions;
mod quorums;
mod recovery;
mod retention;
mod retries;
mod routing;
mod steps;
mod stored_once;
mod stores;
mod subgraph_views;
mod subgraphs;
mod support;
mod threads;
mod undo;
mod values;
