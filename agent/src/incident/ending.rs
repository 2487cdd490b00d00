//! When an incident is over: instance by instance, from what their targets show.
//!
//! An instance is clear when the process that leaked shows no excess for long enough (released), or when that process is
//! gone and the next one has done as much work as convicted the first without leaking (replaced). What cannot be seen is
//! not clear: a target that is down, a series that is missing, a process that has no work to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use serde::{Deserialize, Serialize};

use crate::impact::CHURN_CLOSES;
use crate::incident::{End, Family, Incident, stored};

/// An incident ends as gone when none of its workload's targets has been listed for this long.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(2 * 3600);

/// Start times of one process differ by no more: some exporters compute them anew at each scrape.
pub(crate) const START_TIME_JITTER_SECONDS: f64 = 5.0;

/// Scrapes without excess that a release takes at least.
const CLEAR_SCRAPES: u32 = 3;

/// The longest that a release of a leak that keeps coming back has to last.
const LONGEST_CONFIRMATION: Duration = Duration::from_secs(3600);

/// The longest that a level must stay clear in the process that leaked.
const LONGEST_RELEASE_SECONDS: f64 = 86_400.0;

/// To show that one in N is no longer leaked takes 3 N without a leak (the rule of three, at 95 %).
const RULE_OF_THREE: f64 = 3.0;

/// Where levels are judged, so many times the work that convicted must have been done; and a life that has seen a night
/// did its work unevenly, by so much more than the mean in its busiest part.
const MORE_WORK: f64 = 1.5;
const UNEVEN: f64 = 3.0;
const UNEVEN_SECONDS: f64 = 12.0 * 3600.0;

/// A successor whose work is not counted must stay flat for so many times as long as the leak took to be convicted.
const FLAT_WITHOUT_WORK: f64 = 2.0;

/// One instance that leaks or has leaked in an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The label `instance`.
    pub instance: String,
    /// Since when it is known to leak.
    #[serde(with = "stored::time")]
    pub since: Timestamp,
    /// What it holds of the carrying signal, in its unit, when it was seen last.
    pub value: f64,
    /// The signals of a ledger that it leaked, with their resources.
    pub(crate) leaked: BTreeSet<(String, Option<String>)>,
    /// When it is clear, how it became so.
    pub cleared: Option<End>,
    /// The process that leaked began then.
    #[serde(with = "stored::time")]
    life_began: Timestamp,
    /// The last scrape that was looked at.
    #[serde(with = "stored::time_or_none")]
    looked_at: Option<Timestamp>,
    /// The most excess that the leaking process showed.
    peak: f64,
    /// Work that would have to be done without a leak.
    work_needed: Option<f64>,
    /// Since when there has been no excess, and in how many scrapes.
    #[serde(with = "stored::time_or_none")]
    clear_since: Option<Timestamp>,
    clear_scrapes: u32,
    /// Work done when it became clear, in the process that was looked at then.
    work_when_clear: f64,
    /// Work that successors have done without a leak.
    #[serde(default)]
    flat: Option<Flat>,
    /// When the work needed had been done.
    #[serde(with = "stored::time_or_none")]
    work_done_at: Option<Timestamp>,
    /// Its target is no longer listed: work done since then by the workload's other targets.
    unlisted: Option<Unlisted>,
}

/// Work that the successors of a leaking process have done without a leak, one after the other: each may be too short
/// to show enough by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(with = "stored::time")]
    since: Timestamp,
    /// The process that was looked at last, and its counter of work then.
    #[serde(with = "stored::time")]
    life_began: Timestamp,
    mark: f64,
    work: f64,
}

/// An instance whose target is no longer listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unlisted {
    #[serde(with = "stored::time")]
    since: Timestamp,
    /// Work done by the workload's listed targets since then.
    work: f64,
    /// By target: its process began, and its counter of work, when it was looked at last.
    marks: BTreeMap<String, (i64, f64)>,
}

/// The targets that discovery lists for a workload, those that were never scraped among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Their labels in exposition syntax.
    pub targets: Vec<Arc<str>>,
    /// Where there are none: since when.
    pub none_since: Timestamp,
}

/// What one listed target of an incident's workload showed at its last successful scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The target's labels in exposition syntax.
    pub target: Arc<str>,
    /// When the scrape was made.
    pub at: Timestamp,
    /// When its process began, as far as that is known.
    pub life_began: Timestamp,
    /// What it holds of the incident's carrying signal; `None` where it exposes none.
    pub carrier: Option<f64>,
    /// What it holds too much of; for a counter of churn, the closes since the scrape before.
    pub excess: f64,
    /// Whether there is no excess; `None` where that cannot be told.
    pub clear: Option<bool>,
    /// Work done by this process so far, of the kind that leaks; `None` where it is not counted.
    pub work: Option<f64>,
}

