//! One instance beside its peers: the difference to their median, and the climb that it shows.

use crate::level::LevelSettings;
use crate::memory::{Bucket, Stretches};
use crate::peers::ends;
use crate::statistics::student_tail;
use crate::time::Timestamp;

/// Rows of a window.
pub(super) const ROWS: usize = 32;

pub(super) type Column = [f64; ROWS];

/// Least share of the rows that must have been seen.
const LEAST_SEEN: f64 = 0.85;

/// Rows from one onset that is tried to the next, and rows that are left for a climb.
const ONSET_STEP: usize = 2;
const LEAST_CLIMB_ROWS: usize = 12;

/// Quarters of a climb: the greatest share of one move between them, and the least of the middle ones and the newest.
const GREATEST_SHARE: f64 = 0.55;
const LEAST_SHARE: f64 = 0.12;
const LEAST_NEWEST_SHARE: f64 = 0.22;

/// One instance over a window.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// Its level, and its share above what it was when the window began.
    pub(super) level: Column,
    pub(super) load: Option<Column>,
    /// The level when the window begins, never 0.
    pub(super) base: f64,
    pub(super) samples: u64,
}

impl Track {
    /// `None` where it was not there for the whole window.
    pub(super) fn read(
        history: &[Bucket],
        from: Timestamp,
        seconds: f64,
        settings: &LevelSettings,
    ) -> Option<Self> {
        let row_seconds = seconds / ROWS as f64;
        let mut level = [f64::NAN; ROWS];
        let mut load = Some([0.0; ROWS]);
        let mut samples = 0;
        let mut stretches = Stretches::of(history, from);
        for row in 0..ROWS {
            let (begin, end) = (row_seconds * row as f64, row_seconds * (row + 1) as f64);
            let stretch = stretches.read(begin, end);
            samples += stretch.samples;
            if stretch.covered > 0.0 {
                level[row] = if settings.integer {
                    stretch.mean()
                } else {
                    stretch.low
                };
            }
            match (&mut load, stretch.load_per_second()) {
                (Some(load), Some(rate)) if stretch.covered > 0.0 => load[row] = rate,
                (_, Some(_)) if stretch.covered == 0.0 => {}
                _ => load = None,
            }
        }
        let seen = level.iter().filter(|level| !level.is_nan()).count();
        if (seen as f64) < LEAST_SEEN * ROWS as f64 {
            return None;
        }
        fill(&mut level);
        if let Some(load) = &mut load {
            for row in 1..ROWS {
                if load[row] == 0.0 {
                    load[row] = load[row - 1];
                }
            }
        }
        let base = ends(&level).0 + settings.quantum();
        Some(Self {
            level,
            load,
            base,
            samples,
        })
    }

    /// Its level relative to where it stood.
    fn relative(&self, row: usize) -> f64 {
        self.level[row] / self.base
    }

    /// By what share it has risen over the window.
    pub(super) fn relative_rise(&self) -> f64 {
        let (before, now) = ends(&self.level);
        (now - before) / self.base
    }
}

/// Rows that were not seen are as the one before, the first ones as the first that was.
fn fill(column: &mut Column) {
    let mut last = column
        .iter()
        .copied()
        .find(|value| !value.is_nan())
        .unwrap_or(0.0);
    for value in column {
        if value.is_nan() {
            *value = last;
        }
        last = *value;
    }
}

/// What one instance holds beyond what its peers let expect.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    /// From the window's beginning to its end.
    pub(super) moved: f64,
    pub(super) climb: Option<Climb>,
}

impl Difference {
    /// Of every instance, in order.
    pub(super) fn of_all(tracks: &[Track], seconds: f64, settings: &LevelSettings) -> Vec<Self> {
        let loads: Option<Vec<&Column>> = tracks.iter().map(|track| track.load.as_ref()).collect();
        let (mut levels, mut shares) = (sorted_rows(tracks.len()), sorted_rows(0));
        for (row, levels) in levels.iter_mut().enumerate() {
            levels.extend(tracks.iter().map(|track| track.relative(row)));
            levels.sort_by(f64::total_cmp);
            if let Some(loads) = &loads {
                shares[row].extend(loads.iter().map(|load| load[row]));
                shares[row].sort_by(f64::total_cmp);
            }
        }
        let difference = |own: usize| {
            let shares = loads.as_ref().map(|loads| {
                let load = loads[own];
                let share = |row: usize| {
                    let usual = median_without(&shares[row], load[row]);
                    if usual > 0.0 { load[row] / usual } else { 1.0 }
                };
                std::array::from_fn(share)
            });
            Self::of(&tracks[own], shares, &levels, seconds, settings)
        };
        (0..tracks.len()).map(difference).collect()
    }

    fn of(
        track: &Track,
        shares: Option<Column>,
        levels: &[Vec<f64>; ROWS],
        seconds: f64,
        settings: &LevelSettings,
    ) -> Self {
        let share_before = shares.as_ref().map_or(0.0, |shares| ends(shares).0);
        let level: Column = std::array::from_fn(|row| {
            let usual = median_without(&levels[row], track.relative(row));
            // A growing share of the load is credited in full.
            let more = match &shares {
                Some(shares) if share_before > 0.0 => (shares[row] / share_before).max(1.0),
                _ => 1.0,
            };
            track.level[row] - track.base * usual * more
        });
        let (before, now) = ends(&level);
        Self {
            climb: Climb::find(&level, seconds / ROWS as f64, settings.quantum()),
            moved: now - before,
        }
    }
}

