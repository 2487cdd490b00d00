//! The innocent explanations of a climb, each with its own test.
//!
//! A climb is a leak only when every one of them fails. They rest on principles, not on programs: what load explains is
//! credited to load in full proportion; a trend is spread, a step is not; what a collector or a day's peak has reached
//! before is nothing new; what fills up slows down; what is young may still be starting; a slow upstream can hold no
//! more than the requests that arrived while it was slow. Each names itself in the evidence, with its figures.

mod findings;
mod shape;
mod still;

use std::ops::Range;

use crate::climb::{Axis, Climb};
pub(crate) use crate::innocence::findings::{Findings, Standing};
use crate::level::LevelSettings;
use crate::memory::{Memory, SCALES};
use crate::time::Timestamp;
use crate::window::{LAGS, LOAD_MARGIN, Window, mean_of};

/// A level may follow its load a little more than in proportion, as queues do when they fill.
const LOAD_EXPONENT: f64 = 1.25;

/// What load explains of a rise is as uncertain as this share of it.
const LOAD_UNCERTAINTY: f64 = 0.25;

/// Where no load is known, growth is no load's when it lasts through a whole day, when it goes so many times above all
/// that a whole day before it reached, or when an amount grows by so many times its level within hours.
const WHOLE_DAY_SECONDS: f64 = 86_400.0;
const UNLOADED_TIMES_HIGHEST: f64 = 5.0;
const UNLOADED_TIMES_LEVEL: f64 = 2.0;
const UNLOADED_SECONDS: std::ops::RangeInclusive<f64> = 3600.0..=10_800.0;

/// A slow upstream holds at most the requests of so many seconds.
const UPSTREAM_SECONDS: f64 = 60.0;

/// Growth beyond these needs no long watching, where things are counted: so many, and more than a slow upstream could
/// hold; where the load is not known or the process is young, so many at least.
const STEEP_RISE: f64 = 200.0;
const STEEP_UNTRIED_RISE: f64 = 500.0;
/// Where the load is not known: so many times the level, within so long.
const STEEP_UNLOADED_TIMES: f64 = 10.0;
const STEEP_UNLOADED_SECONDS: f64 = 3600.0;

/// A young process may fill its pools and caches for so long, where things are counted and where bytes are; it is young
/// unless it was quiet for such a share of the time that it has climbed. What fills slowly is told from a line by a
/// greater newest share.
const YOUNG_NEWEST_SHARE: f64 = 0.27;
const YOUNG_COUNT_SECONDS: f64 = 1800.0;
const YOUNG_BYTES_SECONDS: f64 = 86_400.0;
const QUIET_SHARE: f64 = 0.2;
const QUIET_SECONDS: f64 = 1800.0;
/// So many higher and higher floors of a collector are no start any more.
const YOUNG_FLOORS: usize = 8;

/// Rows before the climb that can show that it was quiet.
const QUIET_ROWS: usize = 6;

/// What is counted turns over in the time in which as much arrives as is held (Little's law): a climb that has not lasted
/// so many times that long may still be the load of before.
const TURNOVERS: f64 = 10.0;

/// Growth before the window, in units of that in it: faster is a filling up, slower is none.
const FASTER_BEFORE: f64 = 1.3;
const FLAT_BEFORE: f64 = 0.3;

/// How far the present must lie above earlier highs, as a share of the climb.
const ABOVE_HIGHS: f64 = 0.1;

/// Rows that stand for the base of a climb at least, and most rows of the newest part that are compared with it.
const LEAST_BASE_ROWS: usize = 3;
const MOST_NEWEST_ROWS: usize = 12;

/// What is known of the series beside the window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    /// When the present life of the process began, or the series was first seen.
    pub(crate) born: Timestamp,
    /// No bucket before this is looked at.
    pub(crate) since: Timestamp,
    /// The highest lower envelope of earlier lives, and the load then where it is known.
    pub(crate) earlier_lives: Option<(f64, Option<f64>)>,
    /// Whether an earlier life was convicted: then neither youth nor a slow upstream is presumed.
    pub(crate) charged: bool,
}

