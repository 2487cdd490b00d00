//! The configuration, in Prometheus' words: read, checked whole, and with every default in its place.
//!
//! A job can be pasted from `prometheus.yml`; a key of Prometheus that does nothing here is a mistake that says so,
//! because a setting that is silently ignored (a relabelling, a credential) changes what is watched. All mistakes are
//! found in one reading, each with its key and line. Every default is in this file or in [`ScrapeLimits`], and stands
//! in `agent.example.yml`, where a test compares them.
//!
//! [`ScrapeLimits`]: crate::discovery::ScrapeLimits

mod alerting;
mod jobs;
mod overrides;
mod pair;
mod prometheus_keys;
mod read;
mod signals;
mod sources;
mod url_template;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use checked_yaml::Mistakes;
use leak_detect::Timestamp;

use crate::catalogue::{Catalogue, LevelSpec};
use crate::discovery::{Group, JobTemplate, Provider, Target};
use crate::http_client::HttpSettings;
use crate::labels::Labels;
use crate::relabel::Relabelling;
use crate::shard::Shard;
use crate::workload;

pub use url_template::{UrlTemplate, UrlTemplateError};

/// A configuration without a mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `global`.
    pub global: Global,
    /// `scrape_configs`, in their order.
    pub jobs: Vec<Job>,
    /// `sources`, in their order.
    pub sources: Vec<Source>,
    /// `alerting`.
    pub alerting: Alerting,
    /// `pair`.
    pub pair: Pair,
    /// `overrides`, in their order; the first that matches counts.
    pub overrides: Vec<Override>,
    /// `storage`.
    pub storage: Storage,
    /// `web`.
    pub web: Web,
    /// `signals`: levels beside those that the catalogue knows.
    pub signals: Vec<LevelSpec>,
    /// `workload_by`: the labels that make a workload; `None` for the target's labels less those of an instance.
    pub workload_by: Option<Vec<Arc<str>>>,
    /// `limits`.
    pub limits: Limits,
    /// Which share of the workloads is watched: `--shard`, which stands in no file, because it differs by agent.
    pub shard: Option<Shard>,
    /// Where it was read, to be read again at a reload; `None` for a text.
    pub file: Option<PathBuf>,
}

/// What holds for all jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    /// `scrape_interval`, of jobs that set none; 15 s.
    pub scrape_interval: Duration,
    /// `scrape_timeout`, of jobs that set none; 10 s, at most the job's interval.
    pub scrape_timeout: Duration,
    /// `evaluation_interval`; the shortest interval of all jobs unless set.
    pub evaluation_interval: Duration,
    /// `external_labels`: added to alerts that lack them.
    pub external_labels: Labels,
}

/// One of `scrape_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What its targets have in common.
    pub template: JobTemplate,
    /// The targets of its `static_configs`.
    pub targets: Vec<Arc<Target>>,
    /// Those of them that its `relabel_configs` drop: their labels as discovered.
    pub dropped: Vec<Labels>,
    /// Its `*_sd_configs`.
    pub providers: Vec<Provider>,
}

/// One of `sources`: a store of Prometheus' kind that is queried.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// `name`: in metrics, logs and the state; host and port of the URL unless set.
    pub name: Arc<str>,
    /// `url`: with path prefix, without `/api/v1` and without a final slash.
    pub url: Arc<str>,
    /// `tenant`: the header `X-Scope-OrgID`.
    pub tenant: Option<Arc<str>>,
    /// `match`: only series that meet these matchers, as they stand between the braces of a selector.
    pub matchers: Option<Arc<str>>,
    /// `lookback`: how much history is read at the start where no state tells what came before; 14 d, zero for none.
    pub lookback: Duration,
    /// `step`: how densely it is read; 5 min.
    pub step: Duration,
    /// `query_offset`: an evaluation sees what was measured up to so long before it; a third of the evaluation interval,
    /// at most 10 s, unless set.
    pub query_offset: Option<Duration>,
    /// `timeout` of one question; 2 min.
    pub timeout: Duration,
    /// `concurrency`: questions at once; 4, which is also the most.
    pub concurrency: usize,
    /// `series_limit`: series in all; 400,000. Those above are dropped and told.
    pub series_limit: usize,
    /// `sample_limit`: samples of one answer; 20,000,000.
    pub sample_limit: usize,
    /// `body_size_limit`: bytes of one answer, decompressed; 256 MiB.
    pub body_size_limit: usize,
    /// Prometheus' client settings: who asks, over which TLS, through which proxy.
    pub http: HttpSettings,
}

