//! What the on-call engineer reads: whole alerts as they go out.

use expect_test::{Expect, expect};
use leak_detect::Interval;

use super::drills::work;
use super::world::{Service, World, at};
use crate::alert::{AlertName, text};
use crate::engine::Witnessed;
use crate::impact::Urgency;
use crate::incident::{Family, Place};

/// What an alert of the world's incident says, one annotation a line. The detectors' figures are replaced by fixed ones:
/// how well they estimate is shown where they are.
#[track_caller]
fn check(world: &World, name: AlertName, expected: Expect) {
    assert!(
        world.is_firing(name),
        "{name:?} among {:?}",
        world.started()
    );
    let fix = |interval: &mut Interval, estimate: f64| {
        *interval = Interval {
            low: estimate * 0.92,
            estimate,
            high: estimate * 1.09,
        };
    };
    let mut incident = world.only_incident().clone();
    incident.onset = at(world.now - 148.0);
    let growth = &mut incident.evidence.growth_per_second;
    match incident.family {
        Family::Held if incident.evidence.value > 1.0 => fix(growth, 8.0),
        Family::Held => {
            *growth = Interval {
                low: 0.0,
                estimate: 0.0,
                high: 0.01,
            };
        }
        Family::Churn | Family::Process => {}
    }
    let exhaustion = incident.evidence.exhaustion.iter_mut();
    let urgency = match &mut incident.urgent {
        Some(Urgency::Exhaustion(exhaustion)) => Some(exhaustion),
        _ => None,
    };
    for exhaustion in exhaustion.chain(urgency) {
        fix(&mut exhaustion.seconds, 8000.0);
    }
    let first_action = world.engine.first_action_of(&incident);
    let annotations = text::annotations(&incident, name, first_action, at(world.now));
    let lines: Vec<String> = annotations
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    expected.assert_eq(&lines.concat());
}

fn leak(service: &mut Service, gauge: &str, account: &[(&str, &str)], count: f64) {
    work(service, 50.0);
    service.add(gauge, account, count);
}

fn answer(world: &mut World, sites: &[(&str, u64)]) {
    let places = sites
        .iter()
        .map(|(site, count)| Place {
            site: (*site).to_owned(),
            count: *count,
            oldest_age_seconds: Some(61.5),
            kind: "fan_out_task".to_owned(),
        })
        .collect();
    let incident = world.only_incident().id.clone();
    let now = at(world.now);
    world.engine.evidence(
        &incident,
        Witnessed {
            places: Ok(places),
            cause: None,
        },
        now,
    );
    world.evaluate();
}

