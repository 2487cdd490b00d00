//! One watched series: its detector, its last value, and what it is called. Constant memory, whatever its age.

mod name;

use std::sync::Arc;

use leak_detect::{
    Budget, Evidence, ExactDetector, LevelDetector, LevelSettings, Life, Peer, RestoreError,
    Timestamp, Undecided, Verdict,
};

use crate::catalogue::{Exact, LevelSpec};
use crate::incident::SignalKind;
use crate::labels::Labels;
pub(super) use name::SeriesName;

/// One watched series of one target.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) signal: Arc<str>,
    pub(super) labels: Labels,
    pub(super) kind: SignalKind,
    pub(super) value: f64,
    pub(super) seen_at: Timestamp,
    /// When it was seen first; the epoch where that was before a restart of the agent.
    pub(super) seen_since: Option<Timestamp>,
    /// Between the last two samples, in seconds.
    pub(super) step_seconds: f64,
    /// What it shares with its siblings in other instances.
    pub(super) name: SeriesName,
    /// What the other lives and instances of its workload say of it.
    pub(super) told: Option<Told>,
    /// The overrides whose labels and signals it meets, by their place in the configuration.
    pub(super) overrides: Vec<usize>,
    detector: Detector,
}

/// What the other lives and instances of a workload say of one series.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// It leaks as its siblings do.
    Leaks(Box<Evidence>),
    /// Its siblings were convicted, and its process, which began then, is too young to be acquitted.
    Young(Timestamp),
    /// Its siblings were convicted, and have been flat for long enough since: it need not learn by itself first.
    Flat,
}

#[derive(Clone, Debug)]
enum Detector {
    Exact {
        detector: Box<ExactDetector>,
        floor: f64,
    },
    Level {
        detector: Box<LevelDetector>,
        spec: Arc<LevelSpec>,
    },
}

impl Series {
    /// A count that is zero in a correct program.
    pub(super) fn exact(
        signal: Arc<str>,
        labels: Labels,
        exact: Exact,
        overrides: Vec<usize>,
    ) -> Self {
        let kind = match exact {
            Exact::Orphaned => SignalKind::Orphaned,
            Exact::Overdue => SignalKind::Overdue,
        };
        let detector = Detector::Exact {
            detector: Box::new(ExactDetector::new()),
            floor: 0.0,
        };
        Self::new(signal, labels, kind, overrides, detector)
    }

    /// A level that must not grow for ever.
    pub(super) fn level(labels: Labels, spec: Arc<LevelSpec>, overrides: Vec<usize>) -> Self {
        let kind = if labels.contains("resource") && spec.signal.starts_with("resource_ledger_") {
            SignalKind::Open
        } else {
            SignalKind::of_level(&spec.signal, &spec.unit)
        };
        let detector = LevelDetector::new(settings(&spec, None, 0.0));
        let signal = Arc::clone(&spec.signal);
        Self::new(
            signal,
            labels,
            kind,
            overrides,
            Detector::Level {
                detector: Box::new(detector),
                spec,
            },
        )
    }

    fn new(
        signal: Arc<str>,
        labels: Labels,
        kind: SignalKind,
        overrides: Vec<usize>,
        detector: Detector,
    ) -> Self {
        Self {
            name: SeriesName::new(Arc::clone(&signal), labels.clone()),
            told: None,
            signal,
            labels,
            kind,
            value: 0.0,
            seen_at: Timestamp::default(),
            seen_since: None,
            step_seconds: 0.0,
            overrides,
            detector,
        }
    }

    /// Applies the floor of an override, where there is one, and the budget of false alerts.
    pub(super) fn set_terms(&mut self, floor: Option<f64>, budget: Budget) {
        match &mut self.detector {
            Detector::Exact { floor: own, .. } => *own = floor.unwrap_or(0.0),
            Detector::Level { detector, spec } => {
                detector.set_settings(settings(spec, floor, budget.per_series_year()));
            }
        }
    }

    /// Takes a sample that a scrape brought, of the scrape's time or its own. `load`: the counter of the work that
    /// explains a level; `oldest_age`: of the same account.
    pub(super) fn observe(
        &mut self,
        scraped_at: Timestamp,
        at: Timestamp,
        value: f64,
        load: Option<f64>,
        oldest_age: Option<f64>,
    ) {
        if !value.is_finite() {
            return;
        }
        self.value = value;
        if self.seen_at > Timestamp::default() {
            self.step_seconds = scraped_at - self.seen_at;
        }
        self.seen_at = scraped_at;
        self.seen_since.get_or_insert(scraped_at);
        match &mut self.detector {
            Detector::Exact { detector, floor } => {
                if let Some(seconds) = oldest_age {
                    detector.observe_oldest_age(at, seconds);
                }
                detector.observe(at, if value > *floor { value } else { 0.0 });
            }
            Detector::Level { detector, .. } => detector.observe(at, value, load),
        }
    }

    /// The process that owns it began anew.
    pub(super) fn restarted(&mut self, at: Timestamp) {
        if matches!(self.told, Some(Told::Leaks(_) | Told::Young(_))) {
            self.told = Some(Told::Young(at));
        }
        match &mut self.detector {
            Detector::Exact { detector, .. } => detector.restarted(at),
            Detector::Level { detector, .. } => detector.restarted(at),
        }
    }