impl Instance {
    /// An instance that has just been seen leaking.
    pub(crate) fn new(instance: &str, at: Timestamp, value: f64) -> Self {
        Self {
            instance: instance.to_owned(),
            since: at,
            value,
            leaked: BTreeSet::new(),
            cleared: None,
            life_began: Timestamp::default(),
            looked_at: None,
            peak: 0.0,
            work_needed: None,
            clear_since: None,
            clear_scrapes: 0,
            work_when_clear: 0.0,
            flat: None,
            work_done_at: None,
            unlisted: None,
        }
    }

    /// Whether its target is no longer listed.
    pub(crate) fn is_unlisted(&self) -> bool {
        self.unlisted.is_some() && self.cleared.is_none()
    }

    /// Whether this look was taken in the process that leaked.
    fn is_same_life(&self, look: &Look) -> bool {
        look.life_began - self.life_began <= START_TIME_JITTER_SECONDS
    }

    fn leaking(&mut self, look: &Look, leak: &Leak) {
        if !self.is_same_life(look) || self.looked_at.is_none() {
            self.peak = 0.0;
        }
        self.life_began = look.life_began;
        self.peak = self.peak.max(look.excess);
        self.cleared = None;
        self.clear_since = None;
        self.clear_scrapes = 0;
        self.flat = None;
        self.work_done_at = None;
        if let Some(work) = look.work {
            self.work_needed = Some(
                leak.work_needed(look, work, self.peak)
                    .max(self.work_needed.unwrap_or(0.0)),
            );
        }
    }

    fn clear(&mut self, look: &Look, leak: &Leak) {
        if self.clear_since.is_none() {
            self.clear_since = Some(look.at);
            self.work_when_clear = look.work.unwrap_or(0.0);
        }
        self.clear_scrapes = self.clear_scrapes.saturating_add(1);
        let clear_for = self.clear_since.map_or(0.0, |since| look.at - since);
        let is_same_life = self.looked_at.is_none() || self.is_same_life(look);
        let needed = if is_same_life {
            leak.release_seconds()
        } else {
            leak.confirmation.as_secs_f64()
        };
        if self.clear_scrapes < CLEAR_SCRAPES || clear_for < needed {
            return;
        }
        if is_same_life {
            let worked = look.work.unwrap_or(0.0) - self.work_when_clear;
            if !leak.needs_work || worked >= CHURN_CLOSES {
                self.cleared = Some(End::Released);
            }
        } else {
            let (since, work) = self.flat_so_far(look);
            if self.is_acquitted(look.at, work, since, leak) {
                self.cleared = Some(End::Replaced);
            }
        }
    }

    /// Since when its successors have been flat, and the work that they have done.
    fn flat_so_far(&mut self, look: &Look) -> (Timestamp, Option<f64>) {
        let work = look.work.unwrap_or(0.0);
        let flat = self.flat.get_or_insert(Flat {
            since: look.life_began,
            life_began: look.life_began,
            mark: 0.0,
            work: 0.0,
        });
        let is_same = look.life_began - flat.life_began <= START_TIME_JITTER_SECONDS;
        flat.work += if is_same {
            (work - flat.mark).max(0.0)
        } else {
            work
        };
        flat.life_began = look.life_began;
        flat.mark = work;
        (flat.since, look.work.map(|_| flat.work))
    }

    /// Whether a successor that began at `began` has shown enough by `at`.
    fn is_acquitted(
        &mut self,
        at: Timestamp,
        work: Option<f64>,
        began: Timestamp,
        leak: &Leak,
    ) -> bool {
        let wait = leak.wait_seconds();
        let Some(needed) = self.work_needed else {
            let flat_for = FLAT_WITHOUT_WORK * leak.time_to_conviction.max(wait);
            return at - began >= flat_for;
        };
        let work = work.unwrap_or(0.0);
        if work <= 0.0 || work < needed {
            return false;
        }
        at - *self.work_done_at.get_or_insert(at) >= wait
    }

    fn unlisted(&mut self, now: Timestamp, looks: &[Look], leak: &Leak) {
        let unlisted = self.unlisted.get_or_insert_with(|| Unlisted {
            since: now,
            work: 0.0,
            marks: BTreeMap::new(),
        });
        let mut all_clear = !looks.is_empty();
        let mut counted = false;
        for look in looks {
            all_clear &= look.clear == Some(true);
            let Some(work) = look.work else { continue };
            counted = true;
            let mark = (look.life_began.millis(), work);
            let before = unlisted
                .marks
                .insert(look.target.to_string(), mark)
                .unwrap_or(mark);
            unlisted.work += if before.0 == mark.0 {
                (work - before.1).max(0.0)
            } else {
                work
            };
        }
        let (since, work) = (unlisted.since, unlisted.work);
        if !all_clear {
            self.work_done_at = None;
        } else if self.is_acquitted(now, counted.then_some(work), since, leak) {
            self.cleared = Some(End::Replaced);
        }
    }
}

