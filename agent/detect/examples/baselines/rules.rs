//! The rules in use today, each on one series: what it is, and the constants with which it is usually set.
//!
//! None of them knows a load, a restart or a peer. Where a rule needs a limit and there is none, twice the highest level
//! of the first hour is taken for one.

use std::collections::VecDeque;

pub(crate) use crate::precog::Precog;

const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// What a rule is told of a series.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) bytes: bool,
    pub(crate) limit: Option<f64>,
}

impl Subject {
    /// Growth below this does not matter.
    pub(crate) fn floor(&self) -> f64 {
        if self.bytes { 16.0 * 1_048_576.0 } else { 8.0 }
    }
}

/// A rule on one series.
pub(crate) trait Baseline {
    /// Takes a sample, and says whether it alerts now.
    fn alerts(&mut self, at: f64, level: f64, subject: Subject) -> bool;
}

/// The samples of the last so many seconds, with the sums of a regression.
struct Recent {
    seconds: f64,
    samples: VecDeque<(f64, f64)>,
    origin: f64,
    sums: [f64; 4],
}

impl Recent {
    fn new(seconds: f64) -> Self {
        Self {
            seconds,
            samples: VecDeque::new(),
            origin: 0.0,
            sums: [0.0; 4],
        }
    }

    fn push(&mut self, at: f64, level: f64) {
        if self.samples.is_empty() {
            (self.origin, self.sums) = (at, [0.0; 4]);
        }
        self.samples.push_back((at, level));
        self.add(at, level, 1.0);
        while let Some((first, value)) = self.samples.front().copied()
            && at - first > self.seconds
        {
            self.samples.pop_front();
            self.add(first, value, -1.0);
        }
    }

    fn add(&mut self, at: f64, level: f64, sign: f64) {
        let time = at - self.origin;
        for (sum, term) in self
            .sums
            .iter_mut()
            .zip([time, time * time, level, time * level])
        {
            *sum += sign * term;
        }
    }

    fn covers(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((first, _)), Some((last, _))) => last - first,
            _ => 0.0,
        }
    }

    fn mean(&self) -> f64 {
        self.sums[2] / self.samples.len().max(1) as f64
    }

    /// Least-squares slope per second, and the line's value now.
    fn line(&self) -> Option<(f64, f64)> {
        let count = self.samples.len() as f64;
        let [time, squares, level, products] = self.sums;
        let spread = squares - time * time / count;
        if count < 3.0 || spread <= 0.0 {
            return None;
        }
        let slope = (products - time * level / count) / spread;
        let (now, _) = self.samples.back()?;
        Some((
            slope,
            level / count + slope * (now - self.origin - time / count),
        ))
    }
}

/// For how long something has held.
#[derive(Default)]
struct Pending(Option<f64>);

impl Pending {
    fn held(&mut self, at: f64, holds: bool, seconds: f64) -> bool {
        if !holds {
            self.0 = None;
            return false;
        }
        at - *self.0.get_or_insert(at) >= seconds
    }
}

/// `deriv(x[1h]) > 0` for an hour.
pub(crate) struct Rising {
    recent: Recent,
    pending: Pending,
}

impl Rising {
    pub(crate) fn new() -> Self {
        Self {
            recent: Recent::new(HOUR),
            pending: Pending::default(),
        }
    }
}

impl Baseline for Rising {
    fn alerts(&mut self, at: f64, level: f64, _: Subject) -> bool {
        self.recent.push(at, level);
        // What rounding leaves of a flat series is no rise.
        let least = 1e-9 * (1.0 + self.recent.mean()) / HOUR;
        let rises = self.recent.line().is_some_and(|(slope, _)| slope > least);
        self.pending.held(at, rises, HOUR)
    }
}

/// `predict_linear(x[6h], 24h) > limit` for a quarter of an hour, with at least half an hour of samples.
pub(crate) struct Predicted {
    recent: Recent,
    pending: Pending,
    first: Option<f64>,
    highest: f64,
}

