//! The innocent explanations of a climb, each with its own test.
//!
//! A climb is a leak only when every one of them fails. They rest on principles, not on programs: what load explains is
//! credited to load in full proportion; a trend is spread, a step is not; what a collector or a day's peak has reached
//! before is nothing new; what fills up slows down; what is young may still be starting; a slow upstream can hold no
//! more than the requests that arrived while it was slow. Each names itself in the evidence, with its figures.

mod findings;

use std::ops::Range;

use crate::climb::{Axis, Climb};
pub(crate) use crate::innocence::findings::{Findings, Standing};
use crate::level::LevelSettings;
use crate::memory::{Memory, SCALES};
use crate::time::Timestamp;
use crate::window::{LOAD_MARGIN, Window, mean_of};

/// A level may follow its load a little more than in proportion, as queues do when they fill.
const LOAD_EXPONENT: f64 = 1.25;

/// Without a known load: growth by this many times the level, for so long, is no load's; or growth through a whole day.
const UNLOADED_RISE: f64 = 2.0;
const UNLOADED_SECONDS: f64 = 3600.0;
const WHOLE_DAY_SECONDS: f64 = 86_400.0;

/// A slow upstream holds at most the requests of so many seconds, and has recovered or been given up after so long.
const UPSTREAM_SECONDS: f64 = 60.0;
const UPSTREAM_OUTAGE_SECONDS: f64 = 1800.0;

/// Growth beyond these needs no long watching, where things are counted: so many, so many where the load is not known or
/// the process is young, and so many times the level where the load is not known.
const STEEP_RISE: f64 = 200.0;
const STEEP_UNTRIED_RISE: f64 = 500.0;
const STEEP_UNLOADED_TIMES: f64 = 10.0;

/// A climb must leave less unexplained than this share of what the best step leaves.
const SHARE_OF_STEP: f32 = 0.7;
/// Greatest share of the climb that may lie between two neighbouring parts, and the least.
const GREATEST_SHARE: f32 = 0.6;
const LEAST_SHARE: f32 = 0.12;
/// The same for the lower envelope, which is rougher.
const LEAST_LOW_SHARE: f32 = 0.06;
/// Least share that the newest must have: it still climbs and does not fill up. A straight line has a third.
const LEAST_NEWEST_SHARE: f64 = 0.22;
/// Share of the climb by which its newest part must exceed its second, with the load's growth credited.
const STILL_CLIMBING: f64 = 0.15;

