//! What can be seen from outside: the gateway's metrics and the agent's API, read once a second as any stranger would.

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::drill::Drill;
use crate::gateway;

/// How long an answer may take. A gateway in trouble is slow, and the demo must not stand still with it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the gateway and the agent.
pub(crate) struct Observer {
    client: reqwest::Client,
    metrics: String,
    admin: String,
    web: String,
    /// The port of the upstream that can hang.
    hanging_port: u16,
}

/// What the gateway holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Held {
    /// Requests, response bodies, pool connections, fan-out tasks: in the order of [`RESOURCES`].
    pub(crate) resources: [Resource; 4],
    /// Idle pool connections.
    pub(crate) idle: f64,
    /// Connections opened since the start.
    pub(crate) connects: f64,
    /// Exchanges on a connection that had served before, since the start.
    pub(crate) reuses: f64,
    /// File descriptors of the process.
    pub(crate) descriptors: f64,
    /// Resident memory of the process, in bytes.
    pub(crate) memory_bytes: f64,
}

/// What is held of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Resource {
    /// Open now.
    pub(crate) open: f64,
    /// Of those, past their deadline.
    pub(crate) overdue: f64,
    /// Of those, past their owner's end.
    pub(crate) orphaned: f64,
    /// Age of the oldest, in seconds.
    pub(crate) oldest_seconds: f64,
}

/// The resources that the demo shows, as they are called in metrics and to people.
pub(crate) const RESOURCES: [(&str, &str); 4] = [
    ("request", "requests"),
    ("response_body", "response bodies"),
    ("pool_connection", "pool connections"),
    ("fan_out_task", "fan-out tasks"),
];

impl Held {
    /// Entries that a correct program never has.
    pub(crate) fn late(&self) -> f64 {
        self.resources
            .iter()
            .map(|resource| resource.overdue + resource.orphaned)
            .sum()
    }
}

/// What the agent says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Alerts that are pending or firing.
    pub(crate) alerts: Vec<Alert>,
    /// Incidents, ended ones among them.
    pub(crate) leaks: Vec<Leak>,
    /// Watched series that are healthy, undecided, leaking.
    pub(crate) series: [f64; 3],
    /// Messages that Alertmanagers have taken, and attempts that failed.
    pub(crate) deliveries: [f64; 2],
}

/// One alert, in the shape of Prometheus' API.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Alert {
    /// What identifies it.
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    /// What it says.
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub(crate) state: String,
    /// Since when, as RFC 3339.
    #[serde(rename = "activeAt")]
    pub(crate) active_at: String,
}

impl Alert {
    /// The value of a label, or nothing.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", |value| value)
    }

    /// The text of an annotation, or nothing.
    pub(crate) fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", |text| text)
    }
}

/// One incident, as far as the demo reads it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Leak {
    /// Its name.
    pub(crate) id: String,
    /// `growing`, `stalled`, or how it ended.
    pub(crate) state: String,
    /// What it looks like.
    pub(crate) cause: String,
    /// What to do first.
    pub(crate) first_action: String,
    /// Where it leaks.
    pub(crate) places: Vec<Place>,
}

