//! The journal: what a thread's history looks like as bytes. One owner of the format, one version, kept for ever.
//!
//! An entry is a frame around a MessagePack map with short names. Values of users (updates, payloads, questions,
//! answers) are stored as their own self-describing bytes inside it.

mod budget;
mod frame;
mod post;
mod record;
mod snapshot;
mod step;
mod undo;

pub use budget::{BudgetChange, BudgetImage, CounterImage, Holder, Reservation, Settlement};
pub use frame::{FORMAT, FrameError, MAX_ENTRY_BYTES, decode, encode};
pub use post::{PostImage, StoredPost};
pub use record::{
    Body, Branched, ChosenRoute, Commit, Crashed, Critique, Crossing, GateRound, GateStop, JoinChange,
    JoinEvent, NodeTable, Opened, Planned, Record, StoredChannel, StoredInterrupt,
};
pub use snapshot::{
    GateImage, JoinImage, Origin, ReferenceList, SlotImage, SlotState, SnapshotBody, StepImage,
};
pub use step::{EffectClass, StepState, StoredStep};
pub use undo::{Compensating, StoredUndo, UndoChange, UndoImage, UndoImages, UndoState, Undoing};
