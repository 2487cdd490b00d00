//! One target: its health, the life of its process, its watched series and its traffic.
//!
//! A scrape is read in three passes: when the process began, the counters that explain the levels, the levels. A failed
//! scrape changes nothing but health; a series that is missing keeps its detector for a while, because a gap is no news.

mod carried;
mod health;
mod limits;
mod readings;
mod slots;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::{Budget, Timestamp};

use crate::catalogue::{Catalogue, LevelSpec, Role};
use crate::discovery::Target;
use crate::engine::overrides::Met;
use crate::engine::series::{Series, SeriesName};
pub use crate::engine::target::health::Health;
use crate::engine::target::readings::Reading;
use crate::engine::target::slots::Slots;
use crate::engine::traffic::Traffic;
use crate::incident::START_TIME_JITTER_SECONDS;
use crate::labels::Labels;
use crate::scrape::Scrape;

/// A series that has not been seen for this long, and for ten intervals, is given up.
const STALE_SECONDS: f64 = 3600.0;

/// One that does not leak and was not seen for as long as it has been missing, after so long already: when its life has
/// long been taken by the comparison with others.
const SOON_STALE_SECONDS: f64 = 1200.0;

/// Series are given up so often.
const SWEEP_SECONDS: f64 = 300.0;

/// The most upstreams whose traffic is followed for one target.
const UPSTREAM_LIMIT: usize = 256;

/// What the engine knows of one target.
#[derive(Debug)]
pub(super) struct TargetState {
    pub(super) target: Arc<Target>,
    /// The target's labels in exposition syntax.
    pub(super) key: Arc<str>,
    /// The target as a number: a hash of its key, the same on any machine.
    pub(super) number: u64,
    pub(super) workload: Labels,
    /// How long a value that explains others stands, where not all series of the target need have a sample at every
    /// instant; `None` where the agent scrapes it itself, and all of it at once.
    pub(super) lookback: Option<Duration>,
    pub(super) health: Health,
    pub(super) last_success: Option<Timestamp>,
    /// Since when it has been watched, its detectors' time before a restart of the agent included.
    pub(super) watched_since: Option<Timestamp>,
    life: Option<Life>,
    /// Lives of its levels that have ended and were not taken yet.
    ended: Vec<(SeriesName, leak_detect::Life)>,
    slots: Slots,
    traffic: BTreeMap<Arc<str>, Traffic>,
    /// What the last scrape said beside its levels.
    reading: Reading,
    /// How many judged series leak or may begin to.
    suspects: usize,
    /// When series were given up last.
    swept_at: Timestamp,
    /// Something was learnt of it since the last evaluation.
    pub(super) has_news: bool,
    /// Since when discovery no longer lists it.
    pub(super) unlisted_since: Option<Timestamp>,
    /// Detectors from before the agent's restart whose series have not been seen yet.
    restored: HashMap<(Arc<str>, Labels), Vec<u8>>,
    /// When the first sample after that came.
    restored_at: Option<Timestamp>,
    /// The process of those detectors is gone; when its successor began.
    restored_life_over: Option<Timestamp>,
}

/// One life of a target's process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Life {
    began: Timestamp,
    /// The sum of its counters when it was looked at last: one that falls is another life.
    counted: f64,
}

/// What a scrape could not take in, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Above the limit of one target.
    pub(super) target_limit: u64,
    /// Above the limit of the whole agent.
    pub(super) series_limit: u64,
}

/// One sample of a scrape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brought {
    /// The number of its series.
    pub(super) slot: u32,
    pub(super) value: f64,
    /// Its own time, or that of the scrape.
    pub(super) at: Timestamp,
}

/// When a scrape was made, and from when on what explains it still stands.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Timestamp,
    since: Timestamp,
}

