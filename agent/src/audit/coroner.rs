//! The deaths in a history: which processes and containers ended, how, and what had grown in them before.
//!
//! A process died where `process_start_time_seconds` moves on, a container where its restarts are counted up, of which
//! those with `OOMKilled` as their last reason were killed for memory; descriptors were used up at 95 % of their
//! maximum. The same end seen by two of them is one death. A deploy is none: instances of a workload that start anew
//! together, and names that are replaced by others, are a rollout. A single instance that starts anew may be either; it
//! counts as a death, and its kind says that the cause is not known.
//!
//! Source: kube-state-metrics, "Pod Metrics".

mod containers;
mod rollouts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use leak_detect::Timestamp;

use self::containers::Containers;
use super::trail::{Course, Growth, Trail};
use crate::catalogue::{Catalogue, LevelSpec, Role};
use crate::discovery::Target;
use crate::history::{SeriesIndex, SeriesTable, Slice};
use crate::incident::{START_TIME_JITTER_SECONDS, SignalKind};
use crate::labels::Labels;

pub(super) use self::containers::FAMILIES;
pub(super) use self::rollouts::Rollout;

/// Share of the maximum at which descriptors count as used up, and below which they must fall to be used up again.
const USED_UP: (f64, f64) = (0.95, 0.8);

/// Longer than this without a sample, in seconds and in intervals, and it is a gap.
const GAP: (f64, f64) = (300.0, 5.0);

/// How a process ended, or what it ran out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum DeathKind {
    /// The kernel killed its container for memory.
    OutOfMemory,
    /// It had used up its descriptors.
    OutOfDescriptors,
    /// Its container was restarted for another reason.
    ContainerRestarted,
    /// Its process began anew; why is not known.
    Restarted,
}

/// One death.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Death {
    /// When it was alive last, as far as the samples tell; for descriptors, when they were used up.
    pub(super) at: Timestamp,
    pub(super) kind: DeathKind,
    pub(super) workload: Labels,
    /// The target's labels; `None` for a container that exposes nothing of the catalogue.
    pub(super) target: Option<Labels>,
    /// The instance, pod or container, for people.
    pub(super) name: String,
    /// What grew in that life, most first.
    pub(super) grown: Vec<Grown>,
    /// Why nothing can be said about growth.
    pub(super) unseen: Option<String>,
}

/// A level that had grown when its process died.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grown {
    pub(super) signal: Arc<str>,
    pub(super) series: SeriesIndex,
    pub(super) growth: Growth,
    /// Why the detector had not convicted it by then.
    pub(super) standing: Option<String>,
}

/// What a whole history showed beside its leaks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Findings {
    /// In order of time.
    pub(super) deaths: Vec<Death>,
    /// In order of time.
    pub(super) rollouts: Vec<Rollout>,
    /// Targets that had samples of a level, and the workloads that they belong to.
    pub(super) targets: usize,
    pub(super) workloads: usize,
    /// Gaps of more than five minutes and five intervals, and the seconds in them.
    pub(super) gaps: (usize, f64),
    /// Targets with a level and without any counter of load.
    pub(super) without_load: usize,
    /// Targets with a level and without the start time of their process: their restarts are not seen.
    pub(super) without_start: usize,
    /// Targets that were seen for less than a day.
    pub(super) short: usize,
}

/// What a series means to the coroner.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Start(usize),
    Level(usize, usize),
    MostDescriptors(usize),
    Load(usize),
    Container,
    Nothing,
}

/// One target, as it is traced.
#[derive(Debug)]
struct Traced {
    labels: Labels,
    workload: Labels,
    name: String,
    started: Option<f64>,
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    /// The least distance between two samples, in seconds.
    interval: f64,
    gaps: (usize, f64),
    has_load: bool,
    most_descriptors: Option<f64>,
    /// Descriptors were used up in this life and have not fallen since.
    is_used_up: bool,
    levels: Vec<TracedLevel>,
}

#[derive(Debug)]
struct TracedLevel {
    spec: Arc<LevelSpec>,
    series: SeriesIndex,
    is_descriptors: bool,
    trail: Option<Trail>,
}

/// Looks at every slice and remembers the deaths.
#[derive(Debug)]
pub(super) struct Coroner {
    meanings: Vec<Meaning>,
    targets: Vec<Traced>,
    containers: Containers,
    deaths: Vec<(usize, Death)>,
}

