//! The accept loop of the web interface: TLS where it is configured, bounded connections, bounded heads, a time for
//! each, and a graceful end.
//!
//! Axum's own `serve` is not used: it has no limit on connections, no time limit on a request's head, and spawns
//! tasks that nobody counts. Each connection here is a task of the agent's ledger, aborted when the listener goes
//! away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use resource_ledger::{ConnectionTaskOutcome, Labels, Ledger, TaskSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use web_config::Protection;

/// How long answers under way may take when the agent ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait where the process has no descriptor left for a connection (hyper#1358): retrying at once would
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client may ask of the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections served at a time; more wait in the kernel's queue.
    pub(crate) connections: usize,
    /// How long a new connection may take for the head of its first request.
    pub(crate) first_request: Duration,
    /// How long any later head may take, and how long a connection may stay idle: more than a scrape interval, so that
    /// a scraper can keep its connection.
    pub(crate) header_read: Duration,
    /// Bytes of a request's head, its URI included.
    pub(crate) header_bytes: usize,
    /// Fields of a request's head.
    pub(crate) headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            first_request: Duration::from_secs(10),
            header_read: Duration::from_secs(75),
            header_bytes: 32 * 1024,
            headers: 64,
        }
    }
}

/// What the interface is served with.
pub(crate) struct Server {
    /// What answers.
    pub(crate) router: Router,
    /// What is demanded of those who connect; `router` asks for passwords.
    pub(crate) protection: Protection,
    /// What they may ask for.
    pub(crate) limits: Limits,
    /// Counts the connections.
    pub(crate) ledger: Ledger,
    /// The end.
    pub(crate) shutdown: CancellationToken,
}

impl Server {
    /// Serves on `listener` until the shutdown, then lets answers under way end.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let account = self.ledger.account::<ConnectionTaskOutcome>(Labels::new());
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let mut connections: TaskSet<()> = TaskSet::new();
        loop {
            let place = tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = self.connection(stream, peer);
                    connections.spawn(account.open(), async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the web listener cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "web connections are cut at the end"
            );
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            // Without a timer the time limit on the head is silently off.
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_read)
            .max_buf_size(self.limits.header_bytes)
            .max_headers(self.limits.headers);
        let (router, protection) = (self.router.clone(), self.protection.clone());
        let (shutdown, patience) = (self.shutdown.clone(), self.limits.first_request);
        async move {
            let accepted = tokio::select! {
                accepted = protection.accept(stream) => accepted,
                () = shutdown.cancelled() => return,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, %peer, "a web client was not let in");
                    return;
                }
            };
            let asked = CancellationToken::new();
            let has_asked = asked.clone();
            let router = TowerToHyperService::new(router);
            let service = service_fn(move |request: Request<Incoming>| {
                has_asked.cancel();
                router.call(request)
            });
            let served = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(served);
            let first = async {
                tokio::select! {
                    () = asked.cancelled() => std::future::pending().await,
                    () = tokio::time::sleep(patience) => {}
                }
            };
            let result = tokio::select! {
                result = served.as_mut() => result,
                () = first => {
                    tracing::debug!(%peer, "a web client asked for nothing in time");
                    return;
                }
                () = shutdown.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, %peer, "a web connection ended early");
            }
        }
    }
}

#[cfg(test)]
mod tests;
