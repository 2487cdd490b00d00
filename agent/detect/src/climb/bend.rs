//! Whether a climb bends, judged by its own unevenness.
//!
//! What fills up slows down, what leaks does not. Over a climb a parabola is fitted; by how many standard errors its bend
//! is negative says whether it slows down at all, the slopes at its two ends by how much. A leak in bursts is uneven and
//! so seldom sure to bend; a cache that fills smoothly is found out long before it is full.

use crate::climb::Noise;
use crate::statistics::{ROWS, solve_normal};
use crate::window::mean_of;

/// Fewer rows do not tell a bend.
const LEAST_ROWS: usize = 8;

/// How a climb bends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bend {
    /// Standard errors by which it slows down; negative where it speeds up.
    pub(crate) errors: f64,
    /// The slope at its end in units of that at its beginning.
    pub(crate) end_slope: f64,
}

impl Bend {
    /// The bend of a level along an axis. `None` where there is too little of it.
    pub(super) fn of(along: &[f64], level: &[f64], quantum: f64) -> Option<Self> {
        let rows = along.len();
        let whole = along.last()? - along.first()?;
        if rows < LEAST_ROWS || whole <= 0.0 {
            return None;
        }
        let mut line = [0.0; ROWS];
        let mut square = [0.0; ROWS];
        for row in 0..rows {
            line[row] = (along[row] - along[0]) / whole;
            square[row] = line[row] * line[row];
        }
        let (line_mean, square_mean) = (mean_of(&line[..rows]), mean_of(&square[..rows]));
        let level_mean = mean_of(level);
        let mut normal = [[0.0; 3]; 3];
        let mut moments = [0.0; 3];
        for row in 0..rows {
            let (x, xx) = (line[row] - line_mean, square[row] - square_mean);
            let y = level[row] - level_mean;
            normal[0][0] += xx * xx;
            normal[1][0] += x * xx;
            normal[1][1] += x * x;
            moments[0] += xx * y;
            moments[1] += x * y;
        }
        let solved = solve_normal(&normal, &moments, 2)?;
        let [bend, begin, _] = solved.coefficients;
        let mut residuals = [0.0; ROWS];
        for row in 0..rows {
            residuals[row] = level[row]
                - level_mean
                - bend * (square[row] - square_mean)
                - begin * (line[row] - line_mean);
        }
        let noise = Noise::of(&residuals[..rows], 3, quantum, None);
        Some(Self {
            errors: -bend / (noise.variance * solved.leverage).sqrt(),
            end_slope: if begin > 0.0 {
                (begin + 2.0 * bend) / begin
            } else {
                f64::INFINITY
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bend(level: impl Fn(f64) -> f64) -> Bend {
        let along: Vec<f64> = (0..24).map(f64::from).collect();
        // Unevenness of its own.
        let level: Vec<f64> = (0..24)
            .map(|row| level(f64::from(row) / 23.0) + f64::from(row * 7 % 5) - 2.0)
            .collect();
        Bend::of(&along, &level, 1.0).expect("enough rows")
    }

    #[test]
    fn a_line_does_not_bend_and_what_fills_up_does() {
        let line = bend(|x| 500.0 * x);
        assert!(line.errors.abs() < 2.0, "{line:?}");
        assert!((line.end_slope - 1.0).abs() < 0.05, "{line:?}");
        let filling = bend(|x| 500.0 * (1.0 - (-x).exp()));
        assert!(filling.errors > 10.0, "{filling:?}");
        // In truth exp(-1) = 0.37: a parabola bends evenly.
        assert!((0.3..0.45).contains(&filling.end_slope), "{filling:?}");
    }

    #[test]
    fn a_little_of_an_uneven_climb_is_not_sure_to_bend() {
        let little = bend(|x| 5.0 * (1.0 - (-x).exp()));
        assert!(little.errors < 3.0, "{little:?}");
    }

    #[test]
    fn few_rows_say_nothing() {
        assert!(Bend::of(&[0.0, 1.0, 2.0], &[0.0, 1.0, 2.0], 1.0).is_none());
    }
}
