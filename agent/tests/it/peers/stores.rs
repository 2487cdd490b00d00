//! One agent scrapes, one asks Debian's Prometheus, one asks VictoriaMetrics: the same targets, the same incidents, at
//! the same times.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{PATIENCE, Process, binary, free_port, wait_for, wait_for_200};
use crate::target::Target;

/// Seconds from one scrape to the next, of all three.
const INTERVAL: f64 = 5.0;

/// Seconds until a store shows what it has taken, and until it is asked.
const VISIBLE: f64 = 2.0;

/// Until an incident that is over has been confirmed.
const ENDING: Duration = Duration::from_secs(60);

/// What an agent says of the only leak.
#[derive(Debug, Clone)]
struct Seen {
    labels: BTreeMap<String, String>,
    instances: Vec<String>,
    onset: f64,
    convicted_at: f64,
}

/// One of the three.
struct Watcher {
    via: &'static str,
    url: String,
    _process: Process,
}

/// The services: one that will leak, two of its kind that will not, and another service.
struct Services {
    shop: [Target; 3],
    news: Target,
}

impl Services {
    async fn start() -> Self {
        Self {
            shop: [healthy().await, healthy().await, healthy().await],
            news: healthy().await,
        }
    }

    /// `scrape_configs` for whoever scrapes.
    fn jobs(&self) -> String {
        let [a, b, c] = &self.shop;
        format!(
            "scrape_configs:\n- job_name: shop\n  static_configs: [{{ targets: [\"{}\", \"{}\", \"{}\"] }}]\n\
             - job_name: news\n  static_configs: [{{ targets: [\"{}\"] }}]\n",
            a.address, b.address, c.address, self.news.address
        )
    }
}

async fn healthy() -> Target {
    Target::exposing(&crate::target::ledger_exposition(0)).await
}

fn start_prometheus(directory: &Path, jobs: &str) -> (Process, String) {
    let global =
        format!("global: {{ scrape_interval: {INTERVAL}s, scrape_timeout: {INTERVAL}s }}\n");
    let port = free_port();
    let process = Process::prometheus(directory, &(global + jobs), port);
    (process, format!("http://127.0.0.1:{port}"))
}

fn start_victoria_metrics(directory: &Path, jobs: &str) -> (Process, String) {
    let configuration = directory.join("victoria-metrics.yml");
    let global =
        format!("global: {{ scrape_interval: {INTERVAL}s, scrape_timeout: {INTERVAL}s }}\n");
    std::fs::write(&configuration, global + jobs).expect("the configuration is written");
    let port = free_port();
    let mut command = Command::new("victoria-metrics");
    command
        .arg(format!("-promscrape.config={}", configuration.display()))
        .arg(format!(
            "-storageDataPath={}",
            directory.join("victoria-metrics").display()
        ))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg("-retentionPeriod=1");
    let process = Process::start("victoria-metrics", directory, &mut command);
    (process, format!("http://127.0.0.1:{port}"))
}

fn start_alertmanager(directory: &Path) -> (Process, u16) {
    std::fs::write(
        directory.join("alertmanager.yml"),
        "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n",
    )
    .expect("the configuration is written");
    let port = free_port();
    (Process::alertmanager(directory, port), port)
}

impl Watcher {
    async fn start(directory: &Path, via: &'static str, what: &str, alertmanager: u16) -> Self {
        let port = free_port();
        let path = directory.join(format!("{via}.yml"));
        let text = format!(
            "global: {{ scrape_interval: {INTERVAL}s, scrape_timeout: {INTERVAL}s, evaluation_interval: 1s, external_labels: {{ via: {via} }} }}\n\
             {what}\
             alerting:\n  keep_firing_for: {INTERVAL}s\n  alertmanagers: [{{ static_configs: [{{ targets: [\"127.0.0.1:{alertmanager}\"] }}] }}]\n\
             storage: {{ path: {} }}\n\
             web: {{ listen: \"127.0.0.1:{port}\" }}\n",
            directory.join(format!("{via}-data")).display(),
        );
        std::fs::write(&path, text).expect("the configuration is written");
        let mut command = Command::new(binary("leak-agent"));
        command.arg("run").arg("--config").arg(&path);
        let url = format!("http://127.0.0.1:{port}");
        let process = Process::start(via, directory, &mut command);
        wait_for_200(&format!("{url}/-/ready")).await;
        Self {
            via,
            url,
            _process: process,
        }
    }

    async fn targets_up(&self) -> usize {
        let data = get(&format!("{}/api/v1/targets", self.url)).await;
        let targets = data["data"]["activeTargets"].as_array().cloned();
        let is_up = |target: &&Value| target["health"] == "up";
        targets.unwrap_or_default().iter().filter(is_up).count()
    }

