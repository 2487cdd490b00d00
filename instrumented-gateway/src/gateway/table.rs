//! What of a configuration answers requests: routes, their limits, and where their requests are counted.
//!
//! A table never changes; a reload makes another. What counts over the life of the process (accounts, meters, the places of
//! a route) is found by its labels, or taken over from the table before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use hyper::body::Incoming;
use resource_ledger::{Account, Labels, Ledger, Owner, OwnerId, RequestOutcome};
use tokio_metrics::TaskMonitor;

use super::client::Client;
use super::exchange::{self, Answer, Record};
use super::final_recipient;
use super::identity;
use super::request::{self, Refusal};
use crate::access_log::{Line, Logger};
use crate::body::{GatewayBody, UploadBound};
use crate::clock;
use crate::config::{
    Action, BodyLimits, Config, DEFAULT_BODY_IDLE_TIMEOUT, IpNetwork, RouteConfig,
};
use crate::drill::Drills;
use crate::fan_out::FanOut;
use crate::fields::Present;
use crate::forward::{Inbound, Proxy, plain};
use crate::hop::{Hop, Origin};
use crate::metrics::{RouteLimit, RouteMeters, SharedRecorder};
use crate::route::RouteTable;
use crate::upstream::{InFlight, Place, Upstream};

/// The `route` label of requests that no route answers.
const UNMATCHED: &str = "unmatched";

/// What of a configuration answers requests.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) paths: RouteTable,
    pub(super) routes: Vec<Route>,
    unmatched: Ends,
    pub(super) trusted_peers: Vec<IpNetwork>,
    max_uri_bytes: usize,
    logger: Option<Logger>,
    hop: Arc<Hop>,
    pub(super) max_headers: usize,
}

#[derive(Debug)]
pub(super) struct Route {
    deadline: Duration,
    /// How long the client may take nothing of the answer.
    pub(super) stall_limit: Option<Duration>,
    request_body: BodyLimits,
    in_flight: Arc<InFlight>,
    pending: Arc<InFlight>,
    pub(super) action: RouteAction,
    pub(super) ends: Ends,
}

#[derive(Debug)]
pub(super) enum RouteAction {
    Proxy(Proxy),
    FanOut(FanOut),
}

/// Where the requests of one route are counted.
#[derive(Debug)]
pub(super) struct Ends {
    label: Arc<str>,
    pub(super) requests: Account<RequestOutcome>,
    pub(super) meters: RouteMeters,
}

/// What routes are made of.
pub(crate) struct Parts<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) recorder: &'a SharedRecorder,
    pub(crate) upstreams: &'a [Arc<Upstream>],
    pub(crate) drills: &'a Arc<Drills>,
    pub(crate) fan_out_tasks: &'a TaskMonitor,
    pub(crate) logger: Option<Logger>,
}

impl Table {
    /// `before` is the table whose place this one takes.
    pub(super) fn new(config: &Config, parts: &Parts<'_>, before: Option<&Self>) -> Self {
        let routes = config.routes.iter();
        let hop = Arc::new(Hop::new(&config.hop));
        let route = |route: &RouteConfig| {
            let known = before.and_then(|before| before.route(route.label()));
            Route::new(route, parts, &hop, known)
        };
        Self {
            paths: RouteTable::new(routes.clone().map(|route| route.path.clone())),
            routes: routes.map(route).collect(),
            unmatched: Ends::new(parts, &UNMATCHED.into()),
            trusted_peers: config.trusted_peers.clone(),
            max_uri_bytes: config.limits.max_uri_bytes,
            logger: parts.logger.clone(),
            hop,
            max_headers: config.limits.max_headers,
        }
    }

    fn route(&self, label: &str) -> Option<&Route> {
        self.routes.iter().find(|route| &*route.ends.label == label)
    }

    pub(super) fn origin(&self, client: &Client) -> Origin {
        let peer = client.peer().ip();
        Origin {
            address: Some(client.address().clone()),
            secure: client.is_secure(),
            trusted: self.trusted_peers.iter().any(|net| net.contains(peer)),
        }
    }

    /// The gateway's own answer to a request that goes no further, or why it goes no further.
    pub(super) fn settle<B: Body>(
        &self,
        request: &mut Request<B>,
        present: Present,
        origin: &Origin,
    ) -> Result<Option<Response<GatewayBody>>, Refusal> {
        request::check(request, present, origin)?;
        if self.is_too_long(request.uri()) {
            return Err(Refusal::UriTooLong);
        }
        if present.has(Present::VIA) && self.hop.has_seen(request.headers()) {
            return Err(Refusal::Loop);
        }
        final_recipient::answer(request)
    }

    fn is_too_long(&self, uri: &Uri) -> bool {
        let target = uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        let authority = uri
            .authority()
            .map_or(0, |authority| authority.as_str().len());
        target + authority > self.max_uri_bytes
    }

    /// The line of a request, where the access log is on.
    pub(super) fn line<B>(
        &self,
        client: &Client,
        ends: &Ends,
        request: &mut Request<B>,
        id: &OwnerId,
    ) -> Option<Box<Line>> {
        let logger = self.logger.as_ref()?;
        Some(Line::begin(logger, client.peer(), &ends.label, request, id))
    }

