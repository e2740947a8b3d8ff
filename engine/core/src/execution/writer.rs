//! Writing down: turns what happened into entries, hands out positions, and decides when a snapshot is due.

use std::collections::VecDeque;

use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

use super::advance::Advance;
use super::fold::References;
use super::gates::Judged;
use super::slot::Slot;
use super::types::{Entry, EntryKind, Options};
use super::values::Values;
use crate::failure::Failure;
use crate::graph::Plan;
use crate::ids::{EdgeIx, NodeIx, Seq};
use crate::journal::{
    self, Body, Branched, ChosenRoute, Critique, Crossing, FrameError, JoinChange, NodeTable, PausePoint,
    Record, StoredPost,
};
use crate::payload::Payload;
use crate::route::{Decision, Payloads};

/// The journal's side of an execution.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The position of the next entry.
    pub(super) next_seq: Seq,
    /// Everything up to here is durable.
    pub(super) acked: Seq,
    /// Bytes written since the last snapshot.
    pub(super) since_snapshot: u64,
    /// The size of the last snapshot.
    pub(super) last_snapshot: u64,
    /// What the referenced channels refer to.
    pub(super) references: References,
    /// The large values that the thread holds.
    pub(super) values: Values,
    /// Reused for the stored form of updates.
    pub(super) scratch: Vec<u8>,
    /// Entries for the driver.
    pub(super) entries: VecDeque<Entry>,
}

impl Writer {
    pub(super) fn last_seq(&self) -> Seq {
        self.next_seq - 1
    }

    pub(super) fn snapshot_due(&self, options: &Options) -> bool {
        self.since_snapshot > options.limits.snapshot_after_bytes.max(self.last_snapshot)
    }

    pub(super) fn push(&mut self, kind: EntryKind, bytes: Vec<u8>) -> Seq {
        let seq = self.next_seq;
        self.next_seq += 1;
        let bytes = self.values.store_once(seq, bytes);
        match kind {
            EntryKind::Record => self.since_snapshot += bytes.len() as u64,
            EntryKind::Snapshot => {
                self.last_snapshot = bytes.len() as u64;
                self.since_snapshot = 0;
            }
        }
        self.entries.push_back(Entry { seq, kind, bytes });
        seq
    }
}

/// A record's envelope.
pub(super) fn record<B>(plan: &Plan, at_ms: u64, body: B) -> Record<B> {
    Record { fingerprint: plan.fingerprint, state_version: plan.schema.version, at_ms, body }
}

pub(super) fn encode_record(plan: &Plan, at_ms: u64, body: Body) -> Result<Vec<u8>, FrameError> {
    journal::encode(&record(plan, at_ms, body))
}

/// The stored form of a route; without payloads where a commit holds them.
pub(super) fn stored_route(decision: &Decision, with_payloads: bool) -> Result<ChosenRoute, FrameError> {
    let malformed = |reason| FrameError::Malformed { reason };
    let mut payloads = Vec::new();
    if with_payloads {
        let list: &[Payload] = match &decision.payloads {
            Payloads::None => &[],
            Payloads::One(payload) => std::slice::from_ref(payload),
            Payloads::Each(payloads) => payloads,
        };
        for payload in list {
            payloads.push(ByteBuf::from(payload.encode().map_err(malformed)?.unwrap_or_default()));
        }
    }
    Ok(ChosenRoute { variant: decision.variant, payloads })
}

/// [`Body`] as it is written on the hot path: borrowed, so that a step costs one allocation for its record.
#[derive(Serialize)]
pub(super) enum HotBody<'a> {
    #[serde(rename = "f")]
    Finished {
        #[serde(rename = "i")]
        index: u32,
        #[serde(rename = "a")]
        attempt: u32,
        #[serde(rename = "u", skip_serializing_if = "is_empty")]
        update: &'a Bytes,
        #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
        route: Option<ChosenRoute>,
        #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
        commit: Option<HotCommit<'a>>,
        #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
        failure: Option<&'a Failure>,
        #[serde(rename = "o", skip_serializing_if = "<[StoredPost]>::is_empty")]
        posts: &'a [StoredPost],
        #[serde(rename = "k", skip_serializing_if = "std::ops::Not::not")]
        cached: bool,
    },
    #[serde(rename = "c")]
    Committed {
        #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
        commit: Option<HotCommit<'a>>,
        #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
        failure: Option<&'a Failure>,
    },
    #[serde(rename = "o")]
    Opened(HotOpened<'a>),
}

/// [`journal::Opened`], borrowed.
#[derive(Serialize)]
pub(super) struct HotOpened<'a> {
    #[serde(rename = "r")]
    pub(super) run: &'a crate::ids::RunId,
    #[serde(rename = "u", skip_serializing_if = "is_empty")]
    pub(super) input: &'a Bytes,
    #[serde(rename = "n")]
    pub(super) table: &'a NodeTable,
    #[serde(rename = "c")]
    pub(super) commit: HotCommit<'a>,
}

/// [`journal::Commit`], borrowed.
#[derive(Serialize)]
pub(super) struct HotCommit<'a> {
    #[serde(rename = "s")]
    superstep: u64,
    #[serde(rename = "n", skip_serializing_if = "<[Slot]>::is_empty", serialize_with = "slots")]
    next: &'a [Slot],
    #[serde(rename = "b", skip_serializing_if = "<[Branched]>::is_empty")]
    branches: &'a [Branched],
    #[serde(rename = "j", skip_serializing_if = "<[JoinChange]>::is_empty")]
    joins: &'a [JoinChange],
    #[serde(rename = "g", skip_serializing_if = "<[Judged]>::is_empty", serialize_with = "rounds")]
    gates: &'a [Judged],
    #[serde(rename = "e", skip_serializing_if = "<[Crossing]>::is_empty")]
    crossings: &'a [Crossing],
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    exhausted: Option<EdgeIx>,
    #[serde(rename = "p", skip_serializing_if = "<[PausePoint]>::is_empty")]
    held: &'a [PausePoint],
}

impl<'a> HotCommit<'a> {
    pub(super) fn new(superstep: u64, advance: &'a Advance) -> Self {
        Self {
            superstep,
            next: &advance.next,
            branches: &advance.branches,
            joins: &advance.joins,
            gates: &advance.gates,
            crossings: &advance.crossings,
            exhausted: advance.exhausted,
            held: &advance.held,
        }
    }
}

#[derive(Serialize)]
struct HotPlanned<'a> {
    #[serde(rename = "n")]
    node: NodeIx,
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    input: Option<ByteBuf>,
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    critique: Option<&'a Critique>,
}

fn rounds<S: Serializer>(gates: &&[Judged], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(gates.iter().map(|judged| &judged.round))
}

fn slots<S: Serializer>(slots: &&[Slot], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(slots.len()))?;
    for slot in *slots {
        let input = slot.input.encode().map_err(S::Error::custom)?.map(ByteBuf::from);
        sequence.serialize_element(&HotPlanned {
            node: slot.node,
            input,
            critique: slot.critique.as_deref(),
        })?;
    }
    sequence.end()
}

fn is_empty(bytes: &&Bytes) -> bool {
    bytes.is_empty()
}
