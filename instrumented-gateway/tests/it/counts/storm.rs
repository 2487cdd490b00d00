//! Upstreams that behave as the path says, and clients that ask for anything and leave at any moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use crate::support::{Client, PANICS_AFTER, PATIENCE, Peer, now, response, spawn};

const BEHAVIOURS: [&str; 14] = [
    "ok", "ok", "ok", "slow", "big", "404", "hang", "close", "reset", "half", "stall", "garbage",
    "early", "last",
];

/// Serves one connection as the paths of its requests say.
pub(super) async fn behave(mut peer: Peer) {
    while let Some(head) = peer.head().await {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let behaviour = path.rsplit('/').next().unwrap_or_default().to_owned();
        let declared = 1000;
        let begun = format!("HTTP/1.1 200 OK\r\ncontent-length: {declared}\r\n\r\nbegun");
        let sent = match behaviour.as_str() {
            "slow" => {
                let _ = peer
                    .send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsl")
                    .await;
                tokio::time::sleep(Duration::from_millis(30)).await;
                peer.send(b"ow").await
            }
            "big" => peer.send(&response(200, vec![b'x'; 300_000])).await,
            "404" => peer.send(&response(404, vec![b'x'; 5000])).await,
            "hang" => return peer.until_closed().await,
            "close" => return,
            "reset" => return peer.reset(),
            "half" => {
                let _ = peer.send(begun.as_bytes()).await;
                return;
            }
            "stall" => {
                let _ = peer.send(begun.as_bytes()).await;
                return peer.until_closed().await;
            }
            "garbage" => peer.send(b"\0\0what?\r\n\r\n").await,
            "early" => {
                let _ = peer.send(&response(413, "enough")).await;
                return peer.until_closed().await;
            }
            "last" => {
                let _ = peer
                    .send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
                    .await;
                return;
            }
            _ => peer.send(&response(200, "[1]")).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// One request of a client that may leave at any moment.
async fn visit(address: SocketAddr, random: &mut fastrand::Rng) {
    let pick = |random: &mut fastrand::Rng| BEHAVIOURS[random.usize(..BEHAVIOURS.len())];
    let path = match random.u8(..4) {
        0 => format!("/one/{}", pick(random)),
        1 => format!("/two/{}", pick(random)),
        2 => format!("/partial/{}/{}", pick(random), pick(random)),
        _ => format!("/error/{}/{}", pick(random), pick(random)),
    };
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: g\r\n");
    let mut upload = Vec::new();
    if path.starts_with("/one") && random.u8(..4) == 0 {
        request = format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-length: 200000\r\n");
        upload = vec![b'u'; random.usize(..200_001)];
    }
    if random.u8(..8) == 0 {
        request.push_str(&format!("{PANICS_AFTER}: {}\r\n", random.u8(..20)));
    }
    request.push_str("\r\n");
    let mut client = Client::connect(address).await;
    let patience = match random.u8(..4) {
        0 => Duration::from_millis(random.u64(..60)),
        _ => PATIENCE,
    };
    let bytes_read = match random.u8(..4) {
        0 => random.usize(..5000),
        _ => usize::MAX,
    };
    let _ = tokio::time::timeout(patience, async {
        if client.send(request.as_bytes()).await.is_err() || client.send(&upload).await.is_err() {
            return;
        }
        let mut left = bytes_read;
        let mut buffer = [0; 4096];
        // The server closes when its keep-alive ends, or the answer is cut; a whole answer ends the visit below.
        let mut seen = Vec::new();
        while left > 0 && !is_whole(&seen) {
            match client.stream.read(&mut buffer).await {
                Ok(read) if read > 0 => {
                    seen.extend_from_slice(&buffer[..read]);
                    left = left.saturating_sub(read);
                }
                _ => return,
            }
        }
    })
    .await;
}

fn is_whole(seen: &[u8]) -> bool {
    let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| seen.len() >= end + 4 + length)
}

const VISITORS: u64 = 24;

/// Clients that come in waves: too many at once, then moments in which no connection is opened or closed.
pub(super) struct Storm {
    over: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<usize>>,
}

impl Storm {
    pub(super) fn over(gateway: SocketAddr, wave: Duration) -> Self {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let over = Arc::new(AtomicBool::new(false));
        let visitors = (0..VISITORS).map(|visitor| {
            let over = Arc::clone(&over);
            spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(visitor));
                let begin = now();
                let mut visits = 0;
                while !over.load(Ordering::SeqCst) {
                    visit(gateway, &mut random).await;
                    visits += 1;
                    let number = begin.elapsed().as_millis() / wave.as_millis() + 1;
                    let next = wave * u32::try_from(number).expect("not for ever");
                    tokio::time::sleep(next.saturating_sub(begin.elapsed())).await;
                }
                visits
            })
        });
        let visitors = visitors.collect();
        Self { over, visitors }
    }

    /// Lets the last visits end, and says how many there were.
    pub(super) async fn subside(self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        let mut visits = 0;
        for visitor in self.visitors {
            visits += visitor.await.expect("no panic of the test's own");
        }
        visits
    }
}
