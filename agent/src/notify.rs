//! Delivery to Alertmanagers: every alert to each of them, by its own queue and its own task.
//!
//! Alertmanager forgets all alerts when it restarts, so that the engine's sending again is the guarantee of delivery;
//! this module adds that what could not be delivered is tried again soon, and that one Alertmanager that is down, slow
//! or wrong delays no other. A queue holds the newest message of each alert, and so never more than there are alerts.
//! It refuses to gzip (Alertmanager 0.25 does not read that), to follow redirects and to read long answers.
//!
//! Source: "Alertmanager: alerts API v2"; Prometheus, `notifier/notifier.go` for batches and counts.

mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use resource_ledger::{Labels as Account, Ledger, ServiceTaskOutcome, Task};
use serde::Serialize;
use tracing::{info, warn};

use crate::alert::OutgoingAlert;
use crate::clock;
use crate::config::Alertmanager;
use crate::excerpt::excerpt_of_bytes;
use crate::labels::Labels;
use crate::notify::queue::Queue;
use crate::quantity;

/// Alerts in one request, as in Prometheus.
pub const BATCH: usize = 64;

/// Alerts that wait for one Alertmanager at most; beyond, the oldest are dropped and counted.
pub const QUEUE_CAPACITY: usize = 10_000;

/// From a failed delivery to the next attempt: doubled each time from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Bytes of an error's body that are read, and characters of it that are shown.
const ANSWER_BYTES: usize = 2048;
const ANSWER_CHARACTERS: usize = 200;

/// Why there is no notifier.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The HTTP client cannot be made.
    #[error("the HTTP client for Alertmanagers cannot be made")]
    Client(#[source] reqwest::Error),
}

/// Delivers to every Alertmanager. Dropping it ends the deliveries at once.
#[derive(Debug)]
pub struct Notifier {
    receivers: Vec<Receiver>,
}

#[derive(Debug)]
struct Receiver {
    shared: Arc<Shared>,
    task: Task<()>,
}

/// What a sender and its owner look at.
#[derive(Debug)]
struct Shared {
    alertmanager: Arc<str>,
    queue: Queue,
    results: [AtomicU64; DeliveryResult::ALL.len()],
}

/// What became of an alert at one attempt to deliver it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryResult {
    /// It was taken.
    Ok,
    /// Alertmanager said no (status 4xx or a redirect): the same again would be refused again.
    Refused,
    /// No answer, or Alertmanager's own failure (status 5xx): it is tried again.
    Failed,
    /// The queue was full, and it was the oldest in it.
    Dropped,
}

impl DeliveryResult {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::Failed, Self::Dropped];

    /// The value of the label `result`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// What has been delivered to one Alertmanager so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliveries {
    /// Its URL.
    pub alertmanager: Arc<str>,
    /// Alerts that wait.
    pub queue_length: usize,
    /// Alerts by what became of them, each attempt counted.
    pub results: BTreeMap<&'static str, u64>,
}

impl Notifier {
    /// Begins to deliver. Every task is the ledger's.
    ///
    /// # Errors
    /// [`NotifyError::Client`].
    pub fn start(alertmanagers: &[Alertmanager], ledger: &Ledger) -> Result<Self, NotifyError> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(NotifyError::Client)?;
        let account = ledger.account::<ServiceTaskOutcome>(Account::new());
        let receivers = alertmanagers
            .iter()
            .map(|alertmanager| {
                let shared = Arc::new(Shared {
                    alertmanager: Arc::clone(&alertmanager.url),
                    queue: Queue::new(QUEUE_CAPACITY),
                    results: Default::default(),
                });
                let sender = Sender {
                    shared: Arc::clone(&shared),
                    client: client.clone(),
                    url: format!("{}/api/v2/alerts", alertmanager.url),
                    timeout: alertmanager.timeout,
                    failing: false,
                };
                Receiver {
                    shared,
                    task: ledger.spawn(account.open(), sender.run()),
                }
            })
            .collect();
        Ok(Self { receivers })
    }

    /// Queues alerts for every Alertmanager; never waits. A newer message replaces an older one of the same alert.
    pub fn send(&self, alerts: &[OutgoingAlert]) {
        for receiver in &self.receivers {
            let dropped = receiver.shared.queue.push(alerts);
            receiver.shared.count(DeliveryResult::Dropped, dropped);
        }
    }

    /// What has been delivered so far, in the order of the configuration.
    pub fn deliveries(&self) -> Vec<Deliveries> {
        self.receivers
            .iter()
            .map(|receiver| Deliveries {
                alertmanager: Arc::clone(&receiver.shared.alertmanager),
                queue_length: receiver.shared.queue.len(),
                results: DeliveryResult::ALL
                    .iter()
                    .map(|result| (result.word(), receiver.shared.counted(*result)))
                    .collect(),
            })
            .collect()
    }

    /// Delivers what is queued, for at most `limit`, and ends.
    pub async fn close(self, limit: Duration) {
        for receiver in &self.receivers {
            receiver.shared.queue.close();
        }
        let ends = async {
            for receiver in self.receivers {
                // A sender that panicked has nothing left to deliver.
                let _ = receiver.task.await;
            }
        };
        // What is not delivered by then is sent again by the next life of the agent.
        let _ = clock::timeout(limit, ends).await;
    }
}

