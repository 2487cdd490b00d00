//! From a leak to its alert and back, over a restart, in-process.

use serde_json::Value;

use crate::target::{Target, Watcher, ledger_exposition};

/// Alerts end soon, so that a test need not wait for what protects people in production.
const QUICK: &str = "alerting: { keep_firing_for: 0s }";

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_is_convicted_placed_alerted_and_released() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(0)).await;
    let watcher = Watcher::of(&target.address, directory.path(), QUICK).await;
    let up = |data: &Value| (data["activeTargets"][0]["health"] == "up").then_some(());
    watcher.until("/api/v1/targets", "a first scrape", up).await;
    assert_eq!(
        watcher.data("/api/v1/leaks").await["leaks"],
        serde_json::json!([])
    );

    target.leak(7);
    let alert = watcher.firing("ResourceLeak").await;
    let labels = &alert["labels"];
    for (name, value) in [
        ("signal", "resource_ledger_orphaned"),
        ("resource", "fan_out_task"),
        ("upstream", "social"),
        ("route", "/home/{id}"),
        ("job", "shop"),
        ("cluster", "test"),
    ] {
        assert_eq!(labels[name], value, "{alert}");
    }
    assert!(labels.get("instance").is_none(), "{alert}");
    assert_eq!(
        alert["annotations"]["cause"],
        "timeout_without_cancellation"
    );

    let placed = |data: &Value| {
        data["leaks"]
            .as_array()?
            .iter()
            .find(|leak| leak["site"] == "shop/src/drill.rs:183")
            .cloned()
    };
    let leak = watcher
        .until("/api/v1/leaks", "the place with its line", placed)
        .await;
    let id = leak["id"].as_str().unwrap().to_owned();
    assert_eq!(
        leak["url"],
        format!("http://{}/leaks/{id}", watcher.running.web_addr())
    );
    let page = watcher.text(&format!("/leaks/{id}")).await;
    assert!(
        page.contains("shop/src/drill.rs:183") && page.contains("shop/src/drill.rs:190"),
        "{page}"
    );
    assert!(
        !page.contains("shop/src/well.rs"),
        "an entry whose owner lives is no evidence: {page}"
    );
    assert!(
        watcher
            .text(&format!("/leaks/{id}.svg"))
            .await
            .starts_with("<svg")
    );
    let metrics = watcher.text("/metrics").await;
    for series in [
        "leak_incident{",
        "leak_incident_info{",
        "leak_verdict{",
        "ALERTS{",
    ] {
        assert!(
            metrics.contains(series),
            "{series} is missing from {metrics}"
        );
    }

    target.leak(0);
    let over = |data: &Value| (data["leaks"][0]["state"] == "released").then_some(());
    watcher.until("/api/v1/leaks", "the release", over).await;
    let metrics = watcher.text("/metrics").await;
    for series in ["\nleak_incident{", "\nleak_verdict{", "\nALERTS{"] {
        assert!(
            !metrics.contains(series),
            "{series} should have vanished from {metrics}"
        );
    }
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_survives_the_agent() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(0)).await;
    let first = Watcher::of(&target.address, directory.path(), QUICK).await;
    target.leak(3);
    let before = first.firing("ResourceLeak").await;
    first.running.shutdown().await;

    // Nobody can be scraped when it comes back: that says nothing about the leak.
    target.expose("<html>");
    let second = Watcher::of(&target.address, directory.path(), QUICK).await;
    let after = second.firing("ResourceLeak").await;
    assert_eq!(after["activeAt"], before["activeAt"]);
    assert_eq!(after["labels"], before["labels"]);
    let down = |data: &Value| {
        (data["activeTargets"][0]["health"] == "down")
            .then(|| data["activeTargets"][0]["lastError"].clone())
    };
    let error = second
        .until("/api/v1/targets", "a failed scrape", down)
        .await;
    assert!(!error.as_str().unwrap().is_empty());
    let evaluations = |metrics: &str| {
        metrics
            .lines()
            .find_map(|line| line.strip_prefix("leak_agent_last_evaluation_timestamp_seconds "))
            .map(str::to_owned)
    };
    let seen = evaluations(&second.text("/metrics").await);
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
    while evaluations(&second.text("/metrics").await) == seen {
        looks.tick().await;
    }
    assert_eq!(
        second.firing("ResourceLeak").await["activeAt"],
        before["activeAt"]
    );
    second.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_and_sends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(2)).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alertmanager = listener.local_addr().unwrap();
    let alerting = format!(
        r#"alerting: {{ dry_run: true, alertmanagers: [{{ static_configs: [{{ targets: ["{alertmanager}"] }}] }}] }}"#
    );
    let watcher = Watcher::of(&target.address, directory.path(), &alerting).await;
    watcher.firing("ResourceLeak").await;
    assert!(watcher.text("/").await.contains("Dry run."));
    watcher.running.shutdown().await;
    let connection = futures_now(listener.accept());
    assert!(connection.await.is_none(), "somebody was told");
}

/// What a future gives at once, if anything.
async fn futures_now<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = std::future::ready(()) => None,
    }
}
