//! One activation of the present superstep.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::steps::Steps;
use super::types::{Answer, Interrupt};
use crate::cell::UpdateValue;
use crate::failure::Failure;
use crate::ids::{NodeIx, Seq};
use crate::journal::{StoredInterrupt, StoredPost};
use crate::payload::Payload;
use crate::route::Decision;

/// How far an activation got.
#[derive(Debug)]
pub(super) enum Progress {
    /// Not running, and nothing in the way.
    Ready,
    /// Handed to the driver.
    Running,
    /// Done: what it wrote and where it leads. `seq` is the entry that says so, 0 if there is none.
    Finished { update: UpdateValue, decision: Option<Decision>, seq: Seq },
    /// The last attempt failed.
    Failed(Box<Failure>),
    /// Waits for answers to these questions.
    Waiting(Vec<Question>),
}

/// An open question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) asked: StoredInterrupt,
    pub(super) rejected: Option<String>,
}

impl Progress {
    pub(super) fn waiting(asked: StoredInterrupt, rejected: Option<String>) -> Self {
        Progress::Waiting(vec![Question { asked, rejected }])
    }

    /// Whether it waits for the answer to this question.
    pub(super) fn waits_for(&self, id: &str) -> bool {
        matches!(self, Progress::Waiting(open) if open.iter().any(|question| question.asked.id == id))
    }
}

/// An activation with everything needed to run it, again if need be.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) node: NodeIx,
    pub(super) input: Payload,
    pub(super) attempts: u32,
    pub(super) progress: Progress,
    pub(super) answers: Vec<(StoredInterrupt, ByteBuf)>,
    pub(super) steps: Steps,
    /// What it posted, until the superstep is committed.
    pub(super) posts: Vec<StoredPost>,
}

impl Slot {
    pub(super) fn new(node: NodeIx, input: Payload) -> Self {
        Self {
            node,
            input,
            attempts: 0,
            progress: Progress::Ready,
            answers: Vec::new(),
            steps: Steps::default(),
            posts: Vec::new(),
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        !matches!(self.progress, Progress::Ready | Progress::Running)
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.progress, Progress::Finished { .. })
    }

    /// Whether the driver's report is about the execution that runs now.
    pub(super) fn runs(&self, attempt: u32) -> bool {
        matches!(self.progress, Progress::Running) && self.attempts == attempt
    }

    /// The questions that it waits for.
    pub(super) fn open_questions(&self) -> impl Iterator<Item = Interrupt> {
        let open = if let Progress::Waiting(open) = &self.progress { open.as_slice() } else { &[] };
        open.iter().map(|Question { asked, rejected }| Interrupt {
            id: asked.id.clone(),
            name: asked.name.clone(),
            node: self.node,
            question: asked.question.to_vec(),
            rejected: rejected.clone(),
            deadline_ms: asked.deadline_ms,
        })
    }

    /// One more question of the execution that asked.
    pub(super) fn ask(&mut self, asked: StoredInterrupt) {
        match &mut self.progress {
            Progress::Waiting(open) => open.push(Question { asked, rejected: None }),
            progress => *progress = Progress::waiting(asked, None),
        }
    }

    /// The questions that have expired, with their default answers.
    pub(super) fn expired(&self, now_ms: u64) -> Vec<(String, ByteBuf)> {
        let Progress::Waiting(open) = &self.progress else { return Vec::new() };
        let expired = |question: &Question| {
            let over = question.asked.deadline_ms.is_some_and(|deadline| deadline <= now_ms);
            let default = question.asked.default.clone().filter(|_| over)?;
            Some((question.asked.id.clone(), default))
        };
        open.iter().filter_map(expired).collect()
    }

    pub(super) fn answers_for_task(&self) -> Option<Arc<[Answer]>> {
        if self.answers.is_empty() {
            return None;
        }
        let answer = |(asked, value): &(StoredInterrupt, ByteBuf)| Answer {
            name: asked.name.clone(),
            value: value.to_vec(),
        };
        Some(self.answers.iter().map(answer).collect())
    }

    /// Takes an answer; the activation can run again when it has all.
    pub(super) fn answer(&mut self, id: &str, value: ByteBuf) {
        let Progress::Waiting(open) = &mut self.progress else { return };
        let Some(place) = open.iter().position(|question| question.asked.id == id) else { return };
        self.answers.push((open.remove(place).asked, value));
        if open.is_empty() {
            self.progress = Progress::Ready;
        }
    }

    /// Forgets the answer to the question of this name and opens it again; its id, if there was one.
    pub(super) fn reject_answer(&mut self, name: &str, reason: &str) -> Option<String> {
        let place = self.answers.iter().position(|(asked, _)| asked.name == name)?;
        let (asked, _) = self.answers.remove(place);
        let id = asked.id.clone();
        self.progress = Progress::waiting(asked, Some(reason.to_owned()));
        Some(id)
    }
}
