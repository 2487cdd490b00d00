//! One alert that says of itself that it is a test, through everything that a real one goes through: external labels,
//! relabelling, discovery, credentials. What each Alertmanager answered is told, and nothing is tried again.

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::{Ledger, Settings};

use crate::alert::OutgoingAlert;
use crate::clock;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::http_client::HttpClient;
use crate::labels::Labels;
use crate::notify::queue::Queued;
use crate::notify::sender::{Failure, Wire};
use crate::notify::{IDLE_CONNECTIONS, Set, found, relabelled};

/// The label `alertname` of a test.
pub const ALERTNAME: &str = "LeakAgentTest";

/// How long discovery may take to find Alertmanagers.
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As a leak that waits for the morning.
    Ticket,
    /// As a leak that wakes somebody.
    Page,
}

/// What became of the test at one Alertmanager, or at one set in which there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its URL, or which set of the configuration.
    pub alertmanager: Arc<str>,
    /// What it answered.
    pub answer: Answer,
}

/// What an Alertmanager answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took the alert.
    Taken,
    /// Relabelling drops it: such an alert is not sent there.
    Dropped,
    /// It did not take it, and why.
    Refused(String),
}

impl Answer {
    /// Whether real alerts would arrive.
    pub fn is_good(&self) -> bool {
        *self == Self::Taken
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken => f.write_str("taken"),
            Self::Dropped => f.write_str("not sent: alert_relabel_configs drop it"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// The alert that is sent.
pub fn alert(config: &Config, severity: Severity, is_over: bool, now: Timestamp) -> OutgoingAlert {
    let alerting = &config.alerting;
    let severity = match severity {
        Severity::Ticket => &alerting.severities.ticket,
        Severity::Page => &alerting.severities.page,
    };
    let labels: Labels = [
        ("alertname", ALERTNAME),
        ("job", "leak-agent"),
        ("severity", severity),
        ("signal", "test"),
    ]
    .into_iter()
    .collect();
    let annotations = [
        ("summary", "Test of leak-agent: nothing leaks"),
        (
            "description",
            "Somebody ran `leak-agent test-alert` to see whether its alerts arrive. There is nothing to do; it ends by \
             itself within minutes, or at once by `leak-agent test-alert --resolve`.",
        ),
    ];
    let promise = 4 * config.global.evaluation_interval.max(alerting.resend_delay);
    OutgoingAlert {
        labels: labels.or(&config.global.external_labels),
        annotations: annotations.into_iter().collect(),
        starts_at: now,
        ends_at: if is_over { now } else { now + promise },
        generator_url: config.web.external_url.as_deref().map_or_else(
            || format!("http://{}/", config.web.listen),
            |url| format!("{url}/"),
        ),
        resolved: is_over,
    }
}

/// Sends a test of this severity, or the end of one; what came of it at each Alertmanager of the configuration.
///
/// # Errors
/// The system gives no runtime.
pub fn run(config: &Config, severity: Severity, is_over: bool) -> std::io::Result<Vec<Tried>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let alert = alert(config, severity, is_over, clock::now());
    Ok(runtime.block_on(send(config, &alert)))
}

/// Sends an alert once to every Alertmanager of the configuration, and waits for the answers.
pub async fn send(config: &Config, alert: &OutgoingAlert) -> Vec<Tried> {
    let ledger = Ledger::new(Settings::default());
    let sets = discovered(config, &ledger).await;
    let mut tried = Vec::new();
    for (index, set) in sets.iter().enumerate() {
        let of_set = found(std::slice::from_ref(set));
        if of_set.is_empty() {
            let errors: Vec<String> = set
                .discovery
                .outlets()
                .iter()
                .filter_map(|outlet| outlet.report().error)
                .collect();
            let why = format!("there is no Alertmanager in it. {}", errors.join("; "));
            tried.push(Tried {
                alertmanager: format!("alerting.alertmanagers[{index}]").into(),
                answer: Answer::Refused(why.trim_end().to_owned()),
            });
        }
        for (endpoint, set) in of_set {
            let message = relabelled(alert, &config.alerting.relabelling)
                .and_then(|message| relabelled(&message, &set.settings.alert_relabelling));
            let answer = match message {
                None => Answer::Dropped,
                Some(message) => {
                    let wire = Wire {
                        client: set.client.clone(),
                        url: endpoint.post_url,
                        timeout: set.settings.timeout,
                    };
                    let queued = Queued {
                        alert: alert.labels.clone(),
                        message,
                    };
                    match wire.post(&[queued]).await {
                        Ok(()) => Answer::Taken,
                        Err(failure) => Answer::Refused(words(&failure)),
                    }
                }
            };
            tried.push(Tried {
                alertmanager: endpoint.name,
                answer,
            });
        }
    }
    tried
}

/// The sets of the configuration, once every provider has said what there is, or that it cannot.
async fn discovered(config: &Config, ledger: &Ledger) -> Vec<Set> {
    let changed = Arc::new(tokio::sync::Notify::new());
    let sets: Vec<Set> = config
        .alerting
        .alertmanagers
        .iter()
        .map(|settings| Set {
            settings: settings.clone(),
            client: HttpClient::new(settings.http.clone(), IDLE_CONNECTIONS),
            discovery: Discovery::start(
                &settings.providers,
                "alertmanagers",
                Arc::clone(&changed),
                ledger,
            ),
        })
        .collect();
    let has_spoken = |set: &Set| {
        set.discovery.outlets().iter().all(|outlet| {
            let report = outlet.report();
            report.succeeded_at.is_some() || report.error.is_some()
        })
    };
    let speaking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while !sets.iter().all(has_spoken) {
            looks.tick().await;
        }
    };
    // Who has said nothing by then has found nothing.
    let _ = clock::timeout(DISCOVERY_PATIENCE, speaking).await;
    sets
}

fn words(failure: &Failure) -> String {
    match failure.status {
        Some(status) if failure.reason.is_empty() => format!("status {status}"),
        Some(status) => format!("status {status}: {}", failure.reason),
        None => failure.reason.clone(),
    }
}
