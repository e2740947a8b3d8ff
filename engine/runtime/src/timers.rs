//! Clocks of a drive: the one timer that the execution asks for, and the limits of time of one attempt.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use statewright_engine_core::{Failure, FailureKind, NodePolicy};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// The timer that the execution asked for last.
#[derive(Default)]
pub(crate) struct Timer {
    set: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Timer {
    pub(crate) fn set(&mut self, now_ms: u64, at_ms: u64) {
        self.set = Some((at_ms, Box::pin(sleep(Duration::from_millis(at_ms.saturating_sub(now_ms))))));
    }

    /// The time that it was set to, once it has come. The clock of the runner may be another one and lag behind.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        let Some((at_ms, sleep)) = &mut self.set else { return Poll::Pending };
        let at_ms = *at_ms;
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.set = None;
        Poll::Ready(at_ms)
    }
}

/// When an attempt last showed a sign of life.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    beat_ms: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), beat_ms: AtomicU64::new(0) }
    }

    pub(crate) fn beat(&self) {
        self.beat_ms.fetch_max(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.beat_ms.load(Ordering::Relaxed))
    }
}

/// The limits of time of one attempt.
pub(crate) struct Deadlines {
    run: Option<(u64, Pin<Box<Sleep>>)>,
    idle: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Deadlines {
    /// Nothing if the policy sets no limit, so that ordinary attempts need no timer.
    pub(crate) fn of(policy: &NodePolicy) -> Option<Box<Self>> {
        let limit = |limit_ms: Option<u64>| {
            limit_ms.map(|limit_ms| (limit_ms, Box::pin(sleep(Duration::from_millis(limit_ms)))))
        };
        let (run, idle) = (limit(policy.run_timeout_ms()), limit(policy.idle_timeout_ms()));
        (run.is_some() || idle.is_some()).then(|| Box::new(Self { run, idle }))
    }

    /// The failure, once a limit is reached.
    pub(crate) fn poll(&mut self, pulse: Option<&Pulse>, context: &mut Context<'_>) -> Poll<Failure> {
        if let Some((limit_ms, sleep)) = &mut self.run
            && sleep.as_mut().poll(context).is_ready()
        {
            let message = format!("the node ran longer than its limit of {}", duration(*limit_ms));
            return Poll::Ready(Failure::new("SW-X244", FailureKind::Transient, message));
        }
        let (Some((limit_ms, sleep)), Some(pulse)) = (&mut self.idle, pulse) else { return Poll::Pending };
        while sleep.as_mut().poll(context).is_ready() {
            let next = pulse.last() + Duration::from_millis(*limit_ms);
            if next <= Instant::now() {
                let message = format!("the node gave no sign of life for {}", duration(*limit_ms));
                return Poll::Ready(Failure::new("SW-X245", FailureKind::Transient, message));
            }
            // It did since the timer was set, so the limit counts from there.
            sleep.set(sleep_until(next));
        }
        Poll::Pending
    }
}

fn duration(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}
