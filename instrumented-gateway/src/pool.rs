//! The connections to one endpoint.
//!
//! A connection of HTTP/1.1 has one user at a time, one of HTTP/2 ([`trunk`]) many, up to a bound on its streams.
//!
//! An own pool, since hyper-util's shows no count, has no maximum and evicts nothing in the background. Each connection has
//! one driver task ([`driver`]) that owns it, and one [`link::Link`] through which everybody else speaks to it. Whoever
//! uses the connection holds a [`Lease`]; nobody else does while it is in the list of idle ones. The ledger's entry lives in
//! the wrapper of the socket ([`io`]): opened before the socket, closed after it, so that the four states (`connecting`,
//! `idle`, `in_use`, `draining`) add up to what the kernel reports.
//!
//! Reuse does not depend on luck. hyper reads once after a body is dropped, so that the cut of the segments decides; here
//! the driver drains what is left, within bounds of bytes and time. And hyper keeps a connection whose upload is blocked
//! after the answer has ended for ever (hyper#4176); here the driver, which owns it, closes it.

mod connect;
mod driver;
mod io;
mod lease;
mod line;
mod link;
mod shelf;
mod slot;
mod trunk;

pub use io::SocketGate;
pub(crate) use lease::{Fate, Lease, Watched};
pub(crate) use line::Waiting;
pub(crate) use link::Switched;
pub(crate) use shelf::{Claim, Claimant};

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use resource_ledger::{Account, ConnectionOutcome, ConnectionTaskOutcome, Labels, Ledger};
use tokio::sync::Notify;
use web_config::ClientTls;

use crate::config::{Endpoint, Http2, UpstreamConfig};
use crate::error::ForwardError;
use crate::metrics::UpstreamMeters;
use shelf::Shelf;

/// The pool of one endpoint. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

/// What bounds a pool. Each has a default in the configuration.
#[derive(Debug, Clone)]
struct Limits {
    connect_timeout: Duration,
    max_connections: usize,
    max_idle: usize,
    idle_timeout: Duration,
    /// Whether connections that were idle for too long are closed; a drill promises the limit and does not keep it.
    idle_enforced: bool,
    max_lifetime: Option<Duration>,
    max_requests: Option<u64>,
    drain_bytes: u64,
    drain_timeout: Duration,
    max_header_bytes: usize,
    max_headers: usize,
}

/// What the pools of one upstream have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) ledger: Ledger,
    pub(crate) meters: Arc<UpstreamMeters>,
    pub(crate) gate: SocketGate,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) tasks: Account<ConnectionTaskOutcome>,
}

/// How an endpoint is spoken to.
#[derive(Debug, Clone)]
struct Speech {
    tls: Option<ClientTls>,
    http2: Http2,
    max_streams: usize,
    stream_window_bytes: u32,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    speech: Speech,
    limits: Limits,
    common: Common,
    connections: Account<ConnectionOutcome>,
    /// The line that listings show for its connections, in place of the one in [`connect`].
    place: Option<&'static Location<'static>>,
    shelf: std::sync::Mutex<Shelf>,
    emptied: Notify,
}

impl Common {
    pub(crate) fn new(
        ledger: &Ledger,
        config: &UpstreamConfig,
        meters: UpstreamMeters,
        gate: SocketGate,
    ) -> Self {
        Self {
            ledger: ledger.clone(),
            meters: Arc::new(meters),
            gate,
            waiting: Arc::new(Waiting::new(config.max_waiters)),
            tasks: driver::account(ledger, Labels::new().upstream(Arc::clone(&config.name))),
        }
    }
}

impl Limits {
    fn new(config: &UpstreamConfig) -> Self {
        Self {
            connect_timeout: config.connect_timeout,
            max_connections: config.max_connections,
            max_idle: config.max_idle,
            idle_timeout: config.idle_timeout,
            idle_enforced: true,
            max_lifetime: config.max_lifetime,
            max_requests: config.max_requests,
            drain_bytes: config.drain_bytes,
            drain_timeout: config.drain_timeout,
            max_header_bytes: config.max_response_header_bytes,
            max_headers: config.max_response_headers,
        }
    }
}

impl Speech {
    fn new(endpoint: &Endpoint, config: &UpstreamConfig) -> Self {
        Self {
            tls: config.tls.clone().filter(|_| endpoint.is_tls),
            http2: config.http2,
            max_streams: config.max_streams,
            stream_window_bytes: config.stream_window_bytes,
        }
    }

