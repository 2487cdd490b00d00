//! The functional core of the agent: scrapes in, effects out.
//!
//! Owns the series and their detectors, the incidents and the alerts, and what connects them. It reads no clock, opens
//! nothing and spawns nothing; the same scrapes and the same times give the same effects on any machine. Memory is
//! constant per watched series, and how many are watched is bounded. What cannot be seen is not judged: a failed
//! scrape, a gap or a restart of the agent changes nothing but a target's health.

mod effects;
mod listing;
mod looks;
mod overrides;
mod pair;
mod playing;
mod roster;
mod saved;
mod series;
mod siblings;
mod sightings;
mod stored;
mod target;
mod traffic;
mod trailing;
mod view;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::{Budget, Timestamp};

pub use effects::{Effects, EvidenceRequest, Question, StateChange, Witnessed};
pub use playing::{Measured, SlotIndex};
pub use roster::TargetIndex;
pub use saved::{Detectors, Saved, SavedDetectors, SavedSeries, SavedTarget};
pub use target::Health;
pub use view::{Counters, SeriesView, TargetView};

use crate::alert::{Alert, Alerts, Timing};
use crate::catalogue::Catalogue;
use crate::config::{Alerting, Config, Mode};
use crate::discovery::Target;
use crate::engine::listing::Listing;
use crate::engine::overrides::{Met, Overrides};
use crate::engine::pair::Pair;
use crate::engine::playing::Playing;
use crate::engine::roster::Roster;
use crate::engine::siblings::Comparison;
use crate::engine::target::{Brought, Dropped, TargetState, Terms};
use crate::incident::{
    Book, BookSettings, Change, Incident, IncidentId, Listed, SignalKind, Witness,
};
use crate::labels::Labels;
use crate::scrape::Scrape;
use crate::shard::Shard;

/// The divisor of the budget is taken anew this often; at once where more series are watched than it stands for.
const DIVISOR_EVERY: Duration = Duration::from_secs(86_400);

/// A release takes at least so many scrapes.
const RELEASE_SCRAPES: u32 = 3;

/// The agent's state and judgement.
#[derive(Debug)]
pub struct Engine {
    catalogue: Catalogue,
    alerting: Alerting,
    external_labels: Labels,
    /// Where people find the agent's page, without a final slash.
    external_url: String,
    workload_by: Option<Vec<Arc<str>>>,
    evaluation_interval: Duration,
    series_limit: usize,
    overrides: Overrides,
    overrides_in_force: usize,
    targets: Roster,
    /// Which of them the agent scrapes.
    listing: Listing,
    /// What was stored of targets and workloads that are not known yet, by what it was stored as.
    pending: BTreeMap<String, SavedTarget>,
    /// Since when the first of them has been waited for.
    pending_since: Option<Timestamp>,
    /// Up to when each source was read.
    read_until: BTreeMap<String, Timestamp>,
    /// What the lives and instances of each workload say together.
    comparison: Comparison,
    /// Series watched, of all targets.
    watched: usize,
    book: Book,
    alerts: Alerts,
    budget: Budget,
    divisor_since: Timestamp,
    detectors_saved_at: Timestamp,
    samples: u64,
    dropped: BTreeMap<&'static str, u64>,
    last_evaluation: Option<Timestamp>,
    /// Evidence came in since the last evaluation.
    has_news: bool,
    /// Where it judges a history instead of the present.
    playing: Option<Playing>,
    /// Reused from one instant of a history to the next.
    batch: Vec<Brought>,
    /// Evaluations at which an alert changed.
    alert_changes: u64,
    /// Over a history: what the living incidents wanted at the last evaluation.
    wished: u64,
    /// What the other members of a pair have told.
    pair: Pair,
    /// Which share of the workloads is watched, and by how many agents all of them.
    shard: Option<Shard>,
    shards: u64,
}

