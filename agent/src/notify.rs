//! Delivery to Alertmanagers: every alert to each of them, by its own queue and its own task.
//!
//! Alertmanager forgets all alerts when it restarts, so that the engine's sending again is the guarantee of delivery;
//! this module adds that what could not be delivered is tried again soon, that one Alertmanager that is down, slow or
//! wrong delays no other, and that one which is discovered late is given what it has missed. A queue holds the newest
//! message of each alert, and so never more than there are alerts. Labels are rewritten here, after the engine has added
//! the external ones: first for all, then for each set of Alertmanagers. It refuses to gzip (Alertmanager 0.25 does not
//! read that), to follow redirects to other hosts and to read long answers.
//!
//! Source: "Alertmanager: alerts API v2"; Prometheus, `notifier/notifier.go` for batches, counts and relabelling.

mod alertmanagers;
mod message;
mod queue;
mod sender;
pub mod test_alert;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::{Labels as Account, Ledger, ServiceTaskOutcome, Task};
use tokio::sync::Notify;

use crate::alert::{OutgoingAlert, RESOLVED_RETENTION};
use crate::clock;
use crate::config::{Alerting, AlertmanagerSet};
use crate::discovery::{Discovery, Group};
use crate::http_client::HttpClient;
use crate::labels::Labels;
use crate::notify::alertmanagers::Endpoint;
use crate::notify::queue::{Queue, Queued};
use crate::notify::sender::{Sender, Wire};
use crate::relabel::Relabelling;

pub(crate) use alertmanagers::endpoint;

/// Alerts in one request, as in Prometheus.
pub const BATCH: usize = 64;

/// Alerts that wait for one Alertmanager at most; beyond, the oldest are dropped and counted.
pub const QUEUE_CAPACITY: usize = 10_000;

/// Alertmanagers that are sent to at most; discovery that finds more is broken.
pub const MAX_ALERTMANAGERS: usize = 100;

/// Connections that are kept open to each Alertmanager: one is sent to at a time.
const IDLE_CONNECTIONS: usize = 1;

/// Delivers to every Alertmanager. Dropping it ends the deliveries at once.
#[derive(Debug)]
pub struct Notifier {
    state: Arc<Mutex<State>>,
    _watching: Task<()>,
}

/// Who is sent to, and what they have to know.
#[derive(Debug)]
struct State {
    ledger: Ledger,
    relabelling: Relabelling,
    sets: Vec<Set>,
    receivers: Vec<Receiver>,
    /// The newest message of every alert that is not over for long, for those who are discovered later.
    recent: BTreeMap<Labels, OutgoingAlert>,
    /// Notified when discovery has found something else.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Set {
    settings: AlertmanagerSet,
    client: HttpClient,
    discovery: Discovery,
}

#[derive(Debug)]
struct Receiver {
    endpoint: Endpoint,
    settings: AlertmanagerSet,
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
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(alerting: &Alerting, ledger: &Ledger) -> Self {
        let changed = Arc::new(Notify::new());
        let mut state = State {
            ledger: ledger.clone(),
            relabelling: Relabelling::default(),
            sets: Vec::new(),
            receivers: Vec::new(),
            recent: BTreeMap::new(),
            changed: Arc::clone(&changed),
        };
        state.replace(alerting);
        let state = Arc::new(Mutex::new(state));
        let account = ledger.account::<ServiceTaskOutcome>(Account::new());
        let watched = Arc::downgrade(&state);
        let watching = ledger.spawn(account.open(), async move {
            loop {
                changed.notified().await;
                let Some(state) = watched.upgrade() else {
                    return;
                };
                lock(&state).renew_receivers();
            }
        });
        Self {
            state,
            _watching: watching,
        }
    }

    /// Goes on by another configuration. An Alertmanager that is there already keeps its queue and its counts; what
    /// waits for one that is not any more is dropped with it.
    pub fn replace(&self, alerting: &Alerting) {
        lock(&self.state).replace(alerting);
    }

    /// Queues alerts for every Alertmanager; never waits. A newer message replaces an older one of the same alert.
    pub fn send(&self, alerts: &[OutgoingAlert]) {
        let mut state = lock(&self.state);
        state.remember(alerts, clock::now());
        let messages = state.relabelled(alerts);
        for receiver in &state.receivers {
            receiver.take(&messages);
        }
    }

