//! One listener: accepts connections within its limits, serves HTTP/1.1 on each, drains and cuts them at the end.
//!
//! All three listeners run on this. hyper parses and frames; what it leaves to its user is done here: a timer for the
//! head's time-out (off without one), a bound on connections, a back-off where there are no descriptors left (an accept
//! that fails so is ready again at once, and would spin), and tasks that are counted and end with their listener.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use resource_ledger::{ConnectionTaskOutcome, Labels, Ledger, TaskSet};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use web_config::{AcceptError, Protection};

use super::client::{Client, ClientIo};
use super::descriptors::{Reserve, is_exhausted};
use crate::clock;
use crate::config::Limits;
use crate::metrics::ListenerMeters;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// What the kernel may hold of an answer beyond what is on its way; each half of it that goes is progress.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;
/// The first pause after an accept that failed for want of something; doubled up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long an idle connection outlives the begin of a drain: a request that is on its way to it is answered, with
/// `Connection: close`, and not reset.
const LINGER: Duration = Duration::from_millis(500);
/// hyper refuses a smaller buffer.
const LEAST_BUFFER_BYTES: usize = 64 * 1024;

/// What answers the requests of a listener.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;

    /// Answers a request.
    fn handle(
        &self,
        request: Request<Incoming>,
        client: Client,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// hyper answered by itself, because what came was not a request.
    fn refused(&self, _status: StatusCode) {}
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
    /// Descriptors that this listener may use up to accept at the limit.
    pub(crate) reserve: Option<Arc<Reserve>>,
    /// What is demanded of those who connect.
    pub(crate) protection: Protection,
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
        let mut pause = Pause::default();
        let mut was_full = false;
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
                    let client = match stream.peer_addr() {
                        Ok(peer) => Client::new(peer),
                        // It left before it was looked at.
                        Err(_) => continue,
                    };
                    let connection = self.connection(stream, client, handler.clone());
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
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut builder = http1::Builder::new();
        let limits = self.limits.borrow().clone();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            .max_headers(limits.max_headers)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(limits.max_header_bytes.max(LEAST_BUFFER_BYTES));
        let drain = self.drain.clone();
        let cut = client.cut().clone();
        let meters = self.meters.clone();
        let protection = self.protection.clone();
        async move {
            let stream = match protection.accept(stream).await {
                Ok(stream) => stream,
                Err(error) => {
                    if matches!(error, AcceptError::TooSlow) {
                        meters.timed_out();
                    }
                    let peer = client.peer();
                    tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a client was not let in");
                    return;
                }
            };
            let io = TokioIo::new(ClientIo::new(stream, client.clone()));
            let service = service_fn(|request: Request<Incoming>| {
                let (handler, client, drain) = (handler.clone(), client.clone(), drain.clone());
                async move {
                    let mut response = handler.handle(request, client).await;
                    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    if drain.is_cancelled() && !switched {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
            let mut drained = pin!(async {
                drain.cancelled().await;
                tokio::time::sleep(LINGER).await;
            });
            let mut draining = false;
            let ended = loop {
                tokio::select! {
                    ended = connection.as_mut() => break ended,
                    () = cut.cancelled() => return,
                    () = drained.as_mut(), if !draining => {
                        draining = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            };
            match ended {
                Err(error) if error.is_timeout() => meters.timed_out(),
                Err(error) if error.is_parse_too_large() => {
                    handler.refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
                }
                Err(error) if error.is_parse() => handler.refused(StatusCode::BAD_REQUEST),
                // The client left, or took nothing any more: the requests concerned say so themselves.
                Err(_) => {}
                Ok(()) => {
                    // Still this connection's task: it counts, drains and is cut like any other.
                    if let Some(engaged) = client.take_tunnel() {
                        engaged.run(client.cut()).await;
                    }
                }
            }
        }
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
