//! Many requests on one connection: each begins and ends by itself.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::shell::support::{comes_to, metrics, quiet, start, sum, value};
use crate::support::{
    Upstream, eventually, field, full, get, get_of, http2, http2_to, now, request_of, response,
    soon, spawn, text_of,
};

const CONFIG: &str = "
http2: prior_knowledge
shutdown_timeout: 1s
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one }, { path: /short/*, proxy: one, body_idle_timeout: 300ms }]
";
const IN_USE: &str = r#"gateway_pool_connections{upstream="one",state="in_use"}"#;

/// Answers by the path: `/hang` never, `/stall` with a part, `/large` with 8 MiB, others with the request's head.
async fn upstream() -> Upstream {
    Upstream::start(|mut peer| async move {
        while let Some(head) = peer.request().await {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let sent = if path.ends_with("hang") {
                return peer.until_closed().await;
            } else if path.ends_with("stall") {
                let part = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart";
                let _ = peer.send(part).await;
                return peer.until_closed().await;
            } else if path.ends_with("large") {
                peer.send(&response(200, vec![b'x'; 8 << 20])).await
            } else {
                peer.send(&response(200, head)).await
            };
            if sent.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn many_requests_share_a_connection_and_http1_is_spoken_beside_them() {
    let upstream = upstream().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let sender = http2_to(gateway.listen_addr()).await;
    let answers = (0..50).map(|number| {
        let mut sender = sender.clone();
        spawn(async move {
            let request = request_of("POST", &format!("/{number}"), &"x".repeat(number * 1000));
            let answer = sender.send_request(request).await.expect("an answer");
            (number, text_of(answer).await.expect("text"))
        })
    });
    for answer in answers.collect::<Vec<_>>() {
        let (number, head) = soon("an answer", answer).await.expect("no panic");
        assert!(
            head.starts_with(&format!("POST /{number} HTTP/1.1\r\n")),
            "{head}"
        );
        let length = format!("content-length: {}\r\n", number * 1000);
        assert!(number == 0 || head.contains(&length), "{head}");
    }
    assert_eq!(get(gateway.listen_addr(), "/").await.status, 200);
    let text = metrics(&gateway).await;
    let code = [r#"route="/*""#, r#"code="200""#];
    assert_eq!(sum(&text, "gateway_requests_total", &code), 51.0);
    let connections = r#"gateway_client_connections{listener="listen"}"#;
    assert_eq!(value(&text, connections), Some(1.0));
    quiet(&gateway).await;
    drop(sender);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_that_is_taken_back_takes_along_what_it_held_and_nothing_else() {
    let upstream = upstream().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut sender = http2_to(gateway.listen_addr()).await;
    let hanging = spawn(sender.send_request(get_of("/hang")));
    comes_to(&gateway, IN_USE, 1.0).await;
    let stalled = sender.send_request(get_of("/stall")).await.expect("a head");
    comes_to(&gateway, IN_USE, 2.0).await;
    hanging.abort();
    drop(stalled);
    quiet(&gateway).await;
    let text = metrics(&gateway).await;
    let gone = [r#"resource="request""#, r#"outcome="client_gone""#];
    assert_eq!(sum(&text, "resource_ledger_closed_total", &gone), 2.0);
    let gone = [r#"resource="pool_connection""#, r#"outcome="client_gone""#];
    assert_eq!(sum(&text, "resource_ledger_closed_total", &gone), 2.0);
    assert_eq!(
        sum(&text, "gateway_requests_total", &[r#"code="499""#]),
        2.0
    );
    let answer = sender.send_request(get_of("/")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    drop((answer, sender));
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut_by_itself() {
    let upstream = upstream().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut sender = http2_to(gateway.listen_addr()).await;
    let sibling = spawn(sender.send_request(get_of("/hang")));
    // Upstream sends no more of one, and the client takes no more of the other.
    let stalled = sender
        .send_request(get_of("/short/stall"))
        .await
        .expect("a head");
    let unread = sender
        .send_request(get_of("/short/large"))
        .await
        .expect("a head");
    comes_to(&gateway, IN_USE, 1.0).await;
    soon("its end", stalled.into_body().collect())
        .await
        .expect_err("it is reset");
    soon("its end", unread.into_body().collect())
        .await
        .expect_err("it is reset");
    assert!(!sibling.is_finished(), "the connection is as it was");
    let answer = sender.send_request(get_of("/")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    sibling.abort();
    quiet(&gateway).await;
    drop((answer, sender));
    gateway.shutdown().await;
}

#[tokio::test]
async fn uploads_that_nobody_reads_do_not_stall_their_siblings() {
    let upstream = Upstream::start(|mut peer| async move {
        while let Some(head) = peer.head().await {
            if head.contains("/unread") {
                std::future::pending::<()>().await;
            }
            let length = field(&head, "content-length").and_then(|length| length.parse().ok());
            peer.content(length.unwrap_or(0)).await;
            let _ = peer.send(&response(200, "read")).await;
        }
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let sender = http2_to(gateway.listen_addr()).await;
    // More than the kernel takes on the way.
    let large = "u".repeat(12_000_000);
    let upload = |path: &str, length: usize| {
        let mut sender = sender.clone();
        let request = request_of("POST", path, &large[..length]);
        spawn(async move { sender.send_request(request).await })
    };
    let unread: Vec<_> = (0..3).map(|_| upload("/unread", large.len())).collect();
    comes_to(&gateway, IN_USE, 3.0).await;
    for _ in 0..3 {
        let answer = soon("an answer", upload("/read", 300_000))
            .await
            .expect("no panic");
        let answer = answer.expect("an answer");
        assert_eq!(text_of(answer).await.expect("text"), "read");
    }
    for upload in unread {
        assert!(!upload.is_finished());
        upload.abort();
    }
    quiet(&gateway).await;
    drop(sender);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_says_goaway() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = Upstream::start({
        let permits = Arc::clone(&permits);
        move |mut peer| {
            let permits = Arc::clone(&permits);
            async move {
                while peer.request().await.is_some() {
                    permits.acquire().await.expect("open").forget();
                    let _ = peer.send(&response(200, "at last")).await;
                }
            }
        }
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let stream = TcpStream::connect(gateway.listen_addr()).await;
    let (mut sender, connection) = http2(stream.expect("the gateway")).await;
    let (_idle, idle) = {
        let stream = TcpStream::connect(gateway.listen_addr()).await;
        http2(stream.expect("the gateway")).await
    };
    let waiting = spawn(sender.send_request(get_of("/")));
    comes_to(&gateway, IN_USE, 1.0).await;
    let shutdown = spawn(gateway.shutdown());
    soon("the idle connection ends", idle)
        .await
        .expect("no panic");
    assert!(!waiting.is_finished() && !shutdown.is_finished());
    permits.add_permits(1);
    let answer = soon("the answer", waiting).await.expect("no panic");
    assert_eq!(
        text_of(answer.expect("an answer")).await.expect("text"),
        "at last"
    );
    assert_eq!(soon("the end", shutdown).await.expect("no panic"), 0);
    soon("the connection ends", connection)
        .await
        .expect("no panic");
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_deadline() {
    let upstream = upstream().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut sender = http2_to(gateway.listen_addr()).await;
    let waiting = spawn(sender.send_request(get_of("/hang")));
    comes_to(&gateway, IN_USE, 1.0).await;
    let ledger = gateway.ledger().clone();
    let began = now();
    assert_eq!(soon("the end", gateway.shutdown()).await, 1);
    assert!(
        (1..3).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    let answer = soon("the end", waiting).await.expect("no panic");
    answer.expect_err("it is cut");
    eventually("nothing is left", || {
        let snapshot = ledger.snapshot();
        ["request", "pool_connection", "response_body"]
            .into_iter()
            .all(|resource| snapshot.open(resource) == 0)
    })
    .await;
}

#[tokio::test]
async fn who_asks_for_nothing_is_told_to_go() {
    let upstream = upstream().await;
    let config = format!("limits: {{ header_read_timeout: 200ms }}{CONFIG}");
    let gateway = start(&config, &[upstream.address]).await;
    let stream = TcpStream::connect(gateway.listen_addr()).await;
    let (mut sender, connection) = http2(stream.expect("the gateway")).await;
    let answer = sender.send_request(get_of("/")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    soon("the connection ends", connection)
        .await
        .expect("no panic");
    // Nor may it be silent before its first word, or in the middle of it.
    for words in ["", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut client = crate::support::Client::connect(gateway.listen_addr()).await;
        client.send(words.as_bytes()).await.expect("sent");
        assert_eq!(client.exactly(1).await, (Vec::new(), false));
    }
    let timeouts = r#"gateway_client_timeouts_total{listener="listen"}"#;
    comes_to(&gateway, timeouts, 3.0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_authority_stands_for_host_and_pieces_of_a_cookie_are_joined() {
    let upstream = upstream().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut sender = http2_to(gateway.listen_addr()).await;
    let request = |host: Option<&str>| {
        let mut request = Request::get("http://gateway/");
        for cookie in ["a=b", "c=d"] {
            request = request.header("cookie", cookie);
        }
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.body(full("")).expect("a request")
    };
    for host in [None, Some("gateway"), Some("GATEWAY")] {
        let answer = sender.send_request(request(host)).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{host:?}");
        let head = text_of(answer).await.expect("text");
        assert!(head.contains("cookie: a=b; c=d\r\n"), "{head}");
    }
    let answer = sender.send_request(request(Some("other"))).await;
    assert_eq!(answer.expect("an answer").status(), 400);
    let mut many = Request::get("http://gateway/");
    for number in 0..101 {
        many = many.header(format!("x-{number}"), "x");
    }
    let many = many.body(full("")).expect("a request");
    let answer = sender.send_request(many).await.expect("an answer");
    assert_eq!(answer.status(), 431);
    drop(sender);
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_prior_knowledge_there_is_none_of_it() {
    let upstream = upstream().await;
    let config = CONFIG.replace("http2: prior_knowledge", "http2: auto");
    let gateway = start(&config, &[upstream.address]).await;
    let mut sender = http2_to(gateway.listen_addr()).await;
    let answer = tokio::time::timeout(Duration::from_secs(20), sender.send_request(get_of("/")));
    answer.await.expect("in time").expect_err("no HTTP/2");
    gateway.shutdown().await;
}
