//! A route that proxies: one request, one upstream, both bodies streamed.
//!
//! Nothing is buffered: the client's content is polled when the upstream takes it, the answer's when the client does. The
//! route's deadline bounds the time to the answer's head; after that the exchange lives for as long as it moves. What the
//! request uses is dropped with its future or its body, so that a client that leaves, at whatever stage, takes it all along.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, TRAILER, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, request, uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use resource_ledger::{Account, BodyOutcome, Labels, OwnerRef, RequestOutcome, ServiceOutcome};
use tokio_util::sync::CancellationToken;

use crate::access_log::Notes;
use crate::body::{GatewayBody, RequestBody, UploadBound};
use crate::config::RouteConfig;
use crate::drill::Drills;
use crate::error::{ForwardError, Stage};
use crate::fields::{self, Present, Wishes};
use crate::hop::{Hop, Origin};
use crate::pool::Fate;
use crate::route::{Captures, Template};
use crate::tunnel::Tunnel;
use crate::upstream::{BodyBound, Exchange, Lane, Reply, Upstream};

/// A request that a route has been found for.
#[derive(Debug)]
pub struct Inbound {
    /// As it came.
    pub request: Request<Incoming>,
    /// What bounds its content, if it has any.
    pub upload: Option<UploadBound>,
    /// Cancelling it drops the client's connection. An answer that stalls because the client does not read it is not
    /// polled by the server, so that an error of the answer's own would never be seen.
    pub cut: CancellationToken,
    /// What the route's pattern captured in its path.
    pub captures: Captures,
    /// The request, for everything that works for it.
    pub owner: OwnerRef,
    /// The route's deadline, or a nearer one of a trusted peer.
    pub deadline: Instant,
    /// Who sent it.
    pub origin: Origin,
}

/// A configured route that proxies.
#[derive(Debug)]
pub struct Proxy {
    route: Arc<str>,
    upstream: Arc<Upstream>,
    rewrite: Option<Template>,
    body_idle_timeout: Option<Duration>,
    tunnel_idle_timeout: Option<Duration>,
    bodies: Account<BodyOutcome>,
    tunnels: Account<ServiceOutcome>,
    drills: Arc<Drills>,
    hop: Arc<Hop>,
}

impl Proxy {
    /// A route to `upstream`.
    pub fn new(
        route: &RouteConfig,
        rewrite: Option<Template>,
        upstream: &Arc<Upstream>,
        drills: &Arc<Drills>,
        hop: &Arc<Hop>,
    ) -> Self {
        let labels = Labels::new()
            .upstream(Arc::clone(upstream.name()))
            .route(Arc::clone(route.label()));
        Self {
            route: Arc::clone(route.label()),
            upstream: Arc::clone(upstream),
            rewrite,
            body_idle_timeout: route.body_idle_timeout,
            tunnel_idle_timeout: route.tunnel_idle_timeout,
            bodies: upstream.ledger().account(labels.clone()),
            tunnels: upstream.ledger().service_account("tunnel", labels),
            drills: Arc::clone(drills),
            hop: Arc::clone(hop),
        }
    }

