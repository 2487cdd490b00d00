//! The gateway: one request's way from its head to the end of its answer.
//!
//! A request is checked, routed, given an owner in the ledger, and handed to its route's handler. Whatever happens to it
//! then (an answer, a panic, a client that leaves) ends in one place, `exchange::Record`, which counts it once. The
//! owner travels with the answer's body, because that is what the server drops last.

mod client;
mod connection;
mod descriptors;
mod exchange;
mod final_recipient;
mod fleet;
mod guarded;
mod http2;
mod reload;
mod request;
mod running;
mod server;
mod unwind;

pub use reload::{ReloadError, Reloaded};
pub use running::{Running, StartError};
pub use server::BindError;

pub(crate) use client::Client;
pub(crate) use server::Handler;

use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use resource_ledger::{Account, Labels, Ledger, Owner, RequestOutcome};
use tokio_metrics::TaskMonitor;

use crate::body::{DownstreamCut, GatewayBody};
use crate::clock;
use crate::config::{Action, Config, DEFAULT_BODY_IDLE_TIMEOUT, IpNetwork, RouteConfig};
use crate::drill::Drills;
use crate::fan_out::FanOut;
use crate::forward::{Inbound, Proxy, plain};
use crate::hop::{Hop, Origin};
use crate::metrics::{PanicMeter, RouteMeters, SharedRecorder};
use crate::route::{Lookup, RouteTable};
use crate::upstream::Upstream;
use exchange::{Answer, Record};
use request::Refusal;
use unwind::Panicked;

/// The `route` label of requests that no route answers.
const UNMATCHED: &str = "unmatched";

/// A gateway in this process: [`Gateway::start`] runs one on the current runtime.
#[derive(Debug)]
pub struct Gateway;

/// Answers the requests of the main listener. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Front(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What is in force. A request holds the one that it met until its handler has returned.
    table: RwLock<Arc<Table>>,
    panics: PanicMeter,
}

/// What of a configuration answers requests.
#[derive(Debug)]
struct Table {
    paths: RouteTable,
    routes: Vec<Route>,
    unmatched: Ends,
    trusted_peers: Vec<IpNetwork>,
    hop: Arc<Hop>,
    max_headers: usize,
}

#[derive(Debug)]
struct Route {
    deadline: Duration,
    /// How long the client may take nothing of the answer.
    stall_limit: Option<Duration>,
    action: RouteAction,
    ends: Ends,
}

#[derive(Debug)]
enum RouteAction {
    Proxy(Proxy),
    FanOut(FanOut),
}

/// Where the requests of one route are counted.
#[derive(Debug)]
struct Ends {
    requests: Account<RequestOutcome>,
    meters: RouteMeters,
}

/// What routes are made of.
pub(crate) struct Parts<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) recorder: &'a SharedRecorder,
    pub(crate) upstreams: &'a [Arc<Upstream>],
    pub(crate) drills: &'a Arc<Drills>,
    pub(crate) fan_out_tasks: &'a TaskMonitor,
}

impl Front {
    pub(crate) fn new(config: &Config, parts: &Parts<'_>) -> Self {
        Self(Arc::new(Shared {
            table: RwLock::new(Arc::new(Table::new(config, parts))),
            panics: PanicMeter::new(parts.recorder),
        }))
    }

    /// Answers by another configuration from the next request on.
    pub(crate) fn replace(&self, config: &Config, parts: &Parts<'_>) {
        let next = Arc::new(Table::new(config, parts));
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *table, next);
        drop(table);
        // Outside the lock: it may be the last that holds all of its routes.
        drop(before);
    }

    fn table(&self) -> Arc<Table> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&table)
    }

    async fn answer(&self, mut request: Request<Incoming>, client: Client) -> Response<Answer> {
        let table = self.table();
        let origin = table.origin(&client);
        if request.headers().len() > table.max_headers {
            return table.refuse(request, &client, Refusal::TooManyFields);
        }
        let found = match table.settle(&mut request, &origin) {
            Ok(None) => table.paths.find(request.uri().path()),
            Ok(Some(response)) => return table.conclude(request, &client, response),
            Err(refusal) => return table.refuse(request, &client, refusal),
        };
        let (route, captures) = match found {
            Lookup::Found { route, captures } => (&table.routes[route], captures),
            Lookup::DotSegment => return table.refuse(request, &client, Refusal::DotSegment),
            Lookup::Unmatched => {
                let text = "no route matches this path\n".to_owned();
                return table.reject(request, &client, StatusCode::NOT_FOUND, text);
            }
        };
        let id = request::identify(request.headers_mut());
        // Declared before the handler's future, and so dropped after it where the client leaves.
        let owner = Owner::begin(&route.ends.requests, id);
        let record = Record::new(&route.ends.meters);
        let deadline = table.deadline(route, &request, &origin);
        client.limit_stall(route.stall_limit);
        let cut = DownstreamCut(client.cut().clone());
        request.extensions_mut().insert(cut);
        let inbound = Inbound {
            request,
            captures,
            owner: owner.reference(),
            deadline,
            origin,
        };
        // Pinned where it is: it is kilobytes long, and whatever takes it by value would copy it.
        let response = {
            let handled = pin!(route.action.handle(inbound));
            self.supervise(&owner, handled).await
        };
        exchange::answer(response, owner, record, &client)
    }

    /// Runs a handler to its end, a panic included.
    async fn supervise(
        &self,
        owner: &Owner,
        handled: impl Future<Output = Response<GatewayBody>>,
    ) -> Response<GatewayBody> {
        match unwind::catch(handled).await {
            Ok(response) => response,
            Err(panicked) => self.panicked(owner, &panicked),
        }
    }

    fn panicked(&self, owner: &Owner, panicked: &Panicked) -> Response<GatewayBody> {
        self.0.panics.panicked();
        tracing::error!(
            request_id = owner.reference().id().request_id,
            panic = panicked.0,
            "a handler panicked"
        );
        let text = "the gateway made a mistake\n".to_owned();
        plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            text,
            RequestOutcome::Failed,
        )
    }
}

