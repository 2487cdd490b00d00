//! Many lives of a workload as one fit: how fast the level climbs with age, with the load's share taken out.
//!
//! Every life has a level of its own to start from (fixed effects), so that what differs between versions and instances
//! does not matter; the climb and the load's share are common to all. The first part of each life is its start-up and
//! is left out. The error is widened for the correlation of neighbouring parts; how far the lives differ among
//! themselves is kept beside it, because their agreement is judged by itself.

use crate::level::LevelSettings;
use crate::life::{LIFE_PARTS, Life};
use crate::statistics::student_tail;

/// The parts that are fitted: the first is start-up.
pub(super) const FITTED: std::ops::Range<usize> = 1..LIFE_PARTS;

/// Number of quarters of a life.
pub(super) const QUARTERS: usize = 4;

/// A life has a voice in the agreement when such a climb would be so many standard errors of its own.
const VOICE_ERRORS: f64 = 2.0;

/// What a climb goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Age,
    Work,
}

/// One life as columns.
#[derive(Debug, Clone, Copy)]
struct Columns {
    /// Age or work, the load and the level of each fitted part, less their means over the life.
    along: [f64; LIFE_PARTS],
    load: [f64; LIFE_PARTS],
    level: [f64; LIFE_PARTS],
    /// Work a second of age, in the unit of the axis.
    pace: f64,
}

/// The common climb of some lives.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    /// Per second of age, with its standard error.
    pub(super) slope: f64,
    pub(super) error: f64,
    freedom: f64,
    /// Level that a unit of load explains.
    pub(super) share: f64,
    /// Of each life: its own climb per second, and the inverse of that climb's variance in units of a part's.
    slopes: Vec<(f64, f64)>,
    /// The level of each life's parts, with the load's share taken out.
    pub(super) levels: Vec<[f64; LIFE_PARTS]>,
    /// What the fit leaves: sum of the squares, and the variance of one part, widened.
    squares: f64,
    pub(super) variance: f64,
}

impl Pool {
    /// Fits the lives, by age or, where the load is known, by work: what leaves less unexplained.
    pub(super) fn fit(lives: &[&Life], level: Level, quantum: f64) -> Option<Self> {
        let by_age = Self::along(lives, level, Axis::Age, quantum);
        if !lives.iter().all(|life| life.is_loaded()) {
            return by_age;
        }
        let by_work = Self::along(lives, level, Axis::Work, quantum);
        match (by_age, by_work) {
            (Some(age), Some(work)) => Some(if work.squares < age.squares {
                work
            } else {
                age
            }),
            (age, work) => age.or(work),
        }
    }

    fn along(lives: &[&Life], level: Level, axis: Axis, quantum: f64) -> Option<Self> {
        let loaded = lives.iter().all(|life| life.is_loaded());
        let columns: Vec<Columns> = lives
            .iter()
            .map(|life| Columns::of(life, level, axis, loaded))
            .collect();
        let sum = |product: &dyn Fn(&Columns, usize) -> f64| -> f64 {
            columns
                .iter()
                .map(|own| FITTED.map(|part| product(own, part)).sum::<f64>())
                .sum()
        };
        let along = sum(&|own, part| own.along[part] * own.along[part]);
        let load = sum(&|own, part| own.load[part] * own.load[part]);
        let along_load = sum(&|own, part| own.along[part] * own.load[part]);
        let along_level = sum(&|own, part| own.along[part] * own.level[part]);
        let load_level = sum(&|own, part| own.load[part] * own.level[part]);
        if along <= 0.0 {
            return None;
        }
        let mut fit = (along_level / along, 0.0, 1.0 / along, 1.0);
        let determinant = along * load - along_load * along_load;
        if loaded && determinant > 1e-6 * along * load {
            let share = (along * load_level - along_load * along_level) / determinant;
            // More load lowers no level.
            if share > 0.0 {
                let slope = (load * along_level - along_load * load_level) / determinant;
                fit = (slope, share, load / determinant, 2.0);
            }
        }
        let (slope, share, leverage, fitted) = fit;
        let (mut squares, mut products) = (0.0, 0.0);
        for own in &columns {
            let mut before = None;
            for part in FITTED {
                let residual = own.level[part] - slope * own.along[part] - share * own.load[part];
                squares += residual * residual;
                products += before.map_or(0.0, |before| before * residual);
                before = Some(residual);
            }
        }
        let rows = (FITTED.len() * lives.len()) as f64;
        let freedom = rows - lives.len() as f64 - fitted;
        let raw = if squares > 0.0 {
            products / squares
        } else {
            0.0
        };
        // A mean and a trend fitted to so few parts take correlation out of their residuals.
        let corrected = (raw + 2.0 / FITTED.len() as f64).clamp(0.0, 0.9);
        let variance = (squares / freedom).max(quantum * quantum / 12.0) * (1.0 + corrected)
            / (1.0 - corrected);
        let pace = columns.iter().map(|own| own.pace).sum::<f64>() / columns.len() as f64;
        let pool = Self {
            slope: slope * pace,
            error: (variance * leverage).sqrt() * pace,
            freedom,
            share,
            slopes: columns.iter().map(|own| own.slope(share)).collect(),
            levels: lives
                .iter()
                .map(|life| {
                    let mut levels = [0.0; LIFE_PARTS];
                    for (part, own) in levels.iter_mut().enumerate() {
                        *own = level.of(life, part);
                        if loaded {
                            *own -= share * f64::from(life.load[part]);
                        }
                    }
                    levels
                })
                .collect(),
            squares,
            variance,
        };
        (pool.slope.is_finite() && pool.error.is_finite() && pool.error > 0.0).then_some(pool)
    }

