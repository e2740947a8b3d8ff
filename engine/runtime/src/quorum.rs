//! How long a quorum waits.

use std::time::Duration;

use statewright_engine_core::Topology;
use statewright_engine_core::graph::JoinTimeout;

/// A quorum that was just declared: give it a limit of time, or leave it as it is.
#[derive(Debug)]
pub struct Quorum<'a>(&'a mut Topology);

impl<'a> Quorum<'a> {
    pub(crate) fn of(topology: &'a mut Topology) -> Self {
        Self(topology)
    }

    /// Waits no longer than this, counted from when the first of the sources has come. Then it runs with what came.
    ///
    /// A superstep ends when all its activations have. So when the time is over, activations that lead nowhere but to
    /// this quorum are *abandoned* once nothing else holds the superstep: recorded, and their futures dropped. One that
    /// does an effect which must not happen twice is waited for until that has ended. While others run that somebody
    /// else awaits, the quorum waits for those, and what comes meanwhile counts; what comes after it has run is late,
    /// and dropped.
    pub fn within(self, limit: Duration) -> Self {
        let within_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.set(|timeout| timeout.within_ms = within_ms)
    }

    /// Fails the run with `SW-X272` when fewer came in time than it needs. Resuming waits anew.
    pub fn or_fail(self) -> Self {
        self.set(|timeout| timeout.fails = true)
    }

    fn set(self, change: impl FnOnce(&mut JoinTimeout)) -> Self {
        if let Some(join) = self.0.joins.last_mut() {
            let forever = JoinTimeout { within_ms: u64::MAX >> 1, fails: false };
            change(join.timeout.get_or_insert(forever));
        }
        self
    }
}
