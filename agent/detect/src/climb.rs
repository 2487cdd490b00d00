//! The climb that a window shows: since which bucket, how steeply, and how surely, with what load explains taken out.
//!
//! The level is fitted by a line that is flat until the onset and straight from there, over time or over the work done,
//! plus a share of the load and of the load before (never a negative share: more load does not lower a level).
//! Neighbouring buckets resemble each other, so the slope's error is widened by their correlation, as for a first-order
//! autoregression whose coefficient, estimated from few rows, is first corrected for its bias. Where there are enough
//! rows before the onset, noise and correlation are theirs alone: a leak's own unevenness is no noise.

mod fit;
mod steps;

use crate::climb::fit::{Basis, LineFit};
use crate::statistics::{Column, ROWS, student_tail};
use crate::window::{LEAST_ROWS, Window};

/// Parts into which a climb is cut: it must be spread over them all.
pub(crate) const PARTS: usize = 4;

/// Rows before the onset that suffice to tell the noise.
const ROWS_FOR_NOISE: usize = 12;

/// Rows from one onset that is tried to the next.
const ONSET_STEP: usize = 4;

/// What a climb grows with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    Time,
    Work,
}

/// A rising stretch at the end of a window.
#[derive(Debug, Clone)]
pub(crate) struct Climb {
    /// First row of the climb.
    pub(crate) onset: usize,
    /// Per second, with its standard error.
    pub(crate) slope: f64,
    pub(crate) error: f64,
    /// Degrees of freedom of that error.
    freedom: f64,
    /// Level that one unit of load per second explains.
    pub(crate) load_share: f64,
    /// The mean and the lower envelope with the load's share beyond its rate at the onset taken out.
    pub(crate) mean: Column,
    pub(crate) low: Column,
    /// The part of the climb that each row from the onset on belongs to.
    parts: [u8; ROWS],
    rows: usize,
    /// From the first to the last bucket of the climb.
    pub(crate) seconds: f64,
    /// What the climb leaves unexplained: sum of the squares.
    squares: f64,
}

impl Climb {
    /// The best climb to the end of the window, or none where nothing rises.
    ///
    /// `quantum` is the series' smallest step: noise is not taken for less.
    pub(crate) fn find(window: &Window, quantum: f64) -> Option<Self> {
        let basis = Basis::new(window);
        let newest_onset = window.rows - LEAST_ROWS;
        let mut best: Option<(LineFit, Axis, usize)> = None;
        let mut attempt = |axis, onset| {
            if let Some(fit) = basis.fit(axis_of(window, axis), onset)
                && best
                    .as_ref()
                    .is_none_or(|(best, ..)| fit.squares < best.squares)
            {
                best = Some((fit, axis, onset));
            }
            best.as_ref().map(|(_, axis, onset)| (*axis, *onset))
        };
        let mut place = None;
        for onset in (0..=newest_onset).step_by(ONSET_STEP) {
            place = attempt(Axis::Time, onset);
            if window.loaded {
                place = attempt(Axis::Work, onset);
            }
        }
        // Then between the steps.
        let (axis, onset) = place?;
        for near in [
            onset.saturating_sub(ONSET_STEP / 2),
            (onset + ONSET_STEP / 2).min(newest_onset),
        ] {
            attempt(axis, near);
        }
        let (fit, axis, onset) = best.filter(|(fit, ..)| fit.slope > 0.0)?;
        let climb = Self::new(window, &basis, &fit, axis, onset, quantum)?;
        (climb.t() > 2.0).then_some(climb)
    }

    /// The climb over a given axis since a given row; its slope may be of either sign.
    pub(crate) fn since(window: &Window, axis: Axis, onset: usize, quantum: f64) -> Option<Self> {
        let basis = Basis::new(window);
        let fit = basis.fit(axis_of(window, axis), onset)?;
        Self::new(window, &basis, &fit, axis, onset, quantum)
    }

