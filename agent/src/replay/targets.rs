//! The targets of a history, from the labels of its series, and which of them are there.
//!
//! The labels of a target are those of the `up` series with the same job and instance; where there is none, the usual
//! names as far as a series has them. Where several `up` series fit, the one with the most labels is the target's. A
//! target is taken to be listed from its first sample until it has had none for a while, and is found gone after two
//! hours; time at which nothing at all was measured does not count. What an exporter tells of many parts is of as many
//! targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::catalogue::Catalogue;
use crate::discovery::{ScrapeLimits, ScrapeSettings, Target};
use crate::engine::{Engine, SlotIndex, TargetIndex};
use crate::history::{SeriesIndex, SeriesTable, UP, USUAL_LABELS};
use crate::http_client::HttpSettings;
use crate::labels::Labels;
use crate::shard::Portion;
use crate::workload;

/// A value stands, and a target is taken to be there, for at least this long after a sample: Prometheus' own lookback.
const LEAST_PATIENCE: Duration = Duration::from_secs(300);

/// The same in intervals between two samples, where those are long.
const PATIENCE_INTERVALS: f64 = 2.5;

/// A target that is not listed is forgotten after this: by then its workload's incidents have ended as gone.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3 * 3600);

/// The targets of a history and the places of its series in the engine.
#[derive(Debug)]
pub(crate) struct Targets {
    catalogue: Catalogue,
    settings: Arc<ScrapeSettings>,
    interval: Duration,
    /// A target without samples for this long is not listed any more.
    patience: Duration,
    /// Where its targets are read of; empty for a history.
    origin: Arc<str>,
    /// Label sets of `up` series, by job and instance.
    ups: HashMap<Identity, Vec<Labels>>,
    by_labels: HashMap<Labels, u32>,
    known: Vec<Known>,
    /// By the place of a series in its table.
    places: Vec<Place>,
    /// When absences were looked for last.
    swept_at: Option<Timestamp>,
    /// Numbers of forgotten targets that may be given out again; only where nobody keeps them longer than that.
    free: Option<Vec<u32>>,
    /// The others are somebody else's, who judges them at the same time.
    portion: Option<Portion>,
    /// Whether they are parts of targets that the agent scrapes: of its own share, whatever their workload.
    are_parts: bool,
    workload_by: Option<Vec<Arc<str>>>,
}

type Identity = (Option<String>, Option<String>);

#[derive(Debug)]
struct Known {
    target: Arc<Target>,
    /// `None` before it was listed for the first time.
    index: Option<TargetIndex>,
    /// When it had a sample last; the epoch before its first.
    seen_at: Timestamp,
    /// How far apart its samples usually are, in seconds; zero before its second.
    usual_gap: f64,
    presence: Presence,
    /// How often it was forgotten: places of earlier times are void.
    lives: u32,
    /// Whether it is of the portion that is judged here.
    is_ours: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Listed,
    Unlisted,
    Forgotten,
}

/// Where the samples of a series go.
#[derive(Clone, Copy, Debug)]
struct Place {
    target: u32,
    slot: Option<SlotIndex>,
    lives: u32,
}

impl Known {
    /// Takes a sample, and how long it was coming: an absence counts as no more than four times the usual.
    fn see(&mut self, at: Timestamp) {
        let gap = at - self.seen_at;
        if self.seen_at != Timestamp::default() {
            self.usual_gap = if self.usual_gap > 0.0 {
                self.usual_gap + (gap.min(4.0 * self.usual_gap) - self.usual_gap) / 8.0
            } else {
                gap
            };
        }
        self.seen_at = at;
    }
}

impl Targets {
    /// `interval`: the longest usual time between two samples of a target.
    pub(crate) fn new(catalogue: Catalogue, interval: Duration) -> Self {
        Self {
            catalogue,
            settings: Arc::new(ScrapeSettings {
                honor_labels: true,
                honor_timestamps: true,
                enable_compression: false,
                protocols: Vec::new(),
                fallback_protocol: None,
                http: HttpSettings::default(),
                metric_relabelling: Default::default(),
                limits: ScrapeLimits::default(),
            }),
            interval,
            patience: LEAST_PATIENCE.max(interval.mul_f64(PATIENCE_INTERVALS)),
            origin: Arc::from(""),
            ups: HashMap::new(),
            by_labels: HashMap::new(),
            known: Vec::new(),
            places: Vec::new(),
            swept_at: None,
            free: None,
            portion: None,
            are_parts: false,
            workload_by: None,
        }
    }

