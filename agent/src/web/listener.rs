//! The accept loop of the web interface: bounded connections, bounded heads, a time for each, and a graceful end.
//!
//! Axum's own `serve` is not used: it has no limit on connections, no time limit on a request's head, and spawns
//! tasks that nobody counts. Each connection here is a task of the agent's ledger, aborted when the listener goes
//! away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use resource_ledger::{ConnectionTaskOutcome, Labels, Ledger, TaskSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections served at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// How long a request's head may take, and how long a connection may stay idle: more than a scrape interval, so that
/// a scraper can keep its connection.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// Bytes of a request's head, its URI included.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Fields of a request's head.
const MAX_HEADERS: usize = 64;
/// How long answers under way may take when the agent ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait where the process has no descriptor left for a connection (hyper#1358): retrying at once would
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown`, then lets answers under way end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    ledger: Ledger,
    shutdown: CancellationToken,
) {
    let account = ledger.account::<ConnectionTaskOutcome>(Labels::new());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections: TaskSet<()> = TaskSet::new();
    loop {
        let place = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), shutdown.clone());
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

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
) {
    let served = hyper::server::conn::http1::Builder::new()
        // Without a timer the time limit on the head is silently off.
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %peer, "a web connection ended early");
    }
}
