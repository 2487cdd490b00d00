//! One listener: accepts connections within its limits, has each served, drains and cuts them at the end.
//!
//! All three listeners run on this. What hyper leaves to its user is done here and in `connection`: a bound on connections, a back-off where there are no descriptors left (an accept
//! that fails so is ready again at once, and would spin), and tasks that are counted and end with their listener.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use resource_ledger::{ConnectionTaskOutcome, CountingExecutor, Labels, Ledger, TaskSet};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use web_config::{Protection, ServerTls};

use super::client::Client;
use super::connection::Terms;
use super::descriptors::{Reserve, is_exhausted};
use super::shed::{Shedding, TurnedAway, tell_busy, turned_away};
use crate::clock;
use crate::config::{Http2, Limits};
use crate::metrics::ListenerMeters;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// What the kernel may hold of an answer beyond what is on its way; each half of it that goes is progress.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;
/// The first pause after an accept that failed for want of something; doubled up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What answers the requests of a listener.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Answers a request.
    fn handle(
        &self,
        request: Request<Incoming>,
        client: Client,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// hyper answered by itself, because what came was not a request.
    fn refused(&self, _status: StatusCode, _client: &Client) {}
}

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its key in the configuration.
    pub(crate) name: &'static str,
    /// Where it listens; the port is the real one.
    pub(crate) address: SocketAddr,
    socket: TcpListener,
}

/// A listener's address could not be had.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` cannot listen on {address}")]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    #[source]
    source: io::Error,
}

impl Listener {
    pub(crate) fn bind(name: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let bind = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            Ok(Self {
                name,
                address: socket.local_addr()?,
                socket,
            })
        };
        bind().map_err(|source| BindError {
            name,
            address,
            source,
        })
    }
}

/// What a listener is served with.
pub(crate) struct Server {
    /// A reload changes them: those of heads hold for connections accepted afterwards.
    pub(crate) limits: watch::Receiver<Limits>,
    pub(crate) ledger: Ledger,
    pub(crate) meters: ListenerMeters,
    /// How many descriptors the process may have, where this listener is to leave some of them free.
    pub(crate) descriptor_limit: Option<u64>,
    /// Descriptors that this listener may use up to accept at the limit.
    pub(crate) reserve: Option<Arc<Reserve>>,
    /// What is demanded of those who connect.
    pub(crate) protection: Protection,
    /// TLS of clients, in place of the protection's.
    pub(crate) tls: Option<ServerTls>,
    /// Where HTTP/2 is spoken.
    pub(crate) http2: Http2,
    /// No more connections, no more requests on those that are there.
    pub(crate) drain: CancellationToken,
    /// No more patience with those that are still there.
    pub(crate) cut: CancellationToken,
}