    fn new(
        window: &Window,
        basis: &Basis,
        fit: &LineFit,
        axis: Axis,
        onset: usize,
        quantum: f64,
    ) -> Option<Self> {
        let rows = window.rows;
        let along = axis_of(window, axis);
        let whole = along[rows - 1] - along[onset];
        let (mut mean, mut low) = (window.mean, window.low);
        let mut parts = [0; ROWS];
        for row in 0..rows {
            let explained = basis.explained(window, fit, row) - basis.explained(window, fit, onset);
            mean[row] -= explained;
            low[row] -= explained;
            let share = (along[row] - along[onset]).max(0.0) / whole;
            parts[row] = ((share * PARTS as f64) as u8).min(PARTS as u8 - 1);
        }
        let residuals = basis.residuals(along, onset, fit, &mean);
        let noise = Noise::of(
            if onset >= ROWS_FOR_NOISE {
                &residuals[..onset]
            } else {
                &residuals[..rows]
            },
            fit.columns,
            quantum,
        );
        let seconds = window.time[rows - 1] - window.time[onset];
        let pace = whole / seconds;
        let (slope, error) = (
            fit.slope * pace,
            (noise.variance * fit.leverage).sqrt() * pace,
        );
        (slope.is_finite() && error.is_finite() && error > 0.0).then_some(Self {
            onset,
            slope,
            error,
            freedom: noise.freedom,
            load_share: fit.shares.iter().sum(),
            mean,
            low,
            parts,
            rows,
            seconds,
            squares: fit.squares,
        })
    }

    /// How far it has climbed, in the series' unit.
    pub(crate) fn rise(&self) -> f64 {
        self.slope * self.seconds
    }

    /// Standard errors of the slope.
    pub(crate) fn t(&self) -> f64 {
        self.slope / self.error
    }

    /// The chance that noise alone would show such a slope.
    pub(crate) fn chance(&self) -> f64 {
        student_tail(self.t(), self.freedom)
    }

    /// What the climb leaves unexplained, as a share of what so many steps leave at best: above one, they fit better.
    pub(crate) fn share_of_steps(&self, steps: usize) -> f64 {
        let left = steps::unexplained(&self.mean[..self.rows], steps);
        if left > 0.0 {
            self.squares / left
        } else {
            f64::INFINITY
        }
    }

    /// First row of the newest part.
    pub(crate) fn newest(&self) -> usize {
        self.first_of(PARTS as u8 - 1).min(self.rows - 1)
    }

    /// First row of a part, or of the next one that has any.
    pub(crate) fn first_of(&self, part: u8) -> usize {
        (self.onset..self.rows)
            .find(|row| self.parts[*row] >= part)
            .unwrap_or(self.rows)
    }

    /// Means of a column over the parts of the climb, from old to new; `None` where one has no row.
    pub(crate) fn parts(&self, window: &Window, column: &Column) -> Option<[f64; PARTS]> {
        let (mut sums, mut weights) = ([0.0; PARTS], [0.0; PARTS]);
        let rows = self.onset..self.rows;
        for ((part, value), seconds) in self.parts[rows.clone()]
            .iter()
            .zip(&column[rows.clone()])
            .zip(&window.seconds[rows])
        {
            sums[usize::from(*part)] += value * seconds;
            weights[usize::from(*part)] += seconds;
        }
        weights
            .iter()
            .all(|weight| *weight > 0.0)
            .then(|| std::array::from_fn(|part| sums[part] / weights[part]))
    }
}

fn axis_of(window: &Window, axis: Axis) -> &Column {
    match axis {
        Axis::Time => &window.time,
        Axis::Work => &window.work,
    }
}

/// What a fit leaves unexplained.
struct Noise {
    /// Of one row, widened by the correlation of neighbours.
    variance: f64,
    freedom: f64,
}

impl Noise {
    fn of(residuals: &[f64], columns: usize, quantum: f64) -> Self {
        let rows = residuals.len() as f64;
        let freedom = rows - columns as f64;
        let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let products: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let raw = if squares > 0.0 {
            products / squares
        } else {
            0.0
        };
        // A fitted trend takes correlation out of its own residuals (Kendall 1954; for a trend, about twice his bias).
        let corrected = (raw + (2.0 + 4.0 * raw.max(0.0)) / rows).clamp(0.0, 0.9);
        let variance = (squares / freedom).max(quantum * quantum / 12.0);
        Self {
            variance: variance * (1.0 + corrected) / (1.0 - corrected),
            freedom,
        }
    }
}
