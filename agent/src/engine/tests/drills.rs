//! Each of the article's faults by its signature: one incident, under its own cause, in three scrapes, and its end.

use super::world::{Service, World, at};
use crate::alert::AlertName;
use crate::diagnosis::Cause;
use crate::engine::{Question, Witnessed};
use crate::incident::{Change, End, Place, State};

const TASK: [(&str, &str); 4] = [
    ("resource", "fan_out_task"),
    ("upstream", "social"),
    ("route", "/home/{id}"),
    ("site", "instrumented-gateway/src/fan_out.rs"),
];
const BODY: [(&str, &str); 4] = [
    ("resource", "response_body"),
    ("upstream", "social"),
    ("route", "/content/*"),
    ("site", "instrumented-gateway/src/drill.rs"),
];
const CONNECTION: [(&str, &str); 3] = [
    ("resource", "pool_connection"),
    ("upstream", "social"),
    ("site", "instrumented-gateway/src/pool.rs"),
];

/// A second of ordinary work at `rate` requests a second over all accounts, and nothing held past its end.
pub(crate) fn work(service: &mut Service, rate: f64) {
    for account in [&TASK[..], &BODY[..], &CONNECTION[..]] {
        let upstream = [("upstream", "social")];
        service.add("resource_ledger_opened_total", account, rate * 5.0);
        for gauge in ["resource_ledger_orphaned", "resource_ledger_overdue"] {
            service.add(gauge, account, 0.0);
        }
        service.set("resource_ledger_open", account, rate * 0.02);
        service.set("resource_ledger_oldest_age_seconds", account, 0.2);
        service.add("gateway_pool_waiters", &upstream, 0.0);
        service.set(
            "gateway_pool_connections",
            &[("upstream", "social"), ("state", "idle")],
            8.0,
        );
    }
    service.add(
        "resource_ledger_opened_total",
        &[("resource", "request"), ("route", "/home/{id}")],
        rate * 5.0,
    );
    service.add(
        "gateway_upstream_requests_total",
        &[("upstream", "social"), ("result", "ok")],
        rate * 5.0,
    );
    service.set("process_open_fds", &[], 40.0);
    service.set("process_max_fds", &[], 1_000_000.0);
    service.set("process_resident_memory_bytes", &[], 5e7);
}

/// Five seconds of ordinary work in which `leak` more entries go past their end, by these gauges.
fn leak(service: &mut Service, leaks: &[(&str, &[(&str, &str)])], count: f64) {
    work(service, 50.0);
    for (gauge, account) in leaks {
        service.add(gauge, account, count);
        service.set("resource_ledger_oldest_age_seconds", account, 12.0);
    }
}

fn release(service: &mut Service) {
    for account in [&TASK[..], &BODY[..], &CONNECTION[..]] {
        for gauge in ["resource_ledger_orphaned", "resource_ledger_overdue"] {
            service.set(gauge, account, 0.0);
        }
    }
}

struct Expected {
    signal: &'static str,
    resource: &'static str,
    route: Option<&'static str>,
    cause: Cause,
    question: Question,
}

