//! One connection for many exchanges, within bounds.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::{answer, config};
use crate::support::{Client, Gateway, Http2Upstream, eventually, get, now, request};

/// Answers each request with its path when the test lets it.
async fn on_demand(permits: &Arc<Semaphore>) -> Http2Upstream {
    let permits = Arc::clone(permits);
    Http2Upstream::start(None, move |request: Request<Incoming>| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await.expect("open").forget();
            answer(request.uri().path().to_owned())
        }
    })
    .await
}

#[tokio::test]
async fn many_exchanges_share_one_connection() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = on_demand(&permits).await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let mut clients = Vec::new();
    for number in 0..40 {
        clients.push(Client::asking(gateway.address, &format!("/{number}")).await);
    }
    eventually("all are under way", || {
        gateway.upstream(0).in_flight() == 40 && gateway.upstream(0).waiters() == 0
    })
    .await;
    assert_eq!((gateway.pooled("in_use"), upstream.accepted()), (1, 1));
    permits.add_permits(40);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer().await.text(), format!("/{number}"));
    }
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 1);
    assert_eq!(
        gateway.counter("gateway_pool_connects_total{upstream=\"one\"}"),
        1
    );
    assert_eq!(
        gateway.counter("gateway_pool_reuses_total{upstream=\"one\"}"),
        39
    );
}

#[tokio::test]
async fn who_finds_no_stream_gets_another_connection_and_then_waits() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = on_demand(&permits).await;
    let keys = ", max_streams: 2, max_connections: 2, max_idle: 2, max_waiters: 1";
    let gateway = Gateway::start(&config(keys), &[upstream.address]).await;
    let mut clients = Vec::new();
    for (under_way, connections, waiters) in [(1, 1, 0), (2, 1, 0), (3, 2, 0), (4, 2, 0), (5, 2, 1)]
    {
        clients.push(Client::asking(gateway.address, &format!("/{under_way}")).await);
        eventually("it is under way, or waits", || {
            gateway.upstream(0).in_flight() == under_way
                && gateway.upstream(0).waiters() == waiters
                && gateway.pooled("in_use") == connections
        })
        .await;
    }
    let refused = get(gateway.address, "/").await;
    assert_eq!(refused.status, 503);
    permits.add_permits(5);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer().await.text(), format!("/{}", number + 1));
    }
    gateway.quiet().await;
    assert_eq!((gateway.pooled("idle"), upstream.accepted()), (2, 2));
}

#[tokio::test]
async fn no_more_idle_ones_are_kept_than_allowed() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = on_demand(&permits).await;
    let keys = ", max_streams: 1, max_idle: 1";
    let gateway = Gateway::start(&config(keys), &[upstream.address]).await;
    let mut clients = Vec::new();
    for number in 1..=3 {
        clients.push(Client::asking(gateway.address, "/").await);
        eventually("it is under way", || gateway.pooled("in_use") == number).await;
    }
    permits.add_permits(3);
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 1);
    assert_eq!(gateway.closed("pool_connection", "evicted"), 2);
}

#[tokio::test]
async fn it_expires_when_it_is_idle_grows_no_older_and_serves_no_more_than_allowed() {
    for (keys, outcome) in [
        (", idle_timeout: 300ms", "idle_timeout"),
        (", max_lifetime: 300ms", "max_lifetime"),
        (", max_requests: 1", "max_requests"),
    ] {
        let permits = Arc::new(Semaphore::new(1));
        let upstream = on_demand(&permits).await;
        let gateway = Gateway::start(&config(keys), &[upstream.address]).await;
        let begin = now();
        assert_eq!(get(gateway.address, "/").await.status, 200);
        eventually("it is closed", || gateway.open("pool_connection") == 0).await;
        assert!(begin.elapsed() < Duration::from_secs(3), "{outcome}");
        assert_eq!(gateway.closed("pool_connection", outcome), 1, "{outcome}");
    }
}

#[tokio::test]
async fn those_who_come_while_nobody_listens_are_told_at_once() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = on_demand(&permits).await;
    let address = upstream.address;
    drop(upstream);
    eventually("nobody listens there", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    let gateway = Gateway::start(&config(""), &[address]).await;
    let answers = (0..10).map(|_| get(gateway.address, "/"));
    let mut statuses = Vec::new();
    for answer in answers.collect::<Vec<_>>() {
        statuses.push(answer.await.status);
    }
    assert_eq!(statuses, [502; 10]);
    gateway.quiet().await;
}

#[tokio::test]
async fn a_request_is_addressed_as_http2_wants_it() {
    let upstream = Http2Upstream::start(None, |request: Request<Incoming>| async move {
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        answer(format!(
            "{} {} {}",
            request.method(),
            request.uri(),
            names.join(" ")
        ))
    })
    .await;
    let gateway = Gateway::start(&config(""), &[upstream.address]).await;
    let text = "POST /a?b=c HTTP/1.1\r\nhost: g\r\nconnection: close, x-mine\r\nx-mine: 1\r\nte: gzip\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = request(gateway.address, text).await;
    let expected = format!("POST http://{}/a?b=c ", upstream.address);
    assert!(answer.text().starts_with(&expected), "{}", answer.text());
    for gone in [" host", "x-mine", "transfer-encoding", "connection", " te"] {
        assert!(!answer.text().contains(gone), "{gone}: {}", answer.text());
    }
    gateway.quiet().await;
}
