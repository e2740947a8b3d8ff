//! Policies: how often a node may be tried, how long it may take, and how many of its activations may run at once.
//! Nothing here is part of a graph's fingerprint: changing a policy locks no stored run out.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, FailureKind};

/// How often one activation may be told by a provider when to come back without that costing an attempt.
pub const RETRY_AFTERS_MAX: u32 = 10;

/// No time is later than this: recovery takes a greater number for damage.
const LATEST_MS: u64 = u64::MAX >> 1;

/// How long one activation may wait in all because a provider said when to come back: ten minutes.
pub const RETRY_AFTER_TOTAL: Duration = Duration::from_secs(600);

/// How the engine treats the activations of a node. The default tries once, waits for ever, and sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodePolicy {
    retry: RetryPolicy,
    run_timeout_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    at_once: Option<u32>,
}

impl NodePolicy {
    /// Tries once, waits for ever, sets no limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a failed attempt is followed by another one.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Ends an attempt that has taken this long, as the transient failure `SW-X244`.
    #[must_use]
    pub fn run_timeout(mut self, limit: Duration) -> Self {
        self.run_timeout_ms = Some(millis(limit));
        self
    }

    /// Ends an attempt that has shown no sign of life for this long, as the transient failure `SW-X245`. Signs of life
    /// are a heartbeat and an emitted item.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout_ms = Some(millis(limit));
        self
    }

    /// At most this many activations of the node run at the same time; the others wait, in fan-out order.
    #[must_use]
    pub fn at_once(mut self, activations: u32) -> Self {
        self.at_once = Some(activations);
        self
    }

    /// When a failed attempt is followed by another one.
    pub fn retries(&self) -> &RetryPolicy {
        &self.retry
    }

    /// How long an attempt may take, in milliseconds.
    pub fn run_timeout_ms(&self) -> Option<u64> {
        self.run_timeout_ms
    }

    /// How long an attempt may show no sign of life, in milliseconds.
    pub fn idle_timeout_ms(&self) -> Option<u64> {
        self.idle_timeout_ms
    }

    /// How many activations may run at the same time.
    pub fn at_once_max(&self) -> Option<u32> {
        self.at_once
    }

    /// Whether it says nothing that only an attempt of a single node can keep.
    pub(crate) fn fits_a_graph(&self) -> bool {
        self.retry == RetryPolicy::default()
            && self.run_timeout_ms.is_none()
            && self.idle_timeout_ms.is_none()
    }

    /// What is wrong with it, if anything.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let RetryPolicy { attempts, factor, jitter, .. } = self.retry;
        if attempts == 0 {
            Some("allows 0 attempts; the first one counts, so allow at least 1")
        } else if !factor.is_finite() || factor < 1.0 {
            Some("has a back-off factor that is no number from 1 up")
        } else if !(0.0..=1.0).contains(&jitter) {
            Some("has a jitter outside of 0 to 1; 0.2 means a fifth more or less")
        } else if self.run_timeout_ms == Some(0) || self.idle_timeout_ms == Some(0) {
            Some("has a time limit below a millisecond, so that no attempt could succeed")
        } else if self.at_once == Some(0) {
            Some("lets 0 activations run at once, so that none could begin")
        } else {
            None
        }
    }
}

impl From<RetryPolicy> for NodePolicy {
    fn from(retry: RetryPolicy) -> Self {
        Self::new().retry(retry)
    }
}

/// When a failed attempt is followed by another one, and after how long.
///
/// The default tries once. With more attempts a *transient* failure is tried again, an *unclassified* one only if the
/// policy says so, and a *permanent* one never. The wait before the next attempt is 500 ms, doubles with each further
/// one up to 60 s, and is a fifth longer or shorter by chance.
///
/// A provider that says when to come back is waited for exactly so long, or a little longer by chance, and that costs
/// no attempt; beyond [`RETRY_AFTERS_MAX`] times or [`RETRY_AFTER_TOTAL`] it costs one, and the back-off applies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    attempts: u32,
    initial_ms: u64,
    factor: f64,
    cap_ms: u64,
    jitter: f64,
    unclassified: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 1, initial_ms: 500, factor: 2.0, cap_ms: 60_000, jitter: 0.2, unclassified: false }
    }
}