impl Shared {
    fn count(&self, result: DeliveryResult, alerts: usize) {
        self.results[result as usize].fetch_add(alerts as u64, Ordering::Relaxed);
    }

    fn counted(&self, result: DeliveryResult) -> u64 {
        self.results[result as usize].load(Ordering::Relaxed)
    }
}

/// The task of one Alertmanager.
struct Sender {
    shared: Arc<Shared>,
    client: reqwest::Client,
    url: String,
    timeout: Duration,
    failing: bool,
}

/// Why a batch was not taken.
#[derive(Debug)]
struct Failure {
    result: DeliveryResult,
    status: Option<StatusCode>,
    reason: String,
}

impl Sender {
    async fn run(mut self) {
        let mut wait = RETRY.0;
        while let Some(batch) = self.shared.queue.take(BATCH).await {
            match self.deliver(&batch).await {
                Ok(()) => wait = RETRY.0,
                Err(failure) if failure.result == DeliveryResult::Failed => {
                    // Once the agent ends, whatever fails is left to its next life.
                    if !self.shared.queue.put_back(batch) {
                        return;
                    }
                    let _ = clock::timeout(wait, self.shared.queue.until_closed()).await;
                    wait = (wait * 2).min(RETRY.1);
                }
                // One alert that cannot be read makes Alertmanager refuse its whole batch: the others go alone.
                Err(failure)
                    if failure.status == Some(StatusCode::UNPROCESSABLE_ENTITY)
                        && batch.len() > 1 =>
                {
                    for alert in batch {
                        let _ = self.deliver(&[alert]).await;
                    }
                }
                Err(_) => {}
            }
        }
    }

    async fn deliver(&mut self, batch: &[OutgoingAlert]) -> Result<(), Failure> {
        let outcome = self.post(batch).await;
        let result = outcome
            .as_ref()
            .map_or_else(|failure| failure.result, |()| DeliveryResult::Ok);
        self.shared.count(result, batch.len());
        match &outcome {
            Ok(()) if self.failing => {
                info!(alertmanager = %self.shared.alertmanager, "Alertmanager takes alerts again");
            }
            Err(failure) if !self.failing => {
                warn!(
                    alertmanager = %self.shared.alertmanager,
                    status = failure.status.map(|status| status.as_u16()),
                    reason = failure.reason,
                    "Alertmanager does not take alerts"
                );
            }
            _ => {}
        }
        self.failing = outcome.is_err();
        outcome
    }

    async fn post(&self, batch: &[OutgoingAlert]) -> Result<(), Failure> {
        let failed = |reason: String| Failure {
            result: DeliveryResult::Failed,
            status: None,
            reason,
        };
        let messages: Vec<Message<'_>> = batch.iter().map(Message::of).collect();
        let body = serde_json::to_vec(&messages).map_err(|error| failed(error.to_string()))?;
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send();
        let mut response = clock::timeout(self.timeout, request)
            .await
            .map_err(|elapsed| failed(elapsed.to_string()))?
            .map_err(|error| failed(innermost(&error)))?;
        let status = response.status();
        if status.is_success() {
            // The head is the answer; whatever becomes of the body, the alerts were taken.
            return Ok(());
        }
        let answer = clock::timeout(self.timeout, beginning(&mut response))
            .await
            .unwrap_or_default();
        let result = if status.is_server_error() {
            DeliveryResult::Failed
        } else {
            DeliveryResult::Refused
        };
        Err(Failure {
            result,
            status: Some(status),
            reason: excerpt_of_bytes(&answer, ANSWER_CHARACTERS),
        })
    }
}

/// The beginning of an answer, as far as it comes.
async fn beginning(response: &mut reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES {
            break;
        }
    }
    bytes
}

/// The innermost cause: what the system said, without the URL that the log names anyway.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A `postableAlert` of Alertmanager's API.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    labels: &'a Labels,
    annotations: &'a Labels,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

impl<'a> Message<'a> {
    fn of(alert: &'a OutgoingAlert) -> Self {
        Self {
            labels: &alert.labels,
            annotations: &alert.annotations,
            starts_at: quantity::rfc3339(alert.starts_at.seconds()),
            ends_at: quantity::rfc3339(alert.ends_at.seconds()),
            generator_url: &alert.generator_url,
        }
    }
}

#[cfg(test)]
mod tests;
