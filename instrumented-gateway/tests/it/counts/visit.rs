//! Clients that ask for anything and leave at any moment, in any way.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::upstream::BEHAVIOURS;
use crate::support::{Client, PANICS_AFTER, PATIENCE};

/// The longest time that a client which leaves while it waits has waited, in milliseconds.
const LONGEST_WAIT: u64 = 60;
const LONGEST_UPLOAD: usize = 200_000;

/// How far a client goes before it leaves.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    Satisfied,
    /// After so many bytes of the request.
    Asking(usize),
    /// When it has waited so long for more of the answer.
    Waiting(Duration),
    /// After so many bytes of the answer.
    Answered(usize),
}

/// How it goes.
#[derive(Debug, Clone, Copy)]
enum Farewell {
    Close,
    Reset,
    /// It says that nothing more comes, and listens on.
    HalfClose,
}

/// One request and what becomes of it: all of it drawn from the seed.
#[derive(Debug)]
struct Plan {
    request: Vec<u8>,
    leaves: Leaves,
    farewell: Farewell,
    upgrades: bool,
}

impl Plan {
    fn draw(random: &mut Rng) -> Self {
        let pick = |random: &mut Rng| BEHAVIOURS[random.usize(..BEHAVIOURS.len())];
        let path = match random.u8(..4) {
            0 => format!("/one/{}", pick(random)),
            1 => format!("/two/{}", pick(random)),
            2 => format!("/partial/{}/{}", pick(random), pick(random)),
            _ => format!("/error/{}/{}", pick(random), pick(random)),
        };
        let is_proxied = path.starts_with("/one") || path.starts_with("/two");
        let upgrades = is_proxied && path.ends_with("/upgrade");
        let mut fields = String::from("host: g\r\n");
        let mut method = if random.u8(..10) == 0 { "HEAD" } else { "GET" };
        let mut upload = Vec::new();
        if upgrades {
            method = "GET";
            fields.push_str("connection: upgrade\r\nupgrade: echo\r\n");
        } else if is_proxied && random.u8(..4) == 0 {
            (method, upload) = ("POST", vec![b'u'; random.usize(..=LONGEST_UPLOAD)]);
            fields.push_str(&match random.u8(..3) {
                0 => {
                    let mut chunk = format!("{:x}\r\n", upload.len().max(1)).into_bytes();
                    upload.resize(upload.len().max(1), b'u');
                    chunk.append(&mut upload);
                    chunk.extend_from_slice(b"\r\n0\r\n\r\n");
                    upload = chunk;
                    "transfer-encoding: chunked\r\n".to_owned()
                }
                1 => format!(
                    "expect: 100-continue\r\ncontent-length: {}\r\n",
                    upload.len()
                ),
                _ => format!("content-length: {}\r\n", upload.len()),
            });
        }
        if random.u8(..8) == 0 {
            fields.push_str(&format!("{PANICS_AFTER}: {}\r\n", random.u8(..20)));
        }
        let mut request = format!("{method} {path} HTTP/1.1\r\n{fields}\r\n").into_bytes();
        request.append(&mut upload);
        // Not HTTP at all, once in a while.
        if random.u8(..50) == 0 {
            request = b"\x16\x03\x01 what?\r\n\r\n".to_vec();
        }
        let leaves = match random.u8(..8) {
            0 => Leaves::Asking(random.usize(..=request.len())),
            1 => Leaves::Waiting(Duration::from_millis(random.u64(..LONGEST_WAIT))),
            2 => Leaves::Answered(random.usize(..5000)),
            _ => Leaves::Satisfied,
        };
        let farewell = match random.u8(..8) {
            0 | 1 => Farewell::Close,
            2 => Farewell::HalfClose,
            // The rule, so that the ports of 100,000 clients are free again at once.
            _ => Farewell::Reset,
        };
        Self {
            request,
            leaves,
            farewell,
            upgrades,
        }
    }
}

/// The requests of one client, on one connection as long as that serves. Returns how many it made.
pub(super) async fn visit(gateway: SocketAddr, random: &mut Rng, at_most: usize) -> usize {
    let mut client = Client::connect(gateway).await;
    let mut made = 0;
    loop {
        let plan = Plan::draw(random);
        made += 1;
        let again = exchange(&mut client, &plan).await;
        if again && made < at_most && random.bool() {
            continue;
        }
        match plan.farewell {
            Farewell::Reset => {
                let _ = client.stream.set_zero_linger();
            }
            Farewell::Close | Farewell::HalfClose => {}
        }
        return made;
    }
}

/// One request; whether the connection can serve another.
async fn exchange(client: &mut Client, plan: &Plan) -> bool {
    let (asked, patience, wanted) = match plan.leaves {
        Leaves::Satisfied => (plan.request.len(), PATIENCE, usize::MAX),
        Leaves::Asking(bytes) => (bytes, PATIENCE, 0),
        Leaves::Waiting(patience) => (plan.request.len(), patience, usize::MAX),
        Leaves::Answered(bytes) => (plan.request.len(), PATIENCE, bytes),
    };
    let talk = async {
        let whole = asked == plan.request.len();
        if client.send(&plan.request[..asked]).await.is_err() || !whole {
            return false;
        }
        if matches!(plan.farewell, Farewell::HalfClose) {
            let _ = client.stream.shutdown().await;
        }
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        // The server closes, or the answer is whole, or there was enough of it.
        while seen.len() < wanted {
            match answered(&seen, plan) {
                Answer::More => {}
                Answer::Whole => return true,
                Answer::Tunnel => return tunnel(client).await,
            }
            match client.stream.read(&mut buffer).await {
                Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                _ => return false,
            }
        }
        false
    };
    match tokio::time::timeout(patience, talk).await {
        Ok(again) => again,
        Err(_) => {
            let request = String::from_utf8_lossy(&plan.request[..plan.request.len().min(200)]);
            assert!(
                patience < PATIENCE,
                "neither served nor closed: {:?} {:?} {request}",
                plan.leaves,
                plan.farewell
            );
            false
        }
    }
}

enum Answer {
    More,
    Whole,
    Tunnel,
}

/// What has come so far. Answers whose length is not declared are read until the server closes or begins to wait.
fn answered(seen: &[u8], plan: &Plan) -> Answer {
    let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answer::More;
    };
    let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
    if plan.upgrades && head.starts_with("http/1.1 101 ") {
        return Answer::Tunnel;
    }
    // An interim answer: the next head follows.
    if head.starts_with("http/1.1 1") {
        return answered(&seen[end + 4..], plan);
    }
    if plan.request.starts_with(b"HEAD ") {
        return Answer::Whole;
    }
    if head.contains("transfer-encoding: chunked") {
        let ended = seen[end..].ends_with(b"\r\n0\r\n\r\n");
        return if ended { Answer::Whole } else { Answer::More };
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse::<usize>().ok());
    match length {
        Some(length) if seen.len() >= end + 4 + length => Answer::Whole,
        _ => Answer::More,
    }
}

/// Speaks through a tunnel until something has come back, or the other side closes.
async fn tunnel(client: &mut Client) -> bool {
    let mut buffer = [0; 16];
    for word in [&b"hello"[..], b"again"] {
        if client.send(word).await.is_err() {
            return false;
        }
        if !matches!(client.stream.read(&mut buffer).await, Ok(1..)) {
            return false;
        }
    }
    false
}
