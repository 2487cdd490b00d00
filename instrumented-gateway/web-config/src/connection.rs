//! A connection with or without TLS, from its first byte on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

/// How long the handshake may take, from the first byte that is waited for.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of every TLS connection: a record of the handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 0x16;
/// What a client hears that speaks HTTP where TLS is spoken; Go's servers say the same.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nThis port speaks HTTPS, and the request was plain HTTP.\n";

/// A connection over `S`: of a client that was let in, or to a server.
#[derive(Debug)]
pub enum Connection<S = TcpStream> {
    /// Without TLS.
    Plain(S),
    /// With TLS, after the handshake.
    Tls(Box<TlsStream<S>>),
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The handshake was not over in time.
    #[error("the TLS handshake took longer than {HANDSHAKE_TIMEOUT:?}")]
    TooSlow,
    /// Plain HTTP, or something else that is no TLS.
    #[error("the client does not speak TLS")]
    NotTls,
    /// The handshake came to nothing.
    #[error("the TLS handshake came to nothing")]
    Handshake(#[source] io::Error),
}

impl<S> Connection<S> {
    /// The protocol that the handshake agreed on, if it agreed on one (RFC 7301).
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    pub(crate) fn tls(stream: impl Into<TlsStream<S>>) -> Self {
        Self::Tls(Box::new(stream.into()))
    }
}

impl Connection {
    pub(crate) async fn accept(
        stream: TcpStream,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, AcceptError> {
        let Some(tls) = tls else {
            return Ok(Self::Plain(stream));
        };
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, tls));
        shaken.await.map_err(|_| AcceptError::TooSlow)?
    }
}

async fn handshake(
    mut stream: TcpStream,
    tls: Arc<ServerConfig>,
) -> Result<Connection, AcceptError> {
    let mut first = [0];
    let read = stream.peek(&mut first).await;
    if read.map_err(AcceptError::Handshake)? > 0 && first[0] != HANDSHAKE_RECORD {
        // It may not listen any more.
        let _ = stream.write_all(PLAIN_ANSWER).await;
        let _ = stream.shutdown().await;
        return Err(AcceptError::NotTls);
    }
    let accepted = TlsAcceptor::from(tls).accept(stream).await;
    accepted
        .map(Connection::tls)
        .map_err(AcceptError::Handshake)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
