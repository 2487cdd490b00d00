//! A target on loopback whose exposition the test writes, and an agent in-process that watches it every 200 ms.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::Json;
use axum::routing::get;
use leak_agent::agent::{Agent, Running};
use leak_agent::config::Config;
use resource_ledger::Task;
use serde_json::{Value, json};

use crate::loopback::serve;

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A service that exposes whatever the test says.
pub(crate) struct Target {
    pub(crate) address: String,
    exposition: Arc<Mutex<String>>,
    _serving: Task<()>,
}

impl Target {
    pub(crate) async fn exposing(text: &str) -> Self {
        let exposition = Arc::new(Mutex::new(text.to_owned()));
        let router = axum::Router::new()
            .route("/metrics", get(|State(text): State<Arc<Mutex<String>>>| async move { text.lock().expect("no poison").clone() }))
            .route("/debug/open", get(|| async { Json(open()) }))
            .route("/debug/tasks", get(|| async { Json(json!({ "total": 9, "places": [{ "site": "shop/src/drill.rs:190", "count": 9, "oldest_age_seconds": 4.0 }] })) }))
            .with_state(Arc::clone(&exposition));
        let (address, serving) = serve(router).await;
        Self {
            address: address.to_string(),
            exposition,
            _serving: serving,
        }
    }

    /// From now on it exposes this.
    pub(crate) fn expose(&self, text: &str) {
        text.clone_into(&mut self.exposition.lock().expect("no poison"));
    }

    /// From now on so many fan-out tasks are orphaned.
    pub(crate) fn leak(&self, orphaned: u32) {
        self.expose(&ledger_exposition(orphaned));
    }
}

fn open() -> Value {
    let entry = |site: &str, ended: Option<f64>| {
        json!({
            "id": 1, "resource": "fan_out_task", "upstream": "social", "route": "/home/{id}", "site": site, "age_seconds": 12.5, "state": "",
            "deadline_seconds": null, "owner": { "request_id": "r", "trace_id": null, "ended_seconds": ended },
        })
    };
    json!({ "total": 2, "truncated": false, "entries": [entry("shop/src/drill.rs:183", Some(9.0)), entry("shop/src/well.rs:3", None)] })
}

/// What a ledger exposes that holds so many orphaned fan-out tasks.
pub(crate) fn ledger_exposition(orphaned: u32) -> String {
    let labels = r#"{resource="fan_out_task",upstream="social",route="/home/{id}",site="shop/src/drill.rs"}"#;
    format!(
        "# TYPE resource_ledger_orphaned gauge\nresource_ledger_orphaned{labels} {orphaned}\n\
         # TYPE resource_ledger_overdue gauge\nresource_ledger_overdue{labels} 0\n\
         # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1700000000\n"
    )
}

/// An agent in-process.
pub(crate) struct Watcher {
    pub(crate) running: Running,
    pub(crate) client: reqwest::Client,
}

impl Watcher {
    /// Watches `target` with its state in `directory`; `more` is added to the configuration.
    pub(crate) async fn of(target: &str, directory: &Path, more: &str) -> Self {
        Self::listening(0, target, directory, more.to_owned()).await
    }

    /// The same at a port of one's own.
    pub(crate) async fn listening(port: u16, target: &str, directory: &Path, more: String) -> Self {
        let text = format!(
            r#"
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, external_labels: {{ cluster: test }} }}
scrape_configs:
  - job_name: shop
    static_configs: [{{ targets: ["{target}"] }}]
    evidence: [ledger, tasks]
storage: {{ path: {directory:?} }}
web: {{ listen: "127.0.0.1:{port}" }}
{more}
"#
        );
        let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let running = Agent::start(config).await.expect("the agent starts");
        Self {
            running,
            client: leak_agent::http_client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("http://{}{path}", self.running.web_addr());
        self.client.get(url).send().await.expect("an answer")
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.expect("a text")
    }

    /// `data` of an answer of the API.
    pub(crate) async fn data(&self, path: &str) -> Value {
        let answer: Value = self.get(path).await.json().await.expect("JSON");
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }

    /// What `find` finds in an answer of the API, as soon as it finds something.
    pub(crate) async fn until<T>(
        &self,
        path: &str,
        what: &str,
        find: impl Fn(&Value) -> Option<T>,
    ) -> T {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let searching = async {
            loop {
                looks.tick().await;
                if let Some(found) = find(&self.data(path).await) {
                    return found;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, searching).await {
            Ok(found) => found,
            Err(_) => panic!(
                "{what} did not come about within {PATIENCE:?}; {path} says {}",
                self.data(path).await
            ),
        }
    }

    /// The first firing alert of this name.
    pub(crate) async fn firing(&self, alertname: &str) -> Value {
        let wanted = |alert: &&Value| {
            alert["labels"]["alertname"] == alertname && alert["state"] == "firing"
        };
        let find = |data: &Value| data["alerts"].as_array()?.iter().find(wanted).cloned();
        self.until("/api/v1/alerts", alertname, find).await
    }
}
