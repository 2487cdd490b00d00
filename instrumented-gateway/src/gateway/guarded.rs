//! An operator's listener behind the web configuration: who may not come in is told so, whatever was asked for.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use web_config::Protection;

use super::client::Client;
use super::server::Handler;

/// Answers for another handler, and lets through to it only who may come in. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<H> {
    protection: Protection,
    handler: H,
}

impl<H> Guarded<H> {
    pub(crate) fn new(protection: &Protection, handler: H) -> Self {
        Self {
            protection: protection.clone(),
            handler,
        }
    }
}

impl<H: Handler<Body = Full<Bytes>>> Handler for Guarded<H> {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>, client: Client) -> Response<Full<Bytes>> {
        let mut response = match self.protection.authorize(request.headers()).await {
            Ok(()) => self.handler.handle(request, client).await,
            Err(unauthorized) => {
                let mut response = Response::new(Full::from(format!("{unauthorized}\n")));
                *response.status_mut() = unauthorized.status();
                let (name, value) = unauthorized.challenge();
                response.headers_mut().insert(name, value);
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, text);
                response
            }
        };
        self.protection.dress(response.headers_mut());
        response
    }
}