    /// Whether it is likely that a new connection carries many exchanges; the first one tells for sure.
    fn expects_streams(&self) -> bool {
        match self.http2 {
            Http2::Auto => self.tls.is_some(),
            Http2::Off => false,
            Http2::PriorKnowledge => true,
        }
    }
}

impl Pool {
    /// A pool within the configured limits.
    pub(crate) fn new(endpoint: &Endpoint, config: &UpstreamConfig, common: &Common) -> Self {
        let labels = Labels::new().upstream(Arc::clone(&config.name));
        Self::from_parts(
            endpoint,
            Speech::new(endpoint, config),
            Limits::new(config),
            common,
            connect::account(&common.ledger, labels),
            None,
        )
    }

    /// A pool that limits and expires nothing, for a drill. Its connections are counted under `connections` and listed
    /// with the line `place`; they promise the configured idle limit.
    pub(crate) fn unlimited(
        place: &'static Location<'static>,
        endpoint: &Endpoint,
        config: &UpstreamConfig,
        common: &Common,
        connections: Account<ConnectionOutcome>,
    ) -> Self {
        let limits = Limits {
            max_connections: usize::MAX,
            max_idle: usize::MAX,
            idle_enforced: false,
            max_lifetime: None,
            max_requests: None,
            ..Limits::new(config)
        };
        let speech = Speech::new(endpoint, config);
        Self::from_parts(endpoint, speech, limits, common, connections, Some(place))
    }

    fn from_parts(
        endpoint: &Endpoint,
        speech: Speech,
        limits: Limits,
        common: &Common,
        connections: Account<ConnectionOutcome>,
        place: Option<&'static Location<'static>>,
    ) -> Self {
        let shelf = Shelf::new(speech.expects_streams());
        Self {
            shared: Arc::new(Shared {
                endpoint: endpoint.clone(),
                speech,
                limits,
                common: common.clone(),
                connections,
                place,
                shelf: std::sync::Mutex::new(shelf),
                emptied: Notify::new(),
            }),
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Connections it may hold.
    pub(crate) fn limit(&self) -> usize {
        self.shared.limits.max_connections
    }

    /// An idle connection, or a place for a new one, if either is there now. `fresh` asks for a new one.
    ///
    /// # Errors
    /// If the pool takes no requests any more.
    pub(crate) fn claim(
        &self,
        claimant: &Claimant,
        fresh: bool,
    ) -> Result<Option<Claim>, ForwardError> {
        self.shared.claim(claimant, fresh)
    }

    /// Waits in line for an idle connection or a place for a new one, until the claimant's deadline.
    ///
    /// # Errors
    /// If too many wait already, the deadline passes, or the pool takes no requests any more.
    pub(crate) async fn wait(
        &self,
        claimant: &Claimant,
        fresh: bool,
    ) -> Result<Claim, ForwardError> {
        self.shared.wait(claimant, fresh).await
    }

    /// Makes a lease of a claim: connects where it is a place.
    ///
    /// # Errors
    /// If no connection can be made before the claimant's deadline.
    pub(crate) async fn lease(
        &self,
        claim: Claim,
        claimant: &Claimant,
        fate: Fate,
    ) -> Result<Lease, ForwardError> {
        let hold = match claim {
            Claim::Ready(hold) => {
                self.shared.common.meters.reused();
                hold
            }
            Claim::Connect(slot) => {
                // In a box: it is kilobytes long, and most requests find a connection.
                Box::pin(connect::connect(&self.shared, slot, claimant, &fate)).await?
            }
        };
        Ok(Lease::new(hold, Arc::clone(&self.shared), fate))
    }

    /// Keeps no idle connection any more, now or later; requests are served as before.
    pub(crate) fn retire(&self) {
        self.shared.retire();
    }

    /// Takes no requests any more: idle connections are closed as `outcome` now, the others when they come back.
    pub(crate) fn close(&self, outcome: ConnectionOutcome) {
        self.shared.close(outcome);
    }

    /// Waits until no connection is left.
    pub(crate) async fn closed(&self) {
        self.shared.closed().await;
    }

    /// Whether it holds no connection and nobody but the caller can make it one.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.shared) == 1 && self.shared.is_empty()
    }
}
