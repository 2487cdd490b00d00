//! The web interface against readers of every kind.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::target::{PATIENCE, Target, Watcher, ledger_exposition};

async fn watcher(target: &Target, directory: &tempfile::TempDir) -> Watcher {
    Watcher::of(&target.address, directory.path(), "").await
}

/// The answer to raw bytes, as far as it comes before the connection ends.
async fn raw(watcher: &Watcher, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(watcher.running.web_addr())
        .await
        .unwrap();
    // The other side may have heard enough before all is said.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_answers_with_its_type_and_a_strict_policy() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(0)).await;
    let watcher = watcher(&target, &directory).await;
    for (path, status, media_type) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/?refresh=off", 200, "text/html; charset=utf-8"),
        ("/style.css", 200, "text/css; charset=utf-8"),
        ("/icon.svg", 200, "image/svg+xml"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/-/healthy", 200, "text/plain; charset=utf-8"),
        ("/-/ready", 200, "text/plain; charset=utf-8"),
        ("/api/v1/leaks", 200, "application/json"),
        ("/api/v1/leaks?state=living", 200, "application/json"),
        ("/api/v1/leaks?state=dead", 400, "application/json"),
        ("/api/v1/leaks/00c0ffee", 404, "application/json"),
        ("/api/v1/alerts", 200, "application/json"),
        ("/api/v1/targets", 200, "application/json"),
        ("/api/v1/query", 404, "application/json"),
        ("/leaks/00c0ffee", 404, "text/html; charset=utf-8"),
        ("/leaks/00c0ffee.svg", 404, "text/html; charset=utf-8"),
        ("/leaks/%3Cscript%3E", 404, "text/html; charset=utf-8"),
        (
            "/leaks/..%2F..%2Fetc%2Fpasswd",
            404,
            "text/html; charset=utf-8",
        ),
        ("/nowhere", 404, "text/html; charset=utf-8"),
    ] {
        let answer = watcher.get(path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        assert_eq!(header("content-type"), media_type, "{path}");
        assert!(
            header("content-security-policy").starts_with("default-src 'none'"),
            "{path}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert!(!answer.text().await.unwrap().contains("<script"), "{path}");
    }
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(0)).await;
    let watcher = watcher(&target, &directory).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in [
            "/",
            "/api/v1/leaks",
            "/api/v1/alerts",
            "/metrics",
            "/leaks/x",
        ] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let answer = raw(&watcher, request.as_bytes()).await;
            assert!(
                answer.starts_with("HTTP/1.1 405"),
                "{method} {path}: {answer}"
            );
        }
    }
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_refused_and_the_agent_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(0)).await;
    let watcher = watcher(&target, &directory).await;
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(100_000));
    let long_field = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    let many_fields = format!(
        "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
        "a: b\r\n".repeat(500)
    );
    for request in [
        &*long_path,
        &*long_field,
        &*many_fields,
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let answer = raw(&watcher, request.as_bytes()).await;
        let refused = answer.is_empty()
            || ["HTTP/1.1 4", "HTTP/1.1 5"]
                .iter()
                .any(|start| answer.starts_with(start));
        assert!(refused, "{answer}");
    }
    assert_eq!(watcher.text("/-/healthy").await, "The agent is up.\n");
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_told_as_prometheus_tells_them() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing("<html>this is no exposition</html>").await;
    let watcher = watcher(&target, &directory).await;
    let down = |data: &Value| {
        (data["activeTargets"][0]["health"] == "down").then(|| data["activeTargets"][0].clone())
    };
    let seen = watcher
        .until("/api/v1/targets", "a failed scrape", down)
        .await;
    let fields = [
        "discoveredLabels",
        "labels",
        "scrapePool",
        "scrapeUrl",
        "globalUrl",
        "lastError",
        "lastScrape",
        "lastScrapeDuration",
        "health",
        "scrapeInterval",
        "scrapeTimeout",
    ];
    for field in fields {
        assert!(seen.get(field).is_some(), "{field} is missing from {seen}");
    }
    assert_eq!(
        seen["scrapeUrl"],
        format!("http://{}/metrics", target.address)
    );
    assert_eq!(seen["scrapeInterval"], "200ms");
    assert!(
        watcher
            .text("/")
            .await
            .contains("Blind: this is not the same as healthy")
    );
    watcher.running.shutdown().await;
}

