//! An instance that was convicted beside its peers, followed while it holds what it took.

use crate::peers::Comparison;
use crate::peers::climb::{Climb, ROWS};
use crate::time::Timestamp;
use crate::verdict::{Evidence, Fit, Interval, RuledOut, Tier};

/// It is released when less than this share of its largest excess is left, in so many tests in a row.
const RELEASED_SHARE: f64 = 0.25;
const TESTS_TO_RELEASE: u8 = 2;

/// Standard errors on either side of a growth that enclose it in about 95 of 100 cases.
const GROWTH_ERRORS: f64 = 2.1;

/// It has stalled when it grows at less than this share of the growth that convicted it.
const STALLED_SHARE: f64 = 0.1;

/// The figures by which it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Findings {
    pub(super) peers: u32,
    pub(super) alike: u32,
    pub(super) t: f64,
    pub(super) chance: f64,
    pub(super) level_per_test: f64,
    pub(super) rise: f64,
    pub(super) floor: f64,
    pub(super) spread: f64,
    pub(super) seconds: f64,
    pub(super) greatest_share: f64,
    pub(super) newest_share: f64,
    pub(super) loaded: bool,
}

/// A conviction and how the instance has fared since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conviction {
    pub(super) instance: u64,
    pub(super) at: Timestamp,
    pub(super) onset: Timestamp,
    pub(super) window_seconds: f64,
    pub(super) samples: u64,
    pub(super) findings: Findings,
    pub(super) growth: Interval,
    pub(super) convicted_growth: f64,
    pub(super) fit: Fit,
    /// Its level before the onset, and its excess over what the peers let expect.
    pub(super) baseline: f64,
    pub(super) excess: f64,
    pub(super) peak_excess: f64,
    pub(super) growing: bool,
    pub(super) calm: u8,
}

impl Conviction {
    pub(super) fn new(
        comparison: &Comparison<'_>,
        own: usize,
        climb: &Climb,
        findings: Findings,
    ) -> Self {
        let row_seconds = comparison.seconds / ROWS as f64;
        let onset = comparison
            .now
            .shifted(row_seconds * (climb.onset as f64 + 0.5) - comparison.seconds);
        let level = &comparison.tracks[own].level;
        Self {
            instance: comparison.peers[own].instance,
            at: comparison.now,
            onset,
            window_seconds: comparison.seconds,
            samples: comparison.tracks[own].samples,
            findings,
            growth: interval(climb),
            convicted_growth: climb.slope,
            fit: fit(comparison, own, climb),
            baseline: super::mean(&level[..=climb.onset]),
            excess: climb.rise,
            peak_excess: climb.rise,
            growing: true,
            calm: 0,
        }
    }

    /// Takes up what a comparison says now; `whole` where it is over all of the common past.
    pub(super) fn follow(&mut self, comparison: &Comparison<'_>, whole: bool) {
        let mut peers = comparison.peers.iter();
        let Some(own) = peers.position(|peer| peer.instance == self.instance) else {
            return;
        };
        let difference = &comparison.differences[own];
        if comparison.now.shifted(-comparison.seconds) > self.onset {
            // The window is all after the onset: it shows how it grows now.
            if let Some(climb) = &difference.climb
                && climb.onset < ROWS / 4
            {
                self.growth = interval(climb);
                self.growing = climb.slope >= STALLED_SHARE * self.convicted_growth;
            } else {
                self.growing = false;
            }
            return;
        }
        if !whole {
            return;
        }
        // What it holds beyond its peers, from before the onset to now.
        self.excess = difference.moved.max(0.0);
        self.peak_excess = self.peak_excess.max(self.excess);
        self.fit.start_value = comparison.tracks[own].level[ROWS - 1];
        self.fit.start = comparison.now;
        self.calm = if self.excess < RELEASED_SHARE * self.peak_excess {
            self.calm.saturating_add(1)
        } else {
            0
        };
    }

    pub(super) fn is_released(&self) -> bool {
        self.calm >= TESTS_TO_RELEASE
    }

    pub(super) fn evidence(&self) -> Evidence {
        Evidence {
            tier: Tier::Level,
            onset: self.onset,
            onset_uncertainty_seconds: self.window_seconds / ROWS as f64 * 2.0,
            convicted_at: self.at,
            growth_per_second: self.growth,
            fit: self.fit,
            samples: self.samples,
            scale_seconds: self.window_seconds,
            baseline: self.baseline,
            excess: self.excess,
            peak_excess: self.peak_excess,
            still_growing: self.growing,
            ruled_out: self.findings.ruled_out(),
        }
    }
}

fn interval(climb: &Climb) -> Interval {
    let error = GROWTH_ERRORS * climb.error;
    Interval {
        low: climb.slope - error,
        estimate: climb.slope,
        high: climb.slope + error,
    }
}

fn fit(comparison: &Comparison<'_>, own: usize, climb: &Climb) -> Fit {
    Fit {
        start: comparison.now,
        start_value: comparison.tracks[own].level[ROWS - 1],
        slope: climb.slope,
    }
}

impl Findings {
    fn ruled_out(&self) -> Vec<RuledOut> {
        let hours = self.seconds / 3600.0;
        [
            (
                "noise",
                format!(
                    "its difference to its peers climbs by {:.1} standard errors, by noise alone in 1 of {:.0e} tests; 1 of {:.0e} is allowed",
                    self.t,
                    1.0 / self.chance.max(1e-99),
                    1.0 / self.level_per_test.max(1e-99)
                ),
            ),
            (
                "peers",
                format!(
                    "{} peers at the same time: it rises {:.3e} more than their median in {hours:.1} h, where they usually move {:.3e} apart; {} of all rise alike",
                    self.peers, self.rise, self.spread, self.alike
                ),
            ),
            (
                "load",
                if self.loaded {
                    format!(
                        "what the load does to all is in the peers' median, and its own share of the load is credited; {:.3e} suffices",
                        self.floor
                    )
                } else {
                    format!(
                        "what the load does to all is in the peers' median; no load is counted, so that {:.3e} suffices",
                        self.floor
                    )
                },
            ),
            (
                "step",
                format!(
                    "of three moves between four parts the largest holds {:.0} % of the rise",
                    100.0 * self.greatest_share
                ),
            ),
            (
                "filling cache",
                format!(
                    "the newest of three moves holds {:.0} % of the rise, where a straight line's has 33 %",
                    100.0 * self.newest_share
                ),
            ),
        ]
        .map(|(what, how)| RuledOut { what, how })
        .into()
    }
}
