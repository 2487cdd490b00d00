//! A kill loses nothing: neither the agent's, nor Alertmanager's, nor the target's.

use std::time::Duration;

use serde_json::Value;

use super::load::Load;
use super::process::{PATIENCE, wait_for};
use super::stand::{DEADLINE_OF_AN_ALERT, Stand};

async fn leaking(stand: &Stand) -> (Load, Value) {
    let load = Load::start(stand.gateway, &["/content/a"], 20);
    stand.start_drill("unclosed-bodies", None).await;
    let alert = wait_for("ResourceLeak", DEADLINE_OF_AN_ALERT, async || {
        stand.alert("ResourceLeak").await
    })
    .await;
    wait_for("the notification", PATIENCE, async || {
        (!stand.receiver.firing().is_empty()).then_some(())
    })
    .await;
    (load, alert)
}

/// Holds `check` for as long as the agent needs to look at everything many times over.
async fn holds(what: &str, stand: &Stand, check: impl Fn(Option<Value>) -> bool) {
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    for _ in 0..30 {
        pause.tick().await;
        assert!(
            check(stand.alert("ResourceLeak").await),
            "{what}: {:?}",
            stand.alerts().await
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn a_killed_agent_goes_on_with_the_same_alert() {
    let mut stand = Stand::start().await;
    let (_load, alert) = leaking(&stand).await;
    for _ in 0..3 {
        stand.agent.take().expect("the agent runs").kill();
        stand.start_agent().await;
        let starts_at = alert["startsAt"].clone();
        holds("the same alert", &stand, |now| {
            now.is_some_and(|now| now["startsAt"] == starts_at)
        })
        .await;
    }
    assert!(
        stand.receiver.resolved().is_empty(),
        "resolved in between: {:?}",
        stand.receiver.resolved()
    );
    assert!(
        stand.receiver.firing().values().all(|count| *count == 1),
        "{:?}",
        stand.receiver.firing()
    );
    assert_eq!(stand.leaks().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn an_alertmanager_that_was_down_gets_the_alert_after() {
    let mut stand = Stand::start().await;
    stand.alertmanager.take().expect("it runs").kill();
    let _load = Load::start(stand.gateway, &["/content/a"], 20);
    stand.start_drill("unclosed-bodies", None).await;
    wait_for("the incident", DEADLINE_OF_AN_ALERT, async || {
        stand.leaks().await.into_iter().next()
    })
    .await;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..outage_seconds() {
        second.tick().await;
    }
    stand.start_alertmanager().await;
    wait_for("delivery after the outage", 3 * PATIENCE, async || {
        stand.alert("ResourceLeak").await
    })
    .await;
    wait_for("the notification", PATIENCE, async || {
        (!stand.receiver.firing().is_empty()).then_some(())
    })
    .await;
    assert!(
        stand.receiver.firing().values().all(|count| *count == 1),
        "{:?}",
        stand.receiver.firing()
    );
}

fn outage_seconds() -> u32 {
    std::env::var("LEAKWATCH_OUTAGE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(15)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus and Alertmanager: .ci/run runs it"]
async fn a_target_that_cannot_be_scraped_keeps_its_alert() {
    let stand = Stand::start().await;
    let (_load, alert) = leaking(&stand).await;
    stand.pause_gateway();
    wait_for("the target's failure", PATIENCE, async || {
        let targets = stand
            .json(&format!(
                "http://127.0.0.1:{}/api/v1/targets",
                stand.ports.web
            ))
            .await?;
        (targets["data"]["activeTargets"][0]["health"] == "down").then_some(())
    })
    .await;
    let starts_at = alert["startsAt"].clone();
    holds("the alert of a dead target", &stand, |now| {
        now.is_some_and(|now| now["startsAt"] == starts_at)
    })
    .await;
    assert!(stand.receiver.resolved().is_empty());
}
