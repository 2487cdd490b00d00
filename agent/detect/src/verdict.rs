//! What a detector says about a series.
//!
//! A verdict is never a `bool`: "not enough evidence yet" is a value of its own and names what is missing, and a
//! conviction carries everything that a person needs to check it: since when, how fast, how much, seen at which scale,
//! and which innocent explanations were ruled out and how.

use crate::time::Timestamp;

/// What a detector says about a series now.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing grows that matters.
    Healthy,
    /// Neither health nor a leak is shown yet.
    Undecided(Undecided),
    /// Something grows without bound, or did and still holds what it took.
    Leaking(Evidence),
}

/// Why there is no verdict yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Undecided {
    /// Too few samples so far to say anything.
    Learning {
        /// Samples taken so far in this life of the process.
        samples: u64,
    },
    /// An earlier life of the process was convicted, and this one is too young to be acquitted.
    Restarted {
        /// When this life began.
        at: Timestamp,
    },
    /// It grows, but an innocent explanation stands.
    Growing(Growth),
}

/// Growth that is not (yet) a leak.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// When it began, as far as it can be told.
    pub onset: Timestamp,
    /// Growth, in the series' unit per second.
    pub growth_per_second: Interval,
    /// The line to draw.
    pub fit: Fit,
    /// The explanation that stands: one of the words of [`RuledOut::what`].
    pub standing: &'static str,
    /// Why it stands, as a sentence.
    pub why: String,
}

/// A number with its uncertainty: the bounds enclose the truth in about 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Best estimate.
    pub estimate: f64,
    /// Upper bound.
    pub high: f64,
}

/// A straight line through a growing series, to be drawn into the future.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Where the line begins.
    pub start: Timestamp,
    /// The line's value at `start`, in the series' unit.
    pub start_value: f64,
    /// The line's slope, in the series' unit per second.
    pub slope: f64,
}

impl Fit {
    /// The line's value at an instant.
    pub fn value_at(&self, at: Timestamp) -> f64 {
        self.start_value + self.slope * (at - self.start)
    }
}

/// Which of the two tiers speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The series counts what a correct program never has: one is enough.
    Exact,
    /// The series is a level, judged by statistics.
    Level,
}

/// An innocent explanation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledOut {
    /// The explanation: `noise`, `load`, `slow upstream`, `step`, `burst`, `diurnal peak` or (of an amount) `collector`,
    /// `warm-up`, `pool filling` or (of an amount) `filling cache`, `restart`; by the lives of a workload also `one life
    /// alone` and `batch job`, beside its peers `peers`.
    pub what: &'static str,
    /// How it was ruled out, as a sentence with its figures.
    pub how: String,
}

/// The case against a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Which tier convicted.
    pub tier: Tier,
    /// When the leak began.
    pub onset: Timestamp,
    /// By how many seconds the onset may be wrong, either way.
    pub onset_uncertainty_seconds: f64,
    /// When the conviction was made; it never changes while it stands.
    pub convicted_at: Timestamp,
    /// Growth now, in the series' unit per second; around zero while it is stalled.
    pub growth_per_second: Interval,
    /// The line to draw.
    pub fit: Fit,
    /// Samples that the conviction rests on.
    pub samples: u64,
    /// Length of the window that convicted, in seconds.
    pub scale_seconds: f64,
    /// The series' lower envelope before the onset, in its unit.
    pub baseline: f64,
    /// The present lower envelope above the baseline, in the series' unit, with what load explains taken out.
    pub excess: f64,
    /// The largest excess so far.
    pub peak_excess: f64,
    /// Whether it still climbs; `false` is a leak that has stalled: held, not growing.
    pub still_growing: bool,
    /// Which innocent explanations were ruled out, and how.
    pub ruled_out: Vec<RuledOut>,
}

impl Evidence {
    /// Seconds until the series reaches `limit` from its `current` value at the present growth: the low bound by the
    /// fastest growth, the high bound by the slowest (infinite where that is no growth).
    ///
    /// `None` where it does not grow, or where either number is not finite; all zero where the limit is reached.
    pub fn seconds_to(&self, current: f64, limit: f64) -> Option<Interval> {
        let growth = self.growth_per_second;
        if !current.is_finite()
            || !limit.is_finite()
            || !self.still_growing
            || growth.estimate <= 0.0
        {
            return None;
        }
        let room = (limit - current).max(0.0);
        let seconds = |rate: f64| {
            if room == 0.0 {
                0.0
            } else if rate > 0.0 {
                room / rate
            } else {
                f64::INFINITY
            }
        };
        Some(Interval {
            low: seconds(growth.high),
            estimate: seconds(growth.estimate),
            high: seconds(growth.low),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(low: f64, estimate: f64, high: f64) -> Evidence {
        let at = Timestamp::from_seconds(0.0);
        Evidence {
            tier: Tier::Exact,
            onset: at,
            onset_uncertainty_seconds: 0.0,
            convicted_at: at,
            growth_per_second: Interval {
                low,
                estimate,
                high,
            },
            fit: Fit {
                start: at,
                start_value: 1.0,
                slope: estimate,
            },
            samples: 3,
            scale_seconds: 10.0,
            baseline: 0.0,
            excess: 1.0,
            peak_excess: 1.0,
            still_growing: estimate > 0.0,
            ruled_out: Vec::new(),
        }
    }

    #[test]
    fn the_fastest_growth_bounds_exhaustion_from_below() {
        let left = evidence(0.5, 1.0, 2.0).seconds_to(400.0, 1000.0);
        assert_eq!(
            left,
            Some(Interval {
                low: 300.0,
                estimate: 600.0,
                high: 1200.0
            })
        );
    }

    #[test]
    fn a_growth_that_may_be_none_may_never_reach_the_limit() {
        assert_eq!(
            evidence(-0.5, 1.0, 2.0).seconds_to(0.0, 10.0).unwrap().high,
            f64::INFINITY
        );
    }

    #[test]
    fn at_the_limit_nothing_is_left() {
        let left = evidence(-1.0, 1.0, 2.0).seconds_to(20.0, 10.0);
        assert_eq!(
            left,
            Some(Interval {
                low: 0.0,
                estimate: 0.0,
                high: 0.0
            })
        );
    }

    #[test]
    fn without_growth_or_a_number_there_is_no_time() {
        assert_eq!(evidence(-1.0, 0.0, 1.0).seconds_to(0.0, 10.0), None);
        assert_eq!(evidence(0.5, 1.0, 2.0).seconds_to(0.0, f64::INFINITY), None);
        assert_eq!(evidence(0.5, 1.0, 2.0).seconds_to(f64::NAN, 10.0), None);
    }

    #[test]
    fn a_fit_is_drawn_into_the_future() {
        let fit = Fit {
            start: Timestamp::from_seconds(100.0),
            start_value: 5.0,
            slope: 0.5,
        };
        assert_eq!(fit.value_at(Timestamp::from_seconds(110.0)), 10.0);
    }
}
