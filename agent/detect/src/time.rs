//! Instants of samples.
//!
//! Whole milliseconds since the Unix epoch, as exposition formats and remote stores carry them. An integer, so that times
//! order totally, compare exactly and survive a snapshot unchanged; differences are seconds as floats, for arithmetic.

use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch, rounded to the millisecond. What is out of range saturates; NaN is the epoch.
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1000.0).round() as i64)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// This instant moved by `seconds`, which may be negative.
    pub fn shifted(self, seconds: f64) -> Self {
        Self(self.0.saturating_add((seconds * 1000.0).round() as i64))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl Sub for Timestamp {
    /// Seconds from `earlier` to `self`; negative if it is not earlier.
    type Output = f64;

    fn sub(self, earlier: Self) -> f64 {
        Self(self.0.saturating_sub(earlier.0)).seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_kept_to_the_millisecond() {
        assert_eq!(
            Timestamp::from_seconds(1_700_000_000.123_4).millis(),
            1_700_000_000_123
        );
        assert_eq!(Timestamp::from_seconds(-1.5).seconds(), -1.5);
    }

    #[test]
    fn what_is_out_of_range_saturates() {
        assert_eq!(Timestamp::from_seconds(f64::INFINITY).millis(), i64::MAX);
        assert_eq!(Timestamp::from_seconds(f64::NAN).millis(), 0);
        assert_eq!(
            (Timestamp::from_millis(i64::MAX) + Duration::MAX).millis(),
            i64::MAX
        );
        assert_eq!(
            (Timestamp::from_millis(i64::MIN) - Duration::MAX).millis(),
            i64::MIN
        );
        assert!((Timestamp::from_millis(i64::MAX) - Timestamp::from_millis(i64::MIN)).is_finite());
    }

    #[test]
    fn a_difference_is_in_seconds() {
        let at = Timestamp::from_seconds(100.0);
        assert_eq!((at + Duration::from_millis(1500)) - at, 1.5);
        assert_eq!(at - (at + Duration::from_millis(1500)), -1.5);
        assert_eq!(at.shifted(-0.5).seconds(), 99.5);
    }
}
