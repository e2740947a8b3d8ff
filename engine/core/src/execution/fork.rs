//! Forks: a thread as it stood at some entry becomes the beginning of another thread, which needs nothing of the first
//! one afterwards. The first one is never touched.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Execution;
use super::advance::panic_text;
use super::fold::References;
use super::slot::Progress;
use super::types::{Entry, Journaling, Refused};
use super::values::Values;
use super::writer::Writer;
use crate::cell::UpdateValue;
use crate::failure::Failure;
use crate::ids::RunId;
use crate::journal::Origin;

impl Execution {
    /// Where the thread comes from, if it is a fork.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Turns a recovered thread into the beginning of another one: folds an edit into its state and gives the first entry
    /// of the new journal, a snapshot that holds everything. The run that it goes on with has this id. Its effects have keys
    /// of their own, and what the first thread has in its outbox stays there.
    ///
    /// # Errors
    /// [`Refused::NothingOpen`] on a thread on which nothing was ever run, [`Refused::Input`] if the edit cannot be
    /// folded, and what makes a snapshot impossible to write.
    pub fn fork(
        &mut self,
        now_ms: u64,
        origin: Origin,
        run: RunId,
        mut edit: UpdateValue,
    ) -> Result<Entry, Refused> {
        if self.run.is_none() {
            return Err(Refused::NothingOpen { how: "never begun" });
        }
        let cell = &mut self.cell;
        let folded = catch_unwind(AssertUnwindSafe(|| cell.apply(&mut edit, None)));
        folded.map_err(|panic| Refused::Input {
            failure: Failure::permanent("SW-X224", panic_text(panic.as_ref())),
        })??;
        (self.origin, self.run) = (Some(origin), Some(run));
        self.unwritten = false;
        self.detach();
        self.options.journaling = Journaling::Each;
        self.write_snapshot(now_ms)?;
        self.writer.entries.pop_front().ok_or(Refused::NothingOpen { how: "never begun" })
    }

    /// Forgets the journal that it was read from.
    pub(super) fn detach(&mut self) {
        self.outbox.clear();
        self.undos.clear();
        // Nothing may refer to entries of the other journal any more.
        self.writer = Writer {
            next_seq: 1,
            references: References::incomplete(self.cell.as_ref()),
            values: Values::new(self.options.limits.value_bytes),
            ..Writer::default()
        };
        for slot in &mut self.slots {
            // What went wrong there did not go wrong here, and what began there did not begin here.
            if let Some(extra) = &mut slot.extra {
                extra.tries = None;
                extra.steps.hold();
            }
            if let Progress::Finished { seq, .. } = &mut slot.progress {
                *seq = 0;
            }
        }
        self.detach_nested();
    }
}
