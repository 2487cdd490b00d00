//! Leaks that no single process shows: restarts, rollouts, nights and bursts. Each is one incident and one alert.

use super::world::{START, Service, World};
use crate::alert::AlertName;
use crate::incident::{End, State};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

/// A small wave without a clock or chance: the same at every run.
fn wave(now: f64, period: f64, height: f64) -> f64 {
    height * (now / period * std::f64::consts::TAU).sin()
}

/// Goroutines that follow their load, with what has leaked.
fn serve(service: &mut Service, now: f64, requests: f64, leaked: f64) {
    let busy = 20.0 * requests / 150.0 + wave(now, 97.0, 2.0) + wave(now, 41.0, 3.0);
    service.set("go_goroutines", &[], (25.0 + busy + leaked).round());
    service.add("http_requests_total", &[("code", "200")], requests.round());
}

/// One job with these targets, scraped every 15 s.
fn world(targets: &[&str]) -> World {
    let listed: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
    World::new(&format!(
        "global: {{ scrape_interval: 15s }}\n\
         scrape_configs:\n  \
         - job_name: shop\n    \
           static_configs: [{{ targets: [{}] }}]\n",
        listed.join(", ")
    ))
}

/// Runs with a restart of `a:1` every so often; each life leaks so many an hour.
fn restart_every(world: &mut World, seconds: f64, times: u32, leaked_an_hour: f64) {
    for _ in 0..times {
        world.replace("a:1");
        let began = world.now;
        world.run(seconds, |_, service, now| {
            let leaked = leaked_an_hour * (now - began) / HOUR;
            serve(service, now, 150.0 + wave(now, 5000.0, 40.0), leaked);
        });
    }
}

#[track_caller]
fn one_incident_one_alert(world: &World) {
    assert!(world.only_incident().is_living());
    assert_eq!(world.started().len(), 1, "{:?}", world.started());
    assert_eq!(world.resolved(), 0);
    assert!(world.is_firing(AlertName::ResourceLeak));
}

#[test]
fn a_restart_every_ten_minutes_is_one_incident() {
    let mut world = world(&["a:1"]);
    restart_every(&mut world, 10.0 * MINUTE, 9, 120.0);
    let convicted = world.only_incident().convicted_at.seconds() - START;
    assert!(convicted < 1.25 * HOUR, "convicted after {convicted} s");
    let said: Vec<&str> = world
        .only_incident()
        .evidence
        .ruled_out
        .iter()
        .map(|(what, _)| what.as_str())
        .collect();
    assert!(
        said.contains(&"one life alone") && said.contains(&"batch job"),
        "{said:?}"
    );
    restart_every(&mut world, 10.0 * MINUTE, 60, 120.0);
    one_incident_one_alert(&world);
}

#[test]
fn a_restart_every_six_hours_is_one_incident() {
    let mut world = world(&["a:1"]);
    restart_every(&mut world, 6.0 * HOUR, 12, 8.0);
    one_incident_one_alert(&world);
}

#[test]
fn healthy_restarts_are_silent() {
    let mut world = world(&["a:1"]);
    restart_every(&mut world, 10.0 * MINUTE, 60, 0.0);
    restart_every(&mut world, HOUR, 12, 0.0);
    assert!(world.incidents().is_empty(), "{:#?}", world.incidents());
}

#[test]
fn a_killed_agent_keeps_the_lives_it_has_seen() {
    let mut world = world(&["a:1"]);
    for _ in 0..12 {
        restart_every(&mut world, 10.0 * MINUTE, 1, 120.0);
        world.kill();
    }
    one_incident_one_alert(&world);
    let convicted = world.only_incident().convicted_at.seconds() - START;
    assert!(convicted < 1.25 * HOUR, "convicted after {convicted} s");
}

#[test]
fn lives_that_stay_flat_end_the_incident() {
    let mut world = world(&["a:1"]);
    restart_every(&mut world, 10.0 * MINUTE, 12, 120.0);
    one_incident_one_alert(&world);
    restart_every(&mut world, 10.0 * MINUTE, 12, 0.0);
    assert_eq!(world.only_incident().state, State::Ended(End::Replaced));
    assert!(!world.is_firing(AlertName::ResourceLeak));
    restart_every(&mut world, HOUR, 12, 0.0);
    assert_eq!(world.incidents().len(), 1);
}

