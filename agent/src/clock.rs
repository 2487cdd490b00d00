//! The one file that reads the clock and sets timers by it.
//!
//! Judgements are made at moments of the wall clock ([`Timestamp`]), because samples, alerts and restarts are dated
//! by it; how long something took, and how long to wait, is measured by the monotonic one. Everything that decides
//! gets `now` as an argument and never comes here.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leak_detect::Timestamp;

/// The present by the wall clock, in whole milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn now() -> Timestamp {
    let now = SystemTime::now();
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(match now.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    })
}

/// The present by the monotonic clock, to measure how long something takes.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn instant() -> Instant {
    Instant::now()
}

/// From `now` to the next whole multiple of `interval` since the Unix epoch, never zero: two agents of one
/// configuration evaluate at the same moments.
pub fn until_next(now: Timestamp, interval: Duration) -> Duration {
    let interval = i64::try_from(interval.as_millis())
        .unwrap_or(i64::MAX)
        .max(1);
    let passed = now.millis().rem_euclid(interval);
    Duration::from_millis((interval - passed) as u64)
}

/// Runs a future for at most `limit` and drops it then.
///
/// # Errors
/// [`Elapsed`] where the limit came first.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| Elapsed(limit))
}

/// Something took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing came within {0:?}")]
pub struct Elapsed(pub Duration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_fall_on_whole_multiples_of_the_interval() {
        for (now, interval, expected) in [
            (1_700_000_001_250, 5_000, 3_750),
            (1_700_000_000_000, 5_000, 5_000),
            (-1, 1_000, 1),
            (7, 0, 1),
        ] {
            let wait = until_next(Timestamp::from_millis(now), Duration::from_millis(interval));
            assert_eq!(wait, Duration::from_millis(expected), "{now} by {interval}");
        }
    }
}
