//! Each drill is found, each under its own cause, and health is not.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::load::Load;
use super::process::{PATIENCE, wait_for};
use super::stand::{DEADLINE_OF_AN_ALERT, Stand};

/// What a drill must be called by the alert that it raises.
struct Expected {
    drill: &'static str,
    share: Option<f64>,
    paths: &'static [&'static str],
    rate: u64,
    /// The upstream that hangs while the drill runs.
    hangs: bool,
    alertname: &'static str,
    cause: &'static str,
    resource: &'static str,
    upstream: &'static str,
    route: Option<&'static str>,
    within: Duration,
}

const USUAL: Expected = Expected {
    drill: "",
    share: None,
    paths: &["/content/a", "/content/b"],
    rate: 20,
    hangs: false,
    alertname: "ResourceLeak",
    cause: "",
    resource: "",
    upstream: "content",
    route: None,
    within: DEADLINE_OF_AN_ALERT,
};

async fn check(expected: Expected) {
    let stand = Stand::start().await;
    let load = Load::start(stand.gateway, expected.paths, expected.rate);
    wait_for("healthy answers", PATIENCE, async || {
        (load.answered() > 5 * expected.rate).then_some(())
    })
    .await;
    assert_eq!(
        stand.alerts().await,
        Vec::<Value>::new(),
        "an alert before the drill"
    );

    let started = Instant::now();
    stand.social.hang(expected.hangs);
    stand.start_drill(expected.drill, expected.share).await;
    let alert = wait_for(expected.alertname, expected.within, async || {
        stand.alert(expected.alertname).await
    })
    .await;
    eprintln!(
        "{}: {} after {:.1} s",
        expected.drill,
        expected.alertname,
        started.elapsed().as_secs_f64()
    );
    // The place comes with the witness, at the latest with the next evaluation.
    let alert = wait_for("the place in the alert", PATIENCE, async || {
        let alert = stand
            .alert(expected.alertname)
            .await
            .unwrap_or_else(|| alert.clone());
        alert["annotations"]["site"]
            .as_str()
            .is_some_and(|site| site.contains(".rs:"))
            .then_some(alert)
    })
    .await;
    assert_says(&alert, &expected);
    assert_eq!(
        stand.leaks().await.len(),
        1,
        "one leak is one incident: {:#?}",
        stand.leaks().await
    );

    stand.stop_drill(expected.drill).await;
    stand.social.hang(false);
    let leak = stand.wait_for_the_end().await;
    assert_eq!(leak["state"], "released", "{leak:#}");
    wait_for(
        "the alerts' end in Alertmanager",
        3 * PATIENCE,
        async || stand.alerts().await.is_empty().then_some(()),
    )
    .await;
    assert_eq!(
        stand.leaks().await.len(),
        1,
        "one leak is one incident: {:#?}",
        stand.leaks().await
    );
    assert_notified_once(&stand, expected.alertname).await;
}

#[track_caller]
fn assert_says(alert: &Value, expected: &Expected) {
    let text = |group: &str, name: &str| alert[group][name].as_str().map(str::to_owned);
    assert_eq!(
        text("annotations", "cause").as_deref(),
        Some(expected.cause),
        "{alert:#}"
    );
    assert_eq!(
        text("labels", "resource").as_deref(),
        Some(expected.resource),
        "{alert:#}"
    );
    assert_eq!(
        text("labels", "upstream").as_deref(),
        Some(expected.upstream),
        "{alert:#}"
    );
    assert_eq!(
        text("labels", "route").as_deref(),
        expected.route,
        "{alert:#}"
    );
    assert_eq!(
        text("labels", "job").as_deref(),
        Some("gateway"),
        "{alert:#}"
    );
    assert_eq!(
        text("labels", "instance"),
        None,
        "an instance is no identity: {alert:#}"
    );
    let site = text("annotations", "site").unwrap_or_default();
    let line = source_line(&site).unwrap_or_else(|| panic!("`{site}` is no line of the source"));
    assert!(
        site.starts_with("instrumented-gateway/src/drill"),
        "{site} is not the drill's: {line}"
    );
    let opens = [".open", ".spawn", "client_of_its_own("];
    assert!(
        opens.iter().any(|call| line.contains(call)),
        "{site} opens nothing: {line}"
    );
}

