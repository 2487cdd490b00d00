//! Clients that send what they are told, and may leave at any moment.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;
use super::upstream::{field, find};

/// A connection to the gateway.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer as it came, its content decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the content came to its end.
    pub(crate) whole: bool,
}

/// One GET on a connection of its own.
pub(crate) async fn get(gateway: SocketAddr, path: &str) -> Answer {
    request(
        gateway,
        &format!("GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"),
    )
    .await
}

/// One request, to the byte, on a connection of its own.
pub(crate) async fn request(gateway: SocketAddr, bytes: &str) -> Answer {
    let mut client = Client::connect(gateway).await;
    client.send(bytes.as_bytes()).await.expect("sent");
    client.answer().await
}

impl Client {
    pub(crate) async fn connect(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).await.expect("the gateway");
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// A connection over which a GET has been sent.
    pub(crate) async fn asking(gateway: SocketAddr, path: &str) -> Self {
        let mut client = Self::connect(gateway).await;
        client.get(path).await;
        client
    }

    pub(crate) async fn get(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n");
        self.send(request.as_bytes()).await.expect("sent");
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next answer to a request other than HEAD.
    pub(crate) async fn answer(&mut self) -> Answer {
        soon("an answer", self.read_answer(false)).await
    }

    /// The next answer to a HEAD.
    pub(crate) async fn answer_to_head(&mut self) -> Answer {
        soon("an answer", self.read_answer(true)).await
    }

    async fn read_answer(&mut self, without_content: bool) -> Answer {
        let head = self.head().await;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let (body, whole) = if without_content || matches!(status, 204 | 304) {
            (Vec::new(), true)
        } else if let Some(length) = field(&head, "content-length") {
            self.exactly(length.parse().expect("a length")).await
        } else if field(&head, "transfer-encoding") == Some("chunked") {
            self.chunks().await
        } else {
            while self.more().await {}
            (std::mem::take(&mut self.unread), true)
        };
        Answer {
            status,
            head,
            body,
            whole,
        }
    }

    /// The head of the next answer alone.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).expect("text");
            }
            assert!(
                self.more().await,
                "the connection ended before an answer: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    /// So many bytes, or all that came before the end.
    pub(crate) async fn exactly(&mut self, length: usize) -> (Vec<u8>, bool) {
        while self.unread.len() < length {
            if !self.more().await {
                return (std::mem::take(&mut self.unread), false);
            }
        }
        (self.unread.drain(..length).collect(), true)
    }

    async fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = find(&self.unread, b"\r\n") {
                    break self.unread.drain(..end + 2).collect::<Vec<u8>>();
                }
                if !self.more().await {
                    return (body, false);
                }
            };
            let size = String::from_utf8(line).expect("a chunk size");
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
            let (chunk, whole) = self.exactly(size + 2).await;
            if !whole {
                return (body, false);
            }
            if size == 0 {
                return (body, true);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(read) if read > 0)
    }
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}
