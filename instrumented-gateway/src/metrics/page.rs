//! The text of `/metrics`: everything published and rendered under one lock.
//!
//! The ledger's levels, the pools' and the totals of time are written at each scrape; the exporter renders what it holds
//! and our own lines follow, for the totals that have fractions.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use ::metrics::{Gauge, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use resource_ledger::{Exporter, Ledger, Snapshot};
use tokio::runtime::Handle;
use tokio_metrics::TaskMonitor;

use crate::pool::SocketGate;

use super::process::ProcessLevels;
use super::runtime::{Fraction, RuntimeLevels};
use super::{METADATA, SharedRecorder, key, names};

/// The media type of the text (Prometheus' exposition formats, 0.0.4).
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the histograms' buckets in seconds; without them the exporter would render summaries.
const BUCKETS_SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// The states of a pool's connections, as the ledger knows them.
const POOL_STATES: [&str; 4] = ["connecting", "idle", "in_use", "draining"];

/// What is known of an upstream at scrape time only.
pub(crate) struct UpstreamLevels {
    name: Arc<str>,
    states: [Gauge; POOL_STATES.len()],
    limit_gauge: Gauge,
    limit: Box<dyn Fn() -> usize + Send + Sync>,
    waiters_gauge: Gauge,
    waiters: Box<dyn Fn() -> usize + Send + Sync>,
}

impl UpstreamLevels {
    /// Registers every series of `upstream`, whose pools may hold `limit` connections at the time.
    pub(crate) fn new(
        recorder: &SharedRecorder,
        upstream: &Arc<str>,
        limit: impl Fn() -> usize + Send + Sync + 'static,
        waiters: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        let label = [("upstream", &**upstream)];
        let state = |state| {
            let labels = label.into_iter().chain([("state", state)]);
            recorder.register_gauge(&key(names::POOL_CONNECTIONS, labels), &METADATA)
        };
        Self {
            name: Arc::clone(upstream),
            states: POOL_STATES.map(state),
            limit_gauge: recorder.register_gauge(&key(names::POOL_LIMIT, label), &METADATA),
            limit: Box::new(limit),
            waiters_gauge: recorder.register_gauge(&key(names::POOL_WAITERS, label), &METADATA),
            waiters: Box::new(waiters),
        }
    }

    fn publish(&self, snapshot: &Snapshot) {
        for (gauge, state) in self.states.iter().zip(POOL_STATES) {
            let open = snapshot.open_in_state("pool_connection", &self.name, state);
            gauge.set(open as f64);
        }
        self.limit_gauge.set((self.limit)() as f64);
        self.waiters_gauge.set((self.waiters)() as f64);
    }
}

/// Whether a drill is on.
pub(crate) struct DrillSwitch {
    gauge: Gauge,
    is_active: Box<dyn Fn() -> bool + Send + Sync>,
}

impl DrillSwitch {
    /// Registers the series of `drill`.
    pub(crate) fn new(
        recorder: &SharedRecorder,
        drill: &str,
        is_active: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            gauge: recorder
                .register_gauge(&key(names::DRILL_ACTIVE, [("drill", drill)]), &METADATA),
            is_active: Box::new(is_active),
        }
    }
}

/// Renders `/metrics`.
pub(crate) struct Page {
    recorder: SharedRecorder,
    handle: PrometheusHandle,
    exporter: Exporter,
    runtime: RuntimeLevels,
    process: ProcessLevels,
    /// Of every upstream that was ever configured.
    upstreams: Mutex<Vec<UpstreamLevels>>,
    drills: Vec<DrillSwitch>,
}

impl Page {
    /// A recorder for this page: every meter is registered on it.
    pub(crate) fn recorder() -> SharedRecorder {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS_SECONDS)
            .expect("there are buckets")
            .build_recorder();
        names::describe(&recorder);
        Arc::new(recorder)
    }

    /// A page over the ledger and the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(
        recorder: SharedRecorder,
        ledger: Ledger,
        fan_out: TaskMonitor,
        upstreams: Vec<UpstreamLevels>,
        drills: Vec<DrillSwitch>,
    ) -> Self {
        let exporter = Exporter::new(ledger);
        exporter.describe(&*recorder);
        Self {
            handle: recorder.handle(),
            exporter,
            runtime: RuntimeLevels::new(&*recorder, Handle::current(), fan_out),
            process: ProcessLevels::new(&*recorder),
            upstreams: Mutex::new(upstreams),
            drills,
            recorder,
        }
    }

    /// Publishes an upstream from now on; one of the same name is published already, and goes on.
    pub(crate) fn publish_also(&self, levels: UpstreamLevels) {
        let mut upstreams = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if upstreams.iter().all(|known| known.name != levels.name) {
            upstreams.push(levels);
        }
    }

    /// The text. The ledger's values and the pools' are of the same moment, in which no pooled socket is half-way opened
    /// or closed.
    pub(crate) fn render(&self, gate: &SocketGate) -> String {
        let still = gate.still();
        self.exporter.render(&*self.recorder, |snapshot| {
            drop(still);
            let upstreams = self
                .upstreams
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for upstream in upstreams.iter() {
                upstream.publish(snapshot);
            }
            drop(upstreams);
            for drill in &self.drills {
                let active = (drill.is_active)();
                drill.gauge.set(if active { 1.0 } else { 0.0 });
            }
            let fractions = self.runtime.publish();
            let cpu_seconds = self.process.publish();
            let mut text = self.handle.render();
            let cpu = cpu_seconds.map(|seconds| (names::PROCESS_CPU_SECONDS, &[][..], seconds));
            for fraction in fractions.into_iter().chain(cpu) {
                write_fraction(&mut text, fraction);
            }
            text
        })
    }

    /// Folds what the histograms have collected; to be called every few seconds, or they grow.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// One counter of our own lines. Label values are constants that need no escape.
fn write_fraction(text: &mut String, (name, labels, value): Fraction) {
    let help = names::FRACTIONAL
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, help)| help);
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    let labels = match labels.as_slice() {
        [] => String::new(),
        labels => format!("{{{}}}", labels.join(",")),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# HELP {name} {help}\n# TYPE {name} counter\n{name}{labels} {value}\n\n"
    );
}

#[cfg(test)]
mod tests;
