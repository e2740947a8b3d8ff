//! A clock that stands still: back-offs, limits of time and deadlines come when a test says so, and no test waits.

use std::sync::Arc;
use std::time::Duration;

use statewright_engine_runtime::Clock;
use tokio::time::Instant;

/// The time at which every paused clock begins, in milliseconds since 1970.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// Time that is driven by hand, for one test on a runtime of one thread.
///
/// It stands still while anything can go on. Once everything waits it jumps to the next timer, so that a back-off of an
/// hour takes no time; [`PausedClock::advance`] moves it by hand. Use it with stores in memory: a database works on
/// threads of its own, and while it does the time may jump.
#[derive(Clone, Copy, Debug)]
pub struct PausedClock {
    began: Instant,
}

impl PausedClock {
    /// Stops the time of the present runtime.
    ///
    /// # Panics
    /// Outside of a runtime, on one with several threads, and where the time stands still already, as under
    /// `start_paused = true`.
    #[expect(clippy::new_without_default, reason = "it stops the time, which no default should do")]
    pub fn new() -> Self {
        tokio::time::pause();
        Self { began: Instant::now() }
    }

    /// The same time for a runner: `runner.clock(paused.clock())`. A [`Trial`](super::Trial) takes the clock itself.
    pub fn clock(&self) -> Clock {
        let clock = *self;
        Arc::new(move || clock.now_ms())
    }

    /// The time, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        BEGINNING_MS.saturating_add(elapsed)
    }

    /// Moves the time on, and lets what was waiting for it run.
    pub async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
        tokio::task::yield_now().await;
    }

    /// Moves the time on to this one, in milliseconds since 1970; a time that has passed changes nothing.
    pub async fn advance_to(&self, at_ms: u64) {
        let wait = at_ms.saturating_sub(self.now_ms());
        if wait > 0 {
            self.advance(Duration::from_millis(wait)).await;
        }
    }
}
