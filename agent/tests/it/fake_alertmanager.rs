//! An Alertmanager on loopback that takes everything and writes down when it heard what.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use leak_agent::clock;
use resource_ledger::Task;
use serde_json::Value;

use crate::loopback::serve;

/// One message about one alert. Times in unix seconds.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) received_at: f64,
    pub(crate) alertname: String,
    pub(crate) job: String,
    pub(crate) starts_at: f64,
    pub(crate) ends_at: f64,
}

impl Message {
    /// Whether it tells that the alert is over.
    pub(crate) fn is_resolved(&self) -> bool {
        self.ends_at <= self.received_at + 1.0
    }
}

pub(crate) struct FakeAlertmanager {
    pub(crate) address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
    _serving: Task<()>,
}

impl FakeAlertmanager {
    pub(crate) async fn start() -> Self {
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let router = axum::Router::new()
            .route("/api/v2/alerts", post(receive))
            .with_state(Arc::clone(&messages));
        let (address, serving) = serve(router).await;
        Self {
            address,
            messages,
            _serving: serving,
        }
    }

    /// Everything heard so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().expect("no poison").clone()
    }

    /// The last word on the alert of a job.
    pub(crate) fn last_of(&self, job: &str) -> Option<Message> {
        let messages = self.messages.lock().expect("no poison");
        messages.iter().rev().find(|own| own.job == job).cloned()
    }
}

async fn receive(State(messages): State<Arc<Mutex<Vec<Message>>>>, Json(alerts): Json<Vec<Value>>) {
    let received_at = clock::now().seconds();
    let text = |alert: &Value, label: &str| {
        alert["labels"][label]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let time = |value: &Value| {
        let text = value
            .as_str()
            .expect("both times always stand in a message");
        let at: jiff::Timestamp = text.parse().expect("RFC 3339");
        at.as_millisecond() as f64 / 1000.0
    };
    let heard = alerts.iter().map(|alert| Message {
        received_at,
        alertname: text(alert, "alertname"),
        job: text(alert, "job"),
        starts_at: time(&alert["startsAt"]),
        ends_at: time(&alert["endsAt"]),
    });
    messages.lock().expect("no poison").extend(heard);
}
