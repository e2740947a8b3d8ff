//! How long to wait before an attempt is repeated. Pure, but for the default clock and chance of [`Pacing`].

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use statewright_nodes_ports::BoxFuture;

/// When and how often a failed attempt is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included. Default 5.
    pub attempts: u32,
    /// The pause after the first attempt; it doubles with each further one. Default 1 s.
    pub base: Duration,
    /// The longest pause of our own choice, before jitter. Default 30 s.
    pub pause_max: Duration,
    /// The longest pause that a server's `Retry-After` can ask for. Default 60 s.
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// The pause after failed attempt number `attempt` (from 1). A server's wish wins; otherwise the pause is
    /// exponential with ±25 % jitter, chosen by `chance` in 0..1.
    #[must_use]
    pub fn pause(&self, attempt: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
        if let Some(after) = retry_after {
            return after.min(self.retry_after_max);
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let pause = self.base.saturating_mul(1 << doublings).min(self.pause_max);
        pause.mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

/// How pauses pass and where chance comes from; tests replace both and never sleep.
#[derive(Clone)]
pub struct Pacing {
    /// Waits.
    pub sleep: Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
    /// A number in 0..1.
    pub chance: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { sleep: Arc::new(|pause| Box::pin(tokio::time::sleep(pause))), chance: Arc::new(chance) }
    }
}

impl fmt::Debug for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacing").finish_non_exhaustive()
    }
}

fn chance() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        // Jitter only spreads load; without a source of randomness the middle will do.
        Err(_) => 0.5,
    }
}

/// The wait that a `Retry-After` header asks for: seconds, or an HTTP date.
pub(super) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_jitter_by_a_quarter() {
        let policy = RetryPolicy::default();
        let seconds = |attempt, chance| policy.pause(attempt, None, chance).as_secs_f64();
        let middle: Vec<f64> =
            [1, 2, 3, 4, 5, 6, 7, 40, u32::MAX].map(|attempt| seconds(attempt, 0.5)).into();
        assert_eq!(middle, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]);
        assert_eq!((seconds(1, 0.0), seconds(1, 1.0), seconds(9, 1.0)), (0.75, 1.25, 37.5));
    }

    #[test]
    fn the_servers_wish_wins_within_its_bound() {
        let policy = RetryPolicy::default();
        let pause = |wish| policy.pause(3, Some(Duration::from_secs(wish)), 0.9);
        assert_eq!([0, 7, 60, 86_400].map(|wish| pause(wish).as_secs()), [0, 7, 60, 60]);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let cases = [
            ("3", Some(3)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999", None),
        ];
        for (value, seconds) in cases {
            assert_eq!(parse_retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
