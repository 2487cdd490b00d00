//! What passes through, in both directions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::support::{
    Client, Gateway, PATIENCE, Upstream, eventually, get, request, response, soon,
};

const ONE: &str = "
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one }]
";

#[tokio::test]
async fn an_answer_streams_as_it_comes() {
    let first_was_read = Arc::new(Notify::new());
    let upstream = Upstream::start({
        let first_was_read = Arc::clone(&first_was_read);
        move |mut peer| {
            let first_was_read = Arc::clone(&first_was_read);
            async move {
                peer.request().await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
                peer.send(head).await.expect("sent");
                soon("the client reads", first_was_read.notified()).await;
                peer.send(b"again").await.expect("sent");
                peer.until_closed().await;
            }
        }
    })
    .await;
    let gateway = Gateway::start(ONE, &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/").await;
    client.head().await;
    let (first, _) = client.exactly(5).await;
    assert_eq!(first, b"first");
    assert_eq!(
        (gateway.open("response_body"), gateway.pooled("in_use")),
        (1, 1)
    );
    first_was_read.notify_one();
    let (second, _) = client.exactly(5).await;
    assert_eq!(second, b"again");
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 1);
    assert_eq!(gateway.closed("response_body", "complete"), 1);
    assert_eq!(gateway.closed("request", "completed"), 1);
}

#[tokio::test]
async fn an_upload_streams_as_it_comes() {
    let first_came = Arc::new(Notify::new());
    let upstream = Upstream::start({
        let first_came = Arc::clone(&first_came);
        move |mut peer| {
            let first_came = Arc::clone(&first_came);
            async move {
                let head = peer.head().await.expect("a head");
                assert!(head.contains("content-length: 10\r\n"), "{head}");
                assert_eq!(peer.content(5).await.expect("content"), b"first");
                first_came.notify_one();
                assert_eq!(peer.content(5).await.expect("content"), b"again");
                peer.send(&response(200, "thanks")).await.expect("sent");
                peer.until_closed().await;
            }
        }
    })
    .await;
    let gateway = Gateway::start(ONE, &[upstream.address]).await;
    let mut client = Client::connect(gateway.address).await;
    let head = b"POST / HTTP/1.1\r\nhost: gateway\r\ncontent-length: 10\r\n\r\nfirst";
    client.send(head).await.expect("sent");
    soon("the upstream reads", first_came.notified()).await;
    client.send(b"again").await.expect("sent");
    assert_eq!(client.answer().await.text(), "thanks");
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_slows_the_upstream_down() {
    const MOST: usize = 64 << 20;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let upstream = Upstream::start({
        let sent = Arc::clone(&sent);
        move |mut peer| {
            let sent = Arc::clone(&sent);
            async move {
                peer.request().await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MOST}\r\n\r\n");
                peer.send(head.as_bytes()).await.expect("sent");
                let block = vec![b'x'; 1 << 16];
                let order = std::sync::atomic::Ordering::SeqCst;
                while sent.load(order) < MOST && peer.send(&block).await.is_ok() {
                    sent.fetch_add(block.len(), order);
                }
                peer.until_closed().await;
            }
        }
    })
    .await;
    let gateway = Gateway::start(ONE, &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/").await;
    client.head().await;
    // The kernel's buffers on both ways fill; what then stands still is what the gateway does not take.
    let order = std::sync::atomic::Ordering::SeqCst;
    let mut before = usize::MAX;
    while std::mem::replace(&mut before, sent.load(order)) != sent.load(order) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        before < MOST / 2,
        "the upstream was read {before} bytes ahead"
    );
    let (body, whole) = soon("the whole body", client.exactly(MOST)).await;
    assert!(whole && body.iter().all(|byte| *byte == b'x'));
    gateway.quiet().await;
}

#[tokio::test]
async fn bytes_are_those_of_the_upstream() {
    let upstream = Upstream::answering(|head| {
        let length: usize = head
            .split(['=', ' '])
            .nth(2)
            .and_then(|length| length.parse().ok())
            .expect("a length");
        let body: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
        if head.starts_with("GET /chunked") {
            let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for chunk in body.chunks(10_007) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            bytes
        } else {
            response(200, body)
        }
    })
    .await;
    let gateway = Gateway::start(ONE, &[upstream.address]).await;
    for length in [0, 1, 100, 65_535, 65_536, 1_000_003] {
        let expected: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
        for path in ["/chunked", "/length"] {
            let answer = get(gateway.address, &format!("{path}?n={length}")).await;
            assert!(answer.whole && answer.body == expected, "{path} {length}");
            // An empty body is known to be empty in time, however it was framed.
            let declared = (path == "/length" || length == 0).then(|| length.to_string());
            assert_eq!(
                answer.field("content-length"),
                declared.as_deref(),
                "{path} {length}"
            );
        }
    }
    gateway.quiet().await;
    assert_eq!(upstream.accepted(), 1, "one connection serves them all");
}

