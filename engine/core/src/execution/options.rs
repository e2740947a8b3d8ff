//! How an execution behaves: what is written down, what is refused, what is told.

/// How much is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Journaling {
    /// Nothing.
    Off,
    /// Each finished activation, before anything that depends on it.
    #[default]
    Each,
    /// Only where the drive ended.
    AtEnd,
}

/// How an execution behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How much is written down.
    pub journaling: Journaling,
    /// What is refused.
    pub limits: Limits,
    /// What is told to whoever watches.
    pub observe: Observe,
}

/// What is told to whoever watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Observe {
    /// Nothing: nobody watches.
    Nothing,
    /// Progress without values.
    #[default]
    Progress,
    /// Progress with the updates as they are stored.
    Updates,
}

/// Bounds. Nothing in the engine is without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Activations of one superstep.
    pub frontier: usize,
    /// Activations that run at the same time; the others of the superstep wait, in its order.
    pub at_once: usize,
    /// Drives that may end without a word while one activation is open; with the last of them it fails.
    pub crashes: u32,
    /// A snapshot is written once the bytes since the last one exceed this and the last one's size.
    pub snapshot_after_bytes: u64,
    /// Steps of one activation.
    pub steps: usize,
    /// Values of more bytes than this are stored once in a thread; `usize::MAX` for none.
    pub value_bytes: usize,
    /// Items of a thread's outbox that are not delivered; a node that posts beyond that fails.
    pub outbox: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frontier: 10_000,
            at_once: 1_000,
            crashes: 3,
            snapshot_after_bytes: 256 * 1024,
            steps: 1000,
            value_bytes: 4096,
            outbox: 10_000,
        }
    }
}