impl Coroner {
    /// For a history of which `target_of` tells the target of a series, and `workload_of` that of a target.
    pub(super) fn new<'t>(
        table: &SeriesTable,
        catalogue: &Catalogue,
        target_of: impl Fn(SeriesIndex) -> Option<&'t Arc<Target>>,
        workload_of: impl Fn(&Labels) -> Labels,
    ) -> Self {
        let mut coroner = Self {
            meanings: Vec::with_capacity(table.len()),
            targets: Vec::new(),
            containers: Containers::default(),
            deaths: Vec::new(),
        };
        let of_descriptors: HashSet<&Arc<str>> = catalogue
            .levels()
            .into_iter()
            .filter(|spec| {
                SignalKind::of_level(&spec.signal, &spec.unit) == SignalKind::Descriptors
            })
            .map(|spec| &spec.signal)
            .collect();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut place_of = |targets: &mut Vec<Traced>, target: &Arc<Target>| {
            *places.entry(target.labels.clone()).or_insert_with(|| {
                targets.push(Traced::new(target, workload_of(&target.labels)));
                targets.len() - 1
            })
        };
        for (index, series) in table.iter() {
            if coroner.containers.add(index, &series.name, &series.labels) {
                coroner.meanings.push(Meaning::Container);
                continue;
            }
            let role = catalogue.role(&series.name, &series.labels);
            let meaning = match (role, target_of(index)) {
                (Some(role), Some(target)) => {
                    let place = place_of(&mut coroner.targets, target);
                    coroner.targets[place].meaning(place, index, role, &of_descriptors)
                }
                _ => Meaning::Nothing,
            };
            coroner.meanings.push(meaning);
        }
        coroner
    }

    /// Takes in what all series showed at one instant, first who began anew, then what the living hold; the deaths that
    /// it shows, as far as they can be told by then.
    pub(super) fn take(&mut self, slice: &Slice) -> impl Iterator<Item = &mut Death> {
        let before = self.deaths.len();
        for (index, value) in &slice.samples {
            if let Some(Meaning::Start(target)) = self.meanings.get(index.0 as usize)
                && let Some(death) = self.targets[*target].start(*value)
            {
                self.deaths.push((*target, death));
            }
        }
        for (index, value) in &slice.samples {
            let target = match self.meanings.get(index.0 as usize) {
                Some(Meaning::Start(target)) => *target,
                Some(Meaning::Load(target)) => {
                    self.targets[*target].has_load = true;
                    continue;
                }
                Some(Meaning::MostDescriptors(target)) => {
                    self.targets[*target].most_descriptors =
                        Some(*value).filter(|most| *most > 0.0);
                    continue;
                }
                Some(Meaning::Level(target, level)) => {
                    if let Some(death) = self.targets[*target].level(*level, slice.at, *value) {
                        self.deaths.push((*target, death));
                    }
                    *target
                }
                Some(Meaning::Container) => {
                    self.containers.take(*index, slice.at, *value);
                    continue;
                }
                Some(Meaning::Nothing) | None => continue,
            };
            self.targets[target].seen(slice.at);
        }
        self.deaths[before..].iter_mut().map(|(_, death)| death)
    }

    /// Everything, after the last slice. `end`: of the range; `tolerance_seconds`: two reports of one death are no
    /// further apart.
    pub(super) fn finish(mut self, end: Timestamp, tolerance_seconds: f64) -> Findings {
        let known = std::mem::take(&mut self.containers);
        known.join(&self.targets, &mut self.deaths, tolerance_seconds);
        let (rollouts, mut deaths) =
            rollouts::part(&self.targets, self.deaths, end, tolerance_seconds);
        deaths.sort_by(|one, other| (one.at, &one.name).cmp(&(other.at, &other.name)));
        let seen: Vec<&Traced> = self
            .targets
            .iter()
            .filter(|target| !target.levels.is_empty() && target.first_seen.is_some())
            .collect();
        let count =
            |is_so: &dyn Fn(&Traced) -> bool| seen.iter().filter(|target| is_so(target)).count();
        Findings {
            targets: seen.len(),
            workloads: seen
                .iter()
                .map(|target| &target.workload)
                .collect::<HashSet<_>>()
                .len(),
            gaps: seen.iter().fold((0, 0.0), |sum, target| {
                (sum.0 + target.gaps.0, sum.1 + target.gaps.1)
            }),
            without_load: count(&|target| !target.has_load),
            without_start: count(&|target| target.started.is_none()),
            short: count(&|target| target.seconds_seen() < 86_400.0),
            deaths,
            rollouts,
        }
    }
}

impl Traced {
    fn new(target: &Target, workload: Labels) -> Self {
        let name = ["pod", "instance"]
            .iter()
            .find_map(|name| target.labels.get(name))
            .map_or_else(|| target.labels.to_string(), str::to_owned);
        Self {
            labels: target.labels.clone(),
            workload,
            name,
            started: None,
            first_seen: None,
            last_seen: None,
            interval: f64::INFINITY,
            gaps: (0, 0.0),
            has_load: false,
            most_descriptors: None,
            is_used_up: false,
            levels: Vec::new(),
        }
    }

