//! What the operator decides: overrides, dry run, mode, labels, limits, who is watched.

use super::drills::work;
use super::world::{START, Service, World, at, gateway_configuration};
use crate::alert::{AlertName, AlertState};
use crate::incident::Witness;

const BODY: [(&str, &str); 3] = [
    ("resource", "response_body"),
    ("upstream", "social"),
    ("route", "/content/*"),
];

fn leak(service: &mut Service) {
    work(service, 50.0);
    service.add("resource_ledger_orphaned", &BODY, 2.0);
}

fn overridden(mode: &str) -> World {
    World::new(&gateway_configuration(&format!(
        "overrides: [{{ match: {{ job: gateway }}, signals: [resource_ledger_orphaned], {mode} }}]\n"
    )))
}

#[test]
fn what_is_off_alerts_nobody() {
    let mut world = overridden("mode: off");
    world.run(600.0, |_, service, _| leak(service));
    assert!(world.incidents().is_empty());
    assert!(world.sent.is_empty());
    assert!(
        world
            .engine
            .series()
            .any(|series| { matches!(series.verdict(), leak_detect::Verdict::Leaking(_)) }),
        "it is still watched and shown"
    );
    assert_eq!(world.engine.counters().overrides_active, 1);
}

#[test]
fn an_override_that_has_run_out_is_listed_and_not_obeyed() {
    // 2027-01-15T08:05:00Z is five minutes after the beginning.
    let mut world = overridden("mode: off, until: 2027-01-15T08:05:00Z");
    assert_eq!(START, 1_800_000_000.0);
    world.run(290.0, |_, service, _| leak(service));
    assert!(world.incidents().is_empty());
    world.run(20.0, |_, service, _| leak(service));
    assert!(world.only_incident().is_living());
    let counters = world.engine.counters();
    assert_eq!(
        (counters.overrides_active, counters.overrides_expired),
        (0, 1)
    );
    assert_eq!(world.engine.overrides(at(world.now)).count(), 1);
}

#[test]
fn an_override_that_is_new_at_a_restart_silences_what_was_firing() {
    let mut world = World::gateway();
    world.run(120.0, |_, service, _| leak(service));
    assert!(world.is_firing(AlertName::ResourceLeak));
    world.config = overridden("mode: off").config;
    world.kill();
    world.run(60.0, |_, service, _| leak(service));
    assert!(!world.is_firing(AlertName::ResourceLeak));
    let incident = world.only_incident();
    assert!(
        incident.is_living() && incident.silenced,
        "nothing has ended"
    );
}

#[test]
fn ticket_only_never_pages() {
    let mut world = overridden("mode: ticket_only");
    world.run(600.0, |_, service, _| {
        leak(service);
        let failed = [("upstream", "social"), ("result", "timed_out")];
        service.add("gateway_upstream_requests_total", &failed, 50.0);
    });
    assert!(world.only_incident().urgent.is_some());
    assert!(world.is_firing(AlertName::ResourceLeak));
    assert!(!world.is_firing(AlertName::ResourceLeakUrgent));
}

#[test]
fn below_the_floor_nothing_is_convicted() {
    let mut world = overridden("floor: 40");
    let mut scrapes = 0;
    world.run(300.0, |_, service, _| {
        scrapes += 1;
        work(service, 50.0);
        service.set(
            "resource_ledger_orphaned",
            &BODY,
            f64::from(scrapes).min(40.0),
        );
    });
    assert!(world.incidents().is_empty());
    world.run(30.0, |_, service, _| leak(service));
    assert!(world.only_incident().is_living());
}

#[test]
fn a_dry_run_shows_everything_and_sends_nothing() {
    for more in [
        "alerting: { dry_run: true }\n",
        "alerting: { mode: rules }\n",
    ] {
        let mut world = World::new(&gateway_configuration(more));
        world.run(600.0, |_, service, _| leak(service));
        assert!(world.only_incident().is_living());
        assert!(world.is_firing(AlertName::ResourceLeak));
        assert!(world.sent.is_empty());
        assert!(!world.log.is_empty());
    }
}

