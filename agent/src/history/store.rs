//! A range of a Prometheus-compatible store as a history: which series there are, then their samples in order of time.
//!
//! A store serves others while it is asked, so it is asked gently: what exists first, then one stretch of time after
//! the other in portions of a few hundred series, at most four questions at once, each limited in time and size, with
//! growing pauses after a failure. One stretch of all series is held in memory, and one more is fetched while it is
//! played. What could not be read, or was answered in part, is told as unknown and never taken for silence.

mod answer;
mod client;
mod error;
mod increment;
mod listing;
mod plan;
mod reader;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::config::{Config, Source};
use crate::history::USUAL_LABELS;
use crate::http_client::HttpSettings;
use crate::labels::Labels;
use answer::MatrixShape;
use client::Client;

pub use error::{Fault, StoreError};
pub use increment::{Beat, Increment};
pub use listing::{Listing, Wanted};
pub use reader::{Reader, Stretch, Unknown};

/// How far apart the samples of a target are in most stores, at the most.
const USUAL_INTERVAL: Duration = Duration::from_secs(60);

/// What a store may be burdened with, and what it may burden us with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// How long one question may take; 2 min, as Prometheus' own `query.timeout`.
    pub timeout: Duration,
    /// How often a question is asked before it is given up; 6.
    pub tries: u32,
    /// From a failure to the next try: the first pause, doubled each time, up to the longest; 1 s and 60 s.
    pub pauses: (Duration, Duration),
    /// Questions at once; 4.
    pub concurrency: usize,
    /// Bytes of one answer, decompressed; 256 MiB.
    pub answer_bytes: usize,
    /// Samples of one answer; 20,000,000.
    pub answer_samples: usize,
    /// Series in all; 400,000. Those above are dropped and told.
    pub series: usize,
    /// Samples of one stretch of time, roughly; 1,000,000.
    pub stretch_samples: usize,
    /// The header `X-Scope-OrgID`: whose data it is, in Mimir, Cortex and their kin.
    pub tenant: Option<Arc<str>>,
    /// Only series that meet these matchers, as they stand between the braces of a selector.
    pub matchers: Option<Arc<str>>,
    /// Who asks, over which TLS, through which proxy.
    pub http: HttpSettings,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            tries: 6,
            pauses: (Duration::from_secs(1), Duration::from_secs(60)),
            concurrency: 4,
            answer_bytes: 256 << 20,
            answer_samples: 20_000_000,
            series: 400_000,
            stretch_samples: 1_000_000,
            tenant: None,
            matchers: None,
            http: HttpSettings::default(),
        }
    }
}

impl StoreSettings {
    /// As a source of the configuration says.
    pub fn of_source(source: &Source) -> Self {
        Self {
            timeout: source.timeout,
            concurrency: source.concurrency,
            answer_bytes: source.body_size_limit,
            answer_samples: source.sample_limit,
            series: source.series_limit,
            tries: 4,
            stretch_samples: 2_000_000,
            tenant: source.tenant.clone(),
            matchers: source.matchers.clone(),
            http: source.http.clone(),
            ..Self::default()
        }
    }
}

/// From when to when, and how densely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first instant.
    pub from: Timestamp,
    /// The last instant.
    pub to: Timestamp,
    /// One value a step, the last in it; `None` for every sample as it was scraped.
    pub step: Option<Duration>,
}

impl Range {
    /// The longest usual time between two samples of a target.
    pub fn interval(&self) -> Duration {
        self.step.unwrap_or_default().max(USUAL_INTERVAL)
    }
}

/// A Prometheus-compatible store: Prometheus, Thanos, Mimir, Cortex, VictoriaMetrics.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
}

/// Times and values of one series, in order of time.
pub type Values = Vec<(Timestamp, f64)>;

impl Store {
    /// A store at a URL: scheme, host, path prefix without `/api/v1`, and user and password where the settings have none.
    ///
    /// # Errors
    /// The URL cannot be used, or no HTTP client be made.
    pub fn new(url: &str, settings: StoreSettings) -> Result<Self, StoreError> {
        Ok(Self {
            client: Client::new(url, settings)?,
        })
    }

    /// The store that a command line names: by its URL, or by the name of one of the configuration's sources. Where the
    /// configuration has a source of this name or URL, its settings apply.
    ///
    /// # Errors
    /// As for [`Store::new`].
    pub fn named(text: &str, config: &Config) -> Result<Self, StoreError> {
        let is_meant =
            |own: &&Source| *own.name == *text || *own.url == *text.trim_end_matches('/');
        match config.sources.iter().find(is_meant) {
            None => Self::new(text, StoreSettings::default()),
            Some(source) => {
                let patient = StoreSettings::default();
                let settings = StoreSettings {
                    tries: patient.tries,
                    stretch_samples: patient.stretch_samples,
                    ..StoreSettings::of_source(source)
                };
                Self::new(&source.url, settings)
            }
        }
    }

    /// Its address without credentials.
    pub fn shown(&self) -> &str {
        self.client.shown()
    }

    /// The values of an expression at every `step` of a range, both ends included: for a picture or a check. The step
    /// must part the range into no more than 11,000 points.
    ///
    /// # Errors
    /// What came of the last try, a partial answer included.
    pub async fn values(
        &self,
        expression: &str,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<(Labels, Values)>, StoreError> {
        let query = [
            ("query", expression.to_owned()),
            ("start", seconds(from.millis())),
            ("end", seconds(to.millis())),
            ("step", plan::span(plan::millis(step))),
            (
                "timeout",
                plan::span(plan::millis(self.client.settings.timeout)),
            ),
        ];
        let asked = self.client.ask::<MatrixShape>("query_range", &query).await;
        let matrix = asked.outcome.map_err(|fault| StoreError::Request {
            url: self.client.endpoint("query_range"),
            fault,
            tries: asked.tries,
        })?;
        let own = |values: &[(i64, f64)]| {
            let dated = values.iter();
            dated
                .map(|(at, value)| (Timestamp::from_millis(*at), *value))
                .collect()
        };
        Ok(matrix
            .iter()
            .map(|(labels, values)| (labels.clone(), own(values)))
            .collect())
    }
}

/// Milliseconds since the Unix epoch as the API takes times.
fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

/// The labels by which a counter of load may be summed without mixing two targets.
fn target_labels(up: &[Labels]) -> Arc<[Arc<str>]> {
    let names = up
        .iter()
        .flat_map(|labels| labels.iter().map(|(name, _)| name));
    let all: BTreeSet<&str> = names
        .filter(|name| *name != "__name__")
        .chain(USUAL_LABELS)
        .collect();
    all.into_iter().map(Arc::from).collect()
}

#[cfg(test)]
pub(crate) mod tests;
