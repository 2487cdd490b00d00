//! Targets that come and go, and a configuration that is read again: by file, by request and by signal.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use leak_agent::agent::Agent;
use leak_agent::config::Config;
use serde_json::Value;
use tempfile::TempDir;

use crate::target::{Target, Watcher, ledger_exposition};

/// An agent whose configuration and target files are in a directory of its own.
struct World {
    directory: TempDir,
    watcher: Watcher,
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

/// Writes as a configuration manager does: beside it, then renamed.
fn write(directory: &Path, name: &str, text: &str) {
    let temporary = path(directory, "being.written");
    std::fs::write(&temporary, text).expect("written");
    std::fs::rename(temporary, path(directory, name)).expect("renamed");
}

fn configuration(directory: &Path, more: &str) -> String {
    format!(
        r#"
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, external_labels: {{ cluster: test }} }}
scrape_configs:
  - job_name: shop
    file_sd_configs: [{{ files: ["*.json"] }}]
    evidence: [ledger, tasks]
    relabel_configs:
      - {{ source_labels: [drop], regex: "yes", action: drop }}
      - {{ source_labels: [__meta_filepath], regex: '.*/(\w+)\.json', target_label: file }}
storage: {{ path: {:?} }}
{more}
"#,
        path(directory, "data")
    )
}

const QUICK: &str =
    "alerting: { keep_firing_for: 0s }\nweb: { listen: \"127.0.0.1:0\", enable_reload: true }";

impl World {
    async fn new(more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write(
            directory.path(),
            "agent.yml",
            &configuration(directory.path(), more),
        );
        let config = Config::load(&path(directory.path(), "agent.yml"));
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let running = Agent::start(config).await.expect("the agent starts");
        let client = leak_agent::http_client::builder().no_proxy().build();
        let watcher = Watcher {
            running,
            client: client.expect("a client"),
        };
        Self { directory, watcher }
    }

    fn write(&self, name: &str, text: &str) {
        write(self.directory.path(), name, text);
    }

    fn configure(&self, more: &str) {
        self.write("agent.yml", &configuration(self.directory.path(), more));
    }

    /// Waits until exactly these instances are active.
    async fn until_active(&self, instances: &[&str]) {
        let find = |data: &Value| {
            let active = data["activeTargets"].as_array()?;
            let mut own: Vec<&str> = active
                .iter()
                .filter_map(|target| target["labels"]["instance"].as_str())
                .collect();
            own.sort_unstable();
            let mut wanted = instances.to_vec();
            wanted.sort_unstable();
            (own == wanted).then_some(())
        };
        let what = format!("{instances:?}");
        self.watcher.until("/api/v1/targets", &what, find).await;
    }

    async fn reload(&self) -> (u16, String) {
        let url = format!("http://{}/-/reload", self.watcher.running.web_addr());
        let answer = self
            .watcher
            .client
            .post(url)
            .send()
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.text().await.expect("a text"),
        )
    }

    async fn metric(&self, series: &str) -> f64 {
        let text = self.watcher.text("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        let value = line.unwrap_or_else(|| panic!("{series} is missing from {text}"));
        value.trim().parse().expect("a number")
    }
}

