//! The pure centre of Statewright: typed state, checked graphs, and the state machine that runs them.
//!
//! Nothing in this crate waits, reads a clock, draws a random number, makes up an identifier or touches a file.
//! Whoever drives an [`Execution`] hands all of that in as fields of events, so the same machine runs under the
//! asynchronous runner, under a simulator with one seed per history, and one event at a time in a distributed engine.
//!
//! | the core owns | the driver owns |
//! |---|---|
//! | the frontier, joins, counters, open questions | tasks, threads, timers, the clock |
//! | the order in which updates are folded | the order in which nodes happen to finish |
//! | what a record says and when it must be durable | how and where it is stored |
//! | which action comes next | doing it, and reporting what happened |

#![doc(html_root_url = "https://docs.rs/statewright-engine-core")]

// The derive macros name this crate; its own tests use them too.
#[expect(
    unused_extern_crates,
    reason = "used by the code that the derive macros write in this crate's tests"
)]
extern crate self as statewright_engine_core;

mod cell;
mod channel;
mod command;
mod execution;
mod failure;
mod goto;
pub mod graph;
mod ids;
pub mod journal;
mod migration;
mod payload;
mod policy;
mod route;
mod state;

pub use cell::{CellError, Snapshot, StateCell, TypedCell, UpdateValue};
pub use channel::{Appendable, Channel, Reducer, Summable, Unionable, Write, upsert};
pub use command::{Command, IntoCommand};
pub use execution::{
    Action, Answer, Asking, Entry, EntryKind, Event, Execution, Interrupt, Journaling, Limits, Notice,
    Observe, Options, Outcome, RecoverError, Recovery, Refused, Status, StepKept, StepView, Task, ThreadView,
    fill_values, missing_values, panic_text,
};
pub use failure::{Failure, FailureKind, NodeFailure};
pub use goto::Goto;
pub use graph::{Plan, Problem, Problems, Topology};
pub use ids::{ActivationId, EdgeIx, Fingerprint, NodeIx, RunId, Seq, ThreadId};
pub use journal::{EffectClass, StepState, StoredStep};
pub use migration::{FieldChange, FieldChangeKind, FieldError, Migrated, StoredUpdate};
pub use payload::{Data, LiveData, Payload};
pub use policy::{NodePolicy, RETRY_AFTER_TOTAL, RETRY_AFTERS_MAX, Retry, RetryPolicy, Tries};
pub use route::{Decision, Many, Payloads, Route, To, VariantWiring, Wire};
pub use state::{State, StateSchema, Update};

/// What the derive macros name. Not for use by hand: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        Appendable, Channel, Command, Decision, FieldChange, FieldChangeKind, IntoCommand, Many, Migrated,
        Payload, Payloads, Reducer, Route, State, StateSchema, StoredUpdate, Summable, To, Unionable, Update,
        VariantWiring, Write, upsert,
    };
    pub use serde;
}
