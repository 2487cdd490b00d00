//! Programs without a ledger, judged by their levels alone; and levels that a ledger's leak explains.

use super::drills::work;
use super::world::{START, Service, World, gateway_configuration};
use crate::alert::AlertName;
use crate::diagnosis::Cause;
use crate::incident::{Change, End, Family, State};

/// A small wave without a clock or chance: the same at every run.
fn wave(now: f64, period: f64, height: f64) -> f64 {
    height * (now / period * std::f64::consts::TAU).sin()
}

/// The article's program: nothing of ours in it, only what Go's client exposes. `leaked` bodies hold two goroutines and
/// a descriptor each.
fn expose(service: &mut Service, now: f64, leaked: f64) {
    service.set(
        "go_goroutines",
        &[],
        (45.0 + wave(now, 97.0, 6.0) + 2.0 * leaked).round(),
    );
    service.set(
        "process_open_fds",
        &[],
        (30.0 + wave(now, 61.0, 4.0) + leaked).round(),
    );
    service.set("process_max_fds", &[], 1_048_576.0);
    service.set(
        "process_resident_memory_bytes",
        &[],
        4e7 + wave(now, 143.0, 1e6) + 16_384.0 * leaked,
    );
    service.add(
        "http_requests_total",
        &[("code", "200")],
        250.0 + wave(now, 300.0, 60.0).round(),
    );
}

fn articles_program() -> World {
    World::new(
        &gateway_configuration("")
            .replace("job_name: gateway", "job_name: aggregator")
            .replace("evidence: [ledger, tasks]", "honor_labels: false"),
    )
}

#[test]
fn the_articles_program_is_one_incident_of_its_levels() {
    let mut world = articles_program();
    world.run(1800.0, |_, service, now| expose(service, now, 0.0));
    assert!(world.incidents().is_empty());
    let began = world.now;
    while world.incidents().is_empty() && world.now < began + 3600.0 {
        world.step(|_, service, now| expose(service, now, now - began));
    }
    let delay = world.now - began;
    assert!(delay < 1800.0, "convicted after {delay} s");
    world.run(1800.0, |_, service, now| expose(service, now, now - began));
    {
        let incident = world.only_incident();
        assert_eq!(incident.family, Family::Process);
        assert_eq!(incident.cause, Cause::Unknown);
        let signals: Vec<_> = incident.signals.iter().map(|own| &*own.signal).collect();
        assert!(
            signals.contains(&"go_goroutines") && signals.contains(&"process_open_fds"),
            "{signals:?}"
        );
        assert!(
            (incident.onset.seconds() - began).abs() < 900.0,
            "{} s off",
            incident.onset.seconds() - began
        );
    }
    assert!(world.is_firing(AlertName::ResourceLeak));
    assert_eq!(world.started().len(), 1);
    // Somebody deploys the repair: the successor carries the load and stays flat.
    world.replace("a:9901");
    world.run(3600.0, |_, service, now| expose(service, now, 0.0));
    assert_eq!(world.only_incident().state, State::Ended(End::Replaced));
    world.pass(4.0, |_, service, now| {
        expose(service, now, 0.0);
        service.add("http_requests_total", &[("code", "200")], 2800.0);
    });
    assert_eq!(world.incidents().len(), 1);
    assert_eq!(world.started().len(), 1);
}

#[test]
fn a_level_that_is_let_go_of_is_released() {
    let mut world = articles_program();
    world.run(1800.0, |_, service, now| expose(service, now, 0.0));
    let began = world.now;
    world.run(2400.0, |_, service, now| expose(service, now, now - began));
    assert!(world.only_incident().is_living());
    world.run(3600.0, |_, service, now| expose(service, now, 0.0));
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
    assert_eq!(world.started().len(), 1);
}

#[test]
fn restarts_that_hide_the_leak_are_one_incident() {
    let mut world = articles_program();
    world.run(1800.0, |_, service, now| expose(service, now, 0.0));
    let mut began = world.now;
    world.run(2400.0, |_, service, now| expose(service, now, now - began));
    assert!(world.only_incident().is_living());
    for _ in 0..4 {
        world.replace("a:9901");
        began = world.now;
        world.run(2400.0, |_, service, now| expose(service, now, now - began));
    }
    assert!(world.only_incident().is_living());
    assert_eq!(world.started().len(), 1);
    assert_eq!(world.resolved(), 0);
}

#[test]
fn a_killed_agent_keeps_the_levels_it_has_learnt() {
    let mut world = articles_program();
    world.run(1800.0, |_, service, now| expose(service, now, 0.0));
    let began = world.now;
    for _ in 0..40 {
        world.run(60.0, |_, service, now| expose(service, now, now - began));
        world.kill();
    }
    assert!(world.only_incident().is_living());
    assert_eq!(world.started().len(), 1);
    assert_eq!(world.resolved(), 0);
}

const CONNECTION: [(&str, &str); 2] = [("resource", "pool_connection"), ("upstream", "social")];

/// The gateway, whose descriptors hold what its leaked connections hold.
fn serve(service: &mut Service, now: f64, leaked: f64, overdue: f64) {
    work(service, 50.0);
    service.set(
        "process_open_fds",
        &[],
        (40.0 + wave(now, 61.0, 4.0) + leaked).round(),
    );
    service.set("resource_ledger_overdue", &CONNECTION, overdue);
    let idle = [("upstream", "social"), ("state", "idle")];
    service.set("gateway_pool_connections", &idle, 8.0 + overdue);
}