/// What a target needs to know to take in a scrape.
pub(super) struct Terms<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) budget: Budget,
    /// How many series the target may have, as far as the whole agent is concerned.
    pub(super) room: usize,
    /// Whether slots keep their numbers.
    pub(super) keeps_slots: bool,
    /// The overrides that a series meets, by its signal and labels.
    pub(super) overrides: &'a dyn Fn(&str, &Labels) -> Met,
}

impl TargetState {
    pub(super) fn new(target: Arc<Target>, workload: Labels, lookback: Option<Duration>) -> Self {
        let key: Arc<str> = Arc::from(target.labels.to_string());
        Self {
            number: fnv(&key),
            ended: Vec::new(),
            key,
            target,
            workload,
            lookback,
            health: Health::default(),
            last_success: None,
            watched_since: None,
            life: None,
            slots: Slots::default(),
            traffic: BTreeMap::new(),
            reading: Reading::default(),
            suspects: 0,
            swept_at: Timestamp::default(),
            has_news: false,
            unlisted_since: None,
            restored: HashMap::new(),
            restored_at: None,
            restored_life_over: None,
        }
    }

    /// Takes in a scrape; what did not fit.
    pub(super) fn scraped(&mut self, scrape: &Scrape, terms: &Terms<'_>) -> Dropped {
        let mut dropped = Dropped {
            target_limit: scrape.notes.above_series_limit,
            series_limit: 0,
        };
        self.health = Health::of(scrape);
        let Ok(samples) = &scrape.result else {
            return dropped;
        };
        let mut batch = Vec::with_capacity(samples.len());
        for sample in samples {
            let role = || terms.catalogue.role(&sample.name, &sample.labels);
            if let Some(slot) = self.slots.of_sample(batch.len(), sample, role) {
                // A level that is dated by its target is taken at that time, if it is not in the future.
                let own = sample.at.filter(|own| *own <= scrape.at);
                batch.push(Brought {
                    slot,
                    value: sample.value,
                    at: own.unwrap_or(scrape.at),
                });
            }
        }
        self.slots
            .remember_order(batch.iter().map(|brought| brought.slot));
        self.take_in(scrape.at, &batch, terms, &mut dropped);
        dropped
    }

    /// The number of a series, under which [`take_in`](Self::take_in) takes its samples; `None` where it means nothing.
    /// Of no use after a scrape.
    pub(super) fn slot(
        &mut self,
        name: &Arc<str>,
        labels: &Labels,
        catalogue: &Catalogue,
    ) -> Option<u32> {
        self.slots
            .of_series(name, labels, || catalogue.role(name, labels))
    }

    /// Takes in what was measured at one instant, each series at most once.
    pub(super) fn take_in(
        &mut self,
        at: Timestamp,
        batch: &[Brought],
        terms: &Terms<'_>,
        dropped: &mut Dropped,
    ) {
        if self.last_success.is_some_and(|last| at <= last) {
            return;
        }
        for brought in batch.iter().filter(|own| own.value.is_finite()) {
            let slot = self.slots.get_mut(brought.slot);
            (slot.value, slot.seen_at) = (brought.value, Some(at));
        }
        let moment = Moment {
            at,
            since: at - self.lookback.unwrap_or_default(),
        };
        let mut reading = std::mem::take(&mut self.reading);
        reading.renew(&self.slots, moment.since);
        let restarted = self.begin_life(at, &reading);
        self.take_traffic(at, &reading, restarted, dropped);
        self.reading = reading;
        for brought in batch {
            self.take(moment, brought, terms, dropped);
        }
        self.last_success = Some(at);
        self.watched_since.get_or_insert(at);
        self.give_up_stale(at, terms);
    }

