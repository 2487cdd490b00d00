//! Clients that leave, at each stage of a request: what was held for them goes with them.

use crate::support::{Client, Gateway, Upstream, eventually, response};

const CONFIG: &str = "
upstreams:
  - { name: one, endpoints: [\"{0}\"], max_connections: 1, drain_bytes: 1KiB }
routes:
  - { path: /fan, fan_out: { policy: partial, calls: [
      { name: a, upstream: one, path: /a }, { name: b, upstream: one, path: /b }] } }
  - { path: /*, proxy: one }
";

#[tokio::test]
async fn before_the_head() {
    let upstream = Upstream::hanging().await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let client = Client::asking(gateway.address, "/").await;
    eventually("it is asked", || gateway.pooled("in_use") == 1).await;
    drop(client);
    gateway.quiet().await;
    assert_eq!(gateway.open("pool_connection"), 0);
    assert_eq!(gateway.closed("pool_connection", "client_gone"), 1);
    assert_eq!(gateway.closed("request", "client_gone"), 1);
    eventually("the upstream sees it", || upstream.closed() == 1).await;
}

#[tokio::test]
async fn in_the_middle_of_the_answer() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let _ = peer
            .send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nsome")
            .await;
        peer.until_closed().await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/").await;
    client.head().await;
    drop(client);
    gateway.quiet().await;
    assert_eq!(gateway.open("pool_connection"), 0);
    assert_eq!(gateway.closed("pool_connection", "client_gone"), 1);
    assert_eq!(gateway.closed("pool_connection", "undrained"), 0);
    assert_eq!(gateway.closed("response_body", "abandoned"), 1);
    assert_eq!(gateway.closed("request", "client_gone"), 1);
}

#[tokio::test]
async fn in_the_middle_of_an_upload() {
    let upstream = Upstream::hanging().await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let mut client = Client::connect(gateway.address).await;
    let half = b"POST / HTTP/1.1\r\nhost: g\r\ncontent-length: 100\r\n\r\nhalf";
    client.send(half).await.expect("sent");
    eventually("it is passed on", || gateway.pooled("in_use") == 1).await;
    drop(client);
    gateway.quiet().await;
    assert_eq!(gateway.open("pool_connection"), 0);
    eventually("the upstream sees it", || upstream.closed() == 1).await;
}

#[tokio::test]
async fn while_it_waits_for_a_connection() {
    let upstream = Upstream::hanging().await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let first = Client::asking(gateway.address, "/").await;
    eventually("the only connection is taken", || {
        gateway.pooled("in_use") == 1
    })
    .await;
    let second = Client::asking(gateway.address, "/").await;
    eventually("it waits", || gateway.upstream(0).waiters() == 1).await;
    drop(second);
    eventually("it has left the line", || {
        gateway.upstream(0).waiters() == 0
    })
    .await;
    drop(first);
    gateway.quiet().await;
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_fan_out() {
    let upstream = Upstream::hanging().await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let client = Client::asking(gateway.address, "/fan").await;
    eventually("one call is under way and one waits", || {
        gateway.open("fan_out_task") == 2
            && gateway.pooled("in_use") == 1
            && gateway.upstream(0).waiters() == 1
    })
    .await;
    drop(client);
    gateway.quiet().await;
    assert_eq!(gateway.open("pool_connection"), 0);
    assert_eq!(gateway.closed("fan_out_task", "cancelled"), 2);
    assert_eq!(gateway.closed("pool_connection", "client_gone"), 1);
}

#[tokio::test]
async fn and_what_they_gave_up_serves_the_next() {
    let upstream = Upstream::start(|mut peer| async move {
        while let Some(head) = peer.request().await {
            if head.contains("/hang") {
                peer.until_closed().await;
                return;
            }
            let _ = peer.send(&response(200, "ok")).await;
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let first = Client::asking(gateway.address, "/hang").await;
    eventually("the only connection is taken", || {
        gateway.pooled("in_use") == 1
    })
    .await;
    let mut second = Client::asking(gateway.address, "/").await;
    eventually("it waits", || gateway.upstream(0).waiters() == 1).await;
    drop(first);
    assert_eq!(second.answer().await.text(), "ok");
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 1);
}
