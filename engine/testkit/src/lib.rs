//! What tests of the engine are made of: a seeded simulator with oracles, and suites that every implementation of a
//! port has to pass. Not part of any program.
//!
//! [`simulate`] makes a whole history from one number: a graph, the behaviour of its nodes, the order in which they
//! finish, slow and lost writes, crashes, and everything that an operator does. Oracles compare it with a reference
//! interpreter, watch the journal, and keep a list of executions outside the journal.

pub mod conformance;
mod declared;
mod leads;
mod postgres;
mod reference;
mod rng;
mod scenario;
mod script;
mod simulator;
mod state;

pub use postgres::PostgresServer;
pub use reference::{End, Reference};
pub use rng::{Rng, digest, mix};
pub use scenario::{Scenario, SimPolicy};
pub use script::{Carried, Cost, Script, ScriptedStep, Visit};
pub use simulator::{History, Violation, simulate};
pub use state::{Row, SimState, SimStateUpdate, Wide};