    /// What has been delivered so far, in the order of the configuration.
    pub fn deliveries(&self) -> Vec<Deliveries> {
        let state = lock(&self.state);
        let receivers = state.receivers.iter();
        receivers
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
        let receivers = {
            let mut state = lock(&self.state);
            state.sets.clear();
            std::mem::take(&mut state.receivers)
        };
        for receiver in &receivers {
            receiver.shared.queue.close();
        }
        let ends = async {
            for receiver in receivers {
                // A sender that panicked has nothing left to deliver.
                let _ = receiver.task.await;
            }
        };
        // What is not delivered by then is sent again by the next life of the agent.
        let _ = clock::timeout(limit, ends).await;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // What panicked in between has lost one message at most, which is sent again.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn replace(&mut self, alerting: &Alerting) {
        self.relabelling = alerting.relabelling.clone();
        let mut before = std::mem::take(&mut self.sets);
        for settings in &alerting.alertmanagers {
            let known = before.iter().position(|own| own.settings == *settings);
            self.sets.push(match known {
                Some(index) => before.swap_remove(index),
                None => Set {
                    settings: settings.clone(),
                    client: HttpClient::new(settings.http.clone(), IDLE_CONNECTIONS),
                    discovery: Discovery::start(
                        &settings.providers,
                        "alertmanagers",
                        Arc::clone(&self.changed),
                        &self.ledger,
                    ),
                },
            });
        }
        self.renew_receivers();
    }

    /// Sends to those who are known now. One that is new is given what it has missed.
    fn renew_receivers(&mut self) {
        let mut before = std::mem::take(&mut self.receivers);
        let found = found(&self.sets);
        if found.len() > MAX_ALERTMANAGERS {
            tracing::error!(
                found = found.len(),
                limit = MAX_ALERTMANAGERS,
                "discovery finds more Alertmanagers than are sent to"
            );
        }
        for (endpoint, set) in found.into_iter().take(MAX_ALERTMANAGERS) {
            let known = before
                .iter()
                .position(|own| own.endpoint == endpoint && own.settings == set.settings);
            let receiver = match known {
                Some(index) => before.swap_remove(index),
                None => self.receiver(endpoint, set),
            };
            self.receivers.push(receiver);
        }
        for gone in before {
            tracing::info!(alertmanager = %gone.endpoint.name, "an Alertmanager is sent to no longer");
        }
    }

    fn receiver(&self, endpoint: Endpoint, set: &Set) -> Receiver {
        tracing::info!(alertmanager = %endpoint.name, "an Alertmanager is sent to");
        let shared = Arc::new(Shared {
            alertmanager: Arc::clone(&endpoint.name),
            queue: Queue::new(QUEUE_CAPACITY),
            results: Default::default(),
        });
        let sender = Sender {
            shared: Arc::clone(&shared),
            wire: Wire {
                client: set.client.clone(),
                url: endpoint.post_url.clone(),
                timeout: set.settings.timeout,
            },
            failing: false,
        };
        let account = self.ledger.account::<ServiceTaskOutcome>(Account::new());
        let receiver = Receiver {
            endpoint,
            settings: set.settings.clone(),
            shared,
            task: self.ledger.spawn(account.open(), sender.run()),
        };
        let missed: Vec<OutgoingAlert> = self.recent.values().cloned().collect();
        receiver.take(&self.relabelled(&missed));
        receiver
    }

    /// Keeps the newest message of each alert, and forgets those that say nothing any more.
    fn remember(&mut self, alerts: &[OutgoingAlert], now: Timestamp) {
        for alert in alerts {
            self.recent.insert(alert.labels.clone(), alert.clone());
        }
        self.recent.retain(|_, alert| {
            let kept = if alert.resolved {
                RESOLVED_RETENTION.as_secs_f64()
            } else {
                0.0
            };
            now - alert.ends_at <= kept
        });
    }

    fn relabelled(&self, alerts: &[OutgoingAlert]) -> Vec<Queued> {
        let relabelled = alerts.iter().filter_map(|alert| {
            Some(Queued {
                alert: alert.labels.clone(),
                message: relabelled(alert, &self.relabelling)?,
            })
        });
        relabelled.collect()
    }
}

/// Every Alertmanager of every set, each once.
fn found(sets: &[Set]) -> Vec<(Endpoint, &Set)> {
    let mut all: Vec<(Endpoint, &Set)> = Vec::new();
    for set in sets {
        let discovered = set.discovery.groups();
        let groups = set
            .settings
            .groups
            .iter()
            .chain(discovered.iter().flat_map(|own| own.iter()));
        for target in groups.flat_map(Group::members) {
            match endpoint(&set.settings, &target) {
                Ok(Some(endpoint)) if all.iter().all(|(known, _)| *known != endpoint) => {
                    all.push((endpoint, set));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, %target, "what was discovered is no Alertmanager")
                }
            }
        }
    }
    all
}

/// The message with the labels that the rules leave; `None` where they drop it, or leave it none.
fn relabelled(alert: &OutgoingAlert, rules: &Relabelling) -> Option<OutgoingAlert> {
    let labels = rules.apply(&alert.labels)?;
    (!labels.is_empty()).then(|| OutgoingAlert {
        labels,
        ..alert.clone()
    })
}

impl Receiver {
    fn take(&self, messages: &[Queued]) {
        let own = messages.iter().filter_map(|queued| {
            Some(Queued {
                alert: queued.alert.clone(),
                message: relabelled(&queued.message, &self.settings.alert_relabelling)?,
            })
        });
        self.shared.dropped(self.shared.queue.push(own));
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
