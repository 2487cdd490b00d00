//! The same `scrape_configs` in Debian's Prometheus and in the agent: the same targets, active and dropped, with the same
//! labels and addresses.
//!
//! Three differences are known and no part of the comparison. Here `.` in an expression also matches a line feed, as since
//! Prometheus 3, which no label of these has. A URL here leaves out its scheme's own port. And of an active target's
//! discovered labels only the address is compared: Prometheus 2.42 relabels into the memory of the set that it shows.

use std::collections::BTreeSet;
use std::path::Path;

use leak_agent::agent::Agent;
use leak_agent::config::Config;
use serde_json::Value;

use super::process::{PATIENCE, Process, free_port, wait_for};

const JOBS: &str = r#"
global: { scrape_interval: 20s, scrape_timeout: 10s }
scrape_configs:
  - job_name: plain
    params: { module: [a, b] }
    static_configs:
      - { targets: ["127.0.0.1:1", "127.0.0.1", "[::1]:3"], labels: { zone: a, empty: "" } }
  - job_name: files
    metrics_path: /own
    file_sd_configs: [{ files: ["targets*.json", "more.yml"] }]
    relabel_configs:
      - { source_labels: [__meta_filepath], regex: '.*/([^/.]+)\.(\w+)', target_label: file, replacement: '$1-${2}' }
      - { source_labels: [drop], regex: "yes|true", action: drop }
      - { source_labels: [team, zone], separator: '@', target_label: both }
      - { source_labels: [name], action: lowercase, target_label: lower }
      - { source_labels: [name], action: uppercase, target_label: upper }
      - { source_labels: [__address__], action: hashmod, modulus: 7, target_label: shard }
      - { action: labelmap, regex: '__meta_own_(.+)', replacement: 'own_${1}' }
      - { regex: 'secret_.*', action: labeldrop }
      - { source_labels: [path], regex: '(/.+)', target_label: __metrics_path__ }
      - { source_labels: [module], regex: '(.+)', target_label: __param_module }
      - { source_labels: [timeout], regex: '(\d+)s', target_label: __scrape_timeout__, replacement: '${1}s' }
      - { source_labels: [a, b], regex: '([^;]+);\d+', target_label: '${1}_x', replacement: '$$1' }
      - { target_label: gone, replacement: "" }
      - { source_labels: [want], target_label: have, action: keepequal }
  - job_name: prober
    metrics_path: /probe
    static_configs: [{ targets: ["http://one.example.org/", "two.example.org"] }]
    relabel_configs:
      - { source_labels: [__address__], target_label: __param_target }
      - { source_labels: [__param_target], target_label: instance }
      - { target_label: __address__, replacement: "127.0.0.1:9115" }
  - job_name: empty-values
    static_configs: [{ targets: ["127.0.0.1:4"], labels: { a: x, b: y } }]
    relabel_configs:
      - target_label: a
        replacement:
      - source_labels: [b, b]
        separator:
        target_label: twice
"#;

const TARGETS: &str = r#"[
  {"targets": ["127.0.0.1:11", "127.0.0.1:12"], "labels": {"team": "x", "zone": "z", "name": "Straße-Ä", "__meta_own_a_b": "1",
    "secret_token": "t", "path": "/other", "module": "m", "timeout": "5s", "a": "label", "b": "12", "gone": "g"}},
  {"targets": ["127.0.0.1:13"], "labels": {"drop": "yes"}},
  {"targets": ["127.0.0.1:14"], "labels": {"drop": "yes!", "a": "9no", "b": "1"}},
  {"targets": ["127.0.0.1:15"], "labels": {"want": "1", "have": "2"}}
]"#;

const MORE: &str =
    "- targets: ['127.0.0.1:16']\n  labels: {want: 1, have: 1, name: ΑΣ, number: 1.10}\n";

/// What there is to say of all targets, without what depends on who was asked.
fn told(data: &Value, directory: &Path) -> BTreeSet<String> {
    let directory = directory.to_string_lossy();
    let list = |key: &str| data[key].as_array().cloned().unwrap_or_default();
    let active = list("activeTargets").into_iter().map(|own| {
        let url = own["scrapeUrl"].as_str().unwrap_or_default();
        format!(
            "{} {} {} {} {} {}",
            own["scrapePool"],
            own["labels"],
            own["discoveredLabels"]["__address__"],
            url.replace(":80/", "/"),
            own["scrapeInterval"],
            own["scrapeTimeout"],
        )
    });
    let dropped = list("droppedTargets")
        .into_iter()
        .map(|own| format!("dropped {}", own["discoveredLabels"]));
    active
        .chain(dropped)
        .map(|text| text.replace(&*directory, ""))
        .collect()
}

async fn targets(client: &reqwest::Client, address: &str) -> Option<Value> {
    let url = format!("http://{address}/api/v1/targets");
    let answer: Value = client.get(url).send().await.ok()?.json().await.ok()?;
    let data = answer["data"].clone();
    // Both have read the files.
    let count = data["activeTargets"].as_array()?.len();
    (count >= 10).then_some(data)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus: .ci/run runs it"]
async fn targets_are_those_of_prometheus() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    file("targets1.json", TARGETS);
    file("more.yml", MORE);
    let port = free_port();
    let _prometheus = Process::prometheus(directory.path(), JOBS, port);
    let state = directory.path().join("state");
    let own =
        format!("{JOBS}\nstorage: {{ path: {state:?} }}\nweb: {{ listen: \"127.0.0.1:0\" }}\n");
    let config = Config::load(&file("agent.yml", &own)).unwrap_or_else(|error| panic!("{error}"));
    let running = Agent::start(config).await.expect("the agent starts");
    let client = leak_agent::http_client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let address = format!("127.0.0.1:{port}");
    let theirs = wait_for("Prometheus' targets", PATIENCE, async || {
        targets(&client, &address).await
    })
    .await;
    let address = running.web_addr().to_string();
    let ours = wait_for("our targets", PATIENCE, async || {
        targets(&client, &address).await
    })
    .await;
    let (theirs, ours) = (
        told(&theirs, directory.path()),
        told(&ours, directory.path()),
    );
    let only_theirs: Vec<&String> = theirs.difference(&ours).collect();
    let only_ours: Vec<&String> = ours.difference(&theirs).collect();
    assert!(
        only_theirs.is_empty() && only_ours.is_empty(),
        "only Prometheus: {only_theirs:#?}\nonly the agent: {only_ours:#?}"
    );
    assert!(theirs.len() >= 12, "{theirs:#?}");
    running.shutdown().await;
}
