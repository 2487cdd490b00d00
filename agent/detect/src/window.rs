//! The past as one scale sees it, as columns for a fit.
//!
//! The recent rows are the scale's own buckets; before them come buckets of the two coarser scales, so that a climb is
//! always seen against ten times its window of what was before. Holds only whole buckets of the present life. The load
//! comes with running means of it, because a level follows its load with the delay of what it holds, and as the work
//! done so far, because a leak may grow with work and not with time.

mod floors;

use std::ops::Range;

use crate::memory::{Cell, Memory, SCALES};
use crate::statistics::{Column, ROWS};
use crate::time::Timestamp;

/// Fewest buckets of the scale itself that are judged.
pub(crate) const LEAST_ROWS: usize = 12;

/// Coarser scales that are looked at, and most buckets of each.
const COARSER_SCALES: usize = 2;
const COARSER_ROWS: usize = 12;

/// Least share of the time that its own buckets must cover.
const LEAST_COVERED: f64 = 0.75;

/// Fewest samples that a bucket must hold on average.
const LEAST_SAMPLES_A_ROW: u64 = 2;

/// Time constants of the load's running means, in buckets of the scale.
pub(crate) const LAGS: [f64; 3] = [3.0, 12.0, 48.0];

/// Newest rows that are compared with the others for a first look, and rows between that are passed over.
const NEWEST_ROWS: usize = 3;
const BETWEEN_ROWS: usize = 6;

/// A load up to this much higher is no more load.
pub(crate) const LOAD_MARGIN: f64 = 1.1;

/// Buckets from old to new.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) rows: usize,
    /// Middle of each bucket, in seconds before (so negative) the end, and its length.
    pub(crate) time: Column,
    pub(crate) seconds: Column,
    /// Lowest sample of each bucket: the lower envelope.
    pub(crate) low: Column,
    pub(crate) mean: Column,
    pub(crate) high: Column,
    /// Samples in each bucket.
    pub(crate) counts: Column,
    /// Mean rate of the load in each bucket, per second, and running means of it up to each bucket's end.
    pub(crate) load: Column,
    pub(crate) lags: [Column; LAGS.len()],
    /// Load from the first bucket's middle to that of each.
    pub(crate) work: Column,
    /// Whether the load is known throughout.
    pub(crate) loaded: bool,
    pub(crate) bucket_seconds: f64,
    pub(crate) end: Timestamp,
    pub(crate) samples: u64,
    /// Fewest rows that make a climb.
    pub(crate) least_rows: usize,
    /// Where only a collector's floors are left: the longest time between two.
    pub(crate) cycle_seconds: Option<f64>,
}

impl Window {
    /// A first look at a scale's own buckets, which mostly spares the rest: whether the present lower envelope is above
    /// the earlier ones that had no more load.
    pub(crate) fn is_worth_reading(memory: &Memory, scale: usize, since: Timestamp) -> bool {
        let mut newest_first = memory
            .closed(scale)
            .rev()
            .take_while(|(begin, _)| *begin >= since);
        let (mut low, mut load) = (0.0, Some(0.0));
        for _ in 0..NEWEST_ROWS {
            let Some((_, cell)) = newest_first.next() else {
                return false;
            };
            low += cell.minimum / NEWEST_ROWS as f64;
            load = load
                .zip(cell.load)
                .map(|(sum, load)| sum + LOAD_MARGIN * load / NEWEST_ROWS as f64);
        }
        newest_first.skip(BETWEEN_ROWS).all(|(_, cell)| {
            cell.minimum < low
                || load
                    .zip(cell.load)
                    .is_some_and(|(load, before)| before > load)
        })
    }

    /// The buckets as a scale sees them, none that began before `since`. `None` where they are too few to judge.
    pub(crate) fn read(memory: &Memory, scale: usize, since: Timestamp) -> Option<Self> {
        let mut window = Self::empty(memory, scale, since)?;
        let mut from = memory
            .closed(scale)
            .map(|(begin, _)| begin)
            .find(|begin| *begin >= since)?;
        // From fine to coarse: where each scale begins and ends.
        let mut spans = [(scale, from, from); COARSER_SCALES + 1];
        spans[0].2 = window.end;
        for (index, coarser) in (scale + 1..SCALES).take(COARSER_SCALES).enumerate() {
            let seconds = memory.bucket_seconds(coarser);
            let until = memory.handover(coarser, from, since);
            spans[index].1 = until;
            let whole = |begin: &Timestamp| *begin >= since && begin.shifted(seconds) <= until;
            let newest_first = memory
                .closed(coarser)
                .map(|(begin, _)| begin)
                .rev()
                .filter(whole);
            from = newest_first.take(COARSER_ROWS).last().unwrap_or(until);
            spans[index + 1] = (coarser, from, until);
        }
        for (scale, from, until) in spans.into_iter().rev() {
            window.push_between(memory, scale, from, until);
        }
        window.is_enough(scale, memory).then_some(window)
    }

    /// As [`read`](Self::read), with the scale's own buckets alone.
    pub(crate) fn read_recent(memory: &Memory, scale: usize, since: Timestamp) -> Option<Self> {
        let mut window = Self::empty(memory, scale, since)?;
        let end = window.end;
        window.push_between(memory, scale, since, end);
        window.is_enough(scale, memory).then_some(window)
    }

