//! From false alerts a year for a whole agent to a significance level for one test.
//!
//! The operator sets one number, the false alerts a year that the *agent* may send. It is divided over the series it
//! watches, and for one series over its time scales and over the tests that each scale makes in a year. The division is
//! a union bound (Boole's inequality): whatever the dependence between tests, and whenever one stops looking, the
//! expected number of false alerts in a year is at most the sum of the levels of the tests made in it. A coarse scale
//! tests rarely and therefore at a larger level. What the bound cannot promise is that a test's nominal level is its
//! true one on real series: that is calibrated by replay, see the package's README.

use crate::memory::SCALES;

/// Seconds in a year of 365.25 days.
pub const YEAR_SECONDS: f64 = 31_557_600.0;

/// Into how many parts the false alerts of one series are divided: one for each scale, one for the lives of its workload
/// and one for the comparison with its peers.
pub(crate) const SHARES: usize = SCALES + 2;

/// The least divisor: so that a small installation has the same test as one of 64 series.
const LEAST_DIVISOR: u64 = 64;

/// The false alerts that an agent may send, and over how many series they are divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// False alerts a year for the whole agent; more than zero.
    pub false_alerts_per_year: f64,
    /// Watched series and shards, rounded: see [`divisor`].
    pub divisor: u64,
}

/// Number of watched series rounded up to a power of two, at least 64, times the shards (at least one).
///
/// Rounded so that it seldom changes while targets come and go.
pub fn divisor(watched_series: u64, shards: u64) -> u64 {
    let rounded = watched_series
        .max(LEAST_DIVISOR)
        .checked_next_power_of_two()
        .unwrap_or(1 << 63);
    rounded.saturating_mul(shards.max(1))
}

impl Budget {
    /// The budget of an agent that watches that many series, as one of that many shards.
    pub fn new(false_alerts_per_year: f64, watched_series: u64, shards: u64) -> Self {
        Self {
            false_alerts_per_year,
            divisor: divisor(watched_series, shards),
        }
    }

    /// False alerts a year that one series may cause.
    pub fn per_series_year(&self) -> f64 {
        self.false_alerts_per_year / self.divisor as f64
    }
}

/// The significance level of one test of a series that may cause `per_series_year` false alerts a year, on a scale that
/// tests every `test_interval_seconds`, where `scales` share the budget alike. Never above 1 in 1,000.
pub fn level_per_test(per_series_year: f64, scales: usize, test_interval_seconds: f64) -> f64 {
    let tests_per_year = YEAR_SECONDS / test_interval_seconds.max(1e-3);
    (per_series_year / scales.max(1) as f64 / tests_per_year).clamp(1e-300, 1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divisor_is_a_power_of_two_of_at_least_64_times_the_shards() {
        for (series, shards, expected) in [
            (0, 1, 64),
            (64, 1, 64),
            (65, 1, 128),
            (14_400, 1, 16_384),
            (14_400, 5, 81_920),
            (3, 0, 64),
            (u64::MAX, 1, 1 << 63),
        ] {
            assert_eq!(
                divisor(series, shards),
                expected,
                "{series} series, {shards} shards"
            );
        }
    }

    #[test]
    fn a_fleet_shares_its_budget() {
        assert_eq!(
            Budget::new(12.0, 14_400, 1).per_series_year(),
            12.0 / 16_384.0
        );
    }

    #[test]
    fn one_in_ten_series_years_at_one_test_an_hour_is_1_1e_5_a_test() {
        let level = level_per_test(0.1, 1, 3600.0);
        assert!((level - 1.14e-5).abs() < 1e-7, "{level}");
    }

    #[test]
    fn the_levels_of_a_year_sum_to_the_budget_of_the_series() {
        let scales = [60.0, 240.0, 960.0];
        let sum: f64 = scales
            .iter()
            .map(|every| level_per_test(1e-3, scales.len(), *every) * YEAR_SECONDS / every)
            .sum();
        assert!((sum - 1e-3).abs() < 1e-12, "{sum}");
    }
}
