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
    /// Until when the tokens wait.
    until_ms: Option<u64>,
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

    /// When the time of the first of them is over.
    #[inline]
    pub(super) fn until_ms(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        self.waiting.values().filter_map(|waiting| waiting.until_ms).min()
    }

    /// Those whose time is over, with the sources of their tokens.
    pub(super) fn over(&self, now_ms: u64) -> impl Iterator<Item = (u32, &[NodeIx])> {
        let over = move |waiting: &&Waiting| waiting.until_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let all = self.waiting.iter().map(|(join, waiting)| (*join, waiting));
        all.filter(move |(_, waiting)| over(waiting)).map(|(join, waiting)| (join, waiting.tokens.as_slice()))
    }

    pub(super) fn images(&self) -> Vec<JoinImage> {
        let image = |(join, waiting): (&u32, &Waiting)| JoinImage {
            join: *join,
            tokens: waiting.tokens.clone(),
            owing: waiting.owing.clone(),
            until_ms: waiting.until_ms,
        };
        self.waiting.iter().map(image).collect()
    }

    pub(super) fn from_images(images: Vec<JoinImage>) -> Self {
        let waiting = |image: JoinImage| {
            let JoinImage { join, tokens, owing, until_ms } = image;
            (join, Waiting { tokens, owing, until_ms })
        };
        Self { waiting: images.into_iter().map(waiting).collect() }
    }
}

impl Waiting {
    fn apply(&mut self, event: &JoinEvent) {
        match event {
            JoinEvent::Came(source) => self.tokens.push(*source),
            JoinEvent::Until(at_ms) => self.until_ms = Some(*at_ms),
            JoinEvent::Late(source) | JoinEvent::Released(source) => take_first(&mut self.owing, *source),
            JoinEvent::Ran { used, owing } => {
                used.iter().for_each(|source| take_first(&mut self.tokens, *source));
                self.owing.extend(owing);
                self.until_ms = None;
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
    now_ms: u64,
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
        let over = waiting.until_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let ran = round(join, &waiting.tokens, over, can_come);
        let left = waiting.tokens.len() - ran.as_ref().map_or(0, |(used, _)| used.len());
        let begins = left > 0 && (ran.is_some() || waiting.until_ms.is_none());
        if let Some((used, owing)) = ran {
            changes.push(event(JoinEvent::Ran { used, owing }));
            run.push(join.target);
        }
        if let Some(timeout) = join.timeout.filter(|_| begins) {
            changes.push(event(JoinEvent::Until(now_ms.saturating_add(timeout.within_ms))));
        }
    }
    run
}

fn place_of(join: &PlanJoin, source: NodeIx) -> Option<usize> {
    join.sources.iter().position(|known| *known == source)
}

/// Whether a join runs now, with which tokens, and which sources owe it theirs.
fn round(
    join: &PlanJoin,
    tokens: &[NodeIx],
    over: bool,
    can_come: impl Fn(usize) -> bool,
) -> Option<(Vec<NodeIx>, Vec<NodeIx>)> {
    if tokens.is_empty() {
        return None;
    }
    if join.mode == JoinMode::Quiet {
        // However many paths led here, they are one round.
        return (!can_come(0)).then(|| (tokens.to_vec(), Vec::new()));
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
    (enough || over || expected.is_empty()).then_some((used, expected))
}
