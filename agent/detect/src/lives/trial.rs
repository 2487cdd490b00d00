//! The innocent explanations of a climb that the lives of a workload share, each with its own test.

use crate::level::LevelSettings;
use crate::life::{LIFE_PARTS, Life};
use crate::lives::LEAST_LIVES;
use crate::lives::findings::{Findings, Standing};
use crate::lives::pool::{Level, Pool, QUARTERS};
use crate::time::Timestamp;
use crate::verdict::{Fit, Interval};

/// Standard errors on either side of a growth that enclose it in about 95 of 100 cases.
const GROWTH_ERRORS: f64 = 2.1;

/// Numbers of lives, of the newest, that are tried; then all.
const NEWEST: [usize; 7] = [3, 4, 5, 6, 8, 12, 18];

/// A shorter life says nothing: it is all start-up. One of bytes must be longer, unless it is steep.
const LEAST_SECONDS: f64 = 300.0;
const LEAST_BYTES_SECONDS: f64 = 3600.0;
/// Bytes that grow by this share of the level in each life of one instance, in so many lives, may be told sooner: no
/// start-up leads to the limit each time.
const STEEP_BYTES_SHARE: f64 = 1.0;
const STEEP_BYTES_LIVES: usize = 5;

/// All lives together must have lasted so long.
const LEAST_COUNT_TOTAL_SECONDS: f64 = 1800.0;
const LEAST_BYTES_TOTAL_SECONDS: f64 = 6.0 * 3600.0;
const LEAST_STEEP_TOTAL_SECONDS: f64 = 2400.0;

/// A life climbs alike when it climbs at least at this share of the common pace; share of the voices that must.
const ALIKE: f64 = 0.3;
const ALIKE_SHARE: f64 = 0.75;

/// A level may follow its load a little more than in proportion, as queues do when they fill.
const LOAD_EXPONENT: f64 = 1.25;

/// Share of the fitted rise that load in full proportion must leave.
const BEYOND_LOAD: f64 = 0.5;

/// Share of the earlier lives' rise by which the next ones must begin lower.
const FALLS_BACK: f64 = 0.5;

/// Share of the climb of the newest of three moves between quarters, of a line 0.33: what is short-lived may still fill.
const LEAST_NEWEST_SHARE: f64 = 0.23;
const YOUNG_NEWEST_SHARE: f64 = 0.28;
const YOUNG_COUNT_SECONDS: f64 = 1800.0;
const YOUNG_BYTES_SECONDS: f64 = 86_400.0;
/// Greatest share of one move.
const GREATEST_SHARE: f64 = 0.6;
/// Standard errors of the newest move.
const LEAST_NEWEST_ERRORS: f64 = 3.0;

/// A successor that comes later than this, and than this share of the life, comes late.
const SUCCESSION_SECONDS: f64 = 180.0;
const SUCCESSION_SHARE: f64 = 0.1;
/// Share of the ended lives that must have been succeeded at once.
const SUCCEEDED_SHARE: f64 = 0.6;
/// Bytes without a load, in lives of names of their own shorter than this, may be jobs.
const JOB_SECONDS: f64 = 5.0 * 3600.0;

/// A common climb with what speaks for and against it.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) standing: Option<Standing>,
    pub(super) findings: Findings,
    pub(super) growth: Interval,
    /// When the first of the lives began, and the line through the newest.
    pub(super) onset: Timestamp,
    pub(super) fit: Fit,
    /// Level at which lives begin, and the load's share.
    pub(super) baseline: f64,
    pub(super) share: f64,
    /// Mean load of the lives; 0 where it is not known.
    pub(super) load: f64,
    pub(super) samples: u64,
    pub(super) span_seconds: f64,
}