impl Table {
    fn new(config: &Config, parts: &Parts<'_>) -> Self {
        let routes = config.routes.iter();
        let hop = Arc::new(Hop::new(&config.hop));
        Self {
            paths: RouteTable::new(routes.clone().map(|route| route.path.clone())),
            routes: routes.map(|route| Route::new(route, parts, &hop)).collect(),
            unmatched: Ends::new(parts, &UNMATCHED.into()),
            trusted_peers: config.trusted_peers.clone(),
            hop,
            max_headers: config.limits.max_headers,
        }
    }

    fn origin(&self, client: &Client) -> Origin {
        let peer = client.peer().ip();
        Origin {
            address: Some(peer),
            secure: client.is_secure(),
            trusted: self.trusted_peers.iter().any(|net| net.contains(peer)),
        }
    }

    /// The gateway's own answer to a request that goes no further, or why it goes no further.
    fn settle<B: http_body::Body>(
        &self,
        request: &mut Request<B>,
        origin: &Origin,
    ) -> Result<Option<Response<GatewayBody>>, Refusal> {
        request::check(request, origin)?;
        if self.hop.has_seen(request.headers()) {
            return Err(Refusal::Loop);
        }
        final_recipient::answer(request)
    }

    /// The route's deadline, or the nearer one that a trusted peer passed on.
    fn deadline<B>(&self, route: &Route, request: &Request<B>, origin: &Origin) -> Instant {
        let passed_on = request::deadline_milliseconds(request.headers())
            .filter(|_| origin.trusted)
            .map(Duration::from_millis);
        let budget = passed_on.map_or(route.deadline, |passed_on| passed_on.min(route.deadline));
        clock::now() + budget
    }

    fn refuse(
        &self,
        request: Request<Incoming>,
        client: &Client,
        refusal: Refusal,
    ) -> Response<Answer> {
        self.reject(request, client, refusal.status(), format!("{refusal}\n"))
    }

    /// Answers a request that has no route.
    fn reject(
        &self,
        request: Request<Incoming>,
        client: &Client,
        status: StatusCode,
        text: String,
    ) -> Response<Answer> {
        let response = plain(status, text, RequestOutcome::Rejected);
        self.conclude(request, client, response)
    }

    /// Gives a request that has no route the gateway's own answer.
    fn conclude(
        &self,
        mut request: Request<Incoming>,
        client: &Client,
        mut response: Response<GatewayBody>,
    ) -> Response<Answer> {
        let ends = &self.unmatched;
        let id = request::identify(request.headers_mut());
        let owner = Owner::begin(&ends.requests, id);
        let record = Record::new(&ends.meters);
        client.limit_stall(Some(DEFAULT_BODY_IDLE_TIMEOUT));
        if !request.body().is_end_stream() || request.method() == Method::CONNECT {
            // What follows may not be what its framing says it is, or no HTTP: nobody reads it as another request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        exchange::answer(response, owner, record, client)
    }
}

impl Handler for Front {
    type Body = Answer;

    async fn handle(&self, request: Request<Incoming>, client: Client) -> Response<Answer> {
        self.answer(request, client).await
    }

    fn refused(&self, status: StatusCode) {
        Record::new(&self.table().unmatched.meters).sent(status);
    }
}

impl Route {
    fn new(route: &RouteConfig, parts: &Parts<'_>, hop: &Arc<Hop>) -> Self {
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
            action,
            ends: Ends::new(parts, route.label()),
        }
    }
}

impl RouteAction {
    async fn handle(&self, inbound: Inbound) -> Response<GatewayBody> {
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
            requests: parts.ledger.account(labels),
            meters: RouteMeters::new(parts.recorder, route),
        }
    }
}

#[cfg(test)]
mod tests;
