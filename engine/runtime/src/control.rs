//! Stopping a run from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

const NOTHING: u8 = 0;
const DRAIN: u8 = 1;
const CANCEL: u8 = 2;

/// A handle that stops a run: at the next safe point, or for good. Cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct RunControl(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wanted: AtomicU8,
    waker: AtomicWaker,
}

/// What somebody asked of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Drain,
    Cancel,
}

impl RunControl {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { wanted: AtomicU8::new(NOTHING), waker: AtomicWaker::new() }))
    }

    /// Lets running nodes finish, begins no others, and stops. The run can be resumed.
    pub fn drain(&self) {
        let _ = self.0.wanted.compare_exchange(NOTHING, DRAIN, Ordering::AcqRel, Ordering::Acquire);
        self.0.waker.wake();
    }

    /// Ends the run: running nodes are dropped, and what they would still report is fenced.
    pub fn cancel(&self) {
        self.0.wanted.store(CANCEL, Ordering::Release);
        self.0.waker.wake();
    }

    /// The request, if there is one.
    pub(crate) fn wanted(&self) -> Option<Request> {
        match self.0.wanted.load(Ordering::Acquire) {
            DRAIN => Some(Request::Drain),
            CANCEL => Some(Request::Cancel),
            _ => None,
        }
    }

    /// Lets the driver look up, for a reason of its own.
    pub(crate) fn wake(&self) {
        self.0.waker.wake();
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.0.waker.register(waker);
    }
}
