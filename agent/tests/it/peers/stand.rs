//! A stand: upstreams, the gateway, Debian's Alertmanager and Prometheus and the agent, each a process, wired as the
//! shipped configuration wires them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{PATIENCE, Process, binary, free_port, wait_for, wait_for_200};
use super::receiver::Receiver;
use super::upstream::Upstream;

pub(crate) struct Stand {
    pub(crate) social: Upstream,
    pub(crate) receiver: Receiver,
    pub(crate) gateway: SocketAddr,
    pub(crate) ports: Ports,
    pub(crate) agent: Option<Process>,
    pub(crate) alertmanager: Option<Process>,
    pub(crate) directory: TempDir,
    gateway_process: Process,
    _content: Upstream,
    _prometheus: Process,
    client: reqwest::Client,
}

pub(crate) struct Ports {
    pub(crate) metrics: u16,
    pub(crate) admin: u16,
    pub(crate) alertmanager: u16,
    pub(crate) prometheus: u16,
    pub(crate) web: u16,
}

/// The agent's scrape interval: `1s` unless the environment asks for real time.
pub(crate) fn scrape_interval() -> String {
    std::env::var("LEAKWATCH_SCRAPE_INTERVAL").unwrap_or_else(|_| "1s".to_owned())
}

impl Stand {
    pub(crate) async fn start() -> Stand {
        let directory = TempDir::new().expect("a temporary directory");
        let (content, social) = (
            Upstream::start("content").await,
            Upstream::start("social").await,
        );
        let receiver = Receiver::start().await;
        let listen = free_port();
        let ports = Ports {
            metrics: free_port(),
            admin: free_port(),
            alertmanager: free_port(),
            prometheus: free_port(),
            web: free_port(),
        };
        let gateway_process = start_gateway(directory.path(), listen, &ports, &content, &social);
        wait_for_200(&format!("http://127.0.0.1:{}/ready", ports.metrics)).await;
        write(
            directory.path(),
            "alertmanager.yml",
            &shipped_alertmanager(receiver.address()),
        );
        let prometheus = start_prometheus(directory.path(), &ports);
        let mut stand = Stand {
            social,
            receiver,
            _content: content,
            gateway: SocketAddr::from(([127, 0, 0, 1], listen)),
            ports,
            agent: None,
            alertmanager: None,
            directory,
            gateway_process,
            _prometheus: prometheus,
            client: leak_agent::http_client::builder()
                .build()
                .expect("a client"),
        };
        stand.start_alertmanager().await;
        wait_for_200(&format!(
            "http://127.0.0.1:{}/-/ready",
            stand.ports.prometheus
        ))
        .await;
        stand.start_agent().await;
        stand
    }

    pub(crate) async fn start_alertmanager(&mut self) {
        let (directory, port) = (self.directory.path(), self.ports.alertmanager);
        self.alertmanager = Some(Process::alertmanager(directory, port));
        wait_for_200(&format!("http://127.0.0.1:{port}/-/ready")).await;
    }

    /// Starts the agent, or starts it again over the state that its last life left.
    pub(crate) async fn start_agent(&mut self) {
        let path = self.directory.path().join("agent.yml");
        std::fs::write(&path, self.agent_configuration()).expect("the configuration is written");
        let mut command = Command::new(binary("leak-agent"));
        command.arg("run").arg("--config").arg(&path);
        self.agent = Some(Process::start("agent", self.directory.path(), &mut command));
        wait_for_200(&format!("http://127.0.0.1:{}/-/ready", self.ports.web)).await;
    }

    fn agent_configuration(&self) -> String {
        format!(
            "global: {{ scrape_interval: {interval}, scrape_timeout: {interval} }}\n\
             scrape_configs:\n\
             - job_name: gateway\n  \
               static_configs: [{{ targets: [\"127.0.0.1:{metrics}\"], labels: {{ __evidence_address__: \"127.0.0.1:{admin}\" }} }}]\n  \
               evidence: [ledger, tasks]\n\
             alerting:\n  \
               keep_firing_for: 10s\n  \
               alertmanagers: [{{ static_configs: [{{ targets: [\"127.0.0.1:{alertmanager}\"] }}] }}]\n\
             storage: {{ path: {data} }}\n\
             web: {{ listen: \"127.0.0.1:{web}\" }}\n",
            interval = scrape_interval(),
            metrics = self.ports.metrics,
            admin = self.ports.admin,
            alertmanager = self.ports.alertmanager,
            data = self.directory.path().join("data").display(),
            web = self.ports.web,
        )
    }

    pub(crate) async fn start_drill(&self, drill: &str, share: Option<f64>) {
        let share = share.map_or_else(String::new, |share| format!("?share={share}"));
        let url = format!("http://127.0.0.1:{}/drill/{drill}{share}", self.ports.admin);
        let answer = self
            .client
            .post(&url)
            .send()
            .await
            .expect("the admin listener answers");
        assert!(
            answer.status().is_success(),
            "POST {url}: {}",
            answer.status()
        );
    }

