//! An upstream that keeps what it gets, to the byte, and answers as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::table::find;
use crate::support::spawn;

/// The path of the request by which a test sees whether a connection is still good.
pub(super) const SENTINEL: &[u8] =
    b"GET /sentinel HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
/// How its answer begins: a status that nobody else gives.
pub(super) const SENTINEL_ANSWER: &[u8] = b"HTTP/1.1 299 ";

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) bytes: Vec<u8>,
    /// The number of the connection that it came over.
    pub(super) connection: usize,
    /// Whether all of it came.
    pub(super) whole: bool,
}

/// What every request but the sentinel is answered with.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) answer: Vec<u8>,
    /// Whether the upstream closes its end after it.
    pub(super) then_closes: bool,
}

pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

struct State {
    recorded: Mutex<Vec<Recorded>>,
    sentinels: Mutex<Vec<usize>>,
    script: Mutex<Option<Script>>,
    connections: AtomicUsize,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            recorded: Mutex::default(),
            sentinels: Mutex::default(),
            script: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let listening = spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let number = state.connections.fetch_add(1, Ordering::SeqCst);
                    spawn(Arc::clone(&state).serve(stream, number));
                }
            }
        });
        Self {
            address,
            state,
            listening,
        }
    }

    /// Answers as told from here on; `None` for the usual answer.
    pub(super) fn tell(&self, script: Option<Script>) {
        *self.state.script.lock().expect("lock") = script;
    }

    /// What came since this was last asked.
    pub(super) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.state.recorded.lock().expect("lock"))
    }

    /// The connections over which sentinels came since this was last asked.
    pub(super) fn take_sentinels(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.sentinels.lock().expect("lock"))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl State {
    async fn serve(self: Arc<Self>, mut stream: TcpStream, connection: usize) {
        let mut unread = Vec::new();
        loop {
            let (bytes, whole) = message(&mut stream, &mut unread).await;
            if bytes.is_empty() {
                return;
            }
            let is_sentinel = bytes.starts_with(b"GET /sentinel ");
            let is_head = bytes.starts_with(b"HEAD ");
            if is_sentinel {
                self.sentinels.lock().expect("lock").push(connection);
            } else {
                let recorded = Recorded {
                    bytes,
                    connection,
                    whole,
                };
                self.recorded.lock().expect("lock").push(recorded);
            }
            if !whole {
                return;
            }
            let script = self.script.lock().expect("lock").clone();
            let (answer, then_closes) = match (is_sentinel, script) {
                (true, _) => (
                    b"HTTP/1.1 299 Still Here\r\ncontent-length: 0\r\n\r\n".to_vec(),
                    false,
                ),
                (false, Some(script)) => (script.answer, script.then_closes),
                (false, None) if is_head => (
                    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".to_vec(),
                    false,
                ),
                (false, None) => (
                    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
                    false,
                ),
            };
            if stream.write_all(&answer).await.is_err() || then_closes {
                return;
            }
        }
    }
}

/// The next message as it came, and whether it came whole.
async fn message(stream: &mut TcpStream, unread: &mut Vec<u8>) -> (Vec<u8>, bool) {
    loop {
        if let Some(length) = length_of(unread) {
            return (unread.drain(..length).collect(), true);
        }
        if !matches!(stream.read_buf(unread).await, Ok(read) if read > 0) {
            return (std::mem::take(unread), false);
        }
    }
}

/// The length of the first message, if all of it is there. A strict reader: what it cannot frame it never ends.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    if field("transfer-encoding").is_some() {
        return chunked_length(&bytes[head..]).map(|length| head + length);
    }
    let length = match field("content-length") {
        Some(length) => length.parse::<usize>().ok()?,
        None => 0,
    };
    let whole = head.checked_add(length)?;
    (bytes.len() >= whole).then_some(whole)
}

fn chunked_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?.checked_add(2)?;
        if at > bytes.len() {
            return None;
        }
    }
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}
