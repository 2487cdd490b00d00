//! Verdict lines: what became of an alert, for programs; one JSON object a line.

use std::collections::BTreeMap;

use leak_detect::Timestamp;
use serde::Serialize;

use crate::alert::{Alert, AlertState};
use crate::incident::{Incident, IncidentId, State};
use crate::labels::Labels;

/// An alert that fires, or does so no more. Times in unix seconds. The names and their order are what others parse.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictLine {
    /// The evaluation at which it changed.
    pub at: f64,
    /// `firing` or `resolved`.
    pub state: &'static str,
    /// `ResourceLeak`, `ResourceLeakUrgent` or `ConnectionReuseLost`.
    pub alertname: &'static str,
    /// `__name__`, the carrying series' metric family, and the workload's labels.
    pub labels: BTreeMap<String, String>,
    /// The leaking instances, in the order of their names.
    pub instances: Vec<String>,
    /// What it looks like.
    pub cause: &'static str,
    /// Since when it leaks.
    pub onset: f64,
    /// Growth of the carrying signal, all leaking instances together, in its unit.
    pub growth_per_second: f64,
    /// When it runs out, in seconds from `at`; `None` where no limit is known or it does not grow.
    pub seconds_to_exhaustion: Option<f64>,
    /// How the incident ended; `None` while it lives.
    pub ended: Option<&'static str>,
    /// The incident that it is about; no part of the line.
    #[serde(skip)]
    pub incident: IncidentId,
    /// Whether it wakes somebody; no part of the line.
    #[serde(skip)]
    pub is_page: bool,
}

impl VerdictLine {
    pub(super) fn new(at: Timestamp, alert: &Alert, incident: &Incident) -> Self {
        let mut labels: BTreeMap<String, String> = incident
            .workload
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        labels.insert("__name__".to_owned(), incident.signal.clone());
        let mut instances: Vec<String> = incident
            .instances
            .values()
            .map(|instance| instance.instance.clone())
            .collect();
        instances.sort();
        instances.dedup();
        let exhaustion = incident.evidence.exhaustion.as_ref();
        Self {
            at: at.seconds(),
            state: match alert.state {
                AlertState::Resolved => "resolved",
                AlertState::Pending | AlertState::Firing => "firing",
            },
            alertname: alert.name.word(),
            labels,
            instances,
            cause: incident.cause.word(),
            onset: incident.onset.seconds(),
            growth_per_second: incident.evidence.growth_per_second.estimate,
            seconds_to_exhaustion: exhaustion
                .map(|own| own.seconds.estimate)
                .filter(|seconds| seconds.is_finite()),
            ended: match incident.state {
                State::Ended(end) => Some(end.word()),
                State::Growing | State::Stalled => None,
            },
            incident: incident.id.clone(),
            is_page: alert.name.is_page(),
        }
    }

    /// The alert and what it is about, in short: `ResourceLeak {__name__="…",job="…"}`.
    pub fn shown(&self) -> String {
        let labels: Labels = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        format!("{} {labels}", self.alertname)
    }

    /// The line, without its end.
    ///
    /// # Panics
    /// Never: everything in it is text or a number.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}
