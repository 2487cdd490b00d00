//! Upstreams written down to the byte.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use super::spawn;

/// A listener whose every connection is served by a closure of the test's.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

/// The upstream's end of one connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Upstream {
    /// Serves each connection with `serve`; the connection is closed when that returns.
    pub(crate) async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(Peer) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let closed = Arc::new(AtomicUsize::new(0));
        let listening = {
            let (accepted, closed) = (Arc::clone(&accepted), Arc::clone(&closed));
            spawn(async move {
                let mut serving = Serving::default();
                while let Ok((stream, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let serve = serve(Peer {
                        stream,
                        unread: Vec::new(),
                    });
                    let closed = Arc::clone(&closed);
                    serving.0.push(
                        spawn(async move {
                            serve.await;
                            closed.fetch_add(1, Ordering::SeqCst);
                        })
                        .abort_handle(),
                    );
                }
            })
        };
        Self {
            address,
            accepted,
            closed,
            listening,
        }
    }

    /// Answers every request, keeping its connections, with what `answer` makes of the request's head.
    pub(crate) async fn answering(
        answer: impl Fn(&str) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |mut peer| {
            let answer = answer.clone();
            async move {
                while let Some(head) = peer.request().await {
                    if peer.send(&answer(&head)).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Reads requests and never answers.
    pub(crate) async fn hanging() -> Self {
        Self::start(|mut peer| async move { while peer.request().await.is_some() {} }).await
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections whose closure has returned.
    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Serving(Vec<AbortHandle>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Peer {
    /// The head of the next request, content of a declared length read and thrown away; `None` at the end.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let length = field(&head, "content-length").and_then(|length| length.parse().ok());
        self.content(length.unwrap_or(0)).await?;
        Some(head)
    }

    /// The head of the next request alone.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).ok();
            }
            self.more().await?;
        }
    }

    /// So many bytes of content.
    pub(crate) async fn content(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.unread.len() < length {
            self.more().await?;
        }
        Some(self.unread.drain(..length).collect())
    }

    async fn more(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.unread).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits until the gateway closes the connection.
    pub(crate) async fn until_closed(mut self) {
        while self.more().await.is_some() {}
    }

    /// Closes it with a reset.
    pub(crate) fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }
}

/// A complete answer with a declared length.
pub(crate) fn response(status: u16, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
