//! What the gateway says of itself, in Prometheus' words, and the listener that says it.
//!
//! Counters and histograms are handles, registered once on a recorder that the gateway owns; there is no global recorder.
//! Every series that can be foreseen exists from the start, so that a rate sees the first failure. Levels are not kept:
//! they are published at scrape time from the ledger, which cannot drift from what is held.

mod listener;
mod names;
mod page;
mod process;
mod reload;
mod requests;
mod runtime;
mod upstream;

use std::sync::Arc;

use ::metrics::{Key, Label, Level, Metadata, SharedString};
use metrics_exporter_prometheus::PrometheusRecorder;

pub(crate) use listener::MetricsListener;
pub(crate) use page::{DrillSwitch, Page, UpstreamLevels};
pub(crate) use reload::ReloadMeters;
pub(crate) use requests::{AccessLogMeters, ListenerMeters, PanicMeter, RouteLimit, RouteMeters};
pub use upstream::{Rejection, UpstreamMeters, UpstreamResult};

const METADATA: Metadata<'static> = Metadata::new("instrumented_gateway", Level::INFO, None);

/// The recorder that the gateway owns.
pub(crate) type SharedRecorder = Arc<PrometheusRecorder>;

fn key<'a>(name: &'static str, labels: impl IntoIterator<Item = (&'static str, &'a str)>) -> Key {
    let labels: Vec<Label> = labels
        .into_iter()
        .map(|(name, value)| Label::new(name, SharedString::from(value.to_owned())))
        .collect();
    Key::from_parts(name, labels)
}
