//! Records: one for each thing that became true. They store decisions, so that recovery applies them and a later
//! build with another planner still replays old runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::budget::BudgetChange;
use super::crashed::Crashed;
use super::interrupt::StoredInterrupt;
use super::join::JoinChange;
use super::pause::PausePoint;
use super::post::StoredPost;
use super::step::StoredStep;
use super::table::NodeTable;
use super::undo::Undoing;
use crate::failure::Failure;
use crate::ids::{EdgeIx, Fingerprint, NodeIx, RunId};
use crate::policy::Retry;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record<B = Body> {
    /// The graph that wrote it.
    #[serde(rename = "g")]
    pub fingerprint: Fingerprint,
    /// The version of the state's type.
    #[serde(rename = "v")]
    pub state_version: u32,
    /// When, in milliseconds since 1970 by the driver's clock.
    #[serde(rename = "t")]
    pub at_ms: u64,
    /// What happened.
    #[serde(rename = "b")]
    pub body: B,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// A run began: its input is an update like any other.
    #[serde(rename = "o")]
    Opened(Box<Opened>),
    /// An activation finished.
    #[serde(rename = "f")]
    Finished {
        /// Its index in the superstep.
        #[serde(rename = "i")]
        index: u32,
        /// The attempt that finished, from 1.
        #[serde(rename = "a")]
        attempt: u32,
        /// The update, as stored by the state; empty if it wrote nothing.
        #[serde(rename = "u", default, skip_serializing_if = "no_bytes")]
        update: ByteBuf,
        /// The route that it took. With a commit in the same record the payloads stand there, not here.
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        route: Option<ChosenRoute>,
        /// The commit of the superstep, if this was its last activation.
        #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
        commit: Option<Box<Commit>>,
        /// Why the superstep could not be committed, if it could not.
        #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// What it wants delivered once the superstep is durable.
        #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
        posts: Vec<StoredPost>,
        /// Whether it did not run: an earlier result of its node was found by its key.
        #[serde(rename = "k", default, skip_serializing_if = "is_false")]
        cached: bool,
        /// What it says about budgets.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        budget: Option<Box<BudgetChange>>,
    },
    /// An attempt failed.
    #[serde(rename = "e")]
    Failed {
        /// The activation's index in the superstep.
        #[serde(rename = "i")]
        index: u32,
        /// The attempt that failed, from 1.
        #[serde(rename = "a")]
        attempt: u32,
        /// What went wrong.
        #[serde(rename = "x")]
        failure: Failure,
        /// Whether and when it is tried again; absent if this was the last attempt.
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        retry: Option<Retry>,
        /// Whether the activation has ended by this and leads to the error handler of its node.
        #[serde(rename = "h", default, skip_serializing_if = "is_false")]
        handled: bool,
        /// If the drive ends with it: the indexes of what else ran, which begins again with the next one.
        #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
        stops: Option<Vec<u32>>,
        /// What it says about budgets.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        budget: Option<Box<BudgetChange>>,
    },
    /// An activation asked and waits.
    #[serde(rename = "q")]
    Asked {
        /// The activation's index in the superstep.
        #[serde(rename = "i")]
        index: u32,
        /// The execution that asked, from 1.
        #[serde(rename = "a")]
        attempt: u32,
        /// The question.
        #[serde(rename = "q")]
        interrupt: StoredInterrupt,
    },
    /// A question was answered.
    #[serde(rename = "w")]
    Answered {
        /// The interrupt's id.
        #[serde(rename = "q")]
        interrupt: String,
        /// The answer, MessagePack.
        #[serde(rename = "u")]
        value: ByteBuf,
        /// Whether a drive goes on by it that had nothing left but deliveries.
        #[serde(rename = "d", default, skip_serializing_if = "is_false")]
        drives: bool,
    },
    /// The node could not read the answer, so the question is open again.
    #[serde(rename = "j")]
    AnswerRejected {
        /// The execution that read it, from 1.
        #[serde(rename = "a")]
        attempt: u32,
        /// The interrupt's id.
        #[serde(rename = "q")]
        interrupt: String,
        /// Why.
        #[serde(rename = "x")]
        reason: String,
    },
    /// A step of an activation began or ended.
    #[serde(rename = "t")]
    Step {
        /// The activation's index in the superstep.
        #[serde(rename = "i")]
        index: u32,
        /// The execution that did it, from 1.
        #[serde(rename = "a")]
        attempt: u32,
        /// The step.
        #[serde(rename = "s")]
        step: StoredStep,
        /// What it says about budgets.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        budget: Option<Box<BudgetChange>>,
    },
    /// A reservation was granted, or settlements found no other record.
    #[serde(rename = "bd")]
    Budget(Box<BudgetChange>),
    /// What the run did is undone.
    #[serde(rename = "ud")]
    Undo(Box<Undoing>),
    /// A record of the execution inside an activation.
    #[serde(rename = "g")]
    Nested {
        /// The activation's index in the superstep.
        #[serde(rename = "i")]
        index: u32,
        /// The inner record, framed.
        #[serde(rename = "b")]
        entry: ByteBuf,
    },
    /// Somebody said how an effect ended whose outcome was unknown.
    #[serde(rename = "l")]
    Settled {
        /// The activation's index in the superstep.
        #[serde(rename = "i")]
        index: u32,
        /// The effect as it stands now.
        #[serde(rename = "s")]
        step: StoredStep,
    },
    /// An item of the outbox was delivered.
    #[serde(rename = "m")]
    Delivered {
        /// The item's id.
        #[serde(rename = "i")]
        id: String,
    },
    /// The superstep was committed on its own, after an earlier attempt at it had failed.
    #[serde(rename = "c")]
    Committed {
        /// The commit.
        #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
        commit: Option<Box<Commit>>,
        /// Why it failed again, if it did.
        #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// A driver took the run up again.
    #[serde(rename = "s")]
    Resumed {
        /// Edges whose bounds begin anew, because somebody resumed an exhausted run.
        #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
        granted: Vec<EdgeIx>,
        /// Whether activations that failed stay so, because the drive before did not end with their failure.
        #[serde(rename = "k", default, skip_serializing_if = "is_false")]
        keeps_failed: bool,
        /// Activations that were open when the drive before ended without a word.
        #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
        crashed: Vec<Crashed>,
        /// Joins that wait anew, because somebody resumed a run that failed over one.
        #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
        waits: Vec<JoinChange>,
        /// Limits that hold from now on, and what the drive before left open.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        budget: Option<Box<BudgetChange>>,
    },
    /// Nobody answered a question in time, and it is posed to somebody else.
    #[serde(rename = "qe")]
    Escalated {
        /// The interrupt's id.
        #[serde(rename = "q")]
        interrupt: String,
        /// To whom.
        #[serde(rename = "t")]
        to: String,
        /// How often it was escalated, with this time.
        #[serde(rename = "l")]
        level: u32,
        /// Until when, in milliseconds since 1970; without a limit if absent.
        #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
        deadline_ms: Option<u64>,
    },
    /// The time of a join is over, and nobody awaits these activations any more.
    #[serde(rename = "ab")]
    Abandoned {
        /// Their indexes in the superstep.
        #[serde(rename = "i")]
        indexes: Vec<u32>,
    },
    /// The run was cancelled: what was open will never finish.
    #[serde(rename = "k")]
    Cancelled,
    /// The driver stopped at a safe point and will take the run up again.
    #[serde(rename = "d")]
    Drained,
}

/// How a run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The run.
    #[serde(rename = "r")]
    pub run: RunId,
    /// The input, as an update.
    #[serde(rename = "u", default, skip_serializing_if = "no_bytes")]
    pub input: ByteBuf,
    /// The names behind the numbers of this run's records.
    #[serde(rename = "n")]
    pub table: NodeTable,
    /// The first frontier.
    #[serde(rename = "c")]
    pub commit: Commit,
    /// Limits that are not the graph's.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Box<BudgetChange>>,
}

