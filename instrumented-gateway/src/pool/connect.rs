//! From an endpoint to a connection: name, socket, handshake, driver.
//!
//! The name is resolved before anything is counted. Then, for each address in turn, the entry is opened and the socket after
//! it, both behind the gate, so that no snapshot sees one without the other.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use resource_ledger::{Account, ConnectionOutcome, CountedIo, Entry, Labels, Ledger};
use tokio::net::{TcpSocket, TcpStream};

use super::Shared;
use super::driver::Driver;
use super::io::{PooledIo, SocketGate};
use super::lease::Fate;
use super::link::{Link, Session};
use super::shelf::Claimant;
use super::slot::Slot;
use crate::clock;
use crate::config::Endpoint;
use crate::error::{ForwardError, Stage};

/// The account of pooled connections, with this file as its site.
pub(super) fn account(ledger: &Ledger, labels: Labels) -> Account<ConnectionOutcome> {
    ledger.account(labels)
}

/// Connects, and starts the driver.
pub(super) async fn connect(
    pool: &Arc<Shared>,
    slot: Arc<Slot>,
    claimant: &Claimant,
    fate: &Fate,
) -> Result<Session, ForwardError> {
    let until = claimant
        .deadline
        .min(clock::now() + pool.limits.connect_timeout);
    let connecting = connect_to_any(pool, claimant, until, fate);
    let (stream, entry) = if claimant.enforced {
        match clock::timeout_at(until, connecting).await {
            Ok(connected) => connected,
            Err(clock::Elapsed) => return Err(ForwardError::TimedOut(Stage::Connect)),
        }
    } else {
        connecting.await
    }
    .map_err(ForwardError::Connect)?;
    start(pool, slot, stream, entry, claimant).await
}

async fn connect_to_any(
    pool: &Arc<Shared>,
    claimant: &Claimant,
    until: Instant,
    fate: &Fate,
) -> io::Result<(TcpStream, Entry<ConnectionOutcome>)> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in resolve(&pool.endpoint).await? {
        pool.common.meters.connecting();
        let connecting = Connecting::begin(pool, address, claimant, until, fate)?;
        match connecting.await {
            Ok(connected) => return Ok(connected),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let addresses = tokio::net::lookup_host((&*endpoint.host, endpoint.port)).await?;
    Ok(addresses.collect())
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// A socket on its way to being connected, and its entry, which is closed after it.
struct Connecting {
    attempt: Option<Attempt>,
    entry: Option<Entry<ConnectionOutcome>>,
    gate: SocketGate,
    until: Instant,
    fate: Fate,
}

impl Connecting {
    fn begin(
        pool: &Shared,
        address: SocketAddr,
        claimant: &Claimant,
        until: Instant,
        fate: &Fate,
    ) -> io::Result<Self> {
        let gate = pool.common.gate.clone();
        let moving = gate.moving();
        let entry = pool
            .connections
            .open_for(Some(&claimant.owner), Some(until));
        entry.set_state("connecting");
        entry.will_close(ConnectionOutcome::ConnectFailed);
        if let Some(place) = pool.place {
            entry.set_site(place);
        }
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // The first poll asks the kernel; it knows the socket's peer when this returns.
        let mut attempt: Attempt = Box::pin(socket.connect(address));
        let attempt = match poll_once(&mut attempt) {
            Poll::Ready(result) => Box::pin(std::future::ready(result)),
            Poll::Pending => attempt,
        };
        drop(moving);
        Ok(Self {
            attempt: Some(attempt),
            entry: Some(entry),
            gate,
            until,
            fate: fate.clone(),
        })
    }
}

/// Polls a future that will be polled again by somebody who can be woken.
fn poll_once<T>(attempt: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Poll<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    attempt.as_mut().poll(&mut context)
}

impl Future for Connecting {
    type Output = io::Result<(TcpStream, Entry<ConnectionOutcome>)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(attempt) = &mut this.attempt else {
            return Poll::Pending;
        };
        let Poll::Ready(result) = attempt.as_mut().poll(context) else {
            return Poll::Pending;
        };
        this.attempt = None;
        let entry = this.entry.take();
        Poll::Ready(result.and_then(|stream| {
            let entry = entry.ok_or(io::ErrorKind::NotConnected)?;
            Ok((stream, entry))
        }))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        let _moving = self.gate.moving();
        if self.attempt.take().is_some()
            && let Some(entry) = self.entry.take()
        {
            entry.close(if clock::now() >= self.until {
                ConnectionOutcome::ConnectFailed
            } else {
                self.fate.outcome(ConnectionOutcome::ConnectFailed)
            });
        }
    }
}

async fn start(
    pool: &Arc<Shared>,
    slot: Arc<Slot>,
    stream: TcpStream,
    entry: Entry<ConnectionOutcome>,
    claimant: &Claimant,
) -> Result<Session, ForwardError> {
    let handle = entry.handle();
    handle.will_close(ConnectionOutcome::Error);
    let common = &pool.common;
    let io = PooledIo::new(
        CountedIo::new(stream, entry),
        Arc::clone(&slot),
        common.gate.clone(),
    );
    let (sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(io))
        .await
        .map_err(ForwardError::Upstream)?;
    let link = Arc::new(Link::new(handle, slot, clock::now()));
    link.wait_for_head(claimant);
    let driver = Driver::new(Arc::clone(pool), Arc::clone(&link), connection);
    driver.spawn();
    Ok(Session::new(sender, link))
}
