//! Which threads are kept, and the deletion of the others. What is open or waits for somebody is left alone unless it
//! is asked for, and nothing that moves on between a look and its deletion is lost.

use std::time::Duration;

use statewright_engine_core::journal::written_ms;
use statewright_engine_core::{Outcome, Seq, State, Status, ThreadId};

use crate::checkpointer::{Checkpointer, StoreError};
use crate::error::RunError;
use crate::reading::read_entries;
use crate::runner::Runner;

/// How many threads are listed at once.
const PAGE: u32 = 1_000;

/// Which threads are kept. A thread that one of the rules keeps stays; without a rule all stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    keep_for: Option<Duration>,
    keep_last: Option<usize>,
    unfinished: bool,
}

/// What a rule has to know of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// When it last changed, in milliseconds since 1970.
    pub changed_ms: u64,
    /// Whether its last run has finished or was cancelled.
    pub is_over: bool,
}

impl Retention {
    /// Keeps everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps threads for this long after their last change.
    #[must_use]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep_for = Some(time);
        self
    }

    /// Keeps so many threads, those that changed last.
    #[must_use]
    pub fn keep_last(mut self, threads: usize) -> Self {
        self.keep_last = Some(threads);
        self
    }

    /// Treats threads like any other whose run is open: paused, failed, stopped, or left by a crash. Otherwise they all
    /// stay and are not counted. A thread that is driven stays in any case.
    #[must_use]
    pub fn unfinished_too(mut self) -> Self {
        self.unfinished = true;
        self
    }

    /// Which of these threads may go, by their places, oldest first.
    pub fn expired(&self, now_ms: u64, threads: &[Age]) -> Vec<usize> {
        if self.keep_for.is_none() && self.keep_last.is_none() {
            return Vec::new();
        }
        let mut places: Vec<usize> = (0..threads.len()).collect();
        places.retain(|place| threads[*place].is_over || self.unfinished);
        // The newest first; of threads of one age the first one listed.
        places.sort_by_key(|place| std::cmp::Reverse(threads[*place].changed_ms));
        let mut expired = places.split_off(self.keep_last.unwrap_or(0).min(places.len()));
        let is_old = |place: &usize| {
            let age_ms = u128::from(now_ms.saturating_sub(threads[*place].changed_ms));
            self.keep_for.is_none_or(|time| age_ms >= time.as_millis())
        };
        expired.retain(is_old);
        expired.reverse();
        expired
    }
}

/// What became of the threads of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pruned {
    /// Those that were deleted, or would be, oldest first.
    pub deleted: Vec<ThreadId>,
    /// How many of this graph stay.
    pub kept: usize,
    /// Those that cannot be read by this graph, such as threads of another one; they stay.
    pub foreign: usize,
}

impl<S: State> Runner<S> {
    /// Deletes a thread for good, and says whether there was one. Forks of it are whole without it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while a driver holds it, and what else keeps the store from it.
    pub async fn delete(&self, thread: impl Into<ThreadId>) -> Result<bool, RunError> {
        Ok(self.store()?.delete(&thread.into(), None).await?)
    }

