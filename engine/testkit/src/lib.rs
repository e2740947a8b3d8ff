//! What tests are made of. Not part of any program.
//!
//! For tests of a graph of your own there are [`Trial`] and [`NodeTrial`], with [`Scripted`] nodes, a [`PausedClock`] and
//! [`Fault`]s; `docs/guides/testing-a-graph.md` tells how. For a store of your own there are the suites in
//! [`conformance`]. The rest tests the engine itself: a seeded simulator with oracles.
//!
//! [`simulate`] makes a whole history from one number: a graph, the behaviour of its nodes, the order in which they
//! finish, slow and lost writes, crashes, and everything that an operator does. Oracles compare it with a reference
//! interpreter, watch the journal, and keep a list of executions outside the journal.

pub mod conformance;
mod declared;
mod elsewhere;
mod ends;
mod leads;
mod postgres;
mod reference;
mod rng;
mod scenario;
mod script;
mod simulator;
mod state;
mod tree;
pub mod trial;

pub use ends::End;
pub use postgres::PostgresServer;
pub use reference::Reference;
pub use rng::{Rng, digest, mix};
pub use scenario::{Scenario, SimPolicy};
pub use script::{Carried, Cost, Script, ScriptedStep, Visit};
pub use simulator::{Faults, History, Violation, simulate, simulate_nested};
pub use state::{Row, SimState, SimStateUpdate, Wide};
pub use trial::{Fault, FaultyStore, NodeTrial, PausedClock, Ran, Scripted, Trial, Tried};
