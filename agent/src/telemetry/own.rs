//! How the agent itself is doing.

use std::collections::BTreeMap;

use crate::agent::Seen;
use crate::source::SourceState;
use crate::telemetry::text::{Exposition, Kind};

pub(super) fn write(exposition: &mut Exposition, seen: &Seen<'_>) {
    judging(exposition, seen);
    scraping(exposition, seen);
    asking(exposition, seen);
    sending(exposition, seen);
    pairing(exposition, seen);
}

fn judging(exposition: &mut Exposition, seen: &Seen<'_>) {
    let counters = seen.engine.counters();
    let mut family = exposition.family(
        "leak_agent_last_evaluation_timestamp_seconds",
        Kind::Gauge,
        "When the agent judged last, in unix seconds. Much older than the evaluation interval, its silence says nothing.",
    );
    family.sample([], counters.last_evaluation.map_or(0.0, |at| at.seconds()));
    let mut family = exposition.family(
        "leak_agent_series_watched",
        Kind::Gauge,
        "Series that are watched now.",
    );
    family.sample([], counters.series_watched as f64);
    let mut family = exposition.family(
        "leak_agent_series_dropped_total",
        Kind::Counter,
        "Samples of series that were left unwatched or unreported because a limit was reached, by the limit.",
    );
    for (reason, number) in &counters.dropped {
        family.sample([("reason", *reason)], *number as f64);
    }
    family.sample(
        [("reason", "incident_limit")],
        counters.incidents_refused as f64,
    );
    family.sample([("reason", "alert_limit")], counters.alerts_refused as f64);
    let mut family = exposition.family(
        "leak_agent_overrides",
        Kind::Gauge,
        "Overrides of the configuration: active, or expired and not obeyed.",
    );
    family.sample([("state", "active")], counters.overrides_active as f64);
    family.sample([("state", "expired")], counters.overrides_expired as f64);
}

fn scraping(exposition: &mut Exposition, seen: &Seen<'_>) {
    let mut family = exposition.family(
        "leak_agent_samples_total",
        Kind::Counter,
        "Samples in the bodies of all scrapes, watched or not.",
    );
    family.sample([], seen.engine.counters().samples as f64);
    // Two targets may share job and instance and differ in their path: the worse of them counts.
    let (mut up, mut seconds) = (BTreeMap::new(), BTreeMap::new());
    for own in seen.engine.targets() {
        let (target, health) = (own.target(), own.health());
        if health.last_scrape.is_none() {
            continue;
        }
        let labels = target
            .labels
            .retain(|name| ["job", "instance"].contains(&name));
        let well = up.entry(labels.clone()).or_insert(1.0_f64);
        *well = well.min(f64::from(u8::from(health.error.is_none())));
        let longest = seconds.entry(labels).or_insert(0.0_f64);
        *longest = longest.max(health.duration_seconds);
    }
    let help = "Whether the last scrape of a target succeeded: 1, else 0.";
    exposition
        .family("leak_agent_target_up", Kind::Gauge, help)
        .samples(up);
    let help = "How long the last scrape of a target took.";
    exposition
        .family("leak_agent_scrape_duration_seconds", Kind::Gauge, help)
        .samples(seconds);
}

fn asking(exposition: &mut Exposition, seen: &Seen<'_>) {
    let mut family = exposition.family(
        "leak_agent_source_up",
        Kind::Gauge,
        "Whether the last answers of a source were whole: 1, else 0. While 0, nothing of it counts as missing.",
    );
    for own in seen.sources.status() {
        let up = f64::from(u8::from(own.state == SourceState::Up));
        family.sample([("source", &*own.name)], up);
    }
    let mut family = exposition.family(
        "leak_agent_source_last_success_timestamp_seconds",
        Kind::Gauge,
        "When the answers of a source were whole last, in unix seconds; 0 before.",
    );
    for own in seen.sources.status() {
        let at = own.last_success.map_or(0.0, |at| at.seconds());
        family.sample([("source", &*own.name)], at);
    }
    let mut family = exposition.family(
        "leak_agent_source_query_duration_seconds",
        Kind::Gauge,
        "How long the last answers of a source took, all together.",
    );
    for own in seen.sources.status() {
        family.sample([("source", &*own.name)], own.duration_seconds);
    }
    let mut family = exposition.family(
        "leak_agent_source_samples_total",
        Kind::Counter,
        "New samples in the answers of a source, those of its history included.",
    );
    for own in seen.sources.status() {
        family.sample([("source", &*own.name)], own.samples as f64);
    }
    let mut family = exposition.family(
        "leak_agent_source_series_dropped_total",
        Kind::Counter,
        "Series in the answers of a source that were above its series_limit, in each answer anew.",
    );
    for own in seen.sources.status() {
        family.sample([("source", &*own.name)], own.dropped as f64);
    }
    let mut family = exposition.family(
        "leak_agent_source_errors_total",
        Kind::Counter,
        "What could not be read from a source, by kind.",
    );
    for own in seen.sources.status() {
        for (kind, number) in &own.errors {
            family.sample([("source", &*own.name), ("kind", *kind)], *number as f64);
        }
    }
}

fn sending(exposition: &mut Exposition, seen: &Seen<'_>) {
    let deliveries = seen.notifier.deliveries();
    let mut family = exposition.family(
        "leak_agent_notifications_total",
        Kind::Counter,
        "Alerts by what became of them at each attempt to deliver them: ok, refused, failed (and tried again) or dropped.",
    );
    for own in &deliveries {
        for (result, number) in &own.results {
            family.sample(
                [("alertmanager", &*own.alertmanager), ("result", *result)],
                *number as f64,
            );
        }
    }
    let mut family = exposition.family(
        "leak_agent_notification_queue_length",
        Kind::Gauge,
        "Alerts that wait to be delivered.",
    );
    for own in &deliveries {
        family.sample(
            [("alertmanager", &*own.alertmanager)],
            own.queue_length as f64,
        );
    }
}

fn pairing(exposition: &mut Exposition, seen: &Seen<'_>) {
    let up = seen.engine.others_up(seen.now);
    let peers = seen.config.pair.peers.iter().zip(up);
    let help = "Whether the other agent of the pair has answered within down_after: 1, else 0.";
    let mut family = exposition.family("leak_agent_peer_up", Kind::Gauge, help);
    for (peer, is_up) in peers {
        family.sample([("peer", &*peer.url)], f64::from(u8::from(is_up)));
    }
}
