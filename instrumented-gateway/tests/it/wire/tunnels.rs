//! Exchanges that switch to another protocol: bytes in both directions, counted until both ends are closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use instrumented_gateway::gateway::Running;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::shell::support::{comes_to, quiet, start};
use crate::support::{Client, Peer, Upstream, eventually, soon};

const ASK: &[u8] =
    b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello";

fn configuration(idle: &str) -> String {
    format!(
        "via: gw\ngrace: 100ms\nshutdown_timeout: 200ms\nupstreams: [{{ name: one, endpoints: [\"{{0}}\"] }}]\n\
         routes: [{{ path: /*, proxy: one, deadline: 2s, tunnel_idle_timeout: {idle} }}]\n"
    )
}

/// An upstream that switches, says hello, and gives back what it gets until its client ends.
async fn echo() -> Upstream {
    Upstream::start(|mut peer: Peer| async move {
        let head = peer.head().await.expect("a head");
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        assert!(head.contains("sec-websocket-key: "), "{head}");
        peer.send(SWITCH).await.expect("sent");
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = peer.stream.read(&mut bytes).await {
            peer.send(&bytes[..read]).await.expect("sent");
        }
    })
    .await
}

fn open(gateway: &Running, resource: &str) -> u64 {
    gateway.ledger().snapshot().open(resource)
}

fn closed(gateway: &Running, resource: &str, outcome: &str) -> u64 {
    let snapshot = gateway.ledger().snapshot();
    snapshot
        .of(resource)
        .map(|account| account.closed_as(outcome))
        .sum()
}

/// A client that has switched and read the upstream's first words.
async fn switched(gateway: SocketAddr) -> Client {
    let mut client = Client::connect(gateway).await;
    client.send(ASK).await.expect("sent");
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    for line in [
        "connection: upgrade",
        "upgrade: WebSocket",
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "via: 1.1 gw",
    ] {
        assert!(
            head.contains(&format!("\r\n{line}\r\n")),
            "{line} in {head}"
        );
    }
    assert_eq!(client.exactly(5).await.0, b"hello");
    client
}

