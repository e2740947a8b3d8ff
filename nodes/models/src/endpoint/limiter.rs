//! Holds the calls of a key to its limits of requests and tokens a minute, and learns them from what the provider says.
//!
//! Two token buckets, which fill evenly. A call takes what it needs at once and waits for as long as the bucket is below
//! nothing, so calls go in the order in which they came. The wait is told, not done: whoever calls waits.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::header::HeaderMap;
use statewright_nodes_ports::ModelError;
use tokio::time::Instant;

/// Limits that are known beforehand; stricter ones that the provider tells replace them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// The most requests a minute; without limit when `None`.
    pub requests_per_minute: Option<u64>,
    /// The most tokens a minute, of prompts and answers; without limit when `None`.
    pub tokens_per_minute: Option<u64>,
    /// The longest that a call waits for its turn. Default 60 s.
    pub wait_max: Duration,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { requests_per_minute: None, tokens_per_minute: None, wait_max: Duration::from_secs(60) }
    }
}

/// Holds all calls that share it, by clones, to the limits of one key.
///
/// Without limits of its own it holds nobody back until the provider's headers tell some
/// (`x-ratelimit-*`, `anthropic-ratelimit-*`).
#[derive(Debug, Clone)]
pub struct RateLimiter {
    wait_max: Duration,
    buckets: Arc<Mutex<Buckets>>,
}

#[derive(Debug)]
struct Buckets {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new(RateLimits::default())
    }
}

impl RateLimiter {
    /// A limiter with full buckets.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        let full = |limit: Option<u64>| limit.map(|limit| Bucket::new(limit, limit));
        let buckets =
            Buckets { requests: full(limits.requests_per_minute), tokens: full(limits.tokens_per_minute) };
        Self { wait_max: limits.wait_max, buckets: Arc::new(Mutex::new(buckets)) }
    }

    /// Counts a call of so many tokens, and says how long it has to wait before it is sent.
    ///
    /// # Errors
    /// [`ModelError::RateWait`] when that is longer than a call may wait; then it is not counted.
    pub fn reserve(&self, tokens: u64) -> Result<Duration, ModelError> {
        let now = Instant::now();
        let mut buckets = self.lock();
        let requests = buckets.requests.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(now, 1));
        let wait =
            requests.max(buckets.tokens.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(now, tokens)));
        if wait <= self.wait_max {
            return Ok(wait);
        }
        if let Some(bucket) = &mut buckets.requests {
            bucket.give(1);
        }
        if let Some(bucket) = &mut buckets.tokens {
            bucket.give(tokens);
        }
        Err(ModelError::RateWait { wait, wait_max: self.wait_max })
    }

    /// Corrects a reservation by what the call came to.
    pub(super) fn settle(&self, reserved: u64, used: u64) {
        if let Some(bucket) = &mut self.lock().tokens {
            bucket.give(reserved);
            // What was used is not waited for any more; it delays those that come.
            bucket.take(Instant::now(), used);
        }
    }

    /// Takes the limits and what is left of them from the headers of an answer.
    pub(super) fn learn(&self, headers: &HeaderMap) {
        let told = |kind: &str| {
            let number = |what: &str| {
                let names =
                    [format!("x-ratelimit-{what}-{kind}"), format!("anthropic-ratelimit-{kind}-{what}")];
                let value = names.iter().find_map(|name| headers.get(name))?;
                value.to_str().ok()?.trim().parse::<u64>().ok()
            };
            Some((number("limit").filter(|limit| *limit > 0)?, number("remaining")?))
        };
        let now = Instant::now();
        let mut buckets = self.lock();
        if let Some(told) = told("requests") {
            Bucket::learn(&mut buckets.requests, now, told);
        }
        if let Some(told) = told("tokens").or_else(|| told("input-tokens")) {
            Bucket::learn(&mut buckets.tokens, now, told);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        // Each change is whole in itself, so a panic elsewhere leaves sound numbers.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills evenly up to its limit, in a minute from nothing. Below nothing, those who took more than was there wait.
#[derive(Debug)]
struct Bucket {
    limit: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(limit: u64, level: u64) -> Self {
        // A limit of nothing would be an endless wait.
        Self { limit: limit.max(1) as f64, level: level as f64, at: Instant::now() }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.limit / 60.0).min(self.limit);
        self.at = now;
    }

    /// How long until what was taken is there. A call that is larger than the bucket waits for a full one.
    fn take(&mut self, now: Instant, count: u64) -> Duration {
        self.fill(now);
        self.level -= (count as f64).min(self.limit);
        Duration::from_secs_f64((-self.level).max(0.0) * 60.0 / self.limit)
    }

    fn give(&mut self, count: u64) {
        self.level = (self.level + (count as f64).min(self.limit)).min(self.limit);
    }

    fn learn(bucket: &mut Option<Self>, now: Instant, (limit, remaining): (u64, u64)) {
        match bucket {
            None => *bucket = Some(Self::new(limit, remaining)),
            Some(bucket) => {
                bucket.fill(now);
                bucket.limit = bucket.limit.min(limit as f64);
                bucket.level = bucket.level.min(remaining as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    fn waits(limiter: &RateLimiter, tokens: u64) -> u64 {
        limiter.reserve(tokens).unwrap().as_millis() as u64
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beyond_the_limit_wait_in_their_order_and_never_too_long() {
        let limits = RateLimits { requests_per_minute: Some(2), ..RateLimits::default() };
        let limiter = RateLimiter::new(limits);
        assert_eq!([0; 4].map(|_| waits(&limiter, 9)), [0, 0, 30_000, 60_000]);
        let error = limiter.reserve(9).unwrap_err();
        assert_eq!((error.code(), error.retry_after()), ("SW-P513", None));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(waits(&limiter, 9), 60_000, "the refused call was not counted");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_corrected_by_what_was_used() {
        let limits = RateLimits { tokens_per_minute: Some(6_000), ..RateLimits::default() };
        let limiter = RateLimiter::new(limits);
        assert_eq!((waits(&limiter, 6_000), waits(&limiter, 100)), (0, 1_000));
        limiter.settle(6_000, 1_000);
        limiter.settle(100, 0);
        assert_eq!((waits(&limiter, 5_000), waits(&limiter, 600)), (0, 6_000));
        assert_eq!(waits(&RateLimiter::new(limits), u64::MAX), 0, "larger than the bucket, which is full");
    }

    #[tokio::test(start_paused = true)]
    async fn limits_are_learnt_from_both_providers() {
        for told in [
            [("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "1")],
            [("anthropic-ratelimit-requests-limit", "60"), ("anthropic-ratelimit-requests-remaining", "1")],
        ] {
            let limiter = RateLimiter::default();
            assert_eq!([0; 3].map(|_| waits(&limiter, u64::MAX)), [0, 0, 0], "nothing is known yet");
            limiter.learn(&headers(&told));
            assert_eq!([0; 3].map(|_| waits(&limiter, 1)), [0, 1_000, 2_000], "{told:?}");
        }
        let limiter = RateLimiter::default();
        limiter.learn(&headers(&[
            ("anthropic-ratelimit-input-tokens-limit", "600"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("x-ratelimit-limit-requests", "0"),
            ("x-ratelimit-remaining-requests", "many"),
        ]));
        assert_eq!(waits(&limiter, 10), 1_000);
    }
}