impl Engine {
    /// An engine that goes on from what was stored.
    pub fn new(
        config: &Config,
        targets: Vec<Arc<Target>>,
        saved: Option<Saved>,
        now: Timestamp,
    ) -> Self {
        let saved = saved.unwrap_or_default();
        let detectors = saved.detectors.unwrap_or_default();
        let interval = config.global.evaluation_interval;
        // What a store tells of was scraped by somebody at the usual interval.
        let told = (!config.sources.is_empty()).then_some(config.global.scrape_interval);
        let scraped = targets.iter().map(|target| target.interval);
        let slowest = scraped.chain(told).max();
        let overrides = Overrides::new(&config.overrides);
        let (divisor, divisor_since) = detectors.divisor.unwrap_or((0, now));
        let mut engine = Self {
            catalogue: config.catalogue(),
            external_labels: config.global.external_labels.clone(),
            external_url: external_url(config),
            workload_by: config.workload_by.clone(),
            evaluation_interval: interval,
            series_limit: config.limits.series,
            overrides_in_force: overrides.in_force(now),
            overrides,
            targets: Roster::default(),
            listing: Listing::default(),
            pending: BTreeMap::new(),
            pending_since: None,
            read_until: BTreeMap::new(),
            comparison: Comparison::default(),
            watched: 0,
            book: Book::new(
                book_settings(config, slowest.unwrap_or(interval)),
                saved.incidents,
            ),
            alerts: Alerts::new(timing(config), saved.alerts),
            budget: Budget::new(
                config.alerting.false_alerts_per_year.ticket,
                divisor,
                config.shards(),
            ),
            alerting: config.alerting.clone(),
            divisor_since,
            detectors_saved_at: now,
            samples: 0,
            dropped: ["series_limit", "target_limit"]
                .into_iter()
                .map(|reason| (reason, 0))
                .collect(),
            last_evaluation: None,
            has_news: false,
            playing: None,
            wished: 0,
            alert_changes: 0,
            batch: Vec::new(),
            shard: config.shard,
            shards: config.shards(),
            pair: Pair::new(config.pair.peers.len(), config.pair.down_after, now),
        };
        engine.take_saved(detectors.targets);
        engine.set_scraped(&targets, now);
        engine
    }

    /// Takes in a scrape, successful or not; one of a target that is not known is passed over.
    pub fn scraped(&mut self, scrape: &Scrape) {
        let Some(index) = self.targets.index_of(&scrape.target.labels) else {
            return;
        };
        if self.listing.is_leaving(index) {
            return;
        }
        self.samples += scrape.notes.samples;
        self.with_terms(index, scrape.at, |state, terms| {
            state.scraped(scrape, terms)
        });
    }