fn listed(addresses: &[&str]) -> String {
    serde_json::json!([{ "targets": addresses, "labels": { "zone": "z" } }]).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_in_files_come_and_go() {
    let world = World::new(QUICK).await;
    let (first, second) = (
        Target::exposing(&ledger_exposition(0)).await,
        Target::exposing(&ledger_exposition(0)).await,
    );
    let (one, two) = (first.address.as_str(), second.address.as_str());
    world.write("a.json", &listed(&[one]));
    world.until_active(&[one]).await;
    let active = |data: &Value| {
        let target = &data["activeTargets"][0];
        (target["health"] == "up").then(|| target.clone())
    };
    let target = world
        .watcher
        .until("/api/v1/targets", "a scrape", active)
        .await;
    assert_eq!(target["labels"]["file"], "a", "{target}");
    assert_eq!(target["labels"]["zone"], "z", "{target}");
    let filepath = target["discoveredLabels"]["__meta_filepath"].as_str();
    assert!(
        filepath.is_some_and(|path| path.ends_with("/a.json")),
        "{target}"
    );

    world.write("b.json", &listed(&[two]));
    world.until_active(&[one, two]).await;
    let dropped = serde_json::json!([
        { "targets": [one] },
        { "targets": ["dropped:1"], "labels": { "drop": "yes" } },
    ]);
    world.write("a.json", &dropped.to_string());
    let find = |data: &Value| data["droppedTargets"].as_array()?.first().cloned();
    let target = world
        .watcher
        .until("/api/v1/targets", "a dropped target", find)
        .await;
    assert_eq!(target["discoveredLabels"]["__address__"], "dropped:1");
    assert_eq!(
        world
            .metric("leak_agent_targets{job=\"shop\",state=\"dropped\"}")
            .await,
        1.0
    );

    // A broken file keeps what it had, and says so.
    world.write("b.json", "[{");
    let failing = "leak_agent_discovery_failing{job=\"shop\",mechanism=\"file\"}";
    while world.metric(failing).await == 0.0 {
        tokio::task::yield_now().await;
    }
    world.until_active(&[one, two]).await;

    std::fs::remove_file(path(world.directory.path(), "b.json")).expect("removed");
    world.until_active(&[one]).await;
    world.watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_a_good_configuration_whole_and_a_bad_one_not_at_all() {
    let world = World::new(QUICK).await;
    let target = Target::exposing(&ledger_exposition(0)).await;
    let address = target.address.as_str();
    world.write("a.json", &listed(&[address]));
    world.until_active(&[address]).await;
    target.leak(3);
    let before = world.watcher.firing("ResourceLeak").await;

    world.configure(
        "alerting: { keep_firing_for: soon }\nweb: { listen: \"127.0.0.1:0\" }\nnonsense: 1",
    );
    let (status, text) = world.reload().await;
    assert_eq!(status, 500, "{text}");
    for expected in [
        "keep_firing_for",
        "`soon` is not a duration",
        "nonsense: unknown key",
        "2 mistakes",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(
        world
            .metric("leak_agent_config_last_reload_successful")
            .await,
        0.0
    );
    assert_eq!(world.watcher.firing("ResourceLeak").await, before);

    // Another job, another severity for pages, a place for state that counts only after a restart.
    let other = Target::exposing(&ledger_exposition(0)).await;
    let more = "alerting: { keep_firing_for: 0s, severities: { ticket: warning, page: page } }\n\
         web: { listen: \"127.0.0.1:0\", enable_reload: true }\nworkload_by: [job]\n";
    let text = configuration(world.directory.path(), more).replace(
        "storage:",
        &format!(
            "  - job_name: other\n    static_configs: [{{ targets: [\"{}\"] }}]\nstorage:",
            other.address
        ),
    );
    world.write("agent.yml", &text);
    let (status, text) = world.reload().await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("only after a restart: workload_by"), "{text}");
    world.until_active(&[address, &other.address]).await;
    assert_eq!(
        world
            .metric("leak_agent_config_last_reload_successful")
            .await,
        1.0
    );
    let after = world.watcher.firing("ResourceLeak").await;
    assert_eq!(after["activeAt"], before["activeAt"]);
    assert_eq!(after["labels"], before["labels"]);

    // What the old one allowed the new one may forbid.
    world.configure("web: { listen: \"127.0.0.1:0\" }");
    assert_eq!(world.reload().await.0, 200);
    assert_eq!(world.reload().await.0, 403);
    world.until_active(&[address]).await;
    world.watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_that_is_added_and_removed_counts_at_once() {
    let world = World::new(QUICK).await;
    let target = Target::exposing(&ledger_exposition(0)).await;
    world.write("a.json", &listed(&[&target.address]));
    world.until_active(&[&target.address]).await;
    target.leak(3);
    let before = world.watcher.firing("ResourceLeak").await;
    world.configure(&format!(
        "{QUICK}\noverrides: [{{ match: {{ job: shop }}, mode: off }}]"
    ));
    assert_eq!(world.reload().await.0, 200);
    let silent = |data: &Value| data["alerts"].as_array()?.is_empty().then_some(());
    world
        .watcher
        .until("/api/v1/alerts", "silence", silent)
        .await;
    world.configure(QUICK);
    assert_eq!(world.reload().await.0, 200);
    let after = world.watcher.firing("ResourceLeak").await;
    assert_eq!(after["labels"], before["labels"]);
    let leaks = world.watcher.data("/api/v1/leaks").await;
    assert_eq!(leaks["leaks"].as_array().map(Vec::len), Some(1), "{leaks}");
    world.watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_discovered_targets_their_detectors_back() {
    let world = World::new(QUICK).await;
    let target = Target::exposing(&ledger_exposition(0)).await;
    world.write("a.json", &listed(&[&target.address]));
    world.until_active(&[&target.address]).await;
    target.leak(3);
    let before = world.watcher.firing("ResourceLeak").await;
    let World { directory, watcher } = world;
    watcher.running.shutdown().await;
    let config = Config::load(&path(directory.path(), "agent.yml")).expect("as before");
    let running = Agent::start(config).await.expect("it starts again");
    let world = World {
        directory,
        watcher: Watcher {
            running,
            client: watcher.client,
        },
    };
    world.until_active(&[&target.address]).await;
    let after = world.watcher.firing("ResourceLeak").await;
    assert_eq!(after["activeAt"], before["activeAt"]);
    world.watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_nobody_reloads_over_http() {
    let world = World::new("web: { listen: \"127.0.0.1:0\" }").await;
    let (status, text) = world.reload().await;
    assert_eq!(status, 403);
    assert!(text.contains("web.enable_reload"), "{text}");
    let get = world.watcher.get("/-/reload").await;
    assert_eq!(get.status().as_u16(), 405);
    world.watcher.running.shutdown().await;
}

/// The binary itself, by its signal.
#[test]
fn the_hangup_signal_reloads() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = |pending: &str| {
        let more = format!("web: {{ listen: \"127.0.0.1:0\" }}\nalerting: {{ for: {pending} }}");
        configuration(directory.path(), &more)
    };
    write(directory.path(), "agent.yml", &text("1s"));
    let process = Command::new(env!("CARGO_BIN_EXE_leak-agent"))
        .args(["run", "--log-format", "json", "--config"])
        .arg(path(directory.path(), "agent.yml"))
        .stderr(Stdio::piped())
        .spawn();
    let mut process = Ended(process.expect("it runs"));
    let mut log = BufReader::new(process.0.stderr.take().expect("piped")).lines();
    let mut until = |text: &str| {
        let found = log.find_map(|line| line.ok().filter(|line| line.contains(text)));
        found.unwrap_or_else(|| panic!("it ended without `{text}`"))
    };
    until("the agent watches");
    let pid = process.0.id().to_string();
    let hang_up = || {
        let sent = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(sent.expect("kill runs").success());
    };
    write(directory.path(), "agent.yml", &text("never"));
    hang_up();
    let line = until("the new configuration is not used");
    assert!(line.contains("`never` is not a duration"), "{line}");
    write(directory.path(), "agent.yml", &text("2s"));
    hang_up();
    until("the configuration was read again and is in use");
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