    /// Whether the process has begun anew since the last scrape.
    fn begin_life(&mut self, at: Timestamp, reading: &Reading) -> bool {
        let counted = reading.counted();
        let before = self.life;
        let began = match (reading.start, before) {
            (Some(start), _) => start,
            (None, Some(life)) if counted >= life.counted => life.began,
            (None, _) => at,
        };
        let is_new = before.is_none_or(|life| began - life.began > START_TIME_JITTER_SECONDS);
        self.life = Some(Life {
            began: if is_new {
                began
            } else {
                before.map_or(began, |life| life.began)
            },
            counted,
        });
        let restarted = is_new && before.is_some();
        if restarted {
            self.restored_life_over = Some(began);
            for series in self.slots.judged_mut() {
                if let Some(life) = series.life(self.number) {
                    self.ended.push((series.name.clone(), life));
                }
                series.restarted(began);
            }
            self.recount();
        }
        restarted
    }

    fn take_traffic(
        &mut self,
        at: Timestamp,
        reading: &Reading,
        restarted: bool,
        dropped: &mut Dropped,
    ) {
        for (upstream, readings) in &reading.upstreams {
            if self.traffic.len() >= UPSTREAM_LIMIT && !self.traffic.contains_key(upstream) {
                dropped.target_limit += 1;
                continue;
            }
            // An upstream that appears between two scrapes of one process has begun at zero.
            let before = self.last_success;
            self.traffic
                .entry(Arc::clone(upstream))
                .or_insert_with(|| Traffic::new(before))
                .observe(at, readings, restarted);
        }
    }

    fn take(
        &mut self,
        moment: Moment,
        brought: &Brought,
        terms: &Terms<'_>,
        dropped: &mut Dropped,
    ) {
        let index = brought.slot;
        let slot = self.slots.get(index);
        let load = match &slot.role {
            Role::Exact(_) => None,
            Role::Level(spec) => self.load_of(index, spec, moment.since),
            _ => return,
        };
        if slot.series.is_none() {
            let per_target = self.target.settings.limits.series.unwrap_or(u64::MAX);
            if self.series_count() as u64 >= per_target {
                dropped.target_limit += 1;
                return;
            }
            if self.series_count() >= terms.room {
                dropped.series_limit += 1;
                return;
            }
            let Some(series) = self.begin_series(index, terms) else {
                return;
            };
            self.suspects += usize::from(series.is_suspect());
            self.slots.judge(index, series);
        }
        let oldest_age = self
            .slots
            .oldest_age_of(index)
            .filter(|age| age.seen_at.is_some_and(|seen_at| seen_at >= moment.since))
            .map(|age| age.value);
        if let Some(series) = &mut self.slots.get_mut(index).series {
            let before = series.is_suspect();
            series.observe(moment.at, brought.at, brought.value, load, oldest_age);
            self.suspects += usize::from(series.is_suspect());
            self.suspects -= usize::from(before);
        }
    }

    fn begin_series(&mut self, index: u32, terms: &Terms<'_>) -> Option<Series> {
        let slot = self.slots.get(index);
        let (signal, labels) = (Arc::clone(&slot.name), slot.labels.clone());
        let met = (terms.overrides)(&signal, &labels);
        let key = (Arc::clone(&signal), labels.clone());
        let mut series = match &slot.role {
            Role::Exact(exact) => Series::exact(signal, labels, *exact, met.places),
            Role::Level(spec) => Series::level(labels, Arc::clone(spec), met.places),
            _ => return None,
        };
        // Bytes that cannot be read are as good as none: the detector learns anew.
        let restored = self
            .restored
            .remove(&key)
            .is_some_and(|bytes| series.restore(&bytes).is_ok());
        let began = if restored {
            self.restored_life_over
        } else {
            self.life.map(|life| life.began)
        };
        let target = &self.target.labels;
        let own = series.labels.retain(|name| !target.contains(name));
        series.name = SeriesName::new(Arc::clone(&series.signal), own);
        if let Some(began) = began {
            if restored && let Some(life) = series.life(self.number) {
                self.ended.push((series.name.clone(), life));
            }
            series.restarted(began);
        }
        if let Some(last) = self
            .last_success
            .filter(|_| !restored && series.kind.is_exact())
        {
            // A count that was not there at the last scrape was zero: its account had not been opened.
            series.observe(last, last, 0.0, None, None);
        }
        series.set_terms(met.floor, terms.budget);
        Some(series)
    }