    /// Lets a target take something in, on the terms of now.
    fn with_terms(
        &mut self,
        index: TargetIndex,
        at: Timestamp,
        take: impl FnOnce(&mut TargetState, &Terms<'_>) -> Dropped,
    ) {
        self.targets.has_news(index);
        let Some(state) = self.targets.at_mut(index) else {
            return;
        };
        let overrides = &self.overrides;
        let before = state.series_count();
        let terms = Terms {
            catalogue: &self.catalogue,
            budget: self.budget,
            room: (self.series_limit + before).saturating_sub(self.watched),
            keeps_slots: self.playing.is_some(),
            overrides: &|signal, labels| {
                let places = overrides.met_by(signal, labels);
                let floor = overrides.ruling(&places, at).floor;
                Met { places, floor }
            },
        };
        let dropped = take(state, &terms);
        self.watched = self.watched + state.series_count() - before;
        let ended = state.take_ended();
        if !ended.is_empty() {
            self.comparison.ended(&state.workload, ended);
        }
        for (reason, count) in [
            ("target_limit", dropped.target_limit),
            ("series_limit", dropped.series_limit),
        ] {
            if count > 0 {
                *self.dropped.entry(reason).or_default() += count;
            }
        }
    }

    /// Takes in what a leaking instance answered.
    pub fn evidence(&mut self, incident: &IncidentId, answer: Witnessed, now: Timestamp) {
        let Some(incident) = self.book.get_mut(incident) else {
            return;
        };
        self.has_news = true;
        match answer.places {
            Ok(places) if !places.is_empty() => {
                incident.witness = Witness::Answered;
                incident.note(
                    now,
                    format!(
                        "places named by the leaking process, first {}",
                        places[0].site
                    ),
                );
                incident.places = places;
                if let Some(cause) = answer.cause {
                    incident.told_cause(now, cause);
                }
            }
            Ok(_) => incident.witness_failed("it named no places".to_owned()),
            Err(error) => incident.witness_failed(error),
        }
    }

    /// Judges anew what may have changed.
    pub fn evaluate(&mut self, now: Timestamp) -> Effects {
        self.renew_terms(now);
        self.forget_pending(now);
        self.sweep_listing(now);
        self.take_over_from_the_down(now);
        self.comparison.judge(now, &mut self.targets);
        let mut changes: Vec<(IncidentId, Change)> = Vec::new();
        let judged = self.workloads_to_judge();
        for workload in &judged {
            changes.extend(self.judge(now, workload));
        }
        let fetch = if self.playing.is_none() {
            self.ask(now)
        } else {
            Vec::new()
        };
        for workload in &judged {
            changes.extend(self.weigh_urgency(now, workload));
        }
        let log = changes
            .iter()
            .filter_map(|(id, change)| self.state_change(now, id, change))
            .collect();
        let alerts_changed = self.renew_alerts(now);
        let forgot = self.book.forget(now);
        self.last_evaluation = Some(now);
        let is_sending =
            self.alerting.mode == Mode::Push && !self.alerting.dry_run && self.playing.is_none();
        let notifications = if is_sending {
            self.due(now)
        } else {
            Vec::new()
        };
        let changed =
            alerts_changed || forgot || !changes.is_empty() || !fetch.is_empty() || self.has_news;
        self.has_news = false;
        let (save, save_detectors) = self.save(now, changed);
        Effects {
            save,
            save_detectors,
            notifications,
            fetch,
            log,
        }
    }

    /// Moves the alerts to where they stand now; whether anything changed that must outlive a restart.
    fn renew_alerts(&mut self, now: Timestamp) -> bool {
        self.silence(now);
        if self.playing.is_some() {
            // Over a history nobody reads an alert's words: without another wish nothing changes.
            let wished = self.wished();
            if wished == self.wished && !self.alerts.await_time() {
                return false;
            }
            self.wished = wished;
        }
        let wishes = self.wishes(now);
        let moved = self.alerts.evaluate(now, wishes);
        let changed = self.align_alerts(now) || moved;
        self.alert_changes += u64::from(changed);
        changed
    }

    /// The workloads in which something may leak and something has changed, or that wait for time to pass; in an order
    /// that does not depend on that in which targets were met.
    fn workloads_to_judge(&mut self) -> Vec<Labels> {
        let news = self.targets.take_news();
        let mut judged: Vec<Labels> = news.workloads.into_iter().collect();
        for state in news.targets.iter().filter_map(|own| self.targets.at(*own)) {
            if state.is_suspect() || self.book.has_living(&state.workload) {
                judged.push(state.workload.clone());
            }
        }
        // What was stored may be of a workload that has no targets any more.
        let is_first = self.last_evaluation.is_none();
        let waiting = self
            .book
            .living()
            .filter(|incident| incident.awaits_time() || is_first);
        judged.extend(waiting.map(|incident| incident.workload.clone()));
        judged.sort_by(Labels::cmp_cheaply);
        judged.dedup();
        judged
    }

    /// All incidents: the living, and those that ended in the last 30 days.
    pub fn incidents(&self) -> impl ExactSizeIterator<Item = &Incident> {
        self.book.iter()
    }

    /// One incident.
    pub fn incident(&self, id: &IncidentId) -> Option<&Incident> {
        self.book.get(id)
    }

    /// All alerts: pending, firing, and resolved in the last 15 minutes; pages first.
    pub fn alerts(&self) -> impl ExactSizeIterator<Item = &Alert> {
        self.alerts.iter()
    }

    /// Finds the incidents of one workload, and whether they are over.
    fn judge(&mut self, now: Timestamp, workload: &Labels) -> Vec<(IncidentId, Change)> {
        let states = self.targets.of_workload(workload);
        let listed = Listed {
            targets: states.iter().map(|state| Arc::clone(&state.key)).collect(),
            none_since: self.targets.none_since(workload).unwrap_or(now),
        };
        // Over a history the words of a case are read once, when it is opened.
        let words = self.playing.is_none() || !self.book.has_living(workload);
        let sightings = sightings::of_workload(&states, &self.overrides, now, words);
        let context = |upstreams: &BTreeSet<String>| sightings::context(&states, upstreams);
        let mut changes = self.book.sight(now, workload, &sightings, &context);
        let looks = |incident: &Incident| looks::of_incident(incident, &states);
        let growing = |incident: &Incident| sightings::is_growing(incident, &sightings);
        let pair = &self.pair;
        let may_end = |id: &IncidentId| pair.agrees(id, now);
        let ends = self
            .book
            .look(now, workload, &listed, &looks, &growing, &may_end);
        changes.extend(ends);
        for (id, change) in &changes {
            if matches!(change, Change::Ended(_)) {
                self.begin_anew(now, id);
            }
        }
        changes
    }

    /// After an incident the levels of its instances begin anew: what they held then is explained.
    pub(super) fn begin_anew(&mut self, now: Timestamp, id: &IncidentId) {
        let Some(incident) = self.book.get(id) else {
            return;
        };
        self.comparison.forget(now, &incident.workload, |name| {
            let label = |wanted| name.labels().get(wanted);
            incident.is_carried_by(name.signal(), label("resource"), label("upstream"))
        });
        for key in incident.instances.keys() {
            let Some(state) = self.targets.get_mut(key) else {
                continue;
            };
            state.change_series(|series| {
                let is_meant = match series.kind {
                    SignalKind::Open => series
                        .labels
                        .get("upstream")
                        .is_none_or(|own| incident.concerns_users_of(own)),
                    kind => !kind.is_exact(),
                };
                if is_meant {
                    series.restarted(now);
                }
            });
        }
    }

    /// Budget and floors, where they have changed.
    fn renew_terms(&mut self, now: Timestamp) {
        let watched = self.watched as u64;
        let in_force = self.overrides.in_force(now);
        let is_fixed = self.playing.is_some();
        let is_old = !is_fixed && now - self.divisor_since >= DIVISOR_EVERY.as_secs_f64();
        let outgrown = !is_fixed && watched > self.budget.divisor;
        if !is_old && !outgrown && in_force == self.overrides_in_force {
            return;
        }
        if is_old || outgrown {
            self.budget = Budget::new(self.budget.false_alerts_per_year, watched, self.shards);
            self.divisor_since = now;
        }
        self.overrides_in_force = in_force;
        for state in self.targets.values_mut() {
            state.change_series(|series| {
                let floor = self.overrides.ruling(&series.overrides, now).floor;
                series.set_terms(floor, self.budget);
            });
        }
        self.targets.all_have_news();
    }

    fn state_change(&self, at: Timestamp, id: &IncidentId, change: &Change) -> Option<StateChange> {
        let incident = self.book.get(id)?;
        Some(StateChange {
            at,
            incident: id.clone(),
            change: change.clone(),
            workload: incident.workload.clone(),
            identity: incident.identity(),
            cause: incident.cause.word(),
        })
    }
}

/// `slowest`: the longest time between two scrapes of a target.
fn book_settings(config: &Config, slowest: Duration) -> BookSettings {
    let slowest = slowest.max(config.global.evaluation_interval);
    BookSettings {
        confirmation: (RELEASE_SCRAPES * slowest).max(config.alerting.keep_firing_for),
        limit: config.limits.alerts,
    }
}

fn timing(config: &Config) -> Timing {
    Timing {
        evaluation_interval: config.global.evaluation_interval,
        pending: config.alerting.pending,
        keep_firing_for: config.alerting.keep_firing_for,
        resend_delay: config.alerting.resend_delay,
        limit: config.limits.alerts,
    }
}

fn external_url(config: &Config) -> String {
    config
        .web
        .external_url
        .as_deref()
        .map_or_else(|| format!("http://{}", config.web.listen), str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests;