#[tokio::test]
async fn heads_without_content_keep_their_fields() {
    let upstream = Upstream::answering(|head| match head.split(' ').next() {
        Some("HEAD") => b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: \"x\"\r\n\r\n".to_vec(),
        Some("DELETE") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n".to_vec(),
    })
    .await;
    let gateway = Gateway::start(ONE, &[upstream.address]).await;
    let mut client = Client::connect(gateway.address).await;
    client
        .send(b"HEAD / HTTP/1.1\r\nhost: g\r\n\r\n")
        .await
        .expect("sent");
    let head = client.answer_to_head().await;
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("1234"))
    );
    client
        .send(b"DELETE / HTTP/1.1\r\nhost: g\r\n\r\n")
        .await
        .expect("sent");
    assert_eq!(client.answer().await.status, 204);
    client.get("/").await;
    let not_modified = client.answer().await;
    assert_eq!(
        (not_modified.status, not_modified.field("etag")),
        (304, Some("\"x\""))
    );
    gateway.quiet().await;
    assert_eq!(upstream.accepted(), 1);
    assert_eq!(gateway.closed("request", "completed"), 3);
}

#[tokio::test]
async fn fields_of_one_connection_stay_there() {
    let upstream = Upstream::answering(|head| {
        let mut answer =
            b"HTTP/1.1 200 OK\r\nx-one: 1\r\nconnection: x-one, keep-alive\r\nkeep-alive: \
            timeout=5\r\nx-two: 2\r\n"
                .to_vec();
        answer
            .extend_from_slice(format!("content-length: {}\r\n\r\n{head}", head.len()).as_bytes());
        answer
    })
    .await;
    let gateway = Gateway::start(ONE, &[upstream.address]).await;
    let answer = request(
        gateway.address,
        "GET /a%20b?c=%2F HTTP/1.1\r\nhost: gateway\r\nconnection: close, x-mine\r\nx-mine: 1\r\n\
         te: trailers\r\nx-yours: 1\r\nx-request-deadline-ms: 1\r\n\r\n",
    )
    .await;
    let head = answer.text();
    assert!(head.starts_with("GET /a%20b?c=%2F HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("host: {}\r\n", upstream.address)),
        "{head}"
    );
    assert!(head.contains("x-yours: 1\r\n"), "{head}");
    assert!(
        head.contains("connection: te\r\nte: trailers\r\n"),
        "{head}"
    );
    for gone in ["x-mine", "close"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    let budget: u64 = head
        .lines()
        .find_map(|line| line.strip_prefix("x-request-deadline-ms: "))
        .and_then(|budget| budget.parse().ok())
        .expect("a budget");
    assert!((59_000..=60_000).contains(&budget), "{budget}");
    assert_eq!(answer.field("x-two"), Some("2"));
    assert_eq!(
        (answer.field("x-one"), answer.field("keep-alive")),
        (None, None)
    );
}

#[tokio::test]
async fn a_body_that_stands_still_is_cut() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
        peer.send(begin).await.expect("sent");
        peer.until_closed().await;
    })
    .await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one, body_idle_timeout: 300ms }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let answer = soon("the cut", get(gateway.address, "/")).await;
    assert_eq!((answer.text(), answer.whole), ("first", false));
    gateway.quiet().await;
    assert_eq!(gateway.closed("pool_connection", "error"), 1);
    eventually("the upstream sees it too", || upstream.closed() == 1).await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        peer.send(head).await.expect("sent");
        let mut chunk = b"10000\r\n".to_vec();
        chunk.extend_from_slice(&[b'x'; 0x10000]);
        chunk.extend_from_slice(b"\r\n");
        while peer.send(&chunk).await.is_ok() {}
    })
    .await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one, body_idle_timeout: 300ms }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/").await;
    client.head().await;
    eventually("the upstream is let go", || upstream.closed() == 1).await;
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 0);
    drop(client);
}

#[tokio::test]
async fn a_slow_body_within_its_bound_is_never_late() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n";
        peer.send(head).await.expect("sent");
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            peer.send(b".").await.expect("sent");
        }
        peer.until_closed().await;
    })
    .await;
    let config = "
grace: 100ms
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one, body_idle_timeout: 400ms }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/").await;
    let (mut at_once, mut answer) = (Vec::new(), None);
    tokio::time::timeout(PATIENCE, async {
        let mut answering = std::pin::pin!(client.answer());
        let mut scrapes = tokio::time::interval(Duration::from_millis(5));
        while answer.is_none() {
            tokio::select! {
                came = &mut answering => answer = Some(came),
                _ = scrapes.tick() => {
                    at_once.extend(crate::support::late(&gateway.snapshot()));
                }
            }
        }
    })
    .await
    .expect("an answer");
    let answer = answer.expect("an answer");
    assert!(answer.whole && answer.body.len() == 20);
    assert!(at_once.is_empty(), "{at_once:?}");
    gateway.quiet().await;
}
