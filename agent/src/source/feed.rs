//! What a store answered, given to the engine target by target and instant by instant, each sample once.
//!
//! Answers overlap, since what was measured may become visible late. A sample that comes after a later one of its target
//! is taken with the target's next instant, at its own time. A target that the agent scrapes is passed over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::catalogue::Catalogue;
use crate::config::Source;
use crate::engine::{Engine, SlotIndex, TargetIndex};
use crate::history::UP;
use crate::labels::Labels;
use crate::replay::Targets;
use crate::source::reading::Answer;

/// A series that has not been seen for this long is forgotten: before its target is.
const SERIES_FORGOTTEN_SECONDS: f64 = 3.0 * 3600.0;

/// The name of a series among its labels, in the API.
const NAME: &str = "__name__";

/// The way from one store into the engine.
#[derive(Debug)]
pub(super) struct Feed {
    source: Arc<str>,
    targets: Targets,
    /// By their labels with `__name__`.
    series: HashMap<Labels, Known>,
    series_limit: usize,
    /// What is not later than this is known already.
    begins_after: Timestamp,
    /// The last sample of all.
    newest: Timestamp,
}

/// One series of the store.
#[derive(Debug)]
struct Known {
    name: Arc<str>,
    labels: Labels,
    target: u32,
    /// Its last sample that was taken.
    taken: Timestamp,
    /// When it was answered last.
    seen: Timestamp,
}

/// What came of an answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// Samples that were new.
    pub(super) samples: u64,
    /// Series above the limit.
    pub(super) dropped: u64,
    /// Whether everything was answered, and there is anything at all: else absence means nothing.
    pub(super) is_whole: bool,
    /// Whether it was answered, and has had nothing at all for long.
    pub(super) is_silent: bool,
    /// Up to when the store need not be asked again.
    pub(super) read_until: Option<Timestamp>,
}

/// One new sample.
#[derive(Clone, Copy, Debug)]
struct Row {
    target: TargetIndex,
    at: Timestamp,
    slot: SlotIndex,
    value: f64,
}

impl Feed {
    pub(super) fn new(catalogue: Catalogue, interval: Duration, source: &Source) -> Self {
        Self {
            source: Arc::clone(&source.name),
            targets: Targets::live(catalogue, interval, Arc::clone(&source.url)),
            series: HashMap::new(),
            series_limit: source.series_limit,
            begins_after: Timestamp::default(),
            newest: Timestamp::default(),
        }
    }

    /// Everything up to `until` is known.
    pub(super) fn begin_after(&mut self, until: Timestamp) {
        self.begins_after = until;
        self.newest = until;
    }

    /// How long a target, and the store with all of them, is taken to be there after a sample.
    pub(super) fn patience(&self) -> Duration {
        self.targets.patience()
    }

    /// Goes on with the targets of a history, under the numbers that the engine has given them.
    pub(super) fn take_over(
        &mut self,
        targets: Targets,
        moved: &HashMap<TargetIndex, TargetIndex>,
    ) {
        self.targets.take_over(targets, moved);
    }

    /// Nobody is taken to have been away up to `until`.
    pub(super) fn excuse(&mut self, until: Timestamp) {
        self.targets.excuse(until);
    }

    /// Gives an answer to the engine.
    pub(super) fn take(&mut self, engine: &mut Engine, answer: Answer) -> Taken {
        self.targets.yield_to_scraping(engine);
        let mut taken = Taken {
            read_until: answer.is_over.then_some(answer.to),
            ..Taken::default()
        };
        for (labels, _) in answer.samples.iter().filter(|(labels, _)| is_up(labels)) {
            self.targets.meet_up(&labels.without(NAME));
        }
        let (mut rows, mut late) = (Vec::new(), Vec::new());
        let mut health: HashMap<TargetIndex, (Timestamp, Option<bool>)> = HashMap::new();
        for (labels, values) in &answer.samples {
            let Some(known) = self.known(labels, answer.to, &mut taken) else {
                continue;
            };
            let finite = values.iter().filter(|(_, value)| value.is_finite());
            let Some((last, value)) = finite.clone().next_back() else {
                continue;
            };
            let known = KnownAt::of(known);
            self.newest = self.newest.max(*last);
            let Some(target) = self.targets.see(known.target, *last, engine) else {
                continue;
            };
            let told = health.entry(target).or_insert((*last, None));
            told.0 = told.0.max(*last);
            if is_up(labels) {
                told.1 = Some(*value > 0.0);
                continue;
            }
            let Some(slot) = engine.slot(target, &known.name, &known.labels) else {
                continue;
            };
            let before = engine.last_sample(target);
            let floor = known.taken.max(self.begins_after);
            for (at, value) in finite.filter(|(at, _)| *at > floor) {
                let row = Row {
                    target,
                    at: *at,
                    slot,
                    value: *value,
                };
                if before.is_none_or(|before| *at > before) {
                    rows.push(row);
                } else {
                    late.push(row);
                }
            }
            if let Some(own) = self.series.get_mut(labels) {
                own.taken = own.taken.max(*last);
            }
        }
        let sums = self.sums(engine, &answer, &mut taken);
        taken.samples = (rows.len() + late.len()) as u64;
        give(engine, rows, &late, &sums);
        for (target, (at, up)) in health {
            engine.told_of(target, at, &self.source, up);
        }
        let is_silent = answer.to - self.newest > self.patience().as_secs_f64();
        taken.is_whole = answer.is_whole() && !is_silent;
        taken.is_silent = answer.is_whole() && is_silent;
        self.tidy(engine, answer.to, taken.is_whole);
        taken
    }

