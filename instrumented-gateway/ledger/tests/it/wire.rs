//! Counting a body changes no byte on the wire: a real server answers the same with it and without it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use resource_ledger::{BodyOutcome, ConnectionTaskOutcome, CountedBody, CountedIo, Labels, Ledger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{exchange, outcomes};

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// Chunks without a known length, and trailers after them.
struct Chunks(Vec<Frame<Bytes>>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(self.0.remove(0))))
    }
}

/// A length that is known before the end is: `poll_frame` is never asked for the `None`.
struct Sized(usize);

impl Body for Sized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0 as u64)
    }
}

fn chunks() -> AnyBody {
    let trailers = [("digest".parse().unwrap(), "x".parse().unwrap())]
        .into_iter()
        .collect();
    let data = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
    Chunks(vec![data("one"), data("two"), Frame::trailers(trailers)]).boxed_unsync()
}

/// Everything that a server sends for `request` when `respond` answers it.
async fn wire(ledger: &Ledger, request: &str, respond: impl Fn() -> Response<AnyBody>) -> String {
    let (client, server) = tokio::io::duplex(64 * 1024);
    // The stream is counted as well: it must not change a byte either.
    let server = CountedIo::new(
        server,
        ledger.service_account("stream", Labels::new()).open(),
    );
    let service = service_fn(|_: Request<Incoming>| {
        let mut response = respond();
        response
            .headers_mut()
            .insert("date", "Thu, 01 Jan 1970 00:00:00 GMT".parse().unwrap());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let (served, answer) = tokio::join!(connection, exchange(client, request));
    served.expect("the exchange is valid");
    answer
}

/// The bytes with and without counting, and how the body ended.
async fn check(
    method: &str,
    status: StatusCode,
    body: impl Fn() -> AnyBody,
    expected_head: &str,
    expected_end: &'static str,
    outcome: &'static str,
) {
    let ledger = Ledger::default();
    let account = ledger.account::<BodyOutcome>(Labels::new());
    let request =
        format!("{method} / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n");
    let respond = |body: AnyBody| {
        let builder = Response::builder().status(status);
        // Announced trailers are the only ones that hyper sends.
        builder.header("trailer", "digest").body(body).unwrap()
    };
    let bare = wire(&ledger, &request, || respond(body())).await;
    let counted = wire(&ledger, &request, || {
        respond(CountedBody::new(body(), account.open()).boxed_unsync())
    })
    .await;
    assert_eq!(counted, bare);
    assert!(bare.contains(expected_head), "{bare}");
    assert!(bare.ends_with(expected_end), "{bare}");
    assert_eq!(outcomes(&ledger, "response_body"), [(outcome, 1)]);
    assert_eq!(outcomes(&ledger, "stream"), [("dropped", 2)]);
}

fn full() -> AnyBody {
    Full::new(Bytes::from_static(b"twelve bytes")).boxed_unsync()
}

#[tokio::test]
async fn a_known_length_stays_a_content_length() {
    check(
        "GET",
        StatusCode::OK,
        full,
        "content-length: 12\r\n",
        "\r\n\r\ntwelve bytes",
        "complete",
    )
    .await;
    check(
        "GET",
        StatusCode::OK,
        || Sized(3).boxed_unsync(),
        "content-length: 3\r\n",
        "\r\n\r\nxxx",
        "complete",
    )
    .await;
}

#[tokio::test]
async fn an_empty_body_stays_one() {
    check(
        "GET",
        StatusCode::OK,
        || Empty::new().boxed_unsync(),
        "content-length: 0\r\n",
        "\r\n\r\n",
        "complete",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_length_stays_chunked_with_its_trailers() {
    let end = "\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\ndigest: x\r\n\r\n";
    check(
        "GET",
        StatusCode::OK,
        chunks,
        "transfer-encoding: chunked\r\n",
        end,
        "complete",
    )
    .await;
}

#[tokio::test]
async fn the_answer_to_head_keeps_its_length_and_has_no_body() {
    check(
        "HEAD",
        StatusCode::OK,
        full,
        "content-length: 12\r\n",
        "\r\n\r\n",
        "unread",
    )
    .await;
}

#[tokio::test]
async fn a_status_without_content_stays_without() {
    check(
        "GET",
        StatusCode::NO_CONTENT,
        full,
        "HTTP/1.1 204 No Content\r\n",
        "\r\n\r\n",
        "unread",
    )
    .await;
    check(
        "GET",
        StatusCode::NOT_MODIFIED,
        full,
        "HTTP/1.1 304 Not Modified\r\n",
        "\r\n\r\n",
        "unread",
    )
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_open() {
    let ledger = Ledger::default();
    let account = ledger.account::<BodyOutcome>(Labels::new());
    let (mut client, server) = tokio::io::duplex(1024);
    let service = service_fn(move |_: Request<Incoming>| {
        let endless = CountedBody::new(Sized(usize::MAX), account.open());
        async move { Ok::<_, Infallible>(Response::new(endless)) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let entry = ledger
        .account::<ConnectionTaskOutcome>(Labels::new())
        .open();
    let serving = ledger.spawn(entry, connection);
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("the server reads");
    client
        .read_exact(&mut [0; 256])
        .await
        .expect("the server answers");
    assert_eq!(ledger.snapshot().open("response_body"), 1);
    drop(client);
    serving
        .await
        .expect("no panic")
        .expect_err("the client left");
    assert_eq!(outcomes(&ledger, "response_body"), [("abandoned", 1)]);
    assert_eq!(outcomes(&ledger, "connection_task"), [("completed", 1)]);
}
