//! A series that was convicted, followed while it holds what it took.

use crate::climb::{Axis, Climb};
use crate::innocence::{Case, Findings};
use crate::level::{LevelSettings, interval};
use crate::memory::{BUCKETS, Memory, SCALES};
use crate::time::Timestamp;
use crate::verdict::{Evidence, Fit, Interval, Tier};
use crate::window::{Window, mean_of};

/// Buckets of whose lower envelope the present excess is told.
const RECENT_BUCKETS: usize = 4;

/// It is released when less than this share of its largest excess is left, for so many buckets.
const RELEASED_SHARE: f64 = 0.25;
const CALM_BUCKETS: u8 = 6;

/// It has stalled when it grows at less than this share of the growth that convicted it, or not surely at all.
const STALLED_SHARE: f64 = 0.1;
const GROWING_ERRORS: f64 = 2.0;

/// A life after a conviction is watched for no longer than this before it is acquitted.
const LONGEST_CHARGE_SECONDS: f64 = 7.0 * 86_400.0;

/// A conviction and how its series has fared since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conviction {
    pub(super) at: Timestamp,
    pub(super) onset: Timestamp,
    pub(super) onset_uncertainty_seconds: f64,
    /// The scale that convicted, the length of its window in seconds, and the samples in it.
    pub(super) scale: usize,
    pub(super) scale_seconds: f64,
    pub(super) samples: u64,
    pub(super) findings: Findings,
    /// The lower envelope and the load before the onset, and the level that a unit of load explains.
    pub(super) baseline: f64,
    pub(super) base_load: Option<f64>,
    pub(super) load_share: f64,
    /// Growth per second when it was convicted, and now.
    pub(super) convicted_growth: f64,
    pub(super) growth: Interval,
    pub(super) fit: Fit,
    pub(super) excess: f64,
    pub(super) peak_excess: f64,
    pub(super) growing: bool,
    /// Consecutive buckets without excess.
    pub(super) calm: u8,
}

/// What a conviction leaves behind when its process is restarted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Charge {
    pub(super) restarted_at: Timestamp,
    pub(super) onset: Timestamp,
    pub(super) onset_uncertainty_seconds: f64,
    pub(super) convicted_at: Timestamp,
    /// A life that stays flat for so long is acquitted.
    pub(super) acquitted_after_seconds: f64,
}

impl Conviction {
    /// Convicts a climb that nothing explains; one that is charged already since an earlier life keeps its dates.
    pub(super) fn new(
        case: &Case,
        findings: Findings,
        growth: Interval,
        fit: Fit,
        charge: Option<Charge>,
    ) -> Self {
        let (window, climb) = (case.window, case.climb);
        let excess = findings.unexplained;
        Self {
            at: charge.map_or(window.end, |charge| charge.convicted_at),
            onset: charge.map_or(fit.start, |charge| charge.onset),
            onset_uncertainty_seconds: charge.map_or(window.seconds[climb.onset], |charge| {
                charge.onset_uncertainty_seconds
            }),
            scale: case.scale,
            scale_seconds: window.end - window.begin(0),
            samples: window.samples,
            findings,
            baseline: case.base(),
            base_load: case.base_load(),
            load_share: climb.load_share,
            convicted_growth: climb.slope,
            growth,
            fit,
            excess,
            peak_excess: excess,
            growing: true,
            calm: 0,
        }
    }

    /// Takes up what a closed bucket of a scale says, and tells whether the series has given back what it took.
    pub(super) fn follow(
        &mut self,
        memory: &Memory,
        scale: usize,
        since: Timestamp,
        settings: &LevelSettings,
    ) -> bool {
        if scale == self.growth_scale(memory) {
            self.measure_growth(memory, scale, since, settings);
        }
        scale == self.scale && self.is_released(memory, since)
    }

    /// The scale whose window is the largest that lies within the time since the onset.
    fn growth_scale(&self, memory: &Memory) -> usize {
        let age = memory.end(0) - self.onset;
        (1..SCALES)
            .rev()
            .find(|scale| BUCKETS as f64 * memory.bucket_seconds(*scale) <= age)
            .unwrap_or(0)
    }

    fn measure_growth(
        &mut self,
        memory: &Memory,
        scale: usize,
        since: Timestamp,
        settings: &LevelSettings,
    ) {
        let Some(mut window) = Window::read_recent(memory, scale, since.max(self.onset)) else {
            return;
        };
        window.run_loads();
        let Some(climb) = Climb::since(&window, Axis::Time, 0, settings.quantum()) else {
            return;
        };
        self.growth = interval(&climb);
        self.growing =
            climb.t() >= GROWING_ERRORS && climb.slope >= STALLED_SHARE * self.convicted_growth;
        let middle = mean_of(&window.time[..window.rows]) - window.time[0];
        let start_value = mean_of(&window.mean[..window.rows]) - climb.slope * middle;
        self.fit = Fit {
            start: window.end.shifted(window.time[0]),
            start_value,
            slope: climb.slope,
        };
    }

    /// Measures the excess; says whether it is gone, and has been for long enough.
    fn is_released(&mut self, memory: &Memory, since: Timestamp) -> bool {
        let (mut low, mut load, mut count) = (0.0, 0.0, 0.0);
        for (_, cell) in memory
            .closed(self.scale)
            .rev()
            .take(RECENT_BUCKETS)
            .filter(|(begin, _)| *begin >= since)
        {
            low += cell.minimum;
            load += cell.load.or(self.base_load).unwrap_or(0.0);
            count += 1.0;
        }
        if count == 0.0 {
            return false;
        }
        let (low, load) = (low / count, load / count);
        let base_load = self.base_load.unwrap_or(load);
        self.excess = low - self.baseline - self.load_share * (load - base_load);
        self.peak_excess = self.peak_excess.max(self.excess);
        // With less load the baseline itself may be lower: what load leaves of it at least is credited to the leak.
        let least_baseline = self.baseline
            * if load < base_load {
                load / base_load
            } else {
                1.0
            };
        let held = self.excess.max(low - least_baseline) >= RELEASED_SHARE * self.peak_excess;
        self.calm = if held { 0 } else { self.calm.saturating_add(1) };
        self.calm >= CALM_BUCKETS
    }

    /// The charge that is left when the process restarts.
    pub(super) fn charge(&self, restarted_at: Timestamp) -> Charge {
        let needed = (self.at - self.onset).max(self.findings.seconds);
        Charge {
            restarted_at,
            onset: self.onset,
            onset_uncertainty_seconds: self.onset_uncertainty_seconds,
            convicted_at: self.at,
            acquitted_after_seconds: needed.min(LONGEST_CHARGE_SECONDS),
        }
    }

    pub(super) fn evidence(&self, settings: &LevelSettings) -> Evidence {
        Evidence {
            ruled_out: self.findings.ruled_out(settings),
            ..self.case()
        }
    }

    /// The evidence without what was ruled out.
    pub(super) fn case(&self) -> Evidence {
        Evidence {
            tier: Tier::Level,
            onset: self.onset,
            onset_uncertainty_seconds: self.onset_uncertainty_seconds,
            convicted_at: self.at,
            growth_per_second: self.growth,
            fit: self.fit,
            samples: self.samples,
            scale_seconds: self.scale_seconds,
            baseline: self.baseline,
            excess: self.excess,
            peak_excess: self.peak_excess,
            still_growing: self.growing,
            ruled_out: Vec::new(),
        }
    }
}
