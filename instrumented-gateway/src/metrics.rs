//! The one file that names the gateway's own metrics.
//!
//! Counters and histograms are handles, registered once on the recorder that the gateway owns; there is no global
//! recorder. Every series that can be foreseen exists from the start, so that a rate sees the first failure. Levels are
//! not kept here: they are published at scrape time from the ledger, which cannot drift from what is held.

use std::time::Duration;

use ::metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};

const METADATA: Metadata<'static> = Metadata::new("instrumented_gateway", Level::INFO, None);

const POOL_CONNECTS: &str = "gateway_pool_connects_total";
const POOL_REUSES: &str = "gateway_pool_reuses_total";
const UPSTREAM_REQUESTS: &str = "gateway_upstream_requests_total";
const UPSTREAM_REQUEST_DURATION: &str = "gateway_upstream_request_duration_seconds";
const UPSTREAM_REJECTED: &str = "gateway_upstream_rejected_total";

/// How an exchange with an upstream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamResult {
    /// The upstream answered.
    Ok,
    /// No connection, a broken exchange, or an answer that could not be used.
    Failed,
    /// A deadline passed.
    TimedOut,
    /// The client left, or a sibling's failure ended the request.
    Cancelled,
}

impl UpstreamResult {
    /// All results, in the order of their series.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::TimedOut, Self::Cancelled];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an exchange was refused before the upstream was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The in-flight limit is reached.
    InFlight,
    /// The bound on waiters is reached.
    Waiters,
    /// The gateway is shutting down.
    Draining,
}

impl Rejection {
    /// All reasons, in the order of their series.
    pub const ALL: [Self; 3] = [Self::InFlight, Self::Waiters, Self::Draining];

    fn word(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Waiters => "waiters",
            Self::Draining => "draining",
        }
    }
}

/// What one upstream counts as it happens.
#[derive(Debug, Clone)]
pub struct UpstreamMeters {
    connects: Counter,
    reuses: Counter,
    results: [Counter; UpstreamResult::ALL.len()],
    duration: Histogram,
    rejected: [Counter; Rejection::ALL.len()],
}

impl UpstreamMeters {
    /// Registers every series of `upstream`.
    pub fn new(recorder: &dyn Recorder, upstream: &str) -> Self {
        let counter = |name: &'static str, label: Option<(&'static str, &'static str)>| {
            recorder.register_counter(&key(name, upstream, label), &METADATA)
        };
        Self {
            connects: counter(POOL_CONNECTS, None),
            reuses: counter(POOL_REUSES, None),
            results: UpstreamResult::ALL
                .map(|result| counter(UPSTREAM_REQUESTS, Some(("result", result.word())))),
            duration: recorder
                .register_histogram(&key(UPSTREAM_REQUEST_DURATION, upstream, None), &METADATA),
            rejected: Rejection::ALL
                .map(|reason| counter(UPSTREAM_REJECTED, Some(("reason", reason.word())))),
        }
    }

    /// Meters that nobody reads.
    pub fn detached() -> Self {
        Self {
            connects: Counter::noop(),
            reuses: Counter::noop(),
            results: UpstreamResult::ALL.map(|_| Counter::noop()),
            duration: Histogram::noop(),
            rejected: Rejection::ALL.map(|_| Counter::noop()),
        }
    }

    /// A transport connection was begun.
    pub fn connecting(&self) {
        self.connects.increment(1);
    }

    /// An exchange got a connection that had served before.
    pub fn reused(&self) {
        self.reuses.increment(1);
    }

    /// An exchange ended, `duration` after it began: at its response head, or at its failure.
    pub fn finished(&self, result: UpstreamResult, duration: Duration) {
        self.results[result as usize].increment(1);
        self.duration.record(duration.as_secs_f64());
    }

    /// An exchange was refused.
    pub fn rejected(&self, reason: Rejection) {
        self.rejected[reason as usize].increment(1);
    }
}

fn key(name: &'static str, upstream: &str, label: Option<(&'static str, &'static str)>) -> Key {
    let mut labels = vec![Label::new("upstream", upstream.to_owned())];
    labels.extend(label.map(|(name, value)| Label::from_static_parts(name, value)));
    Key::from_parts(name, labels)
}
