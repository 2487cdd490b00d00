//! What is left of a window when only a collector's floors are looked at.
//!
//! An amount that a collector gives back again and again says nothing between two collections; what it holds for good is
//! where it falls back to. The floors are found by its falls, not by a time: as many cycles as the window's rows show,
//! whatever their length.

use crate::memory::{BUCKETS, Memory};
use crate::time::Timestamp;
use crate::window::{LEAST_ROWS, Window, mean_of};

/// Fewest floors that make a climb; one more must have been seen.
const LEAST_FLOORS: usize = 4;

/// A fall of at least this share of the deepest one ends at a floor; it must be worth this share of the level.
const FALL_SHARE: f64 = 0.5;
const LEAST_FALL: f64 = 0.02;

/// Newest floors that must be above all others.
const NEWEST_FLOORS: usize = 2;

impl Window {
    /// A first look: whether each third of the scale's own buckets has a higher floor than the one before, together by
    /// `least`.
    pub(crate) fn has_rising_floors(
        memory: &Memory,
        scale: usize,
        since: Timestamp,
        least: f64,
    ) -> bool {
        let mut newest_first = [f64::INFINITY; 3];
        let mut count = 0;
        let buckets = memory
            .closed(scale)
            .rev()
            .take_while(|(begin, _)| *begin >= since);
        for (index, (_, cell)) in buckets.enumerate() {
            let third = &mut newest_first[(3 * index / BUCKETS).min(2)];
            *third = third.min(cell.minimum);
            count += 1;
        }
        let [new, middle, old] = newest_first;
        let unseen = old.is_infinite();
        count >= LEAST_ROWS
            && new > middle
            && (unseen || middle > old)
            && new > least + if unseen { middle } else { old }
    }

    /// Only the rows to which the level fell back: the lowest between two tops. `None` where it never falls by much, or
    /// too seldom.
    pub(crate) fn floors(&self) -> Option<Self> {
        let fall = FALL_SHARE * self.deepest_fall();
        if fall < LEAST_FALL * mean_of(&self.mean[..self.rows]) {
            return None;
        }
        let mut floors = Self {
            rows: 0,
            least_rows: LEAST_FLOORS,
            ..self.clone()
        };
        let (mut top, mut lowest) = (self.high[0], None::<usize>);
        for row in 1..self.rows {
            match lowest {
                Some(floor) if self.low[row] < self.low[floor] => {
                    lowest = Some(row);
                    continue;
                }
                Some(floor) if self.high[row] - self.low[floor] < fall => continue,
                Some(floor) => {
                    // Where it began no higher than the first floor, the floor before was no higher than that.
                    if floors.rows == 0 && self.low[0] <= self.low[floor] {
                        floors.keep(self, 0);
                    }
                    floors.keep(self, floor);
                    lowest = None;
                    // Between two rows there may be a top of which only the rows' own highest tell.
                    top = if floor + 1 == row {
                        self.high[floor]
                    } else {
                        0.0
                    };
                }
                None => {}
            }
            if top - self.low[row] >= fall {
                lowest = Some(row);
                top = 0.0;
            }
            top = top.max(self.high[row]);
        }
        if floors.rows <= LEAST_FLOORS {
            return None;
        }
        floors.cycle_seconds = floors.time[..floors.rows]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .reduce(f64::max);
        Some(floors)
    }

    /// Takes over a row of another window as a floor.
    fn keep(&mut self, from: &Self, row: usize) {
        let to = self.rows;
        self.time[to] = from.time[row];
        self.seconds[to] = from.seconds[row];
        self.low[to] = from.low[row];
        self.mean[to] = from.low[row];
        self.high[to] = from.high[row];
        self.counts[to] = from.counts[row];
        self.load[to] = from.load[row];
        self.rows += 1;
    }

    /// The deepest fall from a row to a later one.
    fn deepest_fall(&self) -> f64 {
        let (mut top, mut deepest) = (self.high[0], 0.0_f64);
        for row in 1..self.rows {
            deepest = deepest.max(top - self.low[row]);
            top = top.max(self.high[row]);
        }
        deepest
    }

    /// Whether the newest floors are above all others.
    pub(crate) fn ends_on_a_new_high(&self) -> bool {
        let newest = self.rows - NEWEST_FLOORS;
        let now = mean_of(&self.low[newest..self.rows]);
        self.low[..newest].iter().all(|low| *low < now)
    }
}