    /// The counter of the work that explains a level.
    fn load_of(&self, index: u32, spec: &LevelSpec, since: Timestamp) -> Option<f64> {
        let opened = self
            .slots
            .opened_of(index)
            .filter(|opened| opened.seen_at.is_some_and(|seen_at| seen_at >= since));
        match opened {
            Some(opened) => Some(opened.value),
            None => self.load(spec),
        }
    }

    fn give_up_stale(&mut self, now: Timestamp, terms: &Terms<'_>) {
        if now - self.swept_at < SWEEP_SECONDS {
            return;
        }
        self.swept_at = now;
        let pace = 10.0 * self.target.interval.as_secs_f64();
        let (soon, stale) = (SOON_STALE_SECONDS.max(pace), STALE_SECONDS.max(pace));
        self.slots.retain_judged(|series| {
            let patience = match series.is_suspect() {
                true => stale,
                false => series.seen_for().clamp(soon, stale),
            };
            now - series.seen_at <= patience
        });
        self.recount();
        if !terms.keeps_slots {
            self.slots.tidy(now.shifted(-stale));
        }
        if now - *self.restored_at.get_or_insert(now) > stale {
            self.restored = HashMap::new();
        }
    }

    /// Counts anew what leaks or may begin to.
    fn recount(&mut self) {
        self.suspects = self.series().filter(|series| series.is_suspect()).count();
    }

    /// Whether a series leaks or may begin to, or calls are followed, which only a closer look can judge.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspects > 0 || !self.traffic.is_empty()
    }

    /// When its process began, as far as that is known.
    pub(super) fn life_began(&self) -> Option<Timestamp> {
        Some(self.life?.began)
    }

    pub(super) fn series(&self) -> impl Iterator<Item = &Series> {
        self.slots.judged()
    }

    /// The lives of its levels that have ended since this was asked last.
    pub(super) fn take_ended(&mut self) -> Vec<(SeriesName, leak_detect::Life)> {
        std::mem::take(&mut self.ended)
    }

    /// The lives of its levels that go on.
    pub(super) fn lives(&self) -> impl Iterator<Item = (SeriesName, leak_detect::Life)> {
        self.series()
            .filter_map(|series| Some((series.name.clone(), series.life(self.number)?)))
    }

    /// Changes every series.
    pub(super) fn change_series(&mut self, change: impl FnMut(&mut Series)) {
        self.slots.judged_mut().for_each(change);
        self.recount();
    }

    pub(super) fn series_count(&self) -> usize {
        self.slots.judged_count()
    }

    /// One series by its signal and labels.
    pub(super) fn one(&self, signal: &str, labels: &Labels) -> Option<&Series> {
        self.series()
            .find(|series| *series.signal == *signal && series.labels == *labels)
    }

    pub(super) fn traffic(&self) -> impl Iterator<Item = (&Arc<str>, &Traffic)> {
        self.traffic.iter()
    }

    /// Entries opened in this life of the process, of one resource (of all, where none is named) and of the upstreams
    /// that are meant; `None` where no such account is exposed.
    pub(super) fn opened(
        &self,
        resource: Option<&str>,
        covers: impl Fn(Option<&str>) -> bool,
    ) -> Option<f64> {
        let mut opened = self
            .reading
            .opened
            .iter()
            .filter(|((own, upstream), _)| {
                resource.is_none_or(|wanted| **own == *wanted) && covers(upstream.as_deref())
            })
            .map(|(_, opened)| *opened)
            .peekable();
        opened.peek()?;
        Some(opened.sum())
    }

    /// The load of the whole process in this life, by the best counter there is.
    pub(super) fn load(&self, spec: &LevelSpec) -> Option<f64> {
        spec.load.iter().find_map(|name| self.reading.load(name))
    }
}

/// 64 bits of FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