/// Who is told, when and in which words.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerting {
    /// `mode`.
    pub mode: Mode,
    /// `dry_run`: everything is shown and counted, nothing is sent.
    pub dry_run: bool,
    /// `for`: how long a leak must have been convicted before its alert fires; zero.
    pub pending: Duration,
    /// `keep_firing_for`: how long an alert fires on after its incident has ended; 1 min.
    pub keep_firing_for: Duration,
    /// `resend_delay`: a firing alert is sent again after more than this; 1 min.
    pub resend_delay: Duration,
    /// `false_alerts_per_year`, for the whole agent.
    pub false_alerts_per_year: FalseAlerts,
    /// `severities`: the values of the label `severity`.
    pub severities: Severities,
    /// `runbook_url`: the annotation of that name.
    pub runbook_url: Option<UrlTemplate>,
    /// `dashboard_url`: the annotation of that name.
    pub dashboard_url: Option<UrlTemplate>,
    /// `alert_relabel_configs`: what becomes of the labels of every alert that is sent.
    pub relabelling: Relabelling,
    /// `alertmanagers`; every Alertmanager of every set gets every alert.
    pub alertmanagers: Vec<AlertmanagerSet>,
}

/// Who raises the alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The agent sends to Alertmanager.
    Push,
    /// The agent only exports its metrics, and rules in Prometheus alert.
    Rules,
}

/// How many false alerts a year are bearable, for the whole agent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FalseAlerts {
    /// Of those that wake somebody; 1.
    pub page: f64,
    /// Of those that wait for the morning; 12.
    pub ticket: f64,
}

/// The values of the label `severity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Severities {
    /// Of `ResourceLeak` and `ConnectionReuseLost`; `warning`.
    pub ticket: Arc<str>,
    /// Of `ResourceLeakUrgent`; `critical`.
    pub page: Arc<str>,
}

/// One of `alertmanagers`: Alertmanagers that are found and spoken to alike.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertmanagerSet {
    /// `scheme`; http.
    pub scheme: String,
    /// `path_prefix`, with a slash in front and none behind; empty for the root.
    pub path_prefix: String,
    /// How long one delivery may take; 10 s.
    pub timeout: Duration,
    /// `static_configs`.
    pub groups: Vec<Group>,
    /// The other ways to find them.
    pub providers: Vec<Provider>,
    /// `relabel_configs`: what becomes of what is found.
    pub relabelling: Relabelling,
    /// `alert_relabel_configs`: what becomes of the labels of alerts that are sent there.
    pub alert_relabelling: Relabelling,
    /// The client settings.
    pub http: HttpSettings,
}

/// The other agents that watch the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// `peers`; empty for an agent by itself.
    pub peers: Vec<Peer>,
    /// `down_after`: a peer that has not answered for so long does not count; 90 s, or less where the promises to
    /// Alertmanager are shorter.
    pub down_after: Duration,
}

/// One of `pair.peers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Where its web interface is, without a final slash.
    pub url: Arc<str>,
    /// Where it answers with its report.
    pub report_url: reqwest::Url,
    /// The client settings of the section.
    pub http: HttpSettings,
    /// How long one answer may take; 5 s.
    pub timeout: Duration,
}

/// What is known to grow, or to leak, and how to treat it.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// `match`: labels that a series must carry, with these values; never empty.
    pub matches: Labels,
    /// `signals`: the metric families concerned; empty for all.
    pub signals: Vec<Arc<str>>,
    /// `mode`.
    pub mode: Option<OverrideMode>,
    /// `floor`: the absolute floor, in the signal's unit, instead of the catalogue's.
    pub floor: Option<f64>,
    /// `until`: from then on it is listed and not obeyed.
    pub until: Option<Timestamp>,
}

/// What an override forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideMode {
    /// No alert at all.
    Off,
    /// No page.
    TicketOnly,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// `path`: a directory, relative to the working directory; `data`.
    pub path: PathBuf,
}

/// The agent's own web interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// `listen`; 127.0.0.1:9465.
    pub listen: SocketAddr,
    /// `external_url`: under which people reach it, without a final slash; `http://` (`https://` with TLS) and the
    /// listener's address unless set.
    pub external_url: Option<Arc<str>>,
    /// `config_file`: what is demanded of those who connect, a web configuration file of Prometheus' exporters; nothing
    /// where absent.
    pub config_file: Option<PathBuf>,
    /// `enable_reload`: whether `POST /-/reload` does something; false.
    pub enable_reload: bool,
}