impl Predicted {
    pub(crate) fn new() -> Self {
        Self {
            recent: Recent::new(6.0 * HOUR),
            pending: Pending::default(),
            first: None,
            highest: 0.0,
        }
    }
}

impl Baseline for Predicted {
    fn alerts(&mut self, at: f64, level: f64, subject: Subject) -> bool {
        let first = *self.first.get_or_insert(at);
        if at - first <= HOUR {
            self.highest = self.highest.max(level);
        }
        let limit = subject
            .limit
            .unwrap_or(2.0 * self.highest.max(subject.floor()));
        self.recent.push(at, level);
        let line = self
            .recent
            .line()
            .filter(|_| self.recent.covers() >= 0.5 * HOUR);
        let exceeds = line.is_some_and(|(slope, now)| now + slope * DAY > limit);
        self.pending.held(at, exceeds, 900.0)
    }
}

/// Growth of more than a tenth an hour, by a regression over the last hour.
pub(crate) struct Hourly {
    recent: Recent,
}

impl Hourly {
    pub(crate) fn new() -> Self {
        Self {
            recent: Recent::new(HOUR),
        }
    }
}

impl Baseline for Hourly {
    fn alerts(&mut self, at: f64, level: f64, _: Subject) -> bool {
        self.recent.push(at, level);
        let line = self
            .recent
            .line()
            .filter(|_| self.recent.covers() >= 0.9 * HOUR);
        line.is_some_and(|(slope, _)| slope * HOUR > 0.1 * self.recent.mean())
    }
}

/// Means of quarters of an hour over the last day by Mann and Kendall's test, one-sided at 1 in 1,000, with Sen's slope of
/// at least a tenth of the median a window, and of the floor.
pub(crate) struct MannKendall {
    bucket: Option<(f64, f64, f64)>,
    means: VecDeque<f64>,
    concordant: f64,
}

const QUARTER_SECONDS: f64 = 900.0;
const QUARTERS: usize = 96;
const LEAST_QUARTERS: usize = 8;
/// Standard normal above which 1 in 1,000 lies.
const ONE_IN_A_THOUSAND: f64 = 3.09;

impl MannKendall {
    pub(crate) fn new() -> Self {
        Self {
            bucket: None,
            means: VecDeque::new(),
            concordant: 0.0,
        }
    }

    fn push(&mut self, mean: f64) {
        if self.means.len() == QUARTERS {
            let oldest = self.means.pop_front().unwrap_or_default();
            self.concordant -= self
                .means
                .iter()
                .map(|later| sign(later - oldest))
                .sum::<f64>();
        }
        self.concordant += self
            .means
            .iter()
            .map(|earlier| sign(mean - earlier))
            .sum::<f64>();
        self.means.push_back(mean);
    }

    fn test(&self, subject: Subject) -> bool {
        let count = self.means.len() as f64;
        let spread = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
        if self.means.len() < LEAST_QUARTERS || (self.concordant - 1.0) / spread < ONE_IN_A_THOUSAND
        {
            return false;
        }
        let mut slopes = Vec::with_capacity(self.means.len() * self.means.len() / 2);
        for (later, end) in self.means.iter().enumerate() {
            let earlier = self.means.iter().take(later).enumerate();
            slopes.extend(earlier.map(|(at, begin)| (end - begin) / (later - at) as f64));
        }
        let mut levels: Vec<f64> = self.means.iter().copied().collect();
        let rise = median(&mut slopes) * count;
        rise >= subject.floor().max(0.1 * median(&mut levels))
    }
}

impl Baseline for MannKendall {
    fn alerts(&mut self, at: f64, level: f64, subject: Subject) -> bool {
        let (begin, sum, count) = self.bucket.unwrap_or((at, 0.0, 0.0));
        if at - begin < QUARTER_SECONDS {
            self.bucket = Some((begin, sum + level, count + 1.0));
            return false;
        }
        self.push(sum / count.max(1.0));
        self.bucket = Some((at, level, 1.0));
        self.test(subject)
    }
}

fn sign(difference: f64) -> f64 {
    if difference > 0.0 {
        1.0
    } else if difference < 0.0 {
        -1.0
    } else {
        0.0
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
