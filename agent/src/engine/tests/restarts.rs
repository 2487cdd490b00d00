//! Restarts of what is watched, and of the agent itself.

use super::drills::work;
use super::world::{World, at, gateway_configuration};
use crate::alert::AlertName;
use crate::incident::{End, State};

const BODY: [(&str, &str); 3] = [
    ("resource", "response_body"),
    ("upstream", "social"),
    ("route", "/content/*"),
];

fn leaking_world() -> World {
    let mut world = World::gateway();
    world.run(120.0, |_, service, _| work(service, 50.0));
    world.run(60.0, |_, service, _| {
        work(service, 50.0);
        service.add("resource_ledger_orphaned", &BODY, 2.0);
        service.add("resource_ledger_opened_total", &BODY, 250.0);
    });
    assert!(world.only_incident().is_living());
    world
}

#[test]
fn a_target_that_cannot_be_scraped_keeps_its_alert() {
    let mut world = leaking_world();
    let before = world.started();
    world.service("a:9901").is_down = true;
    world.pass(24.0, |_, _, _| {});
    assert!(world.only_incident().is_living());
    assert!(world.is_firing(AlertName::ResourceLeak));
    assert_eq!(world.started(), before, "one alert, the same startsAt");
    assert_eq!(world.resolved(), 0);
}

#[test]
fn a_series_that_vanishes_ends_nothing() {
    let mut world = leaking_world();
    world.service("a:9901").vanish("resource_ledger_orphaned");
    world.pass(3.0, |_, _, _| {});
    assert!(world.only_incident().is_living());
}

#[test]
fn a_quiet_night_ends_nothing_that_is_held() {
    let mut world = leaking_world();
    world.pass(10.0, |_, _, _| {});
    assert_eq!(world.only_incident().state, State::Stalled);
    assert!(world.is_firing(AlertName::ResourceLeak));
}

#[test]
fn a_killed_agent_goes_on_where_it_was() {
    let mut world = leaking_world();
    let before = world.started();
    assert_eq!(before.len(), 1);
    for pause in [0.0, 600.0, 5.0] {
        world.now += pause;
        world.kill();
        world.evaluate();
        assert!(
            world.is_firing(AlertName::ResourceLeak),
            "before the first scrape"
        );
        world.run(90.0, |_, service, _| {
            work(service, 50.0);
            service.add("resource_ledger_orphaned", &BODY, 2.0);
        });
    }
    assert_eq!(world.started(), before, "the same startsAt, nothing new");
    assert_eq!(world.resolved(), 0);
    assert!(world.only_incident().is_living());
}

#[test]
fn a_kill_at_any_evaluation_changes_nothing_that_is_sent() {
    let scenario = |kill_at: Option<usize>| {
        let mut world = World::gateway();
        for step in 0..72 {
            if kill_at == Some(step) {
                world.kill();
            }
            world.step(|_, service, _| {
                work(service, 50.0);
                match step {
                    24..40 => service.add("resource_ledger_orphaned", &BODY, 2.0),
                    _ => service.set("resource_ledger_orphaned", &BODY, 0.0),
                }
            });
        }
        let starts = world.started();
        let end = world.only_incident().state;
        (starts, end, world.only_incident().id.clone())
    };
    let expected = scenario(None);
    assert_eq!(expected.1, State::Ended(End::Released));
    // Between conviction and end: before, the third scrape may come up to a minute later, for so often are detectors stored.
    for kill_at in 27..72 {
        assert_eq!(
            scenario(Some(kill_at)),
            expected,
            "killed before step {kill_at}"
        );
    }
}

#[test]
fn a_restart_that_hides_the_leak_is_the_same_incident() {
    let mut world = leaking_world();
    for _ in 0..5 {
        world.replace("a:9901");
        world.run(600.0, |_, service, _| {
            work(service, 50.0);
            service.add("resource_ledger_orphaned", &BODY, 2.0);
            service.add("resource_ledger_opened_total", &BODY, 250.0);
        });
    }
    assert!(world.only_incident().is_living());
    assert_eq!(world.started().len(), 1, "one alert over five restarts");
    assert_eq!(world.resolved(), 0);
}

#[test]
fn a_successor_without_load_proves_nothing() {
    let mut world = leaking_world();
    world.replace("a:9901");
    world.pass(6.0, |_, service, _| {
        service.add("resource_ledger_opened_total", &BODY, 0.0);
        service.add("resource_ledger_orphaned", &BODY, 0.0);
    });
    assert!(world.only_incident().is_living());
}

#[test]
fn a_successor_that_stays_flat_under_load_replaces_the_leak() {
    let mut world = leaking_world();
    world.replace("a:9901");
    world.run(1800.0, |_, service, _| {
        work(service, 50.0);
        service.add("resource_ledger_opened_total", &BODY, 250.0);
        service.add("resource_ledger_orphaned", &BODY, 0.0);
    });
    assert_eq!(world.only_incident().state, State::Ended(End::Replaced));
    assert!(!world.is_firing(AlertName::ResourceLeak));
}

#[test]
fn a_workload_that_is_listed_no_more_is_gone_after_two_hours() {
    let mut world = leaking_world();
    let other = gateway_configuration("").replace("job_name: gateway", "job_name: other");
    let mut without = World::new(&other);
    without.now = world.now;
    world.evaluate();
    let stored = world.engine.saved();
    without.engine = crate::engine::Engine::new(
        &without.config,
        without.config.targets(),
        Some(stored),
        at(without.now),
    );
    without.pass(2.0 - 1.0 / 60.0, |_, service, _| work(service, 50.0));
    assert!(without.only_incident().is_living());
    assert!(without.is_firing(AlertName::ResourceLeak));
    without.run(120.0, |_, service, _| work(service, 50.0));
    assert_eq!(without.only_incident().state, State::Ended(End::Gone));
}
