//! The hostile targets, scraped by the agent and by Debian's Prometheus at once: health and samples are compared, and
//! every difference is one that is known and has a reason.
//!
//! Health is Prometheus' own series `up`, which is what its users see. Samples are those of the watched families, by
//! their series and values; a sample that Prometheus accepts and dates outside its own present is not seen by its
//! query, and so not here.

mod reasons;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use leak_agent::scrape::Scrape;
use serde_json::Value;

use super::process::{Process, free_port, wait_for, wait_for_200};
use crate::hostile::{self, Case, Stage, own_series};
use reasons::DIFFERENCES;

/// Every row is scraped within its first interval, and the slowest takes as long again.
const PATIENCE: Duration = Duration::from_secs(60);
/// The watched families that the rows expose.
const FAMILIES: &str = "go_goroutines|process_open_fds";

/// Health, and the samples by their series, each as text.
#[derive(Debug, PartialEq)]
struct Outcome {
    up: bool,
    samples: BTreeSet<String>,
}

impl Outcome {
    fn of(scrape: &Scrape) -> Self {
        let samples = scrape.result.as_deref().unwrap_or_default();
        Self {
            up: scrape.result.is_ok(),
            samples: samples
                .iter()
                .map(|sample| format!("{} {}", own_series(sample), sample.value))
                .collect(),
        }
    }

    fn told(&self) -> String {
        let mut told = if self.up { "up" } else { "down" }.to_owned();
        for sample in &self.samples {
            let _ = write!(told, " | {sample}");
        }
        told
    }
}

/// Prometheus over these rows, with its data in `directory`.
fn start(directory: &Path, port: u16, rows: &[(usize, Case)], stage: &Stage) -> Process {
    let mut text =
        "global: { scrape_interval: 5s, scrape_timeout: 5s }\nscrape_configs:\n".to_owned();
    for (index, case) in rows {
        text.push_str(&stage.job(*index, case));
    }
    Process::prometheus(directory, &text, port)
}

struct Api {
    client: reqwest::Client,
    port: u16,
}

impl Api {
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let answer = self.client.get(url).query(query).send().await;
        let answer: Value = answer.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }

    /// The last error of each job, once every job was scraped.
    async fn errors(&self, jobs: usize) -> BTreeMap<String, String> {
        let scraped = async || {
            let data = self.get("targets", &[("state", "active")]).await;
            let targets = data["activeTargets"].as_array()?;
            let never = |target: &Value| {
                target["lastScrape"]
                    .as_str()
                    .is_none_or(|at| at.starts_with("0001-"))
            };
            if targets.len() < jobs || targets.iter().any(never) {
                return None;
            }
            let error = |target: &Value| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (text(&target["scrapePool"]), text(&target["lastError"]))
            };
            Some(targets.iter().map(error).collect())
        };
        wait_for("a scrape of every target", PATIENCE, scraped).await
    }

    /// What Prometheus has of each job.
    async fn outcomes(&self) -> BTreeMap<String, Outcome> {
        let query = format!("{{__name__=~\"up|{FAMILIES}\",job=~\"case.*\"}}");
        let data = self.get("query", &[("query", &query)]).await;
        let mut outcomes = BTreeMap::new();
        for series in data["result"].as_array().expect("a list") {
            let labels = series["metric"].as_object().expect("labels");
            let label = |name: &str| labels.get(name).and_then(Value::as_str).unwrap_or_default();
            let value: f64 = series["value"][1]
                .as_str()
                .and_then(|text| text.parse().ok())
                .expect("a number");
            let outcome: &mut Outcome =
                outcomes
                    .entry(label("job").to_owned())
                    .or_insert_with(|| Outcome {
                        up: false,
                        samples: BTreeSet::new(),
                    });
            if label("__name__") == "up" {
                outcome.up = value == 1.0;
                continue;
            }
            let own: leak_agent::labels::Labels = labels
                .iter()
                .filter(|(name, _)| !["__name__", "job", "instance"].contains(&name.as_str()))
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
                .collect();
            let shown = match own.len() {
                0 => String::new(),
                _ => own.to_string(),
            };
            let sample = format!("{}{shown} {value}", label("__name__"));
            outcome.samples.insert(sample);
        }
        outcomes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Debian's Prometheus: .ci/run runs it"]
async fn differential_of_hostile_targets() {
    let cases = hostile::cases();
    let stage = Stage::of(&cases).await;
    let ours = hostile::outcomes(&cases, &stage).await;
    let rows: Vec<(usize, Case)> = cases
        .into_iter()
        .enumerate()
        .filter(|(_, case)| case.compared.is_ok())
        .collect();
    let directory = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let _prometheus = start(directory.path(), port, &rows, &stage);
    wait_for_200(&format!("http://127.0.0.1:{port}/-/ready")).await;
    let client = leak_agent::http_client::builder().no_proxy().build();
    let api = Api {
        client: client.expect("a client"),
        port,
    };
    let errors = api.errors(rows.len()).await;
    let theirs = api.outcomes().await;

    let mut known: BTreeMap<&str, &str> = DIFFERENCES
        .iter()
        .map(|(name, told, _)| (*name, *told))
        .collect();
    assert_eq!(
        known.len(),
        DIFFERENCES.len(),
        "a difference is listed twice"
    );
    let mut unexplained = String::new();
    let mut same = 0;
    for (index, case) in &rows {
        let job = format!("case{index}");
        let (ours, theirs) = (Outcome::of(&ours[*index]), &theirs[&job]);
        let told = theirs.told();
        match (ours == *theirs, known.remove(case.name)) {
            (true, None) => same += 1,
            (false, Some(expected)) if expected == told => {}
            (_, expected) => {
                let _ = writeln!(
                    unexplained,
                    "{}\n  the agent:  {}\n  Prometheus: {told} ({})\n  listed:     {expected:?}",
                    case.name,
                    ours.told(),
                    errors.get(&job).map_or("", String::as_str),
                );
            }
        }
    }
    eprintln!(
        "{same} rows alike, {} with a known difference",
        DIFFERENCES.len()
    );
    assert!(
        unexplained.is_empty() && known.is_empty(),
        "{unexplained}listed, and no row: {known:?}"
    );
}