/// A young process may fill its pools and caches for so long, where things are counted and where bytes are; it is young
/// unless it was quiet for this share of the time that it has climbed.
const YOUNG_COUNT_SECONDS: f64 = 1800.0;
const YOUNG_BYTES_SECONDS: f64 = 8.0 * 3600.0;
const QUIET_SHARE: f64 = 0.25;

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
        let rise = if findings.loaded {
            self.beyond_load(self.base_rows())
        } else {
            findings.now - base
        };
        findings.unexplained = rise.max(f64::MIN);
        findings.steep =
            self.settings.integer && findings.unexplained >= self.steep_bound(findings, base);
        let long = findings.seconds >= WHOLE_DAY_SECONDS
            || (findings.seconds >= UNLOADED_SECONDS && rise >= UNLOADED_RISE * base);
        if rise < findings.floor || !(findings.loaded || findings.steep || long) {
            return Some(Standing::Load);
        }
        let second = self.climb.first_of(1)..self.climb.first_of(2);
        let comparable = findings.loaded && second.len() >= 2;
        (comparable && self.beyond_load(second) < STILL_CLIMBING * self.climb.rise())
            .then_some(Standing::Load)
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
        let mut beyond = [0.0; MOST_NEWEST_ROWS];
        for (row, beyond) in (newest..window.rows).zip(&mut beyond) {
            *beyond = window.low[row] - self.expected(row, earlier.clone());
        }
        let beyond = &mut beyond[..window.rows - newest];
        beyond.sort_by(f64::total_cmp);
        beyond[beyond.len() / 2]
    }

    /// What the lower envelope of a row would be, had nothing but the load changed since earlier rows: the same or, where
    /// there is more load now, more in proportion, whatever the delay with which the level follows the load. The lowest
    /// such expectation is the best match; the one after it is taken for noise's sake.
    fn expected(&self, row: usize, earlier: Range<usize>) -> f64 {
        let window = self.window;
        let (mut lowest, mut second) = (f64::INFINITY, f64::INFINITY);
        for before in earlier {
            let loads = std::iter::once(&window.load).chain(&window.lags);
            let more = loads
                .map(|load| ratio(load[row], load[before]))
                .fold(1.0, f64::max);
            // The power costs most of the test: it is spared where the row cannot be the best match anyway.
            if window.low[before] * more >= second {
                continue;
            }
            let expected = window.low[before]
                * if more > 1.0 {
                    more.powf(LOAD_EXPONENT)
                } else {
                    1.0
                };
            if expected < lowest {
                (lowest, second) = (expected, lowest);
            } else if expected < second {
                second = expected;
            }
        }
        if second.is_finite() { second } else { lowest }
    }

    /// A step lies between two parts, a filling up slows down, a burst's lower envelope falls back.
    fn shape(&self, findings: &mut Findings) -> Option<Standing> {
        let shares = |column| {
            self.climb.parts(self.window, column).map(|parts| {
                let whole = parts[3] - parts[0];
                [1, 2, 3].map(|part| {
                    if whole > 0.0 {
                        ((parts[part] - parts[part - 1]) / whole) as f32
                    } else {
                        0.0
                    }
                })
            })
        };
        let (Some(mean), Some(low)) = (shares(&self.climb.mean), shares(&self.climb.low)) else {
            return Some(Standing::Step);
        };
        findings.share_of_step = (self.climb.share_of_step(self.window) as f32).min(f32::MAX);
        findings.greatest_share = mean.into_iter().fold(0.0, f32::max);
        findings.newest_share = mean[2];
        findings.least_low_share = low.into_iter().fold(1.0, f32::min);
        let stepped =
            findings.share_of_step > SHARE_OF_STEP || findings.greatest_share > GREATEST_SHARE;
        if stepped || mean[0].min(mean[1]) < LEAST_SHARE {
            Some(Standing::Step)
        } else if f64::from(findings.newest_share) < LEAST_NEWEST_SHARE {
            Some(Standing::Filling)
        } else {
            (findings.least_low_share < LEAST_LOW_SHARE).then_some(Standing::Burst)
        }
    }

    /// Whether it has been as high before under no more load: as at a day's peak, or before a collection.
    fn earlier_high(&self, findings: &mut Findings) -> Option<Standing> {
        let (window, memory) = (self.window, self.memory);
        let load = LOAD_MARGIN * mean_of(&window.load[self.climb.newest()..window.rows]);
        let onset = window.begin(self.climb.onset);
        let comparable =
            |before: Option<f64>| !window.loaded || before.is_none_or(|before| before <= load);
        for scale in self.scale..SCALES {
            let seconds = memory.bucket_seconds(scale);
            let before = memory
                .closed(scale)
                .take_while(|(begin, _)| begin.shifted(seconds) <= onset);
            for (_, cell) in
                before.filter(|(begin, cell)| *begin >= self.past.since && comparable(cell.load))
            {
                let highest = findings
                    .highest_before
                    .unwrap_or(cell.minimum)
                    .max(cell.minimum);
                findings.highest_before = Some(highest);
            }
        }
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

    fn slow_upstream(&self, findings: &mut Findings) -> Option<Standing> {
        let long = findings.seconds >= UPSTREAM_OUTAGE_SECONDS;
        (!long && !findings.steep && !self.past.charged).then_some(Standing::SlowUpstream)
    }

    /// Whether a process that is still young may be starting, or filling what it fills.
    fn young(&self, findings: &mut Findings) -> Option<Standing> {
        let (starting, young) = if self.settings.integer {
            (Standing::WarmUp, YOUNG_COUNT_SECONDS)
        } else {
            (Standing::Filling, YOUNG_BYTES_SECONDS)
        };
        match self.rate_before() {
            Some(rate) if rate > FASTER_BEFORE * self.climb.slope => {
                return Some(Standing::Filling);
            }
            // It climbed alike before the window: a coarser scale sees since when.
            Some(rate) if rate > FLAT_BEFORE * self.climb.slope => return Some(starting),
            _ => {}
        }
        if findings.quiet_seconds >= QUIET_SHARE * findings.seconds {
            return None;
        }
        // What is young must climb over time and in itself, not only over work or with its load taken out.
        let over_time = Climb::since(self.window, Axis::Time, self.climb.onset, 0.0);
        let parts = over_time.and_then(|climb| climb.parts(self.window, &self.window.low));
        if parts
            .is_none_or(|parts| parts[3] - parts[2] < LEAST_NEWEST_SHARE * (parts[3] - parts[0]))
        {
            return Some(Standing::Filling);
        }
        let beyond = findings.steep && findings.unexplained >= STEEP_UNTRIED_RISE;
        (findings.seconds < young && !beyond && !self.past.charged).then_some(starting)
    }

    /// How fast the lower envelope climbed in the time before a window that shows no onset; `None` where it does, or
    /// where that time is not remembered.
    fn rate_before(&self) -> Option<f64> {
        let window = self.window;
        let coarser = (self.scale + 3).min(SCALES - 1);
        if self.climb.onset > 2 || coarser <= self.scale {
            return None;
        }
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