/// What the ending of one incident is measured by.
struct Leak {
    /// How long an instance must be clear.
    confirmation: Duration,
    /// From the onset to the conviction, in seconds.
    time_to_conviction: f64,
    onset: Timestamp,
    convicted_at: Timestamp,
    /// Whether it is judged by a count that is zero in a correct program, and not by a detector of levels, which
    /// acquits a successor only after as long a time as it needs.
    is_exact: bool,
    /// Whether a release must be shown under work: where nothing is held, silence is no release.
    needs_work: bool,
}

impl Leak {
    fn of(incident: &Incident, confirmation: Duration) -> Self {
        let doubled = confirmation.saturating_mul(1 << incident.returns.min(10));
        Self {
            confirmation: doubled.min(LONGEST_CONFIRMATION.max(confirmation)),
            time_to_conviction: (incident.convicted_at - incident.onset).max(0.0),
            onset: incident.onset,
            convicted_at: incident.convicted_at,
            is_exact: incident.signals.iter().any(|own| own.kind.is_exact()),
            needs_work: incident.family == Family::Churn,
        }
    }

    /// How long the process that leaked must stay clear: of a level, as long as it took to be convicted, for what looks
    /// let go of may only be less load.
    fn release_seconds(&self) -> f64 {
        let confirmation = self.confirmation.as_secs_f64();
        if self.is_exact || self.needs_work {
            confirmation
        } else {
            confirmation.max(self.time_to_conviction.min(LONGEST_RELEASE_SECONDS))
        }
    }

    /// How long a successor must stay clear once it has done the work: what it opened last needs as long to be found
    /// out as the first leak did.
    fn wait_seconds(&self) -> f64 {
        let confirmation = self.confirmation.as_secs_f64();
        if self.is_exact {
            confirmation.max(self.time_to_conviction)
        } else {
            confirmation
        }
    }

    /// As much work as convicted the leak, and enough to tell the absence of a leak as rare as this one from luck.
    /// Within one life, work is taken to have come evenly, unless it has seen a night.
    fn work_needed(&self, look: &Look, work: f64, peak: f64) -> f64 {
        let life = (look.at - look.life_began).max(1e-3);
        let per_second = work / life;
        let since_onset = (look.at - self.onset.max(look.life_began)).max(0.0);
        let to_conviction = (self.convicted_at - self.onset).clamp(0.0, life);
        let mut convicted = per_second * to_conviction;
        if !self.is_exact {
            let uneven = if life >= UNEVEN_SECONDS { UNEVEN } else { 1.0 };
            convicted = (MORE_WORK * uneven * convicted).min(MORE_WORK * work);
        }
        let per_leaked = if peak > 0.0 {
            per_second * since_onset / peak
        } else {
            0.0
        };
        convicted.max(RULE_OF_THREE * per_leaked)
    }
}

impl Incident {
    /// Takes the looks of its workload's targets; how it has ended, if it has.
    ///
    /// `confirmation`: how long an instance must be clear before that counts.
    pub(crate) fn look(
        &mut self,
        now: Timestamp,
        listed: &Listed,
        looks: &[Look],
        confirmation: Duration,
    ) -> Option<End> {
        if listed.targets.is_empty() {
            let since = *self.unlisted_since.get_or_insert(listed.none_since);
            return (now - since >= GONE_AFTER.as_secs_f64()).then_some(End::Gone);
        }
        self.unlisted_since = None;
        let leak = Leak::of(self, confirmation);
        for look in looks {
            let Some(instance) = self.instances.get_mut(&*look.target) else {
                continue;
            };
            instance.unlisted = None;
            if instance.looked_at.is_some_and(|before| look.at <= before) {
                continue;
            }
            if let Some(value) = look.carrier {
                instance.value = value;
            }
            match look.clear {
                Some(false) => instance.leaking(look, &leak),
                Some(true) => instance.clear(look, &leak),
                None => {}
            }
            if instance.looked_at.is_none()
                && look.clear != Some(false)
                && instance.life_began == Timestamp::default()
            {
                instance.life_began = look.life_began;
            }
            instance.looked_at = Some(look.at);
        }
        for (target, instance) in &mut self.instances {
            if instance.cleared.is_none() && !listed.targets.iter().any(|own| **own == **target) {
                instance.unlisted(now, looks, &leak);
            }
        }
        let mut end = End::Released;
        for instance in self.instances.values() {
            if instance.cleared? == End::Replaced {
                end = End::Replaced;
            }
        }
        (!self.instances.is_empty()).then_some(end)
    }
}

#[cfg(test)]
mod tests;