    /// How long a target is taken to be there after a sample.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Of those that are met from now on, only the workloads of this portion are let into the engine.
    pub(super) fn restrict(&mut self, portion: Portion, workload_by: Option<Vec<Arc<str>>>) {
        self.portion = Some(portion);
        self.workload_by = workload_by;
    }

    /// Finds the targets of series that are new in the table.
    pub(super) fn meet(&mut self, table: &SeriesTable) {
        let new = self.places.len()..table.len();
        let series = |place: usize| table.get(SeriesIndex(place as u32));
        for up in new
            .clone()
            .filter_map(series)
            .filter(|own| *own.name == *UP)
        {
            self.meet_up(&up.labels);
        }
        for series in new.filter_map(series) {
            let (labels, _) = self.labels_of(&series.name, &series.labels);
            let target = self.number_of(labels);
            self.places.push(Place {
                target,
                slot: None,
                lives: u32::MAX,
            });
        }
    }

    /// Learns of an `up` series: its labels are those of a target.
    pub(crate) fn meet_up(&mut self, labels: &Labels) {
        let ups = self.ups.entry(identity(labels)).or_default();
        if !ups.contains(labels) {
            ups.push(labels.clone());
        }
    }

    /// The number of the target with these labels, which is met now where it is new.
    pub(crate) fn number_of(&mut self, labels: Labels) -> u32 {
        match self.by_labels.get(&labels) {
            Some(target) => *target,
            None => self.admit(labels),
        }
    }

    /// The labels of a series' target, and those by which it is known in it.
    pub(crate) fn labels_of(&self, name: &str, series: &Labels) -> (Labels, Labels) {
        let ups = self.ups.get(&identity(series));
        let target = ups
            .into_iter()
            .flatten()
            .filter(|up| series.includes(up))
            .max_by_key(|up| up.len())
            .map_or_else(
                || series.retain(|name| USUAL_LABELS.contains(&name)),
                Clone::clone,
            );
        match self.catalogue.part(name, series, &target) {
            Some(part) => (part.target, part.series),
            None => (target, series.clone()),
        }
    }

    fn admit(&mut self, labels: Labels) -> u32 {
        let target = Arc::new(Target {
            job: Arc::from(labels.get("job").unwrap_or_default()),
            // A container has none.
            instance: Arc::from(
                labels
                    .get("instance")
                    .or(labels.get("pod"))
                    .unwrap_or_default(),
            ),
            labels: labels.clone(),
            discovered: labels.clone(),
            url: Arc::clone(&self.origin),
            interval: self.interval,
            timeout: self.interval,
            evidence: Vec::new(),
            evidence_address: None,
            settings: Arc::clone(&self.settings),
        });
        let is_ours = self.portion.is_none_or(|portion| {
            portion.holds(&workload::of_target(&labels, self.workload_by.as_deref()))
        });
        // It is listed with its first sample.
        let mut known = Known {
            target,
            index: None,
            seen_at: Timestamp::default(),
            usual_gap: 0.0,
            presence: Presence::Unlisted,
            lives: 0,
            is_ours,
        };
        let number = match self.free.as_mut().and_then(Vec::pop) {
            Some(number) => {
                let place = &mut self.known[number as usize];
                known.lives = place.lives;
                *place = known;
                number
            }
            None => {
                self.known.push(known);
                self.known.len() as u32 - 1
            }
        };
        self.by_labels.insert(labels, number);
        number
    }

    /// The target has a sample, or is named, at `at`: it is listed, and this is its number in the engine. `None` where the
    /// engine does not take it.
    pub(crate) fn see(
        &mut self,
        target: u32,
        at: Timestamp,
        engine: &mut Engine,
    ) -> Option<TargetIndex> {
        let known = self.known.get_mut(target as usize)?;
        if !known.is_ours {
            return None;
        }
        if known.presence != Presence::Listed {
            let (target, patience) = (Arc::clone(&known.target), self.patience);
            known.index = Some(if self.are_parts {
                engine.list_part(target, patience)
            } else {
                engine.list_stored(target, patience)?
            });
            known.presence = Presence::Listed;
        }
        if at > known.seen_at {
            known.see(at);
        }
        known.index
    }

    /// The target of a series and where in it the series' samples go; `None` where it has no such series. The target has
    /// a sample at `at`.
    pub(super) fn place(
        &mut self,
        series: SeriesIndex,
        at: Timestamp,
        table: &SeriesTable,
        engine: &mut Engine,
    ) -> Option<(TargetIndex, Option<SlotIndex>)> {
        let target = self.places.get(series.0 as usize)?.target;
        let index = self.see(target, at, engine)?;
        let known = self.known.get(target as usize)?;
        let place = self.places.get(series.0 as usize)?;
        if place.lives != known.lives {
            let lives = known.lives;
            let own = table.get(series)?;
            let (_, labels) = self.labels_of(&own.name, &own.labels);
            let slot = engine.slot(index, &own.name, &labels);
            let place = self.places.get_mut(series.0 as usize)?;
            (place.slot, place.lives) = (slot, lives);
            return Some((index, slot));
        }
        Some((index, place.slot))
    }