#[test]
fn detached_tasks_with_their_places() {
    let mut world = World::gateway();
    let task = [
        ("resource", "fan_out_task"),
        ("upstream", "social"),
        ("route", "/home/{id}"),
    ];
    let connection = [("resource", "pool_connection"), ("upstream", "social")];
    world.run(120.0, |_, service, _| work(service, 50.0));
    world.run(90.0, |_, service, _| {
        leak(service, "resource_ledger_orphaned", &task, 40.0);
        service.add("resource_ledger_orphaned", &connection, 40.0);
        service.set("process_max_fds", &[], 65_536.0);
    });
    answer(
        &mut world,
        &[
            ("instrumented-gateway/src/drill.rs:183", 700),
            ("instrumented-gateway/src/fan_out.rs:61", 20),
        ],
    );
    world.run(70.0, |_, service, _| {
        leak(service, "resource_ledger_orphaned", &task, 40.0);
        service.add("resource_ledger_orphaned", &connection, 40.0);
        service.set("process_max_fds", &[], 65_536.0);
    });
    check(
        &world,
        AlertName::ResourceLeak,
        expect![[r#"
            cause: timeout_without_cancellation
            description: 1,280 in one instance, growing by 28,800 an hour (26,500 to 31,400).
            Since 2027-01-15 08:02:12 UTC, 2 min 28 s ago.
            At this pace process_open_fds of a:9901 reaches its limit of 65,536 in 2 h 13 min (between 2 h 2 min and 2 h 25 min).
            Looks like timeout_without_cancellation: the answer goes out at the deadline, but the tasks behind it are not cancelled and live on with all they hold.
            Where: instrumented-gateway/src/drill.rs:183 (700 of them, the oldest for 1 min 2 s; one more place in the evidence).
            Held by it, or with it: resource_ledger_orphaned of pool_connection.
            Ruled out: noise, load, slow upstream, warm-up. In a correct program this is zero at every scrape.
            first_action: Restart the leaking instances one at a time, a:9901 first: that buys time and keeps this incident open. If social hangs, take it out of the route. Repair at instrumented-gateway/src/drill.rs:183: cancel the tasks when their request ends (a task set that aborts when dropped), instead of leaving them behind a timeout.
            instances: a:9901 (1,280)
            site: instrumented-gateway/src/drill.rs:183
            summary: gateway: 1,280 fan-out tasks towards social live on after their requests have ended
        "#]],
    );
    check(
        &world,
        AlertName::ResourceLeakUrgent,
        expect![[r#"
            cause: timeout_without_cancellation
            description: Why now: process_open_fds of a:9901 may reach its limit of 65,536 within 2 h 2 min.
            1,280 in one instance, growing by 28,800 an hour (26,500 to 31,400).
            Since 2027-01-15 08:02:12 UTC, 2 min 28 s ago.
            At this pace process_open_fds of a:9901 reaches its limit of 65,536 in 2 h 13 min (between 2 h 2 min and 2 h 25 min).
            Looks like timeout_without_cancellation: the answer goes out at the deadline, but the tasks behind it are not cancelled and live on with all they hold.
            Where: instrumented-gateway/src/drill.rs:183 (700 of them, the oldest for 1 min 2 s; one more place in the evidence).
            Held by it, or with it: resource_ledger_orphaned of pool_connection.
            Ruled out: noise, load, slow upstream, warm-up. In a correct program this is zero at every scrape.
            first_action: Restart the leaking instances one at a time, a:9901 first: that buys time and keeps this incident open. If social hangs, take it out of the route. Repair at instrumented-gateway/src/drill.rs:183: cancel the tasks when their request ends (a task set that aborts when dropped), instead of leaving them behind a timeout.
            instances: a:9901 (1,280)
            site: instrumented-gateway/src/drill.rs:183
            summary: gateway: 1,280 fan-out tasks towards social live on after their requests have ended; process_open_fds may reach its limit within 2 h 2 min
        "#]],
    );
}

#[test]
fn one_body_and_no_witness() {
    let mut world = World::gateway();
    let body = [
        ("resource", "response_body"),
        ("upstream", "content"),
        ("route", "/content/*"),
        ("site", "instrumented-gateway/src/forward.rs"),
    ];
    let mut scrapes = 0;
    world.run(120.0, |_, service, _| work(service, 50.0));
    world.run(90.0, |_, service, _| {
        scrapes += 1;
        let count = if scrapes == 1 { 1.0 } else { 0.0 };
        leak(service, "resource_ledger_orphaned", &body, count);
    });
    check(
        &world,
        AlertName::ResourceLeak,
        expect![[r#"
            cause: unclosed_bodies
            description: 1 in one instance, growing by at most 36 an hour.
            Since 2027-01-15 08:01:02 UTC, 2 min 28 s ago.
            Looks like unclosed_bodies: responses are kept whose bodies are neither read nor dropped; each of them pins its connection.
            Where: instrumented-gateway/src/forward.rs.
            Ruled out: noise, load, slow upstream, warm-up. In a correct program this is zero at every scrape.
            first_action: Restart the leaking instances one at a time, a:9901 first: that buys time and keeps this incident open. Repair at instrumented-gateway/src/forward.rs: read each response body to its end or drop it, on every path, the error paths first.
            instances: a:9901 (1)
            site: instrumented-gateway/src/forward.rs
            summary: gateway: 1 response body towards content lives on after its request has ended
        "#]],
    );
}

#[test]
fn lost_reuse() {
    let mut world = World::gateway();
    let closed = [
        ("resource", "pool_connection"),
        ("upstream", "social"),
        ("outcome", "undrained"),
    ];
    let unread = [
        ("resource", "response_body"),
        ("upstream", "social"),
        ("route", "/content/*"),
        ("site", "instrumented-gateway/src/drill.rs"),
        ("outcome", "unread"),
    ];
    world.run(120.0, |_, service, _| work(service, 50.0));
    world.run(120.0, |_, service, _| {
        leak(service, "resource_ledger_closed_total", &closed, 250.0);
        service.add("resource_ledger_closed_total", &unread, 250.0);
    });
    check(
        &world,
        AlertName::ConnectionReuseLost,
        expect![[r#"
            cause: undrained_bodies
            description: In 30 s, 1,500 of 1,500 exchanges lost their connection in one instance: 180,000 an hour (171,000 to 189,000).
            Since 2027-01-15 08:01:32 UTC, 2 min 28 s ago.
            Looks like undrained_bodies: response bodies are dropped before their end and their connections with them, so that every exchange pays for a new one.
            Where: instrumented-gateway/src/drill.rs.
            Ruled out: load (what counts is the share of exchanges, not their number); client or peer (connections that the client or the upstream closed are not counted).
            first_action: Nothing runs out tonight; look for ports in TIME_WAIT and the upstream's accept rate. Repair at instrumented-gateway/src/drill.rs: read response bodies to their end, also of error answers, or ask the upstream for less.
            instances: a:9901
            site: instrumented-gateway/src/drill.rs
            summary: gateway: connections to social are closed instead of reused
        "#]],
    );
}

#[test]
fn a_time_out_storm() {
    let mut world = World::gateway();
    let task = [
        ("resource", "fan_out_task"),
        ("upstream", "social"),
        ("route", "/home/{id}"),
    ];
    world.run(600.0, |_, service, _| work(service, 50.0));
    world.run(120.0, |_, service, _| {
        leak(service, "resource_ledger_overdue", &task, 30.0);
        let failed = [("upstream", "social"), ("result", "timed_out")];
        service.add("gateway_upstream_requests_total", &failed, 100.0);
    });
    check(
        &world,
        AlertName::ResourceLeakUrgent,
        expect![[r#"
            cause: fan_out_without_deadline
            description: Why now: users are hit: 2,400 of 17,400 upstream calls of the last 5 min were refused or timed out (14 %, before the leak 0 %).
            720 in one instance, growing by 28,800 an hour (26,500 to 31,400).
            Since 2027-01-15 08:09:32 UTC, 2 min 28 s ago.
            Looks like fan_out_without_deadline: requests wait for every call of their fan-out, one does not come back, and no deadline ends the wait.
            Ruled out: noise, load, slow upstream, warm-up. In a correct program this is zero at every scrape.
            first_action: Take social out of the route or repair it: every request that calls it is held. Repair: one deadline over the whole fan-out, passed on to each call.
            instances: a:9901 (720)
            summary: gateway: 720 fan-out tasks towards social are past their deadlines; 14 % of upstream calls are refused or time out
        "#]],
    );
}
