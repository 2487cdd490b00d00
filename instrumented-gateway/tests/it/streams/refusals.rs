//! Upstreams that refuse streams, go away or break: what was not looked at is sent again, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::Response;
use web_config::Connection;

use super::config;
use crate::support::{Gateway, Http2Upstream, eventually, get, request};

fn ok(mut respond: SendResponse<Bytes>, text: &'static str) {
    let mut body = respond
        .send_response(Response::new(()), false)
        .expect("a head");
    body.send_data(Bytes::from_static(text.as_bytes()), true)
        .expect("a body");
}

type Requests = h2::server::Connection<Connection, Bytes>;

/// The first connection ends as by `first`, at its `number`th request; every other request is answered.
async fn upstream(
    number: usize,
    first: impl Fn(&mut Requests, SendResponse<Bytes>) + Clone + Send + Sync + 'static,
) -> Http2Upstream {
    let connections = Arc::new(AtomicUsize::new(0));
    Http2Upstream::serving(None, move |connection| {
        let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        let first = first.clone();
        async move {
            let mut requests = h2::server::handshake(connection).await.expect("HTTP/2");
            let mut seen = 0;
            while let Some(Ok((_, respond))) = requests.accept().await {
                seen += 1;
                if is_first && seen == number {
                    first(&mut requests, respond);
                } else {
                    ok(respond, if is_first { "first" } else { "second" });
                }
            }
        }
    })
    .await
}

fn refuse(_: &mut Requests, mut respond: SendResponse<Bytes>) {
    respond.send_reset(Reason::REFUSED_STREAM);
}

const POST: &str = "POST / HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const POST_WITH_CONTENT: &str =
    "POST / HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_the_method() {
    for text in [
        "GET / HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n",
        POST,
    ] {
        let upstream = upstream(1, refuse).await;
        let gateway = Gateway::start(&config(""), &[upstream.address]).await;
        let answer = request(gateway.address, text).await;
        assert_eq!((answer.status, answer.text()), (200, "second"), "{text}");
        gateway.quiet().await;
    }
}

#[tokio::test]
async fn content_that_was_sent_is_not_sent_again() {
    let upstream = upstream(1, refuse).await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let answer = request(gateway.address, POST_WITH_CONTENT).await;
    assert_eq!(answer.status, 502);
    gateway.quiet().await;
}

#[tokio::test]
async fn a_stream_that_broke_is_the_clients_to_know() {
    let break_it = |_: &mut Requests, mut respond: SendResponse<Bytes>| {
        respond.send_reset(Reason::INTERNAL_ERROR);
    };
    let upstream = upstream(1, break_it).await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    assert_eq!(get(gateway.address, "/").await.status, 502);
    gateway.quiet().await;
    // The connection is none the worse for it.
    assert_eq!(get(gateway.address, "/").await.text(), "first");
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn one_that_goes_away_answers_what_it_has_and_gets_no_more() {
    let go = |requests: &mut Requests, respond: SendResponse<Bytes>| {
        requests.graceful_shutdown();
        ok(respond, "first");
    };
    let upstream = upstream(2, go).await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    assert_eq!(get(gateway.address, "/").await.text(), "first");
    assert_eq!(get(gateway.address, "/").await.text(), "first");
    eventually("the connection is closed", || {
        gateway.open("pool_connection") == 0
    })
    .await;
    assert_eq!(gateway.closed("pool_connection", "peer_closed"), 1);
    assert_eq!(get(gateway.address, "/").await.text(), "second");
    gateway.quiet().await;
}

#[tokio::test]
async fn a_connection_that_breaks_costs_a_safe_request_nothing() {
    let breaks = |requests: &mut Requests, _: SendResponse<Bytes>| {
        requests.abrupt_shutdown(Reason::NO_ERROR);
    };
    for (text, status) in [
        (
            "GET / HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n",
            200,
        ),
        (POST, 502),
    ] {
        let upstream = upstream(2, breaks).await;
        let gateway = Gateway::start(&config(""), &[upstream.address]).await;
        assert_eq!(get(gateway.address, "/").await.text(), "first");
        let answer = request(gateway.address, text).await;
        assert_eq!(answer.status, status, "{text}: {answer:?}");
        gateway.quiet().await;
    }
}
