//! Timers of a simulated driver: they fire in time, and sometimes for no reason.

use statewright_engine_core::Event;

use super::process::Process;
use super::world::World;

impl World {
    pub(super) fn fire(&mut self, process: &mut Process) -> Result<(), String> {
        process.timer = None;
        self.note(|| "the timer fires".to_owned());
        self.report(process, Event::TimerFired)
    }

    /// A timer fires that nobody set, or the one that is set fires too early. The latter is gone then.
    pub(super) fn fire_early(&mut self, process: &mut Process) -> Result<(), String> {
        process.timer = None;
        self.note(|| "the timer fires for no reason".to_owned());
        self.history.faults.timers += 1;
        self.report(process, Event::TimerFired)
    }
}
