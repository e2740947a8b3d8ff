//! Statewright: typed state graphs for agents, checked when they are built, run by a checkpointing scheduler.
//!
//! This package is the door: it re-exports the rooms, and it is the program as a library. An [`App`] with your graphs
//! gets every command of `statewright`. The rooms know nothing of it.

#[expect(unused_extern_crates, reason = "named by the code that the derive macros write in this crate")]
extern crate self as statewright;

mod app;
mod cli;
mod error;
mod models;
mod pages;
mod pipeline;
mod time_travel;

pub use app::App;
pub use error::CliError;
pub use statewright_graphs as graphs;
pub use statewright_graphs::{Docs, GraphPrompts, Pipeline, Report, Services};

/// The engine: it knows no language model.
pub mod engine {
    pub use statewright_engine_core as core;
    pub use statewright_engine_runtime::*;
    pub use statewright_engine_sql as sql;
}

/// What tests of graphs are made of: see `docs/guides/testing-a-graph.md`. Behind the feature `testkit`.
#[cfg(feature = "testkit")]
pub use statewright_engine_testkit as testkit;

/// What nodes are made of: models, tools, retrieval. None of it knows a graph.
pub mod nodes {
    pub use statewright_nodes_context as context;
    pub use statewright_nodes_models as models;
    pub use statewright_nodes_ports as ports;
    pub use statewright_nodes_tools as tools;
}

/// Everything that a file with a graph usually needs.
pub mod prelude {
    pub use crate::App;
    pub use statewright_engine_runtime::{
        Budget, Command, Ctx, Durability, Gate, GateEdges, Goto, Graph, MemoryCheckpointer, Migrated, Node,
        NodeError, NodeFailure, NodeHandle, NodePolicy, Outcome, Problems, RetryPolicy, Route, RunEvent,
        Runner, State, StateGraph, StoredUpdate, To, Update, Verdict,
    };
    #[cfg(feature = "postgres")]
    pub use statewright_engine_sql::{PostgresOptions, PostgresStore};
    pub use statewright_engine_sql::{SqliteOptions, SqliteStore};
    pub use statewright_graphs::{Docs, Pipeline, Report, Services};
    pub use statewright_nodes_ports::{ChatModel, ChatRequest, Message, Usage};
}

/// What the derive macros name. Not for use by hand: it may change in any release.
#[doc(hidden)]
pub use statewright_engine_runtime::__private;

/// The Rust blocks of the README and of the guides, run as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/guides/graphs.md")]
    struct Graphs;

    #[doc = include_str!("../docs/guides/subgraphs.md")]
    struct Subgraphs;

    #[doc = include_str!("../docs/guides/graphs-from-data.md")]
    struct GraphsFromData;

    #[doc = include_str!("../docs/guides/durable-runs.md")]
    struct DurableRuns;

    #[doc = include_str!("../docs/guides/retries.md")]
    struct Retries;

    #[doc = include_str!("../docs/guides/effects.md")]
    struct Effects;

    #[doc = include_str!("../docs/guides/budgets.md")]
    struct Budgets;

    #[doc = include_str!("../docs/guides/interrupts.md")]
    struct Interrupts;

    #[doc = include_str!("../docs/guides/agent-loop.md")]
    struct AgentLoop;

    #[doc = include_str!("../docs/guides/versions-and-migrations.md")]
    struct VersionsAndMigrations;

    #[doc = include_str!("../docs/guides/models-and-cassettes.md")]
    struct ModelsAndCassettes;

    #[doc = include_str!("../docs/guides/testing-a-graph.md")]
    struct TestingAGraph;

    #[doc = include_str!("../docs/guides/time-travel.md")]
    struct TimeTravel;

    #[doc = include_str!("../docs/guides/writing-a-tool.md")]
    struct WritingATool;

    #[doc = include_str!("../docs/guides/prompts.md")]
    struct Prompts;

    #[doc = include_str!("../docs/guides/from-langgraph.md")]
    struct FromLangGraph;
}