/// The text of `crate/src/file.rs:LINE` in this tree.
fn source_line(site: &str) -> Option<String> {
    let (file, line) = site.rsplit_once(':')?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(path).ok()?;
    text.lines()
        .nth(line.parse::<usize>().ok()?.checked_sub(1)?)
        .map(str::to_owned)
}

/// At most one notification of each alertname, and at least one of the alert or of the page that mutes it.
async fn assert_notified_once(stand: &Stand, alertname: &str) {
    wait_for("a notification", PATIENCE, async || {
        (!stand.receiver.firing().is_empty()).then_some(())
    })
    .await;
    let firing = stand.receiver.firing();
    assert!(
        firing.values().all(|count| *count == 1),
        "more than one notification: {firing:?}"
    );
    assert!(
        firing.contains_key(alertname) || firing.contains_key("ResourceLeakUrgent"),
        "{firing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn client_per_request_is_idle_connections_without_bound() {
    check(Expected {
        drill: "client-per-request",
        cause: "idle_connections_unbounded",
        resource: "pool_connection",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn no_deadline_is_a_fan_out_without_deadline() {
    check(Expected {
        drill: "no-deadline",
        paths: &["/home/1", "/home/2"],
        hangs: true,
        cause: "fan_out_without_deadline",
        resource: "fan_out_task",
        upstream: "social",
        route: Some("/home/{id}"),
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn unclosed_bodies_are_named() {
    check(Expected {
        drill: "unclosed-bodies",
        cause: "unclosed_bodies",
        resource: "response_body",
        route: Some("/content/*"),
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn undrained_bodies_lose_the_reuse_of_connections() {
    check(Expected {
        drill: "undrained-bodies",
        alertname: "ConnectionReuseLost",
        cause: "undrained_bodies",
        resource: "pool_connection",
        route: Some("/content/*"),
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn detached_tasks_are_a_timeout_without_cancellation() {
    check(Expected {
        drill: "detached-tasks",
        paths: &["/home/1", "/home/2"],
        hangs: true,
        cause: "timeout_without_cancellation",
        resource: "fan_out_task",
        upstream: "social",
        route: Some("/home/{id}"),
        ..USUAL
    })
    .await;
}

/// One body in a thousand: at 50 requests a second the first leaks after 20 s on average.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn a_slow_drip_is_found() {
    check(Expected {
        drill: "slow-drip",
        rate: 50,
        cause: "unclosed_bodies",
        resource: "response_body",
        route: Some("/content/*"),
        within: Duration::from_secs(600),
        ..USUAL
    })
    .await;
}

/// Load that swings fivefold, with an upstream that is slow for a while and dead for a moment.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn healthy_load_alerts_nothing() {
    let seconds = std::env::var("LEAKWATCH_HEALTHY_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(40);
    let stand = Stand::start().await;
    let load = Load::start(
        stand.gateway,
        &["/content/a", "/home/1", "/home/2", "/content/b"],
        20,
    );
    let mut second = tokio::time::interval(Duration::from_secs(1));
    for elapsed in 0..seconds {
        second.tick().await;
        let phase = elapsed as f64 / seconds as f64;
        load.set_rate((20.0 + 40.0 * (1.0 - (phase * 4.0 * std::f64::consts::PI).cos())) as u64);
        stand
            .social
            .slow_down(Duration::from_millis(if (0.4..0.6).contains(&phase) {
                700
            } else {
                5
            }));
        stand.social.hang((0.7..0.72).contains(&phase));
        assert_eq!(
            stand.alerts().await,
            Vec::<Value>::new(),
            "an alert while all was well, {elapsed} s in"
        );
        for gauge in ["orphaned", "overdue"] {
            let highest = stand.query(&format!("max(resource_ledger_{gauge})")).await;
            assert!(
                highest.is_none_or(|value| value == 0.0),
                "{gauge} is {highest:?}, {elapsed} s in"
            );
        }
    }
    assert!(
        load.answered() > 20 * seconds,
        "the load was not answered:\n{}",
        stand.gateway_log()
    );
    assert_eq!(stand.leaks().await, Vec::<Value>::new());
    assert!(stand.receiver.firing().is_empty());
}
