//! What one upstream counts as it happens.

use std::time::Duration;

use ::metrics::{Counter, Histogram, Recorder};
use web_config::Renewals;

use super::{METADATA, key, names};

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

/// What one upstream counts as it happens. Cloning is cheap, clones count together.
#[derive(Debug, Clone)]
pub struct UpstreamMeters {
    connects: Counter,
    reuses: Counter,
    results: [Counter; UpstreamResult::ALL.len()],
    duration: Histogram,
    interim: Counter,
    rejected: [Counter; Rejection::ALL.len()],
    renewed: Counter,
    refused: Counter,
    response_heads_too_large: Counter,
}

impl UpstreamMeters {
    /// Registers every series of `upstream`.
    pub fn new(recorder: &dyn Recorder, upstream: &str) -> Self {
        let counter = |name: &'static str, label: Option<(&'static str, &'static str)>| {
            let labels = std::iter::once(("upstream", upstream)).chain(label);
            recorder.register_counter(&key(name, labels), &METADATA)
        };
        let duration = key(names::UPSTREAM_REQUEST_DURATION, [("upstream", upstream)]);
        Self {
            connects: counter(names::POOL_CONNECTS, None),
            reuses: counter(names::POOL_REUSES, None),
            results: UpstreamResult::ALL
                .map(|result| counter(names::UPSTREAM_REQUESTS, Some(("result", result.word())))),
            duration: recorder.register_histogram(&duration, &METADATA),
            interim: counter(names::UPSTREAM_INTERIM, None),
            rejected: Rejection::ALL
                .map(|reason| counter(names::UPSTREAM_REJECTED, Some(("reason", reason.word())))),
            renewed: counter(names::UPSTREAM_TLS_RELOADS, Some(("result", "renewed"))),
            refused: counter(names::UPSTREAM_TLS_RELOADS, Some(("result", "refused"))),
            response_heads_too_large: counter(names::RESPONSE_HEAD_LIMIT_REACHED, None),
        }
    }

    /// Meters that nobody reads.
    pub fn detached() -> Self {
        Self {
            connects: Counter::noop(),
            reuses: Counter::noop(),
            results: UpstreamResult::ALL.map(|_| Counter::noop()),
            duration: Histogram::noop(),
            interim: Counter::noop(),
            rejected: Rejection::ALL.map(|_| Counter::noop()),
            renewed: Counter::noop(),
            refused: Counter::noop(),
            response_heads_too_large: Counter::noop(),
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

    /// The upstream sent an interim answer (1xx).
    pub fn informational(&self) {
        self.interim.increment(1);
    }

    /// How often its certificates were read again.
    pub fn certificates_read_again(&self, renewals: Renewals) {
        self.renewed.absolute(renewals.renewed);
        self.refused.absolute(renewals.refused);
    }

    /// An answer's head was larger than allowed.
    pub fn response_head_too_large(&self) {
        self.response_heads_too_large.increment(1);
    }

    /// An exchange was refused.
    pub fn rejected(&self, reason: Rejection) {
        self.rejected[reason as usize].increment(1);
    }
}