    fn empty(memory: &Memory, scale: usize, since: Timestamp) -> Option<Self> {
        let (bucket_seconds, end) = (memory.bucket_seconds(scale), memory.end(scale));
        if bucket_seconds == 0.0 || end - since < bucket_seconds * LEAST_ROWS as f64 {
            return None;
        }
        Some(Self {
            rows: 0,
            time: [0.0; ROWS],
            seconds: [0.0; ROWS],
            low: [0.0; ROWS],
            mean: [0.0; ROWS],
            high: [0.0; ROWS],
            counts: [0.0; ROWS],
            load: [0.0; ROWS],
            lags: [[0.0; ROWS]; LAGS.len()],
            work: [0.0; ROWS],
            loaded: true,
            bucket_seconds,
            end,
            samples: 0,
            least_rows: LEAST_ROWS,
            cycle_seconds: None,
        })
    }

    /// Whether the scale's own buckets are enough to judge, few of them empty and with some samples in each.
    fn is_enough(&self, scale: usize, memory: &Memory) -> bool {
        let seconds = memory.bucket_seconds(scale);
        let Some(first) = (0..self.rows).find(|row| self.seconds[*row] == seconds) else {
            return false;
        };
        let own = self.rows - first;
        own >= LEAST_ROWS
            && own as f64 * seconds >= LEAST_COVERED * (self.end - self.begin(first))
            && self.samples >= LEAST_SAMPLES_A_ROW * self.rows as u64
    }

    fn push_between(&mut self, memory: &Memory, scale: usize, from: Timestamp, until: Timestamp) {
        let seconds = memory.bucket_seconds(scale);
        for (begin, cell) in memory.closed(scale).skip_while(|(begin, _)| *begin < from) {
            if begin >= until {
                break;
            }
            self.push(begin, seconds, &cell);
        }
    }

    fn push(&mut self, begin: Timestamp, seconds: f64, cell: &Cell) {
        let row = self.rows;
        self.time[row] = begin - self.end + seconds / 2.0;
        self.seconds[row] = seconds;
        self.low[row] = cell.minimum;
        self.mean[row] = cell.mean;
        self.high[row] = cell.maximum;
        self.counts[row] = f64::from(cell.samples);
        match cell.load {
            Some(load) => self.load[row] = load,
            None => self.loaded = false,
        }
        self.samples += u64::from(cell.samples);
        self.rows += 1;
    }

    /// Whether the present lower envelope is above all earlier ones that had no more load, and by as much as `least`
    /// above the lowest of them: without that there is no climb to judge.
    pub(crate) fn is_new_high(&self, least: f64) -> bool {
        let newest = self.rows - NEWEST_ROWS;
        let low = mean_of(&self.low[newest..self.rows]);
        let load = LOAD_MARGIN * mean_of(&self.load[newest..self.rows]);
        let mut lowest = f64::INFINITY;
        for row in 0..newest - BETWEEN_ROWS {
            lowest = lowest.min(self.low[row]);
            if self.low[row] >= low && !(self.loaded && self.load[row] > load) {
                return false;
            }
        }
        // With less load than ever before there may be a climb under a falling level.
        low >= lowest + least || (self.loaded && (0..newest).all(|row| self.load[row] > load))
    }

    /// Fills in the running means of the load and the work done.
    pub(crate) fn run_loads(&mut self) {
        if !self.loaded {
            return;
        }
        let mut lags = [self.load[0]; LAGS.len()];
        let mut weights = [0.0; LAGS.len()];
        let (mut seconds, mut work) = (0.0, 0.0);
        for row in 0..self.rows {
            if self.seconds[row] != seconds {
                seconds = self.seconds[row];
                weights =
                    LAGS.map(|constant| 1.0 - (-seconds / (constant * self.bucket_seconds)).exp());
            }
            for ((lag, column), weight) in lags.iter_mut().zip(&mut self.lags).zip(weights) {
                *lag += (self.load[row] - *lag) * weight;
                column[row] = *lag;
            }
            if row > 0 {
                work += (self.time[row] - self.time[row - 1])
                    * (self.load[row] + self.load[row - 1])
                    / 2.0;
            }
            self.work[row] = work;
        }
    }

    /// The longest time in which as much arrived as was held (Little's law), of some rows. `None` where nothing arrived
    /// or no load is known.
    pub(crate) fn turnover_seconds(&self, rows: Range<usize>) -> Option<f64> {
        rows.filter(|row| self.loaded && self.load[*row] > 0.0)
            .map(|row| self.mean[row] / self.load[row])
            .reduce(f64::max)
    }

    /// Whether what is held turns over within half a bucket, so that neighbouring buckets are independent but for load.
    pub(crate) fn is_brisk(&self, rows: Range<usize>) -> bool {
        self.turnover_seconds(rows)
            .is_some_and(|seconds| seconds < 0.5 * self.bucket_seconds)
    }

    /// When a row's bucket begins.
    pub(crate) fn begin(&self, row: usize) -> Timestamp {
        self.end.shifted(self.time[row] - self.seconds[row] / 2.0)
    }
}

/// Mean of some rows of a column.
pub(crate) fn mean_of(rows: &[f64]) -> f64 {
    rows.iter().sum::<f64>() / rows.len().max(1) as f64
}
