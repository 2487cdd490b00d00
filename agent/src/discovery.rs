//! Which targets there are: from what is configured and discovered to what is scraped.
//!
//! Providers ([`Provider`]) each tell of groups of targets, as often as they change; a job's groups are relabelled and
//! become targets ([`JobTemplate::target`]), and what all jobs have together is one [`Roll`]. The rules are Prometheus'
//! own (`PopulateLabels` of its scrape package): a label of the group goes before the job's setting of the same name, so
//! that `__metrics_path__` or `__scrape_interval__` can differ by target; after the relabelling, port 80 is added where
//! none is given (443 for https); `instance` is the address unless set; labels that begin with `__` end here.
//!
//! [`Discovery`] runs providers for whoever needs addresses: the jobs through the [`TargetManager`], and Alertmanagers.

pub mod dns;
pub mod file;
mod group;
pub mod http;
pub mod kubernetes;
mod manager;
mod provider;
mod roll;
mod running;

use std::sync::Arc;
use std::time::Duration;

use checked_yaml::duration::parse_duration;

use crate::http_client::HttpSettings;
use crate::labels::{Labels, is_label_name};
use crate::relabel::Relabelling;

pub use group::{Group, GroupError};
pub use manager::TargetManager;
pub use provider::{Provider, ProviderReader};
pub use roll::{DroppedTarget, JobRoll, MAX_TARGETS_PER_JOB, Roll};
pub use running::{Discovery, Outlet, Report};

/// What can be scraped, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name of the job in the configuration: Prometheus' scrape pool. Usually also the label `job`.
    pub job: Arc<str>,
    /// The label `instance`.
    pub instance: Arc<str>,
    /// The labels that every series of the target gets, `job` and `instance` among them.
    pub labels: Labels,
    /// The labels as discovered, with those that begin with `__`.
    pub discovered: Labels,
    /// Where it is scraped.
    pub url: Arc<str>,
    /// From one scrape to the next.
    pub interval: Duration,
    /// How long a scrape may take, connection and body included; at most the interval.
    pub timeout: Duration,
    /// What else the target may be asked once a leak is confirmed; empty unless its job opts in.
    pub evidence: Vec<EvidenceKind>,
    /// `host:port` of the evidence: `__evidence_address__`, else the scrape address. `None` where no evidence is
    /// configured.
    pub evidence_address: Option<String>,
    /// How the job reads what it gets.
    pub settings: Arc<ScrapeSettings>,
}

/// What a job may ask of a target beside its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceKind {
    /// `GET /debug/open` and `GET /debug/closed`: what a ledger holds and how entries ended.
    Ledger,
    /// `GET /debug/tasks`: the live tasks by place.
    Tasks,
    /// `GET /debug/pprof/goroutine`, and `goroutineleak` where Go offers it.
    Pprof,
}

/// What is the same for every target of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeSettings {
    /// Whether a label of the target's own wins over ours of the same name; otherwise it becomes `exported_…`.
    pub honor_labels: bool,
    /// Whether a sample's own time counts.
    pub honor_timestamps: bool,
    /// Whether gzip is asked for.
    pub enable_compression: bool,
    /// Which formats are asked for, the best first; empty for those of Prometheus 2.
    pub protocols: Vec<ScrapeProtocol>,
    /// How a body is read whose Content-Type is missing or unknown; as text with a warning where nothing is set.
    pub fallback_protocol: Option<ScrapeProtocol>,
    /// Whom to trust, who to be, and through which proxy.
    pub http: HttpSettings,
    /// `metric_relabel_configs`.
    pub metric_relabelling: Relabelling,
    /// What a scrape may cost.
    pub limits: ScrapeLimits,
}

/// A format of metrics, as `scrape_protocols` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeProtocol {
    /// `OpenMetricsText1.0.0`
    OpenMetrics1,
    /// `OpenMetricsText0.0.1`
    OpenMetrics0,
    /// `PrometheusText0.0.4`
    Text0,
    /// `PrometheusText1.0.0`
    Text1,
}