    /// Deletes the threads of this graph that need not be kept. One that somebody takes up meanwhile stays.
    ///
    /// # Errors
    /// What keeps the store from listing or deleting.
    pub async fn prune(&self, retention: &Retention) -> Result<Pruned, RunError> {
        let store = self.store()?;
        let (found, foreign) = self.aged_threads().await?;
        let mut pruned = Pruned { kept: found.len(), foreign, ..Pruned::default() };
        for (thread, seq) in self.expired(retention, &found) {
            match store.delete(&thread, Some(seq)).await {
                Ok(_) => pruned.deleted.push(thread),
                Err(StoreError::Busy { .. } | StoreError::Moved { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        pruned.kept -= pruned.deleted.len();
        Ok(pruned)
    }

    /// What [`Runner::prune`] would delete now.
    ///
    /// # Errors
    /// What keeps the store from listing.
    pub async fn prunable(&self, retention: &Retention) -> Result<Pruned, RunError> {
        let (found, foreign) = self.aged_threads().await?;
        let deleted: Vec<ThreadId> =
            self.expired(retention, &found).into_iter().map(|(thread, _)| thread).collect();
        Ok(Pruned { kept: found.len() - deleted.len(), deleted, foreign })
    }

    fn store(&self) -> Result<&dyn Checkpointer, RunError> {
        self.checkpointer.as_deref().ok_or(RunError::NoCheckpointer)
    }

    fn expired(&self, retention: &Retention, found: &[(ThreadId, Seq, Age)]) -> Vec<(ThreadId, Seq)> {
        let ages: Vec<Age> = found.iter().map(|(_, _, age)| *age).collect();
        let places = retention.expired((self.clock)(), &ages);
        places.into_iter().map(|place| (found[place].0.clone(), found[place].1)).collect()
    }

    /// The threads of this graph as of their last entries, and how many others there are.
    async fn aged_threads(&self) -> Result<(Vec<(ThreadId, Seq, Age)>, usize), RunError> {
        let store = self.store()?;
        let (mut found, mut foreign) = (Vec::new(), 0);
        let mut after: Option<ThreadId> = None;
        loop {
            let listed = store.list(after.as_ref(), PAGE).await?;
            let Some((last, _)) = listed.last() else { return Ok((found, foreign)) };
            after = Some(last.clone());
            for (thread, _) in listed {
                match self.aged(&thread).await {
                    Ok(Some((seq, age))) => found.push((thread, seq, age)),
                    // Deleted since it was listed.
                    Ok(None) => {}
                    Err(RunError::Recover(_)) => foreign += 1,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn aged(&self, thread: &ThreadId) -> Result<Option<(Seq, Age)>, RunError> {
        let stand = self.load(thread.clone()).await?;
        let last = read_entries(self.store()?, thread, &[(stand.seq, stand.seq)]).await?;
        let Some(entry) = last.first() else { return Ok(None) };
        // Of what age nobody can say is not old.
        let changed_ms = written_ms(entry).unwrap_or_else(|| (self.clock)());
        let is_over = matches!(stand.status, Status::Stopped(Outcome::Finished | Outcome::Cancelled));
        Ok(Some((stand.seq, Age { changed_ms, is_over })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_one_rule_keeps_stays_and_open_threads_stay_unless_asked_for() {
        let day_ms = 86_400_000;
        let age = |days: u64, is_over| Age { changed_ms: (100 - days) * day_ms, is_over };
        let threads = [age(9, true), age(1, true), age(30, false), age(5, true), age(2, true)];
        let expired = |retention: Retention| retention.expired(100 * day_ms, &threads);
        let none: [usize; 0] = [];
        assert_eq!(expired(Retention::new()), none);
        assert_eq!(expired(Retention::new().unfinished_too()), none, "without a rule nothing goes");
        assert_eq!(expired(Retention::new().keep_for(5 * DAY)), [0, 3], "exactly as old is old");
        assert_eq!(expired(Retention::new().keep_for(6 * DAY)), [0]);
        assert_eq!(expired(Retention::new().keep_last(2)), [0, 3]);
        assert_eq!(expired(Retention::new().keep_last(0)), [0, 3, 4, 1]);
        assert_eq!(expired(Retention::new().keep_last(9)), none);
        assert_eq!(expired(Retention::new().keep_last(3).keep_for(Duration::ZERO)), [0]);
        assert_eq!(expired(Retention::new().keep_last(1).keep_for(6 * DAY)), [0]);
        assert_eq!(expired(Retention::new().keep_last(3).unfinished_too()), [2, 0]);
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_old() {
        let future = Age { changed_ms: 50, is_over: true };
        assert_eq!(Retention::new().keep_for(DAY).expired(10, &[future]), [0; 0]);
    }
}
