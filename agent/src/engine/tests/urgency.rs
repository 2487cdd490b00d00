//! When a leak becomes a page, and when it is a ticket again.

use super::drills::work;
use super::world::{Service, World};
use crate::alert::AlertName;
use crate::impact::Urgency;

const TASK: [(&str, &str); 3] = [
    ("resource", "fan_out_task"),
    ("upstream", "social"),
    ("route", "/home/{id}"),
];
const CONNECTION: [(&str, &str); 2] = [("resource", "pool_connection"), ("upstream", "social")];

fn calls(service: &mut Service, result: &str, count: f64) {
    service.add(
        "gateway_upstream_requests_total",
        &[("upstream", "social"), ("result", result)],
        count,
    );
}

fn leak(service: &mut Service) {
    work(service, 50.0);
    service.add("resource_ledger_orphaned", &TASK, 2.0);
}

#[test]
fn time_outs_that_rose_with_the_leak_are_a_page_beside_its_ticket() {
    let mut world = World::gateway();
    world.run(600.0, |_, service, _| {
        work(service, 50.0);
        calls(service, "timed_out", 1.0);
    });
    world.run(60.0, |_, service, _| {
        leak(service);
        calls(service, "timed_out", 25.0);
    });
    assert!(world.is_firing(AlertName::ResourceLeak));
    assert!(world.is_firing(AlertName::ResourceLeakUrgent));
    let Some(Urgency::UsersHit { share_before, .. }) = world.only_incident().urgent else {
        panic!("{:?}", world.only_incident().urgent);
    };
    assert!((0.003..0.005).contains(&share_before), "{share_before}");
    let urgent: Vec<_> = world
        .engine
        .alerts()
        .map(|alert| alert.labels.without("alertname").without("severity"))
        .collect();
    assert_eq!(urgent[0], urgent[1], "the page can inhibit its ticket");
    let severities: Vec<_> = world
        .engine
        .alerts()
        .map(|alert| alert.labels.get("severity").unwrap().to_owned())
        .collect();
    assert_eq!(severities, ["critical", "warning"]);
    let before = world.started();
    world.run(600.0, |_, service, _| {
        leak(service);
        calls(service, "timed_out", 1.0);
    });
    assert!(
        !world.is_firing(AlertName::ResourceLeakUrgent),
        "users are no longer hit"
    );
    assert!(world.is_firing(AlertName::ResourceLeak));
    assert_eq!(world.started(), before);
}

#[test]
fn the_same_share_of_time_outs_as_before_is_no_page() {
    let mut world = World::gateway();
    world.run(600.0, |_, service, _| {
        work(service, 50.0);
        calls(service, "timed_out", 25.0);
    });
    world.run(600.0, |_, service, _| {
        leak(service);
        calls(service, "timed_out", 25.0);
    });
    assert!(world.is_firing(AlertName::ResourceLeak));
    assert_eq!(world.only_incident().urgent, None);
}

#[test]
fn refused_calls_count_too() {
    let mut world = World::gateway();
    world.run(300.0, |_, service, _| work(service, 50.0));
    world.run(60.0, |_, service, _| {
        leak(service);
        let refused = [("upstream", "social"), ("reason", "in_flight")];
        service.add("gateway_upstream_rejected_total", &refused, 20.0);
    });
    assert!(world.is_firing(AlertName::ResourceLeakUrgent));
}

#[test]
fn waiters_at_every_scrape_for_two_minutes_are_a_page() {
    let mut world = World::gateway();
    let upstream = [("upstream", "social")];
    world.run(300.0, |_, service, _| work(service, 50.0));
    world.run(60.0, |_, service, _| leak(service));
    let mut scrapes = 0;
    world.run(300.0, |_, service, _| {
        scrapes += 1;
        leak(service);
        service.set(
            "gateway_pool_waiters",
            &upstream,
            if scrapes % 20 == 0 { 0.0 } else { 4.0 },
        );
    });
    assert_eq!(world.only_incident().urgent, None, "not at every scrape");
    world.run(130.0, |_, service, _| {
        leak(service);
        service.set("gateway_pool_waiters", &upstream, 4.0);
    });
    assert!(matches!(
        world.only_incident().urgent,
        Some(Urgency::Waiting { .. })
    ));
    world.run(90.0, |_, service, _| {
        leak(service);
        service.set("gateway_pool_waiters", &upstream, 0.0);
    });
    assert_eq!(world.only_incident().urgent, None);
}

#[test]
fn leaked_connections_that_will_use_up_the_descriptors_are_a_page() {
    for (limit, urgent) in [(4096.0, true), (1e6, false)] {
        let mut world = World::gateway();
        let mut leaked = 0.0;
        world.run(120.0, |_, service, _| work(service, 50.0));
        world.run(120.0, |_, service, _| {
            leak(service);
            leaked += 5.0;
            service.add("resource_ledger_orphaned", &CONNECTION, 5.0);
            service.set("process_open_fds", &[], 40.0 + leaked);
            service.set("process_max_fds", &[], limit);
        });
        let incident = world.only_incident();
        let exhaustion = incident.evidence.exhaustion.clone().unwrap();
        assert_eq!(exhaustion.signal, "process_open_fds");
        // One a second, and about 3,900 left of 4,096.
        let expected = limit - 40.0 - leaked;
        assert!(
            (exhaustion.seconds.estimate / expected - 1.0).abs() < 0.1,
            "{exhaustion:?}, expected {expected}"
        );
        assert!(exhaustion.seconds.low <= exhaustion.seconds.estimate);
        assert_eq!(world.is_firing(AlertName::ResourceLeakUrgent), urgent);
    }
}

#[test]
fn a_page_survives_a_kill_of_the_agent_although_its_windows_are_empty() {
    let mut world = World::gateway();
    world.run(600.0, |_, service, _| work(service, 50.0));
    let hit = |service: &mut Service| {
        leak(service);
        calls(service, "timed_out", 25.0);
    };
    world.run(120.0, |_, service, _| hit(service));
    let before = world.started();
    assert_eq!(before.len(), 2);
    world.kill();
    world.evaluate();
    assert!(world.is_firing(AlertName::ResourceLeakUrgent));
    world.run(600.0, |_, service, _| hit(service));
    assert_eq!(world.started(), before);
    assert_eq!(world.resolved(), 0);
}

#[test]
fn one_leaked_connection_is_no_page() {
    let mut world = World::gateway();
    let mut scrapes = 0;
    world.run(120.0, |_, service, _| work(service, 50.0));
    world.run(180.0, |_, service, _| {
        scrapes += 1;
        work(service, 50.0);
        let count = if scrapes % 12 == 1 { 1.0 } else { 0.0 };
        service.add("resource_ledger_orphaned", &CONNECTION, count);
        service.set("process_max_fds", &[], 1024.0);
    });
    assert_eq!(world.only_incident().evidence.exhaustion, None);
    assert_eq!(world.only_incident().urgent, None);
}
