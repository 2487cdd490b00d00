//! A gateway with all its listeners, and what it says of itself.

use std::net::SocketAddr;

use instrumented_gateway::config::Config;
use instrumented_gateway::gateway::{Gateway, Running};
use instrumented_gateway::telemetry::Telemetry;

use crate::support::{get, soon};

/// Starts a gateway on free ports. `{0}`, `{1}` ... stand for the upstreams' addresses.
pub(crate) async fn start(config: &str, upstreams: &[SocketAddr]) -> Running {
    start_with(config, upstreams, Telemetry::default()).await
}

pub(crate) async fn start_with(
    config: &str,
    upstreams: &[SocketAddr],
    telemetry: Telemetry,
) -> Running {
    let config = Config::parse(&text(config, upstreams)).unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, telemetry).await.expect("started")
}

/// The configuration, on free ports.
pub(crate) fn text(config: &str, upstreams: &[SocketAddr]) -> String {
    let listeners = "listen: 127.0.0.1:0\nmetrics: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";
    let mut text = format!("{listeners}{config}");
    for (index, address) in upstreams.iter().enumerate() {
        text = text.replace(&format!("{{{index}}}"), &format!("http://{address}"));
    }
    text
}

/// The text of `/metrics`.
pub(crate) async fn metrics(gateway: &Running) -> String {
    let answer = get(gateway.metrics_addr(), "/metrics").await;
    assert_eq!(answer.status, 200);
    answer.text().to_owned()
}

/// The value of a series, given as in the text; `None` where there is no such series.
pub(crate) fn value(metrics: &str, series: &str) -> Option<f64> {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    value.parse().ok()
}

/// Waits until a series has a value.
pub(crate) async fn comes_to(gateway: &Running, series: &str, expected: f64) {
    let reached = async {
        while value(&metrics(gateway).await, series) != Some(expected) {
            tokio::task::yield_now().await;
        }
    };
    soon(&format!("{series} {expected}"), reached).await;
}

/// The sum of a family's series that have these labels, each as `name="value"`.
pub(crate) fn sum(metrics: &str, family: &str, labels: &[&str]) -> f64 {
    metrics
        .lines()
        .filter(|line| {
            line.strip_prefix(family)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Waits until nothing is held but idle connections, and checks that nothing is or was late.
pub(crate) async fn quiet(gateway: &Running) {
    let quiet = async {
        loop {
            let text = metrics(gateway).await;
            let open = |resource: &str| {
                sum(
                    &text,
                    "resource_ledger_open",
                    &[&format!("resource=\"{resource}\"")],
                )
            };
            let late = sum(&text, "resource_ledger_overdue", &[])
                + sum(&text, "resource_ledger_orphaned", &[]);
            assert_eq!(late, 0.0, "{text}");
            let idle = sum(&text, "gateway_pool_connections", &["state=\"idle\""]);
            let held = open("request") + open("response_body") + open("fan_out_task");
            if held == 0.0 && open("pool_connection") == idle {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("nothing is held but idle connections", quiet).await;
}
