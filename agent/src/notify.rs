//! Delivery to Alertmanagers: every alert to each of them, by its own queue and its own task.
//!
//! Alertmanager forgets all alerts when it restarts, so that the engine's sending again is the guarantee of delivery;
//! this module adds that what could not be delivered is tried again soon, and that one Alertmanager that is down, slow
//! or wrong delays no other. A queue holds the newest message of each alert, and so never more than there are alerts.
//! It refuses to gzip (Alertmanager 0.25 does not read that), to follow redirects and to read long answers.
//!
//! Source: "Alertmanager: alerts API v2"; Prometheus, `notifier/notifier.go` for batches and counts.

mod message;
mod queue;
mod sender;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use resource_ledger::{Labels as Account, Ledger, ServiceTaskOutcome, Task};

use crate::alert::OutgoingAlert;
use crate::clock;
use crate::config::Alertmanager;
use crate::notify::queue::{Queue, Queued};
use crate::notify::sender::{Sender, Wire};

/// Alerts in one request, as in Prometheus.
pub const BATCH: usize = 64;

/// Alerts that wait for one Alertmanager at most; beyond, the oldest are dropped and counted.
pub const QUEUE_CAPACITY: usize = 10_000;

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
    client: reqwest::Client,
    receivers: Vec<Receiver>,
}

#[derive(Debug)]
struct Receiver {
    alertmanager: Alertmanager,
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
    /// No answer, Alertmanager's own failure (status 5xx), or too many requests (429): it is tried again.
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
        let client = crate::http_client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(NotifyError::Client)?;
        let mut notifier = Self {
            client,
            receivers: Vec::new(),
        };
        notifier.replace(alertmanagers, ledger);
        Ok(notifier)
    }

    /// Delivers to these from now on, and to no others. One that is there already keeps its queue and its counts; what
    /// waits for one that is not any more is dropped with it.
    pub fn replace(&mut self, alertmanagers: &[Alertmanager], ledger: &Ledger) {
        let mut before = std::mem::take(&mut self.receivers);
        for alertmanager in alertmanagers {
            let known = before
                .iter()
                .position(|own| own.alertmanager == *alertmanager);
            self.receivers.push(match known {
                Some(index) => before.swap_remove(index),
                None => self.receiver(alertmanager, ledger),
            });
        }
    }

    fn receiver(&self, alertmanager: &Alertmanager, ledger: &Ledger) -> Receiver {
        let shared = Arc::new(Shared {
            alertmanager: Arc::clone(&alertmanager.url),
            queue: Queue::new(QUEUE_CAPACITY),
            results: Default::default(),
        });
        let sender = Sender {
            shared: Arc::clone(&shared),
            wire: Wire {
                client: self.client.clone(),
                url: Arc::from(format!("{}/api/v2/alerts", alertmanager.url)),
                timeout: alertmanager.timeout,
            },
            failing: false,
        };
        let account = ledger.account::<ServiceTaskOutcome>(Account::new());
        Receiver {
            alertmanager: alertmanager.clone(),
            shared,
            task: ledger.spawn(account.open(), sender.run()),
        }
    }

    /// Queues alerts for every Alertmanager; never waits. A newer message replaces an older one of the same alert.
    pub fn send(&self, alerts: &[OutgoingAlert]) {
        for receiver in &self.receivers {
            let messages = alerts.iter().map(|message| Queued {
                alert: message.labels.clone(),
                message: message.clone(),
            });
            let dropped = receiver.shared.queue.push(messages);
            receiver.shared.dropped(dropped);
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

    /// Counts what there was no room for, and says so the first time.
    fn dropped(&self, alerts: usize) {
        if alerts > 0 && self.counted(DeliveryResult::Dropped) == 0 {
            tracing::warn!(
                alertmanager = %self.alertmanager,
                capacity = QUEUE_CAPACITY,
                "the queue of an Alertmanager is full, and its oldest alerts are dropped"
            );
        }
        self.count(DeliveryResult::Dropped, alerts);
    }

    fn counted(&self, result: DeliveryResult) -> u64 {
        self.results[result as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
