//! The asynchronous driver of the engine: typed nodes, the graph builder, runners, checkpointers and the event stream.
//!
//! Semantics live in `statewright-engine-core`; here is only what needs a clock, tasks and storage. The crate creates
//! no runtime and no global subscriber: it runs inside whatever tokio runtime awaits a [`Run`].

#[expect(
    unused_extern_crates,
    reason = "used by the code that the derive macros write in this crate's tests"
)]
extern crate self as statewright_engine_runtime;

mod budget;
mod builder;
mod cache;
mod check;
mod checkpointer;
mod context;
mod control;
mod crew;
mod diff;
mod driver;
mod dynamic;
mod effect;
mod error;
mod events;
mod gate;
mod goto;
mod graph;
mod history;
mod ids;
mod lock;
mod mailbox;
mod memory;
mod metered;
mod misfit;
mod node;
mod outbox;
mod pauses;
mod question;
mod quorum;
mod reading;
mod replace;
mod retention;
mod runner;
mod sealed;
mod step;
mod subgraph;
mod timers;
mod undo;

pub use budget::Grant;
pub use builder::{NodeHandle, OptionalSource, PlainSource, PlainTarget, Source, Sources, StateGraph};
pub use cache::{CacheLimits, MemoryCache, ResultCache};
pub use check::{Compatibility, ThreadCheck};
pub use checkpointer::{Ack, Checkpointer, Durability, Journal, StoreError};
pub use context::Ctx;
pub use control::RunControl;
pub use diff::{Change, ChannelDiff, state_as_json};
pub use dynamic::{
    BranchDocument, CaseDocument, DocumentProblem, DocumentProblems, DynCommand, DynNode, DynState,
    DynUpdate, EdgeDocument, FieldDocument, FieldShape, GraphDocument, JoinDocument, MapDocument,
    NodeDocument, NodeRegistry, OneOrMany, RouteDocument, SourceDocument, StateDocument,
};
pub use effect::{Effect, EffectError, Settlement, UnknownEffect, VerifiedEffect};
pub use error::{Classified, Classifier, NodeError, RunError};
pub use events::{EVENT_BUFFER, Events, Item, RunEvent};
pub use gate::{Gate, GateEdges, Verdict};
pub use graph::Graph;
pub use history::Checkpoint;
pub use ids::random_id;
pub use memory::MemoryCheckpointer;
pub use metered::{MeteredEffect, MeteredStep};
pub use node::Node;
pub use outbox::{Delivery, Handlers};
pub use question::{Pose, Question};
pub use quorum::Quorum;
pub use reading::read_entries;
pub use replace::ReplaceError;
pub use retention::{Age, Pruned, Retention};
pub use runner::{Clock, Run, RunReport, Runner, ThreadState};
pub use sealed::{SealError, Sealed, Sealer};
/// What the derive macros name. Not for use by hand: it may change in any release.
#[doc(hidden)]
pub use statewright_engine_core::__private;
pub use statewright_engine_core::Payload;
pub use statewright_engine_core::graph::{Format, Overlay};
pub use statewright_engine_core::journal::{Critique, GateRound, GateStop, PausePoint};
pub use statewright_engine_core::{
    ActivationId, Command, Data, EdgeIx, Entry, EntryKind, Failure, FailureKind, FieldError, Fingerprint,
    Goto, Interrupt, IntoCommand, Limits, Migrated, NodeFailure, NodeIx, NodePolicy, Outcome, Plan, Problem,
    Problems, RETRY_AFTER_TOTAL, RETRY_AFTERS_MAX, RetryPolicy, Route, RunId, Seq, State, Status, StepView,
    StoredUpdate, ThreadId, ThreadView, To, Update, Write,
};
pub use statewright_engine_core::{
    Amounts, Budget, BudgetEvent, NotUndone, Scope, Shortage, Spending, UndoPolicy, UndoState,
};
pub use statewright_engine_macros::{Route, State};
pub use step::Step;
pub use undo::Undo;
