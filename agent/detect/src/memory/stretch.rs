//! What buckets say of a stretch of time: those that lie in it, and of those at its ends as much as lies in it.

use crate::memory::Bucket;
use crate::time::Timestamp;

/// A stretch of time, as far as buckets cover it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    /// Seconds of it that buckets cover.
    pub(crate) covered: f64,
    /// The lowest sample of the buckets that reach into it; infinite where there are none.
    pub(crate) low: f64,
    /// Samples of those buckets.
    pub(crate) samples: u64,
    /// The level, and the load where all of it is known, summed over the seconds covered.
    level: f64,
    load: Option<f64>,
}

/// Buckets that are read stretch by stretch, from old to new, each looked at as often as a stretch reaches into it.
#[derive(Debug, Clone)]
pub(crate) struct Stretches<'b> {
    /// Those before ended before the last stretch began.
    buckets: &'b [Bucket],
    from: Timestamp,
}

impl<'b> Stretches<'b> {
    /// Seconds will be counted after `from`. The buckets do not overlap and stand from old to new.
    pub(crate) fn of(buckets: &'b [Bucket], from: Timestamp) -> Self {
        Self { buckets, from }
    }

    /// The stretch from `begin`, no earlier than that of the one before, to `end`.
    pub(crate) fn read(&mut self, begin: f64, end: f64) -> Stretch {
        let mut stretch = Stretch {
            covered: 0.0,
            low: f64::INFINITY,
            samples: 0,
            level: 0.0,
            load: Some(0.0),
        };
        while let Some((first, rest)) = self.buckets.split_first()
            && first.start - self.from + first.seconds <= begin
        {
            self.buckets = rest;
        }
        for bucket in self.buckets {
            let start = bucket.start - self.from;
            let overlap = (start + bucket.seconds).min(end) - start.max(begin);
            if overlap <= 0.0 {
                break;
            }
            stretch.covered += overlap;
            stretch.level += overlap * bucket.mean;
            stretch.low = stretch.low.min(bucket.minimum);
            stretch.load = stretch
                .load
                .zip(bucket.load_per_second)
                .map(|(sum, rate)| sum + overlap * rate);
            stretch.samples += u64::from(bucket.samples);
        }
        stretch
    }
}

impl Stretch {
    /// The mean level; no number where nothing is covered.
    pub(crate) fn mean(&self) -> f64 {
        self.level / self.covered
    }

    /// The mean rate of the load per second; `None` where it is not known of every bucket, no number where nothing is
    /// covered.
    pub(crate) fn load_per_second(&self) -> Option<f64> {
        self.load.map(|load| load / self.covered)
    }
}
