//! From an endpoint to a connection: name, socket, TLS, protocol, driver.
//!
//! The name is resolved before anything is counted. Then, for each address in turn, the entry is opened and the socket after
//! it, both behind the gate, so that no snapshot sees one without the other.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use resource_ledger::{Account, ConnectionOutcome, CountedIo, Entry, EntryHandle, Labels, Ledger};
use tokio::net::{TcpSocket, TcpStream};

use super::Shared;
use super::driver::Driver;
use super::io::{PooledIo, SocketGate, Transport};
use super::lease::{Fate, Hold};
use super::link::{Link, Session};
use super::shelf::Claimant;
use super::slot::Slot;
use super::trunk;
use crate::clock;
use crate::config::{Endpoint, Http2};
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
) -> Result<Hold, ForwardError> {
    let until = claimant
        .deadline
        .min(clock::now() + pool.limits.connect_timeout);
    let connecting = establish(pool, &slot, claimant, until, fate);
    let (transport, entry) = if claimant.enforced {
        match clock::timeout_at(until, connecting).await {
            Ok(connected) => connected,
            Err(_) => return Err(ForwardError::TimedOut(Stage::Connect)),
        }
    } else {
        connecting.await
    }
    .map_err(ForwardError::Connect)?;
    start(pool, slot, transport, entry, claimant).await
}

type Connected = (Transport, EntryHandle<ConnectionOutcome>);

/// A connection over which HTTP can be spoken.
async fn establish(
    pool: &Arc<Shared>,
    slot: &Arc<Slot>,
    claimant: &Claimant,
    until: Instant,
    fate: &Fate,
) -> io::Result<Connected> {
    let (stream, entry) = connect_to_any(pool, claimant, until, fate).await?;
    let handle = entry.handle();
    let io = PooledIo::new(
        CountedIo::new(stream, entry),
        Arc::clone(slot),
        pool.common.gate.clone(),
    );
    let Some(tls) = &pool.speech.tls else {
        return Ok((Transport::Plain(io), handle));
    };
    // What may switch to another protocol is HTTP/1.1 only (RFC 9113, 8.6).
    let protocols = claimant.alone.then_some(&["http/1.1"][..]);
    let mut shaking = pin!(tls.connect(&pool.endpoint.host, io, protocols));
    // Dropped before the socket, where this future is.
    let given_up = GivenUp {
        entry: &handle,
        until,
        fate,
        is_over: false,
    };
    let shaken = shaking.as_mut().await;
    given_up.decided();
    pool.common.meters.certificates_read_again(tls.renewals());
    Ok((shaken?, handle))
}

/// Says how a connection ended that was given up in its handshake.
struct GivenUp<'a> {
    entry: &'a EntryHandle<ConnectionOutcome>,
    until: Instant,
    fate: &'a Fate,
    is_over: bool,
}

impl GivenUp<'_> {
    fn decided(mut self) {
        self.is_over = true;
    }
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.entry.will_close(given_up(self.until, self.fate));
        }
    }
}

/// How a connection ends that nobody waits for any more.
fn given_up(until: Instant, fate: &Fate) -> ConnectionOutcome {
    if clock::now() >= until {
        ConnectionOutcome::ConnectFailed
    } else {
        fate.outcome(ConnectionOutcome::ConnectFailed)
    }
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
            entry.close(given_up(self.until, &self.fate));
        }
    }
}

async fn start(
    pool: &Arc<Shared>,
    slot: Arc<Slot>,
    transport: Transport,
    entry: EntryHandle<ConnectionOutcome>,
    claimant: &Claimant,
) -> Result<Hold, ForwardError> {
    entry.will_close(ConnectionOutcome::Error);
    let is_http2 = match transport.protocol() {
        Some(protocol) => protocol == b"h2",
        None => pool.speech.http2 == Http2::PriorKnowledge,
    };
    if is_http2 {
        let stream = trunk::start(pool, slot, transport, entry, claimant).await?;
        return Ok(Hold::Stream(stream));
    }
    slot.established((!claimant.alone).then_some(false));
    let (sender, connection) = http1::Builder::new()
        .max_header_size(pool.limits.max_header_bytes)
        .max_headers(pool.limits.max_headers)
        .handshake(TokioIo::new(transport))
        .await
        .map_err(ForwardError::Upstream)?;
    let link = Arc::new(Link::new(entry, slot, clock::now()));
    link.wait_for_head(claimant);
    let driver = Driver::new(Arc::clone(pool), Arc::clone(&link), connection);
    driver.spawn();
    Ok(Hold::Alone(Session::new(sender, link)))
}