/// What a scrape may cost; `None` is no limit. All but `series` fail the scrape; what is above that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeLimits {
    /// Bytes of the body after decompression.
    pub body_bytes: Option<u64>,
    /// Samples in the body, those that nobody watches included.
    pub samples: Option<u64>,
    /// Labels of a watched series, the target's included.
    pub labels: Option<u64>,
    /// Bytes of a label name of a watched series.
    pub label_name_bytes: Option<u64>,
    /// Bytes of a label value of a watched series.
    pub label_value_bytes: Option<u64>,
    /// Watched series of one target.
    pub series: Option<u64>,
    /// Targets of the job; above it none of them is scraped.
    pub targets: Option<u64>,
}

impl Default for ScrapeLimits {
    fn default() -> Self {
        Self {
            body_bytes: Some(50 << 20),
            samples: Some(500_000),
            labels: Some(64),
            label_name_bytes: Some(512),
            label_value_bytes: Some(4096),
            series: Some(10_000),
            targets: None,
        }
    }
}

/// What a job contributes to its targets.
#[derive(Debug, Clone, PartialEq)]
pub struct JobTemplate {
    /// `job_name`.
    pub job: Arc<str>,
    /// `scrape_interval`.
    pub interval: Duration,
    /// `scrape_timeout`.
    pub timeout: Duration,
    /// `metrics_path`.
    pub metrics_path: String,
    /// `scheme`.
    pub scheme: String,
    /// `params`, in the order of their names.
    pub params: Vec<(String, Vec<String>)>,
    /// `relabel_configs`.
    pub relabelling: Relabelling,
    /// `evidence`.
    pub evidence: Vec<EvidenceKind>,
    /// The rest.
    pub settings: Arc<ScrapeSettings>,
}

/// Why an address and its labels are no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is nothing to scrape.
    #[error("the address is empty")]
    EmptyAddress,
    /// The address is a URL, or has a path.
    #[error("`{0}` is not host:port; scheme and path belong into `scheme` and `metrics_path`")]
    NotHostPort(String),
    /// The address holds a user's name or password. It is not repeated in the message.
    #[error("the address holds credentials, which do not belong there")]
    Credentials,
    /// The address cannot be part of a URL.
    #[error("`{address}` is not host:port: {reason}")]
    InvalidAddress {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing that can be asked.
    #[error("scheme `{0}` is neither http nor https")]
    Scheme(String),
    /// `__scrape_interval__` or `__scrape_timeout__` is no duration above zero.
    #[error("label {label}: `{value}` is not a duration above zero such as 15s")]
    Duration {
        /// The label.
        label: &'static str,
        /// Its value.
        value: String,
    },
    /// A scrape could outlast its interval.
    #[error("the scrape timeout ({timeout:?}) is longer than the interval ({interval:?})")]
    TimeoutAboveInterval {
        /// The timeout.
        timeout: Duration,
        /// The interval.
        interval: Duration,
    },
}

impl JobTemplate {
    /// The target with these labels of its own and of its group, `__address__` among them; `None` where the relabelling
    /// drops it.
    ///
    /// # Errors
    /// Why there can be no such target.
    pub fn target(&self, member: &Labels) -> Result<Option<Target>, TargetError> {
        let discovered = self.discovered(member);
        let Some(relabelled) = self.relabelling.apply(&discovered) else {
            return Ok(None);
        };
        let read = |name: &str| relabelled.get(name).unwrap_or_default();
        let scheme = read("__scheme__");
        let scheme = if scheme.is_empty() { "http" } else { scheme };
        if !["http", "https"].contains(&scheme) {
            return Err(TargetError::Scheme(scheme.to_owned()));
        }
        let address = with_port(read("__address__"), scheme)?;
        let url = self.url(&relabelled, scheme, &address)?;
        let interval = duration_label(&relabelled, "__scrape_interval__")?;
        let timeout = duration_label(&relabelled, "__scrape_timeout__")?;
        if timeout > interval {
            return Err(TargetError::TimeoutAboveInterval { timeout, interval });
        }
        let mut labels = relabelled.retain(|name| !name.starts_with("__"));
        if !labels.contains("instance") {
            labels = labels.with("instance", address.as_str());
        }
        let evidence_address = match relabelled.get("__evidence_address__") {
            _ if self.evidence.is_empty() => None,
            Some(own) => Some(with_port(own, "http")?),
            None => Some(address),
        };
        Ok(Some(Target {
            job: Arc::clone(&self.job),
            instance: Arc::from(labels.get("instance").unwrap_or_default()),
            labels,
            discovered,
            url,
            interval,
            timeout,
            evidence: self.evidence.clone(),
            evidence_address,
            settings: Arc::clone(&self.settings),
        }))
    }

