//! Evidence over the lives of one workload: leaks that restarts, rollouts and autoscaling hide from every single life.
//!
//! What a process leaks goes with its age and is gone with it. So the same climb in every life, whatever the instance
//! is called, convicts the workload although no life is long enough by itself: a meta-analysis with the climb common to
//! all lives and a level of its own for each. A climb that all share is not yet a leak, for start-ups are alike, too.
//! What tells them apart is the same as within one life, only better known: *the late part of each life climbs like its
//! middle* (a warm-up, a cache, a pool flattens), *later lives begin where earlier ones began* (what load, a season or a
//! growing data set raises does not fall back with a restart, whether that load is counted or not), the lives agree,
//! what load explains is taken out, and the processes are succeeded by others at once (a batch job's life climbs for its
//! work, and ends). The lives of the last one that climbed are kept in a constant number; younger ones push out the
//! oldest. Tests are as rare as eighths of a life.

mod conviction;
mod findings;
mod pool;
mod snapshots;
mod trial;

use crate::budget::{SHARES, level_per_test};
use crate::level::LevelSettings;
use crate::life::Life;
use crate::lives::conviction::Conviction;
use crate::lives::findings::{Findings, Standing};
use crate::lives::pool::Pool;
use crate::lives::trial::Trial;
use crate::time::Timestamp;
use crate::verdict::{Evidence, Fit, Growth, Interval, Undecided, Verdict};

/// Lives that have ended and are remembered.
pub(crate) const ENDED_LIVES: usize = 10;

/// Present lives that are looked at, the longest.
const PRESENT_LIVES: usize = 24;

/// Fewest lives that convict.
pub(crate) const LEAST_LIVES: usize = 3;

/// Parts of the median life between two tests, and the least and the most time between them, in seconds.
const TESTS_A_LIFE: f64 = 8.0;
const TEST_INTERVAL_SECONDS: (f64, f64) = (60.0, 3600.0);

/// A life is flat beside a leak when its climb is surely less than this share of the leak's; so many standard errors are
/// sure enough.
const FLAT_SHARE: f64 = 0.5;
const FLAT_ERRORS: f64 = 2.5;

/// Consecutive tests at which no explanation stands that convict.
const TESTS_TO_CONVICT: u8 = 2;

/// Watches the lives of the processes of one workload, of one signal.
///
/// The caller gives every life that ends ([`ended`](Self::ended)) and, now and then, those that go on
/// ([`judge`](Self::judge)).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lives {
    /// From old to new by their beginnings.
    ended: Vec<Life>,
    tested_at: Option<Timestamp>,
    /// How long after that the next test is due.
    interval_seconds: f64,
    /// Lives that ended before are of no interest: they belong to what is over.
    since: Option<Timestamp>,
    passes: u8,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Default)]
enum State {
    #[default]
    Quiet,
    Suspected(Suspicion),
    Convicted(Conviction),
}

/// A common climb for which an innocent explanation stands.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Suspicion {
    standing: Standing,
    findings: Findings,
    onset: Timestamp,
    growth: Interval,
    fit: Fit,
}

impl Lives {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a life that has ended. Two of the same instance that began at the same time are one.
    pub fn ended(&mut self, life: Life) {
        if self.since.is_some_and(|since| life.until <= since) {
            return;
        }
        self.ended.retain(|own| !is_same(own, &life));
        let place = self
            .ended
            .partition_point(|own| (own.from, own.instance) <= (life.from, life.instance));
        self.ended.insert(place, life);
        if self.ended.len() > ENDED_LIVES {
            let least = self.least_telling();
            self.ended.remove(least);
        }
    }

    /// The oldest of those that are much shorter than the others, else the oldest of all.
    fn least_telling(&self) -> usize {
        let median = median_seconds(self.ended.iter());
        self.ended
            .iter()
            .position(|life| life.seconds() < 0.25 * median)
            .unwrap_or(0)
    }

