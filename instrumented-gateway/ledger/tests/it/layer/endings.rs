//! How a request ends, by what becomes of its handler and of its body.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use resource_ledger::{
    CountingLayer, CountingService, Labels, Ledger, OwnedBody, OwnerRef, RequestOutcome,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{account_of, manual_ledger, outcomes};

type AnyBody = UnsyncBoxBody<Bytes, &'static str>;

/// Frames, and then what comes after them, of a length that nobody knows.
struct Frames(Vec<Frame<Bytes>>, After);

#[derive(Clone, Copy)]
enum After {
    End,
    Nothing,
    Error,
    Panic,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if !self.0.is_empty() {
            return Poll::Ready(Some(Ok(self.0.remove(0))));
        }
        match self.1 {
            After::End => Poll::Ready(None),
            After::Nothing => Poll::Pending,
            After::Error => Poll::Ready(Some(Err("broken off"))),
            // Unlike `panic!`, it prints nothing: it is meant.
            After::Panic => std::panic::resume_unwind(Box::new("meant")),
        }
    }
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn frames(after: After) -> AnyBody {
    Frames(vec![data("one"), data("two")], after).boxed_unsync()
}

fn full() -> AnyBody {
    Full::new(Bytes::from_static(b"one"))
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// The answer of a counted service to a request.
async fn answered(
    ledger: &Ledger,
    method: Method,
    response: Response<AnyBody>,
) -> Response<OwnedBody<AnyBody>> {
    let mut response = Some(response);
    let service = service_fn(move |_: Request<()>| {
        let response = response.take().expect("one request");
        async move { Ok::<_, Infallible>(response) }
    });
    let mut service = CountingLayer::new(ledger).layer(service);
    let request = Request::builder()
        .method(method)
        .body(())
        .expect("a request");
    let ready = service.ready().await.expect("infallible");
    ready.call(request).await.expect("infallible")
}

/// Takes so many frames of the body, and drops it.
fn take(body: impl Body, frames: usize) {
    let mut context = Context::from_waker(Waker::noop());
    let mut body = pin!(body);
    for _ in 0..frames {
        let _ = body.as_mut().poll_frame(&mut context);
    }
}

#[track_caller]
fn check(ledger: &Ledger, outcome: &'static str) {
    assert_eq!(outcomes(ledger, "request"), [(outcome, 1)]);
    assert_eq!(ledger.snapshot().open("request"), 0);
}

/// How the request ends when so many frames are taken of this answer.
async fn ends(method: Method, response: Response<AnyBody>, taken: usize, outcome: &'static str) {
    let ledger = Ledger::default();
    let answer = answered(&ledger, method, response).await;
    assert_eq!(ledger.snapshot().open("request"), 1);
    let taken = catch_unwind(AssertUnwindSafe(|| take(answer.into_body(), taken)));
    drop(taken);
    check(&ledger, outcome);
}

fn with_status(status: StatusCode, body: AnyBody) -> Response<AnyBody> {
    let builder = Response::builder().status(status);
    builder.body(body).expect("a response")
}

#[tokio::test]
async fn a_request_ends_as_its_body_does() {
    let ok = |body| with_status(StatusCode::OK, body);
    let get = Method::GET;
    ends(get.clone(), ok(frames(After::End)), 3, "completed").await;
    // Dropped by the server before the end: nobody is there to take the rest.
    ends(get.clone(), ok(frames(After::End)), 2, "client_gone").await;
    ends(get.clone(), ok(frames(After::Nothing)), 3, "client_gone").await;
    ends(get.clone(), ok(frames(After::End)), 0, "client_gone").await;
    ends(get.clone(), ok(frames(After::Error)), 3, "failed").await;
    ends(get.clone(), ok(frames(After::Panic)), 3, "failed").await;
    // A body that knows its length is never asked for the `None`.
    ends(get.clone(), ok(full()), 1, "completed").await;
    ends(get.clone(), ok(full()), 0, "client_gone").await;
    // A status is the handler's affair: an error that was sent was sent.
    let error = with_status(StatusCode::BAD_GATEWAY, full());
    ends(get, error, 1, "completed").await;
}

#[tokio::test]
async fn trailers_are_the_end() {
    let trailers = Frame::trailers(
        [("a".parse().unwrap(), "b".parse().unwrap())]
            .into_iter()
            .collect(),
    );
    let body = Frames(vec![data("one"), trailers], After::Nothing).boxed_unsync();
    ends(Method::GET, Response::new(body), 2, "completed").await;
}

#[tokio::test]
async fn an_answer_without_content_is_sent_with_its_head() {
    ends(Method::HEAD, Response::new(full()), 0, "completed").await;
    for status in [
        StatusCode::NO_CONTENT,
        StatusCode::NOT_MODIFIED,
        StatusCode::SWITCHING_PROTOCOLS,
    ] {
        ends(
            Method::GET,
            with_status(status, frames(After::End)),
            0,
            "completed",
        )
        .await;
    }
}

#[tokio::test]
async fn a_declared_length_is_the_end_where_the_body_knows_none() {
    let declared = |length: &str| {
        let builder = Response::builder().header("content-length", length);
        builder.body(frames(After::Nothing)).expect("a response")
    };
    ends(Method::GET, declared("6"), 2, "completed").await;
    ends(Method::GET, declared("6"), 1, "client_gone").await;
    ends(Method::GET, declared("7"), 2, "client_gone").await;
}

#[tokio::test]
async fn a_handler_may_say_how_its_request_ended() {
    let rejected = |body| {
        let mut response = with_status(StatusCode::TOO_MANY_REQUESTS, body);
        response.extensions_mut().insert(RequestOutcome::Rejected);
        response
    };
    ends(Method::GET, rejected(full()), 1, "rejected").await;
    ends(Method::HEAD, rejected(full()), 0, "rejected").await;
    ends(Method::GET, rejected(frames(After::End)), 1, "client_gone").await;
    ends(Method::GET, rejected(frames(After::Error)), 3, "failed").await;
}

fn counted<S>(ledger: &Ledger, service: S) -> CountingService<S> {
    CountingLayer::new(ledger).layer(service)
}

#[tokio::test]
async fn a_service_that_gives_an_error_has_failed() {
    let ledger = Ledger::default();
    let service = service_fn(|_: Request<()>| async { Err::<Response<AnyBody>, _>("no") });
    let answer = counted(&ledger, service).oneshot(Request::new(())).await;
    assert_eq!(answer.err(), Some("no"));
    check(&ledger, "failed");
}

#[test]
fn a_handler_that_is_dropped_has_lost_its_client() {
    let ledger = Ledger::default();
    let service = service_fn(|_: Request<()>| {
        std::future::pending::<Result<Response<AnyBody>, Infallible>>()
    });
    let mut service = counted(&ledger, service);
    let mut call = Box::pin(service.call(Request::new(())));
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    assert_eq!(ledger.snapshot().open("request"), 1);
    drop(call);
    check(&ledger, "client_gone");
}

#[test]
fn a_panic_is_a_failure_wherever_it_is_caught() {
    type Answer = std::future::Pending<Result<Response<AnyBody>, Infallible>>;
    // In the call, before there is a future.
    let ledger = Ledger::default();
    let service =
        service_fn(|_: Request<()>| -> Answer { std::panic::resume_unwind(Box::new("meant")) });
    let mut service = counted(&ledger, service);
    assert!(catch_unwind(AssertUnwindSafe(|| service.call(Request::new(())))).is_err());
    check(&ledger, "failed");

    // In the future, which is dropped when the panic is over.
    let ledger = Ledger::default();
    let service = service_fn(|_: Request<()>| async {
        std::panic::resume_unwind(Box::new("meant"));
        #[expect(unreachable_code, reason = "it says what the future would have given")]
        Ok::<Response<AnyBody>, Infallible>(Response::new(full()))
    });
    let mut service = counted(&ledger, service);
    let mut call = Box::pin(service.call(Request::new(())));
    let mut context = Context::from_waker(Waker::noop());
    assert!(
        catch_unwind(AssertUnwindSafe(|| call
            .as_mut()
            .poll(&mut context)
            .is_ready()))
        .is_err()
    );
    assert_eq!(ledger.snapshot().open("request"), 1);
    drop(call);
    check(&ledger, "failed");
}

#[tokio::test]
async fn what_the_handler_and_its_body_hold_is_never_orphaned_by_its_own_request() {
    let (ledger, hand) = manual_ledger();
    let sessions = ledger.service_account("session", Labels::new());
    let service = {
        let sessions = sessions.clone();
        service_fn(move |request: Request<()>| {
            let owner = request
                .extensions()
                .get::<OwnerRef>()
                .expect("an owner")
                .clone();
            let held = sessions.open_for(Some(&owner), None);
            async move {
                let body = full().map_frame(move |frame| {
                    let _held = &held;
                    frame
                });
                Ok::<_, Infallible>(Response::new(body))
            }
        })
    };
    let answer = counted(&ledger, service).oneshot(Request::new(())).await;
    let body = answer.expect("infallible").into_body();
    hand.advance(ledger.grace() * 2);
    assert_eq!(account_of(&ledger, "session").orphaned, 0);
    drop(body);
    assert_eq!(outcomes(&ledger, "session"), [("dropped", 1)]);
    assert_eq!(outcomes(&ledger, "request"), [("client_gone", 1)]);
}

#[tokio::test]
async fn what_outlives_its_request_is_orphaned() {
    let (ledger, hand) = manual_ledger();
    let sessions = ledger.service_account("session", Labels::new());
    let kept = std::sync::Mutex::new(Vec::new());
    let service = service_fn(|request: Request<()>| {
        let owner = request
            .extensions()
            .get::<OwnerRef>()
            .expect("an owner")
            .clone();
        let mut kept = kept.lock().expect("no panic");
        kept.push(sessions.open_for(Some(&owner), None));
        async { Ok::<_, Infallible>(Response::new(full())) }
    });
    let request = Request::builder().header("x-request-id", "r-1").body(());
    let answer = counted(&ledger, service)
        .oneshot(request.expect("a request"))
        .await;
    take(answer.expect("infallible").into_body(), 1);
    hand.advance(ledger.grace() * 2);
    assert_eq!(account_of(&ledger, "session").orphaned, 1);
    let listing = ledger.oldest(&Default::default(), 10);
    let owner = listing.entries[0].owner.as_ref().expect("an owner");
    assert_eq!(owner.request_id, "r-1");
}
