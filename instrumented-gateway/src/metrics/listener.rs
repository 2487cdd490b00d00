//! The `metrics` listener: `/metrics`, `/live` and `/ready`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::page::{self, Page};
use crate::gateway::{Client, Handler};
use crate::pool::SocketGate;

/// Answers the requests of the listener. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct MetricsListener {
    page: Arc<Page>,
    gate: SocketGate,
    draining: CancellationToken,
}

impl MetricsListener {
    /// Serves `page`; not ready once `draining`.
    pub(crate) fn new(page: &Arc<Page>, gate: &SocketGate, draining: &CancellationToken) -> Self {
        Self {
            page: Arc::clone(page),
            gate: gate.clone(),
            draining: draining.clone(),
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let known = ["/metrics", "/live", "/ready"];
        let path = request.uri().path();
        if !known.contains(&path) {
            let text = format!("not found; there are {}\n", known.join(", "));
            return text_answer(StatusCode::NOT_FOUND, text);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let text = "only GET and HEAD\n".to_owned();
            let mut response = text_answer(StatusCode::METHOD_NOT_ALLOWED, text);
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        match path {
            "/metrics" => text_answer(StatusCode::OK, self.page.render(&self.gate)),
            "/ready" if self.draining.is_cancelled() => {
                text_answer(StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned())
            }
            "/ready" => text_answer(StatusCode::OK, "ready\n".to_owned()),
            _ => text_answer(StatusCode::OK, "live\n".to_owned()),
        }
    }
}

impl Handler for MetricsListener {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>, _: Client) -> Response<Full<Bytes>> {
        self.answer(&request)
    }
}

fn text_answer(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(page::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
