//! The rising level nearest to a level.

use crate::statistics::{Column, ROWS};

/// The level that never falls and leaves the least sum of squares (Ayer et al. 1955), and how many values it takes.
pub(super) fn nearest(level: &[f64]) -> (Column, usize) {
    // Mean and number of rows of each stretch.
    let mut stretches = [(0.0, 0.0); ROWS];
    let mut count = 0;
    for value in level {
        stretches[count] = (*value, 1.0);
        count += 1;
        while count > 1 && stretches[count - 2].0 >= stretches[count - 1].0 {
            let ((mean, rows), (other, more)) = (stretches[count - 2], stretches[count - 1]);
            stretches[count - 2] = ((mean * rows + other * more) / (rows + more), rows + more);
            count -= 1;
        }
    }
    let mut rising = [0.0; ROWS];
    let mut row = 0;
    for (mean, rows) in &stretches[..count] {
        for value in &mut rising[row..row + *rows as usize] {
            *value = *mean;
        }
        row += *rows as usize;
    }
    (rising, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_is_levelled_and_what_rises_is_kept() {
        let (rising, count) = nearest(&[1.0, 4.0, 2.0, 3.0, 7.0, 6.0]);
        assert_eq!(rising[..6], [1.0, 3.0, 3.0, 3.0, 6.5, 6.5]);
        assert_eq!(count, 3);
    }

    #[test]
    fn a_falling_level_is_its_mean() {
        let (rising, count) = nearest(&[5.0, 4.0, 3.0]);
        assert_eq!((&rising[..3], count), (&[4.0, 4.0, 4.0][..], 1));
    }
}