#[test]
fn rollouts_under_new_names_are_one_incident() {
    let names: Vec<String> = (0..30).map(|name| format!("pod-{name}:1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = world(&names);
    for name in &names {
        world.service(name).is_down = true;
    }
    // Three at a time, each for two hours.
    for rollout in 0..10 {
        for (index, name) in names.iter().enumerate() {
            if index / 3 == rollout {
                world.replace(name);
            } else {
                world.service(name).is_down = true;
            }
        }
        let began = world.now;
        world.run(2.0 * HOUR, |_, service, now| {
            if !service.is_down {
                let leaked = 15.0 * (now - began) / HOUR;
                serve(service, now, 150.0 + wave(now, 5000.0, 40.0), leaked);
            }
        });
    }
    one_incident_one_alert(&world);
    let convicted = world.only_incident().convicted_at.seconds() - START;
    assert!(convicted < 8.0 * HOUR, "convicted after {convicted} s");
}

#[test]
fn a_leak_that_pauses_at_night_is_one_incident() {
    let mut world = world(&["a:1"]);
    let mut leaked = 0.0;
    for _ in 0..4 {
        for hour in 0..24 {
            let requests = if (8..22).contains(&hour) { 150.0 } else { 4.0 };
            world.run(HOUR, |_, service, now| {
                leaked += requests / 4000.0;
                serve(
                    service,
                    now,
                    requests + wave(now, 600.0, requests / 10.0),
                    leaked,
                );
            });
        }
    }
    one_incident_one_alert(&world);
}

#[test]
fn an_outage_that_leaks_in_bursts_is_one_incident() {
    let mut world = world(&["a:1"]);
    let mut leaked = 0.0;
    for _ in 0..8 {
        world.run(5.0 * HOUR, |_, service, now| {
            serve(service, now, 150.0 + wave(now, 5000.0, 40.0), leaked);
        });
        world.run(20.0 * MINUTE, |_, service, now| {
            leaked += 0.5;
            serve(service, now, 150.0 + wave(now, 5000.0, 40.0), leaked);
        });
    }
    one_incident_one_alert(&world);
}

#[test]
fn a_leak_that_is_restarted_each_night_is_one_incident() {
    let mut world = world(&["a:1"]);
    for _ in 0..6 {
        world.replace("a:1");
        let mut leaked = 0.0;
        for hour in 0..24 {
            let requests = if (8..22).contains(&hour) { 150.0 } else { 4.0 };
            world.run(HOUR, |_, service, now| {
                leaked += requests / 4000.0;
                serve(
                    service,
                    now,
                    requests + wave(now, 600.0, requests / 10.0),
                    leaked,
                );
            });
        }
    }
    one_incident_one_alert(&world);
}

#[test]
fn two_instances_of_eight_that_leak_are_one_incident_and_named() {
    let names: Vec<String> = (0..8).map(|name| format!("db-{name}:1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = world(&names);
    let began = world.now;
    for half_day in 0..4 {
        world.pass(12.0, |instance, service, now| {
            let leaks = instance == "db-2:1" || instance == "db-5:1";
            let hours = ((now - began) / HOUR - 6.0).max(0.0);
            let used = 4e8 + 2e6 * wave(now, 7000.0, 1.0) + 1e6 * wave(now, 433.0, 1.0);
            let leaked = if leaks { 2e7 * hours } else { 0.0 };
            service.set("process_resident_memory_bytes", &[], used + leaked);
        });
        if half_day == 1 {
            let ruled_out = &world.only_incident().evidence.ruled_out;
            let peers = ruled_out.iter().find(|(what, _)| what == "peers");
            let (_, how) = peers.expect("convicted beside its peers, before its own detector may");
            assert!(how.starts_with("7 peers"), "{how}");
            world.kill();
        }
    }
    one_incident_one_alert(&world);
    let incident = world.only_incident();
    let who: Vec<&str> = incident
        .instances
        .values()
        .map(|instance| instance.instance.as_str())
        .collect();
    assert_eq!(who, ["db-2:1", "db-5:1"]);
    let convicted = incident.convicted_at.seconds() - began;
    assert!(convicted < 20.0 * HOUR, "convicted after {convicted} s");
}