    /// The counters of load as they stood at the end.
    fn sums(&mut self, engine: &mut Engine, answer: &Answer, taken: &mut Taken) -> Vec<Row> {
        let mut sums = Vec::new();
        for (labels, value) in answer.sums.iter().filter(|(_, value)| value.is_finite()) {
            let Some(known) = self.known(labels, answer.to, taken) else {
                continue;
            };
            let known = KnownAt::of(known);
            // A target that shows nothing else is not there.
            let target = self.targets.listed(known.target);
            let slot = target.and_then(|target| engine.slot(target, &known.name, &known.labels));
            if let (Some(target), Some(slot)) = (target, slot) {
                sums.push(Row {
                    target,
                    at: answer.to,
                    slot,
                    value: *value,
                });
            }
        }
        sums
    }

    /// What is known of a series, which is met now where it is new; `None` above the limit.
    fn known(&mut self, labels: &Labels, now: Timestamp, taken: &mut Taken) -> Option<&Known> {
        if !self.series.contains_key(labels) {
            if self.series.len() >= self.series_limit {
                taken.dropped += 1;
                return None;
            }
            let name = labels.get(NAME)?;
            let (target, own) = self.targets.labels_of(name, &labels.without(NAME));
            let known = Known {
                name: Arc::from(name),
                target: self.targets.number_of(target),
                labels: own,
                taken: Timestamp::default(),
                seen: now,
            };
            self.series.insert(labels.clone(), known);
        }
        let known = self.series.get_mut(labels)?;
        known.seen = now;
        Some(known)
    }

    fn tidy(&mut self, engine: &mut Engine, now: Timestamp, is_whole: bool) {
        if !is_whole {
            self.targets.excuse(now);
        }
        self.series
            .retain(|_, known| now - known.seen < SERIES_FORGOTTEN_SECONDS);
        self.targets.sweep(now, engine);
    }
}

/// A copy of what is known of a series, while others are looked at.
struct KnownAt {
    name: Arc<str>,
    labels: Labels,
    target: u32,
    taken: Timestamp,
}

impl KnownAt {
    fn of(known: &Known) -> Self {
        Self {
            name: Arc::clone(&known.name),
            labels: known.labels.clone(),
            target: known.target,
            taken: known.taken,
        }
    }
}

fn is_up(labels: &Labels) -> bool {
    labels.get(NAME) == Some(UP)
}

/// Target by target, instant by instant: what came late goes with the first instant, the sums with the last.
fn give(engine: &mut Engine, mut rows: Vec<Row>, late: &[Row], sums: &[Row]) {
    let mut by_target: HashMap<TargetIndex, (Vec<Row>, Vec<Row>)> = HashMap::new();
    for row in late {
        by_target.entry(row.target).or_default().0.push(*row);
    }
    for row in sums {
        by_target.entry(row.target).or_default().1.push(*row);
    }
    rows.sort_by_key(|row| (row.target, row.at, row.slot));
    rows.dedup_by_key(|row| (row.target, row.at, row.slot));
    for own in rows.chunk_by(|one, other| one.target == other.target) {
        let (late, sums) = by_target.remove(&own[0].target).unwrap_or_default();
        let (first, last) = (own[0].at, own[own.len() - 1].at);
        for instant in own.chunk_by(|one, other| one.at == other.at) {
            let at = instant[0].at;
            let dated = |row: &Row| (row.slot, row.value, at);
            let mut batch: Vec<(SlotIndex, f64, Timestamp)> = instant.iter().map(dated).collect();
            if at == last {
                batch.extend(sums.iter().map(dated));
            }
            if at == first && !late.is_empty() {
                let mut there: HashSet<SlotIndex> = instant.iter().map(|row| row.slot).collect();
                // The newest of each series.
                let newest = late.iter().rev().filter(|row| there.insert(row.slot));
                batch.extend(newest.map(|row| (row.slot, row.value, row.at)));
            }
            engine.measured_late(own[0].target, at, &batch);
        }
    }
}
