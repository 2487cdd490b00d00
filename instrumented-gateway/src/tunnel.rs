//! Both connections of an exchange that switched to another protocol, such as WebSocket (RFC 9110, 7.8).
//!
//! Bytes are copied as they come, read only as fast as the other side takes them. One side that ends is told to the other,
//! which may go on. The tunnel runs in the task of the client's connection, so that limits, drain and cut see it as one;
//! the upstream's connection stays counted with its pool, in use by the request, until its socket is closed. Nothing moving
//! for the route's `tunnel_idle_timeout` ends it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use resource_ledger::{ConnectionOutcome, Entry, EntryHandle, RequestOutcome, ServiceOutcome};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio_util::sync::CancellationToken;

use crate::body::Progress;
use crate::clock;
use crate::upstream::Conduit;

/// A tunnel whose client has not yet been told.
#[derive(Debug)]
pub(crate) struct Tunnel {
    client: OnUpgrade,
    upstream: Conduit,
    idle_timeout: Option<Duration>,
    // Last: what it stands for is closed before.
    entry: Entry<ServiceOutcome>,
}

impl Tunnel {
    /// Joins a client, whose connection is there once it has been sent the answer's head, and an upstream.
    pub(crate) fn new(
        client: OnUpgrade,
        upstream: Conduit,
        idle_timeout: Option<Duration>,
        entry: Entry<ServiceOutcome>,
    ) -> Self {
        Self {
            client,
            upstream,
            idle_timeout,
            entry,
        }
    }

    /// The longest time without a byte in either direction.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// Copies in both directions until both have ended. Says how the request ended.
    pub(crate) async fn run(self, cut: &CancellationToken) -> RequestOutcome {
        let Self {
            client,
            upstream,
            idle_timeout,
            entry,
        } = self;
        let Ok(client) = client.await else {
            return RequestOutcome::ClientGone;
        };
        // What else it uses stays in use until the sockets are closed.
        let Conduit { connection, .. } = upstream;
        let progress = Progress::new();
        let still = stand_still(idle_timeout, &progress, &entry, &connection.entry);
        let mut near = Side::new(TokioIo::new(client), Bytes::new(), &progress);
        let mut far = Side::new(connection.io, connection.unread, &progress);
        let outcome = tokio::select! {
            copied = copy_bidirectional(&mut near, &mut far) => match copied {
                Ok(_) => RequestOutcome::Completed,
                Err(_) if near.broken => RequestOutcome::ClientGone,
                Err(_) => RequestOutcome::Failed,
            },
            () = still => RequestOutcome::TimedOut,
            () = cut.cancelled() => RequestOutcome::ClientGone,
        };
        drop((near, far));
        entry.close(match outcome {
            RequestOutcome::Completed => ServiceOutcome::Completed,
            _ => ServiceOutcome::Failed,
        });
        outcome
    }
}

/// Waits until nothing has moved for `idle`, and tells the ledger until when something should.
async fn stand_still(
    idle: Option<Duration>,
    progress: &Progress,
    tunnel: &EntryHandle<ServiceOutcome>,
    connection: &EntryHandle<ConnectionOutcome>,
) {
    loop {
        let until = idle.map(|idle| progress.last() + idle);
        tunnel.set_deadline(until);
        connection.set_deadline(until);
        match until {
            None => std::future::pending().await,
            Some(until) if until <= clock::now() => return,
            Some(until) => clock::sleep_until(until).await,
        }
    }
}

/// One end of a tunnel: says when bytes move, and whether it was this end that broke.
struct Side<'p, S> {
    stream: S,
    /// What was read of the new protocol together with the answer's head.
    unread: Bytes,
    progress: &'p Progress,
    broken: bool,
}

impl<'p, S> Side<'p, S> {
    fn new(stream: S, unread: Bytes, progress: &'p Progress) -> Self {
        Self {
            stream,
            unread,
            progress,
            broken: false,
        }
    }

    fn moved<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(Ok(_)) => self.progress.touch(),
            Poll::Ready(Err(_)) => self.broken = true,
            Poll::Pending => {}
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.has_remaining() {
            let length = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.moved(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Err(_)) = &flushed {
            self.broken = true;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.moved(shut)
    }
}
