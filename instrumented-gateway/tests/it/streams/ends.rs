//! How streams end, and that their siblings and their connection do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use instrumented_gateway::drill::{Drill, DrillRequest, Share};

use super::{answer, config};
use crate::support::{
    Client, Gateway, Http2Upstream, TestBody, endless_until_dropped, eventually, get, now, soon,
};

const HUGE: usize = 20_000_000;

fn share(share: &str) -> Share {
    let request = format!("unclosed-bodies:{share}").parse::<DrillRequest>();
    request.expect("a drill").share
}

/// Answers by the path: `/hang` never, `/stall` with a part, `/large` with 3 MB, `/huge` with 20 MB, `/early` before it has read the request,
/// `/404` with 404 and 3 MB, others with the length of what was sent. With it, how many parts were given up.
async fn upstream() -> (Http2Upstream, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dropped);
    let large = || answer(vec![b'x'; 3_000_000]);
    let upstream = Http2Upstream::start(None, move |request: Request<Incoming>| {
        let dropped = Arc::clone(&counter);
        async move {
            match request.uri().path().rsplit('/').next() {
                Some("hang") => std::future::pending().await,
                Some("stall") => Response::new(endless_until_dropped("part", dropped)),
                Some("large") => large(),
                // More than the kernel takes on the way.
                Some("huge") => answer(vec![b'x'; HUGE]),
                Some("404") => {
                    let mut response: Response<TestBody> = large();
                    *response.status_mut() = http::StatusCode::NOT_FOUND;
                    response
                }
                Some("early") => {
                    // Held, unread, for longer than the exchange takes.
                    let body = request.into_body();
                    crate::support::spawn(async move {
                        std::future::pending::<()>().await;
                        drop(body);
                    });
                    answer("early")
                }
                _ => {
                    let body = request.into_body().collect().await;
                    let length = body.map_or(0, |body| body.to_bytes().len());
                    answer(length.to_string())
                }
            }
        }
    })
    .await;
    (upstream, dropped)
}

#[tokio::test]
async fn answers_that_nobody_reads_do_not_stall_their_siblings() {
    let (upstream, _) = upstream().await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        let mut client = Client::asking(gateway.address, "/huge").await;
        // The head, and no more: what the kernel and the gateway take is a part of the whole.
        client.head().await;
        unread.push(client);
    }
    for _ in 0..3 {
        let answer = soon("an answer", get(gateway.address, "/large")).await;
        assert_eq!((answer.body.len(), answer.whole), (3_000_000, true));
    }
    assert_eq!(gateway.pooled("in_use"), 1);
    assert_eq!(upstream.accepted(), 1, "all on one connection");
    for client in &mut unread {
        let (body, whole) = client.exactly(HUGE).await;
        assert_eq!((body.len(), whole), (HUGE, true));
    }
    gateway.quiet().await;
}

#[tokio::test]
async fn bodies_that_are_held_for_ever_do_not_stall_their_siblings() {
    let (upstream, _) = upstream().await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    assert_eq!(get(gateway.address, "/").await.text(), "0");
    gateway.drills().start(Drill::UnclosedBodies, share("1"));
    for _ in 0..3 {
        assert_eq!(get(gateway.address, "/large").await.status, 200);
    }
    gateway.drills().start(Drill::UnclosedBodies, share("0"));
    assert_eq!(gateway.open("response_body"), 3);
    let answer = soon("an answer", get(gateway.address, "/large")).await;
    assert_eq!((answer.body.len(), answer.whole), (3_000_000, true));
    gateway.drills().stop(Drill::UnclosedBodies);
    gateway.quiet().await;
}

#[tokio::test]
async fn a_dropped_body_resets_its_stream_and_keeps_the_connection() {
    let (upstream, dropped) = upstream().await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/stall").await;
    client.head().await;
    drop(client);
    gateway.quiet().await;
    eventually("the upstream sees it", || {
        dropped.load(Ordering::SeqCst) == 1
    })
    .await;
    assert_eq!(gateway.closed("response_body", "abandoned"), 1);
    assert_eq!(gateway.pooled("idle"), 1);

    // Before the head, too.
    let client = Client::asking(gateway.address, "/hang").await;
    eventually("it is asked", || gateway.pooled("in_use") == 1).await;
    drop(client);
    gateway.quiet().await;
    assert_eq!(gateway.closed("request", "client_gone"), 2);
    assert_eq!(get(gateway.address, "/").await.text(), "0");
    assert_eq!((gateway.pooled("idle"), upstream.accepted()), (1, 1));
}

#[tokio::test]
async fn deadlines_end_exchanges_and_not_connections() {
    let (upstream, dropped) = upstream().await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let begin = now();
    let answer = get(gateway.address, "/short/hang").await;
    assert_eq!(answer.status, 504);
    let answer = get(gateway.address, "/short/stall").await;
    assert_eq!((answer.status, answer.whole), (200, false));
    eventually("the upstream sees it", || {
        dropped.load(Ordering::SeqCst) == 1
    })
    .await;
    let answer = get(gateway.address, "/fan").await;
    assert_eq!(answer.field("x-gateway-complete"), Some("false"));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    gateway.quiet().await;
    assert_eq!((gateway.pooled("idle"), upstream.accepted()), (1, 1));
    assert_eq!(
        gateway.counter("gateway_upstream_requests_total{upstream=\"one\",result=\"timed_out\"}"),
        3
    );
}

#[tokio::test]
async fn an_answer_before_the_upload_is_over_ends_the_upload() {
    let (upstream, _) = upstream().await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let mut client = Client::connect(gateway.address).await;
    let head = b"POST /early HTTP/1.1\r\nhost: g\r\ncontent-length: 10000000\r\n\r\n";
    client.send(head).await.expect("sent");
    // More than the windows on the way take.
    let upload = vec![b'u'; 4_000_000];
    let sent = client.send(&upload);
    let _ = tokio::time::timeout(Duration::from_millis(500), sent).await;
    assert_eq!(client.answer().await.text(), "early");
    drop(client);
    gateway.quiet().await;
    eventually("only the connection's driver is left", || {
        gateway.open("connection_task") == 1
    })
    .await;
    assert_eq!(get(gateway.address, "/").await.text(), "0");
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_shutdown_waits_for_streams_and_closes_the_connection() {
    let (upstream, _) = upstream().await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/stall").await;
    client.head().await;
    let shutdown = {
        let upstream = Arc::clone(gateway.upstream(0));
        crate::support::spawn(async move { upstream.shutdown().await })
    };
    eventually("it takes no more", || {
        gateway.counter("gateway_upstream_requests_total{upstream=\"one\",result=\"ok\"}") == 0
    })
    .await;
    assert!(!shutdown.is_finished());
    drop(client);
    soon("the end", shutdown).await.expect("no panic");
    assert_eq!(gateway.open("pool_connection"), 0);
    assert_eq!(gateway.closed("pool_connection", "shutdown"), 1);
}
