//! Least squares of a level by a broken line and its load, for many onsets at little cost.
//!
//! All that does not depend on the onset is summed once; for each onset only the line's own sums remain. Everything is
//! taken from its mean first, so that no precision is lost on large levels.

use crate::statistics::{Column, ROWS, solve_normal};
use crate::window::{Window, mean_of};

/// Columns for the load: its rate, and its running mean.
const LOADS: usize = 2;

/// The sums of one window.
pub(super) struct Basis {
    rows: usize,
    level: Column,
    loads: [Column; LOADS],
    loaded: bool,
    level_squares: f64,
    level_loads: [f64; LOADS],
    load_loads: [[f64; LOADS]; LOADS],
}

/// A level as a line, flat before its onset, and shares of the load.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineFit {
    /// Per unit of the axis.
    pub(super) slope: f64,
    /// Variance of the slope in units of the noise's variance.
    pub(super) leverage: f64,
    /// Level that a unit of the load and of its running mean explain.
    pub(super) shares: [f64; LOADS],
    /// What is left: sum of the squares.
    pub(super) squares: f64,
    /// Numbers that were fitted.
    pub(super) columns: usize,
}

impl Basis {
    pub(super) fn new(window: &Window) -> Self {
        let rows = window.rows;
        let level = centred(&window.mean, rows);
        let loads = [centred(&window.load, rows), centred(&window.lags[0], rows)];
        Self {
            rows,
            level_squares: dot(&level, &level, 0..rows),
            level_loads: std::array::from_fn(|load| dot(&level, &loads[load], 0..rows)),
            load_loads: std::array::from_fn(|one| {
                std::array::from_fn(|other| dot(&loads[one], &loads[other], 0..rows))
            }),
            level,
            loads,
            loaded: window.loaded,
        }
    }

    /// The fit with the load's columns, less those whose share is negative or cannot be told. `None` where the line
    /// itself cannot be told.
    pub(super) fn fit(&self, axis: &Column, onset: usize) -> Option<LineFit> {
        let (mut sum, mut squares, mut level) = (0.0, 0.0, 0.0);
        let mut line_loads = [0.0; LOADS];
        for row in onset..self.rows {
            let line = axis[row] - axis[onset];
            sum += line;
            squares += line * line;
            level += line * self.level[row];
            for (line_load, load) in line_loads.iter_mut().zip(&self.loads) {
                *line_load += line * load[row];
            }
        }
        let line_squares = squares - sum * sum / self.rows as f64;
        let mut used = [self.loaded; LOADS];
        loop {
            let mut normal = [[line_squares, 0.0, 0.0]; LOADS + 1];
            let mut moments = [level, 0.0, 0.0];
            let mut count = 1;
            let mut places = [0; LOADS];
            for load in (0..LOADS).filter(|load| used[*load]) {
                normal[count][0] = line_loads[load];
                for before in 0..load {
                    if used[before] {
                        normal[count][places[before]] = self.load_loads[load][before];
                    }
                }
                normal[count][count] = self.load_loads[load][load];
                moments[count] = self.level_loads[load];
                places[load] = count;
                count += 1;
            }
            let solved = solve_normal(&normal, &moments, count);
            let shares: [f64; LOADS] = std::array::from_fn(|load| match &solved {
                _ if !used[load] => 0.0,
                Some(solved) => solved.coefficients[places[load]],
                None => -1.0,
            });
            if shares.iter().all(|share| *share >= 0.0) {
                let solved = solved?;
                let explained: f64 = (0..count)
                    .map(|column| solved.coefficients[column] * moments[column])
                    .sum();
                return Some(LineFit {
                    slope: solved.coefficients[0],
                    leverage: solved.leverage,
                    shares,
                    squares: (self.level_squares - explained).max(0.0),
                    columns: count + 1,
                });
            }
            // The more negative one goes; where nothing could be solved, the running mean. One goes in any case, for
            // what is no number is not negative either.
            let goes = match used {
                [true, true] => usize::from(shares[1] <= shares[0]),
                [first, _] => usize::from(!first),
            };
            used[goes] = false;
        }
    }

    /// What the load explains of a row's level.
    pub(super) fn explained(&self, window: &Window, fit: &LineFit, row: usize) -> f64 {
        fit.shares[0] * window.load[row] + fit.shares[1] * window.lags[0][row]
    }

    /// What the fit leaves of a level from which the load's part is taken out already.
    pub(super) fn residuals(
        &self,
        axis: &Column,
        onset: usize,
        fit: &LineFit,
        level: &Column,
    ) -> Column {
        let mut residuals = [0.0; ROWS];
        for row in 0..self.rows {
            residuals[row] = level[row] - fit.slope * (axis[row] - axis[onset]).max(0.0);
        }
        centred(&residuals, self.rows)
    }
}

fn centred(column: &Column, rows: usize) -> Column {
    let mean = mean_of(&column[..rows]);
    let mut centred = [0.0; ROWS];
    for (centred, value) in centred.iter_mut().zip(column).take(rows) {
        *centred = value - mean;
    }
    centred
}

fn dot(left: &Column, right: &Column, rows: std::ops::Range<usize>) -> f64 {
    left[rows.clone()]
        .iter()
        .zip(&right[rows])
        .map(|(left, right)| left * right)
        .sum()
}
