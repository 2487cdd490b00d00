//! How well a level is told as a few steps.

use crate::statistics::ROWS;

/// Fewer rows are all needed.
const LEAST_ROWS_TO_SKIP: usize = 12;

/// Sum of the squares that so many steps leave of a level at best, where each step may change the level itself and what
/// a unit of load explains of it: exact, by dynamic programming over where they lie (Bellman 1961).
pub(super) fn unexplained(level: &[f64], load: Option<&[f64]>, steps: usize) -> f64 {
    let rows = level.len();
    let sums = Sums::of(level, load);
    let mut flat = [[0.0; ROWS + 1]; ROWS];
    for (from, flat) in flat.iter_mut().enumerate().take(rows) {
        for (to, flat) in flat.iter_mut().enumerate().take(rows + 1).skip(from + 1) {
            *flat = sums.unexplained(from, to);
        }
    }
    // A step lies within a row, which is then neither as before nor as after it.
    let skips = load.is_none() && rows >= LEAST_ROWS_TO_SKIP;
    // What is left of the first rows with so many steps.
    let mut left = [0.0; ROWS + 1];
    for (to, left) in left.iter_mut().enumerate().take(rows + 1).skip(1) {
        *left = flat[0][to];
    }
    for step in 1..=steps {
        for to in (step + 1..=rows).rev() {
            for from in step..to {
                left[to] = left[to].min(left[from] + flat[from][to]);
                if skips && from + 1 < to {
                    left[to] = left[to].min(left[from] + flat[from + 1][to]);
                }
            }
        }
    }
    left[rows]
}

/// Running sums, each up to a row, of a level and its load, their squares and their product.
struct Sums {
    level: [f64; ROWS + 1],
    load: [f64; ROWS + 1],
    level_level: [f64; ROWS + 1],
    load_load: [f64; ROWS + 1],
    level_load: [f64; ROWS + 1],
}

impl Sums {
    /// Both are taken from their first value, so that large ones lose no precision.
    fn of(level: &[f64], load: Option<&[f64]>) -> Self {
        const EMPTY: [f64; ROWS + 1] = [0.0; ROWS + 1];
        let mut sums = Self {
            level: EMPTY,
            load: EMPTY,
            level_level: EMPTY,
            load_load: EMPTY,
            level_load: EMPTY,
        };
        for row in 0..level.len() {
            let x = load.map_or(0.0, |load| load[row] - load[0]);
            let y = level[row] - level[0];
            sums.level[row + 1] = sums.level[row] + y;
            sums.load[row + 1] = sums.load[row] + x;
            sums.level_level[row + 1] = sums.level_level[row] + y * y;
            sums.load_load[row + 1] = sums.load_load[row] + x * x;
            sums.level_load[row + 1] = sums.level_load[row] + x * y;
        }
        sums
    }

    /// What a level that is steady but for its load leaves of some rows.
    fn unexplained(&self, from: usize, to: usize) -> f64 {
        let rows = (to - from) as f64;
        let of = |sums: &[f64; ROWS + 1]| sums[to] - sums[from];
        let (level, load) = (of(&self.level), of(&self.load));
        let level_level = of(&self.level_level) - level * level / rows;
        let load_load = of(&self.load_load) - load * load / rows;
        let level_load = of(&self.level_load) - level * load / rows;
        let by_load = if level_load > 0.0 && load_load > 1e-9 * of(&self.load_load) {
            level_load * level_load / load_load
        } else {
            0.0
        };
        (level_level - by_load).max(0.0)
    }
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
        assert!(unexplained(&level, None, 3) < 1e-9);
    }

    #[test]
    fn of_a_line_three_steps_leave_a_sixteenth_and_less_where_they_lie_within_rows() {
        let level: Vec<f64> = (0..48).map(f64::from).collect();
        let whole: f64 = level.iter().map(|value| (value - 23.5_f64).powi(2)).sum();
        let share = |load: Option<&[f64]>| unexplained(&level, load, 3) / whole;
        // A load that never changes explains nothing.
        assert!(
            (share(Some(&[7.0; 48])) * 16.0 - 1.0).abs() < 0.01,
            "{}",
            share(Some(&[7.0; 48]))
        );
        assert!((0.04..0.06).contains(&share(None)), "{}", share(None));
    }

    #[test]
    fn a_step_may_change_what_load_explains() {
        let load: Vec<f64> = (0..48).map(|row| f64::from(10 + row % 7)).collect();
        let level: Vec<f64> = load
            .iter()
            .enumerate()
            .map(|(row, load)| 20.0 + load * if row < 20 { 1.0 } else { 6.0 })
            .collect();
        assert!(unexplained(&level, Some(&load), 1) < 1e-6);
        assert!(unexplained(&level, None, 3) > 100.0);
    }

    #[test]
    fn large_levels_lose_no_precision() {
        let level: Vec<f64> = [8e9, 8e9 + 1e6]
            .iter()
            .flat_map(|value| [*value; 8])
            .collect();
        assert!(unexplained(&level, None, 3) < 1.0);
    }
}
