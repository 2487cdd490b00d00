//! The targets of a history, from the labels of its series, and which of them are there.
//!
//! The labels of a target are those of the `up` series with the same job and instance; where there is none, the usual
//! names as far as a series has them. Where several `up` series fit, the one with the most labels is the target's. A
//! target is taken to be listed from its first sample until it has had none for a while, and is found gone after two
//! hours; time at which nothing at all was measured does not count.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::discovery::{ScrapeLimits, ScrapeSettings, Target};
use crate::engine::{Engine, SlotIndex, TargetIndex};
use crate::history::{Series, SeriesIndex, SeriesTable, USUAL_LABELS};
use crate::http_client::HttpSettings;
use crate::labels::Labels;
use crate::replay::PATIENCE_INTERVALS;

/// The series that Prometheus writes for each target that it scrapes.
pub(crate) const UP: &str = "up";

/// A target that is not listed is forgotten after this: by then its workload's incidents have ended as gone.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3 * 3600);

/// The targets of a history and the places of its series in the engine.
#[derive(Debug)]
pub(super) struct Targets {
    settings: Arc<ScrapeSettings>,
    interval: Duration,
    /// A target without samples for this long is not listed any more.
    patience: Duration,
    /// Label sets of `up` series, by job and instance.
    ups: HashMap<Identity, Vec<Labels>>,
    by_labels: HashMap<Labels, u32>,
    known: Vec<Known>,
    /// By the place of a series in its table.
    places: Vec<Place>,
    /// When absences were looked for last.
    swept_at: Option<Timestamp>,
}

type Identity = (Option<String>, Option<String>);

#[derive(Debug)]
struct Known {
    target: Arc<Target>,
    index: TargetIndex,
    /// When it had a sample last; the epoch before its first.
    seen_at: Timestamp,
    /// How far apart its samples usually are, in seconds; zero before its second.
    usual_gap: f64,
    presence: Presence,
    /// How often it was forgotten: places of earlier times are void.
    lives: u32,
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
    /// `interval`: the longest usual time between two samples of a target; `patience`: without a sample for so long it
    /// is not listed any more.
    pub(super) fn new(interval: Duration, patience: Duration) -> Self {
        Self {
            settings: Arc::new(ScrapeSettings {
                honor_labels: true,
                honor_timestamps: true,
                enable_compression: false,
                protocols: Vec::new(),
                fallback_protocol: None,
                http: HttpSettings::default(),
                limits: ScrapeLimits::default(),
            }),
            interval,
            patience,
            ups: HashMap::new(),
            by_labels: HashMap::new(),
            known: Vec::new(),
            places: Vec::new(),
            swept_at: None,
        }
    }

    /// Finds the targets of series that are new in the table.
    pub(super) fn meet(&mut self, table: &SeriesTable, engine: &mut Engine) {
        let new = self.places.len()..table.len();
        let series = |place: usize| table.get(SeriesIndex(place as u32));
        for up in new
            .clone()
            .filter_map(series)
            .filter(|own| *own.name == *UP)
        {
            let ups = self.ups.entry(identity(&up.labels)).or_default();
            ups.push(up.labels.clone());
        }
        for series in new.filter_map(series) {
            let labels = self.labels_of(series);
            let target = match self.by_labels.get(&labels) {
                Some(target) => *target,
                None => self.admit(labels, engine),
            };
            self.places.push(Place {
                target,
                slot: None,
                lives: u32::MAX,
            });
        }
    }

    fn labels_of(&self, series: &Series) -> Labels {
        let ups = self.ups.get(&identity(&series.labels));
        ups.into_iter()
            .flatten()
            .filter(|up| series.labels.includes(up))
            .max_by_key(|up| up.len())
            .map_or_else(
                || series.labels.retain(|name| USUAL_LABELS.contains(&name)),
                Clone::clone,
            )
    }

    fn admit(&mut self, labels: Labels, engine: &mut Engine) -> u32 {
        let number = self.known.len() as u32;
        let target = Arc::new(Target {
            job: Arc::from(labels.get("job").unwrap_or_default()),
            instance: Arc::from(labels.get("instance").unwrap_or_default()),
            labels: labels.clone(),
            discovered: labels.clone(),
            url: Arc::from(""),
            interval: self.interval,
            timeout: self.interval,
            evidence: Vec::new(),
            evidence_address: None,
            settings: Arc::clone(&self.settings),
        });
        // It is listed with its first sample.
        let index = engine.list(Arc::clone(&target));
        engine.unlist(index, Timestamp::default());
        self.known.push(Known {
            target,
            index,
            seen_at: Timestamp::default(),
            usual_gap: 0.0,
            presence: Presence::Unlisted,
            lives: 0,
        });
        self.by_labels.insert(labels, number);
        number
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
        let place = self.places.get_mut(series.0 as usize)?;
        let known = self.known.get_mut(place.target as usize)?;
        if known.presence != Presence::Listed {
            known.index = engine.list(Arc::clone(&known.target));
            known.presence = Presence::Listed;
        }
        if at > known.seen_at {
            known.see(at);
        }
        if place.lives != known.lives {
            let own = table.get(series)?;
            place.slot = engine.slot(known.index, &own.name, &own.labels);
            place.lives = known.lives;
        }
        Some((known.index, place.slot))
    }

    /// Takes those off the list that have had no sample for too long.
    pub(super) fn sweep(&mut self, now: Timestamp, engine: &mut Engine) {
        let patience = self.patience.as_secs_f64();
        if self
            .swept_at
            .is_some_and(|swept| now - swept < patience / 10.0)
        {
            return;
        }
        self.swept_at = Some(now);
        for known in &mut self.known {
            let silent = now - known.seen_at;
            let patience = patience.max(PATIENCE_INTERVALS * known.usual_gap);
            match known.presence {
                Presence::Listed if silent > patience => {
                    engine.unlist(known.index, known.seen_at);
                    known.presence = Presence::Unlisted;
                }
                Presence::Unlisted if silent > patience + FORGOTTEN_AFTER.as_secs_f64() => {
                    engine.give_up(known.index);
                    known.presence = Presence::Forgotten;
                    known.lives += 1;
                }
                _ => {}
            }
        }
    }

    /// Nothing at all was measured for a while.
    pub(super) fn pass_over(&mut self, gap: Duration) {
        let met = |known: &&mut Known| known.seen_at != Timestamp::default();
        for known in self.known.iter_mut().filter(met) {
            known.seen_at = known.seen_at + gap;
        }
    }

    /// Those that are listed count as seen at `until`.
    pub(super) fn excuse(&mut self, until: Timestamp) {
        for known in &mut self.known {
            if known.presence == Presence::Listed {
                known.seen_at = known.seen_at.max(until);
            }
        }
    }

    /// The target of a series that was met.
    pub(super) fn of(&self, series: SeriesIndex) -> Option<&Arc<Target>> {
        let place = self.places.get(series.0 as usize)?;
        Some(&self.known.get(place.target as usize)?.target)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

fn identity(labels: &Labels) -> Identity {
    let label = |name| labels.get(name).map(str::to_owned);
    (label("job"), label("instance"))
}