/// A climb and all that is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) scale: usize,
    pub(crate) window: &'a Window,
    pub(crate) climb: &'a Climb,
    pub(crate) past: Past,
    pub(crate) settings: &'a LevelSettings,
    pub(crate) level_per_test: f64,
}

impl Case<'_> {
    /// Tries every explanation: the findings, and the first explanation that stands, if one does.
    pub(crate) fn judge(&self) -> (Findings, Option<Standing>) {
        let (window, climb) = (self.window, self.climb);
        let newest = climb.newest()..window.rows;
        let mut findings = Findings {
            t: climb.t(),
            chance: climb.chance(),
            level_per_test: self.level_per_test,
            floor: self
                .settings
                .absolute_floor
                .max(self.settings.relative_floor * self.base()),
            loaded: window.loaded,
            now: mean_of(&window.low[newest.clone()]),
            seconds: climb.seconds,
            quiet_seconds: window.begin(climb.onset) - self.past.born,
            upstream_bound: UPSTREAM_SECONDS * mean_of(&window.load[newest]),
            ..Findings::default()
        };
        let explanations = [
            Self::noise,
            Self::load,
            Self::shape,
            Self::earlier_high,
            Self::slow_upstream,
            Self::young,
            Self::steps,
        ];
        let standing = explanations
            .iter()
            .find_map(|explanation| explanation(self, &mut findings));
        (findings, standing)
    }

    /// The lower envelope before the climb.
    pub(crate) fn base(&self) -> f64 {
        mean_of(&self.window.low[self.base_rows()])
    }

    /// The load before the climb, where it is known.
    pub(crate) fn base_load(&self) -> Option<f64> {
        self.window
            .loaded
            .then(|| mean_of(&self.window.load[self.base_rows()]))
    }

    /// Rows before the climb, or its first rows where there are too few.
    fn base_rows(&self) -> Range<usize> {
        0..self.climb.onset.max(LEAST_BASE_ROWS)
    }

    fn noise(&self, findings: &mut Findings) -> Option<Standing> {
        (findings.chance > self.level_per_test).then_some(Standing::Noise)
    }

    fn load(&self, findings: &mut Findings) -> Option<Standing> {
        let base = self.base();
        let rise = if !self.settings.integer {
            // Of an amount load explains what it has been seen to explain: most of it is there without any.
            let low = &self.climb.low;
            mean_of(&low[self.climb.newest()..self.window.rows]) - mean_of(&low[self.base_rows()])
        } else if findings.loaded {
            self.beyond_load(self.base_rows())
        } else {
            findings.now - base
        };
        findings.unexplained = rise.max(f64::MIN);
        findings.steep = self.settings.integer
            && rise >= self.steep_bound(findings, base)
            && (findings.loaded || findings.seconds <= STEEP_UNLOADED_SECONDS);
        let uncertain = LOAD_UNCERTAINTY * (findings.now - base - rise);
        if rise < findings.floor.max(uncertain)
            || !(findings.loaded || findings.steep || self.is_beyond_days(findings))
        {
            return Some(Standing::Load);
        }
        let turnover = self.turnover_seconds();
        let followed = self.settings.integer
            && turnover.is_some_and(|turnover| findings.seconds < TURNOVERS * turnover);
        followed.then_some(Standing::Load)
    }

    /// The time in which as much arrived as was held before the climb, at most.
    fn turnover_seconds(&self) -> Option<f64> {
        self.window.turnover_seconds(0..self.climb.onset.max(1))
    }

    /// Running means of the load that the level may follow: a count follows it for as long as it turns over.
    fn lags(&self) -> usize {
        let turnover = self.turnover_seconds().unwrap_or(0.0);
        LAGS.iter()
            .take_while(|lag| **lag * self.window.bucket_seconds < TURNOVERS * turnover)
            .count()
    }

    /// Whether it climbed through a day, or above the days before, or faster than days change, where no load is known.
    fn is_beyond_days(&self, findings: &Findings) -> bool {
        let through_a_day = findings.seconds >= WHOLE_DAY_SECONDS;
        let highest = self.highest_before(|_| true).unwrap_or(f64::INFINITY);
        let seen_before = self.window.begin(self.climb.onset) - self.past.since;
        let above_a_day =
            seen_before >= WHOLE_DAY_SECONDS && findings.now >= UNLOADED_TIMES_HIGHEST * highest;
        let within_hours = !self.settings.integer
            && UNLOADED_SECONDS.contains(&findings.seconds)
            && findings.unexplained >= UNLOADED_TIMES_LEVEL * self.base();
        through_a_day || above_a_day || within_hours
    }

    /// So much more that nothing ordinary explains it, however short the time.
    fn steep_bound(&self, findings: &Findings, base: f64) -> f64 {
        if findings.loaded {
            STEEP_RISE.max(findings.upstream_bound)
        } else {
            STEEP_UNTRIED_RISE.max(STEEP_UNLOADED_TIMES * base)
        }
    }

    /// The rise of the lower envelope over some earlier rows that load cannot explain: the median over the newest rows.
    fn beyond_load(&self, earlier: Range<usize>) -> f64 {
        let window = self.window;
        let newest = self.climb.newest().max(window.rows - MOST_NEWEST_ROWS);
        let lags = self.lags();
        let mut beyond = [0.0; MOST_NEWEST_ROWS];
        for (row, beyond) in (newest..window.rows).zip(&mut beyond) {
            *beyond = window.low[row] - self.expected(row, earlier.clone(), lags);
        }
        let beyond = &mut beyond[..window.rows - newest];
        beyond.sort_by(f64::total_cmp);
        beyond[beyond.len() / 2]
    }

    /// What the lower envelope of a row would be, had nothing but the load changed since earlier rows: the same or, where
    /// there is more load now, as much more as the mean would be in proportion (the envelope of a low count rises faster
    /// than its mean), whatever the delay with which the level follows the load. The lowest
    /// such expectation is the best match; the one after it is taken for noise's sake.
    fn expected(&self, row: usize, earlier: Range<usize>, lags: usize) -> f64 {
        let window = self.window;
        let (mut lowest, mut second) = (f64::INFINITY, f64::INFINITY);
        for before in earlier {
            let loads = std::iter::once(&window.load).chain(&window.lags[..lags]);
            let more = loads
                .map(|load| ratio(load[row], load[before]))
                .fold(1.0, f64::max);
            // The power costs most of the test: it is spared where the row cannot be the best match anyway.
            let (low, mean) = (window.low[before], window.mean[before]);
            if low + mean * (more - 1.0) >= second {
                continue;
            }
            let expected = low
                + mean
                    * if more > 1.0 {
                        more.powf(LOAD_EXPONENT) - 1.0
                    } else {
                        0.0
                    };
            if expected < lowest {
                (lowest, second) = (expected, lowest);
            } else if expected < second {
                second = expected;
            }
        }
        if second.is_finite() { second } else { lowest }
    }

    /// Whether it has been as high before under no more load: as at a day's peak, or before a collection.
    fn earlier_high(&self, findings: &mut Findings) -> Option<Standing> {
        let window = self.window;
        let load = LOAD_MARGIN * mean_of(&window.load[self.climb.newest()..window.rows]);
        // Memory follows load too loosely for that: what it has reached, it has reached.
        let comparable = |before: Option<f64>| {
            !window.loaded || !self.settings.integer || before.is_none_or(|before| before <= load)
        };
        findings.highest_before = self.highest_before(comparable);
        let margin = ABOVE_HIGHS * self.climb.rise();
        if findings
            .highest_before
            .is_some_and(|highest| findings.now < highest + margin)
        {
            return Some(Standing::EarlierHigh);
        }
        let (lived, _) = self
            .past
            .earlier_lives
            .filter(|(_, load)| comparable(*load))?;
        findings.earlier_lives = Some(lived);
        (!self.past.charged && findings.now < lived + margin).then_some(Standing::EarlierLife)
    }

    /// The highest lower envelope of this life before the climb, of the buckets whose load passes.
    fn highest_before(&self, comparable: impl Fn(Option<f64>) -> bool) -> Option<f64> {
        let onset = self.window.begin(self.climb.onset);
        let mut highest: Option<f64> = None;
        // Where only floors are looked at, a bucket must be as long as a cycle to have one.
        let least_seconds = self.window.cycle_seconds.unwrap_or(0.0);
        let scales = (self.scale..SCALES)
            .filter(|scale| self.memory.bucket_seconds(*scale) >= least_seconds);
        for scale in scales {
            let seconds = self.memory.bucket_seconds(scale);
            let before = self
                .memory
                .closed(scale)
                .take_while(|(begin, _)| begin.shifted(seconds) <= onset);
            for (_, cell) in
                before.filter(|(begin, cell)| *begin >= self.past.since && comparable(cell.load))
            {
                highest = Some(highest.map_or(cell.minimum, |highest| highest.max(cell.minimum)));
            }
        }
        highest
    }

    /// Whether a process that is still young may be starting, or filling what it fills.
    fn young(&self, findings: &mut Findings) -> Option<Standing> {
        let (starting, young) = if self.settings.integer {
            (Standing::WarmUp, YOUNG_COUNT_SECONDS)
        } else {
            (Standing::Filling, YOUNG_BYTES_SECONDS)
        };
        let before = self.rate_before().map(|rate| rate / self.climb.slope);
        if before.is_some_and(|before| before > FASTER_BEFORE) {
            return Some(Standing::Filling);
        }
        // Where it climbed alike before the window, a coarser scale sees since when.
        if self.climb.onset < 2 && before.is_some_and(|before| before > FLAT_BEFORE) {
            return Some(starting);
        }
        let flat = before.is_some_and(|before| before <= FLAT_BEFORE);
        if flat && findings.quiet_seconds >= (QUIET_SHARE * findings.seconds).min(QUIET_SECONDS) {
            return None;
        }
        // What is young must climb over time and in itself, not only over work or with its load taken out.
        let over_time = Climb::since(self.window, Axis::Time, self.climb.onset, 0.0);
        let parts = over_time.and_then(|climb| climb.parts(self.window, &self.window.low));
        if parts
            .is_none_or(|parts| parts[3] - parts[2] < YOUNG_NEWEST_SHARE * (parts[3] - parts[0]))
        {
            return Some(Standing::Filling);
        }
        let beyond = findings.steep && findings.unexplained >= STEEP_UNTRIED_RISE;
        let collected = self.window.cycle_seconds.is_some()
            && self.window.rows - self.climb.onset >= YOUNG_FLOORS;
        let young = if collected { 0.0 } else { young };
        (findings.seconds < young && !beyond && !self.past.charged).then_some(starting)
    }

    /// How fast it climbed before the climb, per second; `None` where too little of that is remembered.
    fn rate_before(&self) -> Option<f64> {
        let window = self.window;
        if self.climb.onset >= QUIET_ROWS {
            return Some(slope(
                &window.time[..self.climb.onset],
                &self.climb.mean[..self.climb.onset],
            ));
        }
        if self.climb.onset >= 2 {
            let rise = self.climb.mean[self.climb.onset] - self.climb.mean[0];
            return Some(rise / (window.time[self.climb.onset] - window.time[0]));
        }
        let coarser = (self.scale + 3).min(SCALES - 1);
        let begin = window.begin(0);
        let earliest = begin
            .shifted(2.0 * (begin - window.end))
            .max(self.past.since);
        let seconds = self.memory.bucket_seconds(coarser);
        let known = |start: &Timestamp| *start >= earliest && start.shifted(2.0 * seconds) <= begin;
        let (start, cell) = self
            .memory
            .closed(coarser)
            .find(|(start, _)| known(start))?;
        Some((window.low[0] - cell.minimum) / (begin - start))
    }
}

/// Least-squares slope of some rows.
fn slope(time: &[f64], level: &[f64]) -> f64 {
    let (middle, mean) = (mean_of(time), mean_of(level));
    let (mut along, mut across) = (0.0, 0.0);
    for (time, level) in time.iter().zip(level) {
        along += (time - middle).powi(2);
        across += (time - middle) * (level - mean);
    }
    if along > 0.0 { across / along } else { 0.0 }
}

/// How many times as much load there is now.
fn ratio(now: f64, before: f64) -> f64 {
    if before > 0.0 {
        now / before
    } else if now > 0.0 {
        f64::INFINITY
    } else {
        1.0
    }
}
