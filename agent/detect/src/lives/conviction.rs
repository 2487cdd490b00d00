//! A workload that was convicted by its lives, followed until its younger lives stay flat.
//!
//! Nothing but flat lives lifts it: a quiet night is no proof. Where the load is known, a life tells when it has done as
//! much work as the convicted ones; where it is not, lives must stay flat through a whole day, because what leaks may
//! pause with the users.

use crate::level::LevelSettings;
use crate::life::{LIFE_PARTS, Life};
use crate::lives::findings::Findings;
use crate::lives::pool::{FITTED, Level};
use crate::lives::trial::Trial;
use crate::time::Timestamp;
use crate::verdict::{Evidence, Fit, Interval, Tier};

/// A life that climbs at less than this share of the convicted pace is flat.
const FLAT_SHARE: f64 = 0.25;

/// Shares of a typical life after which one can show that it climbs, and that it does not.
const TELLS_CLIMB: f64 = 0.5;
const TELLS_FLAT: f64 = 0.8;

/// Typical lives' worth of flat life that acquit, where the load is known; a whole day, where it is not.
const FLAT_LIVES: f64 = 2.0;
const WHOLE_DAY_SECONDS: f64 = 86_400.0;

/// A conviction and how the workload has fared since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conviction {
    pub(super) at: Timestamp,
    pub(super) onset: Timestamp,
    pub(super) findings: Findings,
    pub(super) growth: Interval,
    pub(super) fit: Fit,
    pub(super) baseline: f64,
    pub(super) share: f64,
    /// Mean load of the convicted lives; 0 where it is not known.
    pub(super) load: f64,
    pub(super) samples: u64,
    pub(super) span_seconds: f64,
    pub(super) excess: f64,
    pub(super) peak_excess: f64,
    pub(super) growing: bool,
}

impl Conviction {
    pub(super) fn new(now: Timestamp, trial: &Trial) -> Self {
        let excess = trial.findings.rise;
        Self {
            at: now,
            onset: trial.onset,
            findings: trial.findings,
            growth: trial.growth,
            fit: trial.fit,
            baseline: trial.baseline,
            share: trial.share,
            load: trial.load,
            samples: trial.samples,
            span_seconds: trial.span_seconds,
            excess,
            peak_excess: excess,
            growing: true,
        }
    }

    /// Takes up what the lives say now; whether the workload is acquitted.
    pub(super) fn follow(
        &mut self,
        ended: &[Life],
        present: &[&Life],
        settings: &LevelSettings,
    ) -> bool {
        let mut lives: Vec<&Life> = ended.iter().chain(present.iter().copied()).collect();
        lives.sort_by_key(|life| (life.from, life.instance));
        if let Some(newest) = present.iter().max_by_key(|life| (life.from, life.instance)) {
            self.draw(newest, settings);
        }
        let told: Vec<(&Life, bool)> = lives
            .iter()
            .filter_map(|life| Some((*life, self.climbs_alike(life, settings)?)))
            .collect();
        if let Some((_, climbs)) = told.last() {
            self.growing = *climbs;
        }
        // From new to old, as long as they are flat.
        let flat = told.iter().rev().take_while(|(_, climbs)| !climbs);
        let flat: Vec<&Life> = flat
            .map(|(life, _)| *life)
            .filter(|life| life.until > self.at)
            .collect();
        let still_climbs = told.iter().any(|(life, climbs)| {
            *climbs
                && present
                    .iter()
                    .any(|own| own.instance == life.instance && own.from == life.from)
        });
        let (Some(first), Some(last)) = (flat.last(), flat.first()) else {
            return false;
        };
        let enough = if self.load > 0.0 {
            flat.iter().map(|life| self.amount(life)).sum::<f64>()
                >= FLAT_LIVES * self.findings.seconds * self.load
        } else {
            last.until - first.from >= WHOLE_DAY_SECONDS
        };
        enough && !still_climbs
    }

    /// Work done in a life, or its seconds where no load is known.
    fn amount(&self, life: &Life) -> f64 {
        if self.load > 0.0 && life.is_loaded() {
            mean(&life.load) * life.seconds()
        } else {
            life.seconds() * if self.load > 0.0 { self.load } else { 1.0 }
        }
    }

    /// The line through the newest life, and what it holds.
    fn draw(&mut self, newest: &Life, settings: &LevelSettings) {
        let level = Level::judged(settings);
        let now = level.of(newest, LIFE_PARTS - 1);
        let load = if newest.is_loaded() && self.load > 0.0 {
            self.share * (f64::from(newest.load[LIFE_PARTS - 1]) - self.load)
        } else {
            0.0
        };
        self.excess = (now - load - self.baseline).max(0.0);
        self.peak_excess = self.peak_excess.max(self.excess);
        self.fit = Fit {
            start: newest.from,
            start_value: now - self.fit.slope * (newest.seconds() - newest.part_seconds() / 2.0),
            slope: self.fit.slope,
        };
    }

    /// Whether a life climbs as the convicted ones did; `None` where it is too young to tell.
    pub(super) fn climbs_alike(&self, life: &Life, settings: &LevelSettings) -> Option<bool> {
        let level = Level::judged(settings);
        let loaded = self.load > 0.0 && life.is_loaded();
        let mut along = [0.0; LIFE_PARTS];
        let mut own = [0.0; LIFE_PARTS];
        for part in FITTED {
            along[part] = part as f64 * life.part_seconds();
            own[part] = level.of(life, part);
            if loaded {
                own[part] -= self.share * f64::from(life.load[part]);
            }
        }
        let count = FITTED.len() as f64;
        let middle = FITTED.map(|part| along[part]).sum::<f64>() / count;
        let squares: f64 = FITTED.map(|part| (along[part] - middle).powi(2)).sum();
        let products: f64 = FITTED.map(|part| (along[part] - middle) * own[part]).sum();
        let rise = products / squares * life.seconds();
        let typical = self.findings.seconds * if self.load > 0.0 { self.load } else { 1.0 };
        let lived = self.amount(life) / typical;
        let expected = self.findings.rise * lived;
        if rise >= FLAT_SHARE * expected {
            (lived >= TELLS_CLIMB).then_some(true)
        } else {
            (lived >= TELLS_FLAT).then_some(false)
        }
    }

    pub(super) fn evidence(&self, settings: &LevelSettings) -> Evidence {
        Evidence {
            tier: Tier::Level,
            onset: self.onset,
            onset_uncertainty_seconds: self.findings.seconds,
            convicted_at: self.at,
            growth_per_second: self.growth,
            fit: self.fit,
            samples: self.samples,
            scale_seconds: self.span_seconds,
            baseline: self.baseline,
            excess: self.excess,
            peak_excess: self.peak_excess,
            still_growing: self.growing,
            ruled_out: self.findings.ruled_out(settings),
        }
    }
}

fn mean(profile: &[f32; LIFE_PARTS]) -> f64 {
    profile.iter().map(|value| f64::from(*value)).sum::<f64>() / LIFE_PARTS as f64
}