#[test]
fn levels_that_climb_with_a_ledgers_leak_are_its_symptoms() {
    let mut world = World::gateway();
    world.run(1800.0, |_, service, now| serve(service, now, 0.0, 0.0));
    let began = world.now;
    world.run(3600.0, |_, service, now| {
        serve(service, now, now - began, now - began)
    });
    {
        let incident = world.only_incident();
        let signals: Vec<_> = incident.signals.iter().map(|own| &*own.signal).collect();
        assert_eq!(signals, ["resource_ledger_overdue", "process_open_fds"]);
        assert_eq!(incident.signal, "resource_ledger_overdue");
    }
    world.run(3600.0, |_, service, now| serve(service, now, 0.0, 0.0));
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
    assert_eq!(world.started().len(), 1);
}

#[test]
fn a_level_that_stays_high_after_the_release_is_no_new_incident() {
    let mut world = World::gateway();
    world.run(1800.0, |_, service, now| serve(service, now, 0.0, 0.0));
    let began = world.now;
    world.run(1200.0, |_, service, now| {
        serve(service, now, now - began, now - began)
    });
    let high = world.now - began;
    assert!(world.only_incident().is_living());
    world.pass(12.0, |_, service, now| {
        serve(service, now, high, 0.0);
        service.add(
            "resource_ledger_opened_total",
            &[("resource", "request"), ("route", "/home/{id}")],
            2750.0,
        );
    });
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
}

#[test]
fn a_level_convicted_first_is_adopted_and_its_alert_stays() {
    let mut world = World::gateway();
    world.run(1800.0, |_, service, now| serve(service, now, 0.0, 0.0));
    let began = world.now;
    // Connections climb at once; they are past their idle limit only after an hour.
    world.run(3900.0, |_, service, now| {
        let age = now - began;
        serve(service, now, age, (age - 3600.0).max(0.0));
    });
    assert!(
        world
            .log
            .iter()
            .any(|change| change.change == Change::Adopted),
        "{:#?}",
        world.log
    );
    let incident = world.only_incident();
    assert_eq!(
        incident.signal, "process_open_fds",
        "the firing alert's labels stay"
    );
    assert_eq!(incident.cause, Cause::IdleConnectionsUnbounded);
    assert_eq!(world.started().len(), 1);
    world.run(3600.0, |_, service, now| serve(service, now, 0.0, 0.0));
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
    assert_eq!(
        world.resolved(),
        world
            .sent
            .iter()
            .filter(|(_, alert)| alert.resolved)
            .count()
    );
}

#[test]
fn hours_of_health_under_a_real_load_are_silent() {
    let mut world = World::gateway();
    world.run(4.0 * 3600.0, |_, service, now| {
        let rate = (300.0 + wave(now, 600.0, 200.0)).round();
        work(service, rate);
        let slow = (7200.0..7500.0).contains(&(now - START));
        let open = rate * if slow { 1.5 } else { 0.05 } + wave(now, 13.0, 3.0);
        for resource in [
            "request",
            "fan_out_task",
            "response_body",
            "pool_connection",
        ] {
            let account = [("resource", resource), ("upstream", "social")];
            service.set("resource_ledger_open", &account, open.round());
            service.add("resource_ledger_opened_total", &account, rate * 5.0);
        }
        service.set("process_open_fds", &[], (30.0 + 2.0 * open).round());
        service.set(
            "process_resident_memory_bytes",
            &[],
            6e7 + 2e4 * open + wave(now, 77.0, 2e6),
        );
    });
    assert!(world.incidents().is_empty(), "{:#?}", world.log);
    assert!(world.sent.is_empty());
}

const REQUEST: [(&str, &str); 2] = [("resource", "request"), ("route", "/home/{id}")];
const TASK: [(&str, &str); 3] = [
    ("resource", "fan_out_task"),
    ("upstream", "social"),
    ("route", "/home/{id}"),
];

/// Requests that wait for a call: they are open, and name no upstream.
fn wait(service: &mut Service, now: f64, waiting: f64, overdue: f64) {
    serve(service, now, waiting, 0.0);
    service.set(
        "resource_ledger_open",
        &REQUEST,
        (3.0 + wave(now, 31.0, 2.0) + waiting).round(),
    );
    service.set("resource_ledger_overdue", &TASK, overdue);
}

#[test]
fn held_requests_are_symptoms_of_the_call_that_holds_them() {
    let mut world = World::gateway();
    world.run(1800.0, |_, service, now| wait(service, now, 0.0, 0.0));
    let began = world.now;
    world.run(3600.0, |_, service, now| {
        wait(service, now, now - began, now - began)
    });
    let incident = world.only_incident();
    assert_eq!(incident.cause, Cause::FanOutWithoutDeadline);
    let signals: Vec<_> = incident.signals.iter().map(|own| &*own.signal).collect();
    assert_eq!(
        signals,
        [
            "resource_ledger_overdue",
            "resource_ledger_open",
            "process_open_fds"
        ]
    );
    world.run(1800.0, |_, service, now| wait(service, now, 0.0, 0.0));
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
}

#[test]
fn held_requests_that_were_convicted_first_are_adopted() {
    let mut world = World::gateway();
    world.run(1800.0, |_, service, now| wait(service, now, 0.0, 0.0));
    let began = world.now;
    world.run(4200.0, |_, service, now| {
        let age = now - began;
        wait(service, now, age, (age - 3600.0).max(0.0));
    });
    let incident = world.only_incident();
    assert!(
        world
            .log
            .iter()
            .any(|change| change.change == Change::Adopted)
    );
    assert_eq!(incident.cause, Cause::FanOutWithoutDeadline);
    assert_eq!(world.started().len(), 1);
}
