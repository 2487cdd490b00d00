//! One upstream: its endpoints in turn, its limits, and one exchange at a time with it.
//!
//! An exchange is a place among the requests in flight (or 503, at once), a connection of an endpoint's pool (reused, new,
//! or waited for), the request, and the head of the answer, all within one deadline. What it gives is a `Reply`, whose
//! body is counted by whoever takes it: the count's site is the place that is responsible for reading it. A request that
//! met a connection which the upstream was just closing is sent again, once, where that is safe (RFC 9110, 9.2.2).

mod body;
mod exchange;
mod framing;
mod in_flight;
mod meter;

pub use body::UpstreamBody;
pub(crate) use exchange::{BodyBound, Conduit, Exchange, Lane, Reply};
pub use framing::Flaw;
pub(crate) use in_flight::{InFlight, Place};

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Extensions, HeaderValue, Request};
use resource_ledger::{Account, ConnectionOutcome, Ledger};
use web_config::ClientTls;

use crate::config::UpstreamConfig;
use crate::error::ForwardError;
use crate::metrics::UpstreamMeters;
use crate::pool::{Claimant, Common, Fate, Lease, Pool, SocketGate};

/// One configured upstream.
#[derive(Debug)]
pub struct Upstream {
    config: UpstreamConfig,
    pools: Vec<Pool>,
    next: AtomicUsize,
    common: Common,
    in_flight: Arc<InFlight>,
    /// What every request carries so that interim answers (1xx) are counted; hyper reads over them.
    interim: Extensions,
}

impl Upstream {
    /// An upstream without connections. `gate` is the gateway's: it is still while a snapshot is taken.
    pub fn new(
        config: &UpstreamConfig,
        ledger: &Ledger,
        meters: UpstreamMeters,
        gate: &SocketGate,
    ) -> Arc<Self> {
        let common = Common::new(ledger, config, meters, gate.clone());
        let pools = config
            .endpoints
            .iter()
            .map(|endpoint| Pool::new(endpoint, config, &common))
            .collect();
        Arc::new(Self {
            config: config.clone(),
            pools,
            next: AtomicUsize::new(0),
            in_flight: Arc::new(InFlight::new(config.max_in_flight)),
            interim: interim(&common.meters),
            common,
        })
    }

    /// Its configured name.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Requests that wait for a connection.
    pub fn waiters(&self) -> usize {
        self.common.waiting.count()
    }

    /// Connections it may hold, over all its endpoints.
    pub fn limit(&self) -> usize {
        self.pools
            .iter()
            .fold(0, |sum, pool| sum.saturating_add(pool.limit()))
    }

    /// Reads the certificates for it again; `false` where they cannot be used, which the log tells.
    pub fn reread_certificates(&self) -> bool {
        self.config.tls.as_ref().is_none_or(ClientTls::reread)
    }

    /// Requests in flight that count against the limit.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// What it was made with.
    pub(crate) fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// Another configuration has taken its place: it keeps no idle connection any more. Requests that have it are served.
    pub(crate) fn retire(&self) {
        for pool in &self.pools {
            pool.retire();
        }
    }

    /// Whether it holds no connection, and nobody but the caller can make it one.
    pub(crate) fn is_unused(&self) -> bool {
        self.pools.iter().all(Pool::is_unused)
    }

    /// Takes no requests any more, closes what is idle, and waits until the exchanges under way have ended and their
    /// connections are closed. The caller bounds the wait; dropping what holds the exchanges ends it.
    pub async fn shutdown(&self) {
        for pool in &self.pools {
            pool.close(ConnectionOutcome::Shutdown);
        }
        for pool in &self.pools {
            pool.closed().await;
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.common.ledger
    }

    /// A pool of its own for one request, which limits and expires nothing: the fault of one drill. It is listed with the
    /// caller's line.
    #[track_caller]
    pub(crate) fn client_of_its_own(&self, connections: &Account<ConnectionOutcome>) -> Pool {
        let endpoint = self.pools[self.turn()].endpoint();
        Pool::unlimited(
            Location::caller(),
            endpoint,
            &self.config,
            &self.common,
            connections.clone(),
        )
    }

    fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.pools.len()
    }

    /// A connection to the endpoint whose turn it is, or to the next one that has a free one, or after waiting for one; and
    /// to another endpoint if that cannot be reached. With it comes the `Host` of its endpoint.
    async fn lease(
        &self,
        lane: &Lane,
        claimant: &Claimant,
        fate: &Fate,
        fresh: bool,
    ) -> Result<(Lease, HeaderValue), ForwardError> {
        if let Lane::Private(pool) = lane {
            return lease_after_waiting(pool, claimant, fate, fresh).await;
        }
        let turn = self.turn();
        let mut failure = None;
        let mut busy = None;
        for step in 0..self.pools.len() {
            let pool = &self.pools[(turn + step) % self.pools.len()];
            let Some(claim) = pool.claim(claimant, fresh)? else {
                busy.get_or_insert(pool);
                continue;
            };
            match pool.lease(claim, claimant, fate.clone()).await {
                Ok(lease) => return Ok((lease, pool.endpoint().authority.clone())),
                Err(error @ ForwardError::Connect(_)) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        match (busy, failure) {
            (None, Some(failure)) => Err(failure),
            (busy, _) => {
                let pool = busy.unwrap_or(&self.pools[turn]);
                lease_after_waiting(pool, claimant, fate, fresh).await
            }
        }
    }
}

fn interim(meters: &Arc<UpstreamMeters>) -> Extensions {
    let meters = Arc::clone(meters);
    let mut template = Request::new(());
    hyper::ext::on_informational(&mut template, move |_| meters.informational());
    std::mem::take(template.extensions_mut())
}

async fn lease_after_waiting(
    pool: &Pool,
    claimant: &Claimant,
    fate: &Fate,
    fresh: bool,
) -> Result<(Lease, HeaderValue), ForwardError> {
    let claim = pool.wait(claimant, fresh).await?;
    let lease = pool.lease(claim, claimant, fate.clone()).await?;
    Ok((lease, pool.endpoint().authority.clone()))
}
