//! Living incidents, for dashboards and for `alerting.mode: rules`.

use std::collections::BTreeMap;

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
    family.samples(once(&living, |incident| {
        (labels(incident, &[("state", incident.state.word())]), 1.0)
    }));
    let mut family = exposition.family(
        "leak_incident_urgent",
        Kind::Gauge,
        "Whether an incident cannot wait until the morning: 1, else 0.",
    );
    family.samples(once(&living, |incident| {
        let urgent = incident.urgent.is_some() && !incident.ticket_only && !incident.silenced;
        (labels(incident, &[]), f64::from(u8::from(urgent)))
    }));
    let mut family = exposition.family(
        "leak_incident_info",
        Kind::Gauge,
        "1 for each living incident, with its cause and the place where it leaks.",
    );
    family.samples(once(&living, |incident| {
        let known = [
            ("cause", incident.cause.word()),
            ("site", incident.place().unwrap_or_default()),
        ];
        (labels(incident, &known), 1.0)
    }));
}

/// Each label set once, with its greatest value: incidents over several upstreams each may look alike.
fn once(
    living: &[&Incident],
    sample: impl Fn(&Incident) -> (Labels, f64),
) -> BTreeMap<Labels, f64> {
    let mut samples = BTreeMap::new();
    for incident in living {
        let (labels, value) = sample(incident);
        let known = samples.entry(labels).or_insert(value);
        *known = known.max(value);
    }
    samples
}

/// The workload's labels, what identifies the incident in it, and more.
fn labels(incident: &Incident, more: &[(&str, &str)]) -> Labels {
    let identity = incident.identity();
    let ours: Vec<(&str, &str)> = identity.iter().chain(more.iter().copied()).collect();
    beside(&incident.workload, &ours)
}
