//! What the pages and the API show, copied out of the engine at one moment, so that rendering holds nobody up.

mod leak;
mod peer;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use leak_detect::{Timestamp, Undecided, Verdict};

use crate::agent::Seen;
use crate::discovery::Target;
use crate::engine;
use crate::incident::Incident;
use crate::quantity::duration;
use crate::source::{SourceState, SourceStatus};

pub(super) use leak::LeakView;
pub(super) use peer::{PeerView, Standing};

/// So many evaluation intervals without a judgement, and at least this many seconds, are more than a busy moment.
const INTERVALS_OF_PATIENCE: f64 = 4.0;
const SHORTEST_PATIENCE_SECONDS: f64 = 30.0;

/// Everything, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Overview {
    /// The moment.
    pub(super) now: Timestamp,
    /// When the agent started.
    pub(super) started_at: Timestamp,
    /// When it judged last.
    pub(super) evaluated_at: Option<Timestamp>,
    /// Older than this, in seconds, and the judgement stands still.
    pub(super) patience_seconds: f64,
    /// Whether alerts are shown and counted but not sent.
    pub(super) dry_run: bool,
    /// All incidents that are kept.
    pub(super) incidents: Vec<Incident>,
    /// All targets.
    pub(super) targets: Vec<TargetView>,
    /// The stores that are queried.
    pub(super) sources: Vec<SourceStatus>,
    /// How the watched series are judged, by job and signal.
    pub(super) series: Vec<SeriesView>,
}

/// One target and what its last scrape came to.
#[derive(Clone, Debug)]
pub(super) struct TargetView {
    /// The target.
    pub(super) target: Arc<Target>,
    /// The last scrape; `None` before the first.
    pub(super) last: Option<LastScrape>,
    /// How many of its series are watched.
    pub(super) watched: usize,
}

/// What a scrape came to.
#[derive(Clone, Debug)]
pub(super) struct LastScrape {
    /// When it began.
    pub(super) at: Timestamp,
    /// How long it took, in seconds.
    pub(super) seconds: f64,
    /// Why there are no samples; `None` where there are.
    pub(super) error: Option<String>,
    /// What should be put right although it succeeded.
    pub(super) warning: Option<String>,
}

/// The watched series of one job and one signal, by verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeriesView {
    pub(super) job: Arc<str>,
    pub(super) signal: Arc<str>,
    pub(super) healthy: u64,
    /// Undecided for want of samples.
    pub(super) learning: u64,
    /// Undecided for another reason.
    pub(super) undecided: u64,
    pub(super) leaking: u64,
}

/// The three things that a glance must tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// So many incidents live, of which so many are urgent.
    Leaking { living: usize, urgent: usize },
    /// Everything that is watched was judged, and nothing leaks.
    Quiet,
    /// Nothing is known to leak, but not everything could be judged.
    Blind,
}