    /// Passes the request on and gives the head of the answer, whose body streams.
    pub async fn handle(&self, inbound: Inbound) -> Response<GatewayBody> {
        let Inbound {
            request,
            upload,
            cut,
            captures,
            owner,
            deadline,
            origin,
        } = inbound;
        let (mut head, incoming) = request.into_parts();
        let body = RequestBody::streaming(incoming).bounded(upload);
        let present = Present::of(&head.headers);
        let has_content = !body.is_end_stream();
        let mut wishes = Wishes::read(&head.headers, present, head.version, has_content);
        let client = head.extensions.remove::<OnUpgrade>();
        if client.is_none() {
            wishes.upgrade = None;
        }
        let request = match self.outbound(head, present, body, &captures, &wishes, &origin) {
            Ok(request) => request,
            Err(error) => return failure(&error),
        };
        let lane = match self.drills.client_per_request(&self.upstream) {
            Some(pool) => Lane::Private(pool),
            None => Lane::Pool,
        };
        let exchange = Exchange {
            request,
            owner: owner.clone(),
            deadline,
            body: BodyBound::Idle(self.body_idle_timeout),
            enforced: true,
            cut: Some(cut),
            fate: Fate::Client,
            lane,
        };
        let reply = match self.upstream.send(exchange).await {
            Ok(reply) => reply,
            Err(error) => return failure(&error),
        };
        if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
            let switched = Box::pin(self.switch(reply, client, &wishes, &owner)).await;
            return switched.unwrap_or_else(|error| failure(&error));
        }
        let version = reply.version();
        if let Some(fault) = self.drills.body_fault() {
            let (drills, upstream) = (&self.drills, &self.upstream);
            let response = drills.take_body(&fault, upstream, &self.route, &owner, reply);
            return self.passed_on(response, version, &wishes);
        }
        let mut response = reply.count(self.bodies.open_for(Some(&owner), None));
        match response.body_mut().peek().await {
            Ok(()) => {
                let response = answer(response.map(GatewayBody::upstream));
                self.passed_on(response, version, &wishes)
            }
            Err(error) => failure(&error),
        }
    }

    /// An answer that came as `version`, with this hop's mark.
    fn passed_on(
        &self,
        mut response: Response<GatewayBody>,
        version: Version,
        wishes: &Wishes,
    ) -> Response<GatewayBody> {
        let fields = response.headers_mut();
        if !wishes.trailers {
            // None are sent to a client that did not ask for them (RFC 9110, 6.5.1).
            fields.remove(TRAILER);
        }
        self.hop.mark_answer(fields, version);
        response
    }

    /// Joins both connections, where the upstream switched to a protocol that the client asked for.
    async fn switch(
        &self,
        reply: Reply,
        client: Option<OnUpgrade>,
        wishes: &Wishes,
        owner: &OwnerRef,
    ) -> Result<Response<GatewayBody>, ForwardError> {
        let protocol = reply.headers().get(UPGRADE).cloned();
        let (Some(client), Some(protocol), true) =
            (client, protocol, wishes.allow(reply.headers()))
        else {
            reply.refuse();
            return Err(ForwardError::Switched);
        };
        let version = reply.version();
        let entry = self.tunnels.open_for(Some(owner), None);
        let (head, conduit) = reply.switch().await?;
        let tunnel = Tunnel::new(client, conduit, self.tunnel_idle_timeout, entry);
        let response = Response::from_parts(head, GatewayBody::switched(tunnel));
        let mut response = self.passed_on(answer(response), version, wishes);
        let fields = response.headers_mut();
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, protocol);
        Ok(response)
    }

    fn outbound(
        &self,
        mut head: request::Parts,
        present: Present,
        body: RequestBody,
        captures: &Captures,
        wishes: &Wishes,
        origin: &Origin,
    ) -> Result<Request<RequestBody>, ForwardError> {
        let target = match &self.rewrite {
            None => head.uri.path_and_query().cloned(),
            Some(template) => {
                let mut target = template.expand(captures, head.uri.path());
                if let Some(query) = head.uri.query() {
                    target.push(if template.has_query() { '&' } else { '?' });
                    target.push_str(query);
                }
                Some(uri::PathAndQuery::try_from(target).map_err(|_| ForwardError::Target)?)
            }
        };
        let target = target.unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
        let length = body.size_hint().exact();
        let host = head.headers.remove(HOST);
        let mut fields = fields::for_proxy(head.headers, present, length, wishes);
        self.hop
            .mark_request(&mut fields, present, head.version, origin, host.as_ref());
        let mut request = Request::new(body);
        if let Some(notes) = head.extensions.get::<Notes>() {
            request.extensions_mut().insert(notes.clone());
        }
        *request.method_mut() = head.method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = fields;
        Ok(request)
    }
}

/// An upstream's answer as it goes to the client.
pub(crate) fn answer(mut response: Response<GatewayBody>) -> Response<GatewayBody> {
    *response.version_mut() = Version::HTTP_11;
    response.extensions_mut().clear();
    let fields = response.headers_mut();
    fields::strip_hop_by_hop(fields, Present::of(fields));
    response
}

/// The answer that tells the client what went wrong.
pub fn failure(error: &ForwardError) -> Response<GatewayBody> {
    let status = error.status();
    let outcome = match error {
        ForwardError::InFlightLimit
        | ForwardError::WaitersLimit
        | ForwardError::Draining
        | ForwardError::RequestTooLarge { .. }
        | ForwardError::Target => RequestOutcome::Rejected,
        ForwardError::TimedOut(Stage::RequestBody) | ForwardError::ClientGone => {
            RequestOutcome::ClientGone
        }
        ForwardError::TimedOut(_) => RequestOutcome::TimedOut,
        _ => RequestOutcome::Failed,
    };
    let mut response = plain(status, format!("{error}\n"), outcome);
    if matches!(
        error,
        ForwardError::RequestBody(_) | ForwardError::TimedOut(Stage::RequestBody)
    ) {
        // What follows on this connection is of nobody knows which request.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if let Some(seconds) = error.retry_after_seconds() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A short text of the gateway's own.
pub(crate) fn plain(
    status: StatusCode,
    text: String,
    outcome: RequestOutcome,
) -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::full(text).ending(outcome));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
