//! The pool's and the upstream's limits: kept, and said aloud when they are reached.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::support::{Client, Gateway, Upstream, eventually, get, now, response};

/// Answers each request when the test lets it.
async fn upstream_on_demand(permits: &Arc<Semaphore>) -> Upstream {
    let permits = Arc::clone(permits);
    Upstream::start(move |mut peer| {
        let permits = Arc::clone(&permits);
        async move {
            while let Some(head) = peer.request().await {
                permits.acquire().await.expect("open").forget();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let _ = peer.send(&response(200, path)).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn those_who_wait_are_served_in_their_order() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = upstream_on_demand(&permits).await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"], max_connections: 1, max_idle: 1 }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let mut clients = Vec::new();
    for index in 0..5 {
        clients.push(Client::asking(gateway.address, &format!("/{index}")).await);
        eventually("it is in line", || {
            gateway.upstream(0).in_flight() == index + 1 && gateway.upstream(0).waiters() == index
        })
        .await;
    }
    assert_eq!(gateway.open("pool_connection"), 1);
    for (index, client) in clients.iter_mut().enumerate() {
        permits.add_permits(1);
        assert_eq!(client.answer().await.text(), format!("/{index}"));
        eventually("the next is served", || {
            gateway.upstream(0).waiters() == 3_usize.saturating_sub(index)
        })
        .await;
    }
    gateway.quiet().await;
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn one_too_many_in_line_is_refused_at_once() {
    let upstream = Upstream::hanging().await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"], max_connections: 1, max_idle: 1, max_waiters: 1 }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let taking = Client::asking(gateway.address, "/").await;
    eventually("the only connection is taken", || {
        gateway.pooled("in_use") == 1
    })
    .await;
    let waiting = Client::asking(gateway.address, "/").await;
    eventually("one waits", || gateway.upstream(0).waiters() == 1).await;
    let refused = get(gateway.address, "/").await;
    assert_eq!(
        (refused.status, refused.field("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(
        refused.text(),
        "too many requests wait for a connection to the upstream\n"
    );
    assert_eq!(
        gateway.counter("gateway_upstream_rejected_total{upstream=\"one\",reason=\"waiters\"}"),
        1
    );
    drop((taking, waiting));
    gateway.quiet().await;
    assert_eq!(gateway.closed("request", "rejected"), 1);
}

#[tokio::test]
async fn one_too_many_in_flight_is_refused_at_once() {
    let upstream = Upstream::hanging().await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"], max_in_flight: 2 }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let first = Client::asking(gateway.address, "/").await;
    let second = Client::asking(gateway.address, "/").await;
    eventually("two are under way", || gateway.upstream(0).in_flight() == 2).await;
    let refused = get(gateway.address, "/").await;
    assert_eq!(
        (refused.status, refused.field("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(
        refused.text(),
        "too many requests in flight to the upstream\n"
    );
    assert_eq!(
        gateway.counter("gateway_upstream_rejected_total{upstream=\"one\",reason=\"in_flight\"}"),
        1
    );
    drop((first, second));
    gateway.quiet().await;
}

#[tokio::test]
async fn waiting_ends_at_the_deadline() {
    let upstream = Upstream::hanging().await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"], max_connections: 1, max_idle: 1 }]
routes: [{ path: /long/*, proxy: one }, { path: /short/*, proxy: one, deadline: 200ms }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let taking = Client::asking(gateway.address, "/long/").await;
    eventually("the only connection is taken", || {
        gateway.pooled("in_use") == 1
    })
    .await;
    let answer = get(gateway.address, "/short/").await;
    assert_eq!(
        (answer.status, answer.text()),
        (504, "timed out waiting for a free connection\n")
    );
    assert_eq!(gateway.upstream(0).waiters(), 0);
    drop(taking);
    gateway.quiet().await;
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_allowed() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = upstream_on_demand(&permits).await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"], max_idle: 2 }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::asking(gateway.address, "/").await);
    }
    eventually("five are under way", || gateway.pooled("in_use") == 5).await;
    permits.add_permits(5);
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 2);
    assert_eq!(gateway.closed("pool_connection", "evicted"), 3);
}

#[tokio::test]
async fn an_idle_connection_expires() {
    let upstream = Upstream::answering(|_| response(200, "ok")).await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"], idle_timeout: 300ms }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let begin = now();
    get(gateway.address, "/").await;
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 1);
    eventually("it is closed", || gateway.open("pool_connection") == 0).await;
    let taken = begin.elapsed();
    assert!((300..1500).contains(&taken.as_millis()), "{taken:?}");
    assert_eq!(gateway.closed("pool_connection", "idle_timeout"), 1);
    eventually("the upstream sees it", || upstream.closed() == 1).await;
}

#[tokio::test]
async fn a_connection_that_is_used_does_not_expire() {
    let upstream = Upstream::answering(|_| response(200, "ok")).await;
    let config = "
grace: 100ms
upstreams: [{ name: one, endpoints: [\"{0}\"], idle_timeout: 200ms }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let begin = now();
    while begin.elapsed() < Duration::from_secs(1) {
        assert_eq!(get(gateway.address, "/").await.status, 200);
        gateway.quiet().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_connection_grows_no_older_and_serves_no_more_than_allowed() {
    let upstream = Upstream::answering(|_| response(200, "ok")).await;
    let config = "
upstreams:
  - { name: old, endpoints: [\"{0}\"], max_lifetime: 200ms }
  - { name: busy, endpoints: [\"{0}\"], max_requests: 3 }
routes: [{ path: /old, proxy: old }, { path: /busy, proxy: busy }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    for _ in 0..7 {
        assert_eq!(get(gateway.address, "/busy").await.status, 200);
        gateway.quiet().await;
    }
    assert_eq!(gateway.closed("pool_connection", "max_requests"), 2);
    assert_eq!(upstream.accepted(), 3);
    assert_eq!(get(gateway.address, "/old").await.status, 200);
    eventually("it is closed", || {
        gateway.closed("pool_connection", "max_lifetime") == 1
    })
    .await;
    gateway.quiet().await;
}

#[tokio::test]
async fn endpoints_take_turns_and_stand_in_for_each_other() {
    let first = Upstream::answering(|_| response(200, "first")).await;
    let second = Upstream::answering(|_| response(200, "second")).await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\", \"{1}\"] }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[first.address, second.address]).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(get(gateway.address, "/").await.text().to_owned());
    }
    assert_eq!(answers, ["first", "second", "first", "second"]);
    let address = second.address;
    drop(second);
    eventually("nobody listens there", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    eventually("its idle connection is gone", || {
        gateway.open("pool_connection") == 1
    })
    .await;
    for _ in 0..4 {
        assert_eq!(get(gateway.address, "/").await.text(), "first");
    }
    gateway.quiet().await;
}

#[tokio::test]
async fn a_shutdown_closes_what_is_idle_and_waits_for_the_rest() {
    let permits = Arc::new(Semaphore::new(1));
    let upstream = upstream_on_demand(&permits).await;
    let config = "
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one }]
";
    let gateway = Gateway::start(config, &[upstream.address]).await;
    let mut busy = Client::asking(gateway.address, "/").await;
    busy.answer().await;
    gateway.quiet().await;
    let mut idle = Client::asking(gateway.address, "/").await;
    busy.get("/").await;
    eventually("two are under way", || gateway.pooled("in_use") == 2).await;
    permits.add_permits(1);
    eventually("one is idle again", || gateway.pooled("idle") == 1).await;

    let mut shutdown = {
        let upstream = Arc::clone(gateway.upstream(0));
        crate::support::spawn(async move { upstream.shutdown().await })
    };
    eventually("the idle one is closed", || {
        gateway.open("pool_connection") == 1
    })
    .await;
    let refused = get(gateway.address, "/").await;
    assert_eq!(
        (refused.status, refused.text()),
        (503, "the gateway is shutting down\n")
    );
    assert_eq!(
        gateway.counter("gateway_upstream_rejected_total{upstream=\"one\",reason=\"draining\"}"),
        1
    );
    assert!(!shutdown.is_finished());
    permits.add_permits(1);
    crate::support::soon("the end", &mut shutdown)
        .await
        .expect("no panic");
    assert_eq!(gateway.open("pool_connection"), 0);
    assert_eq!(gateway.closed("pool_connection", "shutdown"), 2);
    let answered = tokio::select! {
        answer = busy.answer() => answer,
        answer = idle.answer() => answer,
    };
    assert_eq!(answered.status, 200);
}
