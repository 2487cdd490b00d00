//! The one place where this library reads the time.
//!
//! Ages and deadlines are differences of `std::time::Instant`. A test owns a [`ManualClock`] and moves it by hand, so
//! that no test waits for a grace period to pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where a ledger gets its time from. Cloning is cheap; clones of a manual clock move together.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    advanced_nanoseconds: AtomicU64,
}

/// Moves the [`Clock`] it was made with. Time stands still between two calls of [`ManualClock::advance`].
#[derive(Debug)]
pub struct ManualClock(Arc<Manual>);

impl Clock {
    /// The operating system's monotonic clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that only the returned [`ManualClock`] moves. It starts at the present instant.
    pub fn manual() -> (Self, ManualClock) {
        let manual = Arc::new(Manual {
            start: read(),
            advanced_nanoseconds: AtomicU64::new(0),
        });
        (
            Self(Source::Manual(Arc::clone(&manual))),
            ManualClock(manual),
        )
    }

    /// The present instant.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => read(),
            Source::Manual(manual) => manual.now(),
        }
    }
}

impl Manual {
    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.advanced_nanoseconds.load(Ordering::SeqCst))
    }
}

impl ManualClock {
    /// Moves the clock forward. Sub-nanosecond precision is lost; past 584 years it wraps around.
    pub fn advance(&self, by: Duration) {
        let nanoseconds = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0
            .advanced_nanoseconds
            .fetch_add(nanoseconds, Ordering::SeqCst);
    }

    /// The instant that the clock shows.
    pub fn now(&self) -> Instant {
        self.0.now()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
fn read() -> Instant {
    Instant::now()
}