#[test]
fn labels_are_the_workloads_the_leaks_and_the_external_ones_it_lacks() {
    let yaml = gateway_configuration(
        "alerting: { severities: { ticket: ticket, page: page }, runbook_url: \"https://runbooks.example.org/{alertname}#{cause}\" }\n",
    )
    .replace("scrape_timeout: 4s }", "scrape_timeout: 4s, external_labels: { cluster: eu-1, job: never } }")
    .replace("labels: { __evidence_address__", "labels: { pod: g-1, namespace: shop, __evidence_address__");
    let mut world = World::new(&yaml);
    world.run(60.0, |_, service, _| leak(service));
    let alert = world.engine.alerts().next().unwrap();
    assert_eq!(
        alert.labels.to_string(),
        r#"{alertname="ResourceLeak",cluster="eu-1",job="gateway",namespace="shop",resource="response_body",route="/content/*",severity="ticket",signal="resource_ledger_orphaned",upstream="social"}"#
    );
    assert_eq!(
        alert.annotations.get("runbook_url"),
        Some("https://runbooks.example.org/ResourceLeak#unclosed_bodies")
    );
    let url = format!("http://127.0.0.1:9465/leaks/{}", world.only_incident().id);
    assert_eq!(alert.annotations.get("evidence_url"), Some(&*url));
    assert_eq!(alert.generator_url, url);
}

#[test]
fn labels_and_start_never_change_while_words_do() {
    let mut world = World::gateway();
    let mut last = None;
    world.run(1200.0, |_, service, now| {
        leak(service);
        // Another resource, another route, a restart and a page come and go meanwhile.
        if now > START + 300.0 {
            service.add(
                "resource_ledger_orphaned",
                &[BODY[0], BODY[1], ("route", "/other")],
                1.0,
            );
            service.add(
                "resource_ledger_orphaned",
                &[("resource", "fan_out_task"), BODY[1]],
                1.0,
            );
        }
        last = Some(now);
    });
    let tickets: Vec<_> = world
        .sent
        .iter()
        .filter(|(_, alert)| alert.labels.get("alertname") == Some("ResourceLeak"))
        .collect();
    assert!(tickets.len() > 10);
    assert!(tickets.windows(2).all(|pair| {
        pair[0].1.labels == pair[1].1.labels && pair[0].1.starts_at == pair[1].1.starts_at
    }));
    let causes: Vec<_> = tickets
        .iter()
        .map(|(_, alert)| alert.annotations.get("cause").unwrap())
        .collect();
    assert_eq!(
        (causes[0], causes[causes.len() - 1]),
        ("unclosed_bodies", "timeout_without_cancellation")
    );
}

#[test]
fn above_a_limit_series_are_dropped_and_counted_by_reason() {
    let accounts = |service: &mut Service, count: usize| {
        for account in 0..count {
            let name = account.to_string();
            service.set(
                "resource_ledger_open",
                &[("resource", "lease"), ("site", &name)],
                1.0,
            );
        }
    };
    let yaml = gateway_configuration("limits: { series: 10 }\n");
    let mut world = World::new(&yaml);
    world.run(10.0, |_, service, _| accounts(service, 15));
    let counters = world.engine.counters();
    assert_eq!(
        (counters.series_watched, counters.dropped["series_limit"]),
        (10, 10)
    );
    assert_eq!(counters.dropped["target_limit"], 0);
    let per_target =
        gateway_configuration("").replace("evidence: [", "series_limit: 7\n    evidence: [");
    let mut world = World::new(&per_target);
    world.run(10.0, |_, service, _| accounts(service, 15));
    let counters = world.engine.counters();
    assert_eq!(
        (counters.series_watched, counters.dropped["target_limit"]),
        (7, 16)
    );
}

#[test]
fn a_series_that_has_not_been_seen_for_an_hour_makes_room() {
    let mut world = World::gateway();
    for hour in 0..5 {
        world.service("a:9901").vanish("resource_ledger_open");
        world.pass(1.1, |_, service, _| {
            let site = format!("release-{hour}");
            service.set(
                "resource_ledger_open",
                &[("resource", "lease"), ("site", &site)],
                1.0,
            );
        });
    }
    assert!(
        world.engine.counters().series_watched <= 2,
        "{:?}",
        world.engine.counters()
    );
}

