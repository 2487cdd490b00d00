//! Servers for tests: each answers its connections by scripts.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a server does with a connection, step by step; then it closes.
#[derive(Clone)]
pub(super) enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends the same bytes until the client has gone.
    Endless(Vec<u8>),
    /// Sends one byte after the other, so far apart.
    Drip(Vec<u8>, Duration),
    /// Does nothing until the client has gone.
    Hang,
    /// Closes with a reset instead of an end.
    Reset,
}

pub(super) struct Server {
    pub(super) address: String,
    /// The heads of the requests so far.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers every connection by the same script.
    pub(super) async fn start(script: Vec<Step>) -> Self {
        Self::in_turn(vec![script]).await
    }

    /// Answers the first connection by the first script and so on, all further ones by the last.
    pub(super) async fn in_turn(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        #[expect(
            clippy::disallowed_methods,
            reason = "the server of a test, ended with it"
        )]
        let task = tokio::spawn(async move {
            for turn in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let script = scripts[turn.min(scripts.len() - 1)].clone();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    // The client may leave at any moment; that is its right.
                    let _ = answer(stream, &script, &seen).await;
                });
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn answer(
    mut stream: TcpStream,
    script: &[Step],
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    seen.lock().expect("no panic").push(head);
    for step in script {
        match step {
            Step::Send(bytes) => stream.write_all(bytes).await?,
            Step::Endless(bytes) => loop {
                stream.write_all(bytes).await?;
            },
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(*pause).await;
                }
            }
            Step::Hang => {
                stream.read_u8().await?;
            }
            Step::Reset => stream.set_zero_linger()?,
        }
    }
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A whole response with these header lines.
pub(super) fn response(headers: &[&str], body: impl AsRef<[u8]>) -> Step {
    let body = body.as_ref();
    let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n".to_vec();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    Step::Send(bytes)
}

pub(super) const TEXT: &str = "content-type: text/plain; version=0.0.4; charset=utf-8";
pub(super) const OPEN_METRICS: &str =
    "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const GZIP: &str = "content-encoding: gzip";

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}