impl RetryPolicy {
    /// Tries once.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many attempts there are in all, with the first one.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The wait before the second attempt.
    #[must_use]
    pub fn initial(mut self, wait: Duration) -> Self {
        self.initial_ms = millis(wait);
        self
    }

    /// By what the wait grows with each further attempt; at least 1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// The longest wait, before the jitter.
    #[must_use]
    pub fn cap(mut self, wait: Duration) -> Self {
        self.cap_ms = millis(wait);
        self
    }

    /// The share by which a wait is longer or shorter by chance, from 0 to 1.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Tries again also after failures of which nobody said whether that can help.
    #[must_use]
    pub fn unclassified(mut self) -> Self {
        self.unclassified = true;
        self
    }

    /// How many attempts there are in all.
    pub fn attempts_max(&self) -> u32 {
        self.attempts
    }

    fn may_help(&self, kind: FailureKind) -> bool {
        match kind {
            FailureKind::Transient => true,
            FailureKind::Unclassified => self.unclassified,
            FailureKind::Permanent => false,
        }
    }

    /// The wait after so many attempts, in milliseconds. `draw` is a random number, the jitter's share of its range.
    fn back_off_ms(&self, used: u32, draw: u32) -> u64 {
        let exponent = i32::try_from(used.saturating_sub(1)).unwrap_or(i32::MAX);
        // A product beyond every number is infinite, and the cap is less than that.
        let wait = (self.initial_ms as f64 * self.factor.powi(exponent)).min(self.cap_ms as f64);
        (wait * (1.0 + self.jitter * (2.0 * share(draw) - 1.0))).round() as u64
    }

    /// What follows a failure, from what the activation has used so far. Used is changed only by applying it.
    pub(crate) fn decide(&self, used: &Tries, failure: &Failure, now_ms: u64, draw: u32) -> Option<Retry> {
        if self.attempts <= 1 || !self.may_help(failure.kind) {
            return None;
        }
        let asked_ms = failure.retry_after_ms.unwrap_or(0);
        let total_ms = millis(RETRY_AFTER_TOTAL);
        if failure.retry_after_ms.is_some()
            && used.honoured < RETRY_AFTERS_MAX
            && used.waited_ms.saturating_add(asked_ms) <= total_ms
        {
            let more = (asked_ms as f64 * self.jitter * share(draw) / 2.0).round() as u64;
            let at_ms = now_ms.saturating_add(asked_ms).saturating_add(more).min(LATEST_MS);
            return Some(Retry { at_ms, asked_ms: Some(asked_ms) });
        }
        let attempts = used.attempts + 1;
        if attempts >= self.attempts {
            return None;
        }
        let wait_ms = self.back_off_ms(attempts, draw).max(asked_ms.min(self.cap_ms));
        Some(Retry { at_ms: now_ms.saturating_add(wait_ms).min(LATEST_MS), asked_ms: None })
    }
}

/// The decision to try an activation again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Not before this time, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub at_ms: u64,
    /// The wait that the provider asked for, if that is why no attempt was used up.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub asked_ms: Option<u64>,
}

/// What an activation has used of its policy since it was scheduled, or since somebody resumed it after it had failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// Attempts that failed and count.
    #[serde(rename = "a", default)]
    pub attempts: u32,
    /// Waits that a provider asked for and that cost no attempt.
    #[serde(rename = "h", default)]
    pub honoured: u32,
    /// How long those were, in milliseconds.
    #[serde(rename = "w", default)]
    pub waited_ms: u64,
    /// Drives that ended without a word while it was open.
    #[serde(rename = "c", default)]
    pub crashes: u32,
}

