//! The outbox of simulated nodes, and its oracle: an item is handed out only once its superstep is durable, comes with
//! the payload that its activation gave it, never comes again after its delivery was acknowledged, and is never lost.

use std::collections::HashSet;

use statewright_engine_core::journal::{Body, StoredPost};
use statewright_engine_core::{ActivationId, Event, Execution, Journaling, Seq};

use super::process::Process;
use super::watch::Content;
use super::world::World;
use crate::reference::Reference;

/// What happened to items, whatever the journal says.
#[derive(Debug, Default)]
pub(super) struct Posted {
    /// Delivered at least once.
    delivered: HashSet<String>,
    /// Delivered, with the entry that says so and is not acknowledged yet.
    reported: Vec<(String, Seq)>,
    /// Delivered, and that is acknowledged.
    settled: HashSet<String>,
}

impl Posted {
    pub(super) fn durable_up_to(&mut self, acked: Seq) {
        let (durable, open): (Vec<_>, Vec<_>) = self.reported.drain(..).partition(|(_, seq)| *seq <= acked);
        self.reported = open;
        self.settled.extend(durable.into_iter().map(|(id, _)| id));
    }

    pub(super) fn crash(&mut self) {
        self.reported.clear();
    }
}

impl World {
    /// What an activation posts before its end is reported.
    pub(super) fn post(
        &mut self,
        process: &mut Process,
        activation: ActivationId,
        attempt: u32,
    ) -> Result<(), String> {
        let items = self.scenario.script.posts(activation);
        if items.is_empty() {
            return Ok(());
        }
        self.history.posted += items.len();
        self.report(process, Event::Posted { activation, attempt, items })
    }

    /// The driver is given an item.
    pub(super) fn handed_out(&mut self, process: &mut Process, post: &StoredPost) -> Result<(), String> {
        let id = &post.id;
        self.note(|| format!("the item {id} is handed out"));
        if self.posted.settled.contains(id) {
            return Err(format!("the item {id} is handed out although its delivery was acknowledged"));
        }
        if self.options.journaling == Journaling::Each && !self.is_committed(id) {
            return Err(format!("the item {id} is handed out before its superstep is durable"));
        }
        let place = |(at, number)| ActivationId { superstep: at, index: number };
        let parsed = id.split_once('#').and_then(|(activation, item)| {
            let (superstep, index) = activation.split_once('.')?;
            Some((place((superstep.parse().ok()?, index.parse().ok()?)), item.parse::<usize>().ok()?))
        });
        let Some((activation, item)) = parsed else { return Err(format!("`{id}` is no id of an item")) };
        match self.scenario.script.posts(activation).get(item) {
            Some((kind, payload)) if *kind == post.kind && *payload == *post.payload => {}
            other => return Err(format!("the item {id} is another one than was posted: {other:?}")),
        }
        process.posts.push(post.id.clone());
        Ok(())
    }

    /// Whether the durable part of the journal holds the item and a commit after it.
    fn is_committed(&self, id: &str) -> bool {
        let durable = self.contents.iter().take(self.acked as usize);
        let mut held = false;
        durable.fold(false, |committed, content| {
            let Content::Record(body) = content else { return committed };
            let commits = match body.as_ref() {
                Body::Finished { posts, commit, .. } => {
                    held |= posts.iter().any(|post| post.id == *id);
                    commit.is_some()
                }
                Body::Committed { commit, .. } => commit.is_some(),
                _ => false,
            };
            committed || held && commits
        })
    }

    /// The driver reports on one of its items: delivered, or not this time.
    pub(super) fn deliver(&mut self, process: &mut Process) -> Result<(), String> {
        let id = process.posts.swap_remove(self.rng.below(process.posts.len()));
        let delivered = !self.rng.chance(250);
        self.note(|| format!("the item {id} is {}delivered", if delivered { "" } else { "not " }));
        if delivered {
            self.history.delivered += 1;
            self.posted.delivered.insert(id.clone());
            self.posted.reported.push((id.clone(), process.execution.last_seq() + 1));
        } else {
            self.history.faults.undelivered += 1;
        }
        self.report(process, Event::Delivered { id, delivered })
    }

    /// Of a run that finished, every item was delivered or is still in the outbox.
    pub(super) fn check_outbox(&self, execution: &Execution, expected: &Reference) -> Result<(), String> {
        let left: HashSet<&str> = execution.outbox().map(|post| post.id.as_str()).collect();
        for (superstep, frontier) in (expected.before + 1..).zip(&expected.frontiers) {
            for (index, (node, _)) in (0..).zip(frontier) {
                // What fails and leads to a handler posts nothing.
                if !self.scenario.topology.nodes[node.index()].on_error.is_empty() {
                    continue;
                }
                let activation = ActivationId { superstep, index };
                for item in 0..self.scenario.script.posts(activation).len() {
                    let id = format!("{activation}#{item}");
                    if !self.posted.delivered.contains(&id) && !left.contains(id.as_str()) {
                        return Err(format!("the item {id} was neither delivered nor is it in the outbox"));
                    }
                }
            }
        }
        Ok(())
    }
}