impl Overview {
    /// A copy of everything.
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let engine = seen.engine;
        Self {
            now: seen.now,
            started_at: seen.started_at,
            evaluated_at: engine.counters().last_evaluation,
            patience_seconds: (seen.config.global.evaluation_interval.as_secs_f64()
                * INTERVALS_OF_PATIENCE)
                .max(SHORTEST_PATIENCE_SECONDS),
            dry_run: seen.config.alerting.dry_run,
            incidents: engine.incidents().cloned().collect(),
            targets: engine.targets().map(TargetView::of).collect(),
            sources: seen.sources.status().cloned().collect(),
            series: series(seen),
        }
    }

    /// What the headline says.
    pub(super) fn glance(&self) -> Glance {
        let living = self.living().count();
        if living > 0 {
            let urgent = self
                .living()
                .filter(|incident| incident.urgent.is_some())
                .count();
            return Glance::Leaking { living, urgent };
        }
        let all_seen = self.blind_spots().is_empty();
        if all_seen {
            Glance::Quiet
        } else {
            Glance::Blind
        }
    }

    /// Whether nothing has been judged for longer than a busy moment.
    pub(super) fn is_stopped(&self) -> bool {
        let last = self.evaluated_at.unwrap_or(self.started_at);
        self.now - last > self.patience_seconds
    }

    /// Incidents that have not ended: the urgent ones first, then what runs out first, then the oldest.
    pub(super) fn living(&self) -> impl Iterator<Item = &Incident> {
        let mut living: Vec<&Incident> = self
            .incidents
            .iter()
            .filter(|incident| incident.is_living())
            .collect();
        living.sort_by(|left, right| most_urgent_first(left, right));
        living.into_iter()
    }

    /// Incidents that are over, the last first.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Incident> {
        let mut ended: Vec<&Incident> = self
            .incidents
            .iter()
            .filter(|incident| !incident.is_living())
            .collect();
        ended.sort_by_key(|incident| std::cmp::Reverse(incident.ended_at));
        ended.into_iter()
    }

    /// Targets whose last scrape failed.
    pub(super) fn down(&self) -> usize {
        self.targets
            .iter()
            .filter(|own| own.last.as_ref().is_some_and(|last| last.error.is_some()))
            .count()
    }

    /// Series that are watched, and those of them that are still learned.
    pub(super) fn watched(&self) -> (u64, u64) {
        let all = self
            .series
            .iter()
            .map(|own| own.healthy + own.learning + own.undecided + own.leaking)
            .sum();
        (all, self.series.iter().map(|own| own.learning).sum())
    }

    /// Why silence does not mean health, each as a sentence.
    pub(super) fn blind_spots(&self) -> Vec<String> {
        let mut spots = Vec::new();
        if self.is_stopped() {
            let since = duration(self.now - self.evaluated_at.unwrap_or(self.started_at));
            spots.push(format!(
                "Nothing has been judged for {since}: what stands here is old. The agent's log says why."
            ));
        }
        let targets = self.targets.len();
        let silent = self.targets.iter().filter(|own| own.last.is_none()).count();
        let (watched, learning) = self.watched();
        for source in &self.sources {
            match &source.state {
                SourceState::Up => {}
                SourceState::Starting(share) => spots.push(format!(
                    "The history of {} is still read: {:.0} % of it.",
                    source.name,
                    100.0 * share
                )),
                SourceState::Down(error) => spots.push(format!(
                    "{} does not answer whole, and what it watches is not known: {error}",
                    source.name
                )),
            }
        }
        if targets == 0 {
            spots.push("No target is configured.".to_owned());
        }
        if self.down() > 0 {
            spots.push(format!(
                "{} of {} cannot be scraped.",
                self.down(),
                counted(targets as u64, "target", "targets")
            ));
        }
        if silent > 0 {
            spots.push(format!(
                "{} not been scraped yet.",
                counted_have(silent as u64, "target")
            ));
        }
        if targets > 0 && silent < targets && watched == 0 {
            spots.push("The targets expose nothing that the agent knows how to judge.".to_owned());
        }
        if learning > 0 {
            let what = counted(watched, "series", "series");
            spots.push(format!("{learning} of {what} have too few samples to be judged; orphaned and overdue entries are judged from the first."));
        }
        spots
    }
}

impl TargetView {
    /// `up`, `down`, or `unknown` before the first scrape.
    pub(super) fn health(&self) -> &'static str {
        match &self.last {
            None => "unknown",
            Some(last) if last.error.is_some() => "down",
            Some(_) => "up",
        }
    }

    fn of(own: engine::TargetView<'_>) -> Self {
        let health = own.health();
        Self {
            watched: own.series_watched(),
            target: Arc::clone(own.target()),
            last: health.last_scrape.map(|at| LastScrape {
                at,
                seconds: health.duration_seconds,
                error: health.error.clone(),
                warning: health.warning.clone(),
            }),
        }
    }
}

/// The urgent one first, then what may run out first, then the older.
pub(super) fn most_urgent_first(left: &Incident, right: &Incident) -> Ordering {
    let runs_out = |own: &Incident| {
        let exhaustion = own.evidence.exhaustion.as_ref();
        exhaustion.map_or(f64::INFINITY, |exhaustion| exhaustion.seconds.low)
    };
    let is_calm = |own: &Incident| own.urgent.is_none();
    is_calm(left)
        .cmp(&is_calm(right))
        .then(runs_out(left).total_cmp(&runs_out(right)))
        .then(left.onset.cmp(&right.onset))
        .then(left.id.cmp(&right.id))
}

/// The watched series, counted.
fn series(seen: &Seen<'_>) -> Vec<SeriesView> {
    let mut counted: BTreeMap<(Arc<str>, Arc<str>), SeriesView> = BTreeMap::new();
    for own in seen.engine.series() {
        let job = Arc::clone(&own.target().job);
        let signal: Arc<str> = Arc::from(own.signal());
        let key = (Arc::clone(&job), Arc::clone(&signal));
        let view = counted.entry(key).or_insert(SeriesView {
            job,
            signal,
            healthy: 0,
            learning: 0,
            undecided: 0,
            leaking: 0,
        });
        *match own.verdict() {
            Verdict::Healthy => &mut view.healthy,
            Verdict::Undecided(Undecided::Learning { .. }) => &mut view.learning,
            Verdict::Undecided(_) => &mut view.undecided,
            Verdict::Leaking(_) => &mut view.leaking,
        } += 1;
    }
    counted.into_values().collect()
}

/// `1 target`, `2 targets`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    let text = crate::quantity::count(number as f64);
    format!("{text} {}", if number == 1 { one } else { many })
}

fn counted_have(number: u64, one: &str) -> String {
    if number == 1 {
        format!("1 {one} has")
    } else {
        format!("{number} {one}s have")
    }
}