/// Everything that was decided at the end of a superstep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// The superstep that begins now.
    #[serde(rename = "s")]
    pub superstep: u64,
    /// Its activations, in order.
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Planned>,
    /// What the branches chose.
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branched>,
    /// What changed at joins, in order.
    #[serde(rename = "j", default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<JoinChange>,
    /// What gates decided.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateRound>,
    /// Bounded edges that were taken.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub crossings: Vec<Crossing>,
    /// The edge whose bound was used up; the run stops before the activations above.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<EdgeIx>,
    /// Where the run pauses before the activations above, because somebody wants to look.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<PausePoint>,
}

/// A scheduled activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The node.
    #[serde(rename = "n")]
    pub node: NodeIx,
    /// Its input; absent for a plain edge.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub input: Option<ByteBuf>,
    /// Which gate sent the run back here, and why.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub critique: Option<Arc<Critique>>,
}

/// Why a gate sent the run back to a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Critique {
    /// The node before the gate.
    #[serde(rename = "n")]
    pub gate: NodeIx,
    /// How many rounds there were before this one.
    #[serde(rename = "r")]
    pub rounds: u32,
    /// The score of the last one.
    #[serde(rename = "s")]
    pub score: f64,
    /// What is to be mended.
    #[serde(rename = "c")]
    pub text: String,
}