/// The names that dashboards and rules depend on.
const METRICS: [&str; 21] = [
    "leak_series",
    "leak_verdict",
    "leak_growth_per_second",
    "leak_fit_start_value",
    "leak_fit_start_timestamp_seconds",
    "leak_onset_timestamp_seconds",
    "leak_limit",
    "leak_seconds_to_exhaustion",
    "leak_incident",
    "leak_incident_urgent",
    "leak_incident_info",
    "ALERTS",
    "leak_agent_last_evaluation_timestamp_seconds",
    "leak_agent_target_up",
    "leak_agent_samples_total",
    "leak_agent_series_watched",
    "leak_agent_series_dropped_total",
    "leak_agent_scrape_duration_seconds",
    "leak_agent_notifications_total",
    "leak_agent_notification_queue_length",
    "leak_agent_overrides",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_its_help_and_no_series_stands_twice() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(5)).await;
    let watcher = watcher(&target, &directory).await;
    watcher.firing("ResourceLeak").await;
    let text = watcher.text("/metrics").await;
    for name in METRICS {
        assert!(
            text.contains(&format!("# HELP {name} ")),
            "{name} has no help"
        );
        assert!(
            text.contains(&format!("\n# TYPE {name} ")),
            "{name} has no type"
        );
    }
    let mut series: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect();
    series.sort_unstable();
    assert!(
        series.windows(2).all(|pair| pair[0] != pair[1]),
        "{series:?}"
    );
    let expected = r#"leak_incident_info{cause="timeout_without_cancellation",job="shop",resource="fan_out_task",route="/home/{id}",signal="resource_ledger_orphaned","#;
    assert!(text.contains(expected), "{text}");
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_elsewhere_are_not_doubled() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::exposing(&ledger_exposition(5)).await;
    let watcher = Watcher::of(
        &target.address,
        directory.path(),
        "alerting: { mode: rules }",
    )
    .await;
    watcher
        .until("/api/v1/leaks", "a leak", |data| {
            data["leaks"].get(0).map(|_| ())
        })
        .await;
    let text = watcher.text("/metrics").await;
    assert!(
        text.contains("leak_incident{") && !text.contains("ALERTS"),
        "{text}"
    );
    let alert = watcher.firing("ResourceLeak").await;
    // The first words wait for the witness, as the first sending would.
    let spoken = async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        loop {
            looks.tick().await;
            let text = watcher.text("/metrics").await;
            let found = text.lines().find(|line| {
                line.starts_with("leak_incident_annotations{")
                    && line.contains(r#"alertname="ResourceLeak","#)
            });
            if let Some(line) = found {
                return line.to_owned();
            }
        }
    };
    let spoken = tokio::time::timeout(PATIENCE, spoken)
        .await
        .expect("words for the rules");
    for (name, value) in alert["annotations"].as_object().expect("annotations") {
        assert!(
            value == "" || spoken.contains(&format!("annotation_{name}=\"")),
            "{name} is missing in {spoken}"
        );
    }
    assert!(spoken.contains(r#",severity="warning","#), "{spoken}");
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_for_rules_are_kept_from_those_who_push_or_rehearse() {
    for more in ["", "alerting: { mode: rules, dry_run: true }"] {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::exposing(&ledger_exposition(5)).await;
        let watcher = Watcher::of(&target.address, directory.path(), more).await;
        watcher.firing("ResourceLeak").await;
        let text = watcher.text("/metrics").await;
        assert!(!text.contains("leak_incident_annotations"), "{text}");
        watcher.running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_one_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!(
        "scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"127.0.0.1:1\"]}}]}}]\nstorage: {{path: {:?}}}\nweb: {{listen: \"{address}\"}}",
        directory.path()
    );
    let config = leak_agent::config::Config::parse(&text).unwrap();
    let error = leak_agent::agent::Agent::start(config).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the web interface cannot listen on {address}")
    );
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing is opened before"
    );
}