#[track_caller]
fn check(leaks: &[(&str, &[(&str, &str)])], expected: &Expected) {
    let mut world = World::gateway();
    world.run(120.0, |_, service, _| work(service, 50.0));
    assert!(world.incidents().is_empty(), "health is silent");
    let began = world.now;
    world.run(15.0, |_, service, _| leak(service, leaks, 40.0));
    {
        let incident = world.only_incident();
        assert_eq!(
            incident.convicted_at,
            at(began + 15.0),
            "convicted at the third scrape"
        );
        assert_eq!(incident.cause, expected.cause);
        assert_eq!(incident.signal, expected.signal);
        assert_eq!(incident.resource.as_deref(), Some(expected.resource));
        assert_eq!(incident.upstream.as_deref(), Some("social"));
        assert_eq!(incident.route.as_deref(), expected.route);
        assert!(world.is_firing(AlertName::ResourceLeak));
    }
    let [fetch] = world.fetches.as_slice() else {
        panic!("{:?}", world.fetches)
    };
    assert_eq!(fetch.question, expected.question);
    assert_eq!(fetch.target.evidence_address.as_deref(), Some("a:9902"));
    let place = Place {
        site: "instrumented-gateway/src/drill.rs:77".to_owned(),
        count: 120,
        oldest_age_seconds: Some(12.0),
        kind: expected.resource.to_owned(),
    };
    let incident = fetch.incident.clone();
    world.engine.evidence(
        &incident,
        Witnessed {
            places: Ok(vec![place]),
            cause: None,
        },
        at(world.now),
    );
    world.evaluate();
    let sent: Vec<_> = world
        .sent
        .iter()
        .filter(|(_, alert)| alert.labels.get("alertname") == Some("ResourceLeak"))
        .collect();
    let [(_, alert)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(
        alert.annotations.get("site"),
        Some("instrumented-gateway/src/drill.rs:77")
    );
    assert_eq!(alert.annotations.get("cause"), Some(expected.cause.word()));

    world.run(300.0, |_, service, _| leak(service, leaks, 40.0));
    assert_eq!(world.only_incident().state, State::Growing);
    let started = world.started();
    assert!(
        started.len() <= 2 && started[0].1 == began + 15.0,
        "{started:?}"
    );

    world.run(90.0, |_, service, _| {
        work(service, 50.0);
        release(service);
    });
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
    assert!(
        !world.is_firing(AlertName::ResourceLeak)
            && !world.is_firing(AlertName::ResourceLeakUrgent)
    );
    assert!(world.resolved() >= 1);
    world.pass(1.0, |_, service, _| work(service, 50.0));
    assert_eq!(world.incidents().len(), 1, "nothing follows");
}

#[test]
fn detached_tasks() {
    check(
        &[
            ("resource_ledger_orphaned", &TASK),
            ("resource_ledger_overdue", &TASK),
            ("resource_ledger_orphaned", &CONNECTION),
        ],
        &Expected {
            signal: "resource_ledger_orphaned",
            resource: "fan_out_task",
            route: Some("/home/{id}"),
            cause: Cause::TimeoutWithoutCancellation,
            question: Question::Held,
        },
    );
}

#[test]
fn no_deadline() {
    check(
        &[
            ("resource_ledger_overdue", &TASK),
            ("resource_ledger_overdue", &CONNECTION),
        ],
        &Expected {
            signal: "resource_ledger_overdue",
            resource: "fan_out_task",
            route: Some("/home/{id}"),
            cause: Cause::FanOutWithoutDeadline,
            question: Question::Held,
        },
    );
}

#[test]
fn unclosed_bodies() {
    check(
        &[
            ("resource_ledger_orphaned", &BODY),
            ("resource_ledger_orphaned", &CONNECTION),
        ],
        &Expected {
            signal: "resource_ledger_orphaned",
            resource: "response_body",
            route: Some("/content/*"),
            cause: Cause::UnclosedBodies,
            question: Question::Held,
        },
    );
}

#[test]
fn client_per_request() {
    let mut world = World::gateway();
    world.run(120.0, |_, service, _| work(service, 50.0));
    world.run(30.0, |_, service, _| {
        leak(service, &[("resource_ledger_overdue", &CONNECTION)], 100.0);
        let idle = service.get("resource_ledger_overdue", &CONNECTION) + 8.0;
        service.set(
            "gateway_pool_connections",
            &[("upstream", "social"), ("state", "idle")],
            idle,
        );
    });
    let incident = world.only_incident();
    assert_eq!(incident.cause, Cause::IdleConnectionsUnbounded);
    assert_eq!(incident.resource.as_deref(), Some("pool_connection"));
    assert_eq!(incident.route, None);
}

#[test]
fn slow_drip() {
    let mut world = World::gateway();
    world.run(120.0, |_, service, _| work(service, 50.0));
    // One in a thousand at 50 a second: one every 20 s.
    let mut scrapes = 0;
    world.run(35.0, |_, service, _| {
        scrapes += 1;
        let count = if scrapes % 4 == 1 { 1.0 } else { 0.0 };
        leak(
            service,
            &[
                ("resource_ledger_orphaned", &BODY),
                ("resource_ledger_orphaned", &CONNECTION),
            ],
            count,
        );
    });
    assert_eq!(world.only_incident().cause, Cause::UnclosedBodies);
    world.run(600.0, |_, service, _| {
        leak(service, &[("resource_ledger_orphaned", &BODY)], 0.0)
    });
    assert_eq!(
        world.only_incident().state,
        State::Stalled,
        "held, not growing"
    );
    world.run(120.0, |_, service, _| {
        work(service, 50.0);
        release(service);
    });
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
}

/// A second of traffic in which every connection is lost with its unread body.
fn churn(service: &mut Service, rate: f64, undrained_share: f64) {
    work(service, rate);
    let closed = |resource, outcome| {
        [
            ("resource", resource),
            ("upstream", "social"),
            ("site", "instrumented-gateway/src/pool.rs"),
            ("outcome", outcome),
        ]
    };
    let lost = rate * 5.0 * undrained_share;
    service.add(
        "resource_ledger_closed_total",
        &closed("pool_connection", "undrained"),
        lost,
    );
    service.add(
        "resource_ledger_closed_total",
        &closed("pool_connection", "client_gone"),
        rate * 5.0 * 0.3,
    );
    service.add(
        "resource_ledger_closed_total",
        &closed("pool_connection", "peer_closed"),
        rate * 5.0 * 0.6,
    );
    let unread = [BODY[0], BODY[1], BODY[2], BODY[3], ("outcome", "unread")];
    service.add("resource_ledger_closed_total", &unread, lost);
}

#[test]
fn undrained_bodies_are_found_within_a_minute_after_any_time_of_health() {
    let mut world = World::gateway();
    world.run(1800.0, |_, service, _| churn(service, 500.0, 0.0));
    assert!(
        world.incidents().is_empty(),
        "connections closed by clients and peers never count"
    );
    let began = world.now;
    while world.incidents().is_empty() && world.now < began + 60.0 {
        world.step(|_, service, _| churn(service, 500.0, 1.0));
    }
    {
        let incident = world.only_incident();
        assert!(incident.convicted_at - at(began) <= 45.0);
        assert_eq!(incident.cause, Cause::UndrainedBodies);
        assert_eq!(incident.signal, "resource_ledger_closed_total");
        assert_eq!(incident.upstream.as_deref(), Some("social"));
        assert_eq!(incident.route.as_deref(), Some("/content/*"));
        assert_eq!(
            incident.site.as_deref(),
            Some("instrumented-gateway/src/drill.rs")
        );
        assert_eq!(incident.onset, at(began));
        assert_eq!(world.fetches[0].question, Question::Closed);
    }
    assert!(world.is_firing(AlertName::ConnectionReuseLost));
    assert!(!world.is_firing(AlertName::ResourceLeak));
    world.run(600.0, |_, service, _| churn(service, 500.0, 1.0));
    assert!(world.only_incident().is_living());
    world.run(90.0, |_, service, _| churn(service, 500.0, 0.0));
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
    assert!(!world.is_firing(AlertName::ConnectionReuseLost));
    world.run(1800.0, |_, service, _| churn(service, 500.0, 0.0));
    assert_eq!(world.incidents().len(), 1);
}

#[test]
fn a_quiet_night_is_no_release_of_lost_reuse() {
    let mut world = World::gateway();
    world.run(120.0, |_, service, _| churn(service, 50.0, 0.0));
    world.run(120.0, |_, service, _| churn(service, 50.0, 1.0));
    assert!(world.only_incident().is_living());
    world.pass(8.0, |_, _, _| {});
    assert!(world.only_incident().is_living(), "no exchanges, no news");
    world.run(120.0, |_, service, _| churn(service, 50.0, 0.0));
    assert_eq!(world.only_incident().state, State::Ended(End::Released));
}

#[test]
fn connections_evicted_as_fast_as_they_come_back_are_an_idle_pool_too_small() {
    let mut world = World::gateway();
    let evicted = [
        ("resource", "pool_connection"),
        ("upstream", "social"),
        ("outcome", "evicted"),
    ];
    world.run(400.0, |_, service, _| churn(service, 50.0, 0.0));
    world.run(250.0, |_, service, _| {
        churn(service, 50.0, 0.0);
        service.add("resource_ledger_closed_total", &evicted, 50.0 * 5.0 * 0.8);
    });
    assert_eq!(world.only_incident().cause, Cause::IdlePoolTooSmall);
    assert!(world.is_firing(AlertName::ConnectionReuseLost));
}

#[test]
fn several_upstreams_that_leak_alike_are_one_incident() {
    let mut world = World::gateway();
    let account = |upstream| {
        [
            ("resource", "response_body"),
            ("upstream", upstream),
            ("route", "/content/*"),
        ]
    };
    world.run(60.0, |_, service, _| work(service, 50.0));
    world.run(60.0, |_, service, _| {
        work(service, 50.0);
        service.add("resource_ledger_orphaned", &account("social"), 5.0);
        service.add("resource_ledger_orphaned", &account("content"), 3.0);
    });
    let incident = world.only_incident();
    assert_eq!(incident.upstream, None, "absent where several leak");
    assert_eq!(incident.resource.as_deref(), Some("response_body"));
    assert_eq!(incident.route.as_deref(), Some("/content/*"));
}

#[test]
fn an_upstream_that_begins_to_leak_in_another_way_is_an_incident_of_its_own() {
    let mut world = World::gateway();
    let body = [
        ("resource", "response_body"),
        ("upstream", "content"),
        ("route", "/content/*"),
    ];
    world.run(60.0, |_, service, _| work(service, 50.0));
    world.run(60.0, |_, service, _| {
        leak(service, &[("resource_ledger_orphaned", &TASK)], 10.0)
    });
    world.run(60.0, |_, service, _| {
        leak(service, &[("resource_ledger_orphaned", &TASK)], 10.0);
        service.add("resource_ledger_orphaned", &body, 3.0);
    });
    let causes: Vec<_> = world
        .incidents()
        .iter()
        .map(|own| (own.upstream.clone().unwrap(), own.cause))
        .collect();
    assert_eq!(
        causes,
        [
            ("social".to_owned(), Cause::TimeoutWithoutCancellation),
            ("content".to_owned(), Cause::UnclosedBodies)
        ]
    );
}

#[test]
fn a_leak_that_comes_back_soon_is_the_same_incident() {
    let mut world = World::gateway();
    let leaks: &[(&str, &[(&str, &str)])] = &[("resource_ledger_orphaned", &TASK)];
    let pause = |world: &mut World, seconds| {
        world.run(seconds, |_, service, _| {
            work(service, 50.0);
            release(service);
        });
    };
    pause(&mut world, 60.0);
    world.run(60.0, |_, service, _| leak(service, leaks, 10.0));
    pause(&mut world, 120.0);
    assert!(!world.only_incident().is_living());
    world.run(60.0, |_, service, _| leak(service, leaks, 10.0));
    assert!(world.only_incident().is_living());
    assert!(
        world
            .log
            .iter()
            .any(|change| change.change == Change::Returned)
    );
    assert_eq!(world.started().len(), 2, "it fires anew");
    pause(&mut world, 100.0);
    assert!(
        world.only_incident().is_living(),
        "it has to stay away longer now"
    );
    pause(&mut world, 60.0);
    assert!(!world.only_incident().is_living());
    pause(&mut world, 4000.0);
    world.run(60.0, |_, service, _| leak(service, leaks, 10.0));
    let in_all = world.incidents().len();
    assert_eq!(in_all, 2, "after more than an hour it is another");
}

#[test]
fn what_is_convicted_first_does_not_carry_what_explains_it() {
    let mut world = World::gateway();
    world.run(60.0, |_, service, _| work(service, 50.0));
    let mut scrapes = 0;
    world.run(60.0, |_, service, _| {
        scrapes += 1;
        leak(service, &[("resource_ledger_orphaned", &CONNECTION)], 10.0);
        if scrapes >= 3 {
            leak(service, &[("resource_ledger_orphaned", &TASK)], 10.0);
        }
    });
    let incident = world.only_incident();
    assert_eq!(
        (incident.resource.as_deref(), incident.cause),
        (Some("fan_out_task"), Cause::TimeoutWithoutCancellation)
    );
}

#[test]
fn a_resource_without_upstream_that_leaks_later_is_an_incident_of_its_own() {
    let mut world = World::gateway();
    let session = [("resource", "db_session")];
    world.run(60.0, |_, service, _| {
        work(service, 50.0);
        service.add("resource_ledger_orphaned", &session, 0.0);
    });
    world.run(60.0, |_, service, _| {
        leak(service, &[("resource_ledger_orphaned", &BODY)], 10.0);
    });
    world.run(60.0, |_, service, _| {
        leak(service, &[("resource_ledger_orphaned", &BODY)], 10.0);
        service.add("resource_ledger_orphaned", &session, 1.0);
    });
    let resources: Vec<_> = world
        .incidents()
        .iter()
        .map(|own| own.resource.clone().unwrap())
        .collect();
    assert_eq!(resources, ["response_body", "db_session"]);
    world.run(180.0, |_, service, _| {
        work(service, 50.0);
        service.add("resource_ledger_orphaned", &session, 1.0);
        release(service);
    });
    let states: Vec<_> = world.incidents().iter().map(|own| own.state).collect();
    assert_eq!(states, [State::Ended(End::Released), State::Growing]);
}