impl Trial {
    /// The trial over the most lives that climb alike, else the one over all.
    pub(super) fn best(
        now: Timestamp,
        lives: &[&Life],
        settings: &LevelSettings,
        level_per_test: f64,
    ) -> Option<Self> {
        let loaded = lives.iter().filter(|life| life.is_loaded()).count();
        // Where some lives know their load, those that do not are left out.
        let lives: Vec<&Life> = lives
            .iter()
            .copied()
            .filter(|life| life.seconds() >= LEAST_SECONDS)
            .filter(|life| 2 * loaded < lives.len() || life.is_loaded())
            .collect();
        let mut suspected = None;
        let level_per_test = level_per_test / (NEWEST.len() + 1) as f64;
        let counts = NEWEST
            .into_iter()
            .rev()
            .filter(|count| *count < lives.len());
        for count in std::iter::once(lives.len()).chain(counts) {
            if count < LEAST_LIVES {
                continue;
            }
            let case = Case {
                now,
                lives: &lives[lives.len() - count..],
                everyone: &lives,
                settings,
                level_per_test,
            };
            let Some(trial) = case.judge() else { continue };
            // A leak may have begun with a later life. But what all lives together show to be innocent, the newest of
            // them do not turn into a leak.
            if !matches!(
                trial.standing,
                Some(Standing::Noise | Standing::Disagreement)
            ) {
                return Some(trial);
            }
            suspected = suspected.or(Some(trial));
        }
        suspected
    }
}

/// Some lives, from old to new by their beginnings, and all that is needed to judge them.
struct Case<'a> {
    now: Timestamp,
    lives: &'a [&'a Life],
    everyone: &'a [&'a Life],
    settings: &'a LevelSettings,
    level_per_test: f64,
}