    async fn leaks(&self) -> Vec<Value> {
        let data = get(&format!("{}/api/v1/leaks", self.url)).await;
        data["data"]["leaks"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// The only leak, once its alert fires.
    async fn leak(&self) -> Seen {
        let alert = wait_for(
            &format!("an alert via {}", self.via),
            PATIENCE,
            async || {
                let data = get(&format!("{}/api/v1/alerts", self.url)).await;
                let alerts = data["data"]["alerts"].as_array()?.clone();
                alerts.into_iter().find(|alert| {
                    alert["state"] == "firing" && alert["labels"]["alertname"] == "ResourceLeak"
                })
            },
        )
        .await;
        let leaks = self.leaks().await;
        assert_eq!(leaks.len(), 1, "via {}: {leaks:?}", self.via);
        let mut labels: BTreeMap<String, String> =
            serde_json::from_value(alert["labels"].clone()).expect("labels");
        assert_eq!(labels.remove("via").as_deref(), Some(self.via));
        let instances = leaks[0]["instances"].as_array().expect("instances").iter();
        let names = instances.map(|own| own["instance"].as_str().unwrap_or_default().to_owned());
        Seen {
            labels,
            instances: names.collect(),
            onset: leaks[0]["onset"].as_f64().expect("a time"),
            convicted_at: leaks[0]["convicted_at"].as_f64().expect("a time"),
        }
    }

    /// When the leak was found released.
    async fn ended_at(&self) -> f64 {
        let what = format!("the end of the leak via {}", self.via);
        let leak = wait_for(&what, ENDING, async || {
            let leaks = self.leaks().await;
            leaks.into_iter().find(|leak| leak["living"] == false)
        })
        .await;
        assert_eq!(leak["state"], "released", "via {}", self.via);
        leak["ended_at"].as_f64().expect("a time")
    }
}

async fn get(url: &str) -> Value {
    let client = leak_agent::http_client::builder()
        .build()
        .expect("a client");
    let answer = client.get(url).send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

/// That all three agree within an interval.
#[track_caller]
fn agree(what: &str, times: &[(&'static str, f64)]) {
    let least = times
        .iter()
        .map(|(_, at)| *at)
        .fold(f64::INFINITY, f64::min);
    let most = times.iter().map(|(_, at)| *at).fold(0.0, f64::max);
    println!("{what}: {times:?}, {:.1} s apart", most - least);
    assert!(most - least <= INTERVAL + VISIBLE, "{what}: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's Prometheus, VictoriaMetrics and Alertmanager: .ci/run runs it"]
async fn scraping_and_asking_a_store_give_the_same_incidents_at_the_same_times() {
    let directory = TempDir::new().expect("a temporary directory");
    let services = Services::start().await;
    let jobs = services.jobs();
    let (_prometheus, prometheus) = start_prometheus(directory.path(), &jobs);
    let (_victoria, victoria) = start_victoria_metrics(directory.path(), &jobs);
    let (_alertmanager, alertmanager) = start_alertmanager(directory.path());
    wait_for_200(&format!("{prometheus}/-/ready")).await;
    wait_for_200(&format!("{victoria}/health")).await;
    wait_for_200(&format!("http://127.0.0.1:{alertmanager}/-/ready")).await;
    let source = |url: &str| format!("sources: [{{ url: \"{url}\", query_offset: 0s }}]\n");
    let mut watchers = Vec::new();
    for (via, what) in [
        ("scrape", jobs.clone()),
        ("prometheus", source(&prometheus)),
        ("victoria", source(&victoria)),
    ] {
        watchers.push(Watcher::start(directory.path(), via, &what, alertmanager).await);
    }
    for watcher in &watchers {
        let what = format!("four targets via {}", watcher.via);
        wait_for(&what, PATIENCE, async || {
            (watcher.targets_up().await == 4).then_some(())
        })
        .await;
        assert_eq!(watcher.leaks().await.len(), 0, "via {}", watcher.via);
    }

    services.shop[1].leak(3);
    let mut seen = Vec::new();
    for watcher in &watchers {
        seen.push((watcher.via, watcher.leak().await));
    }
    let (_, first) = &seen[0];
    for (via, own) in &seen {
        assert_eq!(own.labels, first.labels, "via {via}");
        assert_eq!(
            own.instances,
            [services.shop[1].address.clone()],
            "via {via}"
        );
    }
    let times = |of: fn(&Seen) -> f64| -> Vec<(&'static str, f64)> {
        seen.iter().map(|(via, own)| (*via, of(own))).collect()
    };
    agree("onset", &times(|own| own.onset));
    agree("convicted", &times(|own| own.convicted_at));
    let url = format!("http://127.0.0.1:{alertmanager}/api/v2/alerts");
    let told = wait_for("three alerts in Alertmanager", PATIENCE, async || {
        let alerts = get(&url).await;
        let vias = alerts.as_array()?.iter();
        let mut vias: Vec<String> = vias
            .filter_map(|alert| Some(alert["labels"]["via"].as_str()?.to_owned()))
            .collect();
        vias.sort();
        (vias.len() >= 3).then_some(vias)
    })
    .await;
    assert_eq!(told, ["prometheus", "scrape", "victoria"]);

    services.shop[1].leak(0);
    let mut ends = Vec::new();
    for watcher in &watchers {
        ends.push((watcher.via, watcher.ended_at().await));
    }
    agree("ended", &ends);
}
