//! The layer where it is used: in an axum router, and under a bare hyper server.

use std::convert::Infallible;

use axum::Router;
use axum::extract::MatchedPath;
use axum::routing::get;
use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use resource_ledger::{ConnectionTaskOutcome, CountingLayer, Labels, Ledger};
use tokio::io::AsyncWriteExt;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::support::{exchange, outcomes};

fn matched_path(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Requests of each route that ended as `completed`.
fn completed(ledger: &Ledger) -> Vec<(Option<String>, u64)> {
    let snapshot = ledger.snapshot();
    let routes = snapshot.of("request").map(|account| {
        let route = account.route.as_deref().map(str::to_owned);
        (route, account.closed_as("completed"))
    });
    routes.collect()
}

async fn ask(router: &Router, path: &str) {
    let request = Request::get(path)
        .body(axum::body::Body::empty())
        .expect("a request");
    let answered = router.clone().oneshot(request).await.expect("infallible");
    answered.into_body().collect().await.expect("whole");
}

#[tokio::test]
async fn a_router_counts_by_its_routes_and_never_by_the_paths_of_requests() {
    let ledger = Ledger::default();
    let requests = CountingLayer::new(&ledger).routed_by(matched_path);
    let router: Router = Router::new()
        .route("/articles/{id}", get(|| async { "an article" }))
        .route("/likes", get(|| async { "likes" }))
        .fallback(|| async { "nothing" })
        .layer(requests);
    for path in [
        "/articles/1",
        "/articles/2",
        "/articles/3",
        "/likes",
        "/x/1",
        "/x/2",
    ] {
        ask(&router, path).await;
    }
    let route = |route: &str| Some(route.to_owned());
    assert_eq!(
        completed(&ledger),
        [
            (None, 2),
            (route("/articles/{id}"), 3),
            (route("/likes"), 1)
        ]
    );
    let sites: Vec<_> = ledger
        .snapshot()
        .of("request")
        .map(|account| account.site.to_string())
        .collect();
    assert_eq!(sites, ["ledger/tests/it/layer/stacks.rs"; 3]);
}

#[tokio::test]
async fn a_route_may_have_its_own_layer_with_its_own_account() {
    let ledger = Ledger::default();
    let account = ledger.account(Labels::new().route("/likes"));
    let likes = get(|| async { "likes" }).layer(CountingLayer::with_account(account));
    let router = Router::new()
        .route("/likes", likes)
        .route("/live", get(|| async { "live" }));
    ask(&router, "/likes").await;
    ask(&router, "/live").await;
    assert_eq!(completed(&ledger), [(Some("/likes".to_owned()), 1)]);
}

/// Everything that a hyper server sends, with the layer or without it.
async fn wire(ledger: Option<&Ledger>, request: &str) -> String {
    let answer = service_fn(|request: Request<Incoming>| async move {
        let body = Full::new(Bytes::from(format!("you asked for {}", request.uri())));
        let builder = Response::builder().header("date", "Thu, 01 Jan 1970 00:00:00 GMT");
        Ok::<_, Infallible>(builder.body(body).expect("a response"))
    });
    let (client, server) = tokio::io::duplex(64 * 1024);
    let io = TokioIo::new(server);
    let exchange = exchange(client, request);
    let (served, answer) = match ledger {
        None => {
            let service = TowerToHyperService::new(answer);
            let serving = http1::Builder::new().serve_connection(io, service);
            tokio::join!(serving, exchange)
        }
        Some(ledger) => {
            let counted = ServiceBuilder::new()
                .layer(CountingLayer::new(ledger))
                .service(answer);
            let service = TowerToHyperService::new(counted);
            let serving = http1::Builder::new().serve_connection(io, service);
            tokio::join!(serving, exchange)
        }
    };
    served.expect("the exchange is valid");
    answer
}

#[tokio::test]
async fn under_hyper_no_byte_on_the_wire_is_another() {
    for method in ["GET", "HEAD"] {
        let ledger = Ledger::default();
        let request = format!("{method} /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let bare = wire(None, &request).await;
        assert_eq!(wire(Some(&ledger), &request).await, bare);
        assert!(bare.contains("content-length: 16\r\n"), "{bare}");
        assert_eq!(
            bare.ends_with("you asked for /a"),
            method == "GET",
            "{bare}"
        );
        assert_eq!(outcomes(&ledger, "request"), [("completed", 1)]);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_handler_works_ends_its_request() {
    let ledger = Ledger::default();
    let never = service_fn(|_: Request<Incoming>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let service = ServiceBuilder::new()
        .layer(CountingLayer::new(&ledger))
        .service(never);
    let (mut client, server) = tokio::io::duplex(1024);
    let serving = http1::Builder::new()
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(service));
    let entry = ledger
        .account::<ConnectionTaskOutcome>(Labels::new())
        .open();
    let serving = ledger.spawn(entry, serving);
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("the server reads");
    while ledger.snapshot().open("request") == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    let _ = serving.await.expect("no panic");
    assert_eq!(outcomes(&ledger, "request"), [("client_gone", 1)]);
}
