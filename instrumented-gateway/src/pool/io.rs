//! The socket of a pooled connection, its entry, the moment in which both change, and TLS around it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll};

use resource_ledger::{ConnectionOutcome, CountedIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use web_config::Connection;

use super::slot::Slot;

/// Makes "entry opened, socket opened" and "socket closed, entry closed" one step each for whoever takes a snapshot.
///
/// Without it a thread that is preempted between the two shows a connection that the kernel does not know, for as long as
/// it does not run. Taken once when a connection opens and once when it closes, never by a request that finds one.
#[derive(Debug, Clone, Default)]
pub struct SocketGate(Arc<RwLock<()>>);

/// While this lives, no pooled socket is opened or closed.
#[must_use = "sockets move again when this is dropped"]
#[derive(Debug)]
pub struct SocketsStill<'a>(
    #[expect(dead_code, reason = "held for its drop")] RwLockWriteGuard<'a, ()>,
);

impl SocketGate {
    /// Waits until no socket is half-way opened or closed, and keeps it so. Hold it for a snapshot, not longer.
    pub fn still(&self) -> SocketsStill<'_> {
        SocketsStill(self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn moving(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connected socket with its entry and its place in the pool; all three end together, in this order.
#[derive(Debug)]
pub(crate) struct PooledIo {
    stream: Option<CountedIo<TcpStream, ConnectionOutcome>>,
    slot: Arc<Slot>,
    gate: SocketGate,
}

impl PooledIo {
    pub(super) fn new(
        stream: CountedIo<TcpStream, ConnectionOutcome>,
        slot: Arc<Slot>,
        gate: SocketGate,
    ) -> Self {
        Self {
            stream: Some(stream),
            slot,
            gate,
        }
    }

    fn stream(
        self: Pin<&mut Self>,
    ) -> io::Result<Pin<&mut CountedIo<TcpStream, ConnectionOutcome>>> {
        let stream = self.get_mut().stream.as_mut();
        stream
            .map(Pin::new)
            .ok_or(io::ErrorKind::NotConnected.into())
    }
}

impl Drop for PooledIo {
    fn drop(&mut self) {
        let moving = self.gate.moving();
        self.stream.take();
        drop(moving);
        self.slot.release();
    }
}

impl AsyncRead for PooledIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for PooledIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

/// What bytes are moved over: the socket, or TLS over it. The entry is the socket's either way.
pub(crate) type Transport = Connection<PooledIo>;
