//! One activation of the present superstep.

use std::fmt;
use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::nested::Nested;
use super::steps::Steps;
use super::types::{Answer, Interrupt};
use crate::cell::UpdateValue;
use crate::failure::Failure;
use crate::ids::{ActivationId, NodeIx, Seq};
use crate::journal::{Critique, StoredInterrupt, StoredPost};
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
    Finished { update: UpdateValue, decision: Option<Box<Decision>>, seq: Seq },
    /// The last attempt failed.
    Failed(Box<Failure>),
    /// The last attempt failed, and an error handler goes on.
    Handled(Box<Failure>),
    /// The last attempt failed, and the next one has its time.
    BackingOff(Box<BackOff>),
    /// Nobody awaits it any more: the time of the join that it leads to is over.
    Abandoned,
    /// Waits for answers to these questions.
    Waiting(Vec<Question>),
    /// The execution inside it has stopped and says why.
    Within,
}

/// What an activation waits for that failed and is tried again.
#[derive(Debug)]
pub(super) struct BackOff {
    pub(super) failure: Failure,
    pub(super) at_ms: u64,
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
pub(super) struct Slot {
    pub(super) node: NodeIx,
    pub(super) input: Payload,
    /// Which gate sent the run back here, and why.
    pub(super) critique: Option<Arc<Critique>>,
    pub(super) attempts: u32,
    pub(super) progress: Progress,
    /// What most activations never have, apart, so that a superstep of thousands is small.
    pub(super) extra: Option<Box<Extra>>,
    /// The execution inside it, if its node is a graph and it has begun.
    pub(super) child: Option<Box<Nested>>,
}

/// What came up while an activation was executed.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) answers: Vec<(StoredInterrupt, ByteBuf)>,
    pub(super) steps: Steps,
    /// What it posted, until the superstep is committed.
    pub(super) posts: Vec<StoredPost>,
    /// Absent until something goes wrong.
    pub(super) tries: Option<Tries>,
    /// The wait that is over although no record says so yet.
    pub(super) waited: Option<Box<BackOff>>,
}

static NOTHING: Extra =
    Extra { answers: Vec::new(), steps: Steps::NONE, posts: Vec::new(), tries: None, waited: None };

/// Having nothing apart and having nothing at all is the same.
impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("node", &self.node)
            .field("input", &self.input)
            .field("critique", &self.critique)
            .field("attempts", &self.attempts)
            .field("progress", &self.progress)
            .field("extra", self.extra())
            .field("child", &self.child)
            .finish()
    }
}

impl Slot {
    pub(super) fn new(node: NodeIx, input: Payload) -> Self {
        Self { node, input, critique: None, attempts: 0, progress: Progress::Ready, extra: None, child: None }
    }

    pub(super) fn extra(&self) -> &Extra {
        self.extra.as_deref().unwrap_or(&NOTHING)
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Forgets the steps of an activation that has finished.
    pub(super) fn drop_steps(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.steps.clear();
        }
    }

