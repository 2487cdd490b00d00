//! Upstreams that hang, reset, lie or talk nonsense: the client gets an answer in time, and nothing is left behind.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::support::{Gateway, Peer, Upstream, get, now};

const CONFIG: &str = "
upstreams: [{ name: one, endpoints: [\"{0}\"], connect_timeout: 400ms }]
routes:
  - { path: /*, proxy: one, deadline: 500ms, body_idle_timeout: 500ms }
  - { path: /fan, deadline: 500ms, fan_out: { policy: error, calls: [{ name: a, upstream: one, path: /a }] } }
";

/// What a client that proxies gets to see.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Status(u16),
    /// A head, and content that is cut short; or 502 where that was known in time.
    Cut,
}

type Behaviour = Box<dyn Fn(Peer) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The fate of one proxied request and one fan-out.
async fn check(what: &str, behaviour: Behaviour, proxied: Seen, fanned_out: u16) {
    let upstream = Upstream::start(behaviour).await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    let begin = now();
    let answer = get(gateway.address, "/").await;
    let cut = !answer.whole || (answer.status == 502 && proxied == Seen::Cut);
    let seen = if cut {
        Seen::Cut
    } else {
        Seen::Status(answer.status)
    };
    assert_eq!(seen, proxied, "{what}: {answer:?}");
    gateway.quiet().await;
    let answer = get(gateway.address, "/fan").await;
    assert_eq!(answer.status, fanned_out, "{what}: {answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{what}");
    gateway.quiet().await;
    assert_eq!(gateway.pooled("idle"), 0, "{what}");
}

/// Sends some bytes after the first request, and then waits.
fn sends(bytes: &'static [u8]) -> Behaviour {
    behaviour(move |mut peer| async move {
        peer.request().await;
        let _ = peer.send(bytes).await;
        peer.until_closed().await;
    })
}

/// The same, and then closes.
fn sends_and_closes(bytes: &'static [u8]) -> Behaviour {
    behaviour(move |mut peer| async move {
        peer.request().await;
        let _ = peer.send(bytes).await;
    })
}

fn behaviour<F, S>(serve: F) -> Behaviour
where
    F: Fn(Peer) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    Box::new(move |peer| Box::pin(serve(peer)))
}

#[tokio::test]
async fn one_that_hangs() {
    check("after the request", sends(b""), Seen::Status(504), 504).await;
    check(
        "in the head",
        sends(b"HTTP/1.1 200 OK\r\ncont"),
        Seen::Status(504),
        504,
    )
    .await;
    let body = sends(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234");
    check("in the body", body, Seen::Cut, 504).await;
    let chunk = sends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123");
    check("in a chunk", chunk, Seen::Cut, 504).await;
}

#[tokio::test]
async fn one_that_closes() {
    check("at once", behaviour(|_| async {}), Seen::Status(502), 502).await;
    check(
        "after the request",
        sends_and_closes(b""),
        Seen::Status(502),
        502,
    )
    .await;
    check(
        "in the head",
        sends_and_closes(b"HTTP/1.1 200 OK\r\n"),
        Seen::Status(502),
        502,
    )
    .await;
    let body = sends_and_closes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234");
    check("in the body", body, Seen::Cut, 502).await;
    let chunk = sends_and_closes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123");
    check("in a chunk", chunk, Seen::Cut, 502).await;
}

#[tokio::test]
async fn one_that_resets() {
    let at_once = behaviour(|peer| async move { peer.reset() });
    check("at once", at_once, Seen::Status(502), 502).await;
    let after_the_request = behaviour(|mut peer| async move {
        peer.request().await;
        peer.reset();
    });
    check(
        "after the request",
        after_the_request,
        Seen::Status(502),
        502,
    )
    .await;
    let in_the_body = behaviour(|mut peer| async move {
        peer.request().await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234";
        peer.send(head).await.expect("sent");
        // So that the head is read before the reset takes it along.
        tokio::time::sleep(Duration::from_millis(50)).await;
        peer.reset();
    });
    check("in the body", in_the_body, Seen::Cut, 502).await;
}

#[tokio::test]
async fn one_that_talks_nonsense() {
    check(
        "garbage",
        sends(b"\x16\x03\x01 what?\r\n\r\n"),
        Seen::Status(502),
        502,
    )
    .await;
    check(
        "a page",
        sends(b"<html><body>hello</body></html>\r\n\r\n"),
        Seen::Status(502),
        502,
    )
    .await;
    check(
        "HTTP/2",
        sends(b"\0\0\x12\x04\0\0\0\0\0"),
        Seen::Status(502),
        502,
    )
    .await;
    let lengths = sends(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab");
    check("two lengths", lengths, Seen::Status(502), 502).await;
    let length = sends(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nab");
    check("no length", length, Seen::Status(502), 502).await;
    let chunk = sends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nwhat\r\n");
    check("no chunk", chunk, Seen::Cut, 502).await;
    let switched =
        sends(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    check("another protocol", switched, Seen::Status(502), 502).await;
}

#[tokio::test]
async fn one_whose_head_does_not_end() {
    let endless = behaviour(|mut peer| async move {
        peer.request().await;
        let _ = peer.send(b"HTTP/1.1 200 OK\r\n").await;
        // Many at a time: the limit of the head must be met long before the deadline, also on a busy machine.
        let fields = b"x-more: of the same\r\n".repeat(200);
        while peer.send(&fields).await.is_ok() {}
    });
    check("fields", endless, Seen::Status(502), 502).await;
    let informational = behaviour(|mut peer| async move {
        peer.request().await;
        while peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    check("early hints", informational, Seen::Status(504), 504).await;
}

#[tokio::test]
async fn one_that_says_more_than_it_declared() {
    let upstream = Upstream::start(|mut peer| async move {
        while peer.request().await.is_some() {
            let longer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfourmore";
            let _ = peer.send(longer).await;
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    for _ in 0..3 {
        let answer = get(gateway.address, "/").await;
        assert_eq!((answer.status, answer.text()), (200, "four"));
        gateway.quiet().await;
        assert_eq!(
            gateway.pooled("idle"),
            0,
            "such a connection is not used again"
        );
    }
    assert_eq!(upstream.accepted(), 3);
}

#[tokio::test]
async fn one_that_answers_before_it_is_asked() {
    let upstream = Upstream::start(|mut peer| async move {
        while peer.request().await.is_some() {
            let _ = peer
                .send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine")
                .await;
            let _ = peer
                .send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nyours")
                .await;
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[upstream.address]).await;
    for _ in 0..20 {
        let answer = get(gateway.address, "/").await;
        // Either the forged answer was seen in time, or the connection broke; it is never believed.
        assert!(
            answer.text() == "mine" || answer.status == 502,
            "{answer:?}"
        );
    }
    gateway.quiet().await;
}

#[tokio::test]
async fn one_that_is_not_there() {
    let nobody = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        listener.local_addr().expect("an address")
    };
    let gateway = Gateway::start(CONFIG, &[nobody]).await;
    let answer = get(gateway.address, "/").await;
    assert_eq!(
        (answer.status, answer.text()),
        (502, "connecting to the upstream failed\n")
    );
    assert_eq!(get(gateway.address, "/fan").await.status, 502);
    gateway.quiet().await;
    assert_eq!(gateway.closed("pool_connection", "connect_failed"), 2);
}

#[tokio::test]
async fn one_that_does_not_accept() {
    // A full backlog: the kernel drops what comes next, and connecting hangs.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(
        Duration::from_millis(200),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        queued.push(stream);
    }
    let gateway = Gateway::start(CONFIG, &[address]).await;
    let answer = get(gateway.address, "/").await;
    assert_eq!(answer.status, 504, "{answer:?}");
    gateway.quiet().await;
    assert_eq!(gateway.closed("pool_connection", "connect_failed"), 1);
    drop((listener, queued));
}
