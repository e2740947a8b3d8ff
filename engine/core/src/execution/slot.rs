//! One activation of the present superstep.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::types::{Answer, Interrupt};
use crate::cell::UpdateValue;
use crate::failure::Failure;
use crate::ids::{NodeIx, Seq};
use crate::journal::{Critique, StoredInterrupt};
use crate::payload::Payload;
use crate::policy::{Retry, Tries};
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
    /// The last attempt failed, and an error handler goes on.
    Handled(Box<Failure>),
    /// The last attempt failed, and the next one has its time.
    BackingOff(Box<BackOff>),
    /// Waits for an answer.
    Waiting(Box<Question>),
}

/// What an activation waits for that failed and is tried again.
#[derive(Debug)]
pub(super) struct BackOff {
    pub(super) failure: Failure,
    pub(super) at_ms: u64,
}

/// An open question. Boxed where it is rare, so that the slots of ordinary steps stay small.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) asked: StoredInterrupt,
    pub(super) rejected: Option<String>,
}

impl Progress {
    pub(super) fn waiting(asked: StoredInterrupt, rejected: Option<String>) -> Self {
        Progress::Waiting(Box::new(Question { asked, rejected }))
    }

    /// Whether it waits for the answer to this question.
    pub(super) fn waits_for(&self, id: &str) -> bool {
        matches!(self, Progress::Waiting(question) if question.asked.id == id)
    }
}

/// An activation with everything needed to run it, again if need be.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) node: NodeIx,
    pub(super) input: Payload,
    /// Which gate sent the run back here, and why.
    pub(super) critique: Option<Arc<Critique>>,
    pub(super) attempts: u32,
    pub(super) progress: Progress,
    pub(super) answers: Vec<(StoredInterrupt, ByteBuf)>,
    /// Absent until something goes wrong.
    pub(super) tries: Option<Box<Tries>>,
    /// The wait that is over although no record says so yet.
    pub(super) waited: Option<Box<BackOff>>,
}

impl Slot {
    pub(super) fn new(node: NodeIx, input: Payload) -> Self {
        Self {
            node,
            input,
            critique: None,
            attempts: 0,
            progress: Progress::Ready,
            answers: Vec::new(),
            tries: None,
            waited: None,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        !matches!(self.progress, Progress::Ready | Progress::Running | Progress::BackingOff(_))
    }

    /// Whether it is over, well or handled.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.progress, Progress::Finished { .. } | Progress::Handled(_))
    }

    /// Whether the driver's report is about the execution that runs now.
    pub(super) fn runs(&self, attempt: u32) -> bool {
        matches!(self.progress, Progress::Running) && self.attempts == attempt
    }

    pub(super) fn tries(&self) -> Tries {
        self.tries.as_deref().copied().unwrap_or_default()
    }

    /// Its wait is over.
    pub(super) fn wake(&mut self) {
        if let Progress::BackingOff(wait) = std::mem::replace(&mut self.progress, Progress::Ready) {
            self.waited = Some(wait);
        }
    }

    /// Takes a question that its execution asked.
    pub(super) fn ask(&mut self, asked: StoredInterrupt, rejected: Option<String>) {
        self.waited = None;
        self.progress = Progress::Waiting(Box::new(Question { asked, rejected }));
    }

    /// Takes a failure, and what was decided about it, live and in recovery alike.
    pub(super) fn fail(&mut self, failure: Failure, retry: Option<Retry>, handled: bool) {
        self.waited = None;
        match retry {
            Some(retry) => {
                self.tries.get_or_insert_default().apply(&retry);
                self.progress = Progress::BackingOff(Box::new(BackOff { failure, at_ms: retry.at_ms }));
            }
            None => {
                // What was used is of no more use: whoever resumes it grants everything anew.
                self.tries = None;
                let failure = Box::new(failure);
                self.progress = if handled { Progress::Handled(failure) } else { Progress::Failed(failure) };
            }
        }
    }

    pub(super) fn open_question(&self) -> Option<Interrupt> {
        let Progress::Waiting(question) = &self.progress else { return None };
        let Question { asked, rejected } = question.as_ref();
        Some(Interrupt {
            id: asked.id.clone(),
            name: asked.name.clone(),
            node: self.node,
            question: asked.question.to_vec(),
            rejected: rejected.clone(),
        })
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

    /// Takes an answer; the activation can run again.
    pub(super) fn answer(&mut self, value: ByteBuf) {
        if let Progress::Waiting(question) = std::mem::replace(&mut self.progress, Progress::Ready) {
            self.answers.push((question.asked, value));
        }
    }

    /// Forgets the answer to the question of this name and opens it again; its id, if there was one.
    pub(super) fn reject_answer(&mut self, name: &str, reason: &str) -> Option<String> {
        let place = self.answers.iter().position(|(asked, _)| asked.name == name)?;
        let (asked, _) = self.answers.remove(place);
        let id = asked.id.clone();
        self.ask(asked, Some(reason.to_owned()));
        Some(id)
    }
}
