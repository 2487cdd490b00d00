//! Counts are true: under any mix of requests that end badly nothing is ever late, afterwards nothing is held, and at each
//! moment the pool's states add up to the sockets that the kernel lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use resource_ledger::Snapshot;
use tokio::io::AsyncReadExt;

use crate::support::{
    Client, Gateway, Kernel, PANICS_AFTER, PATIENCE, Peer, Upstream, late, now, response, spawn,
};

const CONFIG: &str = "
upstreams:
  - { name: one, endpoints: [\"{0}\"], max_connections: 8, max_idle: 4, max_waiters: 6, idle_timeout: 150ms }
  - { name: two, endpoints: [\"{1}\"], max_connections: 8, max_idle: 4, max_in_flight: 10, max_requests: 5 }
routes:
  - { path: /one/*, proxy: one, deadline: 150ms, body_idle_timeout: 150ms }
  - { path: /two/*, proxy: two, deadline: 150ms, body_idle_timeout: 150ms }
  - path: /partial/{a}/{b}
    deadline: 150ms
    fan_out: { policy: partial, calls: [
      { name: a, upstream: one, path: \"/x/{a}\" }, { name: b, upstream: two, path: \"/x/{b}\" }] }
  - path: /error/{a}/{b}
    deadline: 150ms
    fan_out: { policy: error, calls: [
      { name: a, upstream: one, path: \"/x/{a}\" }, { name: b, upstream: two, path: \"/x/{b}\" }] }
";

const BEHAVIOURS: [&str; 14] = [
    "ok", "ok", "ok", "slow", "big", "404", "hang", "close", "reset", "half", "stall", "garbage",
    "early", "last",
];

/// Serves one connection as the paths of its requests say.
async fn behave(mut peer: Peer) {
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
async fn visit(address: std::net::SocketAddr, random: &mut fastrand::Rng) {
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

/// Opened and closed so far: what tells one moment from another.
fn totals(snapshot: &Snapshot) -> (u64, u64) {
    snapshot
        .of("pool_connection")
        .fold((0, 0), |(opened, closed), account| {
            (opened + account.opened, closed + account.closed_total())
        })
}

fn states(snapshot: &Snapshot) -> u64 {
    let states = ["connecting", "idle", "in_use", "draining"];
    snapshot
        .of("pool_connection")
        .flat_map(|account| states.map(|state| account.open_in_state(state)))
        .sum()
}

#[derive(Debug, Default)]
struct Judged {
    equal: usize,
    again: usize,
    scrapes: usize,
    most: u64,
}

/// Holds snapshot against kernel against snapshot until told to stop.
fn judge(gateway: &Gateway, mut kernel: Kernel, go_on: impl Fn(&Judged) -> bool) -> Judged {
    let mut judged = Judged::default();
    while go_on(&judged) {
        let before = gateway.snapshot();
        let sockets = kernel.sockets();
        let after = gateway.snapshot();
        for snapshot in [&before, &after] {
            judged.scrapes += 1;
            assert_eq!(late(snapshot), []);
        }
        match sockets {
            Some(sockets) if totals(&before) == totals(&after) => {
                assert_eq!(states(&before), sockets, "{:?}", before);
                judged.equal += 1;
                judged.most = judged.most.max(sockets);
            }
            _ => judged.again += 1,
        }
    }
    judged
}

const VISITORS: u64 = 24;
const WAVE: Duration = Duration::from_millis(400);
const JUDGED_AT_LEAST: usize = 1000;
const STORM: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_storm() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (one, two) = (Upstream::start(behave).await, Upstream::start(behave).await);
    let kernel = Kernel::new(&[one.address, two.address]);
    let gateway = Arc::new(Gateway::start(CONFIG, &[one.address, two.address]).await);
    let begin = now();
    let over = Arc::new(AtomicBool::new(false));
    let visits = Arc::new(AtomicUsize::new(0));
    let visitors: Vec<_> = (0..VISITORS)
        .map(|visitor| {
            let (over, visits) = (Arc::clone(&over), Arc::clone(&visits));
            let address = gateway.address;
            spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(visitor));
                while !over.load(Ordering::SeqCst) {
                    visit(address, &mut random).await;
                    visits.fetch_add(1, Ordering::SeqCst);
                    // In waves: too many at once, then moments in which no connection is opened or closed.
                    let wave = begin.elapsed().as_millis() / WAVE.as_millis() + 1;
                    let next = WAVE * u32::try_from(wave).expect("not for ever");
                    tokio::time::sleep(next.saturating_sub(begin.elapsed())).await;
                }
            })
        })
        .collect();
    let judged = {
        let gateway = Arc::clone(&gateway);
        blocking(move || {
            judge(&gateway, kernel, |judged| {
                begin.elapsed() < STORM || judged.equal < JUDGED_AT_LEAST
            })
        })
        .await
    };
    over.store(true, Ordering::SeqCst);
    for visitor in visitors {
        visitor.await.expect("no panic of the test's own");
    }
    gateway.quiet().await;
    println!("{judged:?}, {} visits", visits.load(Ordering::SeqCst));
    for outcome in ["client_gone", "error", "peer_closed", "idle_timeout"] {
        assert!(
            gateway.closed("pool_connection", outcome) > 0,
            "{outcome} never happened"
        );
    }
    for outcome in ["completed", "client_gone", "timed_out", "failed"] {
        assert!(
            gateway.closed("request", outcome) > 0,
            "{outcome} never happened"
        );
    }
    for outcome in ["complete", "drained", "abandoned", "failed"] {
        assert!(
            gateway.closed("response_body", outcome) > 0,
            "{outcome} never happened"
        );
    }
    for outcome in ["completed", "failed", "timed_out", "cancelled"] {
        assert!(
            gateway.closed("fan_out_task", outcome) > 0,
            "{outcome} never happened"
        );
    }
}

/// A thread that looks on while the runtime works.
#[expect(clippy::disallowed_methods, reason = "the test's own onlooker")]
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(look)
        .await
        .expect("no contradiction")
}