fn sorted_rows(room: usize) -> [Vec<f64>; ROWS] {
    std::array::from_fn(|_| Vec::with_capacity(room))
}

/// The median of sorted numbers without one of them; that one where there is no other.
fn median_without(sorted: &[f64], own: f64) -> f64 {
    let place = sorted.partition_point(|value| value.total_cmp(&own).is_lt());
    let rest = sorted.len().saturating_sub(1);
    let at = |index: usize| sorted[if index < place { index } else { index + 1 }];
    match rest {
        0 => own,
        _ if rest % 2 == 1 => at(rest / 2),
        _ => f64::midpoint(at(rest / 2 - 1), at(rest / 2)),
    }
}

/// A climb to the end of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Climb {
    /// Its first row.
    pub(super) onset: usize,
    /// Per second, with its standard error.
    pub(super) slope: f64,
    pub(super) error: f64,
    pub(super) t: f64,
    pub(super) chance: f64,
    pub(super) rise: f64,
    pub(super) seconds: f64,
    pub(super) greatest_share: f64,
    pub(super) least_share: f64,
    pub(super) newest_share: f64,
}

impl Climb {
    /// The line, flat until its onset, that leaves least; `None` where it does not rise. The error is widened for the
    /// correlation of neighbouring rows, as for a first-order autoregression.
    fn find(level: &Column, row_seconds: f64, quantum: f64) -> Option<Self> {
        let mut best: Option<(f64, f64, f64, usize)> = None;
        for onset in (0..=ROWS - LEAST_CLIMB_ROWS).step_by(ONSET_STEP) {
            let line = |row: usize| row.saturating_sub(onset) as f64;
            let middle = (0..ROWS).map(line).sum::<f64>() / ROWS as f64;
            let mean = level.iter().sum::<f64>() / ROWS as f64;
            let (mut along, mut across, mut whole) = (0.0, 0.0, 0.0);
            for (row, level) in level.iter().enumerate() {
                along += (line(row) - middle).powi(2);
                across += (line(row) - middle) * (level - mean);
                whole += (level - mean).powi(2);
            }
            let slope = across / along;
            let left = (whole - slope * across).max(0.0);
            if slope > 0.0 && best.is_none_or(|(least, ..)| left < least) {
                best = Some((left, slope, along, onset));
            }
        }
        let (left, slope, along, onset) = best?;
        let line = |row: usize| row.saturating_sub(onset) as f64;
        let offset = (0..ROWS)
            .map(|row| level[row] - slope * line(row))
            .sum::<f64>()
            / ROWS as f64;
        let residual = |row: usize| level[row] - slope * line(row) - offset;
        let products: f64 = (1..ROWS).map(|row| residual(row) * residual(row - 1)).sum();
        let raw = if left > 0.0 { products / left } else { 0.0 };
        // Kendall's bias of a correlation, about twice as large beside a trend.
        let corrected = (raw + (2.0 + 4.0 * raw.max(0.0)) / ROWS as f64).clamp(0.0, 0.9);
        let freedom = ROWS as f64 - 3.0;
        let variance =
            (left / freedom).max(quantum * quantum / 12.0) * (1.0 + corrected) / (1.0 - corrected);
        let error = (variance / along).sqrt();
        let t = slope / error;
        let rows = ROWS - onset;
        let quarter = |quarter: usize| {
            let (begin, end) = (onset + quarter * rows / 4, onset + (quarter + 1) * rows / 4);
            super::mean(&level[begin..end])
        };
        let quarters: [f64; 4] = std::array::from_fn(quarter);
        let whole = quarters[3] - quarters[0];
        let share = |part: usize| {
            if whole > 0.0 {
                (quarters[part] - quarters[part - 1]) / whole
            } else {
                0.0
            }
        };
        let shares = [share(1), share(2), share(3)];
        Some(Self {
            onset,
            slope: slope / row_seconds,
            error: error / row_seconds,
            t,
            chance: student_tail(t, freedom),
            rise: slope * (rows - 1) as f64,
            seconds: row_seconds * (rows - 1) as f64,
            greatest_share: shares.into_iter().fold(0.0, f64::max),
            least_share: shares.into_iter().fold(1.0, f64::min),
            newest_share: shares[2],
        })
    }

    /// Whether it is a climb through all its parts that goes on, and neither a step nor a filling up.
    pub(super) fn is_spread(&self) -> bool {
        self.greatest_share <= GREATEST_SHARE
            && self.least_share >= LEAST_SHARE
            && self.newest_share >= LEAST_NEWEST_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_others_leaves_one_out() {
        let sorted = [1.0, 2.0, 2.0, 5.0, 9.0];
        let found = sorted.map(|own| median_without(&sorted, own));
        assert_eq!(found, [3.5, 3.5, 3.5, 2.0, 2.0]);
        assert_eq!(median_without(&[1.0, 2.0, 4.0, 8.0], 2.0), 4.0);
        assert_eq!(median_without(&[7.0], 7.0), 7.0);
    }
}
