//! One client's connection: let in, asked which protocol it speaks, served until it ends, is drained or cut.
//!
//! Over TLS the handshake agrees on the protocol; without TLS it is HTTP/1.1, or what the first bytes say where HTTP/2 by
//! prior knowledge is allowed (RFC 9113, 3.3). Everything before the first request is bounded in time.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use resource_ledger::CountingExecutor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use web_config::{AcceptError, Connection, Protection, ServerTls};

use super::client::{Client, ClientIo};
use super::http2;
use super::server::Handler;
use crate::clock;
use crate::config::{Http2, Limits};
use crate::metrics::ListenerMeters;

/// How long an idle connection outlives the begin of a drain: a request that is on its way to it is answered, with
/// `Connection: close`, and not reset.
const LINGER: Duration = Duration::from_millis(500);
/// hyper refuses a smaller buffer.
const LEAST_BUFFER_BYTES: usize = 64 * 1024;
/// What a client says first that knows that HTTP/2 is spoken (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a listener's connections are served with.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) meters: ListenerMeters,
    /// What is demanded of those who connect, where `tls` is not what is.
    pub(super) protection: Protection,
    pub(super) tls: Option<ServerTls>,
    pub(super) http2: Http2,
    /// Runs the streams of HTTP/2.
    pub(super) executor: CountingExecutor,
    pub(super) drain: CancellationToken,
}

type ClientStream = TokioIo<ClientIo<Connection>>;

impl Terms {
    /// Serves a connection to its end.
    pub(super) async fn serve<H: Handler>(self, stream: TcpStream, client: Client, handler: H) {
        let let_in = async {
            let mut stream = self.let_in(stream, &client).await?;
            let (is_http2, read) = self.protocol(&mut stream).await?;
            Some((stream, is_http2, read))
        };
        let stream = tokio::select! {
            stream = let_in => stream,
            () = lingering(&self.drain) => None,
        };
        let Some((stream, is_http2, read)) = stream else {
            return;
        };
        let io = TokioIo::new(ClientIo::new(stream, client.clone()).after(read));
        if is_http2 {
            http2::serve(io, client, handler, self).await;
        } else {
            self.serve_http1(io, client, handler).await;
        }
    }

    async fn let_in(&self, stream: TcpStream, client: &Client) -> Option<Connection> {
        let accepted = match &self.tls {
            Some(tls) => tls.accept(stream).await,
            None => self.protection.accept(stream).await,
        };
        if let Some(tls) = &self.tls {
            self.meters.certificates_read_again(tls.renewals());
        }
        match accepted {
            Ok(stream) => {
                if matches!(stream, Connection::Tls(_)) {
                    client.let_in_by_tls();
                }
                Some(stream)
            }
            Err(error) => {
                if matches!(error, AcceptError::TooSlow) {
                    self.meters.timed_out();
                }
                self.meters.handshake_failed();
                let peer = client.peer();
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a client was not let in");
                None
            }
        }
    }

    /// Whether HTTP/2 is spoken, and what has been read to find out.
    async fn protocol(&self, stream: &mut Connection) -> Option<(bool, Vec<u8>)> {
        if let Some(protocol) = stream.protocol() {
            return Some((protocol == b"h2", Vec::new()));
        }
        if self.http2 != Http2::PriorKnowledge {
            return Some((false, Vec::new()));
        }
        let deadline = clock::now() + self.limits.header_read_timeout;
        match clock::timeout_at(deadline, first_words(stream)).await {
            Ok(Ok(words)) => Some((words == PREFACE, words)),
            // It left.
            Ok(Err(_)) => None,
            Err(_) => {
                self.meters.timed_out();
                None
            }
        }
    }

    async fn serve_http1<H: Handler>(self, io: ClientStream, client: Client, handler: H) {
        let Self {
            limits,
            meters,
            drain,
            ..
        } = self;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            .max_headers(limits.max_headers)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(limits.max_header_bytes.max(LEAST_BUFFER_BYTES));
        let cut = client.cut().clone();
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
        let mut drained = pin!(lingering(&drain));
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
                handler.refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &client);
            }
            Err(error) if error.is_parse() => {
                handler.refused(StatusCode::BAD_REQUEST, &client);
            }
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

async fn lingering(drain: &CancellationToken) {
    drain.cancelled().await;
    tokio::time::sleep(LINGER).await;
}

/// Reads until it is clear whether this is the preface of HTTP/2: all of it, or the first bytes that are not.
async fn first_words(stream: &mut Connection) -> io::Result<Vec<u8>> {
    let mut words = Vec::with_capacity(PREFACE.len());
    while words.len() < PREFACE.len() && PREFACE.starts_with(&words) {
        let mut rest = (&mut *stream).take((PREFACE.len() - words.len()) as u64);
        if rest.read_buf(&mut words).await? == 0 {
            break;
        }
    }
    Ok(words)
}
