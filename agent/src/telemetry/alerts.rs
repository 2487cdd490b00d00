//! `ALERTS`, as Prometheus itself exports it for its own rules: so that dashboards can annotate in push mode too.
//!
//! In `mode: rules` Prometheus writes it, and twice would be once too often.

use crate::agent::Seen;
use crate::alert::AlertState;
use crate::config::Mode;
use crate::telemetry::beside;
use crate::telemetry::text::{Exposition, Kind};

pub(super) fn write(exposition: &mut Exposition, seen: &Seen<'_>) {
    if seen.config.alerting.mode == Mode::Rules {
        return;
    }
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