    /// Counts what could not be read as a request, and was answered by hyper.
    pub(super) fn unread(&self, status: StatusCode, client: &Client) {
        let ends = &self.unmatched;
        if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
            ends.meters.limit_reached(RouteLimit::RequestHead);
        }
        let line = self.logger.as_ref().map(|logger| {
            let mut line = Line::unread(logger, client.peer(), &ends.label);
            line.reason(|| "what came was no request".to_owned());
            Box::new(line)
        });
        Record::new(&ends.meters).logged(line).sent(status);
    }

    /// Answers a request that has no route.
    pub(super) fn refuse(
        &self,
        request: Request<Incoming>,
        client: &Client,
        origin: &Origin,
        refusal: Refusal,
    ) -> Response<Answer> {
        self.refuse_on(&self.unmatched, request, client, origin, refusal)
    }

    /// Gives a request that has no route the gateway's own answer.
    pub(super) fn conclude(
        &self,
        request: Request<Incoming>,
        client: &Client,
        origin: &Origin,
        response: Response<GatewayBody>,
    ) -> Response<Answer> {
        self.conclude_on(&self.unmatched, request, client, origin, response, None)
    }

    /// Answers a request without asking any upstream.
    pub(super) fn refuse_on(
        &self,
        ends: &Ends,
        request: Request<Incoming>,
        client: &Client,
        origin: &Origin,
        refusal: Refusal,
    ) -> Response<Answer> {
        if let Some(limit) = refusal.limit() {
            ends.meters.limit_reached(limit);
        }
        let mut response = plain(
            refusal.status(),
            format!("{refusal}\n"),
            RequestOutcome::Rejected,
        );
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let second = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, second);
        }
        self.conclude_on(ends, request, client, origin, response, Some(refusal))
    }

    fn conclude_on(
        &self,
        ends: &Ends,
        mut request: Request<Incoming>,
        client: &Client,
        origin: &Origin,
        mut response: Response<GatewayBody>,
        refusal: Option<Refusal>,
    ) -> Response<Answer> {
        let present = Present::of(request.headers());
        let id = identity::identify(request.headers_mut(), present, origin.trusted);
        let line = self.line(client, ends, &mut request, &id);
        let owner = Owner::begin(&ends.requests, id);
        let mut record = Record::new(&ends.meters).logged(line);
        if let Some(refusal) = refusal {
            record.reason(|| refusal.to_string());
        }
        client.limit_stall(Some(DEFAULT_BODY_IDLE_TIMEOUT));
        if !request.body().is_end_stream() || request.method() == Method::CONNECT {
            // What follows may not be what its framing says it is, or no HTTP: nobody reads it as another request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        exchange::answer(response, owner, record, client)
    }
}

impl Route {
    /// `known` is the route of the same path in the table before: those it has under way go on counting.
    fn new(route: &RouteConfig, parts: &Parts<'_>, hop: &Arc<Hop>, known: Option<&Self>) -> Self {
        let (action, stall_limit) = match &route.action {
            Action::Proxy { upstream, rewrite } => {
                let upstream = &parts.upstreams[*upstream];
                let proxy = Proxy::new(route, rewrite.clone(), upstream, parts.drills, hop);
                (RouteAction::Proxy(proxy), route.body_idle_timeout)
            }
            Action::FanOut { policy, calls } => {
                let fan_out = FanOut::new(
                    route,
                    *policy,
                    calls,
                    parts.upstreams,
                    parts.drills,
                    parts.fan_out_tasks,
                    hop,
                );
                (
                    RouteAction::FanOut(fan_out),
                    Some(DEFAULT_BODY_IDLE_TIMEOUT),
                )
            }
        };
        Self {
            deadline: route.deadline,
            stall_limit,
            request_body: route.request_body,
            in_flight: places(known.map(|known| &known.in_flight), route.max_in_flight),
            pending: places(known.map(|known| &known.pending), route.max_pending),
            action,
            ends: Ends::new(parts, route.label()),
        }
    }

    /// The route's deadline, or the nearer one that a trusted peer passed on.
    pub(super) fn deadline(
        &self,
        headers: &HeaderMap,
        present: Present,
        origin: &Origin,
    ) -> Instant {
        let passed_on = request::deadline_milliseconds(headers, present)
            .filter(|_| origin.trusted)
            .map(Duration::from_millis);
        let budget = passed_on.map_or(self.deadline, |passed_on| passed_on.min(self.deadline));
        clock::now() + budget
    }

    /// What bounds a request's content while it is read; `None` where it has none.
    pub(super) fn bound(&self, body: &impl Body) -> Result<Option<UploadBound>, Refusal> {
        if body.is_end_stream() {
            return Ok(None);
        }
        let limits = self.request_body;
        match limits.max_bytes {
            Some(limit_bytes) if body.size_hint().lower() > limit_bytes => {
                Err(Refusal::BodyTooLarge { limit_bytes })
            }
            _ => Ok(Some(UploadBound {
                limits,
                meters: self.ends.meters.clone(),
            })),
        }
    }

    /// Places for a request: one until it ends, one until its answer's head is there.
    pub(super) fn enter(&self) -> Result<(Place, Place), Refusal> {
        let place = self.in_flight.enter().ok_or(Refusal::InFlight)?;
        let waiting = self.pending.enter().ok_or(Refusal::Pending)?;
        Ok((place, waiting))
    }
}

fn places(known: Option<&Arc<InFlight>>, limit: usize) -> Arc<InFlight> {
    match known {
        Some(known) => {
            known.set_limit(limit);
            Arc::clone(known)
        }
        None => Arc::new(InFlight::new(limit)),
    }
}

impl RouteAction {
    pub(super) async fn handle(&self, inbound: Inbound) -> Response<GatewayBody> {
        match self {
            Self::Proxy(proxy) => proxy.handle(inbound).await,
            Self::FanOut(fan_out) => fan_out.handle(inbound).await,
        }
    }
}

impl Ends {
    fn new(parts: &Parts<'_>, route: &Arc<str>) -> Self {
        let labels = Labels::new().route(Arc::clone(route));
        Self {
            label: Arc::clone(route),
            requests: super::requests(parts.ledger, labels),
            meters: RouteMeters::new(parts.recorder, route),
        }
    }
}