#[tokio::test]
async fn both_directions_are_copied_and_counted_until_the_end() {
    let upstream = echo().await;
    let gateway = start(&configuration("10s"), &[upstream.address]).await;
    let mut client = switched(gateway.listen_addr()).await;
    for word in [&b"one"[..], b"\x00\xff\r\n\r\nGET /", &[b'x'; 100_000]] {
        let back = async {
            let (sent, back) = {
                let (mut read, mut write) = client.stream.split();
                let mut back = vec![0; word.len()];
                let (sent, read) = tokio::join!(write.write_all(word), read.read_exact(&mut back));
                (sent.and(read.map(|_| ())), back)
            };
            sent.expect("sent");
            back
        };
        assert_eq!(soon("the words come back", back).await, word);
    }
    let held = ["request", "tunnel", "pool_connection"].map(|resource| open(&gateway, resource));
    assert_eq!(held, [1, 1, 1]);
    comes_to(
        &gateway,
        "gateway_pool_connections{upstream=\"one\",state=\"in_use\"}",
        1.0,
    )
    .await;
    drop(client);
    quiet(&gateway).await;
    assert_eq!(closed(&gateway, "tunnel", "completed"), 1);
    assert_eq!(closed(&gateway, "request", "completed"), 1);
    assert_eq!(closed(&gateway, "pool_connection", "upgraded"), 1);
    assert_eq!(open(&gateway, "tunnel"), 0);
    comes_to(
        &gateway,
        "gateway_requests_total{route=\"/*\",code=\"101\"}",
        1.0,
    )
    .await;
    comes_to(
        &gateway,
        "gateway_upstream_requests_total{upstream=\"one\",result=\"ok\"}",
        1.0,
    )
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_the_client_sends_ahead_of_the_switch_goes_on_behind_it() {
    let upstream = echo().await;
    let gateway = start(&configuration("10s"), &[upstream.address]).await;
    let mut client = Client::connect(gateway.listen_addr()).await;
    client.send(&[ASK, b"ahead"].concat()).await.expect("sent");
    client.head().await;
    let (both, _) = soon("both words", client.exactly(10)).await;
    assert_eq!(both, b"helloahead");
    drop(client);
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_end_in_one_direction_leaves_the_other() {
    let upstream = Upstream::start(|mut peer: Peer| async move {
        peer.head().await.expect("a head");
        peer.send(SWITCH).await.expect("sent");
        let mut all = Vec::new();
        peer.stream.read_to_end(&mut all).await.expect("read");
        peer.send(&all).await.expect("sent");
    })
    .await;
    let gateway = start(&configuration("10s"), &[upstream.address]).await;
    let mut client = switched(gateway.listen_addr()).await;
    client.send(b"last words").await.expect("sent");
    client.stream.shutdown().await.expect("shut");
    let (back, _) = soon("the answer", client.exactly(10)).await;
    assert_eq!(back, b"last words");
    assert_eq!(client.exactly(1).await, (Vec::new(), false));
    quiet(&gateway).await;
    assert_eq!(closed(&gateway, "request", "completed"), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_tunnel_that_stands_still_is_cut() {
    let upstream = echo().await;
    let gateway = start(&configuration("300ms"), &[upstream.address]).await;
    let mut client = switched(gateway.listen_addr()).await;
    assert_eq!(
        soon("the cut", client.exactly(1)).await,
        (Vec::new(), false)
    );
    quiet(&gateway).await;
    assert_eq!(closed(&gateway, "request", "timed_out"), 1);
    assert_eq!(closed(&gateway, "tunnel", "failed"), 1);
    assert_eq!(closed(&gateway, "pool_connection", "upgraded"), 1);
    eventually("the upstream sees it too", || upstream.closed() == 1).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn who_does_not_read_slows_the_other_side_down() {
    const MOST: usize = 64 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::start({
        let sent = Arc::clone(&sent);
        move |mut peer: Peer| {
            let sent = Arc::clone(&sent);
            async move {
                peer.head().await.expect("a head");
                peer.send(SWITCH).await.expect("sent");
                let block = vec![b'x'; 1 << 16];
                while sent.load(Ordering::SeqCst) < MOST && peer.send(&block).await.is_ok() {
                    sent.fetch_add(block.len(), Ordering::SeqCst);
                }
                peer.until_closed().await;
            }
        }
    })
    .await;
    let gateway = start(&configuration("10s"), &[upstream.address]).await;
    let mut client = switched(gateway.listen_addr()).await;
    // The kernel's buffers fill; what then stands still is what the gateway does not take.
    let mut before = usize::MAX;
    while std::mem::replace(&mut before, sent.load(Ordering::SeqCst)) != sent.load(Ordering::SeqCst)
    {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(
        before < MOST / 2,
        "the upstream was read {before} bytes ahead"
    );
    let (bytes, whole) = soon("all of it", client.exactly(MOST)).await;
    assert!(whole && bytes.iter().all(|byte| *byte == b'x'));
    drop(client);
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_breaks_off_takes_the_upstream_along() {
    let upstream = echo().await;
    let gateway = start(&configuration("10s"), &[upstream.address]).await;
    let client = switched(gateway.listen_addr()).await;
    client.stream.set_zero_linger().expect("set");
    drop(client);
    eventually("the upstream sees the end", || upstream.closed() == 1).await;
    quiet(&gateway).await;
    assert_eq!(closed(&gateway, "request", "client_gone"), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_a_tunnel_until_its_deadline() {
    let upstream = echo().await;
    let gateway = start(&configuration("off"), &[upstream.address]).await;
    let mut client = switched(gateway.listen_addr()).await;
    let ledger = gateway.ledger().clone();
    assert_eq!(soon("the shutdown", gateway.shutdown()).await, 1);
    assert_eq!(
        soon("the cut", client.exactly(1)).await,
        (Vec::new(), false)
    );
    let snapshot = ledger.snapshot();
    for resource in ["request", "tunnel", "pool_connection"] {
        assert_eq!(snapshot.open(resource), 0, "{resource}");
    }
}
