//! An axum handler that streams an answer of an upstream, asked by reqwest:
//! `cargo run -p resource-ledger --example axum_reqwest`, then `curl 127.0.0.1:8080/articles/7`.
//!
//! Three lines count every request by its route and every response body that the service holds (each marked
//! `// counts`). A body that is kept after its request has ended shows as orphaned; one that is dropped unread shows in
//! `resource_ledger_closed_total{outcome="unread"}`.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Path, State};
use axum::http::{Extensions, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use resource_ledger::{Account, BodyOutcome, CountedBody, CountingLayer, Labels, Ledger, OwnerRef};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let ledger = Ledger::default();
    let articles = Articles::at("http://127.0.0.1:9001", &ledger);
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, router(articles, &ledger)).await
}

/// The upstream that keeps the articles.
struct Articles {
    url: String,
    client: reqwest::Client,
    bodies: Account<BodyOutcome>,
}

impl Articles {
    fn at(url: &str, ledger: &Ledger) -> Self {
        // This workspace builds reqwest without a provider of cryptography; most do not need the line.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            url: url.to_owned(),
            client: reqwest::Client::new(),
            bodies: ledger.account(Labels::new().upstream("articles")), // counts
        }
    }
}

fn router(articles: Articles, ledger: &Ledger) -> Router {
    let requests = CountingLayer::new(ledger).routed_by(matched_path); // counts
    Router::new()
        .route("/articles/{id}", get(article))
        .layer(requests)
        .with_state(Arc::new(articles))
}

/// The route as it is configured: never the path of the request, which would be a series for each.
fn matched_path(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

async fn article(
    State(articles): State<Arc<Articles>>,
    Extension(owner): Extension<OwnerRef>,
    Path(id): Path<u64>,
) -> Result<Response, StatusCode> {
    let url = format!("{}/articles/{id}", articles.url);
    let answer = articles.client.get(url).send().await;
    let answer = http::Response::from(answer.map_err(|_| StatusCode::BAD_GATEWAY)?);
    let (head, body) = answer.into_parts();
    let body = CountedBody::new(body, articles.bodies.open_for(Some(&owner), None)); // counts
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = head.status;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt;
    use resource_ledger::{ServiceTaskOutcome, Task};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower::ServiceExt;

    use super::*;

    /// An upstream that has the beginning of every article, and the end of the seventh.
    async fn upstream(ledger: &Ledger) -> (String, Task<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = async move {
            let mut unfinished = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let read = stream.read(&mut head).await.expect("a request");
                let seventh = head[..read].starts_with(b"GET /articles/7 ");
                let content = if seventh { "seven" } else { "beg" };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n{content}"
                );
                stream.write_all(answer.as_bytes()).await.expect("sent");
                unfinished.push(stream);
            }
        };
        let entry = ledger.account::<ServiceTaskOutcome>(Labels::new()).open();
        (url, ledger.spawn(entry, serving))
    }

    #[tokio::test]
    async fn it_counts_requests_and_the_bodies_that_they_hold() {
        let ledger = Ledger::default();
        let (url, _serving) = upstream(&ledger).await;
        let router = router(Articles::at(&url, &ledger), &ledger);
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answered = router.clone().oneshot(request).await;
            answered.expect("routers are infallible").into_body()
        };
        let closed = |resource: &str, outcome: &str| {
            let snapshot = ledger.snapshot();
            let counts = snapshot
                .of(resource)
                .map(|account| account.closed_as(outcome));
            counts.sum::<u64>()
        };

        let seventh = ask("/articles/7").await.collect().await.expect("whole");
        assert_eq!(seventh.to_bytes(), "seven");
        assert_eq!(
            (
                closed("response_body", "complete"),
                closed("request", "completed")
            ),
            (1, 1)
        );

        // A client that leaves in the middle: the server drops what it was sending.
        let mut eighth = ask("/articles/8").await;
        let frame = eighth.frame().await.expect("more").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "beg");
        let held = ledger.snapshot();
        assert_eq!((held.open("response_body"), held.open("request")), (1, 1));
        drop(eighth);
        assert_eq!(
            (
                closed("response_body", "abandoned"),
                closed("request", "client_gone")
            ),
            (1, 1)
        );

        let snapshot = ledger.snapshot();
        let routes: Vec<_> = snapshot
            .of("request")
            .map(|account| account.route.as_deref())
            .collect();
        assert_eq!(routes, [None, Some("/articles/{id}")]);
        assert_eq!(
            (snapshot.open("response_body"), snapshot.open("request")),
            (0, 0)
        );
    }
}