    /// Forgets a conviction: another agent has seen that what leaked is gone.
    pub(super) fn acquit(&mut self, at: Timestamp) {
        self.restarted(at);
        if let Detector::Exact { detector, .. } = &mut self.detector {
            **detector = ExactDetector::new();
        }
    }

    /// What its detector says, or where that does not convict, its siblings.
    pub(super) fn verdict(&self) -> Verdict {
        let own = match &self.detector {
            Detector::Exact { detector, .. } => detector.verdict(),
            Detector::Level { detector, .. } => detector.verdict(),
        };
        match (own, &self.told) {
            (own @ Verdict::Leaking(_), _) | (own, None) => own,
            (_, Some(Told::Leaks(case))) => Verdict::Leaking(Evidence::clone(case)),
            (_, Some(Told::Young(at))) => Verdict::Undecided(Undecided::Restarted { at: *at }),
            (Verdict::Undecided(Undecided::Learning { .. }), Some(Told::Flat)) => Verdict::Healthy,
            (own, Some(Told::Flat)) => own,
        }
    }

    /// The case of a standing conviction; without `words`, what was ruled out is left out.
    pub(super) fn case(&self, words: bool) -> Option<Evidence> {
        let own = match (&self.detector, words) {
            (Detector::Exact { detector, .. }, false) => detector.case(),
            (Detector::Level { detector, .. }, false) => detector.case(),
            (_, true) => match self.verdict() {
                Verdict::Leaking(evidence) => Some(evidence),
                Verdict::Healthy | Verdict::Undecided(_) => None,
            },
        };
        match (own, &self.told) {
            (None, Some(Told::Leaks(case))) => Some(Evidence::clone(case)),
            (own, _) => own,
        }
    }

    /// Whether it is convicted, by its detector or its siblings.
    pub(super) fn is_leaking(&self) -> bool {
        let own = match &self.detector {
            Detector::Exact { detector, .. } => detector.is_leaking(),
            Detector::Level { detector, .. } => detector.is_leaking(),
        };
        own || matches!(self.told, Some(Told::Leaks(_)))
    }

    /// Whether its siblings, convicted once, have been flat for long enough since.
    pub(super) fn is_told_flat(&self) -> bool {
        matches!(self.told, Some(Told::Flat))
    }

    /// The present life of its process, under the number of its instance; none of an exact count.
    pub(super) fn life(&self, instance: u64) -> Option<Life> {
        match &self.detector {
            Detector::Exact { .. } => None,
            Detector::Level { detector, .. } => detector.life(instance),
        }
    }

    /// The present life as it is compared with those of other instances; none of an exact count.
    pub(super) fn peer(&self, instance: u64) -> Option<Peer> {
        match &self.detector {
            Detector::Exact { .. } => None,
            Detector::Level { detector, .. } => detector.peer(instance),
        }
    }

    /// The settings by which a level is judged.
    pub(super) fn settings(&self) -> Option<LevelSettings> {
        match &self.detector {
            Detector::Exact { .. } => None,
            Detector::Level { detector, .. } => Some(*detector.settings()),
        }
    }

    /// For how many seconds it has been seen, without what came after.
    pub(super) fn seen_for(&self) -> f64 {
        self.seen_since.map_or(0.0, |since| self.seen_at - since)
    }

    /// Whether it is convicted, or a count that may be soon.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_leaking() || self.excess() > 0.0
    }

    /// What counts against it: an exact count above its floor; nothing for a level.
    pub(super) fn excess(&self) -> f64 {
        match &self.detector {
            Detector::Exact { floor, .. } if self.value > *floor => self.value,
            _ => 0.0,
        }
    }

    /// How its level is judged, where it is one.
    pub(super) fn spec(&self) -> Option<&LevelSpec> {
        match &self.detector {
            Detector::Exact { .. } => None,
            Detector::Level { spec, .. } => Some(spec),
        }
    }

    /// What its detector remembers, from old to new; nothing for an exact count.
    pub(super) fn history(&self) -> Vec<leak_detect::Bucket> {
        match &self.detector {
            Detector::Exact { .. } => Vec::new(),
            Detector::Level { detector, .. } => detector.history(),
        }
    }

    /// Its detector as versioned bytes.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        match &self.detector {
            Detector::Exact { detector, .. } => detector.snapshot(),
            Detector::Level { detector, .. } => detector.snapshot(),
        }
    }

    /// Goes on from a snapshot.
    ///
    /// # Errors
    /// The bytes are none of this kind of detector; then nothing changes.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        match &mut self.detector {
            Detector::Exact { detector, .. } => **detector = ExactDetector::restore(bytes)?,
            Detector::Level { detector, .. } => **detector = LevelDetector::restore(bytes)?,
        }
        self.seen_since = Some(Timestamp::default());
        Ok(())
    }

    /// A label as a shared text.
    pub(super) fn label(&self, name: &str) -> Option<Arc<str>> {
        shared(&self.labels, name)
    }
}

/// A label as a shared text.
pub(super) fn shared(labels: &Labels, name: &str) -> Option<Arc<str>> {
    labels
        .pairs()
        .iter()
        .find(|(own, _)| **own == *name)
        .map(|(_, value)| Arc::clone(value))
}

fn settings(spec: &LevelSpec, floor: Option<f64>, false_alerts_per_year: f64) -> LevelSettings {
    LevelSettings {
        absolute_floor: floor.unwrap_or(spec.absolute_floor),
        relative_floor: spec.relative_floor,
        integer: spec.integer,
        false_alerts_per_year,
    }
}