    /// Whether a test is due: the present lives need not be gathered before.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.tested_at
            .is_none_or(|at| now < at || now - at >= self.interval_seconds)
    }

    /// When the next test is due; `None` before the first.
    pub fn next_test(&self) -> Option<Timestamp> {
        self.tested_at.map(|at| at.shifted(self.interval_seconds))
    }

    /// Begins anew: what was before is over, and counts no more.
    pub fn forget(&mut self, now: Timestamp) {
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
    }

    /// Judges all lives, those that go on among them. Does nothing before a test is due.
    ///
    /// `present`: of the instances that are there now, in any order.
    pub fn judge(&mut self, now: Timestamp, present: &[Life], settings: &LevelSettings) {
        if !self.is_due(now) {
            return;
        }
        // What was taken for ended, and goes on, has only been out of sight.
        self.ended
            .retain(|own| !present.iter().any(|life| is_same(own, life)));
        let mut present: Vec<&Life> = present.iter().collect();
        present.sort_by(|a, b| {
            (b.seconds().total_cmp(&a.seconds())).then_with(|| a.instance.cmp(&b.instance))
        });
        present.truncate(PRESENT_LIVES);
        let median = median_seconds(self.ended.iter().chain(present.iter().copied()));
        self.tested_at = Some(now);
        self.interval_seconds =
            (median / TESTS_A_LIFE).clamp(TEST_INTERVAL_SECONDS.0, TEST_INTERVAL_SECONDS.1);
        if let State::Convicted(conviction) = &mut self.state {
            if conviction.follow(&self.ended, &present, settings) {
                self.forget(now);
            }
            return;
        }
        let mut lives: Vec<&Life> = self.ended.iter().chain(present).collect();
        lives.sort_by_key(|life| (life.from, life.instance));
        let level = level_per_test(
            settings.false_alerts_per_year,
            SHARES,
            self.interval_seconds,
        );
        let trial = Trial::best(now, &lives, settings, level);
        self.take(now, trial);
    }

    fn take(&mut self, now: Timestamp, trial: Option<Trial>) {
        match trial {
            Some(trial) if trial.standing.is_none() => {
                self.passes = self.passes.saturating_add(1);
                if self.passes >= TESTS_TO_CONVICT {
                    self.state = State::Convicted(Conviction::new(now, &trial));
                }
            }
            Some(trial) => {
                self.passes = 0;
                self.state = match trial.standing {
                    Some(standing) if standing != Standing::Noise => State::Suspected(Suspicion {
                        standing,
                        findings: trial.findings,
                        onset: trial.onset,
                        growth: trial.growth,
                        fit: trial.fit,
                    }),
                    _ => State::Quiet,
                };
            }
            None => {
                self.passes = 0;
                self.state = State::Quiet;
            }
        }
    }

    /// What the lives so far say together. [`Undecided::Growing`] names the explanation that stands.
    pub fn verdict(&self, settings: &LevelSettings) -> Verdict {
        match &self.state {
            State::Quiet => Verdict::Healthy,
            State::Suspected(suspicion) => Verdict::Undecided(Undecided::Growing(Growth {
                onset: suspicion.onset,
                growth_per_second: suspicion.growth,
                fit: suspicion.fit,
                standing: suspicion.standing.word(settings),
                why: suspicion.findings.sentence(suspicion.standing),
            })),
            State::Convicted(conviction) => Verdict::Leaking(conviction.evidence(settings)),
        }
    }

    /// The case, where the workload is convicted.
    pub fn evidence(&self, settings: &LevelSettings) -> Option<Evidence> {
        match &self.state {
            State::Convicted(conviction) => Some(conviction.evidence(settings)),
            _ => None,
        }
    }

    /// Whether the workload is convicted.
    pub fn is_leaking(&self) -> bool {
        matches!(self.state, State::Convicted(_))
    }

    /// Whether a present life climbs as the convicted ones did; `None` where it is too young to tell, or nothing is
    /// convicted.
    pub fn climbs_alike(&self, life: &Life, settings: &LevelSettings) -> Option<bool> {
        match &self.state {
            State::Convicted(conviction) => conviction.climbs_alike(life, settings),
            _ => None,
        }
    }

    /// Whether its lives have been convicted before and have been flat since.
    pub fn is_acquitted(&self) -> bool {
        self.since.is_some() && self.state == State::Quiet
    }

    /// Number of ended lives that are remembered.
    pub fn remembered(&self) -> usize {
        self.ended.len()
    }
}

impl Life {
    /// Whether it shows that it does not leak at such a pace: its own climb, with its error on top, is less than half of
    /// it. `None` where that cannot be told yet.
    ///
    /// `growth_per_second` of the leak it is compared with and, where it is known, the load per second under which that
    /// was measured: under less load less growth is expected.
    pub fn is_flat_beside(
        &self,
        growth_per_second: f64,
        load_per_second: Option<f64>,
        settings: &LevelSettings,
    ) -> Option<bool> {
        let own_load = self.mean_load();
        let expected = match (load_per_second, own_load) {
            (Some(load), Some(own)) if load > 0.0 => growth_per_second * (own / load).min(1.0),
            _ => growth_per_second,
        };
        let (slope, error) = Pool::of_one(self, settings)?;
        if slope + FLAT_ERRORS * error < FLAT_SHARE * expected {
            Some(true)
        } else if slope - FLAT_ERRORS * error > 0.0 {
            Some(false)
        } else {
            None
        }
    }
}

/// Whether two profiles are of the same life.
fn is_same(one: &Life, other: &Life) -> bool {
    (one.instance, one.began) == (other.instance, other.began)
}

fn median_seconds<'a>(lives: impl Iterator<Item = &'a Life>) -> f64 {
    let mut seconds: Vec<f64> = lives.map(Life::seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