/// A place in the source.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Place {
    /// `crate/src/file.rs:LINE`.
    pub(crate) site: String,
    /// How many it holds, or has closed.
    pub(crate) count: u64,
    /// What is counted.
    pub(crate) kind: String,
    /// Age of its oldest.
    pub(crate) oldest_age_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Envelope<Data> {
    data: Data,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Leaks {
    leaks: Vec<Leak>,
}

impl Observer {
    /// Of a gateway, an agent's web listener, and the upstream that can hang.
    pub(crate) fn new(
        gateway: &gateway::Ready,
        web: &str,
        hanging_port: u16,
    ) -> anyhow::Result<Self> {
        let client = leak_agent::http_client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            metrics: gateway.metrics.clone(),
            admin: gateway.admin.clone(),
            web: web.to_owned(),
            hanging_port,
        })
    }

    /// What the gateway holds now.
    pub(crate) async fn held(&self) -> anyhow::Result<Held> {
        let text = self
            .text(&format!("http://{}/metrics", self.metrics))
            .await?;
        let mut held = Held::default();
        for (series, value) in samples(&text) {
            let (name, _) = series.split_once('{').unwrap_or((series, ""));
            let resource = RESOURCES
                .iter()
                .position(|(word, _)| series.contains(&format!("resource=\"{word}\"")));
            match (name, resource) {
                ("resource_ledger_open", Some(index)) => held.resources[index].open += value,
                ("resource_ledger_overdue", Some(index)) => held.resources[index].overdue += value,
                ("resource_ledger_orphaned", Some(index)) => {
                    held.resources[index].orphaned += value
                }
                ("resource_ledger_oldest_age_seconds", Some(index)) => {
                    held.resources[index].oldest_seconds =
                        held.resources[index].oldest_seconds.max(value);
                }
                ("gateway_pool_connections", _) if series.contains("state=\"idle\"") => {
                    held.idle += value
                }
                ("gateway_pool_connects_total", _) => held.connects += value,
                ("gateway_pool_reuses_total", _) => held.reuses += value,
                ("process_open_fds", _) => held.descriptors = value,
                ("process_resident_memory_bytes", _) => held.memory_bytes = value,
                _ => {}
            }
        }
        Ok(held)
    }

    /// What the agent says now.
    pub(crate) async fn said(&self) -> anyhow::Result<Said> {
        let alerts: Envelope<Alerts> = self.json("api/v1/alerts").await?;
        let leaks: Envelope<Leaks> = self.json("api/v1/leaks").await?;
        let metrics = self.text(&format!("http://{}/metrics", self.web)).await?;
        let sum = |family: &str, label: &str| {
            let chosen = samples(&metrics)
                .filter(|(sample, _)| sample.starts_with(family) && sample.contains(label));
            chosen.map(|(_, value)| value).sum::<f64>()
        };
        let series = ["healthy", "undecided", "leaking"]
            .map(|verdict| sum("leak_series{", &format!("verdict=\"{verdict}\"")));
        let taken = sum("leak_agent_notifications_total{", "result=\"ok\"");
        let deliveries = [taken, sum("leak_agent_notifications_total{", "") - taken];
        Ok(Said {
            alerts: alerts.data.alerts,
            leaks: leaks.data.leaks,
            series,
            deliveries,
        })
    }

    /// Makes the gateway commit the fault, and its upstream hang where the fault shows only so.
    pub(crate) async fn start(&self, drill: Drill) -> anyhow::Result<()> {
        for url in self.switches(drill) {
            let answer = self
                .client
                .post(&url)
                .send()
                .await
                .with_context(|| format!("asking {url}"))?;
            answer.error_for_status()?;
        }
        Ok(())
    }

    /// Ends what [`Observer::start`] has begun.
    pub(crate) async fn stop(&self, drill: Drill) -> anyhow::Result<()> {
        for url in self.switches(drill) {
            let answer = self
                .client
                .delete(&url)
                .send()
                .await
                .with_context(|| format!("asking {url}"))?;
            answer.error_for_status()?;
        }
        Ok(())
    }

    /// Where a fault is begun by `POST` and ended by `DELETE`.
    pub(crate) fn switches(&self, drill: Drill) -> Vec<String> {
        let mut switches = vec![format!("http://{}/drill/{}", self.admin, drill.name())];
        if drill.needs_hanging_upstream() {
            switches.push(format!("http://127.0.0.1:{}/hang", self.hanging_port));
        }
        switches
    }

    async fn json<Data: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Data> {
        let url = format!("http://{}/{path}", self.web);
        let text = self.text(&url).await?;
        serde_json::from_str(&text).with_context(|| format!("reading the answer of {url}"))
    }

    async fn text(&self, url: &str) -> anyhow::Result<String> {
        let answer = self
            .client
            .get(url)
            .send()
            .await
            .with_context(|| format!("asking {url}"))?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

/// The samples of an exposition without timestamps, which both programs write.
fn samples(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(series, value)| Some((series, value.parse().ok()?)))
}
