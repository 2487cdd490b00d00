//! How well a level is told as a few steps.

use crate::statistics::ROWS;

/// Sum of the squares that so many steps leave of a level at best: exact, by dynamic programming over where they lie
/// (Bellman 1961).
pub(super) fn unexplained(level: &[f64], steps: usize) -> f64 {
    let rows = level.len();
    // Sums from the first value, so that large levels lose no precision.
    let (mut sums, mut squares) = ([0.0; ROWS + 1], [0.0; ROWS + 1]);
    for (row, value) in level.iter().enumerate() {
        let value = value - level[0];
        sums[row + 1] = sums[row] + value;
        squares[row + 1] = squares[row] + value * value;
    }
    let flat = |from: usize, to: usize| {
        let sum = sums[to] - sums[from];
        (squares[to] - squares[from] - sum * sum / (to - from) as f64).max(0.0)
    };
    // What is left of the first rows with so many steps.
    let mut left = [0.0; ROWS + 1];
    for (to, left) in left.iter_mut().enumerate().take(rows + 1).skip(1) {
        *left = flat(0, to);
    }
    for step in 1..=steps {
        for to in (step + 1..=rows).rev() {
            for from in step..to {
                left[to] = left[to].min(left[from] + flat(from, to));
            }
        }
    }
    left[rows]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_are_told_exactly() {
        let level: Vec<f64> = [5.0, 9.0, 2.0, 30.0]
            .iter()
            .flat_map(|value| [*value; 8])
            .collect();
        assert!(unexplained(&level, 3) < 1e-9);
    }

    #[test]
    fn of_a_line_three_steps_leave_a_sixteenth() {
        let level: Vec<f64> = (0..48).map(f64::from).collect();
        let whole: f64 = level.iter().map(|value| (value - 23.5_f64).powi(2)).sum();
        assert!(
            (unexplained(&level, 3) / whole * 16.0 - 1.0).abs() < 0.01,
            "{}",
            unexplained(&level, 3) / whole
        );
    }

    #[test]
    fn large_levels_lose_no_precision() {
        let level: Vec<f64> = [8e9, 8e9 + 1e6]
            .iter()
            .flat_map(|value| [*value; 8])
            .collect();
        assert!(unexplained(&level, 3) < 1.0);
    }
}
