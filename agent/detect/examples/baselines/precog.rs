//! Precog with maximum filtering (Jindal, Staab, Kulkarni, Cardoso, Gerndt and Podolskiy, "Memory Leak Detection Algorithms
//! in the Cloud-based Infrastructure", 2021), by its published idea and written anew.
//!
//! The series is replaced by the maxima of windows. Regressions run over them from the last change point, and from later
//! ones, to now. A trend is a line that explains at least three quarters of the variance and would reach the critical
//! level within the critical time. While it learns, the steepest and the longest trend that it sees are kept as normal;
//! afterwards a trend that exceeds them is a leak.

use std::collections::VecDeque;

use crate::rules::{Baseline, Subject};

/// Length of a window of which the maximum is kept; shorter where the series is scraped every few seconds.
const WINDOW_SECONDS: f64 = 3600.0;
const SAMPLES_A_WINDOW: f64 = 60.0;
/// Maxima that are kept, those that are learnt from, and the fewest that make a trend.
const MAXIMA: usize = 168;
const LEARNT: usize = 24;
const LEAST_TREND: usize = 8;
/// Share of the variance that a line must explain.
const LEAST_R2: f64 = 0.75;
/// Share of the limit that is critical, and the number of windows within which it would be reached: a week of hours.
const CRITICAL_SHARE: f64 = 0.9;
const CRITICAL_WINDOWS: f64 = 168.0;
/// A step between maxima that is so many times as large as they usually are is a change point.
const CHANGE: f64 = 3.0;

pub(crate) struct Precog {
    window: Option<f64>,
    first: Option<f64>,
    filling: Option<(f64, f64)>,
    maxima: VecDeque<f64>,
    seen: usize,
    highest_learnt: f64,
    steepest: f64,
    longest: usize,
}

/// Slope a window, its R2 and the line's end.
struct Trend {
    slope: f64,
    r2: f64,
    end: f64,
}

impl Precog {
    pub(crate) fn new() -> Self {
        Self {
            window: None,
            first: None,
            filling: None,
            maxima: VecDeque::new(),
            seen: 0,
            highest_learnt: 0.0,
            steepest: 0.0,
            longest: 0,
        }
    }

    fn close(&mut self, maximum: f64, subject: Subject) -> bool {
        if self.maxima.len() == MAXIMA {
            self.maxima.pop_front();
        }
        self.maxima.push_back(maximum);
        self.seen += 1;
        let learning = self.seen <= LEARNT;
        if learning {
            self.highest_learnt = self.highest_learnt.max(maximum);
        }
        let limit = subject
            .limit
            .unwrap_or(2.0 * self.highest_learnt.max(subject.floor()));
        let critical = CRITICAL_SHARE * limit;
        let mut leaks = false;
        for begin in self.change_points() {
            let length = self.maxima.len() - begin;
            let Some(trend) = self.trend(begin).filter(|_| length >= LEAST_TREND) else {
                continue;
            };
            if trend.slope <= 0.0 || trend.r2 < LEAST_R2 {
                continue;
            }
            if learning {
                self.steepest = self.steepest.max(trend.slope);
                self.longest = self.longest.max(length);
            } else {
                let reached = trend.end + trend.slope * CRITICAL_WINDOWS >= critical;
                leaks |= reached && trend.slope > self.steepest && length > self.longest;
            }
        }
        leaks
    }

    /// The oldest maximum, and each after an unusual step.
    fn change_points(&self) -> Vec<usize> {
        let steps: Vec<f64> = self
            .maxima
            .iter()
            .zip(self.maxima.iter().skip(1))
            .map(|(before, after)| after - before)
            .collect();
        let count = steps.len().max(1) as f64;
        let mean = steps.iter().sum::<f64>() / count;
        let spread = steps.iter().map(|step| (step - mean).powi(2)).sum::<f64>() / count;
        let unusual = |step: &f64| (step - mean).abs() > CHANGE * spread.sqrt();
        let mut points = vec![0];
        points.extend(
            steps
                .iter()
                .enumerate()
                .filter(|(_, step)| unusual(step))
                .map(|(at, _)| at + 1),
        );
        points
    }

    /// The regression of the maxima from one on.
    fn trend(&self, begin: usize) -> Option<Trend> {
        let count = (self.maxima.len() - begin) as f64;
        let middle = 0.5 * (count - 1.0);
        let mean = self.maxima.range(begin..).sum::<f64>() / count;
        let (mut time, mut product, mut variance) = (0.0, 0.0, 0.0);
        for (at, maximum) in self.maxima.range(begin..).enumerate() {
            let (at, level) = (at as f64 - middle, maximum - mean);
            time += at * at;
            product += at * level;
            variance += level * level;
        }
        (time > 0.0 && variance > 0.0).then(|| Trend {
            slope: product / time,
            r2: product * product / (time * variance),
            end: mean + product / time * middle,
        })
    }
}

impl Baseline for Precog {
    fn alerts(&mut self, at: f64, level: f64, subject: Subject) -> bool {
        let first = *self.first.get_or_insert(at);
        if self.window.is_none() && at > first {
            self.window = Some((SAMPLES_A_WINDOW * (at - first)).min(WINDOW_SECONDS));
        }
        let window = self.window.unwrap_or(WINDOW_SECONDS);
        let (begin, highest) = self.filling.unwrap_or((at, level));
        if at - begin < window {
            self.filling = Some((begin, highest.max(level)));
            return false;
        }
        self.filling = Some((at, level));
        self.close(highest, subject)
    }
}
