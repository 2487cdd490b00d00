//! Servers that say exactly what a test tells them to, byte by byte, plain or over TLS, and keep what they were asked.

#![expect(
    clippy::disallowed_methods,
    reason = "the servers of a test are no part of the agent: nothing counts them, and the test's runtime ends them"
)]

pub(crate) mod certificates;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a server does with a connection, step by step; then it closes.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads the head of a request.
    Head,
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends the same bytes until the client has gone.
    Endless(Vec<u8>),
    /// Sends one byte after the other, so far apart.
    Drip(Vec<u8>, Duration),
    /// Does nothing until the client has gone.
    Hang,
    /// Passes everything on, both ways, until one side ends.
    Tunnel(SocketAddr),
    /// Closes with a reset instead of an end.
    Reset,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    names: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers every connection by the same script.
    pub(crate) async fn plain(script: Vec<Step>) -> Self {
        Self::start(None, vec![script]).await
    }

    /// Answers the first connection by the first script and so on, all further ones by the last; over TLS where there
    /// is a configuration.
    pub(crate) async fn start(tls: Option<Arc<ServerConfig>>, scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let names = Arc::new(Mutex::new(Vec::new()));
        let (seen, named) = (Arc::clone(&heads), Arc::clone(&names));
        let task = tokio::spawn(async move {
            for turn in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let script = scripts[turn.min(scripts.len() - 1)].clone();
                let (tls, seen, names) = (tls.clone(), Arc::clone(&seen), Arc::clone(&named));
                tokio::spawn(async move {
                    // The client may leave at any moment; that is its right.
                    let _ = answer(stream, tls, script, &seen, &names).await;
                });
            }
        });
        Self {
            address,
            heads,
            names,
            task,
        }
    }

    /// Whom the clients named in their handshakes so far.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().expect("no panic").clone()
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

async fn answer(
    mut stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    script: Vec<Step>,
    seen: &Mutex<Vec<String>>,
    names: &Mutex<Vec<String>>,
) -> io::Result<()> {
    match tls {
        Some(tls) => {
            let mut stream = TlsAcceptor::from(tls).accept(stream).await?;
            let name = stream.get_ref().1.server_name().unwrap_or("nobody");
            names.lock().expect("no panic").push(name.to_owned());
            play(&mut stream, script, seen).await?;
            stream.shutdown().await
        }
        None => {
            if play(&mut stream, script, seen).await? {
                stream.set_zero_linger()?;
            }
            Ok(())
        }
    }
}

/// Whether the connection is to be reset.
async fn play(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    script: Vec<Step>,
    seen: &Mutex<Vec<String>>,
) -> io::Result<bool> {
    for step in script {
        match step {
            Step::Head => {
                let head = read_head(stream).await?;
                seen.lock().expect("no panic").push(head);
            }
            Step::Send(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Step::Endless(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Hang => {
                tokio::io::copy(stream, &mut tokio::io::sink()).await?;
            }
            Step::Tunnel(to) => {
                let mut other = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(stream, &mut other).await?;
            }
            Step::Reset => return Ok(true),
        }
    }
    Ok(false)
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A whole response with these header lines.
pub(crate) fn response(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Reads a request and answers it.
pub(crate) fn answering(status: &str, headers: &[&str], body: &str) -> Vec<Step> {
    vec![Step::Head, Step::Send(response(status, headers, body))]
}
