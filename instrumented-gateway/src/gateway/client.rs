//! The client's end of an exchange: who it is, whether it takes what is sent to it, and how to cut it off.
//!
//! hyper does not poll a body while the socket is full. So nothing inside the body notices a client that has stopped
//! reading, nor one that reads slowly what hyper has buffered. The socket's own wrapper does both: writes that stand still
//! for too long fail, and each that does not is progress of the exchange.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::exchange::Engaged;
use crate::body::Progress;
use crate::clock;
use crate::config::DEFAULT_BODY_IDLE_TIMEOUT;
use crate::hop::PeerAddress;

/// No limit, in the atomic that holds it.
const UNLIMITED: u64 = u64::MAX;

/// One client's connection. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<State>);

#[derive(Debug)]
struct State {
    peer: SocketAddr,
    address: PeerAddress,
    /// Whether TLS is spoken with it.
    secure: AtomicBool,
    cut: CancellationToken,
    stall_limit_milliseconds: AtomicU64,
    /// Of the answer that is on its way, where it streams.
    progress: Mutex<Option<Arc<Progress>>>,
    /// What takes the connection over when hyper is done with it.
    tunnel: Mutex<Option<Box<Engaged>>>,
}

impl Client {
    /// A client that has just connected.
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self(Arc::new(State {
            peer,
            address: peer.ip().into(),
            secure: AtomicBool::new(false),
            cut: CancellationToken::new(),
            stall_limit_milliseconds: AtomicU64::new(milliseconds(DEFAULT_BODY_IDLE_TIMEOUT)),
            progress: Mutex::new(None),
            tunnel: Mutex::new(None),
        }))
    }

    /// The same client as one of its streams sees it: cut by itself, and with the connection.
    pub(crate) fn of_a_stream(&self) -> Self {
        Self(Arc::new(State {
            peer: self.0.peer,
            address: self.0.address.clone(),
            secure: AtomicBool::new(self.is_secure()),
            cut: self.0.cut.child_token(),
            stall_limit_milliseconds: AtomicU64::new(milliseconds(DEFAULT_BODY_IDLE_TIMEOUT)),
            progress: Mutex::new(None),
            tunnel: Mutex::new(None),
        }))
    }

    /// Its address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The same, as it goes on.
    pub(crate) fn address(&self) -> &PeerAddress {
        &self.0.address
    }

    /// From now on TLS is spoken with it.
    pub(crate) fn let_in_by_tls(&self) {
        self.0.secure.store(true, Ordering::Relaxed);
    }

    /// Whether TLS is spoken with it.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.secure.load(Ordering::Relaxed)
    }

    /// Cancelling it drops the client's connection.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.0.cut
    }

    /// How long its socket may refuse to take a byte from now on; `None` for ever.
    pub(crate) fn limit_stall(&self, limit: Option<Duration>) {
        let limit = limit.map_or(UNLIMITED, milliseconds);
        self.0
            .stall_limit_milliseconds
            .store(limit, Ordering::Relaxed);
    }

    pub(crate) fn stall_limit(&self) -> Option<Duration> {
        let limit = self.0.stall_limit_milliseconds.load(Ordering::Relaxed);
        (limit != UNLIMITED).then(|| Duration::from_millis(limit))
    }

    /// From now on every byte that its socket takes is progress of this exchange, until there is another.
    pub(crate) fn answers(&self, progress: Option<Arc<Progress>>) {
        *self.progress() = progress;
    }

    /// The connection goes on as a tunnel when hyper is done with it.
    pub(crate) fn switch_to(&self, engaged: Engaged) {
        *self.tunnel() = Some(Box::new(engaged));
    }

    /// The tunnel that the connection goes on as, if it does.
    pub(crate) fn take_tunnel(&self) -> Option<Box<Engaged>> {
        self.tunnel().take()
    }

    fn tunnel(&self) -> MutexGuard<'_, Option<Box<Engaged>>> {
        self.0.tunnel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the answer that is on its way last moved, where it streams.
    pub(crate) fn last_progress(&self) -> Option<Instant> {
        self.progress().as_ref().map(|progress| progress.last())
    }

    fn wrote(&self) {
        if let Some(progress) = &*self.progress() {
            progress.touch();
        }
    }

    fn progress(&self) -> MutexGuard<'_, Option<Arc<Progress>>> {
        self.0
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(UNLIMITED - 1)
}

/// The client's socket.
#[derive(Debug)]
pub(crate) struct ClientIo<S> {
    stream: S,
    client: Client,
    stall: Option<Pin<Box<Sleep>>>,
    /// Read already, and not yet given out.
    read: VecDeque<u8>,
}

impl<S> ClientIo<S> {
    pub(crate) fn new(stream: S, client: Client) -> Self {
        Self {
            stream,
            client,
            stall: None,
            read: VecDeque::new(),
        }
    }

    /// The socket of which these bytes have been read before.
    pub(crate) fn after(mut self, read: Vec<u8>) -> Self {
        self.read = read.into();
        self
    }

    /// What a write, flush or shutdown gave: progress, or one more moment of standing still.
    fn progressed<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            self.client.wrote();
            return written;
        }
        let Some(limit) = self.client.stall_limit() else {
            return Poll::Pending;
        };
        let stall = self.stall.get_or_insert_with(|| {
            let deadline = clock::now() + limit;
            Box::pin(tokio::time::sleep_until(deadline.into()))
        });
        ready!(stall.as_mut().poll(context));
        let message = format!("the client took no byte for {limit:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let length = buffer.remaining().min(self.read.len());
            let read: Vec<u8> = self.read.drain(..length).collect();
            buffer.put_slice(&read);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progressed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.progressed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn client() -> Client {
        Client::new(SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (near, _far) = duplex(8);
        let client = client();
        client.limit_stall(Some(Duration::from_secs(3)));
        let mut io = ClientIo::new(near, client);
        io.write_all(b"12345678").await.expect("room");
        let error = io.write_all(b"9").await.expect_err("full");
        assert_eq!(error.to_string(), "the client took no byte for 3s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_kept_as_long_as_it_reads() {
        let (near, mut far) = duplex(8);
        let client = client();
        client.limit_stall(Some(Duration::from_secs(3)));
        let mut io = ClientIo::new(near, client);
        let read = async {
            let mut bytes = [0; 16];
            for byte in &mut bytes {
                tokio::time::sleep(Duration::from_secs(2)).await;
                *byte = far.read_u8().await.expect("a byte");
            }
            bytes
        };
        let (written, bytes) = tokio::join!(io.write_all(b"0123456789abcdef"), read);
        written.expect("written");
        assert_eq!(&bytes, b"0123456789abcdef");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_waits_for_ever() {
        let (near, mut far) = duplex(1);
        let client = client();
        client.limit_stall(None);
        let mut io = ClientIo::new(near, client);
        let read = async {
            tokio::time::sleep(Duration::from_secs(1_000_000)).await;
            far.read_u16().await.expect("two bytes")
        };
        let (written, _) = tokio::join!(io.write_all(b"ab"), read);
        written.expect("written");
    }
}
