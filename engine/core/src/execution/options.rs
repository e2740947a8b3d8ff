//! How an execution behaves: what is written down, what is refused, what is told.

use super::types::Limits;

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
