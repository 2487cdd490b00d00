//! What one client may ask for over HTTP/2, and how it is stopped.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::shell::support::{comes_to, quiet, start};
use crate::support::{Upstream, get_of, http2, http2_to, response, soon, spawn, text_of};

const CONFIG: &str = "
http2: prior_knowledge
limits: { max_resets: 10, max_header_bytes: 8KiB, max_concurrent_streams: 5 }
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one }]
";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What the gateway sends until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = soon("the end", stream.read(&mut buffer)).await
        && read > 0
    {
        seen.extend_from_slice(&buffer[..read]);
    }
    seen
}

/// Whether a GOAWAY frame with this error code is among the frames (RFC 9113, 6.8).
fn says_goaway(mut frames: &[u8], code: u32) -> bool {
    while frames.len() >= 9 {
        let length = u32::from_be_bytes([0, frames[0], frames[1], frames[2]]) as usize;
        let Some(payload) = frames.get(9..9 + length) else {
            return false;
        };
        if frames[3] == 7 && payload[4..8] == code.to_be_bytes() {
            return true;
        }
        frames = &frames[9 + length..];
    }
    false
}

#[tokio::test]
async fn request_after_request_that_is_taken_back_ends_the_connection() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let stream = TcpStream::connect(gateway.listen_addr()).await;
    let (mut sender, connection) = http2(stream.expect("the gateway")).await;
    let open = r#"resource_ledger_open{resource="request",route="/*",site="instrumented-gateway/src/gateway.rs"}"#;
    for _ in 0..11 {
        let asking = spawn(sender.send_request(get_of("/")));
        comes_to(&gateway, open, 1.0).await;
        asking.abort();
        comes_to(&gateway, open, 0.0).await;
    }
    soon("the connection ends", connection)
        .await
        .expect("no panic");
    let reached = r#"gateway_http2_resets_limit_reached_total{listener="listen"}"#;
    comes_to(&gateway, reached, 1.0).await;
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn answers_make_up_for_requests_that_are_taken_back() {
    let upstream = Upstream::start(|mut peer| async move {
        while let Some(head) = peer.request().await {
            if head.contains("/hang") {
                return peer.until_closed().await;
            }
            let _ = peer.send(&response(200, "ok")).await;
        }
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut sender = http2_to(gateway.listen_addr()).await;
    let in_use = r#"gateway_pool_connections{upstream="one",state="in_use"}"#;
    for _ in 0..15 {
        let asking = spawn(sender.send_request(get_of("/hang")));
        comes_to(&gateway, in_use, 1.0).await;
        asking.abort();
        comes_to(&gateway, in_use, 0.0).await;
        let answer = sender.send_request(get_of("/")).await.expect("an answer");
        assert_eq!(text_of(answer).await.expect("text"), "ok");
    }
    drop(sender);
    gateway.shutdown().await;
}

#[tokio::test]
async fn no_more_streams_than_allowed_are_opened_at_a_time() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut stream = TcpStream::connect(gateway.listen_addr())
        .await
        .expect("the gateway");
    let mut bytes = PREFACE.to_vec();
    // :method GET, :scheme http, :path /, :authority g
    let head = b"\x82\x86\x84\x41\x01g";
    for number in 0..20 {
        bytes.extend(frame(1, 0x5, number * 2 + 1, head));
    }
    stream.write_all(&bytes).await.expect("sent");
    let in_use = r#"gateway_pool_connections{upstream="one",state="in_use"}"#;
    comes_to(&gateway, in_use, 5.0).await;
    drop(stream);
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_in_endless_pieces_ends_the_connection() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut stream = TcpStream::connect(gateway.listen_addr())
        .await
        .expect("the gateway");
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(1, 0, 1, b"\x82\x86\x84\x41\x01g"));
    for _ in 0..2000 {
        // x: y, never indexed; no END_HEADERS ever.
        bytes.extend(frame(9, 0, 1, b"\x10\x01x\x01y"));
    }
    // It may be closed before all of it is sent.
    let _ = stream.write_all(&bytes).await;
    let seen = until_closed(&mut stream).await;
    // ENHANCE_YOUR_CALM; the end may also be a reset that outruns it.
    assert!(seen.is_empty() || says_goaway(&seen, 11), "{seen:?}");
    let opened = gateway.ledger().snapshot();
    let opened: u64 = opened.of("request").map(|account| account.opened).sum();
    assert_eq!(opened, 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut sender = http2_to(gateway.listen_addr()).await;
    let mut request = get_of("/");
    let large = "x".repeat(9000).parse().expect("a value");
    request.headers_mut().insert("x-large", large);
    match soon("an answer", sender.send_request(request)).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        // hyper's client knows the limit, and does not even send it.
        Err(error) => assert!(format!("{error:?}").contains("too big"), "{error:?}"),
    }
    drop(sender);
    gateway.shutdown().await;
}