    pub(crate) async fn stop_drill(&self, drill: &str) {
        let url = format!("http://127.0.0.1:{}/drill/{drill}", self.ports.admin);
        let answer = self
            .client
            .delete(&url)
            .send()
            .await
            .expect("the admin listener answers");
        assert!(
            answer.status().is_success(),
            "DELETE {url}: {}",
            answer.status()
        );
    }

    /// What Alertmanager holds now, muted alerts included; empty while it does not answer.
    pub(crate) async fn alerts(&self) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/api/v2/alerts", self.ports.alertmanager);
        match self.json(&url).await {
            Some(Value::Array(alerts)) => alerts,
            _ => Vec::new(),
        }
    }

    pub(crate) async fn alert(&self, alertname: &str) -> Option<Value> {
        self.alerts()
            .await
            .into_iter()
            .find(|alert| alert["labels"]["alertname"] == alertname)
    }

    /// The agent's incidents, ended ones included.
    pub(crate) async fn leaks(&self) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/leaks", self.ports.web);
        let answer = self.json(&url).await.expect("the agent answers");
        answer["data"]["leaks"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| panic!("no list of leaks in {answer}"))
    }

    /// One value from the real Prometheus, which scrapes the same gateway and agent.
    pub(crate) async fn query(&self, expression: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.ports.prometheus);
        let answer = self
            .client
            .get(&url)
            .query(&[("query", expression)])
            .send()
            .await
            .ok()?;
        let answer: Value = answer.json().await.ok()?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    }

    pub(crate) async fn json(&self, url: &str) -> Option<Value> {
        self.client.get(url).send().await.ok()?.json().await.ok()
    }

    /// Waits until the agent says that every incident has ended, and how the only one did.
    pub(crate) async fn wait_for_the_end(&self) -> Value {
        wait_for("the incident's end", 3 * PATIENCE, async || {
            self.leaks()
                .await
                .into_iter()
                .next()
                .filter(|leak| leak["living"] == false)
        })
        .await
    }

    /// Stops the gateway's process as it is: its sockets stay open and answer nothing.
    pub(crate) fn pause_gateway(&self) {
        self.gateway_process.signal("-STOP");
    }

    pub(crate) fn gateway_log(&self) -> String {
        self.gateway_process.log_text()
    }
}

fn start_gateway(
    directory: &Path,
    listen: u16,
    ports: &Ports,
    content: &Upstream,
    social: &Upstream,
) -> Process {
    let configuration = format!(
        "listen: 127.0.0.1:{listen}\n\
         metrics: 127.0.0.1:{metrics}\n\
         admin: 127.0.0.1:{admin}\n\
         admin_drills: true\n\
         upstreams:\n\
         - {{ name: content, endpoints: [\"http://{content}\"], idle_timeout: 2s }}\n\
         - {{ name: social, endpoints: [\"http://{social}\"], idle_timeout: 2s }}\n\
         routes:\n\
         - {{ path: /content/*, proxy: content }}\n\
         - path: /home/{{id}}\n  \
           deadline: 1s\n  \
           fan_out:\n    \
             policy: partial\n    \
             calls:\n    \
             - {{ name: article, upstream: content, path: \"/content/{{id}}\" }}\n    \
             - {{ name: likes, upstream: social, path: \"/likes?of={{id}}\" }}\n",
        metrics = ports.metrics,
        admin = ports.admin,
        content = content.address(),
        social = social.address(),
    );
    let path = write(directory, "gateway.yml", &configuration);
    Process::start(
        "gateway",
        directory,
        Command::new(binary("instrumented-gateway"))
            .arg("--config")
            .arg(path),
    )
}

fn start_prometheus(directory: &Path, ports: &Ports) -> Process {
    let configuration = format!(
        "global: {{ scrape_interval: {interval}, scrape_timeout: {interval} }}\n\
         scrape_configs:\n\
         - job_name: gateway\n  static_configs: [{{ targets: [\"127.0.0.1:{metrics}\"] }}]\n\
         - job_name: leak-agent\n  honor_labels: true\n  static_configs: [{{ targets: [\"127.0.0.1:{web}\"] }}]\n",
        interval = scrape_interval(),
        metrics = ports.metrics,
        web = ports.web,
    );
    Process::prometheus(directory, &configuration, ports.prometheus)
}

/// The shipped Alertmanager configuration, with this receiver's address and without the minutes that it waits to group.
fn shipped_alertmanager(receiver: SocketAddr) -> String {
    let shipped =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards/alertmanager/alertmanager.yml");
    let text = std::fs::read_to_string(&shipped).expect("the shipped configuration is in the tree");
    let mut lines = Vec::new();
    for line in text.lines() {
        let key = line.trim_start().trim_start_matches("- ");
        let value = match key.split_once(':').map_or("", |(name, _)| name) {
            "url" => format!("url: http://{receiver}/"),
            "group_wait" => "group_wait: 1s".to_owned(),
            "group_interval" => "group_interval: 5s".to_owned(),
            _ => key.to_owned(),
        };
        lines.push(line.replacen(key, &value, 1));
    }
    lines.join("\n") + "\n"
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("the configuration is written");
    path
}

/// Seconds between the drill's start and the alert, at most.
pub(crate) const DEADLINE_OF_AN_ALERT: Duration = Duration::from_secs(60);
