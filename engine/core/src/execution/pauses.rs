//! Static pauses: where a drive stops between two supersteps because the graph, or whoever drives, wants to look. That it
//! stops is decided with the commit before, and recorded in it; the resume that follows goes past it.

use std::collections::BTreeSet;

use super::Execution;
use super::slot::{Progress, Slot};
use crate::graph::Plan;
use crate::ids::NodeIx;
use crate::journal::PausePoint;

/// The places at which this execution pauses.
#[derive(Debug, Default)]
pub(super) struct Pauses(BTreeSet<PausePoint>);

impl Pauses {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut points = BTreeSet::new();
        for (place, node) in plan.nodes.iter().enumerate() {
            let ix = NodeIx(place as u32);
            points.extend(node.pause_before.then_some(PausePoint::Before(ix)));
            points.extend(node.pause_after.then_some(PausePoint::After(ix)));
        }
        Self(points)
    }

    /// Those between these slots, of which some have finished, and the next ones; none if nothing follows.
    pub(super) fn between(&self, ended: &[Slot], next: &[Slot], held: &mut Vec<PausePoint>) {
        if self.0.is_empty() || next.is_empty() {
            return;
        }
        let finished = ended.iter().filter(|slot| matches!(slot.progress, Progress::Finished { .. }));
        let after = finished.map(|slot| PausePoint::After(slot.node));
        held.extend(after.chain(next.iter().map(|slot| PausePoint::Before(slot.node))));
        held.retain(|point| self.0.contains(point));
        held.dedup();
    }
}

impl Execution {
    /// Lets this execution pause at further places than those that the graph declares. Not stored: only that it paused
    /// is.
    pub fn pause_at(&mut self, points: impl IntoIterator<Item = PausePoint>) {
        self.pauses.0.extend(points);
    }
}
