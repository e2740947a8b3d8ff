//! The way of a step from a running node to its driver, and of the word that it is kept back to the node.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use statewright_engine_core::{ActivationId, Event, Failure, Reserved, StepKept};
use tokio::sync::oneshot;

use crate::context::RunScope;
use crate::control::RunControl;
use crate::lock::lock;

type Reply = oneshot::Sender<Option<Failure>>;

/// Where running nodes leave steps for their driver. A step waits for its reply, so there are never more letters than
/// steps at work, of which an activation has at most as many as its limit says.
pub(crate) struct Mailbox {
    full: AtomicBool,
    /// None once the drive is over.
    letters: Mutex<Option<Vec<(Event, Reply)>>>,
    driver: RunControl,
}

impl Mailbox {
    pub(crate) fn new(driver: RunControl) -> Self {
        Self { full: AtomicBool::new(false), letters: Mutex::new(Some(Vec::new())), driver }
    }

    pub(crate) fn send(&self, event: Event) -> oneshot::Receiver<Option<Failure>> {
        let (reply, received) = oneshot::channel();
        if let Some(letters) = lock(&self.letters).as_mut() {
            letters.push((event, reply));
        }
        self.full.store(true, Ordering::Release);
        self.driver.wake();
        received
    }

    /// Whether something was left since the last look.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }
}

/// Where the activation stands, the activation, its attempt, and the name of the step.
type StepKey = (String, ActivationId, u32, String);

/// The same with the number of a reservation.
type ClaimKey = (String, ActivationId, u32, u32);

/// An event without the activations that it happened within, and their path.
fn innermost(event: &Event) -> (String, &Event) {
    let (mut event, mut path) = (event, String::new());
    while let Event::Nested { within, event: inner } = event {
        path.push_str(&format!("{within}/"));
        event = inner;
    }
    (path, event)
}

/// The driver's side: which nodes wait for which step.
pub(crate) struct StepWaiters {
    scope: Arc<RunScope>,
    letters: VecDeque<(Event, Reply)>,
    waiting: HashMap<StepKey, Reply>,
    claims: HashMap<ClaimKey, Reply>,
}

impl StepWaiters {
    pub(crate) fn new(scope: Arc<RunScope>) -> Self {
        Self { scope, letters: VecDeque::new(), waiting: HashMap::new(), claims: HashMap::new() }
    }

    /// The next step that a node left.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.fetch();
        let (event, reply) = self.letters.pop_front()?;
        let (path, inner) = innermost(&event);
        match inner {
            Event::Stepped { activation, attempt, step } => {
                self.waiting.insert((path, *activation, *attempt, step.name.clone()), reply);
            }
            Event::Reserve(wish) => {
                self.claims.insert((path, wish.activation, wish.attempt, wish.number), reply);
            }
            _ => {}
        }
        Some(event)
    }

    /// Whether nobody has said anything that was not handed on yet.
    #[inline]
    pub(crate) fn is_silent(&self) -> bool {
        self.letters.is_empty() && !self.scope.mailbox.is_full()
    }

    /// What an execution that has ended said that it spent: it counts before that end. What others left keeps its turn, so
    /// that nobody settles before it has reserved.
    pub(crate) fn settlements(&mut self, path: &str, of: ActivationId) -> Vec<Event> {
        self.fetch();
        let letters = std::mem::take(&mut self.letters).into_iter();
        let is_its = |event: &Event| {
            let (within, inner) = innermost(event);
            within == path && matches!(inner, Event::Spent(spent) if spent.activation == of)
        };
        let (settlements, others): (VecDeque<_>, VecDeque<_>) = letters.partition(|(event, _)| is_its(event));
        self.letters = others;
        settlements.into_iter().map(|(event, _)| event).collect()
    }

    fn fetch(&mut self) {
        let mailbox = &self.scope.mailbox;
        if mailbox.is_full() && mailbox.full.swap(false, Ordering::AcqRel) {
            self.letters.extend(lock(&mailbox.letters).iter_mut().flat_map(|letters| letters.drain(..)));
        }
    }

    /// Lets the node spend, or not.
    pub(crate) fn reserved(&mut self, path: &str, reserved: Reserved) {
        let Reserved { activation, attempt, number, refused } = reserved;
        if let Some(reply) = self.claims.remove(&(path.to_owned(), activation, attempt, number)) {
            // A node that was dropped meanwhile does not listen.
            let _ = reply.send(refused);
        }
    }

    /// Lets the node go on.
    pub(crate) fn kept(&mut self, path: &str, kept: StepKept) {
        if let Some(reply) = self.waiting.remove(&(path.to_owned(), kept.activation, kept.attempt, kept.name))
        {
            // A node that was dropped meanwhile does not listen.
            let _ = reply.send(kept.refused);
        }
    }
}

impl Drop for StepWaiters {
    /// A task that outlives its drive is told so instead of waiting for ever.
    fn drop(&mut self) {
        *lock(&self.scope.mailbox.letters) = None;
    }
}