    /// Forgets the wait that is over: a record says so now.
    fn end_wait(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.waited = None;
        }
    }

    /// Whoever resumes it grants everything that its policy allows anew.
    pub(super) fn grant_anew(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.tries = None;
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        !matches!(self.progress, Progress::Ready | Progress::Running | Progress::BackingOff(_))
    }

    /// Whether it is over, well or handled.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.progress, Progress::Finished { .. } | Progress::Handled(_) | Progress::Abandoned)
    }

    /// Whether the driver's report is about the execution that runs now.
    pub(super) fn runs(&self, attempt: u32) -> bool {
        matches!(self.progress, Progress::Running) && self.attempts == attempt
    }

    pub(super) fn tries(&self) -> Tries {
        self.extra().tries.unwrap_or_default()
    }

    /// Its wait is over.
    pub(super) fn wake(&mut self) {
        match std::mem::replace(&mut self.progress, Progress::Ready) {
            Progress::BackingOff(wait) => self.extra_mut().waited = Some(wait),
            other => self.progress = other,
        }
    }

    /// Takes a failure, and what was decided about it, live and in recovery alike.
    pub(super) fn fail(&mut self, failure: Failure, retry: Option<Retry>, handled: bool) {
        if let Some(extra) = &mut self.extra {
            extra.waited = None;
            extra.steps.attempt_failed();
            extra.posts.clear();
        }
        match retry {
            Some(retry) => {
                self.extra_mut().tries.get_or_insert_default().apply(&retry);
                self.progress = Progress::BackingOff(Box::new(BackOff { failure, at_ms: retry.at_ms }));
            }
            None => {
                // What was used is of no more use: whoever resumes it grants everything anew.
                self.grant_anew();
                let failure = Box::new(failure);
                self.progress = if handled { Progress::Handled(failure) } else { Progress::Failed(failure) };
            }
        }
    }

    /// The questions that it waits for.
    pub(super) fn open_questions(&self, activation: ActivationId) -> impl Iterator<Item = Interrupt> {
        let open = if let Progress::Waiting(open) = &self.progress { open.as_slice() } else { &[] };
        open.iter().map(move |Question { asked, rejected }| Interrupt {
            id: asked.id.clone(),
            name: asked.name.clone(),
            node: self.node,
            activation,
            question: asked.question.to_vec(),
            rejected: rejected.clone(),
            deadline_ms: asked.deadline_ms,
            to: asked.ladder.as_ref().and_then(|ladder| ladder.to.clone()),
            level: asked.ladder.as_ref().map_or(0, |ladder| ladder.level),
        })
    }

    /// One more question of the execution that asked.
    pub(super) fn ask(&mut self, asked: StoredInterrupt) {
        self.end_wait();
        match &mut self.progress {
            Progress::Waiting(open) => open.push(Question { asked, rejected: None }),
            progress => *progress = Progress::waiting(asked, None),
        }
    }

    /// About how much its posts take in a record.
    pub(super) fn posted_bytes(&self) -> usize {
        self.extra().posts.iter().map(|post| post.id.len() + post.kind.len() + post.payload.len() + 64).sum()
    }

    /// The questions that have expired, with their default answers.
    pub(super) fn expired(&self, now_ms: u64) -> Vec<(String, ByteBuf)> {
        let Progress::Waiting(open) = &self.progress else { return Vec::new() };
        let expired = |question: &Question| {
            let over = question.asked.deadline_ms.is_some_and(|deadline| deadline <= now_ms);
            let default = question.asked.default.clone().filter(|_| over && !question.asked.climbs())?;
            Some((question.asked.id.clone(), default))
        };
        open.iter().filter_map(expired).collect()
    }

    pub(super) fn answers_for_task(&self) -> Option<Arc<[Answer]>> {
        let answers = &self.extra().answers;
        if answers.is_empty() {
            return None;
        }
        let answer = |(asked, value): &(StoredInterrupt, ByteBuf)| Answer {
            name: asked.name.clone(),
            value: value.to_vec(),
        };
        Some(answers.iter().map(answer).collect())
    }

    /// Takes an answer; the activation can run again when it has all.
    pub(super) fn answer(&mut self, id: &str, value: ByteBuf) {
        let Progress::Waiting(open) = &mut self.progress else { return };
        let Some(place) = open.iter().position(|question| question.asked.id == id) else { return };
        let asked = open.remove(place).asked;
        if open.is_empty() {
            self.progress = Progress::Ready;
        }
        self.extra_mut().answers.push((asked, value));
    }

    /// Forgets the answer to the question of this name and opens it again; its id, if there was one.
    pub(super) fn reject_answer(&mut self, name: &str, reason: &str) -> Option<String> {
        let answers = &mut self.extra.as_mut()?.answers;
        let place = answers.iter().position(|(asked, _)| asked.name == name)?;
        let (mut asked, _) = answers.remove(place);
        // An answer that nobody gave is not tried a second time.
        (asked.deadline_ms, asked.default) = (None, None);
        if let Some(ladder) = &mut asked.ladder {
            (ladder.next, ladder.last_ms, ladder.fails) = (Vec::new(), None, false);
        }
        let id = asked.id.clone();
        self.end_wait();
        self.progress = Progress::waiting(asked, Some(reason.to_owned()));
        Some(id)
    }
}
