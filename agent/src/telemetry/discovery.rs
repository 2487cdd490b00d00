//! Which targets there are, how discovery is doing, and whether the configuration in use is that of the file.

use std::collections::BTreeMap;

use crate::agent::Seen;
use crate::discovery::{JobRoll, Report, Roll};
use crate::labels::Labels;
use crate::telemetry::text::{Exposition, Kind};

pub(super) fn write(exposition: &mut Exposition, seen: &Seen<'_>) {
    targets(exposition, &seen.roll);
    providers(exposition, &seen.roll);
    let mut family = exposition.family(
        "leak_agent_config_last_reload_successful",
        Kind::Gauge,
        "Whether the configuration was in order when it was read last: 1, else 0 and the one before it is in use.",
    );
    family.sample([], f64::from(u8::from(seen.reload.is_successful)));
    let mut family = exposition.family(
        "leak_agent_config_last_reload_success_timestamp_seconds",
        Kind::Gauge,
        "When the configuration in use was read, in unix seconds.",
    );
    family.sample([], seen.reload.succeeded_at.seconds());
}

fn targets(exposition: &mut Exposition, roll: &Roll) {
    let mut family = exposition.family(
        "leak_agent_targets",
        Kind::Gauge,
        "Targets of a job: active, dropped by its relabelling, or refused.",
    );
    for own in &roll.jobs {
        let refused: usize = refusals(own).iter().map(|(_, number)| number).sum();
        for (state, number) in [
            ("active", own.active),
            ("dropped", own.dropped),
            ("refused", refused),
        ] {
            family.sample([("job", &*own.job), ("state", state)], number as f64);
        }
    }
    let mut family = exposition.family(
        "leak_agent_targets_refused",
        Kind::Gauge,
        "Targets that discovery tells of and nobody scrapes, by why: limit, invalid, ambiguous (another has the same labels).",
    );
    for own in &roll.jobs {
        for (reason, number) in refusals(own) {
            family.sample([("job", &*own.job), ("reason", reason)], number as f64);
        }
    }
}

fn refusals(own: &JobRoll) -> [(&'static str, usize); 3] {
    let left_out = own.outlets.iter().map(|outlet| outlet.report().left_out);
    [
        ("ambiguous", own.ambiguous),
        ("invalid", own.invalid),
        ("limit", own.above_limit + left_out.sum::<usize>()),
    ]
}

fn providers(exposition: &mut Exposition, roll: &Roll) {
    // A job may have several providers of one kind: their sums, and the oldest success.
    let mut all: BTreeMap<Labels, Vec<Report>> = BTreeMap::new();
    for own in &roll.jobs {
        for outlet in &own.outlets {
            let report = outlet.report();
            let labels = [("job", &*own.job), ("mechanism", report.mechanism)];
            all.entry(labels.into_iter().collect())
                .or_default()
                .push(report);
        }
    }
    let mut write = |name, kind, help, value: &dyn Fn(&[Report]) -> f64| {
        let samples = all.iter().map(|(labels, own)| (labels.clone(), value(own)));
        exposition
            .family(name, kind, help)
            .samples(samples.collect::<BTreeMap<_, _>>());
    };
    write(
        "leak_agent_discovery_targets",
        Kind::Gauge,
        "Targets that discovery found for a job, before its relabelling.",
        &|own| own.iter().map(|report| report.targets).sum::<usize>() as f64,
    );
    write(
        "leak_agent_discovery_failing",
        Kind::Gauge,
        "How many of a job's providers could not find out what there is when they tried last; what they found before stands.",
        &|own| own.iter().filter(|report| report.error.is_some()).count() as f64,
    );
    write(
        "leak_agent_discovery_failures_total",
        Kind::Counter,
        "How often a job's providers could not find out what there is.",
        &|own| own.iter().map(|report| report.failures).sum::<u64>() as f64,
    );
    write(
        "leak_agent_discovery_last_success_timestamp_seconds",
        Kind::Gauge,
        "When all of a job's providers had found out what there is, in unix seconds; 0 where one never has.",
        &|own| {
            let times = own
                .iter()
                .map(|report| report.succeeded_at.map_or(0.0, |at| at.seconds()));
            times.fold(f64::INFINITY, f64::min)
        },
    );
}
