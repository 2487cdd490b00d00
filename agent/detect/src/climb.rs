//! The climb that a window shows: since which bucket, how steeply, and how surely, with what load explains taken out.
//!
//! The level is fitted by a line that is flat until the onset and straight from there, over time or over the work done,
//! plus a share of the load and of the load before (never a negative share: more load does not lower a level).
//! Neighbouring buckets resemble each other, so the slope's error is widened by their correlation, as for a first-order
//! autoregression whose coefficient, estimated from few rows, is first corrected for its bias. Where there are enough
//! rows before the onset, noise and correlation are theirs alone: a leak's own unevenness is no noise.

mod fit;
mod rising;
mod steps;

use crate::climb::fit::{Basis, LineFit};
use crate::statistics::{Column, ROWS, student_tail};
use crate::window::{Window, mean_of};

/// Parts into which a climb is cut: it must be spread over them all.
pub(crate) const PARTS: usize = 4;

/// Rows before the onset that suffice to tell the noise.
const ROWS_FOR_NOISE: usize = 12;

/// A rise by less than this share of the climb does not end a pause.
const NOTABLE_RISE: f64 = 0.1;

/// Rows from one onset that is tried to the next.
const ONSET_STEP: usize = 4;
/// Fewer rows than these are all tried.
const FEW_ROWS: usize = 24;

/// Fewest degrees of freedom that a rising level must leave.
const LEAST_FREEDOM: f64 = 6.0;

/// A collector's floors are too few to tell their noise: it is taken for this share of the level before they are seen,
/// which counts for so many of them (a conjugate prior of the variance).
const FLOOR_NOISE: f64 = 0.007;
const PRIOR_FREEDOM: f64 = 10.0;

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
        let newest_onset = window.rows - window.least_rows;
        let step = if window.rows < FEW_ROWS {
            1
        } else {
            ONSET_STEP
        };
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
        for onset in (0..=newest_onset).step_by(step) {
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
        let climb = Self::new(window, &basis, &fit, axis, onset, quantum, true)?;
        (climb.t() > 2.0).then_some(climb)
    }

    /// The climb over a given axis since a given row; its slope may be of either sign.
    pub(crate) fn since(window: &Window, axis: Axis, onset: usize, quantum: f64) -> Option<Self> {
        let basis = Basis::new(window);
        let fit = basis.fit(axis_of(window, axis), onset)?;
        Self::new(window, &basis, &fit, axis, onset, quantum, false)
    }

    fn new(
        window: &Window,
        basis: &Basis,
        fit: &LineFit,
        axis: Axis,
        onset: usize,
        quantum: f64,
        ratchets: bool,
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
        let (mut residuals, mut columns) = (basis.residuals(along, onset, fit, &mean), fit.columns);
        let mut squares = fit.squares;
        // A leak need not be even: where neighbours hardly resemble each other, what only ever rises is no noise.
        if ratchets && onset < ROWS_FOR_NOISE && window.is_brisk(0..onset.max(1)) {
            let (rising, values) = rising::nearest(&mean[..rows]);
            let left: f64 = (0..rows).map(|row| (mean[row] - rising[row]).powi(2)).sum();
            let freedom = rows as f64 - (fit.columns + values) as f64;
            let alike = left * (rows - fit.columns) as f64 / freedom;
            if freedom >= LEAST_FREEDOM && alike < squares {
                squares = alike;
                columns += values;
                for row in 0..rows {
                    residuals[row] = mean[row] - rising[row];
                }
            }
        }
        let noise = Noise::of(
            if onset >= ROWS_FOR_NOISE {
                &residuals[..onset]
            } else {
                &residuals[..rows]
            },
            columns,
            quantum,
            window
                .cycle_seconds
                .map(|_| FLOOR_NOISE * mean_of(&window.low[..rows])),
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
            squares,
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

    /// What the climb leaves unexplained, as a share of what so many steps leave at best: above one, they fit better. A
    /// step of things that are counted may change what a unit of load explains, as a slower upstream does.
    pub(crate) fn share_of_steps(&self, window: &Window, steps: usize, counted: bool) -> f64 {
        let mean = &window.mean[..self.rows];
        let left = if counted {
            let load = window.loaded.then_some(&window.load[..self.rows]);
            steps::unexplained(mean, load, steps)
        } else {
            // What the load seems to explain may hide the steps.
            let adjusted = steps::unexplained(&self.mean[..self.rows], None, steps);
            adjusted.min(steps::unexplained(mean, None, steps))
        };
        if left > 0.0 {
            self.squares / left
        } else {
            f64::INFINITY
        }
    }

    /// The largest part of the climb that lies within two rows.
    pub(crate) fn largest_jump(&self) -> f64 {
        let jumps = (self.onset.max(2)..self.rows).map(|row| self.mean[row] - self.mean[row - 2]);
        jumps.fold(0.0, f64::max) / self.rise()
    }

    /// For how long it has not risen, as a share of its longest pause between two rises before.
    pub(crate) fn share_of_longest_pause(&self, window: &Window) -> f64 {
        let least = NOTABLE_RISE * self.rise();
        let (mut highest, mut at) = (self.mean[self.onset], None);
        let mut longest = 0.0_f64;
        for row in self.onset + 1..self.rows {
            if self.mean[row] >= highest + least {
                longest = longest.max(at.map_or(0.0, |at| window.time[row] - at));
                (highest, at) = (self.mean[row], Some(window.time[row]));
            }
        }
        at.map_or(f64::INFINITY, |at| window.time[self.rows - 1] - at) / longest
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
    /// The noise of residuals: `prior` is the standard deviation to be expected where they are few.
    fn of(residuals: &[f64], columns: usize, quantum: f64, prior: Option<f64>) -> Self {
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
        if let Some(deviation) = prior {
            let freedom = freedom.max(0.0) + PRIOR_FREEDOM;
            return Self {
                variance: (squares + PRIOR_FREEDOM * deviation * deviation) / freedom,
                freedom,
            };
        }
        let variance = (squares / freedom).max(quantum * quantum / 12.0);
        Self {
            variance: variance * (1.0 + corrected) / (1.0 - corrected),
            freedom,
        }
    }
}
