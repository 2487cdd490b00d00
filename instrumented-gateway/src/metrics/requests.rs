//! What the listeners and routes count as it happens.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Recorder};
use http::StatusCode;
use web_config::Renewals;

use super::{METADATA, SharedRecorder, key, names};

/// The statuses that the gateway gives by itself: their series exist from the start.
const OWN_CODES: [u16; 10] = [200, 400, 404, 405, 408, 499, 500, 502, 503, 504];
/// The first and the number of statuses that are counted apart (RFC 9110, 15); any other counts as `other`.
const FIRST_CODE: u16 = 100;
const CODES: usize = 500;

/// What one route counts. Cloning is cheap, clones count together.
#[derive(Debug, Clone)]
pub(crate) struct RouteMeters(Arc<Route>);

struct Route {
    recorder: SharedRecorder,
    label: Arc<str>,
    codes: Box<[OnceLock<Counter>]>,
    other: Counter,
    duration: Histogram,
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

    pub(crate) fn accept_failed(&self) {
        self.accept_failures.increment(1);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
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
