//! Joins at work. A join waits for one token of each source, but for no source to which nothing that is under way can
//! lead any more: such a path is dead for this round. Whatever was decided here is recorded, and only applied again
//! in recovery.

use std::collections::BTreeMap;

use crate::graph::{JoinMode, Plan, PlanJoin};
use crate::ids::NodeIx;
use crate::journal::{JoinChange, JoinEvent, JoinImage};

/// The joins at which something waits, by number. One that nobody waits at takes no room, so that a step costs the same
/// in a graph with a thousand joins.
#[derive(Clone, Debug, Default)]
pub(super) struct Joins {
    waiting: BTreeMap<u32, Waiting>,
}

#[derive(Clone, Debug, Default)]
struct Waiting {
    /// The sources of the tokens, in the order in which they came.
    tokens: Vec<NodeIx>,
    /// Sources whose next token belongs to a round that is over.
    owing: Vec<NodeIx>,
}

impl Joins {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Applies what was decided, just now or as it was recorded.
    pub(super) fn apply(&mut self, changes: &[JoinChange]) {
        for change in changes {
            let waiting = self.waiting.entry(change.join).or_default();
            waiting.apply(&change.event);
            if waiting.tokens.is_empty() && waiting.owing.is_empty() {
                self.waiting.remove(&change.join);
            }
        }
    }

    pub(super) fn images(&self) -> Vec<JoinImage> {
        let image = |(join, waiting): (&u32, &Waiting)| JoinImage {
            join: *join,
            tokens: waiting.tokens.clone(),
            owing: waiting.owing.clone(),
        };
        self.waiting.iter().map(image).collect()
    }

    pub(super) fn from_images(images: Vec<JoinImage>) -> Self {
        let waiting = |image: JoinImage| (image.join, Waiting { tokens: image.tokens, owing: image.owing });
        Self { waiting: images.into_iter().map(waiting).collect() }
    }
}

impl Waiting {
    fn apply(&mut self, event: &JoinEvent) {
        match event {
            JoinEvent::Came(source) => self.tokens.push(*source),
            JoinEvent::Late(source) | JoinEvent::Released(source) => take_first(&mut self.owing, *source),
            JoinEvent::Ran { used, owing } => {
                used.iter().for_each(|source| take_first(&mut self.tokens, *source));
                self.owing.extend(owing);
            }
        }
    }
}

fn take_first(list: &mut Vec<NodeIx>, node: NodeIx) {
    if let Some(place) = list.iter().position(|known| *known == node) {
        list.remove(place);
    }
}

/// Decides what happens at the joins at the end of a superstep. `came` are the tokens of this superstep, `next` the
/// nodes that run in the next one. Gives the nodes that their joins let run.
pub(super) fn decide(
    plan: &Plan,
    joins: &Joins,
    came: &[(u32, NodeIx)],
    next: &[NodeIx],
    changes: &mut Vec<JoinChange>,
) -> Vec<NodeIx> {
    let mut present = joins.clone();
    for (join, source) in came {
        let owed = present.waiting.get(join).is_some_and(|waiting| waiting.owing.contains(source));
        let event = if owed { JoinEvent::Late(*source) } else { JoinEvent::Came(*source) };
        let change = JoinChange { join: *join, event };
        present.apply(std::slice::from_ref(&change));
        changes.push(change);
    }
    // A join at which something waits will run some day, so what lies behind it is under way too. Within one round
    // joins are in no circle, so one of them can always run when nothing else does.
    let pending = present.waiting.iter().filter(|(_, waiting)| !waiting.tokens.is_empty());
    let pending: Vec<NodeIx> =
        pending.filter_map(|(join, _)| Some(plan.joins.get(*join as usize)?.target)).collect();
    let mut run = Vec::new();
    for (number, waiting) in &present.waiting {
        let Some(join) = plan.joins.get(*number as usize) else { continue };
        // What stands behind a node's own join cannot lead back to its sources.
        let under_way =
            || next.iter().chain(pending.iter().filter(|target| **target != join.target)).copied();
        let event = |event| JoinChange { join: *number, event };
        let can_come = |place: usize| {
            join.upstream.get(place).is_some_and(|set| under_way().any(|node| set.contains(node)))
        };
        let released = waiting.owing.iter().filter(|source| !place_of(join, **source).is_some_and(can_come));
        changes.extend(released.map(|source| event(JoinEvent::Released(*source))));
        if let Some(ran) = round(join, &waiting.tokens, can_come) {
            changes.push(event(ran));
            run.push(join.target);
        }
    }
    run
}

fn place_of(join: &PlanJoin, source: NodeIx) -> Option<usize> {
    join.sources.iter().position(|known| *known == source)
}

/// Whether a join runs now, and with which tokens.
fn round(join: &PlanJoin, tokens: &[NodeIx], can_come: impl Fn(usize) -> bool) -> Option<JoinEvent> {
    if tokens.is_empty() {
        return None;
    }
    if join.mode == JoinMode::Quiet {
        // However many paths led here, they are one round.
        return (!can_come(0)).then(|| JoinEvent::Ran { used: tokens.to_vec(), owing: Vec::new() });
    }
    let (mut used, mut expected) = (Vec::new(), Vec::new());
    for (place, source) in join.sources.iter().enumerate() {
        if tokens.contains(source) {
            used.push(*source);
        } else if can_come(place) {
            expected.push(*source);
        }
    }
    let enough = match join.mode {
        JoinMode::Quorum(needed) => used.len() >= needed as usize,
        _ => false,
    };
    (enough || expected.is_empty()).then_some(JoinEvent::Ran { used, owing: expected })
}
