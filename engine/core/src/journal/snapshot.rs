//! Snapshots: where a thread stood, so that a reader need not start at its first record.
//!
//! Channels that grow with history are held as references to the entries that wrote them. All others are held as one
//! stored update, so that updates and snapshots are read, and later migrated, by the same code.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::budget::BudgetImage;
use super::interrupt::StoredInterrupt;
use super::pause::PausePoint;
use super::post::{PostImage, StoredPost};
use super::record::{ChosenRoute, Critique, Crossing};
use super::step::StoredStep;
use super::table::NodeTable;
use super::undo::UndoImages;
use crate::failure::Failure;
use crate::ids::{EdgeIx, Fingerprint, NodeIx, RunId, Seq};
use crate::policy::Tries;

/// The body of a snapshot entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotBody {
    /// The graph that wrote it.
    #[serde(rename = "g")]
    pub fingerprint: Fingerprint,
    /// The version of the state's type.
    #[serde(rename = "v")]
    pub state_version: u32,
    /// When, in milliseconds since 1970 by the driver's clock.
    #[serde(rename = "t")]
    pub at_ms: u64,
    /// The run that was open, or the last one.
    #[serde(rename = "r")]
    pub run: RunId,
    /// The names behind the numbers.
    #[serde(rename = "n")]
    pub table: Arc<NodeTable>,
    /// The superstep.
    #[serde(rename = "s")]
    pub superstep: u64,
    /// Whether the run was cancelled.
    #[serde(rename = "k", default)]
    pub cancelled: bool,
    /// Whether the driver stopped at a safe point and nobody has taken the run up since.
    #[serde(rename = "d", default)]
    pub drained: bool,
    /// The edge whose bound was used up.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<EdgeIx>,
    /// Whether the drive ended with a failure before the others had ended.
    #[serde(rename = "cs", default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// Where the run pauses because somebody wants to look.
    #[serde(rename = "pp", default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<PausePoint>,
    /// Why the superstep could not be committed.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The activations of the superstep.
    #[serde(rename = "f")]
    pub slots: Vec<SlotImage>,
    /// Joins at which something waits.
    #[serde(rename = "j", default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<JoinImage>,
    /// Gates that are between two rounds.
    #[serde(rename = "z", default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateImage>,
    /// How often bounded edges were taken.
    #[serde(rename = "e")]
    pub crossings: Vec<Crossing>,
    /// The channels that are held by value, as one update.
    #[serde(rename = "u")]
    pub values: ByteBuf,
    /// The channels that are held by reference.
    #[serde(rename = "c")]
    pub references: Vec<ReferenceList>,
    /// Whether `values` also holds the channels that are usually referenced, so that nothing before is needed.
    #[serde(rename = "w", default)]
    pub self_contained: bool,
    /// Items of the outbox that are not known to be delivered.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<PostImage>,
    /// Where the thread comes from, if it is a fork.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was spent and reserved.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Box<BudgetImage>>,
    /// What can be undone and was.
    #[serde(rename = "ud", default, skip_serializing_if = "Option::is_none")]
    pub undos: Option<Box<UndoImages>>,
    /// Which large values the thread holds and where, oldest first: hash, entry, place and length of each, in blocks.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<ByteBuf>,
}

/// The entries that wrote one channel, oldest first, as closed ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceList {
    /// The channel, by number.
    #[serde(rename = "c")]
    pub channel: u32,
    /// Ranges of positions, both ends included.
    #[serde(rename = "r")]
    pub ranges: Vec<(Seq, Seq)>,
}

/// A gate between two rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateImage {
    /// The node before the gate.
    #[serde(rename = "n")]
    pub node: NodeIx,
    /// The gate's place among the branches of that node.
    #[serde(rename = "b")]
    pub branch: u16,
    /// How many rounds there were.
    #[serde(rename = "r")]
    pub rounds: u32,
    /// The best round.
    #[serde(rename = "k")]
    pub best: u32,
    /// Its score.
    #[serde(rename = "s")]
    pub score: f64,
    /// The fields that are kept, as they were in that round: a stored update.
    #[serde(rename = "u")]
    pub kept: ByteBuf,
}

/// Where a forked thread comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The thread that it was forked from.
    #[serde(rename = "t")]
    pub thread: String,
    /// The entry as of which it was forked.
    #[serde(rename = "n")]
    pub seq: Seq,
}

/// What waits at a join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinImage {
    /// The join.
    #[serde(rename = "j")]
    pub join: u32,
    /// The sources of the tokens, in the order in which they came.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<NodeIx>,
    /// Sources whose next token will be dropped.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub owing: Vec<NodeIx>,
    /// Until when they wait, in milliseconds since 1970.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// One activation in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotImage {
    /// The node.
    #[serde(rename = "n")]
    pub node: NodeIx,
    /// Its input.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub input: Option<ByteBuf>,
    /// Which gate sent the run back here, and why.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub critique: Option<Arc<Critique>>,
    /// How many attempts were begun and ended.
    #[serde(rename = "a")]
    pub attempts: u32,
    /// How far it got.
    #[serde(rename = "s")]
    pub state: SlotState,
    /// Questions that were answered, with the answers.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<(StoredInterrupt, ByteBuf)>,
    /// Its steps, in the order in which they came to be.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepImage>,
    /// What it posted, if it has finished and no entry holds that.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub posts: Vec<StoredPost>,
    /// What it has used of its policy.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
    /// The execution inside it: a whole snapshot, without references to entries.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Box<SnapshotBody>>,
}

/// One step in a snapshot. Results are not copied from snapshot to snapshot where an entry holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StepImage {
    /// The entry that holds it.
    #[serde(rename = "n")]
    At(Seq),
    /// The step itself, since no entry holds it.
    #[serde(rename = "s")]
    Held(StoredStep),
}

/// How far an activation got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SlotState {
    /// It has not finished.
    #[serde(rename = "r")]
    Ready,
    /// It has finished.
    #[serde(rename = "f")]
    Finished {
        /// The entry that holds its update and route; 0 if none does.
        #[serde(rename = "n")]
        seq: Seq,
        /// The update, if no entry holds it, or one in the numbers of another graph.
        #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
        update: Option<ByteBuf>,
        /// The route, likewise.
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        route: Option<ChosenRoute>,
    },
    /// Its last attempt failed.
    #[serde(rename = "e")]
    Failed(Failure),
    /// Its last attempt failed, and it leads to an error handler.
    #[serde(rename = "h")]
    Handled(Failure),
    /// Its last attempt failed, and the next one has its time.
    #[serde(rename = "b")]
    BackingOff {
        /// What went wrong.
        #[serde(rename = "x")]
        failure: Failure,
        /// When it is tried again, in milliseconds since 1970.
        #[serde(rename = "t")]
        at_ms: u64,
    },
    /// The time of the join that it leads to is over.
    #[serde(rename = "a")]
    Abandoned,
    /// It waits for an answer.
    #[serde(rename = "q")]
    Waiting {
        /// The question.
        #[serde(rename = "q")]
        asked: StoredInterrupt,
        /// Why the last answer did not fit.
        #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
        rejected: Option<String>,
        /// Further questions, if it asked several at once.
        #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<StoredInterrupt>,
    },
}
