//! The one file that reads the clock and sets timers by it.
//!
//! Deadlines everywhere else are [`Instant`]s that somebody was given: the ledger's, the request's, the pool's. They are
//! all readings of the same monotonic clock, so that "overdue" in the ledger and "timed out" in the gateway agree.

use std::future::Future;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::time::Timeout;
pub use tokio::time::error::Elapsed;

/// Now, on the monotonic clock: the runtime's, so that a test that pauses its timers pauses this as well.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Seconds since the unix epoch, by the wall clock; 0 before it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// Waits until a deadline; returns at once where it has passed.
pub async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline.into()).await;
}

/// Runs a future until a deadline; gives [`Elapsed`] where the deadline came first.
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    tokio::time::timeout_at(deadline.into(), future)
}