    /// A target's labels before the relabelling: its own, and the job's settings where those say nothing.
    pub(crate) fn discovered(&self, member: &Labels) -> Labels {
        let settings: Labels = [
            ("job", self.job.to_string()),
            ("__scrape_interval__", duration_text(self.interval)),
            ("__scrape_timeout__", duration_text(self.timeout)),
            ("__metrics_path__", self.metrics_path.clone()),
            ("__scheme__", self.scheme.clone()),
        ]
        .into_iter()
        .collect();
        let mut labels = member.or(&settings);
        for (name, values) in &self.params {
            let label = format!("__param_{name}");
            if let Some(first) = values.first()
                && is_label_name(&label)
            {
                labels = labels.with(label, first.as_str());
            }
        }
        labels
    }

    fn url(
        &self,
        discovered: &Labels,
        scheme: &str,
        address: &str,
    ) -> Result<Arc<str>, TargetError> {
        let invalid = |reason: String| TargetError::InvalidAddress {
            address: address.to_owned(),
            reason,
        };
        let mut url = reqwest::Url::parse(&format!("{scheme}://{address}"))
            .map_err(|error| invalid(error.to_string()))?;
        // What a URL reads as something else than host and port, such as a backslash.
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(TargetError::NotHostPort(address.to_owned()));
        }
        url.set_path(discovered.get("__metrics_path__").unwrap_or_default());
        let query = self.query(discovered);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Arc::from(url.as_str()))
    }

    /// The job's parameters; a label `__param_name` replaces the first value of its name.
    fn query(&self, discovered: &Labels) -> Vec<(String, String)> {
        let mut params = self.params.clone();
        for (name, value) in discovered.iter() {
            let Some(name) = name.strip_prefix("__param_") else {
                continue;
            };
            match params.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) if !values.is_empty() => values[0] = value.to_owned(),
                Some((_, values)) => values.push(value.to_owned()),
                None => params.push((name.to_owned(), vec![value.to_owned()])),
            }
        }
        params.sort();
        params
            .into_iter()
            .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)))
            .collect()
    }
}

/// The address with the port of its scheme where it has none, as Prometheus 2 adds it.
pub(crate) fn with_port(address: &str, scheme: &str) -> Result<String, TargetError> {
    if address.is_empty() {
        return Err(TargetError::EmptyAddress);
    }
    if address.contains('@') {
        return Err(TargetError::Credentials);
    }
    if address.contains(['/', '?', '#', ' ']) {
        return Err(TargetError::NotHostPort(address.to_owned()));
    }
    let host_end = address.rfind(']').map_or(0, |bracket| bracket + 1);
    let rest = &address[host_end..];
    let bare_ipv6 = host_end == 0 && rest.matches(':').count() > 1;
    let invalid = |reason: &str| TargetError::InvalidAddress {
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    if bare_ipv6 {
        return Err(invalid("an IPv6 address stands in brackets"));
    }
    match rest.split_once(':') {
        None if scheme == "https" => Ok(format!("{address}:443")),
        None => Ok(format!("{address}:80")),
        Some((_, port)) => match port.parse::<u16>() {
            Ok(0) => Err(invalid("port 0 cannot be connected to")),
            Ok(_) if host_end == 0 && rest.starts_with(':') => Err(invalid("the host is missing")),
            Ok(_) => Ok(address.to_owned()),
            Err(_) => Err(invalid("the port is not a number from 1 to 65535")),
        },
    }
}

/// A duration in Prometheus' notation.
fn duration_text(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

fn duration_label(labels: &Labels, label: &'static str) -> Result<Duration, TargetError> {
    let value = labels.get(label).unwrap_or_default();
    parse_duration(value)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| TargetError::Duration {
            label,
            value: value.to_owned(),
        })
}

#[cfg(test)]
mod tests;
