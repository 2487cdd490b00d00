//! The course of a count since it left zero, in a bounded number of points.
//!
//! When the points are full every second one is dropped and the spacing doubles, so that they always cover the whole
//! time, evenly. Growth is told from the recent half: what matters is how fast it grows now, not how it began.

use crate::snapshot::{Reader, RestoreError, Writer};
use crate::time::Timestamp;
use crate::verdict::{Fit, Interval};

/// Most points that are kept.
const POINTS: usize = 32;

/// Fewest points whose recent half is taken alone.
const HALVED_FROM: usize = 8;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Trail {
    points: Vec<Point>,
    /// Samples to each point, and samples since the last one.
    spacing: u32,
    skipped: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    at: Timestamp,
    value: f64,
}

impl Trail {
    /// Adds a sample, later than all before. The newest is always kept.
    pub(super) fn push(&mut self, at: Timestamp, value: f64) {
        let point = Point { at, value };
        self.skipped = self.skipped.saturating_add(1);
        match self.points.last_mut() {
            Some(last) if self.skipped < self.spacing => *last = point,
            _ => {
                self.points.push(point);
                self.skipped = 0;
            }
        }
        if self.points.len() > POINTS {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.spacing = self.spacing.max(1).saturating_mul(2);
        }
    }

    fn recent(&self) -> &[Point] {
        let from = if self.points.len() < HALVED_FROM {
            0
        } else {
            self.points.len() / 2
        };
        &self.points[from..]
    }

    /// Growth per second over the recent half: the least-squares slope, with bounds that hold for entries that leak one
    /// by one at random (Poisson) and widen where they leak in batches (the scatter between quarters of the time).
    pub(super) fn growth(&self) -> Interval {
        let points = self.recent();
        let [first, .., last] = points else {
            return Interval {
                low: 0.0,
                estimate: 0.0,
                high: 0.0,
            };
        };
        let seconds = last.at - first.at;
        let slope = slope(points);
        let net = last.value - first.value;
        let (fewest, most) = poisson_bounds(net.max(0.0));
        let scatter = 2.0 * scatter_of_quarters(points, slope);
        Interval {
            low: slope.min(fewest / seconds).min(slope - scatter),
            estimate: slope,
            high: slope.max(most / seconds).max(slope + scatter),
        }
    }

    /// The least-squares line through the recent half; a single point is a level line.
    pub(super) fn fit(&self, now: Timestamp) -> Fit {
        let points = self.recent();
        let Some(first) = points.first() else {
            return Fit {
                start: now,
                start_value: 0.0,
                slope: 0.0,
            };
        };
        let slope = slope(points);
        let start_value = mean_value(points) - slope * mean_seconds(points);
        Fit {
            start: first.at,
            start_value,
            slope,
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(self.spacing);
        writer.u32(self.skipped);
        writer.u8(self.points.len() as u8);
        for point in &self.points {
            writer.time(point.at);
            writer.f64(point.value);
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, RestoreError> {
        let (spacing, skipped) = (reader.u32()?, reader.u32()?);
        let length = reader.length(POINTS)?;
        let points = (0..length)
            .map(|_| {
                Ok(Point {
                    at: reader.time()?,
                    value: reader.f64()?,
                })
            })
            .collect::<Result<Vec<_>, RestoreError>>()?;
        if points.is_sorted_by(|earlier, later| earlier.at < later.at) {
            Ok(Self {
                points,
                spacing,
                skipped,
            })
        } else {
            Err(reader.damaged())
        }
    }
}

fn mean_value(points: &[Point]) -> f64 {
    points.iter().map(|point| point.value).sum::<f64>() / points.len().max(1) as f64
}

/// Mean time of the points, in seconds since the first.
fn mean_seconds(points: &[Point]) -> f64 {
    points
        .iter()
        .map(|point| point.at - points[0].at)
        .sum::<f64>()
        / points.len().max(1) as f64
}

fn slope(points: &[Point]) -> f64 {
    let (mean, middle) = (mean_value(points), mean_seconds(points));
    let (mut across, mut along) = (0.0, 0.0);
    for point in points {
        let seconds = point.at - points[0].at - middle;
        across += seconds * (point.value - mean);
        along += seconds * seconds;
    }
    if along > 0.0 { across / along } else { 0.0 }
}

/// Standard error of the slope as four disjoint parts of the time disagree about it.
fn scatter_of_quarters(points: &[Point], slope: f64) -> f64 {
    if points.len() < HALVED_FROM {
        return 0.0;
    }
    let quarter = points.len() / 4;
    let slopes = (0..4).map(|index| {
        let (from, to) = (
            points[index * quarter],
            points[(index + 1) * quarter - usize::from(index == 3)],
        );
        (to.value - from.value) / (to.at - from.at)
    });
    let variance = slopes.map(|part| (part - slope).powi(2)).sum::<f64>() / 3.0;
    (variance / 4.0).sqrt()
}

/// Bounds of a Poisson mean of which `count` events were seen, 95 of 100 times (Wilson and Hilferty's approximation).
fn poisson_bounds(count: f64) -> (f64, f64) {
    const NORMAL_QUANTILE: f64 = 1.96;
    let cube = |count: f64, sign: f64| {
        count
            * (1.0 - 1.0 / (9.0 * count) + sign * NORMAL_QUANTILE / (3.0 * count.sqrt()))
                .max(0.0)
                .powi(3)
    };
    let low = if count < 0.5 { 0.0 } else { cube(count, -1.0) };
    (low, cube(count + 1.0, 1.0))
}