/// What the whole agent may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `series`: watched series of all targets; 200,000. Those above are dropped and counted.
    pub series: usize,
    /// `alerts`: alerts that live at once; 1,000. Those above are counted and not sent.
    pub alerts: usize,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has mistakes.
    #[error("{} has {}:\n{mistakes}", path.display(), counted(mistakes.len()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of them.
        mistakes: Mistakes,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it cannot be read, or every mistake in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::read(path, read::Purpose::Watch)
    }

    /// For the judgement over a history: a file, which need not say what is to be scraped, or every default. Of a
    /// history more alerts may live at once than of what is watched, unless the file says how many.
    ///
    /// # Errors
    /// Why it cannot be read, or every mistake in it.
    pub fn of_history(path: Option<&Path>) -> Result<Self, ConfigError> {
        path.map_or_else(
            || Ok(Self::for_history()),
            |path| Self::read(path, read::Purpose::History),
        )
    }

    fn read(path: &Path, purpose: read::Purpose) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let read = read::config(&text, purpose, directory);
        let mut config = read.map_err(|mistakes| ConfigError::Invalid {
            path: path.to_owned(),
            mistakes,
        })?;
        config.file = Some(path.to_owned());
        Ok(config)
    }

    /// Reads a text; the files that it names are relative to the working directory.
    ///
    /// # Errors
    /// Every mistake in it, with key and line.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        read::config(text, read::Purpose::Watch, Path::new(""))
    }

    /// Every default: how a history is judged without a configuration.
    ///
    /// # Panics
    /// Never: a configuration without a key has no mistake.
    pub fn for_history() -> Self {
        let defaults = read::config("{}", read::Purpose::History, Path::new(""));
        defaults.expect("no key is no mistake")
    }

    /// Whether a target with these labels is in this agent's share.
    pub fn owns(&self, target: &Labels) -> bool {
        self.shard.is_none_or(|shard| {
            shard.owns(&workload::of_target(target, self.workload_by.as_deref()))
        })
    }

    /// Those of the targets that are in this agent's share.
    pub fn share_of(&self, targets: &[Arc<Target>]) -> Vec<Arc<Target>> {
        let own = targets.iter().filter(|target| self.owns(&target.labels));
        own.cloned().collect()
    }

    /// How many agents share what is watched.
    pub fn shards(&self) -> u64 {
        self.shard.map_or(1, |shard| u64::from(shard.count()))
    }

    /// What is watched: the catalogue and the configuration's own signals.
    pub fn catalogue(&self) -> Catalogue {
        let mut catalogue = Catalogue::built_in();
        for signal in &self.signals {
            // A signal that collides was refused when the configuration was read.
            let _ = catalogue.add(signal.clone());
        }
        catalogue
    }

    /// Every static target of every job, in their order.
    pub fn targets(&self) -> Vec<Arc<Target>> {
        self.jobs
            .iter()
            .flat_map(|job| job.targets.iter().cloned())
            .collect()
    }
}

impl Source {
    /// A source with every default.
    pub fn at(url: Arc<str>) -> Self {
        let rest = url.split_once("://").map_or(&*url, |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default();
        Self {
            name: Arc::from(host),
            url,
            tenant: None,
            matchers: None,
            lookback: Duration::from_secs(14 * 86_400),
            step: Duration::from_secs(300),
            query_offset: None,
            timeout: Duration::from_secs(120),
            concurrency: 4,
            series_limit: 400_000,
            sample_limit: 20_000_000,
            body_size_limit: 256 << 20,
            http: HttpSettings::default(),
        }
    }
}

impl Override {
    /// Whether a series of this signal with these labels is meant.
    pub fn concerns(&self, signal: &str, labels: &Labels) -> bool {
        (self.signals.is_empty() || self.signals.iter().any(|own| **own == *signal))
            && labels.includes(&self.matches)
    }

    /// Whether its time is over.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

impl Default for Alerting {
    fn default() -> Self {
        Self {
            mode: Mode::Push,
            dry_run: false,
            pending: Duration::ZERO,
            keep_firing_for: Duration::from_secs(60),
            resend_delay: Duration::from_secs(60),
            false_alerts_per_year: FalseAlerts {
                page: 1.0,
                ticket: 12.0,
            },
            severities: Severities {
                ticket: Arc::from("warning"),
                page: Arc::from("critical"),
            },
            runbook_url: None,
            dashboard_url: None,
            relabelling: Relabelling::default(),
            alertmanagers: Vec::new(),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data"),
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9465)),
            external_url: None,
            config_file: None,
            enable_reload: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 200_000,
            alerts: 1000,
        }
    }
}

fn counted(mistakes: usize) -> String {
    match mistakes {
        1 => "a mistake".to_owned(),
        many => format!("{many} mistakes"),
    }
}

#[cfg(test)]
mod tests;
