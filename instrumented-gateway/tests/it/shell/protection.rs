//! Limits on what clients and upstreams may do: each is kept, answered and counted.

use std::time::Duration;

use http_body_util::BodyExt as _;
use instrumented_gateway::gateway::Running;
use tokio::io::AsyncReadExt as _;

use super::support::{comes_to, metrics, quiet, start, value};
use crate::support::{
    Client, Http2Upstream, Peer, Upstream, eventually, full, get, http2_to, now, request,
    request_of, response, soon, text_of,
};

const CONFIG: &str = r#"
limits: { max_uri_bytes: 100, max_request_body_bytes: 1KiB, body_read_timeout: 400ms, min_body_bytes_per_second: 1000 }
upstreams:
  - { name: one, endpoints: ["{0}"], max_response_header_bytes: 8KiB, max_response_headers: 10 }
routes:
  - { path: /one/*, proxy: one }
  - { path: /large, proxy: one, max_request_body_bytes: off, body_read_timeout: off }
  - { path: /few, proxy: one, max_in_flight: 2, max_pending: 1 }
"#;

#[track_caller]
fn reached(metrics: &str, route: &str, limit: &str) -> f64 {
    let series = format!("gateway_limit_reached_total{{route=\"{route}\",limit=\"{limit}\"}}");
    value(metrics, &series).expect("the series exists from the start")
}

#[tokio::test]
async fn a_route_takes_no_more_than_its_share() {
    let upstream = Upstream::start(|mut peer: Peer| async move {
        while let Some(head) = peer.request().await {
            let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbegun";
            let begun = if head.contains("hang") {
                &begun[..0]
            } else {
                &begun[..begun.len() - 1]
            };
            let _ = peer.send(begun).await;
        }
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let address = gateway.listen_addr();
    let refused = async |text: &str| {
        let answer = get(address, "/few").await;
        assert_eq!(
            (answer.status, answer.field("retry-after")),
            (503, Some("1"))
        );
        assert_eq!(answer.text(), text);
    };
    let waiting = Client::asking(address, "/few?hang").await;
    eventually("it waits for its answer", || upstream.accepted() == 1).await;
    refused("too many requests wait for an answer on this route\n").await;
    drop(waiting);
    quiet(&gateway).await;
    let mut streaming = Vec::new();
    for _ in 0..2 {
        let mut client = Client::asking(address, "/few").await;
        client.head().await;
        streaming.push(client);
    }
    refused("too many requests in flight on this route\n").await;
    let mut elsewhere = Client::asking(address, "/one/x").await;
    assert!(elsewhere.head().await.starts_with("HTTP/1.1 200"));
    drop((streaming, elsewhere));
    quiet(&gateway).await;
    let mut again = Client::asking(address, "/few").await;
    assert!(again.head().await.starts_with("HTTP/1.1 200"));
    let text = metrics(&gateway).await;
    assert_eq!(reached(&text, "/few", "in_flight"), 1.0);
    assert_eq!(reached(&text, "/few", "pending"), 1.0);
    assert_eq!(reached(&text, "/one/*", "in_flight"), 0.0);
    drop(again);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_target_that_is_too_long_is_414() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let path = format!("/one/{}", "x".repeat(100));
    let answer = get(gateway.listen_addr(), &path).await;
    assert_eq!(
        (answer.status, answer.text()),
        (414, "the request target is too long\n")
    );
    assert_eq!(reached(&metrics(&gateway).await, "unmatched", "uri"), 1.0);
    gateway.shutdown().await;
}

/// An upstream that answers when it has all of a request's content, and otherwise waits to be left.
async fn reading() -> Upstream {
    Upstream::start(|mut peer: Peer| async move {
        while let Some(head) = peer.head().await {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|length| length.parse().ok());
            if peer.content(length.unwrap_or(usize::MAX)).await.is_some() {
                let _ = peer.send(&response(200, "read")).await;
            }
        }
    })
    .await
}

async fn nothing_is_held(gateway: &Running, upstream: &Upstream) {
    quiet(gateway).await;
    eventually("the upstream is left", || {
        upstream.closed() == upstream.accepted()
    })
    .await;
}

#[tokio::test]
async fn content_that_is_too_large_is_413() {
    let upstream = reading().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let address = gateway.listen_addr();
    let declared = "POST /one/x HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n";
    let answer = request(address, declared).await;
    let text = "the request's content is larger than 1024 bytes\n";
    assert_eq!((answer.status, answer.text()), (413, text));
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(upstream.accepted(), 0, "nobody was asked");
    let mut client = Client::connect(address).await;
    let chunked = format!(
        "POST /one/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n400\r\n{}\r\n",
        "x".repeat(1024)
    );
    client.send(chunked.as_bytes()).await.expect("sent");
    eventually("it is on its way", || upstream.accepted() == 1).await;
    client.send(b"1\r\nx\r\n").await.expect("sent");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, text));
    nothing_is_held(&gateway, &upstream).await;
    assert_eq!(
        reached(&metrics(&gateway).await, "/one/*", "request_body"),
        2.0
    );
    let unlimited = format!(
        "POST /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5000\r\n\r\n{}",
        "x".repeat(5000)
    );
    let answer = request(address, &unlimited).await;
    assert_eq!((answer.status, answer.text()), (200, "read"));
    gateway.shutdown().await;
}

const UPLOAD: &[u8] = b"POST /one/x HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";

#[tokio::test]
async fn a_client_that_sends_too_slowly_is_cut() {
    let upstream = reading().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let text = "timed out waiting for the client's request body\n";
    // It stands still.
    let mut client = Client::connect(gateway.listen_addr()).await;
    let begun = now();
    client.send(UPLOAD).await.expect("sent");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (408, text));
    assert!(
        begun.elapsed() >= Duration::from_millis(400),
        "{:?}",
        begun.elapsed()
    );
    nothing_is_held(&gateway, &upstream).await;
    // It drips: never still for long, and too slow on the whole.
    let mut client = Client::connect(gateway.listen_addr()).await;
    client.send(UPLOAD).await.expect("sent");
    let dripping = async {
        let mut drops = tokio::time::interval(Duration::from_millis(20));
        loop {
            drops.tick().await;
            if client.send(b"x").await.is_err() {
                return 0;
            }
            let mut status = [0; 12];
            let answered =
                tokio::time::timeout(Duration::from_millis(1), client.stream.peek(&mut status));
            if matches!(answered.await, Ok(Ok(12))) {
                return String::from_utf8_lossy(&status[9..])
                    .parse()
                    .expect("a status");
            }
        }
    };
    assert_eq!(soon("it is cut", dripping).await, 408);
    drop(client);
    nothing_is_held(&gateway, &upstream).await;
    let limit = r#"gateway_limit_reached_total{route="/one/*",limit="request_body_time"}"#;
    comes_to(&gateway, limit, 2.0).await;
    gateway.shutdown().await;
}

/// The same limits where requests or exchanges share a connection: the others on it notice nothing.
#[tokio::test]
async fn a_shared_connection_outlives_a_limit() {
    let upstream = Http2Upstream::start(None, |request| async move {
        let path = request.uri().path().to_owned();
        let read = request.into_body().collect().await.is_ok();
        let mut answer = http::Response::new(full(if read { "read" } else { "broken" }));
        if path.ends_with("long") {
            let long = http::HeaderValue::try_from("y".repeat(9000)).expect("a value");
            answer.headers_mut().insert("x", long);
        }
        for number in 0..if path.ends_with("many") { 11 } else { 0 } {
            answer.headers_mut().append("x", number.into());
        }
        answer
    })
    .await;
    let config = CONFIG.replace("name: one,", "name: one, http2: prior_knowledge,");
    let config = format!("http2: prior_knowledge\n{config}");
    let gateway = start(&config, &[upstream.address]).await;
    let address = gateway.listen_addr();
    let mut sender = http2_to(address).await;
    let mut ask = async |path: &str, content: &str| {
        let answer = sender.send_request(request_of("POST", path, content)).await;
        let answer = answer.expect("the connection lives");
        (
            answer.status().as_u16(),
            text_of(answer).await.expect("text"),
        )
    };
    let large = "x".repeat(1025);
    let expected = [
        ("/one/x", "x", 200, "read"),
        (
            "/one/x",
            &large,
            413,
            "the request's content is larger than 1024 bytes\n",
        ),
        (
            &format!("/one/{large}"),
            "x",
            414,
            "the request target is too long\n",
        ),
        (
            "/one/many",
            "x",
            502,
            "the head of the upstream's answer is larger than allowed\n",
        ),
        (
            "/one/long",
            "x",
            502,
            "the head of the upstream's answer is larger than allowed\n",
        ),
        ("/large", &large, 200, "read"),
    ];
    for (path, content, status, text) in expected {
        let answer = ask(path, content).await;
        assert_eq!(answer, (status, text.to_owned()), "{path}");
    }
    // Of unknown length, over HTTP/1.1 to a stream.
    let chunked = format!(
        "POST /one/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n401\r\n{large}\r\n"
    );
    assert_eq!(request(address, &chunked).await.status, 413);
    assert_eq!(ask("/one/x", "x").await.0, 200);
    quiet(&gateway).await;
    assert_eq!(upstream.accepted(), 1);
    let text = metrics(&gateway).await;
    assert_eq!(reached(&text, "/one/*", "request_body"), 2.0);
    let heads = r#"gateway_upstream_response_head_limit_reached_total{upstream="one"}"#;
    assert_eq!(value(&text, heads), Some(2.0));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_sends_slowly_is_not_cut() {
    let upstream = reading().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut client = Client::connect(gateway.listen_addr()).await;
    client.send(UPLOAD).await.expect("sent");
    // Twice as long as the time-out, and a little faster than the slowest pace.
    let mut pieces = tokio::time::interval(Duration::from_millis(80));
    for _ in 0..10 {
        pieces.tick().await;
        client.send(&[b'x'; 100]).await.expect("sent");
    }
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "read"));
    // Where the time-out is off, a pause is no fault.
    let mut client = Client::connect(gateway.listen_addr()).await;
    client
        .send(b"POST /large HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nx")
        .await
        .expect("sent");
    let early = tokio::time::timeout(Duration::from_millis(600), client.stream.read_u8()).await;
    assert!(early.is_err(), "it is waited for: {early:?}");
    client.send(b"x").await.expect("sent");
    assert_eq!(client.answer().await.text(), "read");
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_with_too_large_a_head_is_502() {
    let upstream = Upstream::answering(|head| {
        let fields = if head.contains("many") {
            "x: y\r\n".repeat(11)
        } else if head.contains("long") {
            format!("x: {}\r\n", "y".repeat(9000))
        } else {
            "x: y\r\n".repeat(5)
        };
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{fields}\r\nok").into_bytes()
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    assert_eq!(get(gateway.listen_addr(), "/one/x").await.text(), "ok");
    for path in ["/one/many", "/one/long"] {
        let answer = get(gateway.listen_addr(), path).await;
        assert_eq!(
            (answer.status, answer.text()),
            (
                502,
                "the head of the upstream's answer is larger than allowed\n"
            ),
            "{path}"
        );
    }
    quiet(&gateway).await;
    let series = r#"gateway_upstream_response_head_limit_reached_total{upstream="one"}"#;
    assert_eq!(value(&metrics(&gateway).await, series), Some(2.0));
    gateway.shutdown().await;
}