impl Server {
    /// Serves until drained. Returns how many connections were cut.
    pub(crate) async fn serve(self, listener: Listener, handler: impl Handler) -> usize {
        let tasks = self.ledger.account::<ConnectionTaskOutcome>(Labels::new());
        let mut limits = self.limits.clone();
        let mut connections = TaskSet::new();
        let streams = CountingExecutor::new(&self.ledger);
        let mut pause = Pause::default();
        let mut was_full = false;
        let mut shedding = Shedding::default();
        loop {
            let limit = limits.borrow_and_update().max_connections;
            self.meters.limit(limit);
            let is_full = connections.len() >= limit;
            if is_full && !was_full {
                self.meters.limit_reached();
            }
            was_full = is_full;
            tokio::select! {
                biased;
                () = self.drain.cancelled() => break,
                Some(ended) = connections.join_next() => self.ended(ended.is_err()),
                Ok(()) = limits.changed() => {}
                stream = self.accept(&listener, &mut pause), if !is_full => {
                    if let Some(turned_away) = self.shed(&stream, &mut shedding) {
                        match turned_away {
                            TurnedAway::Told => connections.spawn(tasks.open(), tell_busy(stream)),
                            TurnedAway::Closed => continue,
                        };
                        continue;
                    }
                    let client = match stream.peer_addr() {
                        Ok(peer) => Client::new(peer),
                        // It left before it was looked at.
                        Err(_) => continue,
                    };
                    let connection = self.connection(stream, client, handler.clone(), &streams);
                    let held = self.meters.connection();
                    connections.spawn(tasks.open(), async move {
                        connection.await;
                        drop(held);
                    });
                }
            }
        }
        drop(listener);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            () = all_ended => {}
            () = self.cut.cancelled() => {}
        }
        let cut = connections.len();
        connections.shutdown().await;
        cut
    }

    fn ended(&self, panicked: bool) {
        if panicked {
            tracing::error!("a connection's task panicked");
        }
        if let Some(reserve) = &self.reserve {
            reserve.refill();
        }
    }

    /// The next connection. Cancel safe: a pause goes on where it was.
    async fn accept(&self, listener: &Listener, pause: &mut Pause) -> TcpStream {
        loop {
            pause.wait().await;
            match listener.socket.accept().await {
                Ok((stream, _)) => {
                    pause.over(listener.name);
                    prepare(&stream);
                    return stream;
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) if is_exhausted(&error) && self.release_spare() => {}
                Err(error) => {
                    self.meters.accept_failed();
                    pause.begin(listener.name, &error);
                }
            }
        }
    }

    /// Whether a connection is one too many for the process' descriptors. The kernel gives the lowest free number, so that
    /// the number of this one says how many are in use.
    fn shed(&self, stream: &TcpStream, shedding: &mut Shedding) -> Option<TurnedAway> {
        let in_use = u64::try_from(stream.as_raw_fd()).unwrap_or_default();
        let reserve = self.limits.borrow().descriptor_reserve;
        let turned_away = turned_away(in_use, self.descriptor_limit?, reserve)
            // Over TLS there is no telling without a handshake.
            .map(|said| {
                if self.tls.is_some() {
                    TurnedAway::Closed
                } else {
                    said
                }
            });
        match turned_away {
            Some(_) => {
                self.meters.shed();
                shedding.begin(in_use);
            }
            None => shedding.over(),
        }
        turned_away
    }

    fn release_spare(&self) -> bool {
        self.reserve
            .as_ref()
            .is_some_and(|reserve| reserve.release())
    }

    fn connection<H: Handler>(
        &self,
        stream: TcpStream,
        client: Client,
        handler: H,
        executor: &CountingExecutor,
    ) -> impl Future<Output = ()> + Send + 'static + use<H> {
        let terms = Terms {
            limits: self.limits.borrow().clone(),
            meters: self.meters.clone(),
            protection: self.protection.clone(),
            tls: self.tls.clone(),
            http2: self.http2,
            executor: executor.clone(),
            drain: self.drain.clone(),
        };
        terms.serve(stream, client, handler)
    }
}

/// Sets what a connection should have and can do without.
fn prepare(stream: &TcpStream) {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    // By default the kernel takes megabytes and then nothing until a third of them has gone: to us, a client that reads
    // slowly would look like one that has stopped.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

/// Errors of a connection that was gone before it was accepted; the next one may be well.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// The back-off of an accept loop. One warning when it begins, one line when it is over.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    length: Duration,
}

impl Pause {
    fn begin(&mut self, listener: &'static str, error: &io::Error) {
        if self.length.is_zero() {
            tracing::warn!(
                listener,
                error = error as &dyn std::error::Error,
                "connections cannot be accepted"
            );
        }
        self.length = (self.length * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.until = Some(clock::now() + self.length);
    }

    async fn wait(&mut self) {
        if let Some(until) = self.until {
            clock::sleep_until(until).await;
            self.until = None;
        }
    }

    fn over(&mut self, listener: &'static str) {
        if !self.length.is_zero() {
            tracing::info!(listener, "connections are accepted again");
            self.length = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_accept_that_keeps_failing_is_tried_about_once_a_second() {
        let mut pause = Pause::default();
        let end = clock::now() + Duration::from_secs(60);
        let mut tries = 0;
        while clock::now() < end {
            pause.wait().await;
            tries += 1;
            pause.begin("listen", &io::Error::from_raw_os_error(24));
        }
        assert!((60..70).contains(&tries), "{tries}");
        pause.over("listen");
        pause.wait().await;
        pause.begin("listen", &io::Error::from_raw_os_error(24));
        assert_eq!(pause.length, SHORTEST_PAUSE);
    }

    #[test]
    fn only_a_want_of_descriptors_uses_up_the_reserve() {
        for (code, expected) in [
            (24, true),
            (23, true),
            (12, false),
            (105, false),
            (103, false),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_exhausted(&error), expected, "{error}");
        }
        assert!(concerns_one_connection(&io::Error::from_raw_os_error(103)));
    }
}
