//! Each drill's signature in the ledger, the line that it names, and that stopping it releases everything.

use std::time::Duration;

use instrumented_gateway::drill::{Drill, DrillRequest};
use resource_ledger::Snapshot;

use crate::support::{Client, Gateway, Upstream, eventually, get, now, response};

/// Short promises, so that what breaks them shows soon.
const CONFIG: &str = "
grace: 200ms
upstreams:
  - { name: one, endpoints: [\"{0}\"], idle_timeout: 100ms, max_connections: 4, max_idle: 4, max_in_flight: 4 }
  - { name: two, endpoints: [\"{1}\"], idle_timeout: 100ms, max_connections: 4, max_idle: 4, max_in_flight: 4 }
routes:
  - { path: /proxy/*, proxy: one, body_idle_timeout: 100ms }
  - path: /fan
    deadline: 100ms
    fan_out:
      policy: partial
      calls: [{ name: a, upstream: one, path: /a }, { name: b, upstream: two, path: /b }]
";

const REQUESTS: usize = 12;
const DRILL_FILE: &str = "instrumented-gateway/src/drill.rs";

#[track_caller]
fn drill(text: &str) -> DrillRequest {
    text.parse().expect("a drill")
}

fn start(gateway: &Gateway, text: &str) {
    let DrillRequest { drill, share } = drill(text);
    gateway.drills().start(drill, share);
}

/// What a resource shows: open, overdue, orphaned.
fn seen(snapshot: &Snapshot, resource: &str) -> (u64, u64, u64) {
    snapshot.of(resource).fold((0, 0, 0), |sum, account| {
        (
            sum.0 + account.open,
            sum.1 + account.overdue,
            sum.2 + account.orphaned,
        )
    })
}

/// Every late entry of a resource was opened in one line, in the file of the drills.
#[track_caller]
fn one_offending_line(gateway: &Gateway, resource: &str) -> String {
    let sites: Vec<String> = gateway
        .listing(resource)
        .into_iter()
        .map(|entry| entry.site)
        .collect();
    let first = sites.first().expect("an entry").clone();
    assert!(first.starts_with(&format!("{DRILL_FILE}:")), "{first}");
    assert!(sites.iter().all(|site| *site == first), "{sites:?}");
    for account in gateway.snapshot().of(resource) {
        assert!(
            account.open == 0 || &*account.site == DRILL_FILE,
            "{account:?}"
        );
    }
    first
}

/// Stops the drill; within a second nothing of it is left.
async fn released(gateway: &Gateway, drill: Drill) {
    let begin = now();
    gateway.drills().stop(drill);
    eventually("everything is released", || {
        let snapshot = gateway.snapshot();
        snapshot.open("response_body") == 0
            && snapshot.open("fan_out_task") == 0
            && snapshot.open("pool_connection") <= 8
            && snapshot
                .accounts
                .iter()
                .all(|account| account.overdue + account.orphaned == 0)
    })
    .await;
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(gateway.drills().share(drill), None);
    gateway.quiet().await;
}

async fn healthy() -> Upstream {
    Upstream::answering(|_| response(200, "content")).await
}

#[tokio::test]
async fn client_per_request() {
    let (one, two) = (healthy().await, healthy().await);
    let gateway = Gateway::start(CONFIG, &[one.address, two.address]).await;
    start(&gateway, "client-per-request");
    for index in 0..REQUESTS {
        let path = if index % 2 == 0 { "/proxy/x" } else { "/fan" };
        let answer = get(gateway.address, path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let connections = (REQUESTS + REQUESTS / 2) as u64;
    eventually("all are idle past their limit", || {
        seen(&gateway.snapshot(), "pool_connection") == (connections, connections, 0)
    })
    .await;
    assert_eq!(gateway.pooled("idle"), connections);
    let snapshot = gateway.snapshot();
    for healthy in ["response_body", "fan_out_task", "request"] {
        assert_eq!(seen(&snapshot, healthy), (0, 0, 0), "{healthy}");
    }
    one_offending_line(&gateway, "pool_connection");
    released(&gateway, Drill::ClientPerRequest).await;
    assert_eq!(gateway.open("pool_connection"), 0);
    assert_eq!(gateway.closed("pool_connection", "undrained"), 0);
}

#[tokio::test]
async fn no_deadline() {
    let (one, hanging) = (healthy().await, Upstream::hanging().await);
    let gateway = Gateway::start(CONFIG, &[one.address, hanging.address]).await;
    start(&gateway, "no-deadline");
    let mut clients = Vec::new();
    for _ in 0..REQUESTS {
        clients.push(Client::asking(gateway.address, "/fan").await);
    }
    let held = REQUESTS as u64;
    eventually("all are overdue, their owners alive", || {
        seen(&gateway.snapshot(), "fan_out_task") == (held, held, 0)
    })
    .await;
    let snapshot = gateway.snapshot();
    assert_eq!(seen(&snapshot, "request"), (held, 0, 0));
    assert_eq!(seen(&snapshot, "response_body"), (0, 0, 0));
    assert_eq!(gateway.pooled("in_use"), held);
    let orphaned = snapshot.accounts.iter().map(|account| account.orphaned);
    assert_eq!(orphaned.sum::<u64>(), 0);
    one_offending_line(&gateway, "fan_out_task");
    assert_eq!(
        get(gateway.address, "/proxy/x").await.status,
        200,
        "others go on"
    );
    released(&gateway, Drill::NoDeadline).await;
    for client in &mut clients {
        let answer = client.answer().await;
        assert_eq!(
            answer.text(),
            r#"{"a":"content","errors":{"b":"the drill was stopped"}}"#
        );
    }
}

#[tokio::test]
async fn detached_tasks() {
    let (one, hanging) = (healthy().await, Upstream::hanging().await);
    let gateway = Gateway::start(CONFIG, &[one.address, hanging.address]).await;
    start(&gateway, "detached-tasks");
    for _ in 0..REQUESTS {
        let answer = get(gateway.address, "/fan").await;
        assert_eq!(
            answer.text(),
            r#"{"a":"content","errors":{"b":"the deadline passed waiting for the upstream's response"}}"#
        );
    }
    let held = REQUESTS as u64;
    eventually("all are orphaned", || {
        let snapshot = gateway.snapshot();
        seen(&snapshot, "fan_out_task") == (held, held, held)
    })
    .await;
    let snapshot = gateway.snapshot();
    assert_eq!(seen(&snapshot, "request"), (0, 0, 0));
    assert_eq!(seen(&snapshot, "response_body"), (0, 0, 0));
    assert_eq!(gateway.pooled("in_use"), held);
    one_offending_line(&gateway, "fan_out_task");
    released(&gateway, Drill::DetachedTasks).await;
    assert_eq!(gateway.closed("fan_out_task", "cancelled"), held);
}

#[tokio::test]
async fn unclosed_bodies() {
    let one = healthy().await;
    let gateway = Gateway::start(CONFIG, &[one.address, one.address]).await;
    start(&gateway, "unclosed-bodies");
    for _ in 0..REQUESTS {
        let answer = get(gateway.address, "/proxy/x").await;
        assert_eq!(
            (answer.status, answer.field("content-length")),
            (200, Some("0"))
        );
    }
    let held = REQUESTS as u64;
    eventually("all are orphaned", || {
        seen(&gateway.snapshot(), "response_body") == (held, held, held)
    })
    .await;
    let snapshot = gateway.snapshot();
    assert_eq!(seen(&snapshot, "pool_connection"), (held, held, held));
    assert_eq!(gateway.pooled("in_use"), held);
    assert_eq!(seen(&snapshot, "fan_out_task"), (0, 0, 0));
    assert_eq!(seen(&snapshot, "request"), (0, 0, 0));
    one_offending_line(&gateway, "response_body");
    assert_eq!(
        get(gateway.address, "/fan")
            .await
            .field("x-gateway-complete"),
        Some("true")
    );
    released(&gateway, Drill::UnclosedBodies).await;
    assert_eq!(gateway.closed("pool_connection", "undrained"), 0);
    assert_eq!(gateway.closed("pool_connection", "evicted"), held);
}

#[tokio::test]
async fn slow_drip_is_the_same_more_rarely() {
    let one = healthy().await;
    let gateway = Gateway::start(CONFIG, &[one.address, one.address]).await;
    start(&gateway, "slow-drip:0.25");
    let mut emptied = 0;
    for _ in 0..REQUESTS {
        let answer = get(gateway.address, "/proxy/x").await;
        emptied += usize::from(answer.text().is_empty());
    }
    assert_eq!(emptied, REQUESTS / 4);
    let held = emptied as u64;
    eventually("they are orphaned", || {
        seen(&gateway.snapshot(), "response_body") == (held, held, held)
    })
    .await;
    one_offending_line(&gateway, "response_body");
    released(&gateway, Drill::SlowDrip).await;
}

#[tokio::test]
async fn undrained_bodies() {
    let one = healthy().await;
    let gateway = Gateway::start(CONFIG, &[one.address, one.address]).await;
    start(&gateway, "undrained-bodies");
    for _ in 0..REQUESTS {
        let answer = get(gateway.address, "/proxy/x").await;
        assert_eq!((answer.status, answer.text()), (200, ""));
    }
    gateway.quiet().await;
    let closed = REQUESTS as u64;
    assert_eq!(one.accepted(), REQUESTS, "a connection for each request");
    assert_eq!(gateway.open("pool_connection"), 0);
    assert_eq!(gateway.closed("pool_connection", "undrained"), closed);
    assert_eq!(gateway.closed("response_body", "unread"), closed);
    let filter = resource_ledger::Filter {
        resource: Some("response_body".to_owned()),
        ..resource_ledger::Filter::default()
    };
    let places = gateway.ledger().last_closed(&filter, Some("unread"));
    assert_eq!(places.len(), 1);
    assert!(
        places[0].site.starts_with(&format!("{DRILL_FILE}:")),
        "{places:?}"
    );
    released(&gateway, Drill::UndrainedBodies).await;
    get(gateway.address, "/proxy/x").await;
    gateway.quiet().await;
    assert_eq!(
        gateway.pooled("idle"),
        1,
        "and now connections are used again"
    );
}

#[tokio::test]
async fn what_a_drill_meant_to_hold_after_its_end_is_not_held() {
    let one = healthy().await;
    let gateway = Gateway::start(CONFIG, &[one.address, one.address]).await;
    for round in 0..5 {
        start(&gateway, "unclosed-bodies");
        start(&gateway, "client-per-request");
        let address = gateway.address;
        let requests: Vec<_> = (0..8)
            .map(|_| crate::support::spawn(async move { get(address, "/proxy/x").await }))
            .collect();
        eventually("some are under way", || {
            gateway.open("pool_connection") > round % 3
        })
        .await;
        gateway.drills().stop_all();
        for request in requests {
            request.await.expect("no panic");
        }
        gateway.quiet().await;
    }
}