/// One judgement of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateRound {
    /// The node before the gate.
    #[serde(rename = "n")]
    pub node: NodeIx,
    /// The gate's place among the branches of that node.
    #[serde(rename = "b")]
    pub branch: u16,
    /// The round, from 1.
    #[serde(rename = "r")]
    pub round: u32,
    /// The score.
    #[serde(rename = "s")]
    pub score: f64,
    /// The variant that it chose.
    #[serde(rename = "v")]
    pub variant: u16,
    /// Why it goes no further, if it gave up.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<GateStop>,
    /// Whether this is the best round so far.
    #[serde(rename = "k", default, skip_serializing_if = "is_false")]
    pub best: bool,
    /// The round whose fields were put back, if it was not this one.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u32>,
}

/// Why a gate gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GateStop {
    /// All rounds are used up.
    #[serde(rename = "a")]
    Attempts,
    /// Some rounds brought nothing better.
    #[serde(rename = "p")]
    Plateau,
    /// The rule of the graph forbids another round.
    #[serde(rename = "r")]
    Rule,
    /// Nobody is to blame, so trying again cannot help.
    #[serde(rename = "n")]
    NobodyToBlame,
}

impl GateStop {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            GateStop::Attempts => "attempts",
            GateStop::Plateau => "plateau",
            GateStop::Rule => "rule",
            GateStop::NobodyToBlame => "nobody to blame",
        }
    }
}

/// A branch that was evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branched {
    /// The node it stands after.
    #[serde(rename = "n")]
    pub node: NodeIx,
    /// The branch of that node.
    #[serde(rename = "b")]
    pub branch: u16,
    /// The variant it chose.
    #[serde(rename = "v")]
    pub variant: u16,
}

/// A bounded edge that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// The edge.
    #[serde(rename = "e")]
    pub edge: EdgeIx,
    /// How often it has been taken in this run, with this time.
    #[serde(rename = "n")]
    pub count: u32,
}

/// A route that a node returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChosenRoute {
    /// The variant.
    #[serde(rename = "v")]
    pub variant: u16,
    /// Its payloads.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub payloads: Vec<ByteBuf>,
}

fn no_bytes(bytes: &ByteBuf) -> bool {
    bytes.is_empty()
}

fn is_false(value: &bool) -> bool {
    !value
}
