//! Where the grid lines stand: whole minutes, hours and days on the time axis, round figures of the unit on the other.
//!
//! The drawing library's own ticks are powers of ten, which are no moments that a clock shows and no sizes that
//! memory has.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;

use crate::quantity::{Unit, at};

/// A linear axis whose grid lines are given.
pub(super) struct Axis {
    linear: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Axis {
    pub(super) fn new(range: Range<f64>, ticks: Vec<f64>) -> Self {
        Self {
            linear: range.into(),
            ticks,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.linear.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.linear.range()
    }
}

/// Steps that a clock shows, in seconds.
const STEPS: [f64; 18] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
    14_400.0, 21_600.0, 43_200.0, 86_400.0,
];

/// The moments that get a label.
pub(super) struct Times {
    /// In unix seconds, in order.
    pub(super) moments: Vec<f64>,
    step: f64,
}

impl Times {
    /// The time of day, with seconds only where they differ; the date where a day is a step.
    pub(super) fn label(&self, moment: f64) -> String {
        let format = match self.step {
            step if step < 60.0 => "%H:%M:%S",
            step if step < 86_400.0 => "%H:%M",
            _ => "%b %-d",
        };
        at(moment).map_or_else(String::new, |at| at.strftime(format).to_string())
    }
}

/// At most `wanted` (at least two) moments between `from` and `to`, a clock's step apart.
pub(super) fn times(from: f64, to: f64, wanted: u32) -> Times {
    let span = to - from;
    let wanted = f64::from(wanted.max(2));
    let step = STEPS
        .into_iter()
        .find(|step| span / step <= wanted)
        .unwrap_or_else(|| (span / wanted / 86_400.0).ceil() * 86_400.0);
    Times {
        moments: ticks((from / step).ceil(), step, to),
        step,
    }
}

/// At most `wanted` (at least two) values from zero to `top`, a round step of the unit apart.
pub(super) fn values(top: f64, unit: Unit, wanted: u32) -> Vec<f64> {
    let rough = top / f64::from(wanted.max(2));
    let base = if unit == Unit::Bytes {
        1024.0_f64.powf(rough.max(1.0).log(1024.0).floor())
    } else {
        1.0
    };
    let scaled = rough / base;
    let decade = 10.0_f64.powf(scaled.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * decade >= scaled)
        .unwrap_or(10.0);
    let mut step = round * decade * base;
    if unit == Unit::Count {
        step = step.max(1.0);
    }
    ticks(0.0, step, top)
}

fn ticks(first: f64, step: f64, to: f64) -> Vec<f64> {
    // The bound guards against a step that vanishes beside a huge start.
    (0..64)
        .map(|index| (first + f64::from(index)) * step)
        .take_while(|value| *value <= to)
        .collect()
}
