//! The journal: what a thread's history looks like as bytes. One owner of the format, one version, kept for ever.
//!
//! An entry is a frame around a MessagePack map with short names. Values of users (updates, payloads, questions,
//! answers) are stored as their own self-describing bytes inside it.

mod budget;
mod crashed;
mod frame;
mod interrupt;
mod join;
mod ladder;
mod outline;
mod pause;
mod post;
mod record;
mod scan;
mod shape;
mod snapshot;
mod step;
mod table;
mod undo;
mod values;

pub use budget::{BudgetChange, BudgetImage, CounterImage, Holder, Reservation, Settlement};
pub use crashed::Crashed;
pub use frame::{
    CUT_FORMAT, FORMAT, FrameError, MAX_ENTRY_BYTES, decode, encode, frame_sealed, unframe_sealed,
};
pub(crate) use frame::{encode_about, encode_wrapping};
pub use interrupt::StoredInterrupt;
pub use join::{JoinChange, JoinEvent};
pub use ladder::Ladder;
pub use outline::{graph_name, written_ms};
pub use pause::PausePoint;
pub use post::{PostImage, StoredPost};
pub use record::{
    Body, Branched, ChosenRoute, Commit, Critique, Crossing, GateRound, GateStop, Opened, Planned, Record,
};
pub(crate) use scan::large_values;
pub use shape::{Shape, StoredEdge, StoredGate, StoredJoin};
pub use snapshot::{
    GateImage, JoinImage, Origin, ReferenceList, SlotImage, SlotState, SnapshotBody, StepImage,
};
pub use step::{EffectClass, StepState, StoredStep};
pub use table::{NodeTable, StoredChannel};
pub use undo::{Compensating, StoredUndo, UndoChange, UndoImage, UndoImages, UndoState, Undoing};
pub(crate) use values::{Cut, Parts, cut, stored_bytes};
pub use values::{fill, sources};