impl Case<'_> {
    fn judge(&self) -> Option<Trial> {
        let level = Level::judged(self.settings);
        let pool = Pool::fit(self.lives, level, self.settings.quantum())?;
        if pool.slope <= 0.0 {
            return None;
        }
        let mut seconds: Vec<f64> = self.lives.iter().map(|life| life.seconds()).collect();
        seconds.sort_by(f64::total_cmp);
        let typical = seconds[seconds.len() / 2];
        let begins = self.lives.iter().zip(&pool.levels);
        let baseline = begins
            .map(|(life, levels)| levels[1] + pool.share * f64::from(life.load[1].max(0.0)))
            .sum::<f64>()
            / self.lives.len() as f64;
        let instances: std::collections::BTreeSet<u64> =
            self.lives.iter().map(|life| life.instance).collect();
        let mut findings = Findings {
            lives: self.lives.len() as u32,
            instances: instances.len() as u32,
            t: pool.t(),
            chance: pool.chance(),
            level_per_test: self.level_per_test,
            rise: pool.slope * typical,
            floor: self
                .settings
                .absolute_floor
                .max(self.settings.relative_floor * baseline),
            loaded: self.lives.iter().all(|life| life.is_loaded()),
            seconds: typical,
            longest_seconds: seconds[seconds.len() - 1],
            total_seconds: seconds.iter().sum(),
            succeeded_share: self.succeeded_share(),
            ..Findings::default()
        };
        let explanations = [
            Self::noise,
            Self::disagreement,
            Self::load,
            Self::shape,
            Self::young,
            Self::job,
        ];
        let standing = explanations
            .iter()
            .find_map(|explanation| explanation(self, &pool, &mut findings));
        let newest = self.lives[self.lives.len() - 1];
        let newest_levels = &pool.levels[self.lives.len() - 1];
        let load = if findings.loaded {
            pool.share * f64::from(newest.load[LIFE_PARTS - 1])
        } else {
            0.0
        };
        let middle = newest_levels.iter().sum::<f64>() / LIFE_PARTS as f64 + load;
        let error = GROWTH_ERRORS * pool.error;
        Some(Trial {
            standing,
            findings,
            growth: Interval {
                low: pool.slope - error,
                estimate: pool.slope,
                high: pool.slope + error,
            },
            onset: self.lives[0].began,
            fit: Fit {
                start: newest.from,
                start_value: middle - pool.slope * newest.seconds() / 2.0,
                slope: pool.slope,
            },
            baseline,
            share: pool.share,
            load: if findings.loaded {
                self.mean_load()
            } else {
                0.0
            },
            samples: self.lives.iter().map(|life| u64::from(life.samples)).sum(),
            span_seconds: self.now - self.lives[0].from,
        })
    }

    fn mean_load(&self) -> f64 {
        let loads = self.lives.iter().flat_map(|life| &life.load);
        loads.map(|load| f64::from(*load)).sum::<f64>() / (self.lives.len() * LIFE_PARTS) as f64
    }

    fn noise(&self, _: &Pool, findings: &mut Findings) -> Option<Standing> {
        (findings.chance > self.level_per_test).then_some(Standing::Noise)
    }

    /// One life, or the last, differs from the rest.
    fn disagreement(&self, pool: &Pool, findings: &mut Findings) -> Option<Standing> {
        let voices = pool.voices();
        let alike = |slope: &f64| *slope >= ALIKE * pool.slope;
        findings.voices = voices.len() as u32;
        findings.alike = voices.iter().filter(|slope| alike(slope)).count() as u32;
        let few = voices.len() < LEAST_LIVES;
        let differ = f64::from(findings.alike) < ALIKE_SHARE * f64::from(findings.voices);
        // The newest that can tell must climb, too: else it was repaired.
        let repaired = !voices.last().is_some_and(alike);
        (few || differ || repaired).then_some(Standing::Disagreement)
    }

    fn load(&self, pool: &Pool, findings: &mut Findings) -> Option<Standing> {
        findings.beyond_load = if findings.loaded {
            self.beyond_load(pool)
        } else {
            1.0
        };
        let (falls_back, successions) = self.falls_back(pool);
        findings.falls_back = falls_back;
        findings.successions = successions;
        let small = findings.rise * findings.beyond_load.min(1.0) < findings.floor;
        (small || findings.beyond_load < BEYOND_LOAD || successions < 2 || falls_back < FALLS_BACK)
            .then_some(Standing::Load)
    }

    /// Share of the fitted climb that is left where load is credited in full proportion: all that a life begins with,
    /// and more than in proportion, as queues do when they fill. Memory is mostly not the load's: what is fitted, and as
    /// much more.
    fn beyond_load(&self, pool: &Pool) -> f64 {
        let level = Level::judged(self.settings);
        let (mut begins, mut loads) = (0.0, 0.0);
        for life in self.lives {
            begins += level.of(life, 1);
            loads += f64::from(life.load[1]);
        }
        let share = if self.settings.integer && loads > 0.0 {
            begins / loads
        } else {
            pool.share
        };
        Pool::credited(self.lives, level, LOAD_EXPONENT * share.max(pool.share)) / pool.slope
    }

    /// By what share of an elder's rise the next life begins lower than the elder stands then, or stood last, over all
    /// successions; and how many there are, at different times.
    fn falls_back(&self, pool: &Pool) -> (f64, u32) {
        let (mut rises, mut falls) = (0.0, 0.0);
        let mut times: Vec<Timestamp> = Vec::new();
        for (index, life) in self.lives.iter().enumerate() {
            let at = life.middle(1);
            let elder = (0..index)
                .filter(|elder| {
                    let own = self.lives[*elder];
                    own.from < life.from && life.from - own.until <= own.seconds()
                })
                .max_by(|a, b| {
                    let age =
                        |elder: &usize| at.min(self.lives[*elder].until) - self.lives[*elder].from;
                    age(a).total_cmp(&age(b))
                });
            let Some(elder) = elder else { continue };
            let own = self.lives[elder];
            let part = ((at - own.from) / own.part_seconds()).min(LIFE_PARTS as f64 - 1.0) as usize;
            if part < 2 {
                continue;
            }
            rises += pool.levels[elder][part] - pool.levels[elder][1];
            falls += pool.levels[elder][part] - pool.levels[index][1];
            let apart = 0.25 * own.seconds().min(life.seconds());
            if times.iter().all(|time| (life.from - *time).abs() >= apart) {
                times.push(life.from);
            }
        }
        let share = if rises > 0.0 { falls / rises } else { 0.0 };
        (share, times.len() as u32)
    }

    /// A step lies between two quarters; what fills up slows down.
    fn shape(&self, pool: &Pool, findings: &mut Findings) -> Option<Standing> {
        // Short lives say little about what flattens late.
        let long = |life: usize| self.lives[life].seconds() >= 0.5 * findings.longest_seconds;
        let quarters = pool.quarters(long);
        let whole = quarters[QUARTERS - 1] - quarters[0];
        if whole <= 0.0 {
            return Some(Standing::Filling);
        }
        let shares: [f64; QUARTERS - 1] =
            std::array::from_fn(|quarter| (quarters[quarter + 1] - quarters[quarter]) / whole);
        findings.greatest_share = shares.into_iter().fold(0.0, f64::max);
        findings.newest_share = shares[QUARTERS - 2];
        if findings.greatest_share > GREATEST_SHARE {
            return Some(Standing::Step);
        }
        let young = if self.settings.integer {
            YOUNG_COUNT_SECONDS
        } else {
            YOUNG_BYTES_SECONDS
        };
        let (needed, word) = if findings.longest_seconds < young {
            (YOUNG_NEWEST_SHARE, Standing::WarmUp)
        } else {
            (LEAST_NEWEST_SHARE, Standing::Filling)
        };
        let count = (0..self.lives.len()).filter(|life| long(*life)).count() as f64;
        let error = (count * pool.variance).sqrt();
        let move_ = quarters[QUARTERS - 1] - quarters[QUARTERS - 2];
        (findings.newest_share < needed || move_ < LEAST_NEWEST_ERRORS * error).then_some(word)
    }

    /// Whether all of it may be start-up.
    fn young(&self, _: &Pool, findings: &mut Findings) -> Option<Standing> {
        if self.settings.integer {
            return (findings.total_seconds < LEAST_COUNT_TOTAL_SECONDS)
                .then_some(Standing::WarmUp);
        }
        let level = findings.floor / self.settings.relative_floor.max(1e-9);
        let steep = findings.rise >= STEEP_BYTES_SHARE * level
            && findings.lives as usize >= STEEP_BYTES_LIVES
            && findings.total_seconds >= LEAST_STEEP_TOTAL_SECONDS;
        let long = findings.seconds >= LEAST_BYTES_SECONDS
            && findings.total_seconds >= LEAST_BYTES_TOTAL_SECONDS;
        (!steep && !long).then_some(Standing::Filling)
    }

    /// Whether each life may be a job that climbs for its work and ends.
    fn job(&self, _: &Pool, findings: &mut Findings) -> Option<Standing> {
        let named_anew = f64::from(findings.instances) > 0.5 * f64::from(findings.lives);
        let short = !self.settings.integer
            && !findings.loaded
            && named_anew
            && findings.seconds < JOB_SECONDS;
        (short || findings.succeeded_share < SUCCEEDED_SHARE).then_some(Standing::BatchJob)
    }

    /// Share of the lives that have ended at whose end another one was there, or came at once.
    fn succeeded_share(&self) -> f64 {
        let patience = |life: &Life| {
            SUCCESSION_SECONDS.max(SUCCESSION_SHARE * life.seconds()) + 2.0 * life.part_seconds()
        };
        let ended: Vec<&&Life> = self
            .lives
            .iter()
            .filter(|life| self.now - life.until > patience(life))
            .collect();
        if ended.is_empty() {
            return 1.0;
        }
        let succeeded = ended
            .iter()
            .filter(|life| {
                self.everyone.iter().any(|other| {
                    other.until > life.until && other.began - life.until <= patience(life)
                })
            })
            .count();
        succeeded as f64 / ended.len() as f64
    }
}
