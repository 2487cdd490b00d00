//! Fan-outs: the answer in the configured order, one deadline, and no call that outlives its request.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::support::{Gateway, Upstream, eventually, get, now, request, response, soon};

const PARTIAL: &str = "
upstreams: [{ name: one, endpoints: [\"{0}\"] }, { name: two, endpoints: [\"{1}\"] }]
routes:
  - path: /home/{id}
    deadline: 400ms
    fan_out:
      policy: partial
      calls:
        - { name: article, upstream: one, path: \"/content/{id}\" }
        - { name: likes, upstream: two, path: \"/likes?of={id}\" }
";

fn error_policy() -> String {
    PARTIAL.replace("partial", "error")
}

async fn echo() -> Upstream {
    Upstream::answering(|head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        response(200, format!("{{\"target\": \"{target}\"}}"))
    })
    .await
}

#[tokio::test]
async fn the_answer_is_in_configured_order_whoever_is_first() {
    let likes_went_out = Arc::new(Notify::new());
    let one = Upstream::start({
        let likes_went_out = Arc::clone(&likes_went_out);
        move |mut peer| {
            let likes_went_out = Arc::clone(&likes_went_out);
            async move {
                peer.request().await;
                likes_went_out.notified().await;
                let _ = peer.send(&response(200, "[1, 2.50]")).await;
                peer.until_closed().await;
            }
        }
    })
    .await;
    let two = Upstream::answering(move |_| {
        likes_went_out.notify_one();
        response(200, "just text, \"quoted\"")
    })
    .await;
    for config in [PARTIAL.to_owned(), error_policy()] {
        let gateway = Gateway::start(&config, &[one.address, two.address]).await;
        let answer = get(gateway.address, "/home/7").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.text(),
            r#"{"article":[1, 2.50],"likes":"just text, \"quoted\""}"#
        );
        assert_eq!(answer.field("content-type"), Some("application/json"));
        let complete = config.contains("partial").then_some("true");
        assert_eq!(answer.field("x-gateway-complete"), complete);
        gateway.quiet().await;
        assert_eq!(gateway.closed("fan_out_task", "completed"), 2);
        assert_eq!(gateway.pooled("idle"), 2);
    }
}

#[tokio::test]
async fn captures_stay_in_their_component() {
    let one = echo().await;
    let gateway = Gateway::start(PARTIAL, &[one.address, one.address]).await;
    let answer = get(gateway.address, "/home/7%26admin=1%2F..%3Fx%23y").await;
    let id = "7%26admin%3D1%2F..%3Fx%23y";
    let expected = format!(
        r#"{{"article":{{"target": "/content/{id}"}},"likes":{{"target": "/likes?of={id}"}}}}"#
    );
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn fields_of_the_request_go_to_each_call_less_those_that_ask_for_less() {
    let one = Upstream::answering(|head| response(200, head)).await;
    let gateway = Gateway::start(PARTIAL, &[one.address, one.address]).await;
    let answer = request(
        gateway.address,
        "GET /home/7 HTTP/1.1\r\nhost: g\r\nconnection: close\r\nauthorization: Bearer x\r\n\
         accept-encoding: gzip\r\nrange: bytes=0-1\r\nif-none-match: \"x\"\r\n\r\n",
    )
    .await;
    let text = answer.text();
    assert_eq!(text.matches("authorization: Bearer x").count(), 2, "{text}");
    assert_eq!(text.matches("x-request-deadline-ms: ").count(), 2, "{text}");
    for gone in ["accept-encoding", "range", "if-none-match", r"\nhost: g"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
}

#[tokio::test]
async fn partial_gives_what_arrived_at_the_deadline() {
    let (one, two) = (echo().await, Upstream::hanging().await);
    let gateway = Gateway::start(PARTIAL, &[one.address, two.address]).await;
    let begin = now();
    let answer = get(gateway.address, "/home/7").await;
    let taken = begin.elapsed();
    assert!((400..1500).contains(&taken.as_millis()), "{taken:?}");
    assert_eq!(
        (answer.status, answer.field("x-gateway-complete")),
        (200, Some("false"))
    );
    assert_eq!(
        answer.text(),
        r#"{"article":{"target": "/content/7"},"errors":{"likes":"the deadline passed waiting for the upstream's response"}}"#
    );
    gateway.quiet().await;
    assert_eq!(gateway.closed("fan_out_task", "timed_out"), 1);
    assert_eq!(gateway.closed("fan_out_task", "completed"), 1);
    assert_eq!(gateway.pooled("idle"), 1);
    eventually("the call's connection is closed", || two.closed() == 1).await;
    assert_eq!(
        gateway.counter("gateway_upstream_requests_total{upstream=\"two\",result=\"timed_out\"}"),
        1
    );
}

#[tokio::test]
async fn error_gives_no_partial_data_and_504_at_the_deadline() {
    let (one, two) = (echo().await, Upstream::hanging().await);
    let gateway = Gateway::start(&error_policy(), &[one.address, two.address]).await;
    let answer = get(gateway.address, "/home/7").await;
    assert_eq!(
        (answer.status, answer.field("x-gateway-complete")),
        (504, None)
    );
    assert_eq!(
        answer.text(),
        r#"{"errors":{"likes":"the deadline passed waiting for the upstream's response"}}"#
    );
    gateway.quiet().await;
    assert_eq!(gateway.closed("request", "timed_out"), 1);
}

#[tokio::test]
async fn under_error_a_failure_ends_its_siblings_at_once() {
    let one = Upstream::answering(|_| response(503, "no")).await;
    let two = Upstream::hanging().await;
    let config = error_policy().replace("400ms", "1h");
    let gateway = Gateway::start(&config, &[one.address, two.address]).await;
    let answer = soon("an answer", get(gateway.address, "/home/7")).await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.text(),
        r#"{"errors":{"article":"the upstream answered 503"}}"#
    );
    gateway.quiet().await;
    assert_eq!(gateway.closed("fan_out_task", "cancelled"), 1);
    assert_eq!(gateway.closed("fan_out_task", "failed"), 1);
    assert_eq!(gateway.closed("request", "failed"), 1);
    // The call that hung may not even have connected when its sibling failed.
    eventually("nothing is left upstream", || {
        two.closed() == two.accepted()
    })
    .await;
    assert_eq!(gateway.open("pool_connection"), gateway.pooled("idle"));
}

#[tokio::test]
async fn a_failed_call_is_named_with_its_reason() {
    let cases: [(&'static [u8], &str); 4] = [
        (
            b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n",
            "the upstream answered 404",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe",
            "the upstream's answer is neither JSON nor UTF-8 text",
        ),
        (b"what?\r\n\r\n", "the upstream's answer could not be read"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 4194305\r\n\r\n",
            "the upstream's answer is larger than 4194304 bytes",
        ),
    ];
    let two = echo().await;
    for (bytes, reason) in cases {
        let one = Upstream::answering(move |_| bytes.to_vec()).await;
        let gateway = Gateway::start(PARTIAL, &[one.address, two.address]).await;
        let answer = get(gateway.address, "/home/7").await;
        let expected =
            format!(r#"{{"likes":{{"target": "/likes?of=7"}},"errors":{{"article":"{reason}"}}}}"#);
        assert_eq!(answer.text(), expected);
        gateway.quiet().await;
    }
}

#[tokio::test]
async fn an_answer_grows_no_larger_than_its_limit() {
    let endless = Upstream::start(|mut peer| async move {
        peer.request().await;
        let _ = peer
            .send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let mut chunk = b"10000\r\n".to_vec();
        chunk.extend_from_slice(&[b'1'; 0x10000]);
        chunk.extend_from_slice(b"\r\n");
        while peer.send(&chunk).await.is_ok() {}
    })
    .await;
    let config = PARTIAL.replace("400ms", "20s");
    let gateway = Gateway::start(&config, &[endless.address, endless.address]).await;
    let answer = get(gateway.address, "/home/7").await;
    let reason = "the upstream's answer is larger than 4194304 bytes";
    let expected = format!(r#"{{"errors":{{"article":"{reason}","likes":"{reason}"}}}}"#);
    assert_eq!(answer.text(), expected);
    gateway.quiet().await;
    assert_eq!(gateway.closed("pool_connection", "undrained"), 2);

    let largest = Upstream::answering(|_| response(200, vec![b'1'; 4 << 20])).await;
    let gateway = Gateway::start(&config, &[largest.address, largest.address]).await;
    let answer = get(gateway.address, "/home/7").await;
    assert_eq!(
        answer.body.len(),
        2 * (4 << 20) + r#"{"article":,"likes":}"#.len()
    );
}

#[tokio::test]
async fn only_get_and_head_fan_out() {
    let one = echo().await;
    let gateway = Gateway::start(PARTIAL, &[one.address, one.address]).await;
    let post = "POST /home/7 HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let refused = request(gateway.address, post).await;
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(one.accepted(), 0);

    let got = get(gateway.address, "/home/7").await;
    let mut client = crate::support::Client::connect(gateway.address).await;
    let head = b"HEAD /home/7 HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n";
    client.send(head).await.expect("sent");
    let headed = client.answer_to_head().await;
    assert_eq!((headed.status, headed.body.len()), (200, 0));
    assert_eq!(headed.field("content-length"), got.field("content-length"));
    gateway.quiet().await;
    assert_eq!(gateway.closed("request", "completed"), 2);
}

#[tokio::test]
async fn each_call_is_attributed() {
    let (one, two) = (Upstream::hanging().await, Upstream::hanging().await);
    let gateway = Gateway::start(PARTIAL, &[one.address, two.address]).await;
    let client = crate::support::Client::asking(gateway.address, "/home/7").await;
    eventually("both calls are under way", || gateway.pooled("in_use") == 2).await;
    let mut tasks: Vec<_> = gateway
        .listing("fan_out_task")
        .into_iter()
        .map(|task| {
            assert!(
                task.site
                    .starts_with("instrumented-gateway/src/fan_out.rs:"),
                "{}",
                task.site
            );
            assert!(task.owner.is_some() && task.deadline_seconds.is_some_and(|left| left < 0.4));
            (
                task.upstream.expect("one").to_string(),
                task.route.expect("one").to_string(),
            )
        })
        .collect();
    tasks.sort();
    let route = "/home/{id}".to_owned();
    assert_eq!(
        tasks,
        [("one".to_owned(), route.clone()), ("two".to_owned(), route)]
    );
    let snapshot = gateway.snapshot();
    let sites: Vec<_> = snapshot
        .of("fan_out_task")
        .map(|account| &*account.site)
        .collect();
    assert_eq!(sites, ["instrumented-gateway/src/fan_out.rs"; 2]);
    for connection in gateway.listing("pool_connection") {
        assert_eq!(connection.state, "in_use");
        assert!(connection.owner.is_some() && connection.deadline_seconds.is_some());
    }
    drop(client);
    gateway.quiet().await;
}
