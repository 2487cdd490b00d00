//! What the alerts say, for those who read it from the metrics.
//!
//! In `mode: push` it is `ALERTS`, as Prometheus itself exports it for its own rules, so that dashboards can annotate. In
//! `mode: rules` Prometheus writes that and alerts on `leak_incident_annotations`: one series for each alert that the
//! agent would send, with the words that it would say, each in a label of the prefix `annotation_`, so that no label of a
//! workload can collide. Never both: the shipped rules find nothing in push mode, and the agent sends nothing in the other.

use crate::agent::Seen;
use crate::alert::{Alert, AlertState};
use crate::config::Mode;
use crate::labels::Labels;
use crate::telemetry::beside;
use crate::telemetry::text::{Exposition, Kind};

pub(super) fn write(exposition: &mut Exposition, seen: &Seen<'_>) {
    match seen.config.alerting.mode {
        Mode::Push => write_states(exposition, seen),
        Mode::Rules if seen.config.alerting.dry_run => {}
        Mode::Rules => write_annotations(exposition, seen),
    }
}

fn write_states(exposition: &mut Exposition, seen: &Seen<'_>) {
    let mut family = exposition.family(
        "ALERTS",
        Kind::Gauge,
        "1 for each alert that is pending or firing, in the form of Prometheus' own.",
    );
    for alert in seen.engine.alerts() {
        let state = match alert.state {
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
            AlertState::Resolved => continue,
        };
        family.sample(beside(&alert.labels, &[("alertstate", state)]).iter(), 1.0);
    }
}

fn write_annotations(exposition: &mut Exposition, seen: &Seen<'_>) {
    let mut family = exposition.family(
        "leak_incident_annotations",
        Kind::Gauge,
        "1 for each alert that the shipped rules are to raise, with its words in labels that begin with annotation_.",
    );
    for alert in seen.engine.alerts() {
        if let Some(words) = alert.published(seen.now) {
            family.sample(spoken(alert, words).iter(), 1.0);
        }
    }
}

/// The labels of an alert, and its words as more of them.
fn spoken(alert: &Alert, words: &Labels) -> Labels {
    words
        .iter()
        .map(|(name, value)| (format!("annotation_{name}"), value))
        .fold(alert.labels.clone(), |all, (name, value)| {
            all.with(&*name, value)
        })
}
