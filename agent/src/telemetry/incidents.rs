//! Living incidents, for dashboards and for `alerting.mode: rules`.

use crate::agent::Seen;
use crate::incident::Incident;
use crate::labels::Labels;
use crate::telemetry::beside;
use crate::telemetry::text::{Exposition, Kind};

pub(super) fn write(exposition: &mut Exposition, seen: &Seen<'_>) {
    let living: Vec<&Incident> = seen
        .engine
        .incidents()
        .filter(|incident| incident.is_living())
        .collect();
    let mut family = exposition.family(
        "leak_incident",
        Kind::Gauge,
        "1 for each living incident; state is growing, or stalled: held, not growing.",
    );
    for incident in &living {
        family.sample(
            labels(incident, &[("state", incident.state.word())]).iter(),
            1.0,
        );
    }
    let mut family = exposition.family(
        "leak_incident_urgent",
        Kind::Gauge,
        "Whether an incident cannot wait until the morning: 1, else 0.",
    );
    for incident in &living {
        let urgent = incident.urgent.is_some() && !incident.ticket_only && !incident.silenced;
        family.sample(labels(incident, &[]).iter(), f64::from(u8::from(urgent)));
    }
    let mut family = exposition.family(
        "leak_incident_info",
        Kind::Gauge,
        "1 for each living incident, with its cause and the place where it leaks.",
    );
    for incident in &living {
        let known = [
            ("cause", incident.cause.word()),
            ("site", incident.place().unwrap_or_default()),
        ];
        family.sample(labels(incident, &known).iter(), 1.0);
    }
}

/// The workload's labels, what identifies the incident in it, and more.
fn labels(incident: &Incident, more: &[(&str, &str)]) -> Labels {
    let identity = incident.identity();
    let ours: Vec<(&str, &str)> = identity.iter().chain(more.iter().copied()).collect();
    beside(&incident.workload, &ours)
}
