//! What the listeners and routes count as it happens.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Recorder};
use http::StatusCode;
use web_config::Renewals;

use super::{METADATA, SharedRecorder, key, names};

/// The statuses that the gateway gives by itself: their series exist from the start.
const OWN_CODES: [u16; 13] = [
    200, 400, 404, 405, 408, 413, 414, 431, 499, 500, 502, 503, 504,
];
/// The first and the number of statuses that are counted apart (RFC 9110, 15); any other counts as `other`.
const FIRST_CODE: u16 = 100;
const CODES: usize = 500;

/// A limit of a route that a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteLimit {
    /// Of its target.
    Uri,
    /// Of its head.
    RequestHead,
    /// Of its content.
    RequestBody,
    /// Of the time that its content may take.
    RequestBodyTime,
    /// Of the route's requests.
    InFlight,
    /// Of those that wait for an answer.
    Pending,
}

impl RouteLimit {
    const ALL: [Self; 6] = [
        Self::Uri,
        Self::RequestHead,
        Self::RequestBody,
        Self::RequestBodyTime,
        Self::InFlight,
        Self::Pending,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::RequestHead => "request_head",
            Self::RequestBody => "request_body",
            Self::RequestBodyTime => "request_body_time",
            Self::InFlight => "in_flight",
            Self::Pending => "pending",
        }
    }
}

/// What one route counts. Cloning is cheap, clones count together.
#[derive(Debug, Clone)]
pub(crate) struct RouteMeters(Arc<Route>);

struct Route {
    recorder: SharedRecorder,
    label: Arc<str>,
    codes: Box<[OnceLock<Counter>]>,
    other: Counter,
    duration: Histogram,
    limits: [Counter; RouteLimit::ALL.len()],
}

impl RouteMeters {
    pub(crate) fn new(recorder: &SharedRecorder, route: &Arc<str>) -> Self {
        let histogram = key(names::REQUEST_DURATION, [("route", &**route)]);
        let meters = Route {
            recorder: recorder.clone(),
            label: Arc::clone(route),
            codes: (0..CODES).map(|_| OnceLock::new()).collect(),
            other: counter(recorder, route, "other"),
            duration: recorder.register_histogram(&histogram, &METADATA),
            limits: RouteLimit::ALL.map(|limit| {
                let labels = [("route", &**route), ("limit", limit.word())];
                recorder.register_counter(&key(names::LIMIT_REACHED, labels), &METADATA)
            }),
        };
        for code in OWN_CODES {
            meters.code(code);
        }
        Self(Arc::new(meters))
    }

    /// A request ended, `duration` after its head was there.
    pub(crate) fn ended(&self, status: StatusCode, duration: Duration) {
        self.0.code(status.as_u16()).increment(1);
        self.0.duration.record(duration.as_secs_f64());
    }
}

impl RouteMeters {
    /// A request met a limit.
    pub(crate) fn limit_reached(&self, limit: RouteLimit) {
        self.0.limits[limit as usize].increment(1);
    }
}

impl Route {
    fn code(&self, code: u16) -> &Counter {
        let slot = code.checked_sub(FIRST_CODE).map(usize::from);
        match slot.and_then(|slot| self.codes.get(slot)) {
            Some(slot) => {
                slot.get_or_init(|| counter(&self.recorder, &self.label, &code.to_string()))
            }
            None => &self.other,
        }
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

fn counter(recorder: &SharedRecorder, route: &str, code: &str) -> Counter {
    let key = key(names::REQUESTS, [("route", route), ("code", code)]);
    recorder.register_counter(&key, &METADATA)
}

/// What one listener counts.
#[derive(Debug, Clone)]
pub(crate) struct ListenerMeters {
    connections: Gauge,
    limit: Gauge,
    limit_reached: Counter,
    accept_failures: Counter,
    shed: Counter,
    timeouts: Counter,
    handshake_failures: Counter,
    renewed: Counter,
    refused: Counter,
    resets_limit_reached: Counter,
}

/// One open connection of a listener; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl ListenerMeters {
    /// Registers every series of `listener`.
    pub(crate) fn new(recorder: &SharedRecorder, listener: &'static str) -> Self {
        let key = |name| key(name, [("listener", listener)]);
        let reloads = |result| {
            let labels = [("listener", listener), ("result", result)];
            recorder.register_counter(&super::key(names::TLS_RELOADS, labels), &METADATA)
        };
        let connections = recorder.register_gauge(&key(names::CLIENT_CONNECTIONS), &METADATA);
        Self {
            connections,
            limit: recorder.register_gauge(&key(names::CLIENT_CONNECTIONS_LIMIT), &METADATA),
            limit_reached: recorder.register_counter(&key(names::CLIENT_LIMIT_REACHED), &METADATA),
            accept_failures: recorder.register_counter(&key(names::ACCEPT_FAILURES), &METADATA),
            shed: recorder.register_counter(&key(names::CLIENT_CONNECTIONS_SHED), &METADATA),
            timeouts: recorder.register_counter(&key(names::CLIENT_TIMEOUTS), &METADATA),
            handshake_failures: recorder
                .register_counter(&key(names::TLS_HANDSHAKE_FAILURES), &METADATA),
            renewed: reloads("renewed"),
            refused: reloads("refused"),
            resets_limit_reached: recorder
                .register_counter(&key(names::HTTP2_RESETS_LIMIT_REACHED), &METADATA),
        }
    }

    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.increment(1.0);
        OpenConnection(self.connections.clone())
    }

    /// It may have so many connections at a time from now on.
    pub(crate) fn limit(&self, limit: usize) {
        self.limit.set(limit as f64);
    }

    pub(crate) fn limit_reached(&self) {
        self.limit_reached.increment(1);
    }

    pub(crate) fn timed_out(&self) {
        self.timeouts.increment(1);
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshake_failures.increment(1);
    }

    pub(crate) fn certificates_read_again(&self, renewals: Renewals) {
        self.renewed.absolute(renewals.renewed);
        self.refused.absolute(renewals.refused);
    }

    pub(crate) fn resets_limit_reached(&self) {
        self.resets_limit_reached.increment(1);
    }

    pub(crate) fn shed(&self) {
        self.shed.increment(1);
    }

    pub(crate) fn accept_failed(&self) {
        self.accept_failures.increment(1);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts what the access log could not write.
#[derive(Debug)]
pub(crate) struct AccessLogMeters(Counter);

impl AccessLogMeters {
    pub(crate) fn new(recorder: &SharedRecorder) -> Self {
        Self(recorder.register_counter(&key(names::ACCESS_LOG_DROPPED, []), &METADATA))
    }

    /// Meters that nobody reads.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self(Counter::noop())
    }

    pub(crate) fn dropped(&self, lines: u64) {
        self.0.increment(lines);
    }
}

/// Counts panics in handlers.
#[derive(Debug)]
pub(crate) struct PanicMeter(Counter);

impl PanicMeter {
    pub(crate) fn new(recorder: &SharedRecorder) -> Self {
        Self(recorder.register_counter(&key(names::HANDLER_PANICS, []), &METADATA))
    }

    pub(crate) fn panicked(&self) {
        self.0.increment(1);
    }
}