#[test]
fn a_witness_is_asked_three_times_and_the_alert_waits_for_it_once() {
    let mut world = World::gateway();
    world.run(15.0, |_, service, _| leak(service));
    assert!(
        world.sent.is_empty(),
        "somebody has just been asked where it leaks"
    );
    let convicted = world.now;
    world.run(300.0, |_, service, _| leak(service));
    assert_eq!(world.fetches.len(), 3);
    let first = &world.sent[0];
    assert!(first.0 <= convicted + 5.0);
    assert_eq!(first.1.starts_at, at(convicted));
    let incident = world.only_incident().id.clone();
    let silent = crate::engine::Witnessed {
        places: Err("it did not answer within 5 s".to_owned()),
        cause: None,
    };
    world.engine.evidence(&incident, silent, at(world.now));
    world.run(300.0, |_, service, _| leak(service));
    assert_eq!(world.fetches.len(), 3, "and then no more");
    assert!(
        matches!(&world.only_incident().witness, Witness::Failed(why) if why.contains("did not answer"))
    );
}

#[test]
fn where_no_job_opts_in_nobody_is_asked_and_nothing_waits() {
    let yaml =
        gateway_configuration("").replace("evidence: [ledger, tasks]", "honor_labels: false");
    let mut world = World::new(&yaml);
    world.run(15.0, |_, service, _| leak(service));
    assert!(world.fetches.is_empty());
    assert_eq!(world.sent.len(), 1, "sent at conviction");
}

#[test]
fn many_replicas_are_one_incident_with_its_leaking_instances() {
    let targets: Vec<String> = (0..8)
        .map(|replica| format!("\"g{replica}:9901\""))
        .collect();
    let yaml = gateway_configuration("").replace("\"a:9901\"", &targets.join(", "));
    let mut world = World::new(&yaml);
    world.run(120.0, |_, service, _| work(service, 50.0));
    world.run(120.0, |instance, service, now| match instance {
        "g3:9901" => leak(service),
        "g5:9901" if now > START + 180.0 => leak(service),
        _ => work(service, 50.0),
    });
    let incident = world.only_incident();
    let leaking: Vec<_> = incident
        .instances
        .values()
        .map(|instance| &*instance.instance)
        .collect();
    assert_eq!(leaking, ["g3:9901", "g5:9901"]);
    let alert = world
        .engine
        .alerts()
        .find(|alert| alert.name == AlertName::ResourceLeak)
        .unwrap();
    assert_eq!(
        alert.annotations.get("instances"),
        Some("g3:9901 (48), g5:9901 (24)")
    );
    assert!(!alert.labels.contains("instance"));
    // One is released: the incident goes on for the other, and ends with it.
    world.run(180.0, |instance, service, _| match instance {
        "g3:9901" => {
            work(service, 50.0);
            service.set("resource_ledger_orphaned", &BODY, 0.0);
        }
        "g5:9901" => leak(service),
        _ => work(service, 50.0),
    });
    assert!(world.only_incident().is_living());
    let alert = world
        .engine
        .alerts()
        .find(|alert| alert.name == AlertName::ResourceLeak)
        .unwrap();
    assert!(
        alert
            .annotations
            .get("instances")
            .unwrap()
            .contains("g3:9901 (released)")
    );
    world.run(120.0, |_, service, _| {
        work(service, 50.0);
        service.set("resource_ledger_orphaned", &BODY, 0.0);
    });
    assert!(!world.only_incident().is_living());
    assert!(
        world
            .engine
            .alerts()
            .all(|alert| alert.state == AlertState::Resolved)
    );
}

#[test]
fn ten_minutes_of_load_that_swings_fivefold_are_silent() {
    let mut world = World::gateway();
    world.run(1200.0, |_, service, now| {
        let phase = (now - START) / 120.0 * std::f64::consts::TAU;
        let rate = 300.0 + 200.0 * phase.sin();
        work(service, rate);
        // A slow upstream for a while: more is open, and nothing is past its end.
        let slow = (400.0..700.0).contains(&(now - START));
        let open = rate * if slow { 1.5 } else { 0.05 };
        for resource in [
            "request",
            "fan_out_task",
            "response_body",
            "pool_connection",
        ] {
            service.set(
                "resource_ledger_open",
                &[("resource", resource), ("upstream", "social")],
                open.round(),
            );
        }
        service.set("process_open_fds", &[], 30.0 + (2.0 * open).round());
        service.set("process_resident_memory_bytes", &[], 6e7 + 1e4 * open);
        let timed_out = if slow { rate * 0.05 } else { 0.0 };
        let failed = [("upstream", "social"), ("result", "timed_out")];
        service.add("gateway_upstream_requests_total", &failed, timed_out);
    });
    assert!(world.incidents().is_empty());
    assert!(world.sent.is_empty());
}
