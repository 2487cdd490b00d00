//! What outlives the agent's process: incidents and alerts at every change, detectors at least once a minute.
//!
//! Detectors are most of the agent's memory, so they are given out to be stored one target at a time, never all at once.

use std::time::Duration;

use leak_detect::Timestamp;

use crate::alert::Alert;
use crate::engine::Engine;
use crate::engine::target::TargetState;
use crate::incident::Incident;
use crate::labels::Labels;

/// Detectors are stored this often, whatever happens.
const SAVE_DETECTORS_EVERY: Duration = Duration::from_secs(60);

/// State to be stored, or as it was stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// All incidents, the ended ones of the last 30 days among them.
    pub incidents: Vec<Incident>,
    /// All alerts, the resolved ones of the last 15 minutes among them.
    pub alerts: Vec<Alert>,
    /// What is stored less often. When storing, `None` leaves what is stored.
    pub detectors: Option<SavedDetectors>,
}

/// Every detector, and what their budget is divided by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedDetectors {
    /// Watched series, rounded, that the budget of false alerts is divided by, and since when.
    pub divisor: Option<(u64, Timestamp)>,
    /// By target.
    pub targets: Vec<SavedTarget>,
}

/// The detectors of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTarget {
    /// The target's labels in exposition syntax.
    pub target: String,
    /// The life of its process: began at (milliseconds since the Unix epoch), and the sum of its counters.
    pub life: Option<(i64, f64)>,
    /// Its watched series.
    pub series: Vec<SavedSeries>,
}

/// The detector of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedSeries {
    /// The metric family.
    pub signal: String,
    /// The series' labels, the target's among them.
    pub labels: Labels,
    /// The detector's own versioned bytes.
    pub detector: Vec<u8>,
}

/// Every detector as of now, to be stored.
pub struct Detectors<I> {
    /// As in [`SavedDetectors`].
    pub divisor: Option<(u64, Timestamp)>,
    /// As in [`SavedDetectors`], each made when it is asked for.
    pub targets: I,
}

impl Engine {
    /// Everything that has to outlive the agent, as of now, in memory.
    pub fn saved(&self) -> Saved {
        let Detectors { divisor, targets } = self.detectors();
        Saved {
            detectors: Some(SavedDetectors {
                divisor,
                targets: targets.collect(),
            }),
            ..self.saved_alerts()
        }
    }

    /// Everything that has to outlive the agent, as of now, but its detectors.
    pub fn saved_alerts(&self) -> Saved {
        Saved {
            incidents: self.book.iter().cloned().collect(),
            alerts: self.alerts.iter().cloned().collect(),
            detectors: None,
        }
    }

    /// The rest of what has to outlive the agent, as of now.
    pub fn detectors(&self) -> Detectors<impl Iterator<Item = SavedTarget>> {
        Detectors {
            divisor: Some((self.budget.divisor, self.divisor_since)),
            targets: self
                .targets
                .values()
                .map(TargetState::save)
                .chain(self.comparison.save())
                .chain(self.save_pending()),
        }
    }

    /// What is to be stored now, and whether the detectors are.
    pub(super) fn save(&mut self, now: Timestamp, changed: bool) -> (Option<Saved>, bool) {
        if self.playing.is_some() {
            return (None, false);
        }
        let with_detectors = now - self.detectors_saved_at >= SAVE_DETECTORS_EVERY.as_secs_f64();
        if with_detectors {
            self.detectors_saved_at = now;
        }
        let is_due = changed || with_detectors;
        (is_due.then(|| self.saved_alerts()), with_detectors)
    }
}
