//! Clients that are slow, too many, or gone.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::support::{comes_to, metrics, quiet, start, sum, value};
use crate::support::{Client, Upstream, now, response, soon};

const CONFIG: &str = r#"
limits: { header_read_timeout: 300ms, max_connections: 2 }
upstreams:
  - { name: one, endpoints: ["{0}"] }
routes:
  - { path: /one/*, proxy: one, body_idle_timeout: 500ms }
"#;

#[tokio::test]
async fn a_client_that_leaves_is_499() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let client = Client::asking(gateway.listen_addr(), "/one/x").await;
    let in_use = r#"gateway_pool_connections{upstream="one",state="in_use"}"#;
    comes_to(&gateway, in_use, 1.0).await;
    drop(client);
    comes_to(
        &gateway,
        r#"gateway_requests_total{route="/one/*",code="499"}"#,
        1.0,
    )
    .await;
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let upstream = Upstream::answering(|_| response(200, "x")).await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    for part in ["", "GET /one/x HTTP/1.1\r\nhost: a\r\n"] {
        let mut client = Client::connect(gateway.listen_addr()).await;
        client.send(part.as_bytes()).await.expect("sent");
        let ended = soon("the connection ends", client.stream.read(&mut [0; 1])).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    // A connection that has served, and then says nothing more.
    let mut client = Client::asking(gateway.listen_addr(), "/one/x").await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.exactly(1).await, (Vec::new(), false));
    let timeouts = r#"gateway_client_timeouts_total{listener="listen"}"#;
    comes_to(&gateway, timeouts, 3.0).await;
    let open = r#"gateway_client_connections{listener="listen"}"#;
    comes_to(&gateway, open, 0.0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let held = [
        Client::asking(gateway.listen_addr(), "/one/a").await,
        Client::asking(gateway.listen_addr(), "/one/b").await,
    ];
    let reached = r#"gateway_client_connections_limit_reached_total{listener="listen"}"#;
    comes_to(&gateway, reached, 1.0).await;
    let mut third = Client::asking(gateway.listen_addr(), "/nowhere").await;
    // The operator's listeners have limits of their own.
    let open = r#"gateway_client_connections{listener="listen"}"#;
    assert_eq!(value(&metrics(&gateway).await, open), Some(2.0));
    drop(held);
    assert_eq!(third.answer().await.status, 404);
    gateway.shutdown().await;
}

/// An upstream whose answer is larger than all buffers between it and the client.
async fn large(bytes: usize) -> Upstream {
    Upstream::answering(move |_| response(200, vec![b'x'; bytes])).await
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let upstream = large(64 << 20).await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut client = Client::asking(gateway.listen_addr(), "/one/x").await;
    client.head().await;
    comes_to(
        &gateway,
        r#"gateway_requests_total{route="/one/*",code="499"}"#,
        1.0,
    )
    .await;
    comes_to(
        &gateway,
        r#"gateway_client_connections{listener="listen"}"#,
        0.0,
    )
    .await;
    quiet(&gateway).await;
    gateway.shutdown().await;
}

/// It takes far longer to free a kernel's usual buffer than the body may stand still.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_reads_slowly_is_not_cut() {
    const BYTES_READ: usize = 600 << 10;
    let upstream = large(64 << 20).await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .set_recv_buffer_size(16 << 10)
        .expect("a small buffer");
    let mut stream = socket
        .connect(gateway.listen_addr())
        .await
        .expect("connected");
    let asked = b"GET /one/x HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(asked).await.expect("sent");
    let began = now();
    let mut buffer = vec![0; 8 << 10];
    let mut read = 0;
    // Not a wait for anything: this client is slow.
    let mut pace = tokio::time::interval(Duration::from_millis(40));
    while read < BYTES_READ {
        pace.tick().await;
        match soon("some bytes", stream.read(&mut buffer)).await {
            Ok(0) => panic!("cut after {read} bytes, {:?}", began.elapsed()),
            Ok(bytes) => read += bytes,
            Err(error) => panic!("cut after {read} bytes: {error}"),
        }
    }
    assert!(began.elapsed() > Duration::from_secs(2));
    let text = metrics(&gateway).await;
    assert_eq!(sum(&text, "resource_ledger_overdue", &[]), 0.0, "{text}");
    let open = sum(&text, "resource_ledger_open", &["response_body"]);
    assert_eq!(open, 1.0, "{text}");
    drop(stream);
    let left = r#"gateway_requests_total{route="/one/*",code="499"}"#;
    comes_to(&gateway, left, 1.0).await;
    quiet(&gateway).await;
    gateway.shutdown().await;
}