    /// The climb of one life, with its standard error, per second.
    pub(super) fn of_one(life: &Life, settings: &LevelSettings) -> Option<(f64, f64)> {
        let pool = Self::fit(&[life], Level::judged(settings), settings.quantum())?;
        Some((pool.slope, pool.error))
    }

    /// The chance that noise alone would show such a climb.
    pub(super) fn chance(&self) -> f64 {
        student_tail(self.t(), self.freedom)
    }

    /// Standard errors of the climb.
    pub(super) fn t(&self) -> f64 {
        self.slope / self.error
    }

    /// The lives that are long enough to show such a climb: their own climbs per second, from old to new.
    pub(super) fn voices(&self) -> Vec<f64> {
        let least = (VOICE_ERRORS / self.slope).powi(2) * self.variance;
        let voices = self.slopes.iter().filter(|(_, tells)| *tells >= least);
        voices.map(|(slope, _)| *slope).collect()
    }

    /// The common climb per second of age with a given share of the load taken out.
    pub(super) fn credited(lives: &[&Life], level: Level, share: f64) -> f64 {
        let (mut along, mut across) = (0.0, 0.0);
        for life in lives {
            let own = Columns::of(life, level, Axis::Age, true);
            for part in FITTED {
                along += own.along[part].powi(2);
                across += own.along[part] * (own.level[part] - share * own.load[part]);
            }
        }
        across / along
    }

    /// Means of the levels over the quarters of some lives' lengths, all lives together.
    pub(super) fn quarters(&self, chosen: impl Fn(usize) -> bool) -> [f64; QUARTERS] {
        let mut quarters = [0.0; QUARTERS];
        for (_, levels) in self
            .levels
            .iter()
            .enumerate()
            .filter(|(life, _)| chosen(*life))
        {
            for (part, level) in levels.iter().enumerate() {
                quarters[part * QUARTERS / LIFE_PARTS] +=
                    level * QUARTERS as f64 / LIFE_PARTS as f64;
            }
        }
        quarters
    }
}

/// Which level of a life is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Mean,
    /// The lower envelope: a collector's work is not the program's.
    Low,
}

impl Level {
    /// That of a series by its settings.
    pub(super) fn judged(settings: &LevelSettings) -> Self {
        if settings.integer {
            Self::Mean
        } else {
            Self::Low
        }
    }

    pub(super) fn of(self, life: &Life, part: usize) -> f64 {
        f64::from(match self {
            Self::Mean => life.mean[part],
            Self::Low => life.low[part],
        })
    }
}

impl Columns {
    fn of(life: &Life, level: Level, axis: Axis, loaded: bool) -> Self {
        let seconds = life.part_seconds();
        let mut own = Self {
            along: [0.0; LIFE_PARTS],
            load: [0.0; LIFE_PARTS],
            level: [0.0; LIFE_PARTS],
            pace: 1.0,
        };
        let mut work = 0.0;
        for part in 0..LIFE_PARTS {
            let load = if loaded {
                f64::from(life.load[part])
            } else {
                0.0
            };
            own.load[part] = load;
            own.level[part] = level.of(life, part);
            own.along[part] = match axis {
                Axis::Age => seconds * (part as f64 + 0.5),
                Axis::Work => seconds * (work + load / 2.0),
            };
            work += load;
        }
        if axis == Axis::Work {
            own.pace = work / LIFE_PARTS as f64;
        }
        for column in [&mut own.along, &mut own.load, &mut own.level] {
            let mean = FITTED.map(|part| column[part]).sum::<f64>() / FITTED.len() as f64;
            for value in column {
                *value -= mean;
            }
        }
        own
    }

    /// Its own climb per second with a share of the load taken out, and what it tells.
    fn slope(&self, share: f64) -> (f64, f64) {
        let along: f64 = FITTED.map(|part| self.along[part].powi(2)).sum();
        let level: f64 = FITTED
            .map(|part| self.along[part] * (self.level[part] - share * self.load[part]))
            .sum();
        if along > 0.0 {
            (level / along * self.pace, along / self.pace.powi(2))
        } else {
            (0.0, 0.0)
        }
    }
}
