//! The operator's listeners over the wire.

use instrumented_gateway::tasks::TaskRegistry;
use instrumented_gateway::telemetry::Telemetry;

use super::support::{comes_to, metrics, quiet, start, start_with, sum, value};
use crate::support::{Client, Upstream, get, request, response, spawn};

const CONFIG: &str = r#"
admin_drills: true
upstreams:
  - { name: one, endpoints: ["{0}"] }
routes:
  - path: /fan
    fan_out: { policy: partial, calls: [{ name: a, upstream: one, path: /a }, { name: b, upstream: one, path: /b }] }
"#;

#[tokio::test]
async fn the_metrics_listener_says_what_it_knows() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let metrics = gateway.metrics_addr();
    let answer = get(metrics, "/metrics").await;
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let limit = r#"gateway_pool_limit{upstream="one"}"#;
    assert_eq!(value(answer.text(), limit), Some(256.0));
    for (path, expected) in [("/live", "live\n"), ("/ready", "ready\n")] {
        let answer = get(metrics, path).await;
        assert_eq!((answer.status, answer.text()), (200, expected));
    }
    let answer = get(metrics, "/").await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.text(),
        "not found; there are /metrics, /live, /ready\n"
    );
    let posted =
        "POST /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let answer = request(metrics, posted).await;
    assert_eq!(
        (answer.status, answer.field("allow")),
        (405, Some("GET, HEAD"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_drill_is_switched_over_the_wire_and_shown() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let admin = gateway.admin_addr().expect("an admin listener");
    let switch = |method: &str, target: &str| {
        let bytes = format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        async move { request(admin, &bytes).await }
    };
    let active = r#"gateway_drill_active{drill="no-deadline"}"#;
    assert_eq!(value(&metrics(&gateway).await, active), Some(0.0));
    let answer = switch("POST", "/drill/no-deadline?share=0.5").await;
    assert_eq!(
        (answer.status, answer.text()),
        (
            200,
            "{\"drill\":\"no-deadline\",\"active\":true,\"share\":0.5}\n"
        )
    );
    assert_eq!(value(&metrics(&gateway).await, active), Some(1.0));
    switch("DELETE", "/drill/no-deadline").await;
    assert_eq!(value(&metrics(&gateway).await, active), Some(0.0));
    gateway.shutdown().await;
}

#[test]
fn tasks_are_shown_where_they_were_spawned_and_gone_when_they_ended() {
    let telemetry = Telemetry::default();
    let tasks: TaskRegistry = telemetry.tasks.clone();
    let runtime = tasks.runtime(None).expect("a runtime");
    runtime.block_on(async {
        let upstream = Upstream::hanging().await;
        let gateway = start_with(CONFIG, &[upstream.address], telemetry).await;
        let admin = gateway.admin_addr().expect("an admin listener");
        let client = Client::asking(gateway.listen_addr(), "/fan").await;
        comes_to(&gateway, r#"tokio_task_live{task="fan_out"}"#, 2.0).await;
        let answer = get(admin, "/debug/tasks").await;
        let listing: serde_json::Value = serde_json::from_str(answer.text()).expect("JSON");
        let places = listing["places"].as_array().expect("places");
        let count = |file: &str| {
            places
                .iter()
                .filter(|place| {
                    place["site"]
                        .as_str()
                        .is_some_and(|site| site.starts_with(file))
                })
                .filter_map(|place| place["count"].as_u64())
                .sum::<u64>()
        };
        assert_eq!(
            count("instrumented-gateway/src/fan_out.rs:"),
            2,
            "{listing}"
        );
        let total: u64 = places
            .iter()
            .filter_map(|place| place["count"].as_u64())
            .sum();
        assert_eq!(listing["total"], total);
        let open = get(admin, "/debug/open?resource=fan_out_task").await;
        let open: serde_json::Value = serde_json::from_str(open.text()).expect("JSON");
        assert_eq!(open["total"], 2, "{open}");
        drop(client);
        comes_to(&gateway, r#"tokio_task_live{task="fan_out"}"#, 0.0).await;
        gateway.shutdown().await;
    });
}

/// The accounts of a scrape as `(labels without outcome, opened, closed, open)`.
fn accounts(metrics: &str) -> Vec<(String, f64, f64, f64)> {
    let labels = |family: &'static str| {
        metrics.lines().filter_map(move |line| {
            let (labels, value) = line.strip_prefix(family)?.rsplit_once(' ')?;
            Some((labels.to_owned(), value.parse::<f64>().ok()?))
        })
    };
    labels("resource_ledger_opened_total")
        .map(|(account, opened)| {
            let start = account.trim_end_matches('}');
            let closed = labels("resource_ledger_closed_total")
                .filter(|(labels, _)| labels.starts_with(&format!("{start},outcome=")))
                .map(|(_, value)| value)
                .sum();
            let open = labels("resource_ledger_open").find(|(labels, _)| *labels == account);
            let open = open.map_or(f64::NAN, |(_, value)| value);
            (account, opened, closed, open)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scrape_adds_up_under_load() {
    let upstream = Upstream::answering(|_| response(200, "[]")).await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let listen = gateway.listen_addr();
    let load: Vec<_> = (0..8)
        .map(|_| {
            spawn(async move {
                loop {
                    get(listen, "/fan").await;
                }
            })
        })
        .collect();
    let answered = r#"gateway_requests_total{route="/fan",code="200"}"#;
    let mut scrapes = 0;
    loop {
        let text = metrics(&gateway).await;
        for (account, opened, closed, open) in accounts(&text) {
            assert_eq!(opened, closed + open, "{account} in\n{text}");
        }
        let states = sum(&text, "gateway_pool_connections", &[]);
        let pooled = sum(&text, "resource_ledger_open", &["pool_connection"]);
        assert_eq!(states, pooled, "{text}");
        scrapes += 1;
        if scrapes >= 50 && value(&text, answered) > Some(200.0) {
            break;
        }
    }
    load.iter().for_each(|client| client.abort());
    quiet(&gateway).await;
    gateway.shutdown().await;
}