    fn meaning(
        &mut self,
        place: usize,
        series: SeriesIndex,
        role: Role,
        of_descriptors: &HashSet<&Arc<str>>,
    ) -> Meaning {
        match role {
            Role::StartTime => Meaning::Start(place),
            Role::Level(spec) => {
                self.levels.push(TracedLevel {
                    is_descriptors: of_descriptors.contains(&spec.signal),
                    spec,
                    series,
                    trail: None,
                });
                Meaning::Level(place, self.levels.len() - 1)
            }
            Role::Limit(signal) if of_descriptors.contains(&signal) => {
                Meaning::MostDescriptors(place)
            }
            Role::Load | Role::Opened => Meaning::Load(place),
            _ => Meaning::Nothing,
        }
    }

    fn seconds_seen(&self) -> f64 {
        self.first_seen
            .zip(self.last_seen)
            .map_or(0.0, |(first, last)| last - first)
    }

    fn seen(&mut self, at: Timestamp) {
        self.first_seen.get_or_insert(at);
        if let Some(last) = self.last_seen
            && at > last
        {
            let apart = at - last;
            if apart > GAP.0 && apart > GAP.1 * self.interval {
                self.gaps = (self.gaps.0 + 1, self.gaps.1 + apart);
            }
            self.interval = self.interval.min(apart);
        }
        self.last_seen = self.last_seen.max(Some(at));
    }

    /// Takes in when the process began; the death of an earlier one.
    fn start(&mut self, value: f64) -> Option<Death> {
        if !value.is_finite() || value <= 0.0 {
            return None;
        }
        let before = self.started.replace(value)?;
        if value - before <= START_TIME_JITTER_SECONDS {
            // One process: the first of its start times counts, or a drift would never add up.
            self.started = Some(before);
            return None;
        }
        let death = self
            .last_seen
            .map(|at| self.end_of_life(at, Timestamp::from_seconds(before)));
        self.is_used_up = false;
        for level in &mut self.levels {
            level.trail = None;
        }
        death
    }

    /// The death of a process that began at `began`: where most of its life was not seen, flatness says nothing.
    fn end_of_life(&self, at: Timestamp, began: Timestamp) -> Death {
        let mut death = self.death(at, DeathKind::Restarted);
        let seen = self
            .levels
            .iter()
            .filter_map(|level| level.trail.as_ref())
            .map(Trail::seconds)
            .fold(0.0, f64::max);
        if death.grown.is_empty() && death.unseen.is_none() && seen < 0.5 * (at - began) {
            death.unseen = Some(format!(
                "of a life of {} only the last {} were seen",
                crate::quantity::duration(at - began),
                crate::quantity::duration(seen)
            ));
        }
        death
    }

    /// Takes in a level; the moment at which descriptors are used up.
    fn level(&mut self, level: usize, at: Timestamp, value: f64) -> Option<Death> {
        let own = &mut self.levels[level];
        own.trail
            .get_or_insert_with(|| Trail::new(at))
            .push(at, value);
        let most = self.most_descriptors.filter(|_| own.is_descriptors)?;
        if value < USED_UP.1 * most {
            self.is_used_up = false;
        }
        if value < USED_UP.0 * most || self.is_used_up {
            return None;
        }
        self.is_used_up = true;
        Some(self.death(at, DeathKind::OutOfDescriptors))
    }

    fn death(&self, at: Timestamp, kind: DeathKind) -> Death {
        let mut grown = Vec::new();
        let mut seen = 0;
        for level in &self.levels {
            let Some(trail) = &level.trail else { continue };
            match trail.course(level.spec.absolute_floor, level.spec.relative_floor) {
                Course::Grew(growth) => {
                    seen += 1;
                    grown.push(Grown {
                        signal: Arc::clone(&level.spec.signal),
                        series: level.series,
                        growth,
                        standing: None,
                    });
                }
                Course::Flat => seen += 1,
                Course::Unseen => {}
            }
        }
        let share = |own: &Grown| own.growth.to / own.growth.from.max(1.0);
        grown.sort_by(|one, other| share(other).total_cmp(&share(one)));
        let lived = self
            .levels
            .iter()
            .filter_map(|level| level.trail.as_ref())
            .map(Trail::seconds)
            .fold(0.0, f64::max);
        Death {
            at,
            kind,
            workload: self.workload.clone(),
            target: Some(self.labels.clone()),
            name: self.name.clone(),
            grown,
            unseen: (seen == 0).then(|| {
                if self.levels.is_empty() {
                    "it exposes no level of the catalogue".to_owned()
                } else {
                    format!(
                        "that life was seen for {} only",
                        crate::quantity::duration(lived)
                    )
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests;