    /// Takes those off the list that have had no sample for too long.
    pub(crate) fn sweep(&mut self, now: Timestamp, engine: &mut Engine) {
        let patience = self.patience.as_secs_f64();
        if self
            .swept_at
            .is_some_and(|swept| now - swept < patience / 10.0)
        {
            return;
        }
        self.swept_at = Some(now);
        for (number, known) in self.known.iter_mut().enumerate() {
            let Some(index) = known.index else {
                continue;
            };
            let silent = now - known.seen_at;
            let patience = patience.max(PATIENCE_INTERVALS * known.usual_gap);
            match known.presence {
                Presence::Listed if silent > patience => {
                    engine.unlist(index, known.seen_at);
                    known.presence = Presence::Unlisted;
                }
                Presence::Unlisted if silent > patience + FORGOTTEN_AFTER.as_secs_f64() => {
                    engine.give_up(index);
                    known.presence = Presence::Forgotten;
                    known.index = None;
                    known.lives += 1;
                    if let Some(free) = &mut self.free {
                        self.by_labels.remove(&known.target.labels);
                        let identity = identity(&known.target.labels);
                        if let Some(ups) = self.ups.get_mut(&identity) {
                            ups.retain(|own| *own != known.target.labels);
                            if ups.is_empty() {
                                self.ups.remove(&identity);
                            }
                        }
                        free.push(number as u32);
                    }
                }
                _ => {}
            }
        }
    }

    /// Leaves those to the scraping that are scraped now.
    pub(crate) fn yield_to_scraping(&mut self, engine: &mut Engine) {
        for known in &mut self.known {
            if let Some(index) = known.index
                && engine.is_scraped(&known.target.labels)
            {
                engine.leave_to_scraping(index);
                known.index = None;
                known.presence = Presence::Unlisted;
                known.lives += 1;
            }
        }
    }

    /// For targets that come and go for ever, read of at `origin`: numbers of forgotten ones are given out again, which
    /// ends the places of series.
    pub(crate) fn live(catalogue: Catalogue, interval: Duration, origin: Arc<str>) -> Self {
        Self {
            origin,
            free: Some(Vec::new()),
            ..Self::new(catalogue, interval)
        }
    }

    /// For parts of targets that the agent scrapes.
    pub(crate) fn parts(catalogue: Catalogue, interval: Duration) -> Self {
        Self {
            are_parts: true,
            ..Self::live(catalogue, interval, Arc::from(""))
        }
    }

    /// Goes on with the targets that another engine, in which they had other numbers, has handed over.
    pub(crate) fn take_over(&mut self, other: Self, moved: &HashMap<TargetIndex, TargetIndex>) {
        self.ups = other.ups;
        for known in other.known {
            let Some(index) = known.index.and_then(|index| moved.get(&index)) else {
                continue;
            };
            let number = self.number_of(known.target.labels.clone());
            let own = &mut self.known[number as usize];
            own.index = Some(*index);
            own.presence = Presence::Listed;
            own.seen_at = known.seen_at;
        }
    }

    /// Nothing at all was measured for a while.
    pub(crate) fn pass_over(&mut self, gap: Duration) {
        let met = |known: &&mut Known| known.seen_at != Timestamp::default();
        for known in self.known.iter_mut().filter(met) {
            known.seen_at = known.seen_at + gap;
        }
    }

    /// Those that are listed count as seen at `until`.
    pub(crate) fn excuse(&mut self, until: Timestamp) {
        for known in &mut self.known {
            if known.presence == Presence::Listed {
                known.seen_at = known.seen_at.max(until);
            }
        }
    }

    /// The number in the engine of a target that is listed.
    pub(crate) fn listed(&self, target: u32) -> Option<TargetIndex> {
        let known = self.known.get(target as usize)?;
        known.index.filter(|_| known.presence == Presence::Listed)
    }

    /// The target of a series that was met.
    pub(super) fn of(&self, series: SeriesIndex) -> Option<&Arc<Target>> {
        let place = self.places.get(series.0 as usize)?;
        Some(&self.known.get(place.target as usize)?.target)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

fn identity(labels: &Labels) -> Identity {
    let label = |name| labels.get(name).map(str::to_owned);
    (label("job"), label("instance"))
}
