//! An upstream that answers at once, until it is told to stop answering.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::spawn;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 101\r\n\r\n\"a hundred bytes of an article, which the gateway puts beside two others as a part of one answer, ok\"";

pub(crate) struct Upstream {
    address: SocketAddr,
    answers: Arc<watch::Sender<bool>>,
}

impl Upstream {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let answers = Arc::new(watch::Sender::new(true));
        let upstream = Self {
            address,
            answers: Arc::clone(&answers),
        };
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = answers.subscribe();
                spawn(async move {
                    // The gateway leaves in the middle of what hangs: that is the point.
                    let _ = serve(stream, answers).await;
                });
            }
        });
        Ok(upstream)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on requests are read and not answered.
    pub(crate) fn stop_answering(&self) {
        self.answers.send_replace(false);
    }

    /// Answers again, what waits included.
    pub(crate) fn answer_again(&self) {
        self.answers.send_replace(true);
    }
}

async fn serve(mut stream: TcpStream, mut answers: watch::Receiver<bool>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await?;
        if read == 0 {
            return Ok(());
        }
        length += read;
        if !buffer[..length].ends_with(b"\r\n\r\n") {
            continue;
        }
        length = 0;
        if !*answers.borrow() {
            tokio::select! {
                _ = answers.wait_for(|answers| *answers) => {}
                // Nobody sends a second request before the first is answered: this is the end.
                _ = stream.read(&mut buffer) => return Ok(()),
            }
        }
        stream.write_all(ANSWER).await?;
    }
}
