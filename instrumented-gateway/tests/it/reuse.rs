//! Whether a connection is used again depends on what was read, never on how the bytes were cut into segments.

use std::time::Duration;

use crate::support::{Client, Gateway, Upstream, eventually, get, response};

/// A fan-out whose call answers 404 drops that answer's body unread, on purpose and in the gateway's own time.
const CONFIG: &str = "
upstreams: [{ name: one, endpoints: [\"{0}\"], drain_bytes: 64KiB, drain_timeout: 500ms }]
routes:
  - { path: /fan, fan_out: { policy: partial, calls: [{ name: a, upstream: one, path: /a }] } }
  - { path: /*, proxy: one }
";

/// Answers each request with the next of these, each a list of segments that are sent one after the other.
async fn upstream(answers: Vec<Vec<Vec<u8>>>) -> Upstream {
    Upstream::start(move |mut peer| {
        let answers = answers.clone();
        async move {
            peer.stream.set_nodelay(true).expect("an option");
            for segments in answers {
                if peer.request().await.is_none() {
                    return;
                }
                for segment in segments {
                    let _ = peer.send(&segment).await;
                    // What arrives together is read together: the pause is the cut.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            peer.until_closed().await;
        }
    })
    .await
}

fn cut(bytes: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    let mut from = 0;
    for end in at.iter().copied().chain([bytes.len()]) {
        segments.push(bytes[from..end].to_vec());
        from = end;
    }
    segments
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_is_drained_however_it_is_cut() {
    let declared = response(404, [b'x'; 100]);
    let head = declared.len() - 100;
    let mut chunked = b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunks = chunked.len();
    chunked.extend_from_slice(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n");
    let answers = vec![
        cut(&declared, &[]),
        cut(&declared, &[head]),
        cut(&declared, &[head - 2]),
        cut(&declared, &[head + 1]),
        cut(&declared, &[head, head + 99]),
        cut(&declared, &[5, head + 50]),
        cut(
            &declared,
            &[head, head + 20, head + 40, head + 60, head + 80],
        ),
        cut(&chunked, &[]),
        cut(&chunked, &[chunks]),
        cut(&chunked, &[chunks + 1]),
        cut(&chunked, &[chunks + 5, chunks + 10, chunks + 12]),
        cut(&chunked, &[chunked.len() - 2]),
        cut(&chunked, &[chunked.len() - 5, chunked.len() - 1]),
    ];
    let number = answers.len() as u64;
    let upstream = upstream(answers).await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    for index in 0..number {
        let answer = get(gateway.address, "/fan").await;
        assert_eq!(
            answer.text(),
            r#"{"errors":{"a":"the upstream answered 404"}}"#
        );
        gateway.quiet().await;
        assert_eq!(gateway.pooled("idle"), 1, "after cut {index}");
    }
    assert_eq!(upstream.accepted(), 1);
    assert_eq!(gateway.closed("response_body", "drained"), number);
    assert_eq!(gateway.closed("pool_connection", "undrained"), 0);
}

#[tokio::test]
async fn a_drain_is_bounded_in_bytes() {
    let declared = vec![vec![response(404, vec![b'x'; 65_537])]];
    let upstream = upstream(declared).await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    get(gateway.address, "/fan").await;
    gateway.quiet().await;
    assert_eq!(
        gateway.closed("pool_connection", "undrained"),
        1,
        "declared as larger"
    );
    assert_eq!(gateway.closed("response_body", "unread"), 1);

    let endless = Upstream::start(|mut peer| async move {
        peer.request().await;
        let _ = peer
            .send(b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        while peer.send(b"5\r\nhello\r\n").await.is_ok() {}
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[endless.address]).await;
    get(gateway.address, "/fan").await;
    gateway.quiet().await;
    assert_eq!(
        gateway.closed("pool_connection", "undrained"),
        1,
        "found to be larger"
    );
}

#[tokio::test]
async fn a_drain_is_bounded_in_time() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let _ = peer
            .send(b"HTTP/1.1 404 No\r\ncontent-length: 100\r\n\r\nsome")
            .await;
        peer.until_closed().await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let answer = get(gateway.address, "/fan").await;
    assert_eq!(answer.status, 200, "the client does not wait for the drain");
    gateway.quiet().await;
    assert_eq!(gateway.closed("pool_connection", "undrained"), 1);
    eventually("the upstream is let go", || upstream.closed() == 1).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_a_small_rest_costs_no_connection() {
    let rest = vec![b'x'; 1000];
    let whole = response(200, &rest);
    let upstream = upstream(vec![cut(&whole, &[whole.len() - 500]), cut(&whole, &[])]).await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let mut client = Client::asking(gateway.address, "/x").await;
    client.head().await;
    drop(client);
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 1);
    assert!(get(gateway.address, "/x").await.whole);
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn an_upstream_that_closes_after_its_answer_is_not_used_again() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let _ = peer
            .send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            .await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    for _ in 0..5 {
        assert_eq!(get(gateway.address, "/x").await.text(), "ok");
    }
    gateway.quiet().await;
    assert_eq!((gateway.pooled("idle"), upstream.accepted()), (0, 5));
    assert_eq!(gateway.closed("pool_connection", "peer_closed"), 5);
}

#[tokio::test]
async fn an_idle_connection_that_turned_stale_is_replaced_once() {
    // Closes each connection at its second request, as an upstream does whose idle timeout has just passed.
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let _ = peer.send(&response(200, "ok")).await;
        peer.request().await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    for _ in 0..4 {
        let answer = get(gateway.address, "/x").await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }
    gateway.quiet().await;
    assert_eq!(upstream.accepted(), 4, "each but the first met a stale one");
    assert_eq!(gateway.closed("pool_connection", "peer_closed"), 3);
}

#[tokio::test]
async fn what_is_not_idempotent_is_not_sent_twice() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.request().await;
        let _ = peer.send(&response(200, "ok")).await;
        peer.request().await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    assert_eq!(get(gateway.address, "/x").await.text(), "ok");
    gateway.quiet().await;
    let post = "POST /x HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    let answer = crate::support::request(gateway.address, post).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    gateway.quiet().await;
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn an_early_answer_to_a_blocked_upload_frees_the_connection() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.head().await;
        let _ = peer.send(&response(413, "too much")).await;
        // It reads nothing any more and never closes: hyper#4176.
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let mut client = Client::connect(gateway.address).await;
    let head = format!(
        "POST /x HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n",
        64 << 20
    );
    client.send(head.as_bytes()).await.expect("sent");
    client.send(&vec![b'x'; 1 << 20]).await.expect("sent");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "too much"));
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 0);
    assert_eq!(gateway.closed("pool_connection", "early_response"), 1);
}