impl Tries {
    /// Takes a failed attempt that is followed by another one into account.
    pub(crate) fn apply(&mut self, retry: &Retry) {
        match retry.asked_ms {
            Some(asked_ms) => {
                self.honoured = self.honoured.saturating_add(1);
                self.waited_ms = self.waited_ms.saturating_add(asked_ms);
            }
            None => self.attempts = self.attempts.saturating_add(1),
        }
    }
}

/// A random number as a share of its range.
fn share(draw: u32) -> f64 {
    f64::from(draw) / f64::from(u32::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transient(retry_after_ms: Option<u64>) -> Failure {
        Failure { retry_after_ms, ..Failure::new("T-1", FailureKind::Transient, "t") }
    }

    fn exact(attempts: u32) -> RetryPolicy {
        RetryPolicy::new().attempts(attempts).jitter(0.0)
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let policy = exact(20).initial(Duration::from_millis(100)).cap(Duration::from_millis(1_000));
        let mut used = Tries::default();
        let mut waits = Vec::new();
        while let Some(retry) = policy.decide(&used, &transient(None), 5_000, 0) {
            waits.push(retry.at_ms - 5_000);
            used.apply(&retry);
        }
        assert_eq!(waits[..6], [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(waits.len(), 19, "twenty attempts have nineteen waits between them");
    }

    #[test]
    fn jitter_is_a_share_of_the_wait_in_both_directions() {
        let policy = exact(2).jitter(0.5).initial(Duration::from_secs(1));
        let at = |draw| policy.decide(&Tries::default(), &transient(None), 0, draw).map(|retry| retry.at_ms);
        assert_eq!(at(0), Some(500));
        assert_eq!(at(u32::MAX / 2), Some(1_000));
        assert_eq!(at(u32::MAX), Some(1_500));
    }

    #[test]
    fn only_what_may_help_is_tried_again() {
        let of = |policy: RetryPolicy, kind| {
            policy.decide(&Tries::default(), &Failure::new("T-1", kind, "t"), 0, 0).is_some()
        };
        for kind in [FailureKind::Transient, FailureKind::Unclassified, FailureKind::Permanent] {
            assert!(!of(RetryPolicy::new().unclassified(), kind), "one attempt is one attempt");
        }
        assert!(of(exact(2), FailureKind::Transient));
        assert!(!of(exact(2), FailureKind::Unclassified));
        assert!(of(exact(2).unclassified(), FailureKind::Unclassified));
        assert!(!of(exact(2).unclassified(), FailureKind::Permanent));
    }

    #[test]
    fn a_provider_is_waited_for_without_an_attempt_until_a_bound_is_reached() {
        let policy = exact(3);
        let mut used = Tries::default();
        for _ in 0..RETRY_AFTERS_MAX {
            let retry = policy.decide(&used, &transient(Some(7_000)), 0, 0).unwrap();
            assert_eq!(retry, Retry { at_ms: 7_000, asked_ms: Some(7_000) });
            used.apply(&retry);
        }
        assert_eq!(used.attempts, 0);
        let retry = policy.decide(&used, &transient(Some(7_000)), 0, 0).unwrap();
        assert_eq!(
            retry,
            Retry { at_ms: 7_000, asked_ms: None },
            "now it costs one, and is still waited for"
        );
        let long = policy.decide(&Tries::default(), &transient(Some(86_400_000)), 0, 0).unwrap();
        assert_eq!(long, Retry { at_ms: 60_000, asked_ms: None }, "nobody waits a day");
    }

    #[test]
    fn no_number_overflows() {
        let policy = exact(u32::MAX).factor(1e300).cap(Duration::MAX).jitter(1.0);
        let used = Tries { attempts: u32::MAX - 3, ..Tries::default() };
        let retry = policy.decide(&used, &transient(Some(u64::MAX)), u64::MAX, u32::MAX).unwrap();
        assert_eq!(retry.at_ms, LATEST_MS);
    }
}
